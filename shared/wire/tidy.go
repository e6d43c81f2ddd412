package wire

import (
	"fmt"
	"strings"
	"unicode"

	"holdfast/shared/id"
)

// maxStreams bounds the streams of one camera; maxConditions the conditions of one message.
const (
	maxStreams    = 4
	maxConditions = 4 * MaxCameras
)

// CleanText returns s without control and bidirectional-override characters (a line break becomes a space),
// as valid UTF-8 of at most limit characters.
func CleanText(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if n == limit {
			break
		}
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			r = ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			continue
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// Tidy cleans the texts of a Hello that came over the line; the error says which ID or count cannot be accepted.
func (h *Hello) Tidy() error {
	if _, err := id.Parse[id.Agent](string(h.Agent)); err != nil {
		return err
	}
	if _, err := id.Parse[id.Site](string(h.Site)); err != nil {
		return err
	}
	if len(h.Epoch) > maxEpoch || len(h.Queues) > MaxBatchFacts {
		return fmt.Errorf("the epoch is too long or there are too many queues")
	}
	h.Epoch, h.BootID = CleanText(h.Epoch, maxEpoch), CleanText(h.BootID, MaxNameRunes)
	h.AgentVer, h.OS = CleanText(h.AgentVer, MaxNameRunes), CleanText(h.OS, MaxNameRunes)
	h.Host, h.Local = CleanText(h.Host, MaxNameRunes), CleanText(h.Local, MaxNameRunes)
	if err := tidyHolds(h.Holds); err != nil {
		return err
	}
	return tidyState(h.Cameras, h.Conditions)
}

// Tidy is Hello.Tidy for a Heartbeat.
func (h *Heartbeat) Tidy() error {
	if len(h.Durable) > maxStreams*MaxCameras || len(h.Live) > MaxCameras {
		return fmt.Errorf("the heartbeat names %d streams and %d live sessions", len(h.Durable), len(h.Live))
	}
	if err := h.Queue.tidy(); err != nil {
		return err
	}
	for _, s := range h.Live {
		if _, err := id.Parse[id.Session](string(s)); err != nil {
			return err
		}
	}
	if err := tidyHolds(h.Holds); err != nil {
		return err
	}
	return tidyState(h.Cameras, h.Conditions)
}

func (q *QueueState) tidy() error {
	for _, n := range []*int64{
		&q.Facts, &q.OldestUs, &q.Clips, &q.ClipBytes, &q.FactsMinute, &q.OldestClipUs, &q.ClipRate, &q.Stills, &q.UpRate, &q.LineRate, &q.Cap,
	} {
		*n = max(*n, 0)
	}
	q.CapText = CleanText(q.CapText, MaxTextRunes)
	if len(q.Losses) > MaxLosses {
		return fmt.Errorf("the heartbeat foretells the loss of %d ranges", len(q.Losses))
	}
	for i := range q.Losses {
		l := &q.Losses[i]
		if _, err := id.Parse[id.Camera](string(l.Camera)); err != nil {
			return err
		}
		for _, n := range []*int64{&l.StartUs, &l.EndUs, &l.DueUs, &l.More, &l.Bytes, &l.SubBytes} {
			*n = max(*n, 0)
		}
	}
	return nil
}

func tidyState(cameras []CameraState, conditions []ConditionFact) error {
	if len(cameras) > MaxCameras || len(conditions) > maxConditions {
		return fmt.Errorf("%d cameras and %d conditions are too many", len(cameras), len(conditions))
	}
	for i := range cameras {
		if err := cameras[i].tidy(); err != nil {
			return err
		}
	}
	for i := range conditions {
		c := &conditions[i]
		if c.Camera != "" {
			if _, err := id.Parse[id.Camera](string(c.Camera)); err != nil {
				return err
			}
		}
		c.Name, c.Kind = CleanText(c.Name, MaxNameRunes), CleanText(c.Kind, MaxNameRunes)
		c.Text = CleanText(c.Text, MaxTextRunes)
		c.State, c.Reason = c.State.tidy(), c.Reason.tidy()
	}
	return nil
}

func (c *CameraState) tidy() error {
	if _, err := id.Parse[id.Camera](string(c.Camera)); err != nil {
		return err
	}
	if len(c.Streams) > maxStreams {
		return fmt.Errorf("camera %s has %d streams", c.Camera, len(c.Streams))
	}
	c.Name, c.Channel = CleanText(c.Name, MaxNameRunes), CleanText(c.Channel, MaxNameRunes)
	if c.Retention != nil {
		c.Retention.tidy()
	}
	for i := range c.Streams {
		s := &c.Streams[i]
		if !s.Kind.Valid() {
			return fmt.Errorf("camera %s has a stream %q", c.Camera, s.Kind)
		}
		s.Codec, s.Audio = CleanText(s.Codec, MaxNameRunes), CleanText(s.Audio, MaxNameRunes)
		s.Text = CleanText(s.Text, MaxTextRunes)
		s.State, s.Reason = s.State.tidy(), s.Reason.tidy()
	}
	return nil
}

// tidy maps a state of a later version to unknown.
func (s State) tidy() State {
	if s == OK || s == Failing {
		return s
	}
	return StateUnknown
}

// tidy maps a reason of a later version to unknown.
func (r Reason) tidy() Reason {
	if r == "" {
		return r
	}
	for _, known := range Reasons() {
		if r == known {
			return r
		}
	}
	return Unknown
}

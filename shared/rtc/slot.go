package rtc

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// Slot is the place of one camera in a viewer's connection. Who sends on it is in turn; its timeline goes on over all.
type Slot struct {
	Video   *Track
	Audio   *Track      // nil where the offer has no place for sound
	Takes   []mp4.Codec // of video, by the offer
	Control Control
	Lost    chan struct{} // the viewer can't decode what it has

	turn chan struct{} // holds one element while somebody sends

	// Only who sends touches these.
	start  time.Time // zero of the timeline
	lastUs int64     // the latest time that was sent
}

// MaxSlots bounds the cameras of one connection.
const MaxSlots = 16

// slotsOf makes a slot for each place for video in an offer, with the place for sound that belongs to it: the first to the
// first, and so on.
func slotsOf(offer string, log *slog.Logger) ([]*Slot, error) {
	sdp, err := (&webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}).Unmarshal()
	if err != nil {
		return nil, unreadableOffer(err)
	}
	var slots []*Slot
	sound := 0
	for _, m := range sdp.MediaDescriptions {
		switch m.MediaName.Media {
		case "audio":
			sound++
		case "video":
			s := &Slot{Lost: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
			for _, a := range m.Attributes {
				_, format, _ := strings.Cut(a.Value, " ")
				name, _, _ := strings.Cut(format, "/")
				if codec, ok := CodecOf("video/" + name); ok && a.Key == "rtpmap" && !slices.Contains(s.Takes, codec) {
					s.Takes = append(s.Takes, codec)
				}
			}
			slots = append(slots, s)
		}
	}
	switch n := len(slots); {
	case n == 0:
		return nil, wire.Fail(wire.FailedCodec, "The browser's offer has no place for video.")
	case n > MaxSlots || sound > MaxSlots:
		return nil, wire.Fail(wire.FailedRefused, "The browser's offer has places for %d cameras: %d are the most for one connection.", max(n, sound), MaxSlots)
	}
	for i, s := range slots {
		name := strconv.Itoa(i)
		s.Control.prepare(log)
		s.Video = newTrack(webrtc.RTPCodecTypeVideo, "video-"+name, "camera-"+name)
		if i < sound {
			s.Audio = newTrack(webrtc.RTPCodecTypeAudio, "audio-"+name, "camera-"+name)
		}
	}
	return slots, nil
}

// Enter waits until whoever sent on the slot before has ended, and takes it over: what the viewer said and missed until then
// was about something else. leave gives it back. The error is ctx's.
func (s *Slot) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.start.IsZero() {
		s.start = time.Now()
	}
	for {
		select {
		case <-s.Control.Ops:
		case <-s.Lost:
		default:
			return func() { <-s.turn }, nil
		}
	}
}

// LastUs is the latest time that was sent on the slot's timeline, microseconds.
func (s *Slot) LastUs() int64 { return s.lastUs }

// NowUs is the time on the slot's timeline of a frame that is sent now, microseconds: later than all that were sent. Frames of a
// burst have it too. A browser that sees time stand still and then jump, on a slot that was empty for a while, takes the jump
// for the line's delay, and shows what follows so much later.
func (s *Slot) NowUs() int64 { return max(s.lastUs+1000, time.Since(s.start).Microseconds()) }

// Sent notes that a frame was sent, at atUs on the slot's timeline.
func (s *Slot) Sent(atUs int64) { s.lastUs = max(s.lastUs, atUs) }

package viewer

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/samplebuilder"

	"holdfast/testenv/fakecam"
)

// lateness is how many packets a missing one is waited for: the burst of a start is shorter.
const lateness = 2048

// tally counts the pictures that a decoder could show.
type tally struct {
	mu        sync.Mutex
	pictures  int // in a row, from a key frame on
	keyFrames int // among them
	last      uint64
	first, at time.Time
	notes     []string
	failed    error
	span      *span         // what came since begin; nil before
	more      chan struct{} // closed and replaced when something changed
}

// span is what came in a time that many viewers are compared over.
type span struct {
	pictures, missing int
	last              uint64
	from, at          time.Time
	pause             time.Duration
}

func (s *span) picture(number uint64, now time.Time) {
	if s.pictures > 0 && number > s.last {
		s.missing += int(number - s.last - 1)
	}
	s.pictures++
	s.last, s.pause, s.at = number, max(s.pause, now.Sub(s.at)), now
}

// begin counts from now on for sum.
func (t *tally) begin() { t.change(func() { t.span = &span{from: time.Now(), at: time.Now()} }) }

func (t *tally) sum(s *Seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.span != nil {
		s.Pictures, s.Missing, s.Pause = t.span.pictures, t.span.missing, max(t.span.pause, time.Since(t.span.at))
		s.From, s.To = t.span.from, time.Now()
	}
}

// told returns a channel that is closed once a note with a text has come.
func (t *tally) told(text string) <-chan struct{} {
	out := make(chan struct{})
	go func() {
		for {
			t.mu.Lock()
			come, more := slices.ContainsFunc(t.notes, func(n string) bool { return strings.Contains(n, text) }), t.more
			t.mu.Unlock()
			if come {
				close(out)
				return
			}
			<-more
		}
	}()
	return out
}

func newTally() *tally { return &tally{more: make(chan struct{})} }

func (t *tally) change(do func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	do()
	close(t.more)
	t.more = make(chan struct{})
}

func (t *tally) note(text string) { t.change(func() { t.notes = append(t.notes, text) }) }

func (t *tally) fail(err error) { t.change(func() { t.failed = err }) }

// read takes a track's packets until the connection ends.
func (t *tally) read(track *webrtc.TrackRemote) {
	if track.Codec().MimeType != webrtc.MimeTypeH264 {
		t.fail(fmt.Errorf("the video that comes is %s, and H.264 was asked for", track.Codec().MimeType))
		return
	}
	build := samplebuilder.New(lateness, &codecs.H264Packet{}, track.Codec().ClockRate)
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return // the connection was closed
		}
		build.Push(p)
		for sample := build.Pop(); sample != nil; sample = build.Pop() {
			t.picture(nals(sample.Data))
		}
	}
}

// picture counts an access unit. A row begins with a key frame that has its parameter sets with it, and goes on as long as
// the camera's own numbering has no hole (ITU-T H.264 section 7.4.1.2).
func (t *tally) picture(units [][]byte) {
	kinds := map[byte]bool{}
	for _, u := range units {
		kinds[u[0]&0x1f] = true
	}
	const slice, idr, sps, pps = 1, 5, 7, 8
	whole := kinds[idr] && kinds[sps] && kinds[pps]
	stamp, ok := fakecam.FindStamp(units, false)
	t.change(func() {
		switch {
		case !ok:
			t.failed = fmt.Errorf("a picture without the camera's stamp came, of %d units", len(units))
		case t.pictures > 0 && stamp.Frame == t.last+1 && (kinds[slice] || whole):
			t.pictures++
		case whole:
			t.pictures, t.keyFrames, t.first = 1, 0, time.Now()
		default:
			t.pictures = 0
		}
		if t.pictures > 0 && whole {
			t.keyFrames++
		}
		t.last, t.at = stamp.Frame, time.Now()
		if t.span != nil && ok {
			t.span.picture(stamp.Frame, t.at)
		}
	})
}

// nals takes an access unit in byte stream format apart (ITU-T H.264 annex B).
func nals(data []byte) (out [][]byte) {
	for _, u := range bytes.Split(data, []byte{0, 0, 1}) {
		if u = bytes.TrimRight(u, "\x00"); len(u) > 0 {
			out = append(out, u)
		}
	}
	return out
}

// until waits for so many pictures.
func (t *tally) until(ctx context.Context, pictures int) error {
	for {
		t.mu.Lock()
		have, failed, more := t.pictures, t.failed, t.more
		t.mu.Unlock()
		switch {
		case failed != nil:
			return failed
		case have >= pictures:
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%d pictures came in time, want %d", have, pictures)
		}
	}
}

func (t *tally) report(s *Sight, click time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Pictures, s.KeyFrames, s.Notes = t.pictures, t.keyFrames, append([]string{}, t.notes...)
	if !t.first.IsZero() {
		s.First, s.All = t.first.Sub(click), t.at.Sub(click)
	}
}

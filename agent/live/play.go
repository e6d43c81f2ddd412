package live

import (
	"context"
	"errors"
	"time"

	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// gapUs is the shortest jump that a viewer is told of.
const gapUs = 2_000_000

// edgePause is how often a player at the end of what is recorded looks for more.
const edgePause = 300 * time.Millisecond

// play is the state of one stay in recorded video.
type play struct {
	s      *session
	p      *player
	sparse sparse
	tally  tally
	rate   float64
	paused bool
	fresh  bool // the next picture is shown at once, and the ones after it at their distance from it

	// The frame at wall time fromUs is due at real time base and at outUs on the session's timeline.
	base    time.Time
	fromUs  int64
	outUs   int64
	lastUs  int64  // wall time of the frame sent last
	seenUs  int64  // wall time of the frame read last
	segment uint64 // and where it was from
	bytes   int    // of a burst since its last pause
	lastSay time.Time
	said    string // what was last said about the live edge
}

// play shows recorded video from atUs on until the viewer asks for live or the session ends.
func (s *session) play(ctx context.Context, atUs int64) (rtc.Op, error) {
	w := &play{s: s, rate: 1, p: newPlayer(s.room.footage, s.pick.stream, s.log)}
	defer func() {
		w.p.close()
		s.view.change(func() { s.view.times, s.view.noSub = 1, false })
	}()
	next := rtc.Op{Type: "seek", AtUs: atUs}
	for {
		var err error
		switch next.Type {
		case "live":
			return next, nil
		case "seek":
			err = w.seek(ctx, next.AtUs)
		}
		if err == nil {
			next, err = w.step(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return rtc.Op{}, ctx.Err()
		case errors.Is(err, errChanged):
			return rtc.Op{}, err
		case err != nil:
			if next, err = s.stay(ctx, err); err != nil {
				return rtc.Op{}, err
			}
		}
	}
}

// step shows the next frame, or waits at the live edge. It returns the viewer's wish when that came first.
func (w *play) step(ctx context.Context) (rtc.Op, error) {
	f, err := w.p.next(ctx)
	switch {
	case errors.Is(err, errEnd):
		return w.atEdge(ctx)
	case err != nil:
		return rtc.Op{}, err
	}
	return w.show(ctx, f)
}

// stay tells the viewer what failed and waits for the next wish.
func (s *session) stay(ctx context.Context, cause error) (rtc.Op, error) {
	text := unreadable
	if f := (*wire.Failure)(nil); errors.As(cause, &f) {
		text = f.Text
	} else {
		s.log.Warn("play recording", "error", cause)
	}
	s.Control.Tell(rtc.Note{Type: "end", Text: text})
	for {
		select {
		case o := <-s.Control.Ops:
			if o.Type == "live" || o.Type == "seek" {
				return o, nil
			}
		case <-ctx.Done():
			return rtc.Op{}, ctx.Err()
		}
	}
}

const unreadable = "The recording can't be read at this moment. Try another moment, or look at the site's disk."

func (w *play) seek(ctx context.Context, atUs int64) error {
	if err := w.p.seek(ctx, atUs); err != nil {
		return err
	}
	w.fresh, w.lastUs, w.seenUs, w.segment, w.said, w.sparse = true, atUs, atUs, 0, "", sparse{}
	w.tally = tally{}
	w.s.mended = time.Now()
	w.s.tell()
	return nil
}

// show sends one frame when it is due, obeying the viewer meanwhile.
func (w *play) show(ctx context.Context, f shot) (rtc.Op, error) {
	picture := f.track.Codec.IsVideo()
	switch {
	case picture && !w.s.carries(w.p.params):
		text := "From here on the camera recorded in another way of coding. Open the view again from here."
		w.s.Control.Part(ctx, rtc.Note{Type: "end", AtUs: f.atUs, Text: text})
		return rtc.Op{}, errChanged
	case w.skips(f):
		w.segment, w.seenUs = w.p.seg.ID, max(w.seenUs, f.atUs)
		return rtc.Op{}, nil
	case f.late && picture:
		return rtc.Op{}, w.hurry(ctx, f)
	case f.late, !picture && (w.fresh || w.rate != 1):
		return rtc.Op{}, nil
	}
	if w.p.seg.ID != w.segment && f.atUs-w.seenUs > gapUs {
		text := w.s.room.footage.Gap(ctx, w.p.stream, w.seenUs+gapUs/2)
		w.s.Control.Tell(rtc.Note{Type: "gap", FromUs: w.seenUs, ToUs: f.atUs, Text: text})
		w.fresh = true
	}
	if w.fresh {
		w.fresh = false
		w.anchor(f.atUs)
	} else if o, err := w.await(ctx, f.atUs); err != nil || o.Type != "" {
		return o, err
	}
	w.segment, w.lastUs = w.p.seg.ID, max(w.lastUs, f.atUs)
	w.seenUs = w.lastUs
	if picture {
		w.say(f.atUs)
	}
	w.s.send(f, w.outUs+w.scaled(f.atUs))
	return rtc.Op{}, nil
}

// hurry sends a picture that is needed only to decode what comes after it.
func (w *play) hurry(ctx context.Context, f shot) error {
	w.s.send(f, w.s.burstUs())
	if w.bytes += f.bytes(); w.bytes < burstBytes {
		return nil
	}
	w.bytes = 0
	return sleep(ctx, burstPause)
}

// anchor makes wall time atUs due now, and the viewer's clock is set anew.
func (w *play) anchor(atUs int64) {
	w.base, w.fromUs, w.outUs = time.Now(), atUs, w.s.nowUs()
	w.lastSay = time.Time{}
}

// scaled is how long after the anchor wall time atUs is shown, microseconds.
func (w *play) scaled(atUs int64) int64 { return int64(float64(atUs-w.fromUs) / w.rate) }

// await waits until wall time atUs is due. It returns early with a wish to be elsewhere.
func (w *play) await(ctx context.Context, atUs int64) (rtc.Op, error) {
	for {
		due := w.base.Add(time.Duration(w.scaled(atUs)) * time.Microsecond)
		if !w.paused && w.s.toll.outside.Load() && time.Since(due) > lagMost {
			w.s.lagged() // it goes on slower, and nothing is left out
			w.anchor(atUs)
		}
		o, err := w.until(ctx, due)
		if err != nil || o.Type == "" || o.Type == "live" || o.Type == "seek" {
			return o, err
		}
	}
}

// until waits until due, or for a word of the viewer: a wish to be elsewhere, or one that moves due and has been
// obeyed here. While paused nothing is due.
func (w *play) until(ctx context.Context, due time.Time) (rtc.Op, error) {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for {
		expired := timer.C
		if w.paused {
			expired = nil
		}
		select {
		case <-ctx.Done():
			return rtc.Op{}, ctx.Err()
		case <-expired:
			return rtc.Op{}, nil
		case <-w.s.view.turned:
			if w.turn(ctx) {
				return rtc.Op{Type: "seek", AtUs: w.lastUs}, nil
			}
		case <-w.s.Lost:
			if w.s.mend() {
				return rtc.Op{Type: "seek", AtUs: w.lastUs}, nil
			}
		case o := <-w.s.Control.Ops:
			switch o.Type {
			case "live", "seek":
				return o, nil
			case "pause":
				w.paused = true
			case "play":
				w.paused = false
				w.anchor(w.lastUs)
				return o, nil
			case "rate":
				w.anchor(w.lastUs)
				w.rate = o.Rate
				w.s.view.change(func() { w.s.view.times = o.Rate })
				return o, nil
			}
		}
	}
}

func (w *play) say(atUs int64) {
	if now := time.Now(); now.Sub(w.lastSay) >= 200*time.Millisecond {
		w.lastSay = now
		w.s.Control.Tell(rtc.Note{Type: "position", AtUs: atUs, Rate: w.rate})
	}
}

// atEdge waits for more video to become durable, which takes about a second. Whoever was faster than the clock is
// so no longer.
func (w *play) atEdge(ctx context.Context) (rtc.Op, error) {
	if hub := w.s.room.footage.Hub(w.p.stream); hub != nil {
		text := ""
		if _, brk := hub.State(); brk != nil && brk.Reason != wire.Connecting {
			text = breakInWords(brk)
		}
		if text != w.said {
			w.said = text
			w.s.Control.Tell(rtc.Note{Type: "state", Text: text})
		}
	}
	w.rate, w.fresh = min(w.rate, 1), true
	w.s.view.change(func() { w.s.view.times = w.rate })
	o, err := w.until(ctx, time.Now().Add(edgePause))
	if o.Type != "live" && o.Type != "seek" {
		o = rtc.Op{}
	}
	return o, err
}

package live

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"holdfast/shared/backoff"
	"holdfast/shared/id"
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
	find   *finder
	sparse sparse
	tally  tally
	rate   float64 // below 0: backwards
	paused bool
	fresh  bool     // the next picture is shown at once, and the ones after it at their distance from it
	later  []rtc.Op // what the viewer said during a burst and is still to be done

	// The frame at wall time fromUs is due at real time base and at outUs on the session's timeline.
	base     time.Time
	fromUs   int64
	outUs    int64
	nextUs   int64  // wall time of the picture that is waited for; lastUs and before: of none
	asked    int64  // the moment that the viewer wished last
	shown    place  // the picture sent last
	joined   bool   // the player stands right behind it, and the viewer has all that what follows is decoded from
	lastUs   int64  // wall time of the picture sent last
	seenUs   int64  // wall time of the frame read last
	segment  uint64 // and where it was from
	bytes    int    // of a burst since its last pause
	lastSay  time.Time
	scrubbed time.Time // when a moment was last looked up
	pads     int       // packets of padding since the picture sent last
	said     string    // what was last said about the live edge
}

// play shows recorded video, from the moment on that the viewer wishes first, until it asks for live or the session ends.
func (s *session) play(ctx context.Context, next rtc.Op) (rtc.Op, error) {
	w := &play{s: s, rate: 1}
	w.from(s.pick.stream)
	defer func() {
		w.p.close()
		s.view.change(func() { s.view.times, s.view.apart, s.view.noSub = 1, 0, false })
	}()
	for {
		var err error
		switch next.Type {
		case "live":
			return next, nil
		case "seek":
			if !next.Anew {
				w.asked = next.AtUs
			}
			err = w.seek(ctx, next.AtUs)
		case "scrub":
			err = w.scrub(ctx, next.AtUs)
		case "step":
			err = w.nudge(ctx, next.Count)
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
			if next, err = w.stay(ctx, err); err != nil {
				return rtc.Op{}, err
			}
		}
	}
}

// from makes a stream the one that is played.
func (w *play) from(stream id.Stream) {
	if w.p != nil {
		w.p.close()
	}
	w.p, w.find = newPlayer(w.s.room.footage, stream, w.s.log), newFinder(w.s.room.footage, stream, w.s.log)
}

// step shows the next frame, or waits: for the viewer's word while paused, for more video at the live edge. It returns
// the viewer's wish when that came first.
func (w *play) step(ctx context.Context) (rtc.Op, error) {
	switch {
	case w.paused && !w.fresh:
		return w.until(ctx, time.Time{})
	case w.rate < 0 && !w.fresh:
		return w.back(ctx)
	}
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
func (w *play) stay(ctx context.Context, cause error) (rtc.Op, error) {
	text := unreadable
	if f := (*wire.Failure)(nil); errors.As(cause, &f) {
		text = f.Text
	} else {
		w.s.log.Warn("play recording", "error", cause)
	}
	w.s.Control.Tell(rtc.Note{Type: "end", Text: text})
	for {
		o, ok := w.word()
		if !ok {
			select {
			case o = <-w.s.Control.Ops:
			case <-ctx.Done():
				return rtc.Op{}, ctx.Err()
			}
		}
		if o.Elsewhere() {
			return o, nil
		}
	}
}

const unreadable = "The recording can't be read at this moment. Try another moment, or look at the site's disk."

func (w *play) seek(ctx context.Context, atUs int64) error {
	if err := w.p.seek(ctx, atUs); err != nil {
		return err
	}
	w.fresh, w.lastUs, w.seenUs, w.segment, w.said = true, atUs, atUs, 0, ""
	w.shown = place{atUs: atUs}
	w.begin()
	return nil
}

// begin is where pictures come that do not follow those before.
func (w *play) begin() {
	w.sparse, w.tally, w.joined = sparse{}, tally{}, false
	w.s.mended = time.Now()
	w.s.tell()
}

// show sends one frame when it is due, obeying the viewer meanwhile.
func (w *play) show(ctx context.Context, f shot) (rtc.Op, error) {
	picture := f.track.Codec.IsVideo()
	switch {
	case picture && !w.s.carries(w.p.params):
		return rtc.Op{}, w.part(ctx, f.atUs)
	case w.skips(f):
		w.segment, w.seenUs = w.p.seg.ID, max(w.seenUs, f.atUs)
		w.joined = w.joined && !picture
		return rtc.Op{}, nil
	case f.late && picture:
		return w.hurry(ctx, f)
	case f.late, !picture && (w.fresh || w.rate != 1):
		return rtc.Op{}, nil
	}
	w.crossing(ctx, f)
	if w.fresh {
		w.fresh = false
		w.anchor(f.atUs)
	} else if o, err := w.await(ctx, f.atUs); err != nil || o.Type != "" {
		w.p.unread(f)
		return o, err
	}
	if picture {
		w.say(f.atUs, w.outUs+w.scaled(f.atUs))
		w.mark(f)
	}
	w.segment, w.seenUs = w.p.seg.ID, max(w.seenUs, f.atUs)
	w.s.send(f, w.outUs+w.scaled(f.atUs))
	return rtc.Op{}, nil
}

// part ends the session where the recording is coded in another way.
func (w *play) part(ctx context.Context, atUs int64) error {
	text := "From here on the camera recorded in another way of coding. Open the view again from here."
	w.s.Control.Part(ctx, rtc.Note{Type: "end", AtUs: atUs, Text: text})
	return errChanged
}

// crossing tells of a gap that lies before a frame which is shown next.
func (w *play) crossing(ctx context.Context, f shot) {
	if w.p.seg.ID != w.segment && f.atUs-w.seenUs > gapUs {
		w.leap(ctx, hole{w.seenUs, f.atUs})
	}
}

// leap tells of a gap that is skipped.
func (w *play) leap(ctx context.Context, h hole) {
	text := w.s.room.footage.Gap(ctx, w.p.stream, h.fromUs+gapUs/2)
	w.s.Control.Tell(rtc.Note{Type: "gap", FromUs: h.fromUs, ToUs: h.toUs, Text: text})
	w.fresh = true
}

// mark notes which picture is sent.
func (w *play) mark(f shot) {
	w.shown, w.lastUs, w.joined, w.pads = place{w.p.seg, f.atUs}, f.atUs, true, 0
}

// hurry sends a picture that is needed only to decode what comes after it. It returns the viewer's wish to be elsewhere
// when one has come.
func (w *play) hurry(ctx context.Context, f shot) (rtc.Op, error) {
	w.s.send(f, w.s.NowUs())
	if w.bytes += f.bytes(); w.bytes >= rtc.BurstBytes {
		w.bytes = 0
		if err := backoff.Sleep(ctx, rtc.BurstPause); err != nil {
			return rtc.Op{}, err
		}
	}
	return w.listen(), nil
}

// listen takes in what the viewer says during a burst, and returns a wish to be elsewhere.
func (w *play) listen() rtc.Op {
	for {
		select {
		case o := <-w.s.Control.Ops:
			w.later = rtc.Due(w.later, o)
			continue
		default:
		}
		break
	}
	if i := slices.IndexFunc(w.later, rtc.Op.Elsewhere); i >= 0 {
		o := w.later[i]
		w.later = slices.Delete(w.later, i, i+1)
		return o
	}
	return rtc.Op{}
}

// word returns what the viewer said during a burst, the first first.
func (w *play) word() (o rtc.Op, ok bool) {
	if len(w.later) > 0 {
		o, ok, w.later = w.later[0], true, w.later[1:]
	}
	return o, ok
}

// anchor makes wall time atUs due now, and the viewer's clock is set anew.
func (w *play) anchor(atUs int64) {
	w.base, w.fromUs, w.outUs = time.Now(), atUs, w.s.NowUs()
	w.lastSay = time.Time{}
}

// scaled is how long after the anchor wall time atUs is shown, microseconds.
func (w *play) scaled(atUs int64) int64 { return int64(float64(atUs-w.fromUs) / w.rate) }

// await waits until wall time atUs is due. It returns early with a wish that makes something else due.
func (w *play) await(ctx context.Context, atUs int64) (rtc.Op, error) {
	for {
		due := w.base.Add(time.Duration(w.scaled(atUs)) * time.Microsecond)
		if !w.paused && w.s.mayLag() && time.Since(due) > lagMost {
			w.s.lagged() // it goes on slower, and nothing is left out
			w.anchor(atUs)
		}
		w.nextUs = atUs
		o, err := w.until(ctx, due)
		w.nextUs = 0
		backwards := atUs < w.lastUs
		if err != nil || o.Type == "" || o.Elsewhere() || o.Type == "step" || (w.rate < 0) != backwards {
			return o, err
		}
	}
}

// While paused nothing comes that would show a viewer that the end of the last picture was lost on the way: so padding
// does, after 20, 80 and 320 ms.
const (
	padAfter = 20 * time.Millisecond
	padMost  = 3
)

// until waits until due, or for a word of the viewer: a wish to be elsewhere, or one that moves due and has been
// obeyed here. While paused nothing is due.
func (w *play) until(ctx context.Context, due time.Time) (rtc.Op, error) {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for {
		expired, pin, pad := timer.C, (<-chan time.Time)(nil), (<-chan time.Time)(nil)
		if w.paused {
			expired, pin = nil, time.After(pinFor/2)
		}
		if w.paused && w.pads < padMost {
			pad = time.After(padAfter << (2 * w.pads))
		}
		o, ok := w.word()
		if ok {
			if w.obey(o) {
				return o, nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return rtc.Op{}, ctx.Err()
		case <-expired:
			return rtc.Op{}, nil
		case <-pin:
			w.p.keep()
		case <-pad:
			w.pads++
			w.s.pad()
		case <-w.s.view.turned:
			if w.turn(ctx) {
				return rtc.Op{Type: "seek", AtUs: w.lastUs, Anew: true}, nil
			}
		case <-w.s.Lost:
			if (w.rate > 0 || w.paused) && w.s.mend() { // backwards the next key frame mends it
				return rtc.Op{Type: "seek", AtUs: w.lastUs, Anew: true}, nil
			}
		case o := <-w.s.Control.Ops:
			if w.obey(o) {
				return o, nil
			}
		}
	}
}

// obey does what a word wishes, and says whether what is due is another thing now; wishes to see another picture are left
// to the caller.
func (w *play) obey(o rtc.Op) bool {
	switch o.Type {
	case "pause":
		w.paused = true
		w.answer("", false)
		return false
	case "play":
		w.paused = false
		w.anchor(w.lastUs)
	case "rate":
		at := w.moment()
		switch {
		case w.rate < 0 && o.Rate > 0:
			at = w.lastUs // what follows the picture that is shown is next
		case w.rate > 0 && o.Rate < 0:
			at = turned(at, o.AtUs, w.rate, o.Rate)
		}
		w.anchor(at)
		w.pace(o.Rate)
	}
	return true
}

// pace sets how fast, and which way, the recording goes by.
func (w *play) pace(rate float64) {
	w.rate = rate
	w.s.view.change(func() { w.s.view.times, w.s.view.apart = math.Abs(rate), apart(rate) })
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
	w.pace(min(w.rate, 1))
	o, err := w.until(ctx, time.Now().Add(edgePause))
	w.fresh = w.fresh || !w.paused && w.rate > 0 // whoever turned there goes back
	if !o.Elsewhere() && o.Type != "step" {
		o = rtc.Op{}
	}
	return o, err
}

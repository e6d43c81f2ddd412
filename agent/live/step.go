package live

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"holdfast/shared/backoff"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
)

const (
	noNewer = "This is the newest picture that is recorded."
	noOlder = "This is the first picture that is recorded."
)

// halt pauses for pictures that come one by one.
func (w *play) halt() { w.paused, w.fresh = true, false }

// answer tells the viewer which picture was sent last, and whether a step led to it.
func (w *play) answer(text string, step bool) {
	n := rtc.Note{Type: "picture", AtUs: w.lastUs, Text: text, Step: step}
	if w.shown.seg.ID != 0 {
		n.RTP = w.s.pics.stamp
	}
	w.s.Control.Tell(n)
}

// nudge shows the picture that lies so many after the one sent last, or before it, and pauses.
func (w *play) nudge(ctx context.Context, count int) error {
	w.halt()
	var text string
	var err error
	if count < 0 {
		text, err = w.previous(ctx, -count)
	} else {
		text, err = w.following(ctx, count)
	}
	if err == nil {
		w.answer(text, true)
	}
	return err
}

// previous shows the picture that lies count before the one sent last: from its key frame on, in a burst.
func (w *play) previous(ctx context.Context, count int) (text string, err error) {
	at, crossed := w.shown, hole{}
	for range count {
		to, h, err := w.find.before(ctx, at, func(mark) bool { return true })
		if errors.Is(err, errBegin) {
			text = noOlder
			break
		}
		if err != nil {
			return "", err
		}
		if at = to; crossed == (hole{}) {
			crossed = h
		}
	}
	if at.atUs == w.shown.atUs {
		return text, nil
	}
	if crossed != (hole{}) {
		w.leap(ctx, crossed)
		w.fresh = false
	}
	return text, w.land(ctx, at)
}

// land shows the picture of a place, or the last one before it that can be read.
func (w *play) land(ctx context.Context, at place) error {
	if err := w.enter(ctx, at, at.atUs); err != nil {
		return err
	}
	for {
		f, err := w.picture(ctx)
		switch {
		case errors.Is(err, errEnd):
			return nil
		case err != nil:
			return err
		case f.atUs > at.atUs && w.joined:
			w.p.unread(f)
			return nil
		case !f.late:
			w.arrive(f)
			return nil
		}
		w.mark(f)
		if o, err := w.hurry(ctx, f); err != nil || o.Type != "" {
			return w.leave(o, err)
		}
	}
}

// following shows the picture that lies count after the one sent last.
func (w *play) following(ctx context.Context, count int) (text string, err error) {
	if !w.joined && w.shown.seg.ID != 0 {
		if err := w.enter(ctx, w.shown, w.shown.atUs+1); err != nil {
			return "", err
		}
	}
	for {
		f, err := w.picture(ctx)
		if errors.Is(err, errEnd) {
			return noNewer, nil
		}
		if err != nil {
			return "", err
		}
		if !f.late {
			w.crossing(ctx, f)
			w.fresh = false
			count--
		}
		if count == 0 {
			w.arrive(f)
			return "", nil
		}
		if !f.late {
			w.mark(f)
			w.segment, w.seenUs = w.p.seg.ID, f.atUs
		}
		w.joined = w.joined || f.atUs == w.shown.atUs
		if o, err := w.hurry(ctx, f); err != nil || o.Type != "" {
			return "", w.leave(o, err)
		}
	}
}

// scrubEvery is the least time between two moments that are looked up, so that a viewer who floods costs little.
const scrubEvery = 25 * time.Millisecond

// scrub shows the key frame at or before a moment, and pauses. Where nothing was recorded it shows no other moment's
// picture, and says why.
func (w *play) scrub(ctx context.Context, atUs int64) error {
	w.halt()
	if err := backoff.Sleep(ctx, scrubEvery-time.Since(w.scrubbed)); err != nil {
		return err
	}
	w.scrubbed = time.Now()
	key, _, err := w.find.before(ctx, place{atUs: atUs + 1}, func(m mark) bool { return m.key })
	switch {
	case errors.Is(err, errBegin), err == nil && key.seg.EndUs < atUs-gapUs:
		return w.miss(ctx, atUs)
	case err != nil:
		return err
	case key.seg.ID == w.shown.seg.ID && key.atUs == w.shown.atUs:
		w.answer("", false)
		return nil
	}
	if err := w.enter(ctx, key, key.atUs); err != nil {
		return err
	}
	f, err := w.picture(ctx)
	switch {
	case errors.Is(err, errEnd), err == nil && !f.key:
		return w.miss(ctx, atUs)
	case err != nil:
		return err
	}
	w.arrive(f)
	w.answer("", false)
	return nil
}

// miss tells that there is no picture of a moment.
func (w *play) miss(ctx context.Context, atUs int64) error {
	text := "There is no video at the site of this moment."
	if why := w.s.room.footage.Gap(ctx, w.p.stream, atUs); why != "" {
		text += " " + why
	}
	w.s.Control.Tell(rtc.Note{Type: "picture", AtUs: atUs, Text: text})
	return nil
}

// enter moves the player to a place. That its file is gone is no error: what comes after it is next.
func (w *play) enter(ctx context.Context, at place, lateUs int64) error {
	w.begin()
	err := w.p.enter(ctx, at, lateUs)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, mp4.ErrFormat) || errors.Is(err, errEnd) {
		w.s.log.Debug("pass over a segment", "error", err)
		return nil
	}
	return err
}

// picture returns the next picture, passing over sound.
func (w *play) picture(ctx context.Context) (shot, error) {
	for {
		f, err := w.p.next(ctx)
		switch {
		case err != nil:
			return shot{}, err
		case !f.track.Codec.IsVideo():
			continue
		case !w.s.carries(w.p.params):
			return shot{}, w.part(ctx, f.atUs)
		}
		return f, nil
	}
}

// arrive shows a picture at once.
func (w *play) arrive(f shot) {
	w.mark(f)
	w.segment, w.seenUs = w.p.seg.ID, f.atUs
	w.anchor(f.atUs)
	w.s.send(f, w.outUs)
}

// leave breaks a burst off for a wish to be elsewhere, which is next.
func (w *play) leave(o rtc.Op, err error) error {
	if err == nil {
		w.later = append([]rtc.Op{o}, w.later...)
	}
	return err
}

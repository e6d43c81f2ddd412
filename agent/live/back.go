package live

import (
	"context"
	"errors"
	"time"

	"holdfast/shared/rtc"
)

// backEvery is the least time between two pictures of backward playback.
const backEvery = 100 * time.Millisecond

// apart is how far apart in the recording the pictures are where a rate shows key frames alone; 0 where it shows all.
func apart(rate float64) time.Duration {
	switch {
	case rate < 0:
		return time.Duration(-rate * float64(backEvery))
	case rate > rtc.AllFrames*rtc.Slack:
		return keysEvery
	default:
		return 0
	}
}

// back shows the key frame before the picture sent last when it is due; at the beginning of what is recorded it pauses.
func (w *play) back(ctx context.Context) (rtc.Op, error) {
	key, crossed, err := w.earlier(ctx)
	if errors.Is(err, errBegin) {
		w.halt()
		w.pace(1)
		w.s.Control.Tell(rtc.Note{Type: "stop", AtUs: w.lastUs, Text: "This is the beginning of what is recorded."})
		return rtc.Op{}, nil
	}
	if err != nil {
		return rtc.Op{}, err
	}
	if crossed != (hole{}) {
		w.leap(ctx, crossed)
		w.fresh = false
		w.anchor(key.atUs)
	} else if o, err := w.await(ctx, key.atUs); err != nil || o.Type != "" {
		return o, err
	}
	outUs := w.outUs + max(0, w.scaled(key.atUs)) // the first of all may be overdue
	if err := w.enter(ctx, key, key.atUs); err != nil {
		return rtc.Op{}, err
	}
	f, err := w.picture(ctx)
	switch {
	case errors.Is(err, errEnd), err == nil && f.atUs != key.atUs: // it is gone: the one before is next
		w.shown, w.lastUs = key, key.atUs
		return rtc.Op{}, nil
	case err != nil:
		return rtc.Op{}, err
	}
	w.say(f.atUs, outUs)
	w.mark(f)
	w.segment, w.seenUs = w.p.seg.ID, f.atUs
	w.s.send(f, outUs)
	return rtc.Op{}, nil
}

// earlier finds the key frame that backward playback shows next: as far away as the rate or the line wants, but the first
// of all is never left out. What was due before the anchor is for no one: where playback turned it lies behind it.
func (w *play) earlier(ctx context.Context) (place, hole, error) {
	least := apart(w.rate)
	switch w.s.view.now() {
	case stills:
		least = max(least, stillEvery)
	case keys:
		least = max(least, keysEvery)
	}
	mostUs := min(w.shown.atUs-(least-least/10).Microseconds(), w.fromUs) // a camera's clockwork is not exact
	key, crossed, err := w.find.before(ctx, w.shown, func(m mark) bool { return m.key && m.atUs <= mostUs })
	if errors.Is(err, errBegin) {
		return w.first(ctx)
	}
	return key, crossed, err
}

// first finds the first key frame of all before the picture sent last, where there are few.
func (w *play) first(ctx context.Context) (first place, crossed hole, err error) {
	for at := w.shown; ; at = first {
		key, h, err := w.find.before(ctx, at, func(m mark) bool { return m.key })
		switch {
		case errors.Is(err, errBegin) && at != w.shown:
			return first, crossed, nil
		case err != nil:
			return place{}, hole{}, err
		case crossed == (hole{}):
			crossed = h
		}
		first = key
	}
}

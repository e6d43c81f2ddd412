package live

import (
	"context"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// sparse leaves pictures out where a viewer is on a step of single ones.
type sparse struct {
	shownUs int64 // media time of the last picture that was shown on such a step; 0: none
	torn    bool  // pictures were left out: the next one is a key frame
}

// skips says whether a frame at mediaUs is left out.
func (s *sparse) skips(now step, f *shot, mediaUs int64) bool {
	picture := f.track.Codec.IsVideo()
	switch {
	case now < keys && !s.torn, now < keys && f.key:
		*s = sparse{}
		return false
	case now < keys:
		return picture
	case !f.key:
		s.torn = s.torn || picture
		return true
	}
	least := keysEvery
	if now == stills {
		least = stillEvery
	}
	// A camera's clockwork is not exact; and where another run's timeline begins there is no distance.
	if s.shownUs != 0 && mediaUs > s.shownUs && mediaUs-s.shownUs < (least-keysEvery/10).Microseconds() {
		s.torn = true
		return true
	}
	s.shownUs, s.torn = mediaUs, true
	return false
}

// crossFor is how long another stream has for its first key frame.
const crossFor = 15 * time.Second

// turn follows the viewer's step: it tells of it, and makes for the stream that belongs to it.
func (f *follow) turn() {
	f.s.tell()
	to := f.s.stream()
	if f.next != nil {
		f.next.Close()
		f.next, f.until = nil, nil
	}
	hub := f.s.room.footage.Hub(to)
	if to == f.stream || hub == nil {
		return
	}
	f.next, f.to, f.until = hub.Reader(limit()), to, time.After(crossFor)
}

// cross goes over to the other stream at its key frame, if the negotiated tracks can carry it.
func (f *follow) cross(ctx context.Context) error {
	for {
		it, ok := f.next.Try()
		switch {
		case !ok:
			return nil
		case it.Break != nil && it.Break.Reason != wire.Connecting && it.Break.Reason != wire.SlowDisk,
			it.Break == nil && !f.s.carries(it.Frame.Params):
			f.s.withoutSub()
			f.turn()
			return nil
		case it.Break != nil || !it.Frame.Key || it.Frame.Track != 0:
			continue
		}
		f.reader.Close()
		f.reader, f.stream = f.next, f.to
		f.next, f.until, f.tally, f.sparse = nil, nil, tally{}, sparse{}
		f.s.tell()
		if err := f.item(ctx, media.Item{Frame: it.Frame}); err != nil {
			return err
		}
		return f.drain(ctx)
	}
}

// close lets go of the hubs.
func (f *follow) close() {
	f.reader.Close()
	if f.next != nil {
		f.next.Close()
	}
}

// tell says to the viewer what it gets, when that is news.
func (s *session) tell() { s.say(s.said(s.view.now())) }

// say says why the viewer gets less, when that is news.
func (s *session) say(text string) {
	if text != s.told {
		s.told = text
		s.Control.Tell(rtc.Note{Type: "note", Text: text, Every: s.apart(s.view.now()).Microseconds()})
	}
}

// keysMost is how far apart key frames are taken to be at most, where nobody has measured it yet.
const keysMost = 10 * time.Second

// apart is how far apart pictures are at most on a step; 0: none is left out.
func (s *session) apart(now step) time.Duration {
	if now < keys {
		return 0
	}
	group := keysMost
	if c, known := s.room.costs.of(s.stream()); known {
		group = time.Duration(c.every * float64(time.Second))
	}
	if now == keys {
		return max(keysEvery, group)
	}
	return stillEvery + group // the first key frame after the pause
}

// turn is follow's for recorded video. It says whether to go over to another stream.
func (w *play) turn(ctx context.Context) bool {
	to := w.s.stream()
	if to.Kind == id.Sub && to != w.s.pick.stream {
		const around = int64(time.Second / time.Microsecond)
		segs, err := w.s.room.footage.Segments(ctx, to, w.lastUs-around, w.lastUs+around)
		if err != nil || len(segs) == 0 {
			w.s.withoutSub() // it is not kept: single pictures are next
			return false
		}
	}
	w.s.tell()
	if to == w.p.stream {
		return false
	}
	w.from(to)
	return true
}

// skips counts a frame and says whether it is left out.
func (w *play) skips(f shot) bool {
	if c, ok := w.tally.add(time.UnixMicro(f.atUs), f.bytes(), f.key); ok {
		w.s.room.costs.set(w.p.stream, c)
	}
	now := w.s.view.now()
	if apart(w.rate) > 0 {
		now = max(now, keys)
	}
	return w.sparse.skips(now, &f, f.atUs)
}

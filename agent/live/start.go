package live

import (
	"context"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
)

// catchUp sends the newest group of pictures in a burst, up to this moment.
func (f *follow) catchUp(ctx context.Context) error {
	frames, brk := f.backlog()
	if brk != nil {
		f.s.Control.Tell(rtc.Note{Type: "state", Text: breakInWords(brk)})
	}
	f.burst, f.began = true, time.Now()
	if f.s.toll.outside.Load() {
		f.rates = f.s.room.rates()
		f.line, f.all = f.s.room.others(f.s, f.rates)
	}
	if len(frames) == 0 {
		f.await()
	}
	if err := f.rush(ctx, frames); err != nil {
		return err
	}
	err := f.drain(ctx) // what came meanwhile
	if f.tooLong() {
		f.await()
	}
	f.burst, f.outUs = false, f.s.NowUs()
	return err
}

// rush sends a group of pictures; or, where that does not catch up with life in time, the small stream's. Without one the key
// frame is all, and the next one goes on.
func (f *follow) rush(ctx context.Context, frames []media.Frame) error {
	for i := 0; i < len(frames); i++ {
		if f.tooLong() || f.dear(frames[i:]) {
			if small := f.small(); small != nil {
				frames, i = small, 0
			} else if i > 0 {
				f.await()
				return nil
			}
		}
		if err := f.item(ctx, media.Item{Frame: frames[i]}); err != nil {
			return err
		}
		if i == 0 {
			if err := backoff.Sleep(ctx, rtc.FirstAlone); err != nil {
				return err
			}
		}
	}
	return nil
}

// tooLong says whether a burst does not catch up with life. The next key frame goes on.
func (f *follow) tooLong() bool {
	return f.burst && f.s.mayLag() && time.Since(f.began) > lagMost
}

// dear says whether what is left of a burst takes too long on the viewer's line, as far as that is known: longer than until the
// next key frame.
func (f *follow) dear(left []media.Frame) bool {
	if !f.s.toll.outside.Load() || f.s.view.now() >= keys {
		return false
	}
	if rate, at := f.s.peer.Arrivals.Carries(); at.After(f.began) {
		f.s.peer.path.squeeze(rate)
	}
	took := f.takes(f.stream, left)
	if took <= rtc.BurstPause {
		return false
	}
	if left[0].Key && left[0].Track == 0 {
		f.keyUs = left[0].MonoUs
	}
	c, known := f.s.room.costs.of(f.stream)
	group := time.Duration(c.every * float64(time.Second))
	came := time.Duration(left[len(left)-1].MonoUs-f.keyUs) * time.Microsecond
	return took > rtc.CatchMost || known && took > group-came
}

// takes is how long it takes to catch up with frames that have come of a stream, while more of it comes.
func (f *follow) takes(stream id.Stream, frames []media.Frame) time.Duration {
	bytes := 0
	for i := range frames {
		if frames[i].Track == 0 {
			bytes += frames[i].Bytes
		}
	}
	rate := f.s.room.spare(f.s, f.line, f.all) - f.s.room.costOf(stream, f.rates).all
	if rate*time.Hour.Seconds() < rtc.OnWire*float64(bytes) {
		return time.Hour
	}
	return time.Duration(rtc.OnWire * float64(bytes) / rate * float64(time.Second))
}

// small goes over to the small stream until the next key frame of the viewer's own, and returns what is at hand of it; nil where
// that would be of no help.
func (f *follow) small() []media.Frame {
	to := f.s.standIn()
	hub := f.s.room.footage.Hub(to)
	if to == f.stream || hub == nil {
		return nil
	}
	if p, brk := hub.State(); brk != nil || !f.s.carries(p) {
		return nil // it would have to be fetched
	}
	was := *f
	f.reader, f.stream = hub.Reader(limit()), to
	frames, _ := f.backlog()
	if len(frames) == 0 || f.takes(to, frames) > rtc.CatchMost {
		f.reader.Close()
		f.reader, f.stream = was.reader, was.stream
		return nil
	}
	f.next, f.to, f.until = was.reader, was.stream, nil
	for _, more := f.next.Try(); more; _, more = f.next.Try() { // what is there was too much
	}
	f.tally, f.sparse, f.began = tally{}, sparse{}, time.Now()
	f.s.room.askKey(f.to)
	f.s.say("You see the small stream up to the next key frame of the large one: the line has no room for all that came before.")
	return frames
}

// hurry sends a frame of a burst.
func (f *follow) hurry(ctx context.Context, sh shot) error {
	f.s.send(sh, f.s.NowUs())
	f.edgeUs = sh.mediaUs
	if f.bytes += sh.bytes(); f.bytes < rtc.BurstBytes {
		return nil
	}
	f.bytes = 0
	return backoff.Sleep(ctx, rtc.BurstPause)
}

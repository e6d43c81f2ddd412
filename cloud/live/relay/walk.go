package relay

import (
	"context"
	"time"

	"github.com/pion/rtp"

	"holdfast/shared/backoff"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
)

// walk is the state of one stay at a stream.
type walk struct {
	course
	leg    *leg
	begun  bool      // the first frame of the burst is sent
	bytes  int       // of the burst since the last pause
	began  time.Time // with the burst
	mended time.Time
	sound  struct {
		some    bool
		in, out uint32
	}
}

// follow shows the pull until the step asks for another one.
func (l *leg) follow(ctx context.Context) {
	w := &walk{course: course{showing: &l.showing, tell: l.tell}, leg: l, mended: time.Now()}
	if !l.pull.join(l) {
		l.lost()
		return
	}
	defer l.pull.quitting(l)
	w.enter()
	var batch []piece
	for {
		var lost bool
		batch, w.at, lost = l.pull.next(w.at, batch[:0])
		if lost {
			w.tear()
		}
		for i := range batch {
			if err := w.take(ctx, &batch[i]); err != nil {
				return
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-l.more:
		case <-l.turned:
			if w.turns() {
				return
			}
		case <-l.slot.Lost:
			if time.Since(w.mended) > mendEvery && l.step() < keys {
				w.mended = time.Now()
				w.enter()
			}
		case o := <-l.slot.Control.Ops:
			if o.Type == "seek" {
				l.tell(rtc.Note{Type: "note", Text: "Recordings are played over a connection to the site itself."})
			}
		}
	}
}

// enter begins at the newest key frame, or waits for one.
func (w *walk) enter() {
	w.course.enter()
	w.begun, w.bytes, w.began = false, 0, time.Now()
}

// take sends a piece, or leaves it out.
func (w *walk) take(ctx context.Context, p *piece) error {
	if !p.codec.IsVideo() {
		w.hear(p)
		return nil
	}
	if (p.torn || p.fresh) && w.some { // what it begins with has nothing before it
		w.tear()
	}
	first := !w.some || p.stamp != w.stamp
	if first {
		if w.burst && w.begun && w.dear(p) {
			w.less()
		}
		w.skips = w.leaves(p)
		if !w.skips {
			w.begin(p)
		}
		w.some, w.stamp = true, p.stamp
	}
	switch {
	case w.skips:
		return nil
	case w.burst:
		return w.hurry(ctx, p, first)
	}
	w.send(p, w.out+p.stamp-w.in)
	return nil
}

// begin prepares for the frame that begins with a piece and is sent: when it is the first one, or the first one that is
// not late, its time on the slot's timeline is now.
func (w *walk) begin(p *piece) {
	caught := w.burst && time.Since(p.came) < fresh
	switch {
	case caught && w.some:
		w.anchor(true, w.stamp, ticks(w.leg.slot.NowUs()))
	case caught, w.wait && !w.burst:
		w.anchor(true, p.stamp, ticks(w.leg.slot.NowUs()))
	}
	w.wait, w.burst = false, w.burst && !caught
}

// hurry sends a piece of a burst.
func (w *walk) hurry(ctx context.Context, p *piece, first bool) error {
	if first {
		w.leg.slot.Sent(w.leg.slot.NowUs())
	}
	if err := w.leg.viewer.Arrivals.Await(ctx, len(p.payload)); err != nil {
		return err
	}
	w.send(p, ticks(w.leg.slot.LastUs()))
	if !w.begun && p.end {
		w.begun = true
		return backoff.Sleep(ctx, rtc.FirstAlone)
	}
	if w.bytes += len(p.payload); w.bytes < rtc.BurstBytes {
		return nil
	}
	w.bytes = 0
	return backoff.Sleep(ctx, rtc.BurstPause)
}

// ticks turns microseconds into RTP time of a picture, which wraps.
func ticks(us int64) uint32 { return uint32(us * videoClock / 1_000_000) }

// hear sends a piece of sound, at the live edge.
func (w *walk) hear(p *piece) {
	to := w.leg.slot.Audio
	if to == nil || w.view.Silent || w.wait || w.burst || w.step() >= keys {
		w.sound.some = false
		return
	}
	select {
	case <-to.Bound():
	default:
		return
	}
	if !to.Takes(p.codec) {
		return
	}
	clock := int64(8000) // RFC 3551
	if p.codec == mp4.Opus {
		clock = 48_000 // RFC 7587
	}
	if !w.sound.some || p.fresh {
		w.sound.some, w.sound.in = true, p.stamp
		w.sound.out = uint32(w.leg.slot.NowUs() * clock / 1_000_000)
	}
	w.write(to, p, w.sound.out+p.stamp-w.sound.in)
}

// send sends a piece of a picture.
func (w *walk) send(p *piece, stamp uint32) {
	if !w.leg.slot.Video.Takes(p.codec) || p.later != 0 {
		w.part("The camera changed its way of coding. Open the view again.")
		return
	}
	lastUs := w.leg.slot.LastUs()
	w.leg.slot.Sent(lastUs + int64(int32(stamp-ticks(lastUs)))*1_000_000/videoClock)
	w.write(w.leg.slot.Video, p, stamp)
}

func (w *walk) write(to *rtc.Track, p *piece, stamp uint32) {
	out := &rtp.Packet{Header: rtp.Header{Version: 2, Marker: p.end, Timestamp: stamp}, Payload: p.payload}
	if err := to.Write(p.codec, out); err != nil {
		w.leg.viewer.log.Debug("send packet", "error", err)
	}
}

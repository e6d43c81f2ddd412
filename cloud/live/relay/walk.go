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
	*leg
	at     uint64 // number of the next piece
	wait   bool   // for a key frame
	burst  bool   // it catches up with life
	begun  bool   // the first frame of the burst is sent
	bytes  int    // of the burst since the last pause
	stamp  uint32 // RTP time of the last frame that came in
	some   bool   // there was one
	skips  bool   // this frame is left out
	shown  time.Time
	mended time.Time
	sound  struct {
		some    bool
		in, out uint32
	}
}

// follow shows the pull until the step asks for another one.
func (l *leg) follow(ctx context.Context) {
	w := &walk{leg: l, mended: time.Now()}
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
			if w.turn() {
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
	w.tear()
	w.at, w.burst = w.pull.newest()
	w.begun, w.bytes = false, 0
}

// tear has the next key frame begin the picture anew.
func (w *walk) tear() {
	w.wait, w.skips, w.burst, w.some = true, true, false, false
	w.anchor(false, 0, 0)
}

func (w *walk) anchor(is bool, in, out uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.anchored, w.in, w.out = is, in, out
}

// turn tells the viewer of its step, and says whether that wants another stream.
func (w *walk) turn() bool {
	w.mu.Lock()
	now, sub := w.line.now, !w.noSub
	w.mu.Unlock()
	w.tell(rtc.Note{Type: "note", Text: joined(now.said(), w.pull.noted())})
	return (now > whole && sub) != (w.pull != w.main)
}

// take sends a piece, or leaves it out.
func (w *walk) take(ctx context.Context, p *piece) error {
	if !p.codec.IsVideo() {
		w.hear(p)
		return nil
	}
	if p.torn || p.fresh {
		w.tear()
	}
	first := !w.some || p.stamp != w.stamp
	if first {
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

// leaves says whether the frame that begins with a piece is left out.
func (w *walk) leaves(p *piece) bool {
	now := w.step()
	switch {
	case w.wait && !p.key:
		return true
	case now < keys:
		return false
	case !p.key || now == stills && time.Since(w.shown) < stillEvery-stillEvery/20:
		w.wait = true
		return true
	}
	w.shown = time.Now()
	return false
}

// fresh is the age of a frame that has just come: a burst ends with it.
const fresh = 40 * time.Millisecond

// begin prepares for the frame that begins with a piece and is sent: when it is the first one, or the first one that is
// not late, its time on the slot's timeline is now.
func (w *walk) begin(p *piece) {
	caught := w.burst && time.Since(p.came) < fresh
	switch {
	case caught && w.some:
		w.anchor(true, w.stamp, ticks(w.slot.NowUs()))
	case caught, w.wait && !w.burst:
		w.anchor(true, p.stamp, ticks(w.slot.NowUs()))
	}
	w.wait, w.burst = false, w.burst && !caught
}

// hurry sends a piece of a burst.
func (w *walk) hurry(ctx context.Context, p *piece, first bool) error {
	if first {
		w.slot.Sent(w.slot.NowUs())
	}
	w.send(p, ticks(w.slot.LastUs()))
	if !w.begun && p.end {
		w.begun = true
		return backoff.Sleep(ctx, firstAlone)
	}
	if w.bytes += len(p.payload); w.bytes < burstBytes {
		return nil
	}
	w.bytes = 0
	return backoff.Sleep(ctx, burstPause)
}

// ticks turns microseconds into RTP time of a picture, which wraps.
func ticks(us int64) uint32 { return uint32(us * videoClock / 1_000_000) }

// hear sends a piece of sound, at the live edge.
func (w *walk) hear(p *piece) {
	to := w.slot.Audio
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
		w.sound.out = uint32(w.slot.NowUs() * clock / 1_000_000)
	}
	w.write(to, p, w.sound.out+p.stamp-w.sound.in)
}

// send sends a piece of a picture.
func (w *walk) send(p *piece, stamp uint32) {
	if !w.slot.Video.Takes(p.codec) {
		w.part("The camera changed its way of coding. Open the view again.")
		return
	}
	lastUs := w.slot.LastUs()
	w.slot.Sent(lastUs + int64(int32(stamp-ticks(lastUs)))*1_000_000/videoClock)
	w.write(w.slot.Video, p, stamp)
}

func (w *walk) write(to *rtc.Track, p *piece, stamp uint32) {
	out := &rtp.Packet{Header: rtp.Header{Version: 2, Marker: p.end, Timestamp: stamp}, Payload: p.payload}
	if err := to.Write(p.codec, out); err != nil {
		w.viewer.log.Debug("send packet", "error", err)
	}
}

package relay

import (
	"time"
)

const (
	catchMost = time.Second     // a burst that would take longer is not worth it
	burstMost = 2 * time.Second // nor is one that has taken so long
	onWire    = 1.07            // what RTP, SRTP, UDP and IP add to frames

	carriedFor = time.Minute // so long it counts what a line carried
)

// dear says whether what is left of a burst, from a piece on, takes too long on the viewer's line, as far as that is known.
func (w *walk) dear(p *piece) bool {
	v := w.leg.viewer
	if rate := v.Arrivals.Measured(); rate > 0 {
		v.carries.Store(int64(rate))
		v.full.Store(time.Now().UnixNano())
	}
	if time.Since(w.began) > burstMost {
		return true
	}
	carries := float64(v.carries.Load())
	if carries == 0 || time.Since(time.Unix(0, v.full.Load())) > carriedFor {
		return false
	}
	left, rate := w.pull.left(p.came)
	return onWire*float64(left) > catchMost.Seconds()*(carries-onWire*rate)
}

// less ends a burst that is too dear: the next key frame goes on, of the small stream where there is one.
func (w *walk) less() {
	w.tear()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.line.now == whole && w.can(small) && w.line.down(time.Now(), w.can) {
		w.turn()
	}
}

// left returns how many bytes of pictures have come since a moment, and how many a second come of late.
func (p *pull) left(since time.Time) (bytes int, rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var group int
	var first time.Time
	for i := range p.pieces {
		one := &p.pieces[i]
		if !one.codec.IsVideo() || p.first+uint64(i) < p.key {
			continue
		}
		if first.IsZero() {
			first = one.came
		}
		group += len(one.payload)
		if !one.came.Before(since) {
			bytes += len(one.payload)
		}
	}
	return bytes, float64(group) / max(time.Since(first).Seconds(), 1)
}

package relay

import (
	"time"

	"holdfast/shared/rtc"
)

// burstMost is how long a burst may have taken.
const burstMost = 2 * time.Second

// dear says whether what is left of a burst, from a piece on, takes too long on the viewer's line, as far as that is known.
func (w *walk) dear(p *piece) bool {
	if time.Since(w.began) > burstMost {
		return true
	}
	carries, _ := w.leg.viewer.Arrivals.Carries()
	if carries == 0 {
		return false
	}
	left, rate := w.pull.left(p.came)
	return rtc.OnWire*float64(left) > rtc.CatchMost.Seconds()*(carries-rtc.OnWire*rate)
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

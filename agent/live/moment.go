package live

import (
	"time"

	"holdfast/shared/rtc"
)

// sayEvery is the least time between two words about where playback is, but for those behind a change.
const sayEvery = 200 * time.Millisecond

// say tells where playback is: at the picture of wall time atUs, which is sent next, at outUs on the session's timeline.
func (w *play) say(atUs, outUs int64) {
	if now := time.Now(); now.Sub(w.lastSay) >= sayEvery {
		w.lastSay = now
		w.s.Control.Tell(rtc.Note{
			Type: "position", AtUs: atUs, RTP: w.s.stampAt(outUs), Rate: w.rate, Steps: true, Asked: w.asked, OffUs: w.p.offUs,
		})
	}
}

// moment is where playback is between the picture sent last and the one that is waited for, so that a change of rate costs
// no time: viewers that keep in step change it often.
func (w *play) moment() int64 {
	if w.paused || w.nextUs == 0 || (w.nextUs < w.lastUs) != (w.rate < 0) {
		return w.lastUs
	}
	at := w.fromUs + int64(float64(time.Since(w.base).Microseconds())*w.rate)
	return min(max(at, min(w.lastUs, w.nextUs)), max(w.lastUs, w.nextUs))
}

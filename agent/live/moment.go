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

// aheadMost is the longest that what is sent may be on its way to a viewer's screen.
const aheadMost = 2 * time.Second

// turned is where playback goes on at another rate, which is the other way, when it is at a moment and the viewer still sees
// another: as long before that as it was after it, since what it sends next takes as long to the screen. Where the viewer
// does not say what it sees, or cannot see it, that is where playback is.
func turned(atUs, seenUs int64, rate, next float64) int64 {
	ahead := atUs - seenUs
	if seenUs == 0 || ahead < 0 || float64(ahead) > rate*float64(aheadMost.Microseconds()) {
		return atUs
	}
	return seenUs + int64(float64(ahead)*next/rate)
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

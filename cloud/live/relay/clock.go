package relay

import (
	"slices"
	"time"

	"holdfast/shared/rtc"
)

// offset is how far the agent's clock is ahead of this one, by the quickest of the latest answers.
type offset struct {
	known []answered
}

type answered struct{ tripUs, aheadUs int64 }

const answersKept = 8

func (o *offset) hear(n rtc.Note, now time.Time) {
	trip := now.UnixMicro() - n.AtUs
	if trip < 0 || trip > time.Minute.Microseconds() {
		return
	}
	o.known = append(o.known, answered{trip, n.SentUs - (now.UnixMicro() - trip/2)})
	if len(o.known) > answersKept {
		o.known = o.known[1:]
	}
}

// here turns a moment of the agent's clock into one of this machine's.
func (o *offset) here(us int64) (int64, bool) {
	if len(o.known) == 0 {
		return 0, false
	}
	best := slices.MinFunc(o.known, func(a, b answered) int { return int(a.tripUs - b.tripUs) })
	return us - best.aheadUs, true
}

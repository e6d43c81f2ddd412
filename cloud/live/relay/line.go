package relay

import (
	"time"

	"github.com/pion/rtcp"

	"holdfast/shared/rtc"
)

// step is how much of a camera a viewer gets whose own line has no room for more. Each costs less than the one before.
type step int

const (
	whole  step = iota // the stream that was asked for
	small              // the sub-stream
	keys               // key frames alone, without sound
	stills             // one picture every ten seconds
	steps
)

// line is what is known of a viewer's own line, from its reports. What the viewer gets is set by trying: down when
// packets are lost or late, up when all has been well for long, and longer the more often that went wrong.
type line struct {
	reports rtc.Reports
	now     step
	moved   time.Time
	up      bool          // the last move was one
	bad     time.Time     // the last report that was not well
	pause   time.Duration // before the next move up
}

const (
	downEvery = 3 * time.Second
	upFirst   = 15 * time.Second
	upLongest = 4 * time.Minute
	keysMost  = 10 * time.Second // how far apart a camera's key frames are taken to be at most
)

// report takes a receiver report over. It says whether the step has changed; can says which steps there are.
func (l *line) report(r rtcp.ReceptionReport, now time.Time, can func(step) bool) bool {
	return l.judge(l.reports.Judge(rtc.Loss(r), rtc.RoundTrip(r, now)), now, can)
}

// judge takes over how the line is, and says whether the step has changed.
func (l *line) judge(health rtc.Health, now time.Time, can func(step) bool) bool {
	if health != rtc.Well {
		l.bad = now
	}
	if l.pause == 0 {
		l.pause = upFirst
	}
	switch {
	case health >= rtc.Late && now.Sub(l.moved) >= downEvery:
		return l.down(now, can)
	case l.now > whole && now.Sub(l.moved) >= l.pause && now.Sub(l.bad) >= upFirst/2:
		return l.rise(now, can)
	default:
		return false
	}
}

func (l *line) down(now time.Time, can func(step) bool) bool {
	for to := l.now + 1; to < steps; to++ {
		if !can(to) {
			continue
		}
		if l.up && now.Sub(l.moved) < upFirst { // it was too early
			l.pause = min(2*l.pause, upLongest)
		}
		l.now, l.moved, l.up = to, now, false
		return true
	}
	return false
}

func (l *line) rise(now time.Time, can func(step) bool) bool {
	for to := l.now - 1; to >= whole; to-- {
		if can(to) {
			l.now, l.moved, l.up = to, now, true
			return true
		}
	}
	return false
}

// apart is how far apart pictures are at most on a step; 0: none is left out.
func (s step) apart() time.Duration {
	switch {
	case s < keys:
		return 0
	case s == keys:
		return keysMost
	default:
		return stillEvery + keysMost
	}
}

// said is what a viewer is told on each step.
func (s step) said() string {
	const why = "Your line has no room for more at this moment: "
	switch s {
	case whole:
		return ""
	case small:
		return why + "you see the small stream."
	case keys:
		return why + "you see single pictures, without sound."
	default:
		return why + "you see a picture every ten seconds."
	}
}

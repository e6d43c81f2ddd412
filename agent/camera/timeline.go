package camera

import "time"

// jumpAfter is how many frames in a row must agree on another time before it is believed.
const jumpAfter = 3

// timeline turns the RTP timestamps of one track (32 bits that wrap, RFC 3550 section 5.1) into media time that
// does not jump. A frame whose timestamp lies more than five seconds beside where it should be is a stray and
// gets a time in line with its neighbours.
type timeline struct {
	rate int64 // of the RTP clock, per second

	started bool
	raw     uint32 // of the last frame that was not a stray
	media   int64  // its media time
	came    int64  // its arrival, µs
	step    int64  // usual distance of frames

	strays   int
	strayRaw uint32
}

// place returns the media time of a frame. jump says that the timestamps have settled somewhere else; the media
// time then goes on by the time that has really passed.
func (t *timeline) place(raw uint32, arrivalUs int64) (media int64, jump bool) {
	if !t.started {
		t.started, t.raw, t.came = true, raw, arrivalUs
		return t.media, false
	}
	far := 5 * t.rate
	delta := int64(int32(raw - t.raw))
	// A pause in the stream moves both clocks; a stall of the network moves only the arrival.
	late := (arrivalUs - t.came) * t.rate / 1e6
	if abs(delta) <= far || abs(delta-late) <= far {
		if delta > 0 && delta < t.rate {
			if t.step == 0 {
				t.step = delta
			}
			t.step += (delta - t.step) / 8
		}
		t.raw, t.came, t.strays = raw, arrivalUs, 0
		t.media += delta
		return t.media, false
	}
	if t.strays > 0 && abs(int64(int32(raw-t.strayRaw))) > far {
		t.strays = 0
	}
	t.strays++
	t.strayRaw = raw
	guess := t.media + t.usual()*int64(t.strays)
	if t.strays < jumpAfter {
		return guess, false
	}
	t.raw, t.media, t.came, t.strays = raw, max(guess, t.media+late), arrivalUs, 0
	return t.media, true
}

func (t *timeline) usual() int64 {
	if t.step > 0 {
		return t.step
	}
	return t.rate / 25
}

// pace estimates when frames were captured: media time anchored at arrival, moved by at most 500 parts per
// million of the time that passes towards the arrivals seen, never backwards. Only an estimate that is surely
// wrong moves faster: one that lies in the future, or that frames have been behind for ten seconds on end.
type pace struct {
	rate     int64
	started  bool
	anchor   int64 // media time
	anchorUs int64
	shiftUs  float64
	last     int64
	lastUs   int64
	lateFrom int64 // arrival since when frames have come more than a second late; 0 when they do not
}

const (
	slew    = 500e-6
	haste   = 0.9
	wrongUs = 1_000_000
	waitUs  = 10_000_000
)

// begin says that media time was captured at us.
func (p *pace) begin(media, us int64) {
	*p = pace{rate: p.rate, started: true, anchor: media, anchorUs: us, last: media, lastUs: us}
}

// at returns the estimate for a frame whose media time has grown.
func (p *pace) at(media, arrivalUs int64) (us int64) {
	off := arrivalUs - p.nominal(media) - int64(p.shiftUs)
	switch {
	case off <= wrongUs:
		p.lateFrom = 0
	case p.lateFrom == 0:
		p.lateFrom = arrivalUs
	}
	room := float64(scale(media-p.last, 1e6, p.rate))
	if off < -wrongUs || p.lateFrom != 0 && arrivalUs-p.lateFrom > waitUs {
		room *= haste
	} else {
		room *= slew
	}
	p.shiftUs += min(max(float64(off), -room), room)
	us = max(p.nominal(media)+int64(p.shiftUs), p.lastUs+1)
	p.last, p.lastUs = media, us
	return us
}

func (p *pace) nominal(media int64) int64 { return p.anchorUs + scale(media-p.anchor, 1e6, p.rate) }

// scale returns v*m/d without overflow for the times that occur.
func scale(v, m, d int64) int64 { return v/d*m + v%d*m/d }

func abs(v int64) int64 { return max(v, -v) }

// settle is how long the first frames of a session are looked at before they are given a time: recorders send
// what they have kept since the last key frame in one burst, and only its end tells the true time.
const settle = 250 * time.Millisecond

package rtc

import (
	"time"

	"github.com/pion/rtcp"
)

// Health is what a viewer's reports say of its line.
type Health int

// Healths, from none to the worst.
const (
	Unsure Health = iota // neither well nor bad enough
	Well
	Late  // packets take far longer than they did at best: they wait somewhere
	Lossy // many packets do not arrive
)

const (
	lossMost = 0.1  // with more a line is lossy
	lossGood = 0.02 // with less it is well
	lossMany = 2    // reports in a row
	lateBy   = 400 * time.Millisecond
	lateMost = 3 // reports in a row
)

// Reports judges a viewer's line by its receiver reports (RFC 3550 section 6.4.1), one after the other.
type Reports struct {
	rtt   time.Duration // the shortest so far
	late  int           // in a row, with a round trip far above that
	lossy int           // in a row, with much loss
}

// Loss is the part of packets that a report says were lost since the one before.
func Loss(r rtcp.ReceptionReport) float64 { return float64(r.FractionLost) / 256 }

// RoundTrip is what a receiver report says of the round trip (RFC 3550 section 6.4.1); 0 when nothing.
func RoundTrip(r rtcp.ReceptionReport, now time.Time) time.Duration {
	if r.LastSenderReport == 0 {
		return 0
	}
	const epoch = 2208988800 // 1970, in NTP's seconds
	ntp := uint32(now.Unix()+epoch)<<16 | uint32(now.Nanosecond()*65536/1e9)
	took := int32(ntp - r.LastSenderReport - r.Delay)
	return max(time.Duration(took)*time.Second/65536, 0)
}

// Shortest returns the shortest round trip so far; 0 when none is known.
func (l *Reports) Shortest() time.Duration { return l.rtt }

// Recall takes over the shortest round trip that is known from before, 0 when none is.
func (l *Reports) Recall(rtt time.Duration) { l.rtt = rtt }

// Judge takes a report over, which says Loss and RoundTrip, and says how the line is.
func (l *Reports) Judge(loss float64, rtt time.Duration) Health {
	if rtt > 0 && (l.rtt == 0 || rtt < l.rtt) {
		l.rtt = rtt
	}
	if l.late++; rtt <= l.rtt+lateBy {
		l.late = 0
	}
	if l.lossy++; loss <= lossMost {
		l.lossy = 0
	}
	switch {
	case l.lossy >= lossMany:
		return Lossy
	case l.late >= lateMost:
		l.late = 0
		return Late
	case loss < lossGood && l.late == 0:
		return Well
	default:
		return Unsure
	}
}

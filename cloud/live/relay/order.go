package relay

import (
	"time"

	"github.com/pion/rtp"

	"holdfast/shared/rtc"
)

// order brings the packets of a track into the order in which they were sent. One that is missing is waited for, since it
// has been asked for again; the others wait behind it.
type order struct {
	next  uint16 // sequence number that is due
	early map[uint16]*rtp.Packet
	since time.Time // the one that is due has been missing
}

func newOrder() *order { return &order{next: rtc.FirstNumber, early: map[uint16]*rtp.Packet{}} }

const (
	// missing is how long a packet is waited for: several round trips of a long line.
	missing = time.Second
	// earlyMost is how many packets may wait, within what the sender keeps to send again.
	earlyMost = 2048
)

// put takes a packet and returns those that are due now. torn says that what comes before them is lost for good.
func (o *order) put(p *rtp.Packet, now time.Time) (due []*rtp.Packet, torn bool) {
	switch ahead := int16(p.SequenceNumber - o.next); {
	case ahead < -earlyMost || ahead > earlyMost: // another sender, or a long silence
		clear(o.early)
		o.next, torn = p.SequenceNumber, true
	case ahead < 0:
		return nil, false // it has come before, or too late
	}
	if len(o.early) == 0 {
		o.since = now
	}
	o.early[p.SequenceNumber] = p
	if o.early[o.next] == nil && now.Sub(o.since) > missing {
		for o.early[o.next] == nil {
			o.next++
		}
		torn = true
	}
	for q := o.early[o.next]; q != nil; q = o.early[o.next] {
		delete(o.early, o.next)
		o.next++
		o.since = now
		due = append(due, q)
	}
	return due, torn
}

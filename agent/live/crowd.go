package live

import (
	"slices"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// A camera that several viewers outside watch goes over the line once: the cloud's relay takes it, and they take it from
// there. The site sees how many copies it sends, so it is the site that sends viewers on; a viewer that has no relay near
// is served from here as long as it likes.

// sendAgain is after how long a viewer that has not gone over to the relay is asked once more: it may have failed there.
const sendAgain = 10 * time.Second

// sent is what goes over the line the same to all: a stream as it is, or converted.
type sent struct {
	stream    id.Stream
	converted bool
}

func (c choice) sent() sent { return sent{c.stream, c.convert} }

// copies returns the sessions that bring a camera to the outside live, by what is sent.
func (r *Room) copies() map[sent][]*session {
	out := map[sent][]*session{}
	for _, s := range r.viewers() {
		if s.live.Load() {
			out[s.pick.sent()] = append(out[s.pick.sent()], s)
		}
	}
	return out
}

// sentOn says whether a viewer outside should take its choice from the relay at once, since a copy of it goes out already.
func (r *Room) sentOn(p *peer, view wire.LiveView, pick choice) bool {
	return p.relay == wire.RelayNear && p.toll.outside.Load() && r.carried(view, pick)
}

// carried says whether what is asked for goes over the line already.
func (r *Room) carried(view wire.LiveView, pick choice) bool {
	return view.Camera != "" && !pick.recorded && len(r.copies()[pick.sent()]) > 0
}

// mayBeInside says whether an offer names an address of the site's own networks. Those of other networks may be the same: whoever
// comes from there is served from here as well.
func (r *Room) mayBeInside(sdp string) bool {
	return slices.ContainsFunc(rtc.Addresses(sdp), r.local)
}

// gather asks viewers that share a copy to take it from the relay.
func (r *Room) gather(now time.Time) {
	for _, crowd := range r.copies() {
		if len(crowd) < 2 {
			continue
		}
		for _, s := range crowd {
			if s.peer.relay != wire.RelayNear || now.Sub(s.asked) < sendAgain {
				continue
			}
			s.asked = now
			s.Control.Tell(rtc.Note{Type: "relay"})
		}
	}
}

package live

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// peer is one viewer's connection.
type peer struct {
	*rtc.Peer
	room  *Room
	id    id.Session
	log   *slog.Logger
	end   context.CancelFunc
	relay wire.RelayRole
	toll  toll
	path  path // what its views have learnt of the line to the viewer
	slots []*slot

	showing sync.WaitGroup // sessions on its slots
}

// slot is the place of one camera in a viewer's connection.
type slot struct {
	*rtc.Slot
	session atomic.Pointer[session] // that was given it last; nil: it is free
}

// newPeer makes the connection that belongs to an offer; its SDP is answered later.
func newPeer(ctx context.Context, r *Room, offer wire.LiveOffer, end context.CancelFunc) (*peer, error) {
	p := &peer{
		room: r, id: offer.Session, end: end, relay: offer.Relay, log: r.log.With("connection", offer.Session),
	}
	p.path.forget()
	p.toll.ctx, p.toll.flow = ctx, r.budget.Flow(pace.Live, time.Time{})
	var err error
	p.Peer, err = rtc.NewPeer(offer.SDP, rtc.Setup{
		Port: r.port, Servers: offer.ICE, Dialer: newRelayDialer(ctx, &r.cfg, offer.ICE, r.checks.Spend), Near: &p.toll, Film: offer.Relay == wire.RelaySelf, Log: p.log,
	}, p.heard, end)
	if err != nil {
		return nil, err
	}
	for _, s := range p.Slots {
		p.slots = append(p.slots, &slot{Slot: s})
	}
	p.PC.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		p.toll.outside.Store(!r.inside(pair))
		p.forget()
	})
	return p, nil
}

// carries is what is known of the line to the viewer, bytes per second; +Inf when nothing is. The limit may be far above what the
// views want, and is forgotten then: a burst wants as much as there is.
func (p *peer) carries() float64 {
	limit, _ := p.path.known()
	if rate, _ := p.Arrivals.Carries(); rate > 0 {
		return min(limit, rate)
	}
	return limit
}

// forget begins anew with what is known of the line, since it is another one.
func (p *peer) forget() {
	p.path.forget()
	p.Arrivals.Forget()
	for _, s := range p.slots {
		if at := s.session.Load(); at != nil {
			at.view.change(func() { at.view.line = rtc.Reports{} })
		}
	}
}

// heard passes a viewer's report about its pictures on to the session that they belong to. Nothing is reported before the
// connection is there, and so before newPeer has returned.
func (p *peer) heard(slot int, report rtcp.ReceptionReport) {
	if s := p.slots[slot].session.Load(); s != nil {
		s.heard(report)
	}
}

// run blocks for the life of the connection.
func (p *peer) run(ctx context.Context) {
	defer func() {
		p.end()
		p.showing.Wait()
		p.Close()
	}()
	if err := p.Serve(ctx, p.room.cfg.Path, p.room.cfg.Idle, p.shows); err != nil {
		p.log.Info("a viewer's connection ends", "cause", err)
	}
}

// shows says whether anything is shown.
func (p *peer) shows() bool {
	return slices.ContainsFunc(p.slots, func(s *slot) bool { return s.session.Load() != nil })
}

// teller returns what tells a viewer, on a slot on which nothing is shown yet, why there is no picture.
func (p *peer) teller(number int) func(text string) {
	return func(text string) {
		if number >= 0 && number < len(p.slots) && p.slots[number].session.Load() == nil {
			p.slots[number].Control.Tell(rtc.Note{Type: "state", Text: text})
		}
	}
}

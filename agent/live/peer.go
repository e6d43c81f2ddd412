package live

import (
	"context"
	"log/slog"
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
	slots []*slot

	showing sync.WaitGroup // sessions on its slots

	shows  int       // sessions; under Room.mu
	idleAt time.Time // since when it has none; under Room.mu
}

// slot is the place of one camera in a viewer's connection.
type slot struct {
	*rtc.Slot
	session atomic.Pointer[session] // that was given it last; nil: it is free
	turn    chan struct{}           // holds one element while a session sends

	// Only the session that sends touches these.
	start  time.Time // zero of the slot's timeline
	lastUs int64     // latest time sent on it
}

// newPeer makes the connection that belongs to an offer; its SDP is answered later.
func newPeer(ctx context.Context, r *Room, offer wire.LiveOffer, end context.CancelFunc) (*peer, error) {
	p := &peer{
		room: r, id: offer.Session, end: end, relay: offer.Relay, log: r.log.With("connection", offer.Session), idleAt: time.Now(),
	}
	p.toll.ctx, p.toll.flow = ctx, r.budget.Flow(pace.Live, time.Time{})
	var err error
	p.Peer, err = rtc.NewPeer(offer.SDP, rtc.Setup{
		Port: r.port, Servers: offer.ICE, Dialer: newRelayDialer(ctx, r.cfg.Authorities, offer.ICE, r.checks.Spend), Near: &p.toll, Log: p.log,
	}, p.heard, end)
	if err != nil {
		return nil, err
	}
	for _, s := range p.Slots {
		p.slots = append(p.slots, &slot{Slot: s, turn: make(chan struct{}, 1)})
	}
	p.PC.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		p.toll.outside.Store(!r.inside(pair))
	})
	return p, nil
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
	limit := time.NewTimer(p.room.cfg.Connect)
	defer limit.Stop()
	select {
	case <-p.Connected():
	case <-limit.C:
		p.log.Info("viewer did not connect: no network path between browser and agent")
		return
	case <-ctx.Done():
		return
	}
	look := time.NewTicker(p.room.cfg.Idle / 4)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			if p.idle(now) > p.room.cfg.Idle {
				p.log.Info("nothing was watched over the connection for long: it ends")
				return
			}
		}
	}
}

// idle returns for how long nothing was watched.
func (p *peer) idle(now time.Time) time.Duration {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.shows > 0 {
		return 0
	}
	return now.Sub(p.idleAt)
}

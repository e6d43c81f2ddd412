package relay

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// viewer is one viewer's connection, for the cameras of one site.
type viewer struct {
	*rtc.Peer
	relay   *Relay
	id      id.Session
	agent   id.Agent
	log     *slog.Logger
	over    chan struct{} // closed when the connection has ended by itself
	once    sync.Once
	slots   []*slot
	showing sync.WaitGroup // legs
	ended   bool           // it takes no more of them; under Relay.mu
}

// slot is the place of one camera in a viewer's connection.
type slot struct {
	*rtc.Slot
	leg  atomic.Pointer[leg] // that was given it last; nil: it is free
	turn chan struct{}       // holds one element while a leg sends

	// Only the leg that sends touches these.
	start  time.Time // zero of the slot's timeline
	lastUs int64     // latest time sent on it
}

func newViewer(r *Relay, agent id.Agent, offer wire.LiveOffer) (*viewer, error) {
	v := &viewer{relay: r, id: offer.Session, agent: agent, log: r.log.With("connection", offer.Session), over: make(chan struct{})}
	var err error
	v.Peer, err = rtc.NewPeer(offer.SDP, rtc.Setup{Port: r.port, Lite: true, Log: v.log}, v.heard, v.end)
	if err != nil {
		return nil, err
	}
	for _, s := range v.Slots {
		v.slots = append(v.slots, &slot{Slot: s, turn: make(chan struct{}, 1)})
	}
	return v, nil
}

func (v *viewer) end() { v.once.Do(func() { close(v.over) }) }

// heard passes a viewer's report about its pictures on to the leg that they belong to. Nothing is reported before the
// connection is there, and so before newViewer has returned.
func (v *viewer) heard(slot int, report rtcp.ReceptionReport) {
	if l := v.slots[slot].leg.Load(); l != nil {
		l.heard(report, time.Now())
	}
}

// run blocks for the life of the connection.
func (v *viewer) run(ctx context.Context) {
	defer func() {
		v.end() // and with it what is shown
		v.relay.mu.Lock()
		v.ended = true
		v.relay.mu.Unlock()
		v.showing.Wait()
		v.Close()
	}()
	limit := time.NewTimer(v.relay.cfg.Connect)
	defer limit.Stop()
	select {
	case <-v.Connected():
	case <-limit.C:
		v.log.Info("viewer did not connect: no network path between browser and relay")
		return
	case <-v.over:
		return
	case <-ctx.Done():
		return
	}
	look, used := time.NewTicker(v.relay.cfg.Idle/4), time.Now()
	defer look.Stop()
	for {
		select {
		case <-v.over:
			return
		case <-ctx.Done():
			return
		case now := <-look.C:
			for _, s := range v.slots {
				if s.leg.Load() != nil {
					used = now
				}
			}
			if now.Sub(used) > v.relay.cfg.Idle {
				v.log.Info("nothing was watched over the connection for long: it ends")
				return
			}
		}
	}
}

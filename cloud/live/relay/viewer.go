package relay

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

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
	refused bool           // its offer was, and nobody is told that it has ended; under Relay.mu
	ended   bool           // it takes no more of them; under Relay.mu
}

// slot is the place of one camera in a viewer's connection.
type slot struct {
	*rtc.Slot
	leg atomic.Pointer[leg] // that was given it last; nil: it is free
}

func newViewer(r *Relay, agent id.Agent, offer wire.LiveOffer) (*viewer, error) {
	v := &viewer{relay: r, id: offer.Session, agent: agent, log: r.log.With("connection", offer.Session), over: make(chan struct{})}
	var err error
	v.Peer, err = rtc.NewPeer(offer.SDP, rtc.Setup{Port: r.port, Lite: true, Log: v.log}, v.heard, v.end)
	if err != nil {
		return nil, err
	}
	for _, s := range v.Slots {
		v.slots = append(v.slots, &slot{Slot: s})
	}
	v.PC.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(*webrtc.ICECandidatePair) {
		v.Arrivals.Forget() // it is another line
	})
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
	ctx, cancel := within(ctx, v.over, nil)
	defer cancel()
	if err := v.Serve(ctx, v.relay.cfg.Connect, v.relay.cfg.Idle, v.shows); err != nil {
		v.log.Info("a viewer's connection to the relay ends", "cause", err)
	}
}

// shows says whether anything is shown.
func (v *viewer) shows() bool {
	return slices.ContainsFunc(v.slots, func(s *slot) bool { return s.leg.Load() != nil })
}

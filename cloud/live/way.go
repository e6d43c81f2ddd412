package live

import (
	"cmp"
	"context"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Run serves viewers through the relay until ctx ends.
func (b *Broker) Run(ctx context.Context) error {
	if b.relay == nil {
		<-ctx.Done()
		return nil
	}
	return b.relay.Run(ctx)
}

// lend returns the servers for an agent's end of a connection; the cloud's own serve as long as that.
func (b *Broker) lend(agent id.Agent, connection id.Session) []wire.ICEServer {
	out := b.servers(string(agent))
	for _, s := range out {
		if b.cfg.Turn != nil {
			b.cfg.Turn.Bind(s.Username, string(agent), connection)
		}
	}
	return out
}

// relend returns servers for the agent's end of a connection whose path may be sought anew; none, while those that it has serve
// that.
func (b *Broker) relend(connection id.Session) []wire.ICEServer {
	if b.cfg.Turn == nil {
		return nil
	}
	b.mu.Lock()
	s, ok := b.sessions[connection]
	due := ok && time.Since(cmp.Or(s.lent, s.began)) > b.cfg.Turn.Fresh()/2
	b.mu.Unlock()
	if !due {
		return nil
	}
	return b.lend(s.place.Agent, connection)
}

// delivered notes that an agent has what it was lent.
func (b *Broker) delivered(connection id.Session, servers []wire.ICEServer, err error) {
	if err != nil || len(servers) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.sessions[connection]; ok {
		s.lent = time.Now()
		b.sessions[connection] = s
	}
}

// Way is what serves a connection.
type Way string

// Ways of a connection.
const (
	Site   Way = "site"   // the site's agent
	Either Way = "either" // the site's agent, which may send the viewer on to the relay
	Auto   Way = "auto"   // the site's agent; the relay, if the camera goes over the site's line already
	Relay  Way = "relay"  // the relay for many viewers
)

// onwardFor is how long the relay has to get a camera for a viewer that the site could show it to as well.
const onwardFor = 5 * time.Second

// onward has the relay show what goes over the site's line already; where that can't be, the site shows it after all.
func (b *Broker) onward(ctx context.Context, p Place, offer wire.LiveOffer) (answer wire.LiveAnswer, err error) {
	offer.Relay = ""
	through := func(relay bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, sid := range []id.Session{offer.Session, offer.View} {
			if s, ok := b.sessions[sid]; ok {
				s.relay = relay
				b.sessions[sid] = s
			}
		}
	}
	through(true)
	its := offer
	its.ICE = nil
	limited, cancel := context.WithTimeout(ctx, onwardFor)
	defer cancel()
	if answer, err = b.relay.Offer(limited, p.Agent, its); err == nil {
		return answer, nil
	}
	b.log.Info("a viewer that the site has sent on does not get the camera from the relay", "site", p.Site, "error", err)
	through(false)
	_, err = b.ask(ctx, p.Agent, wire.CmdLiveOffer, offer, &answer)
	return answer, err
}

// Restart has the path of a connection sought anew, for a viewer whose network has changed; offer.Session names the
// connection. The error is a *wire.Failure when the viewer should read it.
func (b *Broker) Restart(ctx context.Context, offer wire.LiveOffer, by Viewer) (wire.LiveAnswer, error) {
	if len(offer.SDP) == 0 || len(offer.SDP) > b.cfg.MaxSDP {
		return wire.LiveAnswer{}, wire.Fail(wire.FailedRefused, "The offer has %d bytes, want 1 to %d.", len(offer.SDP), b.cfg.MaxSDP)
	}
	s, err := b.connection(offer.Session)
	if err != nil {
		return wire.LiveAnswer{}, err
	}
	offer.Restart = true
	if b.cfg.Turn != nil && by.Credentials != "" {
		b.cfg.Turn.Bind(by.Credentials, string(by.Person), offer.Session)
	}
	if s.relay {
		return b.relay.Restart(ctx, offer)
	}
	offer.ICE = b.relend(offer.Session)
	var answer wire.LiveAnswer
	_, err = b.ask(ctx, s.place.Agent, wire.CmdLiveOffer, offer, &answer)
	b.delivered(offer.Session, offer.ICE, err)
	return answer, err
}

// Paths passes on addresses that a viewer has learnt of itself since its offer, and returns those of the far end. The error
// is a *wire.Failure when the viewer should read it.
func (b *Broker) Paths(ctx context.Context, told wire.LivePaths) (wire.LivePaths, error) {
	s, err := b.connection(told.Session)
	switch {
	case err != nil:
		return wire.LivePaths{}, err
	case s.relay:
		return b.relay.Paths(ctx, told)
	}
	told.ICE = b.relend(told.Session)
	var theirs wire.LivePaths
	_, err = b.ask(ctx, s.place.Agent, wire.CmdLivePaths, told, &theirs)
	b.delivered(told.Session, told.ICE, err)
	return theirs, err
}

// connection returns a connection that has not ended; the error is a *wire.Failure.
func (b *Broker) connection(sid id.Session) (session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.sessions[sid]
	if !ok || s.ended || s.over != "" {
		return session{}, wire.Fail(wire.FailedGone, "The connection to the site has ended: make a new one.")
	}
	return s, nil
}

// relayed says whether the relay serves a connection.
func (b *Broker) relayed(connection id.Session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[connection].relay
}

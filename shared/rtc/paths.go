package rtc

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/wire"
)

// So long an answer waits for the addresses that servers know of; where a firewall blocks them they never answer. A relay
// is worth a longer wait, for without one there may be no path at all, and TLS takes five round trips; but once there is
// one, hardly anything is missing. Whoever is told the rest later waits for the machine's own addresses alone, which come
// together.
const (
	gatherFor  = 500 * time.Millisecond
	relayFor   = 1500 * time.Millisecond
	afterRelay = 50 * time.Millisecond
	afterOwn   = 5 * time.Millisecond
)

// gathering is what a connection learns of its own addresses for one description.
type gathering struct {
	own, relay chan struct{} // closed with the first address at all, with the first relay
	all        <-chan struct{}
}

// gather follows what p learns; the local description must not be set yet.
func (p *Peer) gather() *gathering {
	g := &gathering{own: make(chan struct{}), relay: make(chan struct{}), all: webrtc.GatheringCompletePromise(p.PC)}
	var own, relay sync.Once
	p.PC.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c == nil {
			return
		}
		own.Do(func() { close(g.own) })
		if c.Typ == webrtc.ICECandidateTypeRelay {
			relay.Do(func() { close(g.relay) })
		}
	})
	return g
}

// wait blocks until everything is known, or for longest, or for some time after a mark. The error is ctx's.
func (g *gathering) wait(ctx context.Context, mark <-chan struct{}, after, longest time.Duration) error {
	limit := time.NewTimer(longest)
	defer limit.Stop()
	for {
		select {
		case <-mark:
			limit.Reset(after)
			mark = nil
		case <-g.all:
			return nil
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settle waits until all is known that matters.
func (p *Peer) settle(ctx context.Context) error {
	// Without STUN and TURN servers this takes no time. What servers answer later is used all the same: the viewer
	// learns of it from the agent's own checks (RFC 8445 section 7.3.1.3).
	longest := gatherFor
	for _, s := range p.servers {
		if s.Username != "" {
			longest = relayFor
		}
	}
	return p.gathering.wait(ctx, p.gathering.relay, afterRelay, longest)
}

// Paths takes addresses of the viewer that it has learnt since its offer and returns this machine's, both as fragments
// (RFC 8840 section 9). With the viewer's last ones it waits until all is known that matters. A fragment of a description that
// was never seen begins a path anew (RFC 9725 section 4.3.3), which anew says. An error is a *wire.Failure when the viewer
// should read it.
func (p *Peer) Paths(ctx context.Context, text string) (fragment string, anew bool, err error) {
	f, err := ParseFragment(text)
	if err != nil {
		return "", false, err
	}
	p.answering.Lock()
	defer p.answering.Unlock()
	remote := p.PC.RemoteDescription()
	if remote == nil || slices.Contains(p.past, f.Ufrag) {
		return "", false, wire.Fail(wire.FailedRefused, "The addresses belong to another path, which is no longer sought.")
	}
	if attribute(remote.SDP, iceUfrag) == f.Ufrag {
		err = p.learn(ctx, f)
	} else {
		anew, err = true, p.restart(ctx, remote.SDP, f)
	}
	if err != nil {
		return "", false, err
	}
	local := p.PC.LocalDescription().SDP
	return Fragment{
		Ufrag: attribute(local, iceUfrag), Password: attribute(local, icePwd), Candidates: candidates(local), Last: f.Last,
	}.String(), anew, nil
}

// learn takes addresses for the path that is sought.
func (p *Peer) learn(ctx context.Context, f Fragment) error {
	for _, c := range f.Candidates {
		switch {
		case p.told[c]:
			continue
		case len(p.told) >= maxTold:
			return wire.Fail(wire.FailedRefused, "More than %d addresses were told for one path.", maxTold)
		}
		if err := p.PC.AddICECandidate(webrtc.ICECandidateInit{Candidate: c, UsernameFragment: &f.Ufrag}); err != nil {
			return wire.Fail(wire.FailedRefused, "An address can't be read: %v.", err)
		}
		p.told[c] = true
	}
	if f.Last {
		return p.settle(ctx)
	}
	return nil
}

// restart seeks the path anew for a viewer that sends no whole offer: the one before holds but for where the viewer is.
func (p *Peer) restart(ctx context.Context, offer string, f Fragment) error {
	if len(f.Ufrag) < 4 || len(f.Password) < 22 { // RFC 8839 section 5.4
		return wire.Fail(wire.FailedRefused, "A path can't be sought anew without a=ice-ufrag and a=ice-pwd of it.")
	}
	_, err := p.answer(ctx, f.into(offer), false)
	return err
}

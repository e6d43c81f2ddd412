package gateway

import (
	"context"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// place gives the session the one place of its agent, or returns the bye for it. An incumbent that answers a
// ping stays; one that does not is ended first.
func (g *Gateway) place(ctx context.Context, s *session) *wire.Bye {
	for {
		g.mu.Lock()
		old := g.sessions[s.ref.Agent]
		if old == nil {
			if g.state != open {
				g.mu.Unlock()
				return &wire.Bye{Code: wire.RefusedShutdown, Text: "the cloud is stopping", RetryUs: g.spread(2*time.Second, 4*time.Second)}
			}
			g.sessions[s.ref.Agent] = s
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		if !old.contend() {
			return g.doubled(ctx, s)
		}
		pinging, cancel := context.WithTimeout(ctx, g.cfg.Ping)
		err := old.conn.Ping(pinging)
		cancel()
		old.settle()
		if err == nil {
			return g.doubled(ctx, s)
		}
		old.stop(wire.Bye{Code: wire.RefusedDuplicate, Text: "the agent opened another session, and this one did not answer"})
		_ = old.conn.CloseNow() // it did not answer: nothing is lost
		select {
		case <-old.done:
		case <-ctx.Done():
			return &wire.Bye{Code: wire.RefusedProtocol, Text: "the connection ended"}
		}
	}
}

func (s *session) contend() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.contended
	s.contended = true
	return !was
}

func (s *session) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contended = false
}

func (g *Gateway) doubled(ctx context.Context, s *session) *wire.Bye {
	g.alarm(ctx, Alarm{
		Kind: AlarmDuplicate, Ref: s.ref, Addr: s.addr,
		Text: "a second machine (" + s.hello.Host + ") uses the identity of an agent that is online: it was refused",
	})
	return &wire.Bye{Code: wire.RefusedDuplicate, Text: duplicateText, RetryUs: duplicateRetryUs}
}

// held explains why no row could be written: the agent was revoked a moment ago, or another replica has it.
func (g *Gateway) held(ctx context.Context, s *session) *wire.Bye {
	agent, err := agents.Get(ctx, g.db, s.ref.Scope(), s.ref.Agent)
	if refusal := gone(agent); err == nil && refusal != nil {
		return &wire.Bye{Code: refusal.Code, Text: refusal.Text, RetryUs: refusal.RetryUs}
	}
	return g.doubled(ctx, s)
}

// remove makes the agent's place free.
func (g *Gateway) remove(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, s.ref.Agent)
}

// find returns an agent's session in this process, nil if there is none. Another replica's would be looked up
// here.
func (g *Gateway) find(agent id.Agent) *session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions[agent]
}

// end says bye to an agent's session, if it has one here.
func (g *Gateway) end(agent id.Agent, bye wire.Bye) {
	if s := g.find(agent); s != nil {
		s.stop(bye)
	}
}

// Revoke ends an agent's identity and its session; store.ErrNotFound if the scope has no such agent.
func (g *Gateway) Revoke(ctx context.Context, scope store.Scope, agent id.Agent) error {
	if err := agents.Revoke(ctx, g.db, scope, agent, g.nowUs()); err != nil {
		return err
	}
	g.log.Info("agent revoked", "agent", agent)
	g.end(agent, wire.Bye{Code: wire.RefusedRevoked, Text: revokedText, RetryUs: revokedRetryUs})
	return nil
}

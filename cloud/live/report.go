package live

import (
	"context"
	"slices"
	"time"

	"holdfast/shared/id"
)

// Reported takes from a heartbeat which sessions an agent has; the others of that agent have ended. One that was closed
// while the agent could not be told is closed now: its viewer may have lost the right to watch. So is one that nobody here
// knows, from before a restart or of a request that was given up: nobody reads its viewer's right. It does not block.
func (b *Broker) Reported(agent id.Agent, open []id.Session) {
	known := b.own(agent)
	b.mu.Lock()
	defer b.mu.Unlock()
	for sid, s := range b.sessions {
		switch {
		case s.place.Agent != agent || s.relay:
			continue
		case slices.Contains(open, sid):
			known = append(known, sid)
			if s.ended {
				go b.finishAgain(sid, agent)
			}
		case s.ended || !s.began.IsZero() && time.Since(s.began) > b.settle(s):
			b.remove(sid)
		}
	}
	for _, sid := range b.strangers(agent, open, known) {
		b.log.Info("a site has a live session that nobody here knows, as after a restart of the cloud: it is closed, and its viewer may connect again", "agent", agent, "session", sid)
		go b.finishAgain(sid, agent)
	}
}

// own returns the relay's sessions at an agent.
func (b *Broker) own(agent id.Agent) []id.Session {
	if b.relay == nil {
		return nil
	}
	return b.relay.Sessions(agent)
}

// strangers returns the sessions that an agent has reported twice in a row, the last time now, and that are not known. One
// report may have been on its way while a session ended, and a new broker lets some time pass. mu is held.
func (b *Broker) strangers(agent id.Agent, open, known []id.Session) (twice []id.Session) {
	before := b.strange[agent]
	delete(b.strange, agent)
	if time.Since(b.born) <= b.cfg.Settle {
		return nil
	}
	for _, sid := range open {
		if slices.Contains(known, sid) {
			continue
		}
		b.strange[agent] = append(b.strange[agent], sid)
		if slices.Contains(before, sid) {
			twice = append(twice, sid)
		}
	}
	return twice
}

func (b *Broker) finishAgain(sid id.Session, agent id.Agent) {
	if err := b.finish(context.Background(), sid, agent); err != nil {
		b.log.Warn("a live session that is to be closed is still open at its site; the next heartbeat tries again", "session", sid, "error", err)
	}
}

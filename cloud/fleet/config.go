package fleet

import (
	"context"
	"time"

	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const (
	maxPushes   = 32               // at once
	pushTimeout = 20 * time.Second // of one
	pushDelay   = 10 * time.Second // after a welcome
	pushRetry   = 30 * time.Second
)

// Reconfigure says that the desired configuration of a site has a new version in the database. It does not wait:
// a connected agent gets it in a moment, another one with its next welcome.
func (f *Fleet) Reconfigure(org id.Org, which id.Site) {
	s := f.find(store.Org(org), which)
	if s == nil {
		return // the welcome of its first session brings it
	}
	s.mu.Lock()
	s.stale, s.retryAt = true, time.Time{}
	s.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// reload reads the desired configurations that changed.
func (f *Fleet) reload(ctx context.Context) {
	for _, s := range f.all() {
		s.mu.Lock()
		stale := s.stale
		s.stale = false
		s.mu.Unlock()
		if !stale {
			continue
		}
		if err := f.loadConfig(ctx, s, 0); err != nil {
			s.mu.Lock()
			s.stale = true // the next turn tries again
			s.mu.Unlock()
			if ctx.Err() == nil {
				f.deps.Log.Error("a desired configuration could not be read; the next try follows", "site", s.id, "err", err)
			}
			continue
		}
		f.update(s, func(*site, time.Time) {})
	}
}

// push hands out configurations that the connected agents do not have yet.
func (f *Fleet) push(ctx context.Context, now time.Time) {
	if f.deps.Push == nil {
		return
	}
	for _, s := range f.all() {
		s.mu.Lock()
		due := s.connected && !s.pushing && !s.stale && s.inForce < s.want.Version && !now.Before(s.retryAt)
		if !due {
			s.mu.Unlock()
			continue
		}
		select {
		case f.pushes <- struct{}{}:
		default:
			s.mu.Unlock()
			return // the next turn goes on
		}
		s.pushing = true
		agent, want := s.agent, s.want
		s.mu.Unlock()
		f.live.Go(func() {
			defer func() { <-f.pushes }()
			f.pushOne(ctx, s, agent, want)
		})
	}
}

func (f *Fleet) pushOne(ctx context.Context, s *site, agent id.Agent, want wire.DesiredConfig) {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	reply, err := f.deps.Push(ctx, agent, want)
	f.update(s, func(s *site, now time.Time) {
		s.pushing = false
		if err != nil {
			s.retryAt = now.Add(pushRetry)
			return
		}
		s.inForce, s.reportDirty = reply.Version, true
		s.faults = nil
		for _, fault := range reply.Faults {
			if len(s.faults) < maxFaults {
				s.faults = append(s.faults, wire.CleanText(fault, wire.MaxTextRunes))
			}
		}
		if reply.Version < want.Version {
			s.retryAt = now.Add(10 * pushRetry) // it was refused as a whole: asking often does not help
		}
	})
	if err != nil && ctx.Err() == nil {
		f.deps.Log.Warn("a configuration could not be handed to the agent; the next try follows", "site", s.id, "version", want.Version, "err", err)
	}
}

// maxFaults is how many refused settings are kept for a site.
const maxFaults = 10

package fleet

import (
	"context"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/health"
)

const (
	frozenAfter = 20 * time.Second // without a turn of the loop: the cloud itself stood still
	causeTime   = 2 * time.Minute  // in which a cause may still change, as other sites fall silent
	hushKeep    = 10 * time.Minute
	toldSlackUs = 120_000_000
)

// Run loads what is known, if Load did not, and then judges, stores and tells until ctx ends; then the last state
// is stored.
func (f *Fleet) Run(ctx context.Context) error {
	if err := f.Load(ctx); err != nil {
		return err
	}
	ticker := time.NewTicker(f.cfg.Tick)
	defer ticker.Stop()
	defer f.live.Wait()
	turned, refreshed := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			f.announce(last)
			f.flush(last, time.Now(), true)
			return nil
		case <-f.wake:
			f.reload(ctx)
			f.push(ctx, time.Now())
		case <-ticker.C:
			now := time.Now()
			if now.Sub(turned) > max(frozenAfter, 5*f.cfg.Tick) {
				f.hold(now)
			}
			if now.Sub(refreshed) >= f.cfg.Refresh {
				refreshed = now
				f.refresh(ctx)
			}
			f.turn(ctx, now)
		}
		turned = time.Now()
	}
}

// hold puts off every verdict: the cloud itself stood still and heard nobody.
func (f *Fleet) hold(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.judge = now.Add(f.cfg.Grace)
	f.deps.Log.Warn("the cloud stood still for a while; no site is judged for " + f.cfg.Grace.String())
}

// turn is one round: who is dark, which incidents are over, what is to be stored, told and pushed.
func (f *Fleet) turn(ctx context.Context, now time.Time) {
	suspects := f.survey(now)
	if f.judging(now) {
		for _, s := range suspects {
			if gone, err := f.gone(ctx, s); err == nil && gone {
				f.update(s, func(s *site, now time.Time) { s.retire(now) })
				continue
			}
			f.darken(s, now)
		}
	}
	for _, s := range f.all() {
		f.recause(s, now)
		f.settle(ctx, s, now)
		f.settleLosing(ctx, s, now)
	}
	f.announce(ctx)
	f.flush(ctx, now, false)
	f.reload(ctx)
	f.push(ctx, now)
}

// survey counts who is heard of and returns those that are not, and not yet dark.
func (f *Fleet) survey(now time.Time) (suspects []*site) {
	connected := 0
	for _, s := range f.all() {
		s.mu.Lock()
		switch {
		case s.agent == "" || s.dark:
		case s.silence(now) >= f.cfg.DarkAfter:
			suspects = append(suspects, s)
		default:
			connected++
		}
		s.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.connected = connected
	kept := f.hushed[:0]
	for _, h := range f.hushed {
		if now.UnixMicro()-h.seenUs < hushKeep.Microseconds() {
			kept = append(kept, h)
		}
	}
	f.hushed = kept
	return suspects
}

// darken says that a site is dark: a new incident, or the one again that has not settled.
func (f *Fleet) darken(s *site, now time.Time) {
	s.mu.Lock()
	seen := s.seenUs
	s.mu.Unlock()
	f.mu.Lock()
	f.hushed = append(f.hushed, hush{site: s.id, org: s.org, seenUs: seen})
	f.mu.Unlock()
	f.update(s, func(s *site, _ time.Time) {
		if s.agent == "" || s.silence(now) < f.cfg.DarkAfter {
			return // it has come back meanwhile
		}
		s.dark, s.stateDirty = true, true
		switch {
		case s.outage.incident == nil:
			s.outage.incident = newIncident(s, now)
			s.outage.phases = append(s.outage.phases, PhaseDark)
		case s.outage.incident.EndUs != 0:
			s.outage.incident.EndUs = 0
			s.outage.incident.Silences++
		}
		s.outage.unsaved = true
		s.outage.incident.Cause, s.outage.incident.Text = f.verdict(s, now)
		s.outage.incident.Report = s.lastReport(now)
		f.deps.Log.Info("site is dark", "site", s.id, "cause", s.outage.incident.Cause, "silent_for", s.silence(now).Round(time.Second))
	})
}

// recause looks again at the cause of a fresh silence: others may have fallen silent since.
func (f *Fleet) recause(s *site, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dark || s.outage.incident == nil || now.UnixMicro()-s.outage.incident.SaidUs > causeTime.Microseconds() {
		return
	}
	cause, text := f.verdict(s, now)
	if cause != s.outage.incident.Cause {
		s.outage.incident.Cause, s.outage.incident.Text, s.outage.unsaved = cause, text, true
	}
}

// settle closes an incident when the site has been back for long enough, with what the site has told since.
func (f *Fleet) settle(ctx context.Context, s *site, now time.Time) {
	s.mu.Lock()
	i := s.outage.incident
	if i == nil || i.EndUs == 0 || i.SettledUs != 0 || now.UnixMicro()-i.EndUs < s.outage.settleFor(f.cfg.Settle, now).Microseconds() {
		s.mu.Unlock()
		return
	}
	incident := *i
	s.mu.Unlock()
	t, err := f.told(ctx, incident)
	if err != nil {
		f.deps.Log.Error("what a site told of an outage could not be read; the next try follows", "site", s.id, "err", err)
		return
	}
	f.update(s, func(s *site, _ time.Time) {
		if s.outage.incident == nil || s.outage.incident.ID != incident.ID || s.outage.incident.EndUs != incident.EndUs {
			return // it fell silent again meanwhile
		}
		s.outage.incident.Cause, s.outage.incident.Text = s.closing(incident, t, now)
		s.outage.incident.SettledUs, s.outage.unsaved = now.UnixMicro(), true
		s.outage.phases = append(s.outage.phases, PhaseBack)
		s.outage.ended(incident.EndUs)
		s.last = &Outage{StartUs: incident.StartUs, EndUs: incident.EndUs, Text: s.outage.incident.Text, Agent: incident.Outcome}
	})
}

// told reads what a site has told of the time of an incident.
func (f *Fleet) told(ctx context.Context, i health.Incident) (t told, err error) {
	scope := store.Org(i.Org)
	if t.runs, err = health.Runs(ctx, f.db.Read(), scope, i.Site, i.StartUs-toldSlackUs, i.EndUs+toldSlackUs); err != nil {
		return t, err
	}
	t.outages, err = health.Outages(ctx, f.db.Read(), scope, i.Site, i.StartUs-toldSlackUs, i.EndUs+toldSlackUs)
	return t, err
}

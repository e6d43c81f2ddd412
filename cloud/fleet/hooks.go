package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// maxConfig bounds a version of the desired configuration that an agent may claim to hold.
const maxConfig = 1 << 53

// Welcome takes in the cameras that a hello names, and returns the desired configuration if the agent's is older.
func (f *Fleet) Welcome(ctx context.Context, ref agents.Ref, hello wire.Hello) (*wire.DesiredConfig, error) {
	var seen orgs.Seen
	err := f.db.Tx(ctx, func(q store.Querier) (err error) {
		seen, err = orgs.SeenCameras(ctx, q, ref.Org, ref.Site, hello.Cameras, time.Now().UnixMicro())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take in cameras: %w", err)
	}
	for _, c := range seen.Refused {
		f.deps.Log.Warn("a camera was refused: its ID belongs to another site, or the site has too many", "site", ref.Site, "camera", c)
	}
	for _, c := range append(append(seen.Added, seen.Changed...), seen.Gone...) {
		f.deps.Changed(Change{Org: ref.Org, Site: ref.Site, Camera: c, Kind: "camera"})
	}
	s := f.entry(ref)
	if err := f.loadConfig(ctx, s, hello.Config); err != nil {
		return nil, err
	}
	agent, err := agents.Get(ctx, f.db, ref.Scope(), ref.Agent)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err := f.loadName(ctx, s); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enrolledUs = agent.EnrolledUs
	if hello.Config >= s.want.Version {
		return nil, nil
	}
	want := s.want
	return &want, nil
}

// entry returns the site's entry, made if need be.
func (f *Fleet) entry(ref agents.Ref) *site {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sites[ref.Site]
	if s == nil || s.org != ref.Org {
		s = newSite(ref.Org, ref.Site)
		f.sites[ref.Site] = s
	}
	return s
}

func newSite(org id.Org, which id.Site) *site {
	return &site{org: org, id: which, conditions: map[conditionKey]wire.ConditionFact{}, names: map[id.Camera]orgs.Camera{}}
}

func (f *Fleet) loadName(ctx context.Context, s *site) error {
	row, err := orgs.GetSite(ctx, f.db.Read(), store.Org(s.org), s.id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setName(row)
	return nil
}

func (s *site) setName(row orgs.Site) {
	s.name = row.Name
	if zone, err := time.LoadLocation(row.Timezone); err == nil {
		s.zone = zone
	}
}

// loadConfig reads the desired configuration. If the site holds a newer one than the cloud, which was restored from
// a backup then, the cloud's becomes the newest.
func (f *Fleet) loadConfig(ctx context.Context, s *site, held int64) error {
	scope := store.Org(s.org)
	want, err := orgs.Desired(ctx, f.db.Read(), scope, s.id)
	if err != nil {
		return fmt.Errorf("read desired configuration: %w", err)
	}
	if held > want.Version && held < maxConfig {
		err := f.db.Tx(ctx, func(q store.Querier) error { return health.LiftConfig(ctx, q, scope, s.id, held+1) })
		if err != nil {
			return err
		}
		want.Version = held + 1
	}
	cameras, err := orgs.Cameras(ctx, f.db.Read(), scope, s.id)
	if err != nil {
		return err
	}
	names := make(map[id.Camera]orgs.Camera, len(cameras))
	for _, c := range cameras {
		names[c.ID] = c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want, s.names = want, names
	return nil
}

// Opened says that a session was welcomed.
func (f *Fleet) Opened(_ context.Context, ref agents.Ref, hello wire.Hello) {
	f.update(f.entry(ref), func(s *site, now time.Time) { s.greet(ref, hello, now) })
}

// Heartbeat takes a heartbeat of an open session. It asks the database nothing.
func (f *Fleet) Heartbeat(_ context.Context, ref agents.Ref, beat wire.Heartbeat, rtt time.Duration) {
	s := f.find(ref.Scope(), ref.Site)
	if s == nil {
		return
	}
	f.update(s, func(s *site, now time.Time) {
		if s.agent == ref.Agent {
			s.beat(beat, rtt, now)
		}
	})
}

// Closed says that a session ended, and why in the gateway's words. If the agent was removed from its site, the
// site has none from now on and nobody is alarmed.
func (f *Fleet) Closed(ctx context.Context, ref agents.Ref, why string) {
	s := f.find(ref.Scope(), ref.Site)
	if s == nil {
		return
	}
	f.update(s, func(s *site, _ time.Time) {
		if s.agent == ref.Agent {
			s.connected, s.ending, s.stateDirty = false, why, true
		}
	})
	if gone, err := f.gone(ctx, s); err == nil && gone {
		f.update(s, func(s *site, now time.Time) { s.retire(now) })
	}
}

// gone reports whether the site has no agent any more, or another one than that which was heard of.
func (f *Fleet) gone(ctx context.Context, s *site) (bool, error) {
	s.mu.Lock()
	heard := s.agent
	s.mu.Unlock()
	if heard == "" {
		return false, nil
	}
	agent, err := agents.OfSite(ctx, f.db, store.Org(s.org), s.id)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return err == nil && agent.Agent != heard, err
}

// update changes an entry and tells of what people see differently then.
func (f *Fleet) update(s *site, fn func(s *site, now time.Time)) {
	now := time.Now()
	judging := f.judging(now)
	s.mu.Lock()
	fn(s, now)
	changes := s.changes(now, judging)
	s.mu.Unlock()
	for _, c := range changes {
		f.deps.Changed(c)
	}
}

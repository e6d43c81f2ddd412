// Package fleet knows how every site is: what it reports now, since when it is silent, why that is, and what
// happened while it was.
//
// It holds one entry for each site in memory, fed by the gateway's hooks at the cost of the site's own size, and
// writes what a restart needs at most once a minute. A site is dark 45 s after its last heartbeat and said so
// within 60 s; after a start of the cloud nothing is judged for 150 s. It says what the evidence carries and
// "unknown" beyond it. It never talks to a site but to hand it its desired configuration.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/health"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config sets the room's times. The zero value of a field means its default.
type Config struct {
	DarkAfter time.Duration // without a heartbeat; 45 s
	Grace     time.Duration // after a start, without a verdict; 150 s
	Settle    time.Duration // a site must be back for this long before an incident is closed; 2 min
	Tick      time.Duration // how often sites are judged; 2 s
	Keep      time.Duration // how often a site's state is stored, at most; 1 min
	Refresh   time.Duration // how often names of sites are read again; 1 min
}

// Validate reports every fault.
func (c Config) Validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{
		"dark_after": c.DarkAfter, "grace": c.Grace, "settle": c.Settle, "tick": c.Tick, "keep": c.Keep, "refresh": c.Refresh,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("fleet.%s: %v is negative", name, d))
		}
	}
	if c.DarkAfter != 0 && c.DarkAfter < time.Second {
		errs = append(errs, fmt.Errorf("fleet.dark_after: %v is less than a second", c.DarkAfter))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	fill := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&c.DarkAfter, 45*time.Second)
	fill(&c.Grace, 150*time.Second)
	fill(&c.Settle, 2*time.Minute)
	fill(&c.Tick, 2*time.Second)
	fill(&c.Keep, time.Minute)
	fill(&c.Refresh, time.Minute)
	return c
}

// Change says what changed, for those who look at it now.
type Change struct {
	Org    id.Org
	Site   id.Site
	Camera id.Camera
	Kind   string // site, camera, incident
	ID     string // of an incident
}

// Phases of an incident that are told.
const (
	PhaseDark   = "dark"
	PhaseBack   = "back"
	PhaseLosing = "losing"
	PhaseOver   = "over"
)

// Deps are what other rooms give. Nil fields are left out.
type Deps struct {
	Log *slog.Logger
	// Changed must not block.
	Changed func(Change)
	// Incident is called inside the transaction that stores an incident which begins (PhaseDark, PhaseLosing) or is
	// closed (PhaseBack, PhaseOver). It may be called again for the same phase, after a failure.
	Incident func(ctx context.Context, q store.Querier, incident health.Incident, phase string) error
	// Told is called after such a transaction.
	Told func()
	// Push hands a desired configuration to a connected agent.
	Push func(ctx context.Context, agent id.Agent, want wire.DesiredConfig) (wire.ConfigReply, error)
}

// Fleet is the room. Safe for concurrent use.
type Fleet struct {
	cfg  Config
	db   *store.DB
	deps Deps
	wake chan struct{} // holds one element when a configuration has changed

	pushes chan struct{} // holds one element for each push under way
	live   sync.WaitGroup

	mu        sync.RWMutex
	sites     map[id.Site]*site
	judge     time.Time // no verdict before
	loaded    bool
	hushed    []hush // who fell silent lately
	connected int    // sites that were heard of lately, at the last tick
}

// hush is one site's silence, for finding out that many fell silent together.
type hush struct {
	site   id.Site
	org    id.Org
	seenUs int64
}

// New returns the room; cfg must be valid. Run must follow.
func New(cfg Config, db *store.DB, deps Deps) *Fleet {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Changed == nil {
		deps.Changed = func(Change) {}
	}
	if deps.Incident == nil {
		deps.Incident = func(context.Context, store.Querier, health.Incident, string) error { return nil }
	}
	if deps.Told == nil {
		deps.Told = func() {}
	}
	cfg = cfg.withDefaults()
	return &Fleet{
		cfg: cfg, db: db, deps: deps, wake: make(chan struct{}, 1), pushes: make(chan struct{}, maxPushes),
		sites: map[id.Site]*site{}, judge: time.Now().Add(cfg.Grace),
	}
}

// find returns the entry of a site in the scope, nil if there is none.
func (f *Fleet) find(scope store.Scope, which id.Site) *site {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.sites[which]
	if s == nil || scope.Filter() != "*" && scope.OrgID() != s.org {
		return nil
	}
	return s
}

// judging reports whether verdicts are given: everything is loaded and the grace after a start is over.
func (f *Fleet) judging(now time.Time) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.loaded && !now.Before(f.judge)
}

// all returns every entry.
func (f *Fleet) all() []*site {
	f.mu.RLock()
	defer f.mu.RUnlock()
	out := make([]*site, 0, len(f.sites))
	for _, s := range f.sites {
		out = append(out, s)
	}
	return out
}

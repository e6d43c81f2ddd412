package fleet_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/cloud/fleet"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

// rig is a cloud with a fleet and some sites, in a bubble of synthetic time.
type rig struct {
	t      *testing.T
	d      *store.DB
	f      *fleet.Fleet
	stop   func()
	pushed chan wire.DesiredConfig
	reply  func(wire.DesiredConfig) (wire.ConfigReply, error)

	mu      sync.Mutex
	phases  []string // "dark <site name>"
	changes []fleet.Change
}

// agent is a far side: a site's agent as the gateway would show it.
type agent struct {
	r     *rig
	ref   agents.Ref
	name  string
	hello wire.Hello
	began time.Time
	cams  []id.Camera
	quit  chan struct{}
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, d: db.SQLite(t), pushed: make(chan wire.DesiredConfig, 100)}
	r.reply = func(want wire.DesiredConfig) (wire.ConfigReply, error) {
		return wire.ConfigReply{Version: want.Version}, nil
	}
	return r
}

// start starts a cloud on the rig's database, as after a restart.
func (r *rig) start() {
	r.t.Helper()
	r.f = fleet.New(fleet.Config{}, r.d, fleet.Deps{
		Changed: func(c fleet.Change) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.changes = append(r.changes, c)
		},
		Incident: func(_ context.Context, _ store.Querier, i health.Incident, phase string) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.phases = append(r.phases, phase+" "+r.siteName(i.Site))
			return nil
		},
		Push: func(_ context.Context, _ id.Agent, want wire.DesiredConfig) (wire.ConfigReply, error) {
			r.pushed <- want
			return r.reply(want)
		},
	})
	if err := r.f.Load(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.f.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}
}

func (r *rig) siteName(which id.Site) string {
	row, err := orgs.GetSite(context.Background(), r.d.Read(), store.System(store.UseWatch), which)
	if err != nil {
		return err.Error()
	}
	return row.Name
}

// site makes a site with an enrolled agent and n cameras.
func (r *rig) site(org id.Org, name string, n int) *agent {
	r.t.Helper()
	ctx := r.t.Context()
	a := &agent{r: r, name: name, ref: agents.Ref{Org: org, Site: id.New[id.Site](), Agent: id.New[id.Agent]()}, began: time.Now().Add(-time.Hour)}
	err := r.d.Tx(ctx, func(q store.Querier) error {
		if _, err := orgs.Get(ctx, q, store.Org(org), org); errors.Is(err, store.ErrNotFound) {
			if err := orgs.Add(ctx, q, orgs.Org{ID: org, Name: string(org), CreatedUs: 1}); err != nil {
				return err
			}
		}
		return orgs.AddSite(ctx, q, orgs.Site{ID: a.ref.Site, Org: org, Name: name, Timezone: "UTC", CreatedUs: 1})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	a.enrol()
	a.hello = wire.Hello{Version: 1, Site: a.ref.Site, Epoch: "E1", AgentVer: "1.2", OS: "linux/amd64", Host: "box", BootID: "boot-1", Run: 1}
	for i := range n {
		cam := id.New[id.Camera]()
		a.cams = append(a.cams, cam)
		a.hello.Cameras = append(a.hello.Cameras, wire.CameraState{Camera: cam, Name: fmt.Sprintf("Till %d", i+1), Streams: []wire.StreamState{
			{Kind: id.Main, Record: true, State: wire.OK, Codec: "avc1.64001f"}, {Kind: id.Sub, State: wire.StateUnknown},
		}})
	}
	return a
}

func (a *agent) enrol() {
	t, d := a.r.t, a.r.d
	t.Helper()
	a.ref.Agent = id.New[id.Agent]()
	pub, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMicro()
	code := agents.Code{ID: id.New[id.Code](), Org: a.ref.Org, Site: a.ref.Site, Lookup: string(id.New[id.Code]())[5:9], Key: make([]byte, 32), CreatedUs: now, ExpiresUs: now + 1e9}
	if err := agents.PutCode(t.Context(), d, a.ref.Scope(), code); err != nil {
		t.Fatal(err)
	}
	_, err = agents.Redeem(t.Context(), d, a.ref.Scope(), code.ID, agents.Agent{
		Ref: a.ref, Key: pub, SealKey: make([]byte, 32), EvidenceKey: pub, Host: "box", OS: "linux/amd64",
	}, now)
	if err != nil {
		t.Fatal(err)
	}
}

// connect opens a session and keeps sending heartbeats; it returns what the welcome carried.
func (a *agent) connect() *wire.DesiredConfig {
	a.r.t.Helper()
	ctx := a.r.t.Context()
	a.hello.Agent, a.hello.WallUs, a.hello.UpUs = a.ref.Agent, time.Now().UnixMicro(), time.Since(a.began).Microseconds()
	want, err := a.r.f.Welcome(ctx, a.ref, a.hello)
	if err != nil {
		a.r.t.Fatal(err)
	}
	a.r.f.Opened(ctx, a.ref, a.hello)
	a.quit = make(chan struct{})
	go func(quit chan struct{}) {
		tick := time.NewTicker(15 * time.Second)
		defer tick.Stop()
		for {
			a.beat(wire.Heartbeat{})
			select {
			case <-tick.C:
			case <-quit:
				return
			case <-a.r.t.Context().Done():
				return
			}
		}
	}(a.quit)
	synctest.Wait()
	return want
}

func (a *agent) beat(h wire.Heartbeat) {
	h.WallUs = time.Now().UnixMicro()
	if h.Durable == nil {
		for range a.cams {
			h.Durable = append(h.Durable, 1500)
		}
	}
	h.Disk = wire.DiskState{TotalBytes: 4e12, FreeBytes: 1.2e12, VideoBytes: 2e12, DaysLeft: 23}
	a.r.f.Heartbeat(context.Background(), a.ref, h, 31*time.Millisecond)
}

// hush stops the heartbeats; why is what the gateway says of the session's end, empty: it notices nothing.
func (a *agent) hush(why string) {
	close(a.quit)
	synctest.Wait()
	if why != "" {
		a.r.f.Closed(a.r.t.Context(), a.ref, why)
	}
}

func (a *agent) view() fleet.Site { return a.r.f.Site(a.ref.Scope(), a.ref.Site) }

func (a *agent) status() string { return a.view().Status }

func (a *agent) texts() string {
	var out []string
	for _, m := range a.view().Missing {
		out = append(out, m.Severity+": "+m.Text)
	}
	return strings.Join(out, "\n")
}

func wait(d time.Duration) {
	<-time.After(d) // synthetic time
	synctest.Wait()
}

func (r *rig) want(phases ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.phases, phases) {
		r.t.Fatalf("told %q, want %q", r.phases, phases)
	}
}

func (r *rig) incidents(org id.Org) []health.Incident {
	r.t.Helper()
	list, _, err := r.f.Incidents(r.t.Context(), store.Org(org), health.IncidentFilter{})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

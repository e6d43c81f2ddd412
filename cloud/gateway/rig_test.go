package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/pace"
	"holdfast/agent/uplink"
	"holdfast/cloud/gateway"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for something that must happen.
const wait = 20 * time.Second

// rig is a gateway on a real socket with one organisation and one site, and a record of what its hooks were told.
type rig struct {
	t    *testing.T
	db   *store.DB
	keys *gateway.Keys
	gw   *gateway.Gateway
	srv  *httptest.Server
	org  id.Org
	site id.Site
	stop func() // ends the gateway's Run and waits for it

	opened    chan wire.Hello
	closed    chan string
	beats     chan wire.Heartbeat
	batches   chan wire.Batch
	alarms    chan gateway.Alarm
	enrolled  chan gateway.Enrolment
	mu        sync.Mutex
	acks      func(wire.Batch) (wire.Ack, error)
	welcome   wire.Welcome
	parts     map[int][]byte
	completed []wire.ClipComplete
}

// put passes a value on, or drops it when nobody takes it.
func put[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

// get awaits a value.
func get[T any](t *testing.T, c chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(wait):
		t.Fatalf("no %s came in %v", what, wait)
		panic("unreachable")
	}
}

// none fails if a value is there.
func none[T any](t *testing.T, c chan T, what string) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s came: %+v", what, v)
	default:
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(wait); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s did not happen in %v", what, wait)
		}
	}
}

type option func(*gateway.Config, *gateway.Hooks)

// beating makes heartbeats quick.
func beating(every time.Duration) option {
	return func(c *gateway.Config, _ *gateway.Hooks) { c.Heartbeat = every }
}

func newRig(t *testing.T, options ...option) *rig {
	t.Helper()
	return rigOn(t, db.SQLite(t), options...)
}

func rigOn(t *testing.T, d *store.DB, options ...option) *rig {
	t.Helper()
	keys, err := gateway.LoadKeys(filepath.Join(t.TempDir(), "cloud.key"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, db: d, keys: keys, opened: make(chan wire.Hello, 100), closed: make(chan string, 100),
		beats: make(chan wire.Heartbeat, 1000), batches: make(chan wire.Batch, 100), alarms: make(chan gateway.Alarm, 100),
		enrolled: make(chan gateway.Enrolment, 100), parts: map[int][]byte{},
	}
	r.acks = func(b wire.Batch) (wire.Ack, error) {
		return wire.Ack{Queue: b.Queue, Seq: b.Facts[len(b.Facts)-1].Seq}, nil
	}
	r.org, r.site = newSite(t, d)
	r.start(options...)
	r.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.handler().ServeHTTP(w, q) }))
	t.Cleanup(func() {
		r.stop()
		r.srv.Close()
	})
	return r
}

func newSite(t *testing.T, d *store.DB) (id.Org, id.Site) {
	t.Helper()
	org, site := id.New[id.Org](), id.New[id.Site]()
	err := d.Tx(t.Context(), func(q store.Querier) error {
		if _, err := q.ExecContext(t.Context(), `INSERT INTO org (id, name, created_us) VALUES ($1, 'Acme', 1)`, org); err != nil {
			return err
		}
		_, err := q.ExecContext(t.Context(),
			`INSERT INTO site (id, org, name, timezone, created_us) VALUES ($1, $2, 'North', 'Europe/Berlin', 1)`, site, org)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return org, site
}

func (r *rig) handler() http.Handler {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gw.Handler()
}

// start makes a gateway over the rig's database and keys and runs it; also a second time, after stop.
func (r *rig) start(options ...option) {
	r.t.Helper()
	cfg, hooks := gateway.Config{Version: "test", Heartbeat: time.Second, Ping: 500 * time.Millisecond}, r.hooks()
	for _, o := range options {
		o(&cfg, &hooks)
	}
	gw, err := gateway.New(cfg, r.db, r.keys, hooks, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.gw = gw
	r.mu.Unlock()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan error, 1)
	go func() { done <- gw.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run = %v", err)
		}
	})
	probe := httptest.NewRequest(http.MethodGet, "/agent/v1/nothing", nil)
	until(r.t, "the gateway's start", func() bool {
		w := httptest.NewRecorder()
		gw.Handler().ServeHTTP(w, probe)
		return w.Code == http.StatusNotFound
	})
}

func (r *rig) hooks() gateway.Hooks {
	return gateway.Hooks{
		Welcome: func(context.Context, agents.Ref, wire.Hello) (wire.Welcome, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.welcome, nil
		},
		Opened:    func(_ context.Context, _ agents.Ref, h wire.Hello) { put(r.opened, h) },
		Closed:    func(_ context.Context, _ agents.Ref, why string) { put(r.closed, why) },
		Heartbeat: func(_ context.Context, _ agents.Ref, b wire.Heartbeat, _ time.Duration) { put(r.beats, b) },
		Batch: func(_ context.Context, ref agents.Ref, b wire.Batch) (wire.Ack, error) {
			if ref.Site != r.site || ref.Org != r.org {
				return wire.Ack{}, errors.New("a batch of a foreign site")
			}
			put(r.batches, b)
			r.mu.Lock()
			acks := r.acks
			r.mu.Unlock()
			return acks(b)
		},
		ClipBegin: func(_ context.Context, _ agents.Ref, clip id.Clip, b wire.ClipBegin) (wire.ClipPlan, error) {
			plan := wire.ClipPlan{}
			for i := range b.Parts {
				plan.Parts = append(plan.Parts, wire.PartPlan{Number: i + 1, URL: wire.PathClips + string(clip) + "/parts/" + string(rune('1'+i))})
			}
			return plan, nil
		},
		ClipPart: func(_ context.Context, _ agents.Ref, _ id.Clip, n int, body io.Reader, size int64) error {
			raw, err := io.ReadAll(body)
			if err != nil {
				return err
			}
			if int64(len(raw)) != size {
				return errors.New("the size differs")
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.parts[n] = raw
			return nil
		},
		ClipComplete: func(_ context.Context, _ agents.Ref, _ id.Clip, c wire.ClipComplete) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.parts) != len(c.ETags) {
				return wire.Refuse(wire.RefusedConflict, "a part is missing")
			}
			r.completed = append(r.completed, c)
			return nil
		},
		Names:    func(context.Context, agents.Ref) (string, string, error) { return "Acme", "North", nil },
		Enrolled: func(_ context.Context, e gateway.Enrolment) { put(r.enrolled, e) },
		Alarm:    func(_ context.Context, a gateway.Alarm) { put(r.alarms, a) },
	}
}

func (r *rig) scope() store.Scope { return store.Org(r.org) }

func (r *rig) code() string {
	r.t.Helper()
	text, _, _, err := r.gw.NewCode(r.t.Context(), r.scope(), r.site, id.New[id.Person]())
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// enrol enrols a new machine and returns its identity.
func (r *rig) enrol() uplink.Identity {
	r.t.Helper()
	me, err := uplink.Enrol(r.t.Context(), uplink.EnrolConfig{
		URL: r.srv.URL, Code: r.code(), DataDir: r.t.TempDir(), Host: "till-3",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return me
}

// site is the agent's end of a rig.
type agent struct {
	*uplink.Uplink
	opened  chan wire.Welcome
	closed  chan error
	outages chan wire.OutageFact
	beats   chan bool // full or not
	urgent  chan struct{}
	stop    func()
}

type command func(context.Context, wire.Command) (any, []byte, error)

func echo(_ context.Context, c wire.Command) (any, []byte, error) {
	return json.RawMessage(c.Body), []byte("payload"), nil
}

func run(t *testing.T, me uplink.Identity, do command, change ...func(*uplink.Config)) *agent {
	t.Helper()
	cfg := uplink.Config{Retry: backoff.Policy{Min: 10 * time.Millisecond, Cap: 50 * time.Millisecond}}
	for _, c := range change {
		c(&cfg)
	}
	a := &agent{
		opened: make(chan wire.Welcome, 100), closed: make(chan error, 100), outages: make(chan wire.OutageFact, 100),
		beats: make(chan bool, 1000), urgent: make(chan struct{}),
	}
	u, err := uplink.New(cfg, me, pace.New(0), uplink.Deps{
		Hello: func() wire.Hello {
			return wire.Hello{Epoch: "e1", AgentVer: "1.0", OS: "linux/amd64", Host: "till-3", Run: 7}
		},
		Heartbeat: func(full bool) wire.Heartbeat { put(a.beats, full); return wire.Heartbeat{MonoUs: 1} },
		Urgent:    a.urgent,
		Opened:    func(_ id.Session, w wire.Welcome) { put(a.opened, w) },
		Closed:    func(err error) { put(a.closed, err) },
		Outage:    func(o wire.OutageFact) { put(a.outages, o) },
		Command:   do,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a.Uplink = u
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(a.stop)
	return a
}

func wantProblem(t *testing.T, err error, code uplink.ProblemCode) *uplink.Problem {
	t.Helper()
	var p *uplink.Problem
	if !errors.As(err, &p) || p.Code != code {
		t.Fatalf("error %v, want a problem with code %q", err, code)
	}
	return p
}

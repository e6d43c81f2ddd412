package line_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/pace"
	"holdfast/agent/uplink"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/line"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a cloud end with real agents.
type rig struct {
	*line.Cloud
	t *testing.T
}

func newRig(t *testing.T, options ...line.Option) *rig {
	t.Helper()
	return &rig{Cloud: line.New(t, options...), t: t}
}

// enrol enrols a new machine and returns its identity.
func (r *rig) enrol() uplink.Identity {
	r.t.Helper()
	me, err := uplink.Enrol(r.t.Context(), uplink.EnrolConfig{
		URL: r.URL, Code: r.Code(), DataDir: r.t.TempDir(), Host: "till-3",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return me
}

// agent is the site's end of a line, with a record of what the uplink told the rest of the agent.
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
	return c.Body, []byte("payload"), nil
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
	u, err := uplink.New(cfg, me, pace.New(pace.Plan{}), uplink.Deps{
		Hello: func() wire.Hello {
			return wire.Hello{Epoch: "e1", AgentVer: "1.0", OS: "linux/amd64", Host: "till-3", Run: 7}
		},
		Heartbeat: func(full bool) wire.Heartbeat { line.Put(a.beats, full); return wire.Heartbeat{MonoUs: 1} },
		Urgent:    a.urgent,
		Opened:    func(_ id.Session, w wire.Welcome) { line.Put(a.opened, w) },
		Closed:    func(err error) { line.Put(a.closed, err) },
		Outage:    func(o wire.OutageFact) { line.Put(a.outages, o) },
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

func wantProblem(t *testing.T, err error, code uplink.ProblemCode) uplink.Problem {
	t.Helper()
	var p *uplink.Problem
	if !errors.As(err, &p) || p.Code != code {
		t.Fatalf("error %v, want a problem with code %q", err, code)
	}
	return *p
}

// over returns an identity of a new machine that reaches its cloud by another address.
func (r *rig) over(address string) uplink.Identity {
	r.t.Helper()
	me := r.enrol()
	me.CloudURL = address
	return me
}

// agent returns the one enrolled agent.
func (r *rig) agent() id.Agent {
	r.t.Helper()
	return line.Get(r.t, r.Enrolled, "enrolment").Agent
}

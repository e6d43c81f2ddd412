// Package line is the line between the two houses on real sockets. Cloud is its cloud end: a real gateway over a
// real database with one organisation and one site, and a record of what it told the rest of the cloud.
//
// cloud/gateway's own tests put agents on it that are made by hand and misbehave; the tests of this package join it
// with agent/uplink, because neither house may import the other. It never sleeps: it waits for conditions.
package line

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"holdfast/cloud/gateway"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

// Cloud is the cloud end of a line. Its channels carry what the gateway's hooks were told; what nobody takes is
// dropped once they are full.
type Cloud struct {
	DB   *store.DB
	Keys *gateway.Keys
	URL  string
	Org  id.Org
	Site id.Site

	Opened   chan wire.Hello
	Closed   chan string // why, in words
	Beats    chan wire.Heartbeat
	Batches  chan wire.Batch
	Alarms   chan gateway.Alarm
	Enrolled chan gateway.Enrolment

	t         testing.TB
	mu        sync.Mutex
	gw        *gateway.Gateway
	stop      func()
	answer    func(wire.Batch) (wire.Ack, error)
	welcome   wire.Welcome
	parts     map[int][]byte
	completed []wire.ClipComplete
}

// Option changes a gateway before it is made.
type Option func(*gateway.Config, *gateway.Hooks)

// Beating sets the time between heartbeats.
func Beating(every time.Duration) Option {
	return func(c *gateway.Config, _ *gateway.Hooks) { c.Heartbeat = every }
}

// Timed gives the gateway another clock.
func Timed(c *Clock) Option {
	return func(cfg *gateway.Config, _ *gateway.Hooks) { cfg.Now = c.Now }
}

// New returns a running cloud end over a SQLite database. It ends with the test.
func New(t testing.TB, options ...Option) *Cloud {
	t.Helper()
	return On(t, db.SQLite(t), options...)
}

// On returns a running cloud end over this database. It ends with the test.
func On(t testing.TB, d *store.DB, options ...Option) *Cloud {
	t.Helper()
	keys, err := gateway.LoadKeys(filepath.Join(t.TempDir(), "cloud.key"))
	if err != nil {
		t.Fatal(err)
	}
	c := &Cloud{
		DB: d, Keys: keys, Opened: make(chan wire.Hello, 100), Closed: make(chan string, 100),
		Beats: make(chan wire.Heartbeat, 1000), Batches: make(chan wire.Batch, 100), Alarms: make(chan gateway.Alarm, 100),
		Enrolled: make(chan gateway.Enrolment, 100), t: t, parts: map[int][]byte{},
	}
	c.answer = func(b wire.Batch) (wire.Ack, error) {
		return wire.Ack{Queue: b.Queue, Seq: b.Facts[len(b.Facts)-1].Seq}, nil
	}
	c.Org, c.Site = newSite(t, d)
	c.Start(options...)
	srv := httptest.NewServer(c)
	c.URL = srv.URL
	t.Cleanup(func() {
		c.Stop()
		srv.Close()
	})
	return c
}

func newSite(t testing.TB, d *store.DB) (id.Org, id.Site) {
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

// Start makes a gateway over the same database and keys and runs it; also again, after Stop. It returns when the
// gateway serves.
func (c *Cloud) Start(options ...Option) {
	c.t.Helper()
	cfg, hooks := gateway.Config{Version: "test", Heartbeat: time.Second, Ping: 500 * time.Millisecond}, c.hooks()
	for _, o := range options {
		o(&cfg, &hooks)
	}
	gw, err := gateway.New(cfg, c.DB, c.Keys, hooks, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	done := make(chan error, 1)
	go func() { done <- gw.Run(ctx) }()
	c.mu.Lock()
	c.gw = gw
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("Run = %v", err)
		}
	})
	c.mu.Unlock()
	probe := httptest.NewRequest(http.MethodGet, "/agent/v1/nothing", nil)
	Until(c.t, "the gateway's start", func() bool {
		w := httptest.NewRecorder()
		gw.Handler().ServeHTTP(w, probe)
		return w.Code == http.StatusNotFound
	})
}

// Stop ends the gateway's Run and waits for it. The address goes on to answer, with the refusals of a gateway that
// has ended.
func (c *Cloud) Stop() {
	c.mu.Lock()
	stop := c.stop
	c.mu.Unlock()
	stop()
}

// Gateway returns the gateway that runs now.
func (c *Cloud) Gateway() *gateway.Gateway {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gw
}

// ServeHTTP hands a request to the gateway that runs now.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	c.Gateway().Handler().ServeHTTP(w, q)
}

// Greet sets what the cloud adds to each welcome.
func (c *Cloud) Greet(w wire.Welcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.welcome = w
}

// Answer sets how batches are answered; the default acknowledges them.
func (c *Cloud) Answer(fn func(wire.Batch) (wire.Ack, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = fn
}

// Parts returns the parts of clips that came, by number from 1.
func (c *Cloud) Parts() map[int][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.parts)
}

// Completed returns the clips that were completed.
func (c *Cloud) Completed() []wire.ClipComplete {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]wire.ClipComplete(nil), c.completed...)
}

func (c *Cloud) hooks() gateway.Hooks {
	return gateway.Hooks{
		Welcome: func(context.Context, agents.Ref, wire.Hello) (wire.Welcome, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.welcome, nil
		},
		Opened:       func(_ context.Context, _ agents.Ref, h wire.Hello) { Put(c.Opened, h) },
		Closed:       func(_ context.Context, _ agents.Ref, why string) { Put(c.Closed, why) },
		Heartbeat:    func(_ context.Context, _ agents.Ref, b wire.Heartbeat, _ time.Duration) { Put(c.Beats, b) },
		Batch:        c.batch,
		ClipBegin:    clipBegin,
		ClipPart:     c.clipPart,
		ClipComplete: c.clipComplete,
		Names:        func(context.Context, agents.Ref) (string, string, error) { return "Acme", "North", nil },
		Enrolled:     func(_ context.Context, e gateway.Enrolment) { Put(c.Enrolled, e) },
		Alarm:        func(_ context.Context, a gateway.Alarm) { Put(c.Alarms, a) },
	}
}

func (c *Cloud) batch(_ context.Context, ref agents.Ref, b wire.Batch) (wire.Ack, error) {
	if ref.Site != c.Site || ref.Org != c.Org {
		return wire.Ack{}, errors.New("a batch of a foreign site")
	}
	Put(c.Batches, b)
	c.mu.Lock()
	answer := c.answer
	c.mu.Unlock()
	return answer(b)
}

func clipBegin(_ context.Context, _ agents.Ref, clip id.Clip, b wire.ClipBegin) (wire.ClipPlan, error) {
	var plan wire.ClipPlan
	for i := range b.Parts {
		plan.Parts = append(plan.Parts, wire.PartPlan{
			Number: i + 1, URL: wire.PathClips + string(clip) + "/parts/" + strconv.Itoa(i+1),
		})
	}
	return plan, nil
}

func (c *Cloud) clipPart(_ context.Context, _ agents.Ref, _ id.Clip, n int, body io.Reader, size int64) error {
	raw, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if int64(len(raw)) != size {
		return errors.New("the size differs")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts[n] = raw
	return nil
}

func (c *Cloud) clipComplete(_ context.Context, _ agents.Ref, _ id.Clip, done wire.ClipComplete) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.parts) != len(done.ETags) {
		return wire.Refuse(wire.RefusedConflict, "a part is missing")
	}
	c.completed = append(c.completed, done)
	return nil
}

// Scope returns the scope of the organisation.
func (c *Cloud) Scope() store.Scope { return store.Org(c.Org) }

// Code returns a new enrolment code of the site, as a person would type it.
func (c *Cloud) Code() string {
	c.t.Helper()
	text, _, _, err := c.Gateway().NewCode(c.t.Context(), c.Scope(), c.Site, id.New[id.Person]())
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// Forward sends a request with this body on to the gateway and returns its answer, whose body has been read.
func (c *Cloud) Forward(q *http.Request, body []byte) (*http.Response, []byte) {
	c.t.Helper()
	out, err := http.NewRequestWithContext(c.t.Context(), q.Method, c.URL+q.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	out.Header = q.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp, answer
}

// Post sends v as one JSON message, unsigned, and returns the answer's status and body.
func (c *Cloud) Post(path string, v any) (int, []byte) {
	c.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, body := c.Forward(&http.Request{Method: http.MethodPost, URL: &url.URL{Path: path}, Header: http.Header{}}, raw)
	return resp.StatusCode, body
}

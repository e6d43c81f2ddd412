// Package gateway is the cloud's side of the line to the sites: it enrols agents, holds the one session of each,
// sends commands, and takes in what agents send over signed requests.
//
// It promises that a code makes one identity, that an identity has one live session, that nothing reaches a hook
// without a signature by the agent it names, and that every answer is signed. It never sees a code's secret, and
// it knows nothing of what facts, clips and commands mean: hooks and callers do. shared/wire/PROTOCOL.md tells
// the exchange.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config bounds the gateway. Its zero value is ready for use.
type Config struct {
	// Replica names this process among all that share the database; "main" when empty. After a restart it must
	// be the same.
	Replica string
	// Version is the cloud's program version, shown to agents.
	Version string
	// Heartbeat is how often agents report; 15 s when 0. A session without a frame for three times as long ends.
	Heartbeat time.Duration
	// Ping is how long the incumbent of a doubled identity has to answer; 10 s when 0.
	Ping time.Duration
	// Handshakes is how many sessions may be opened per second, over all agents; 100 when 0.
	Handshakes float64
	// Proxies are the networks of the balancers in front, whose X-Forwarded-For is believed.
	Proxies []netip.Prefix
	// Now is the cloud's clock; time.Now when nil.
	Now func() time.Time
}

// Validate reports every fault of the configuration.
func (c Config) Validate() error {
	var errs []error
	if len(c.Replica) > wire.MaxNameRunes {
		errs = append(errs, errors.New("gateway.replica: the name is too long"))
	}
	if c.Heartbeat != 0 && (c.Heartbeat < 10*time.Millisecond || c.Heartbeat > time.Minute) {
		errs = append(errs, fmt.Errorf("gateway.heartbeat: want up to 1m, not %v", c.Heartbeat))
	}
	if c.Ping < 0 || c.Ping > 20*time.Second {
		errs = append(errs, fmt.Errorf("gateway.ping: want up to 20s, not %v", c.Ping))
	}
	if c.Handshakes < 0 {
		errs = append(errs, fmt.Errorf("gateway.handshakes: want 0 or more, not %v", c.Handshakes))
	}
	for _, p := range c.Proxies {
		if !p.IsValid() {
			errs = append(errs, errors.New("gateway.proxies: a network is not written like 10.0.0.0/8"))
		}
	}
	return errors.Join(errs...)
}

func (c Config) filled() Config {
	if c.Replica == "" {
		c.Replica = "main"
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 15 * time.Second
	}
	if c.Ping == 0 {
		c.Ping = 10 * time.Second
	}
	if c.Handshakes == 0 {
		c.Handshakes = 100
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Hooks are the rooms behind the gateway; the hall fills them. A nil hook does nothing, but batches and clips
// are then refused. Errors that are a *wire.Refusal reach the agent as they are; store.ErrNotFound becomes
// "not_found"; everything else is logged and becomes "internal". Hooks of one agent's session are called one
// after the other, except for Batch, Days, Restate and those of clips, which run beside them.
type Hooks struct {
	// Welcome adds Marks, Config and Clips to the answer to a hello.
	Welcome func(ctx context.Context, ref agents.Ref, hello wire.Hello) (wire.Welcome, error)
	// Opened and Closed frame a session: no second Opened of an agent comes before the first one's Closed.
	Opened func(ctx context.Context, ref agents.Ref, hello wire.Hello)
	Closed func(ctx context.Context, ref agents.Ref, why string)
	// Heartbeat gets every heartbeat of an open session; rtt is the agent's last measured round trip.
	Heartbeat func(ctx context.Context, ref agents.Ref, beat wire.Heartbeat, rtt time.Duration)
	// Batch applies facts once and returns after the commit.
	Batch func(ctx context.Context, ref agents.Ref, batch wire.Batch) (wire.Ack, error)
	// Days compares days as a site holds them with the cloud's, and Restate takes over the site's word where they differ.
	Days    func(ctx context.Context, ref agents.Ref, ask wire.DayAsk) (wire.DayAnswer, error)
	Restate func(ctx context.Context, ref agents.Ref, r wire.Restatement) (wire.Restated, error)
	// ClipBegin, ClipPart, ClipPiece and ClipComplete take in a clip. The part's body ends with an error instead of io.EOF
	// if it is not what the agent signed; size is its length in bytes.
	ClipBegin    func(ctx context.Context, ref agents.Ref, clip id.Clip, begin wire.ClipBegin) (wire.ClipPlan, error)
	ClipPart     func(ctx context.Context, ref agents.Ref, clip id.Clip, number int, body io.Reader, size int64) error
	ClipPiece    func(ctx context.Context, ref agents.Ref, clip id.Clip, number, piece int, body io.Reader) error
	ClipComplete func(ctx context.Context, ref agents.Ref, clip id.Clip, complete wire.ClipComplete) error
	// Names returns the names of an agent's organisation and site, for the person who enrols it.
	Names func(ctx context.Context, ref agents.Ref) (org, site string, err error)
	// Cameras returns the cameras that the agent's site has had, for a machine that replaces another.
	Cameras func(ctx context.Context, ref agents.Ref) ([]wire.CameraKey, error)
	// Enrolled tells of a new agent, and Alarm of what a person should look into; both are for the audit.
	Enrolled func(ctx context.Context, e Enrolment)
	Alarm    func(ctx context.Context, a Alarm)
}

// Enrolment is a new identity.
type Enrolment struct {
	agents.Ref
	Code     id.Code
	By       id.Person // who made the code
	Host     string
	OS       string
	Addr     netip.Addr
	Replaced id.Agent // the site's former agent, now revoked; empty if there was none
}

// AlarmKind names what a person should look into.
type AlarmKind string

// Kinds of alarms.
const (
	AlarmDuplicate AlarmKind = "duplicate" // a second live machine uses an agent's identity
	AlarmGuessing  AlarmKind = "guessing"  // enrolment codes are being guessed
	AlarmForged    AlarmKind = "forged"    // a request or frame with a wrong signature, or seen before
)

// Alarm is something that a person should look into; the same one comes at most once a minute.
type Alarm struct {
	Kind  AlarmKind
	Ref   agents.Ref // what is known of whom it concerns
	Addr  netip.Addr // who called
	Text  string
	Count int64 // how many since the last alarm of this kind
}

// Gateway holds the sessions. Safe for concurrent use.
type Gateway struct {
	cfg    Config
	db     *store.DB
	keys   *Keys
	hooks  Hooks
	log    *slog.Logger
	coder  *wire.BatchCoder
	admits *rate.Limiter
	decode chan struct{} // holds one element per batch in memory
	guess  *guesses
	alarms *alarms

	mu       sync.Mutex
	state    state
	sessions map[id.Agent]*session
	shakes   map[string]int64 // signatures of handshakes, until they expire
	refused  map[wire.RefusalCode]int64
	live     sync.WaitGroup // session handlers
	quit     chan struct{}  // closed when Run ends
}

type state int

const (
	starting state = iota
	open
	closing
)

const (
	maxDecodes    = 16               // batches in memory at once
	lease         = 60 * time.Second // of a session's row; renewed three times as often
	codeLife      = time.Hour
	codeKept      = 30 * 24 * time.Hour // after its expiry, for a lost reply and for display
	closeTimeout  = 5 * time.Second
	writeTimeout  = 10 * time.Second
	helloTimeout  = 15 * time.Second
	commandWait   = 15 * time.Second
	commandLonger = 60 * time.Second
)

// New returns a Gateway over the database; Run must follow.
func New(cfg Config, db *store.DB, keys *Keys, hooks Hooks, log *slog.Logger) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	coder, err := wire.NewBatchCoder(maxDecodes)
	if err != nil {
		return nil, err
	}
	cfg = cfg.filled()
	return &Gateway{
		cfg: cfg, db: db, keys: keys, hooks: hooks, log: log, coder: coder,
		admits: rate.NewLimiter(rate.Limit(cfg.Handshakes), max(1, int(2*cfg.Handshakes))),
		decode: make(chan struct{}, maxDecodes), guess: newGuesses(), alarms: newAlarms(),
		sessions: map[id.Agent]*session{}, shakes: map[string]int64{}, refused: map[wire.RefusalCode]int64{}, quit: make(chan struct{}),
	}, nil
}

func (g *Gateway) nowUs() int64 { return g.cfg.Now().UnixMicro() }

// Handler serves every path below /agent/v1/. The server around it needs a ReadHeaderTimeout and an IdleTimeout;
// deadlines for bodies are set here, and verified claims come before any body is read.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathEnrolStart, g.enrolStart)
	mux.HandleFunc("POST "+wire.PathEnrolFinish, g.enrolFinish)
	mux.HandleFunc("GET "+wire.PathSession, g.openSession)
	mux.HandleFunc("POST "+wire.PathBatch, g.postBatch)
	mux.HandleFunc("POST "+wire.PathDays, posted(g, "compare the days", g.hooks.Days))
	mux.HandleFunc("POST "+wire.PathRestate, posted(g, "take the days over", g.hooks.Restate))
	mux.HandleFunc("POST "+wire.PathClips+"{clip}/begin", g.clipBegin)
	mux.HandleFunc("PUT "+wire.PathClips+"{clip}/parts/{number}", g.clipPart)
	mux.HandleFunc("PUT "+wire.PathClips+"{clip}/parts/{number}/pieces/{piece}", g.clipPiece)
	mux.HandleFunc("POST "+wire.PathClips+"{clip}/complete", g.clipComplete)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		g.refuse(w, r, wire.Refuse(wire.RefusedMissing, "the cloud has nothing under this path"))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A browser has no business here: it would bring its person's cookies along.
		if r.Header.Get("Origin") != "" || r.Header.Get("Cookie") != "" {
			http.Error(w, "this address is for agents, not for browsers", http.StatusForbidden)
			return
		}
		g.mu.Lock()
		ready := g.state == open
		g.mu.Unlock()
		if !ready {
			g.shutdown(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (g *Gateway) shutdown(w http.ResponseWriter, r *http.Request) {
	refusal := wire.Refuse(wire.RefusedShutdown, "the cloud is starting or stopping: come back in a moment")
	refusal.RetryUs = g.spread(2*time.Second, 4*time.Second)
	g.refuse(w, r, refusal)
}

// Run keeps the leases of open sessions and removes old codes until ctx ends; then every agent is told to come
// back, spread over some seconds, and the last session's end is awaited.
func (g *Gateway) Run(ctx context.Context) error {
	if err := agents.DropReplica(ctx, g.db, store.System(store.UseAgent), g.cfg.Replica, lease.Microseconds()); err != nil {
		if ctx.Err() != nil {
			return nil // told to end before it had begun
		}
		return err
	}
	g.setState(open)
	defer g.close()
	ticker := time.NewTicker(lease / 3)
	defer ticker.Stop()
	var swept time.Time
	for {
		g.keep(ctx)
		if now := g.cfg.Now(); now.Sub(swept) > time.Hour {
			swept = now
			g.sweep(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (g *Gateway) setState(s state) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = s
}

func (g *Gateway) keep(ctx context.Context) {
	now := g.cfg.Now()
	g.guess.prune(now)
	g.mu.Lock()
	for sig, expiresUs := range g.shakes {
		if expiresUs < now.UnixMicro() {
			delete(g.shakes, sig)
		}
	}
	g.mu.Unlock()
	until := now.Add(lease).UnixMicro()
	if err := agents.RenewLeases(ctx, g.db, store.System(store.UseAgent), g.cfg.Replica, until); err != nil && ctx.Err() == nil {
		g.log.Error("cannot renew the leases of sessions: is the database reachable?", "err", err)
	}
}

func (g *Gateway) sweep(ctx context.Context) {
	before := g.cfg.Now().Add(-codeKept).UnixMicro()
	n, err := agents.SweepCodes(ctx, g.db, store.System(store.UseSweep), before)
	switch {
	case err != nil && ctx.Err() == nil:
		g.log.Error("cannot remove old enrolment codes: is the database reachable?", "err", err)
	case n > 0:
		g.log.Info("removed old enrolment codes", "count", n)
	}
}

// close sends every agent away and waits until the last handler is done.
func (g *Gateway) close() {
	g.mu.Lock()
	g.state = closing
	close(g.quit)
	all := make([]*session, 0, len(g.sessions))
	for _, s := range g.sessions {
		all = append(all, s)
	}
	g.mu.Unlock()
	// 50 agents a second come back, after the cloud had time to restart.
	window := max(time.Second, time.Duration(len(all))*time.Second/50)
	for _, s := range all {
		s.stop(wire.Bye{
			Code: wire.RefusedShutdown, Text: "the cloud is restarting", RetryUs: g.spread(2*time.Second, window),
		})
	}
	g.live.Wait()
}

// Counters returns how many requests and sessions were refused since the start, by code.
func (g *Gateway) Counters() map[wire.RefusalCode]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[wire.RefusalCode]int64, len(g.refused))
	for code, n := range g.refused {
		out[code] = n
	}
	return out
}

func (g *Gateway) count(code wire.RefusalCode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused[code]++
}

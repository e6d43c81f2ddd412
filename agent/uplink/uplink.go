// Package uplink is the gate of the agent: it enrols the machine, keeps its identity, holds the one session with
// the cloud, and sends facts and clips over signed requests.
//
// It promises that only the holder of the pinned cloud key can give commands, only commands of the closed list,
// each once and before it expires; that a dead line is noticed within 45 s and dialled again with jitter; and
// that whatever is wrong is said in a sentence. It never blocks recording, never skips the verification of TLS,
// and never lets a key reach a log. shared/wire/PROTOCOL.md tells the exchange.
package uplink

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/agent/pace"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config says how to reach the cloud. Its zero value is ready for use.
type Config struct {
	Proxy  Proxy
	CAFile string // extra authorities, PEM; empty: the system's
	// Retry spaces out attempts; 2 s to 30 s, full jitter, when zero.
	Retry backoff.Policy
	// Now is the machine's clock; time.Now when nil.
	Now func() time.Time
}

// Validate reports every fault of the configuration.
func (c Config) Validate() error {
	errs := []error{c.Proxy.check()}
	if c.CAFile != "" {
		_, err := Authorities(c.CAFile)
		errs = append(errs, err)
	}
	if c.Retry != (backoff.Policy{}) && (c.Retry.Min <= 0 || c.Retry.Cap < c.Retry.Min) {
		errs = append(errs, fmt.Errorf("uplink.retry: want a first wait above zero and a cap above it, not %v and %v", c.Retry.Min, c.Retry.Cap))
	}
	return errors.Join(errs...)
}

// Deps are what the gate asks of the house and tells it; the hall fills them. A nil one is left out.
type Deps struct {
	// Hello returns the full state. Version, Agent, Site and the keys are filled in here, and LineGone if the
	// hall does not know better.
	Hello func() wire.Hello
	// Heartbeat returns what has changed; all of it when full, which is so once after each welcome.
	Heartbeat func(full bool) wire.Heartbeat
	// Urgent asks for a heartbeat at once, for a condition that changed.
	Urgent <-chan struct{}
	// Opened and Closed frame a session, in turns. The error of Closed is a *Problem.
	Opened func(session id.Session, welcome wire.Welcome)
	Closed func(err error)
	// Outage tells, when the line is back, from when to when it was gone and what was seen meanwhile.
	Outage func(wire.OutageFact)
	// Command does what a command asks for; ctx ends when the command expires or the session ends. reply is
	// marshalled, payload is sent beside it. A *wire.Failure gives the error a code.
	Command func(ctx context.Context, command wire.Command) (reply any, payload []byte, err error)
}

// Uplink is the gate. Safe for concurrent use.
type Uplink struct {
	cfg  Config
	deps Deps
	pace *pace.Pace
	log  *slog.Logger
	base *url.URL
	line *http.Transport // of the session
	bulk *http.Transport // of everything else
	// carried counts the bytes that session connections were given.
	carried *atomic.Int64
	coder   *wire.BatchCoder
	clock   *clock

	mu       sync.Mutex
	me       Identity
	session  *session
	problem  *Problem
	goneUs   int64 // machine's time when the line went; 0 while it is there
	openedUs int64
	failed   int       // attempts since the line went
	next     time.Time // of the next attempt
	rtt      time.Duration
	certEnds time.Time
}

// New returns an Uplink for an enrolled machine; Run must follow.
func New(cfg Config, me Identity, budget *pace.Pace, deps Deps, log *slog.Logger) (*Uplink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Retry == (backoff.Policy{}) {
		cfg.Retry = backoff.Policy{Min: 2 * time.Second, Cap: 30 * time.Second}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	base, err := parseCloud(me.CloudURL)
	if err != nil {
		return nil, err
	}
	carried := new(atomic.Int64)
	line, err := transport(cfg.Proxy, cfg.CAFile, func(c net.Conn) net.Conn { return counted{unasked(c), carried} })
	if err != nil {
		return nil, err
	}
	bulk, err := transport(cfg.Proxy, cfg.CAFile, func(c net.Conn) net.Conn { return budget.Conn(pace.Urgent, c) })
	if err != nil {
		return nil, err
	}
	coder, err := wire.NewBatchCoder(1)
	if err != nil {
		return nil, err
	}
	return &Uplink{
		cfg: cfg, deps: deps, pace: budget, log: log, base: base, line: line, bulk: bulk, coder: coder, me: me,
		clock:   &clock{now: cfg.Now},
		carried: carried,
	}, nil
}

// unasked prepares a connection whose bytes do not ask the budget themselves. What the system holds back unsent is
// kept low all the same, so that a heartbeat is not stuck behind a still on a narrow line.
func unasked(c net.Conn) net.Conn {
	pace.KeepUnsentLow(c)
	return c
}

// lasting is how long a session must have been open for the next attempt to come as soon as after the first cut.
const lasting = time.Minute

// Run keeps a session open until ctx ends.
func (u *Uplink) Run(ctx context.Context) error {
	defer u.line.CloseIdleConnections()
	defer u.bulk.CloseIdleConnections()
	u.mu.Lock()
	u.goneUs = u.cfg.Now().UnixMicro()
	u.mu.Unlock()
	retry := backoff.New(u.cfg.Retry)
	for ctx.Err() == nil {
		begun := time.Now()
		offset, _ := u.clock.offset()
		err := u.connect(ctx)
		if ctx.Err() != nil {
			break
		}
		problem := diagnose(err, u.base.Host, u.cfg.Now())
		if time.Since(begun) > lasting {
			retry.Reset()
		}
		if problem.Code == ProblemCode(wire.RefusedClock) && u.learned(offset) {
			u.lost(problem, time.Time{})
			continue // the cloud has said what time it is: the next attempt is right
		}
		wait := retry.Next(problem.Retry)
		u.lost(problem, time.Now().Add(wait))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// learned reports whether the estimate of the cloud's clock has moved by more than a signature may be old.
func (u *Uplink) learned(before time.Duration) bool {
	after, known := u.clock.offset()
	return known && (after-before).Abs() > wire.SignedFor/2
}

// lost notes a failed attempt, or a session's end, and logs it once.
func (u *Uplink) lost(p *Problem, next time.Time) {
	u.mu.Lock()
	known := u.problem != nil && u.problem.Code == p.Code
	u.problem, u.next = p, next
	u.failed++
	tries := u.failed
	u.mu.Unlock()
	switch {
	case !known:
		u.log.Warn("no session with the cloud", "problem", p.Code, "text", p.Text)
	case tries%20 == 0:
		u.log.Warn("still no session with the cloud", "problem", p.Code, "text", p.Text, "tries", tries)
	}
}

// opened notes that the line is there and returns the outage that it ended; nil if there was none to tell.
func (u *Uplink) opened(s *session) *wire.OutageFact {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.cfg.Now().UnixMicro()
	var outage *wire.OutageFact
	if u.failed > 0 && u.problem != nil {
		outage = &wire.OutageFact{StartUs: min(u.goneUs, now), EndUs: now, Text: u.problem.Text}
	}
	u.session, u.problem, u.failed, u.goneUs, u.openedUs, u.next = s, nil, 0, 0, now, time.Time{}
	return outage
}

// closed notes that the session is over.
func (u *Uplink) closed() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.session, u.goneUs, u.rtt = nil, u.cfg.Now().UnixMicro(), 0
}

func (u *Uplink) identity() Identity {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.me
}

// current returns the open session, nil if there is none.
func (u *Uplink) current() *session {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.session
}

// Status is the state of the line.
type Status struct {
	Connected bool
	SinceUs   int64      // connected, or gone, since then, by the machine's clock
	Session   id.Session // while connected
	Problem   *Problem   // what keeps it from the cloud; nil while connected and before the first attempt's end
	Tries     int        // attempts since the line went
	Next      time.Time  // of the next attempt; zero while connected or dialling
	RTT       time.Duration
	Offset    time.Duration // the cloud's clock minus the machine's, if OffsetKnown
	// OffsetKnown says that the cloud's clock was seen since the agent started.
	OffsetKnown bool
	CertEnds    time.Time // of the certificate that the cloud showed last; zero without TLS
}

// Status returns the state of the line.
func (u *Uplink) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := Status{Connected: u.session != nil, SinceUs: u.goneUs, Problem: u.problem, Tries: u.failed, Next: u.next, RTT: u.rtt, CertEnds: u.certEnds}
	if u.session != nil {
		s.SinceUs, s.Session = u.openedUs, u.session.id
	}
	s.Offset, s.OffsetKnown = u.clock.offset()
	return s
}

// randomCounter returns the counter of a request that opens a session.
func randomCounter() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never returns an error since Go 1.24
	return binary.BigEndian.Uint64(b[:])>>12 | 1
}

// clock estimates the cloud's clock from its signed words.
type clock struct {
	now func() time.Time

	mu     sync.Mutex
	known  bool
	seen   time.Time     // the machine's clock, wall and monotonic, at the last word
	wallUs int64         // the machine's wall clock then
	cloud  int64         // the cloud's clock then
	diff   time.Duration // cloud minus machine then
}

// learn takes a word of the cloud that was said at the machine's time at.
func (c *clock) learn(cloudUs int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.seen, c.wallUs, c.cloud = true, at, at.UnixMicro(), cloudUs
	c.diff = time.Duration(cloudUs-at.UnixMicro()) * time.Microsecond
}

// offset returns the cloud's clock minus the machine's, and whether it is known.
func (c *clock) offset() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.diff, c.known
}

// cloudUs returns the cloud's clock: what has passed since its last word is measured on the monotonic clock.
func (c *clock) cloudUs() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if !c.known {
		return now.UnixMicro()
	}
	return c.cloud + now.Sub(c.seen).Microseconds()
}

// latestUs is cloudUs, or later if the wall clock says that more time has passed: the monotonic clock stands
// still while a machine sleeps, and what was sent before must not be done afterwards.
func (c *clock) latestUs() int64 {
	mono := c.cloudUs()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return mono
	}
	return max(mono, c.cloud+c.now().UnixMicro()-c.wallUs)
}

// stepped reports how far the wall clock and the monotonic clock have parted since the cloud's last word.
func (c *clock) stepped() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return 0
	}
	now := c.now()
	return time.Duration(now.UnixMicro()-c.wallUs)*time.Microsecond - now.Sub(c.seen)
}

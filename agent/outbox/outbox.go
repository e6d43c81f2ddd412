// Package outbox is the room that brings facts to the cloud: it drains the ledger's queues while a session is
// open, marks what the cloud has acked, and removes it a day later.
//
// Urgent, live and backlog facts go side by side, a few batches of each in flight, so that an alarm never waits
// behind a backlog and a backlog is never starved; the line's budget weighs them by their lane. It promises
// order inside a queue and that nothing unacked is dropped, however long the cloud is away. Once a day it compares the
// days that are over with the cloud, by count and hash, and says again what differs. It never writes facts of its own
// and knows nothing of how a batch travels.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/backoff"
	"holdfast/shared/wire"
)

// Sender carries one batch to the cloud and returns its ack.
type Sender interface {
	SendBatch(ctx context.Context, b wire.Batch) (wire.Ack, error)
}

// Config bounds what the room sends and keeps. The zero value of a field means its default.
type Config struct {
	BatchFacts int           // facts in one batch; 2,000
	BatchBytes int           // bytes of facts in one batch; 1 MiB
	Linger     time.Duration // how long live facts wait for others to share their batch; 1 s, below zero for none
	Timeout    time.Duration // for one batch; 2 minutes
	RetryMin   time.Duration // ceiling of the first wait after an error; 1 s
	RetryCap   time.Duration // ceiling of every wait; 30 s
	Keep       time.Duration // how long acked facts are kept, for a cloud restored from a backup; 24 h
	PurgeEvery time.Duration // 1 h
	// CompareEvery is about how often it is looked whether days are to be compared with the cloud; 10 min.
	CompareEvery time.Duration
}

// Validate reports every fault.
func (c Config) Validate() error {
	var errs []error
	check := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.BatchFacts < 0 || c.BatchFacts > wire.MaxBatchFacts, "batch_facts: %d is not in 0 to %d", c.BatchFacts, wire.MaxBatchFacts)
	check(c.BatchBytes < 0 || c.BatchBytes > maxBytes, "batch_bytes: %d is not in 0 to %d", c.BatchBytes, maxBytes)
	for name, d := range map[string]time.Duration{
		"timeout": c.Timeout, "retry_min": c.RetryMin, "retry_cap": c.RetryCap, "keep": c.Keep, "purge_every": c.PurgeEvery,
		"compare_every": c.CompareEvery,
	} {
		check(d < 0, "%s: %v is negative", name, d)
	}
	full := c.withDefaults()
	check(full.RetryCap < full.RetryMin, "retry_cap: %v is below retry_min, %v", full.RetryCap, full.RetryMin)
	return errors.Join(errs...)
}

// maxBytes leaves room in a batch for what is around the facts.
const maxBytes = wire.MaxBatchBytes - wire.MaxFactBytes

func (c Config) withDefaults() Config {
	c.BatchFacts, c.BatchBytes = either(c.BatchFacts, wire.MaxBatchFacts), either(c.BatchBytes, 1<<20)
	c.Linger, c.Timeout = either(c.Linger, time.Second), either(c.Timeout, 2*time.Minute)
	c.RetryMin, c.RetryCap = either(c.RetryMin, time.Second), either(c.RetryCap, 30*time.Second)
	c.Keep, c.PurgeEvery = either(c.Keep, 24*time.Hour), either(c.PurgeEvery, time.Hour)
	c.CompareEvery = either(c.CompareEvery, 10*time.Minute)
	return c
}

func either[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Outbox is the room. Safe for concurrent use.
type Outbox struct {
	cfg    Config
	ledger *ledger.Ledger
	sender Sender
	log    *slog.Logger
	parked atomic.Int64

	comparer Comparer // nil: days are not compared
	tally    tally

	mu      sync.Mutex
	session *session // nil without one
	changed chan struct{}
	fault   string
}

// session is one opening of the line.
type session struct {
	marks []wire.Mark
	over  chan struct{} // closed at its end
}

// New returns the room; cfg must be valid. Without a comparer days are not compared.
func New(cfg Config, l *ledger.Ledger, sender Sender, comparer Comparer, log *slog.Logger) *Outbox {
	return &Outbox{cfg: cfg.withDefaults(), ledger: l, sender: sender, comparer: comparer, log: log, changed: make(chan struct{})}
}

// Opened says that a session with the cloud has opened, and what the cloud has of the ledger's epoch. It
// does not block.
func (o *Outbox) Opened(marks []wire.Mark) {
	o.set(&session{marks: marks, over: make(chan struct{})})
}

// Closed says that the session has ended: what is in flight is given up and sent again in the next one. It
// does not block.
func (o *Outbox) Closed() { o.set(nil) }

func (o *Outbox) set(s *session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.session != nil {
		close(o.session.over)
	}
	o.session = s
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *Outbox) present() (*session, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.session, o.changed
}

// Parked returns how many facts the cloud has put aside since the agent started, because it could not apply
// them. They are kept there for a person to look at.
func (o *Outbox) Parked() int64 { return o.parked.Load() }

// Minute returns how many facts the cloud has acked within the last minute.
func (o *Outbox) Minute() int64 { return o.tally.minute(time.Now()) }

// Fault returns in words why the newest batch did not reach the cloud, empty when it did.
func (o *Outbox) Fault() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fault
}

func (o *Outbox) setFault(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = text
}

// Run sends and purges while a session is open, until ctx ends; it then returns nil.
func (o *Outbox) Run(ctx context.Context) error {
	for {
		s, changed := o.present()
		if s != nil {
			o.serve(ctx, s)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// serve drains the queues until the session ends.
func (o *Outbox) serve(ctx context.Context, s *session) {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	ctx, cancel := context.WithCancel(ctx)
	lanes.Go(func() {
		defer cancel()
		select {
		case <-s.over:
		case <-ctx.Done():
		}
	})
	if !o.begin(ctx, s.marks) {
		return
	}
	for _, lane := range []wire.Lane{wire.Urgent, wire.Live, wire.Backlog} {
		lanes.Go(func() { o.drain(ctx, lane) })
	}
	lanes.Go(func() { o.purge(ctx) })
	if o.comparer != nil {
		lanes.Go(func() { o.compare(ctx) })
	}
}

// begin brings ledger and cloud in line; false when the session ended before that.
func (o *Outbox) begin(ctx context.Context, marks []wire.Mark) bool {
	retry := backoff.New(backoff.Policy{Min: o.cfg.RetryMin, Cap: o.cfg.RetryCap})
	for ctx.Err() == nil {
		// What the cloud acked before is settled first, so that only what waits becomes backlog.
		err := o.ledger.Reconcile(ctx, marks)
		if err == nil {
			_, err = o.ledger.OpenQueue(ctx)
		}
		if err == nil {
			return true
		}
		o.complain("cannot reconcile the outbox with the cloud", err, retry.Tries())
		_ = retry.Wait(ctx, 0) // the loop sees the end of ctx
	}
	return false
}

// complain logs a fault of the ledger: the first one, and every so often while it lasts.
func (o *Outbox) complain(what string, err error, tries int) {
	if !errors.Is(err, context.Canceled) && tries%10 == 0 {
		o.log.Error(what, "err", err, "tries", tries+1)
	}
}

// purge removes what was acked long enough ago. Not without a session: a cloud that is restored while the
// line is down must find on its return what the site had sent before.
func (o *Outbox) purge(ctx context.Context) {
	tick := time.NewTicker(o.cfg.PurgeEvery)
	defer tick.Stop()
	for {
		if _, err := o.ledger.Purge(ctx, time.Now().Add(-o.cfg.Keep)); err != nil {
			o.complain("cannot purge the outbox", err, 0)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

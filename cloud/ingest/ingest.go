// Package ingest takes in what the agents report: it applies each batch of facts once, in one transaction with
// the mark that counts it, and answers after the commit.
//
// A batch may come twice, at once on two ways, late, before the one that it follows, or from a ledger with a new epoch;
// what it says is in the database once, and in order. A fact that can't be applied is parked with the reason and the
// queue behind it goes on. When more batches come than the database takes, urgent and live ones go before backlog, and
// organisations take turns. Days that are over are compared by count and hash; where they differ the site's own word is
// taken over. It never trusts an agent about anything but its own site.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/marks"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config sets the room's bounds. The zero value of a field means its default.
type Config struct {
	Keep        time.Duration // how long facts are kept after they ended; 400 days
	ParkedKeep  time.Duration // how long parked facts are kept; 90 days
	ParkedMax   int           // parked facts kept for each site; 10,000
	Writers     int           // transactions at once; 1 on SQLite, which has one writer, 8 on PostgreSQL
	WaitingMax  int           // batches of one organisation that may wait; 64
	SweepPeriod time.Duration // 1 hour
	AheadWait   time.Duration // how long a batch that has overtaken the one before it waits for that one; 5 seconds
}

// Validate reports every fault.
func (c Config) Validate() error {
	var errs []error
	day := 24 * time.Hour
	if c.Keep != 0 && c.Keep < day {
		errs = append(errs, fmt.Errorf("keep: %v is less than a day", c.Keep))
	}
	if c.ParkedKeep != 0 && c.ParkedKeep < day {
		errs = append(errs, fmt.Errorf("parked_keep: %v is less than a day", c.ParkedKeep))
	}
	for name, n := range map[string]int{"parked_max": c.ParkedMax, "writers": c.Writers, "waiting_max": c.WaitingMax} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("%s: %d is negative", name, n))
		}
	}
	for name, d := range map[string]time.Duration{"sweep_period": c.SweepPeriod, "ahead_wait": c.AheadWait} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s: %v is negative", name, d))
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults(postgres bool) Config {
	writers := 1
	if postgres {
		writers = 8
	}
	fill := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	count := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&c.Keep, 400*24*time.Hour)
	fill(&c.ParkedKeep, 90*24*time.Hour)
	fill(&c.SweepPeriod, time.Hour)
	fill(&c.AheadWait, 5*time.Second)
	count(&c.ParkedMax, 10000)
	count(&c.Writers, writers)
	count(&c.WaitingMax, 64)
	return c
}

// Change says what a batch changed; it is told after the commit.
type Change struct {
	Org    id.Org
	Site   id.Site
	Camera id.Camera
	Kind   string // site, camera, event, clip, coverage
	ID     string // of a clip
}

// Deps are what other rooms give. Nil fields are left out; without Clip facts about clips are parked.
type Deps struct {
	Log *slog.Logger
	// Changed is called after a commit; it must not block.
	Changed func(Change)
	// Clip applies a fact about a clip inside the batch's transaction. An error that wraps ErrPoison parks the fact.
	Clip func(ctx context.Context, q store.Querier, ref agents.Ref, f wire.ClipFact) error
	// Events gets the events that were not known before, inside the batch's transaction. An error that wraps
	// ErrPoison parks them.
	Events func(ctx context.Context, q store.Querier, ref agents.Ref, fresh []wire.EventFact) error
}

// ErrPoison says that a fact can never be applied; what wraps it says why.
var ErrPoison = errors.New("the fact can't be applied")

// ErrBatch says that a batch is not one: its facts can't even be numbered. What wraps it holds a *wire.Refusal.
var ErrBatch = errors.New("malformed batch")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBatch, wire.Refuse(wire.RefusedMalformed, format, args...))
}

// AheadError says that a batch begins after facts that were never seen: the agent must send from Mark+1 on. It
// unwraps to a *wire.Refusal.
type AheadError struct {
	Queue int64
	Mark  int64 // the queue is applied up to here
	First int64 // what the batch began with
}

// Error tells the mark.
func (e *AheadError) Error() string {
	return fmt.Sprintf("queue %d is applied up to %d, and the batch begins at %d: send from %d on", e.Queue, e.Mark, e.First, e.Mark+1)
}

// Unwrap returns what the agent is told.
func (e *AheadError) Unwrap() error { return wire.Refuse(wire.RefusedConflict, "%s", e.Error()) }

// BusyError says that too many batches of the organisation wait already. It unwraps to a *wire.Refusal.
type BusyError struct {
	RetryAfter time.Duration // a floor for the next try
}

// Error tells the wait.
func (e *BusyError) Error() string {
	return fmt.Sprintf("too many batches of this organisation wait: try again after %v", e.RetryAfter)
}

// Unwrap returns what the agent is told.
func (e *BusyError) Unwrap() error {
	r := wire.Refuse(wire.RefusedBusy, "%s", e.Error())
	r.RetryUs = e.RetryAfter.Microseconds()
	return r
}

// Ingest is the room. Safe for concurrent use.
type Ingest struct {
	cfg   Config
	db    *store.DB
	deps  Deps
	turn  *turnstile
	order *order

	comparing chan struct{} // holds one element for each site that is being compared
}

// New returns the room; cfg must be valid.
func New(cfg Config, db *store.DB, deps Deps) *Ingest {
	cfg = cfg.withDefaults(db.Postgres())
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Changed == nil {
		deps.Changed = func(Change) {}
	}
	return &Ingest{
		cfg: cfg, db: db, deps: deps, turn: newTurnstile(cfg.Writers, cfg.WaitingMax),
		order: newOrder(cfg.AheadWait), comparing: make(chan struct{}, comparisons),
	}
}

// Marks returns how far each queue of an epoch is applied; a queue that is not in it was never seen.
func (in *Ingest) Marks(ctx context.Context, ref agents.Ref, epoch string) ([]wire.Mark, error) {
	return marks.List(ctx, in.db.Read(), ref.Scope(), ref.Agent, epoch)
}

// Apply applies a batch and answers after the commit. Facts that were applied before are skipped; a batch that has
// overtaken the one before it waits a moment for that one. The error is ErrBatch, an *AheadError, a *BusyError, or
// trouble with the database, after which the batch can be sent again.
func (in *Ingest) Apply(ctx context.Context, ref agents.Ref, b wire.Batch) (wire.Ack, error) {
	if err := checkBatch(b); err != nil {
		return wire.Ack{}, err
	}
	queue := marks.Queue{Org: ref.Org, Site: ref.Site, Agent: ref.Agent, Epoch: b.Epoch, Queue: b.Queue}
	held, done := in.order.enter(queue) // before the mark is read, so that no move of it is missed
	defer done()
	mark, err := marks.Get(ctx, in.db.Read(), ref.Scope(), queue)
	if err != nil {
		return wire.Ack{}, err
	}
	if n := len(b.Facts); n == 0 || b.Facts[n-1].Seq <= mark {
		return wire.Ack{Queue: b.Queue, Seq: mark}, nil
	}
	items := decode(b.Facts, mark)
	if first := b.Facts[0].Seq; first > mark+1 {
		in.order.await(ctx, held, first-1)
	}
	leave, err := in.turn.enter(ctx, ref.Org, b.Lane)
	if err != nil {
		return wire.Ack{}, err
	}
	defer leave()
	w, err := in.attempt(ctx, ref, queue, b.Facts[0].Seq, items, false)
	if err != nil && final(err) {
		w, err = in.attempt(ctx, ref, queue, b.Facts[0].Seq, items, true)
	}
	if err != nil {
		return wire.Ack{}, fmt.Errorf("apply batch: %w", err)
	}
	in.order.passed(held, w.mark)
	for _, c := range w.changes() {
		in.deps.Changed(c)
	}
	if len(w.parked) > 0 {
		in.deps.Log.Warn("facts were parked: they could not be applied", "site", ref.Site, "agent", ref.Agent,
			"queue", b.Queue, "count", len(w.parked), "first_seq", w.parked[0].Seq, "first_reason", w.parked[0].Reason)
	}
	return w.ack(), nil
}

// attempt applies the items in one transaction: all together, or, careful, one by one, which is slower and parks
// what the database or a hook refuses.
func (in *Ingest) attempt(ctx context.Context, ref agents.Ref, queue marks.Queue, first int64, items []item, careful bool) (
	w *work, err error,
) {
	err = in.db.Tx(ctx, func(q store.Querier) error {
		w = &work{in: in, q: q, ref: ref, queue: queue, careful: careful, nowUs: time.Now().UnixMicro()}
		return w.run(ctx, first, items)
	})
	return w, err
}

// checkBatch checks what numbers the facts.
func checkBatch(b wire.Batch) error {
	switch {
	case !word(b.Epoch, 64):
		return malformed("the epoch %.80q is not a word of at most 64 letters and digits", b.Epoch)
	case b.Queue < 0:
		return malformed("queue %d is negative", b.Queue)
	case len(b.Facts) > wire.MaxBatchFacts:
		return malformed("%d facts, at most %d are allowed", len(b.Facts), wire.MaxBatchFacts)
	}
	for i, f := range b.Facts {
		if f.Seq < 1 || f.Seq != b.Facts[0].Seq+int64(i) {
			return malformed("fact %d has seq %d after %d", i, f.Seq, b.Facts[max(i-1, 0)].Seq)
		}
	}
	return nil
}

package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/bubble"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "20", "rapid.steps": "25", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

type place struct {
	epoch string
	queue int64
}

// records is what a cloud keeps: its marks and the facts behind them.
type records struct {
	marks map[place]int64
	facts map[place][]id.Event
}

func (r records) clone() records {
	out := records{marks: maps.Clone(r.marks), facts: map[place][]id.Event{}}
	for p, f := range r.facts {
		out.facts[p] = slices.Clone(f)
	}
	return out
}

func (r records) has(e id.Event) bool {
	for _, list := range r.facts {
		if slices.Contains(list, e) {
			return true
		}
	}
	return false
}

var errLine = errors.New("the line is gone")

// far is the far side: a reference cloud behind a line that loses, delays, repeats and reorders.
type far struct {
	mu      sync.Mutex
	rand    *rand.Rand
	bad     bool // the line has faults
	open    bool // a session is
	waits   bool // overtaken batches are waited for; a cloud of before refuses the others
	records records
	late    []wire.Batch // repeated by the line, delivered later
	flying  map[place]int
	moved   chan struct{} // closed when a batch was applied
	err     error         // a rule was broken
}

func newFar(seed uint64) *far {
	return &far{
		rand: rand.New(rand.NewPCG(seed, 1)), flying: map[place]int{}, moved: make(chan struct{}),
		records: records{marks: map[place]int64{}, facts: map[place][]id.Event{}},
	}
}

// SendBatch takes a batch on its way.
func (f *far) SendBatch(ctx context.Context, b wire.Batch) (wire.Ack, error) {
	f.mu.Lock()
	p := place{b.Epoch, b.Queue}
	if f.flying[p] >= window {
		f.err = fmt.Errorf("%d batches of %v are in flight", f.flying[p]+1, p)
	}
	if err := b.Check(); err != nil {
		f.err = err
	}
	if !f.open {
		f.err = errors.New("a batch was sent without a session")
	}
	f.flying[p]++
	before, after, again := f.fate()
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.flying[p]--
	}()
	select {
	case <-time.After(before):
	case <-ctx.Done():
		return wire.Ack{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if after > 2 {
		return wire.Ack{}, errLine // lost on the way there
	}
	if f.waits {
		f.await(ctx, p, b.Facts[0].Seq-1)
	}
	ack, err := f.apply(b)
	if again {
		f.late = append(f.late, b)
	}
	if len(f.late) > 0 && f.rand.IntN(3) == 0 {
		_, _ = f.apply(f.late[0]) // an answer that nobody waits for
		f.late = f.late[1:]
	}
	if after > 1 {
		return wire.Ack{}, errLine // lost on the way back
	}
	return ack, err
}

// await lets a batch that has overtaken the one before it wait for that one, as the cloud does.
func (f *far) await(ctx context.Context, p place, seq int64) {
	timeout := time.After(5 * time.Second)
	for late := false; !late && f.records.marks[p] < seq; {
		moved := f.moved
		f.mu.Unlock()
		select {
		case <-moved:
		case <-timeout:
			late = true
		case <-ctx.Done():
			late = true
		}
		f.mu.Lock()
	}
}

func (f *far) setOpen(open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = open
}

func (f *far) fate() (delay time.Duration, loss int, again bool) {
	if !f.bad {
		return time.Millisecond, 0, false
	}
	return time.Duration(f.rand.IntN(3000)) * time.Millisecond, f.rand.IntN(4), f.rand.IntN(4) == 0
}

// apply is the reference: each fact once, in order, without a hole.
func (f *far) apply(b wire.Batch) (wire.Ack, error) {
	p := place{b.Epoch, b.Queue}
	mark := f.records.marks[p]
	if b.Facts[0].Seq > mark+1 {
		return wire.Ack{}, wire.Refuse(wire.RefusedConflict, "queue %d is at %d, the batch begins at %d", b.Queue, mark, b.Facts[0].Seq)
	}
	for _, fact := range b.Facts {
		if fact.Seq <= mark {
			continue
		}
		var e wire.EventFact
		if err := json.Unmarshal(fact.Body, &e); err != nil {
			f.err = err
		}
		f.records.facts[p] = append(f.records.facts[p], e.ID)
		mark = fact.Seq
	}
	f.records.marks[p] = mark
	close(f.moved)
	f.moved = make(chan struct{})
	return wire.Ack{Queue: b.Queue, Seq: mark}, nil
}

func (f *far) marks(epoch string) (out []wire.Mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p, seq := range f.records.marks {
		if p.epoch == epoch {
			out = append(out, wire.Mark{Queue: p.queue, Seq: seq})
		}
	}
	return out
}

// world is an agent and its far side.
type world struct {
	dir    string
	copies int
	far    *far
	backup *records

	ledger *ledger.Ledger
	box    *Outbox
	stop   context.CancelFunc
	done   chan error

	order  map[id.Event]int // when it was put
	due    map[id.Event]bool
	saved  string // an older copy of the ledger
	inCopy map[id.Event]bool
	forked bool // a new epoch was due, so what was sent may be sent again
}

func (w *world) path() string { return filepath.Join(w.dir, fmt.Sprint(w.copies, ".db")) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (w *world) start(t *rapid.T) {
	l, err := ledger.Open(context.Background(), w.path(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	w.ledger = l
	w.box = New(Config{BatchFacts: 5, Keep: time.Hour, PurgeEvery: 10 * time.Minute}, l, w.far, nil, quiet())
	w.far.setOpen(false)
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.done = stop, make(chan error, 1)
	go func() { w.done <- w.box.Run(ctx) }()
}

func (w *world) halt(t *rapid.T) {
	w.stop()
	if err := <-w.done; err != nil {
		t.Fatalf("Run = %v", err)
	}
}

func (w *world) put(t *rapid.T) {
	for range rapid.IntRange(1, 12).Draw(t, "events") {
		kind := rapid.SampledFrom([]string{"motion", "motion", "alarm"}).Draw(t, "kind")
		e := wire.EventFact{ID: id.New[id.Event](), Kind: kind, Source: "local", AtUs: 1}
		if err := w.ledger.PutEvent(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		w.order[e.ID] = len(w.order)
		w.due[e.ID] = true
	}
}

func (w *world) wait(t *rapid.T) {
	bubble.Pass(time.Duration(rapid.SampledFrom([]int{0, 1, 20, 300, 5000}).Draw(t, "seconds")) * time.Second)
}

func (w *world) openSession(t *rapid.T) {
	w.far.mu.Lock()
	w.far.bad, w.far.open = rapid.Bool().Draw(t, "bad line"), true
	w.far.mu.Unlock()
	w.box.Opened(w.far.marks(w.ledger.Epoch()))
}

func (w *world) closeSession(*rapid.T) {
	w.box.Closed()
	synctest.Wait()
	w.far.setOpen(false)
}

func copyLedger(t *rapid.T, from, to string) {
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(from + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(to+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// crash goes on with the files that a kill leaves behind.
func (w *world) crash(t *rapid.T) {
	w.halt(t)
	old := w.path()
	w.copies++
	copyLedger(t, old, w.path())
	w.close(t)
	w.start(t)
}

func (w *world) close(t *rapid.T) {
	if err := w.ledger.Close(); err != nil {
		t.Fatal(err)
	}
}

// save keeps a copy of the ledger that may come back later.
func (w *world) save(t *rapid.T) {
	w.halt(t)
	w.saved = filepath.Join(w.dir, fmt.Sprint("saved", w.copies, len(w.order)))
	copyLedger(t, w.path(), w.saved)
	w.inCopy = maps.Clone(w.due)
	w.close(t)
	w.start(t)
}

// goBack is what a restored image of the site's machine does.
func (w *world) goBack(t *rapid.T) {
	if w.saved == "" {
		return
	}
	w.halt(t)
	w.close(t)
	w.copies++
	copyLedger(t, w.saved, w.path())
	w.due, w.forked = maps.Clone(w.inCopy), true
	w.start(t)
}

func (w *world) backUp(*rapid.T) {
	w.far.mu.Lock()
	defer w.far.mu.Unlock()
	r := w.far.records.clone()
	w.backup = &r
}

// restore puts the cloud back to its backup. What the site has purged by then, and the backup lacks, is lost; and so is, when
// the site goes back to its copy later, what had been purged there.
func (w *world) restore(t *rapid.T) {
	if w.backup == nil {
		return
	}
	w.closeSession(t)
	w.far.mu.Lock()
	w.far.records, w.far.late = w.backup.clone(), nil
	records := w.far.records
	w.far.mu.Unlock()
	lost := func(due map[id.Event]bool, path string) {
		kept := w.kept(t, path)
		maps.DeleteFunc(due, func(e id.Event, _ bool) bool { return !kept[e] && !records.has(e) })
	}
	lost(w.due, w.path())
	if w.saved != "" {
		lost(w.inCopy, w.saved)
	}
	w.forked = true // rows that are gone from the outbox force a new epoch even if the backup has them
}

// kept returns the events whose outbox rows are still in a ledger: a new epoch of a copy shows them all.
func (w *world) kept(t *rapid.T, ledgerPath string) map[id.Event]bool {
	path := filepath.Join(w.dir, "look.db")
	copyLedger(t, ledgerPath, path)
	l, err := ledger.Open(context.Background(), path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(l.Close(), os.Remove(path)) }()
	if _, err := l.NewEpoch(context.Background()); err != nil {
		t.Fatal(err)
	}
	out := map[id.Event]bool{}
	queues, err := l.Queues(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		b, err := l.Pending(context.Background(), q.Queue, 0, 1<<20, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range b.Facts {
			var e wire.EventFact
			if err := json.Unmarshal(f.Body, &e); err != nil {
				t.Fatal(err)
			}
			out[e.ID] = true
		}
	}
	return out
}

// check looks at the rules that hold at every moment.
func (w *world) check(t *rapid.T) {
	w.far.mu.Lock()
	defer w.far.mu.Unlock()
	if w.far.err != nil {
		t.Fatal(w.far.err)
	}
	times := map[id.Event]int{}
	for p, list := range w.far.records.facts {
		for i, e := range list {
			times[e]++
			if i > 0 && w.order[e] <= w.order[list[i-1]] && !w.forked {
				t.Fatalf("in %v event %d came after %d", p, w.order[e], w.order[list[i-1]])
			}
		}
	}
	for e, n := range times {
		if n != 1 && !w.forked {
			t.Fatalf("event %d was applied %d times", w.order[e], n)
		}
	}
}

// settle ends the faults and waits until nothing is pending.
func (w *world) settle(t *rapid.T) {
	w.far.mu.Lock()
	w.far.bad, w.far.open = false, true
	w.far.mu.Unlock()
	w.box.Opened(w.far.marks(w.ledger.Epoch()))
	for range 1000 {
		bubble.Pass(time.Second)
		s, err := w.ledger.QueueState(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if s.Facts == 0 {
			w.checkEnd(t)
			return
		}
	}
	t.Fatalf("the outbox does not drain: %s", w.box.Fault())
}

func (w *world) checkEnd(t *rapid.T) {
	w.check(t)
	w.far.mu.Lock()
	for e := range w.due {
		if !w.far.records.has(e) {
			w.far.mu.Unlock()
			t.Fatalf("event %d never reached the cloud", w.order[e])
		}
	}
	w.far.mu.Unlock()
	bubble.Pass(2 * time.Hour)
	if kept := w.kept(t, w.path()); len(kept) != 0 {
		t.Fatalf("%d rows are left after their day", len(kept))
	}
}

// TestOutboxAgainstACloud runs agent and reference cloud through lost, late and repeated batches, crashes,
// restored clouds and restored agents: in the end each event is in the cloud, and without a restore exactly
// once and in order within its queue.
func TestOutboxAgainstACloud(t *testing.T) {
	for _, restores := range []bool{false, true} {
		t.Run(fmt.Sprint("restores ", restores), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				var failure any // rapid takes it on its own goroutine only
				synctest.Test(t, func(*testing.T) {
					defer func() { failure = recover() }()
					live(rt, restores)
				})
				if failure != nil {
					panic(failure)
				}
			})
		})
	}
}

func live(t *rapid.T, restores bool) {
	dir, err := os.MkdirTemp("", "holdfast-outbox-*")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	w := &world{
		dir: dir, far: newFar(rapid.Uint64().Draw(t, "seed")), order: map[id.Event]int{}, due: map[id.Event]bool{},
	}
	w.far.waits = rapid.Bool().Draw(t, "waits")
	w.start(t)
	defer func() {
		w.halt(t)
		w.close(t)
	}()
	actions := map[string]func(*rapid.T){
		"put": w.put, "put more": w.put, "wait": w.wait, "wait more": w.wait, "open": w.openSession, "open again": w.openSession,
		"close": w.closeSession, "crash": w.crash, "": w.check,
	}
	if restores {
		actions["back up the cloud"], actions["restore the cloud"] = w.backUp, w.restore
		actions["save the ledger"], actions["go back to it"] = w.save, w.goBack
	}
	t.Repeat(actions)
	w.settle(t)
}

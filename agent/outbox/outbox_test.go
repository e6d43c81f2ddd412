package outbox

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/bubble"
)

// line is a far side whose answers a test writes.
type line struct {
	mu     sync.Mutex
	sent   []wire.Batch
	at     []time.Time
	answer func(n int, b wire.Batch) (wire.Ack, error) // nil: acks everything
	hang   func(b wire.Batch) bool                     // never answered
}

func (l *line) SendBatch(ctx context.Context, b wire.Batch) (wire.Ack, error) {
	l.mu.Lock()
	l.sent, l.at = append(l.sent, b), append(l.at, time.Now())
	n, answer := len(l.sent), l.answer
	l.mu.Unlock()
	if l.hang != nil && l.hang(b) {
		<-ctx.Done()
		return wire.Ack{}, ctx.Err()
	}
	if answer != nil {
		return answer(n, b)
	}
	return wire.Ack{Queue: b.Queue, Seq: b.Facts[len(b.Facts)-1].Seq}, nil
}

func (l *line) batches() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, b := range l.sent {
		out = append(out, fmt.Sprintf("%s %d:%d-%d", b.Lane, b.Queue, b.Facts[0].Seq, b.Facts[len(b.Facts)-1].Seq))
	}
	return strings.Join(out, ", ")
}

// run runs fn in a bubble with an open ledger and a running outbox.
func run(t *testing.T, cfg Config, far Sender, fn func(t *testing.T, l *ledger.Ledger, o *Outbox)) {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ledger.db")
	synctest.Test(t, func(t *testing.T) {
		l, err := ledger.Open(t.Context(), path, quiet())
		if err != nil {
			t.Fatal(err)
		}
		o := New(cfg, l, far, nil, quiet())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- o.Run(ctx) }()
		defer func() {
			stop()
			if err := errors.Join(<-done, l.Close()); err != nil {
				t.Error(err)
			}
		}()
		fn(t, l, o)
	})
}

func put(t *testing.T, l *ledger.Ledger, kind string, n int) {
	t.Helper()
	for range n {
		if err := l.PutEvent(t.Context(), wire.EventFact{ID: id.New[id.Event](), Kind: kind, Source: "local", AtUs: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

func waiting(t *testing.T, l *ledger.Ledger) int64 {
	t.Helper()
	s, err := l.QueueState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Facts
}

// drained waits until no fact waits.
func drained(t *testing.T, l *ledger.Ledger, within time.Duration) {
	t.Helper()
	for range within / (100 * time.Millisecond) {
		if waiting(t, l) == 0 {
			return
		}
		bubble.Pass(100 * time.Millisecond)
	}
	t.Fatalf("%d facts wait after %v", waiting(t, l), within)
}

func (l *line) want(t *testing.T, batches string) {
	t.Helper()
	if got := l.batches(); got != batches {
		t.Errorf("sent %q, want %q", got, batches)
	}
}

func TestLanesDoNotWaitForEachOther(t *testing.T) {
	far := &line{hang: func(b wire.Batch) bool { return b.Lane == wire.Backlog }}
	run(t, Config{Timeout: time.Hour}, far, func(t *testing.T, l *ledger.Ledger, o *Outbox) {
		put(t, l, "motion", 3)
		o.Opened(nil)
		bubble.Pass(5 * time.Second)
		put(t, l, "alarm", 1)
		synctest.Wait() // an alarm does not linger
		far.want(t, "backlog 1:1-3, urgent 0:1-1")
		put(t, l, "motion", 2)
		bubble.Pass(5 * time.Second)
		far.want(t, "backlog 1:1-3, urgent 0:1-1, live 2:1-2")
		o.Closed()
		synctest.Wait()
		if n := waiting(t, l); n != 3 {
			t.Errorf("%d facts wait, want the 3 of the backlog", n)
		}
	})
}

func TestLiveFactsShareABatch(t *testing.T) {
	far := &line{}
	run(t, Config{}, far, func(t *testing.T, l *ledger.Ledger, o *Outbox) {
		o.Opened(nil)
		synctest.Wait()
		for range 5 {
			put(t, l, "motion", 1)
			bubble.Pass(150 * time.Millisecond)
		}
		bubble.Pass(time.Second)
		far.want(t, "live 1:1-5")
	})
}

// TestErrorsCostNoFact: whatever the far side answers, every fact arrives in the end; after an error batches are smaller
// and go one at a time.
func TestErrorsCostNoFact(t *testing.T) {
	busy := wire.Refuse(wire.RefusedBusy, "come back later")
	busy.RetryUs = (20 * time.Second).Microseconds()
	var stage atomic.Int64
	far := &line{}
	far.answer = func(_ int, b wire.Batch) (wire.Ack, error) {
		switch stage.Add(1) {
		case 1:
			return wire.Ack{}, busy
		case 2:
			return wire.Ack{Queue: 7, Seq: 10}, nil // the answer to something else
		case 3:
			return wire.Ack{Queue: b.Queue}, nil // acks nothing
		case 4:
			return wire.Ack{Queue: b.Queue, Seq: b.Facts[0].Seq, Parked: []int64{b.Facts[0].Seq}}, nil
		}
		return wire.Ack{Queue: b.Queue, Seq: b.Facts[len(b.Facts)-1].Seq}, nil
	}
	run(t, Config{BatchFacts: 16}, far, func(t *testing.T, l *ledger.Ledger, o *Outbox) {
		put(t, l, "motion", 15) // one batch
		o.Opened(nil)
		bubble.Pass(10 * time.Second)
		if o.Fault() == "" {
			t.Error("Fault is empty while nothing gets through")
		}
		bubble.Pass(5 * time.Minute)
		far.mu.Lock()
		wait := far.at[1].Sub(far.at[0])
		for i, n := range []int{15, 8} {
			if b := far.sent[i]; len(b.Facts) != n || b.Facts[0].Seq != 1 {
				t.Errorf("batch %d has %d facts from %d on, want %d from 1 on", i+1, len(b.Facts), b.Facts[0].Seq, n)
			}
		}
		far.mu.Unlock()
		if wait < 20*time.Second {
			t.Errorf("came back after %v, the cloud asked for 20 s", wait)
		}
		if o.Parked() != 1 || o.Fault() != "" || waiting(t, l) != 0 {
			t.Errorf("parked %d, fault %q, %d wait; want 1, none, 0", o.Parked(), o.Fault(), waiting(t, l))
		}
	})
}

// slow is a far side behind a long line that holds the agent to the order of facts.
type slow struct {
	waits bool                        // a batch that has overtaken another waits for it, as the cloud has it
	trip  func(n int64) time.Duration // of the batch that begins with fact n

	mu     sync.Mutex
	flying int
	most   int
	after  int // most since the last refusal
	mark   int64
	moved  chan struct{}
	facts  []int64
}

func (f *slow) SendBatch(ctx context.Context, b wire.Batch) (wire.Ack, error) {
	if ctx.Err() != nil {
		return wire.Ack{}, ctx.Err() // given up before it was on its way
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.moved == nil {
		f.moved = make(chan struct{}) // not before: a channel belongs to the bubble that it was made in
	}
	f.flying++
	f.most, f.after = max(f.most, f.flying), max(f.after, f.flying)
	defer func() { f.flying-- }()
	f.mu.Unlock()
	select {
	case <-time.After(f.trip(b.Facts[0].Seq)):
	case <-ctx.Done():
	}
	f.mu.Lock()
	if ctx.Err() != nil {
		return wire.Ack{}, ctx.Err()
	}
	for f.waits && b.Facts[0].Seq > f.mark+1 {
		moved := f.moved
		f.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
		}
		f.mu.Lock()
		if ctx.Err() != nil {
			return wire.Ack{}, ctx.Err()
		}
	}
	if b.Facts[0].Seq > f.mark+1 {
		f.after = 0
		return wire.Ack{}, wire.Refuse(wire.RefusedConflict, "the batch begins at %d, the mark is %d", b.Facts[0].Seq, f.mark)
	}
	for _, fact := range b.Facts {
		if fact.Seq > f.mark {
			f.mark = fact.Seq
			f.facts = append(f.facts, fact.Seq)
		}
	}
	close(f.moved)
	f.moved = make(chan struct{})
	return wire.Ack{Queue: b.Queue, Seq: f.mark}, nil
}

func (f *slow) inOrder(t *testing.T, n int64) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if int64(len(f.facts)) != n {
		t.Fatalf("%d facts arrived, want %d", len(f.facts), n)
	}
	for i, seq := range f.facts {
		if seq != int64(i+1) {
			t.Fatalf("fact %d arrived as the %dth", seq, i+1)
		}
	}
}

// TestALongLineIsKeptBusy: batches follow each other without waiting for the ack, also where they overtake each other.
func TestALongLineIsKeptBusy(t *testing.T) {
	far := &slow{waits: true, trip: func(n int64) time.Duration {
		return 300*time.Millisecond - time.Duration(n/4%3)*50*time.Millisecond // the later ones overtake
	}}
	run(t, Config{BatchFacts: 4}, far, func(t *testing.T, l *ledger.Ledger, o *Outbox) {
		put(t, l, "motion", 4*60)
		o.Opened(nil)
		synctest.Wait()
		began := time.Now()
		drained(t, l, time.Minute)
		if took := time.Since(began); took > 60*300*time.Millisecond/2 {
			t.Errorf("60 batches took %v on a line with a round trip of 300 ms", took)
		}
		far.inOrder(t, 4*60)
		if far.most != window {
			t.Errorf("%d batches were on their way at once, want %d", far.most, window)
		}
	})
}

// TestACloudThatRefusesOvertakers gets one batch at a time from the first refusal on.
func TestACloudThatRefusesOvertakers(t *testing.T) {
	far := &slow{trip: func(n int64) time.Duration {
		return 300*time.Millisecond - time.Duration(n/4%3)*50*time.Millisecond
	}}
	run(t, Config{BatchFacts: 4}, far, func(t *testing.T, l *ledger.Ledger, o *Outbox) {
		put(t, l, "motion", 4*60)
		o.Opened(nil)
		drained(t, l, 5*time.Minute)
		far.inOrder(t, 4*60)
		if far.most < 2 || far.after != 1 {
			t.Errorf("at most %d at once, and %d after the refusal; want more than 1 at first, then 1", far.most, far.after)
		}
	})
}

func TestHungBatchIsGivenUp(t *testing.T) {
	first := true
	far := &line{hang: func(wire.Batch) bool { defer func() { first = false }(); return first }}
	run(t, Config{Timeout: 30 * time.Second}, far, func(t *testing.T, l *ledger.Ledger, o *Outbox) {
		o.Opened(nil)
		synctest.Wait()
		put(t, l, "alarm", 1)
		bubble.Pass(40 * time.Second)
		far.want(t, "urgent 0:1-1, urgent 0:1-1")
		if n := waiting(t, l); n != 0 {
			t.Errorf("%d facts wait", n)
		}
	})
}

// TestCopyOfALedger: facts of a ledger that is an older copy of itself must not hide behind the marks of its
// twin, even when it has caught up with their numbers.
func TestCopyOfALedger(t *testing.T) {
	far := &line{}
	run(t, Config{}, far, func(t *testing.T, l *ledger.Ledger, o *Outbox) {
		put(t, l, "motion", 7)
		before := l.Epoch()
		o.Opened([]wire.Mark{{Queue: 0, Seq: 0}, {Queue: 1, Seq: 5}}) // the twin came to 5
		bubble.Pass(10 * time.Second)
		put(t, l, "motion", 4)
		bubble.Pass(10 * time.Second)
		if far.want(t, "backlog 1:1-7, live 2:1-4"); l.Epoch() == before || far.sent[0].Epoch != l.Epoch() {
			t.Errorf("epoch %q was %q, sent as %q", l.Epoch(), before, far.sent[0].Epoch)
		}
		// The same found by an ack.
		before = l.Epoch()
		far.mu.Lock()
		far.answer = func(n int, b wire.Batch) (wire.Ack, error) {
			seq := b.Facts[len(b.Facts)-1].Seq
			if n == 3 {
				seq += 10
			}
			return wire.Ack{Queue: b.Queue, Seq: seq}, nil
		}
		far.mu.Unlock()
		put(t, l, "motion", 1)
		bubble.Pass(10 * time.Second)
		if n := waiting(t, l); l.Epoch() == before || n != 0 {
			t.Errorf("epoch %q was %q, %d facts wait", l.Epoch(), before, n)
		}
	})
}

// TestCloudOlderThanADay: the cloud was restored from a backup that is older than what the site keeps.
func TestCloudOlderThanADay(t *testing.T) {
	far := &line{}
	run(t, Config{}, far, func(t *testing.T, l *ledger.Ledger, o *Outbox) {
		o.Opened(nil)
		synctest.Wait()
		put(t, l, "motion", 3)
		bubble.Pass(30 * time.Hour)
		put(t, l, "motion", 2)
		bubble.Pass(10 * time.Second)
		before := l.Epoch()
		o.Closed()
		o.Opened([]wire.Mark{{Queue: 1, Seq: 1}})
		bubble.Pass(10 * time.Second)
		if far.want(t, "live 1:1-3, live 1:4-5, backlog 1:1-2"); l.Epoch() == before || far.sent[2].Epoch == before {
			t.Errorf("epoch %q was %q: seqs 2 and 3 are gone, so 4 can't follow 1", l.Epoch(), before)
		}
	})
}

func TestValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	err := Config{BatchFacts: -1, BatchBytes: 5 << 20, Timeout: -1, RetryMin: time.Minute, Keep: -1}.Validate()
	for _, want := range []string{"batch_facts", "batch_bytes", "timeout", "retry_cap", "keep"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want a fault of %s", err, want)
		}
	}
}

package ledger

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/wire"
	"holdfast/testenv/bubble"
)

func TestPurgeWaitsADayAfterTheAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t)
		ctx := t.Context()
		for range 4 {
			must(t, l.PutEvent(ctx, event("motion")))
		}
		facts(t, l) // sends them
		rows := func() (n int) {
			must(t, l.read.QueryRowContext(ctx, `SELECT count(*) FROM outbox`).Scan(&n))
			return n
		}
		must(t, l.Acked(ctx, l.Epoch(), 1, 2))
		bubble.Pass(20 * time.Hour)
		must(t, l.Acked(ctx, l.Epoch(), 1, 3))
		for _, step := range []struct {
			wait    time.Duration
			removed int64
		}{{3 * time.Hour, 0}, {2 * time.Hour, 2}, {20 * time.Hour, 1}, {1000 * time.Hour, 0}} {
			bubble.Pass(step.wait)
			n, err := l.Purge(ctx, time.Now().Add(-24*time.Hour))
			must(t, err)
			if n != step.removed {
				t.Fatalf("%v later %d rows were removed, want %d", step.wait, n, step.removed)
			}
		}
		if rows() != 1 {
			t.Fatalf("%d rows are left, want the one that is not acked", rows())
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	l := open(t)
	l.history = 3
	ctx, s := t.Context(), newStream()
	lasting, err := l.BeginGap(ctx, Gap{Stream: s, StartUs: 1, Reason: wire.Stalled})
	must(t, err)
	for i := range int64(10) {
		e := event("motion")
		e.AtUs = i + 1
		must(t, l.PutEvent(ctx, e))
		must(t, l.PutOutage(ctx, wire.OutageFact{StartUs: i, EndUs: i + 1}))
		_, err := l.BeginGap(ctx, Gap{Stream: s, StartUs: i + 10, EndUs: i + 11, Reason: wire.Stalled})
		must(t, err)
	}
	_, err = l.Purge(ctx, time.Now())
	must(t, err)
	events, err := l.Events(ctx, 0, 100, 100)
	must(t, err)
	outages, err := l.Outages(ctx, 0, 100)
	must(t, err)
	gaps, err := l.Coverage(ctx, s, 10, 100)
	must(t, err)
	open, err := l.OpenGaps(ctx)
	must(t, err)
	if len(events) != 3 || events[2].AtUs != 8 || len(outages) != 3 || len(gaps) != 5 || len(open) != 1 || open[0].ID != lasting {
		t.Fatalf("left: %d events, %d outages, %s, %d open gaps; want 3, 3, the last 3 gaps and the lasting one",
			len(events), len(outages), describe(gaps), len(open))
	}
	if n := len(facts(t, l)[1]); n != 21 {
		t.Fatalf("%d facts wait, want all 21: history is not the outbox", n)
	}
}

// TestTwinsAreTold: a copy of the file goes its own way and catches up with its twin's numbers. What it
// never sent can't have been acked.
func TestTwinsAreTold(t *testing.T) {
	l := open(t)
	ctx := t.Context()
	for range 3 {
		must(t, l.PutEvent(ctx, event("motion")))
	}
	facts(t, l) // 3 were sent
	for range 5 {
		must(t, l.PutEvent(ctx, event("motion")))
	}
	before := l.Epoch()
	must(t, l.Reconcile(ctx, []wire.Mark{{Queue: 1, Seq: 3}})) // the acks were lost
	if l.Epoch() != before {
		t.Fatal("a new epoch began for a lost ack")
	}
	if err := l.Acked(ctx, before, 1, 4); !errors.Is(err, ErrAhead) {
		t.Fatalf("Acked of what was never sent = %v, want ErrAhead", err)
	}
	must(t, l.Reconcile(ctx, []wire.Mark{{Queue: 1, Seq: 4}})) // the twin's
	if n := len(facts(t, l)[1]); l.Epoch() == before || n != 8 {
		t.Fatalf("epoch %q was %q, %d facts are pending, want all 8 in a new epoch", l.Epoch(), before, n)
	}
}

func TestQueuesAreBounded(t *testing.T) {
	l := open(t)
	ctx := t.Context()
	for range 3 * maxQueues { // a line that opens sessions and carries nothing
		must(t, l.PutEvent(ctx, event("motion")))
		_, err := l.OpenQueue(ctx)
		must(t, err)
	}
	queues, err := l.Queues(ctx)
	must(t, err)
	if n := len(queues); n > maxQueues+2 {
		t.Fatalf("%d queues, want at most %d", n, maxQueues+2)
	}
	if s, err := l.QueueState(ctx); err != nil || s.Facts != 3*maxQueues {
		t.Fatalf("%d facts wait, %v; want %d", s.Facts, err, 3*maxQueues)
	}
}

func TestFactBytesAreThoseThatWait(t *testing.T) {
	l := open(t)
	ctx := t.Context()
	bytes := func() int64 {
		n, err := l.FactBytes(ctx)
		must(t, err)
		return n
	}
	if n := bytes(); n != 0 {
		t.Fatalf("%d bytes wait in an empty queue", n)
	}
	for range 300 {
		must(t, l.PutEvent(ctx, event("motion")))
	}
	var exact int64
	must(t, l.read.QueryRowContext(ctx, `SELECT sum(length(body)) FROM outbox`).Scan(&exact))
	if n := bytes(); n < exact*95/100 || n > exact*105/100 {
		t.Fatalf("%d bytes wait, measured %d", exact, n)
	}
	facts(t, l) // sends them
	must(t, l.Acked(ctx, l.Epoch(), 1, 300))
	if n := bytes(); n != 0 {
		t.Fatalf("%d bytes wait when all is acked", n)
	}
}

package ingest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/cloud/store/marks"
	"holdfast/shared/id"
	"holdfast/testenv/bubble"
)

func TestOrder(t *testing.T) {
	agent := id.New[id.Agent]()
	queue := func(n int64) marks.Queue { return marks.Queue{Agent: agent, Epoch: "E", Queue: n} }
	synctest.Test(t, func(t *testing.T) {
		o := newOrder(time.Minute)
		var ended []int64
		await := func(ctx context.Context, q marks.Queue, seq int64) {
			turn, done := o.enter(q)
			go func() {
				defer done()
				o.await(ctx, turn, seq)
				o.mu.Lock()
				defer o.mu.Unlock()
				ended = append(ended, seq)
			}()
			synctest.Wait()
		}
		want := func(what string, seqs ...int64) {
			t.Helper()
			o.mu.Lock()
			defer o.mu.Unlock()
			if len(ended) != len(seqs) {
				t.Fatalf("%s: those after %v go on, want %v", what, ended, seqs)
			}
			for i := range seqs {
				if ended[i] != seqs[i] {
					t.Fatalf("%s: those after %v go on, want %v", what, ended, seqs)
				}
			}
			ended = nil
		}
		first, done := o.enter(queue(1))
		ctx, cancel := context.WithCancel(t.Context())
		await(t.Context(), queue(1), 10)
		await(t.Context(), queue(1), 20)
		await(ctx, queue(2), 5)
		await(t.Context(), queue(2), 6)
		want("none has been passed")
		await(t.Context(), queue(1), 30)
		want("an agent with four that wait", 30)
		o.passed(first, 15)
		synctest.Wait()
		want("passed up to 15", 10)
		o.passed(first, 12)
		synctest.Wait()
		want("a mark below")
		cancel()
		synctest.Wait()
		want("the request has gone", 5)
		bubble.Pass(time.Minute)
		if len(ended) != 2 {
			t.Fatalf("after a minute those after %v go on, want 20 and 6", ended)
		}
		done()
		if len(o.queues) != 0 || len(o.waiting) != 0 {
			t.Errorf("%d queues and %d agents are left", len(o.queues), len(o.waiting))
		}
	})
}

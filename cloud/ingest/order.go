package ingest

import (
	"context"
	"sync"
	"time"

	"holdfast/cloud/store/marks"
	"holdfast/shared/id"
)

// aheadMost is how many batches of one agent may wait for one that they have overtaken: each takes memory.
const aheadMost = 4

// order holds up batches that have overtaken the one before them: an agent has a few of a queue on their way at once.
type order struct {
	wait time.Duration // at most

	mu      sync.Mutex
	queues  map[marks.Queue]*inHand
	waiting map[id.Agent]int
}

// inHand is a queue of which batches are in hand.
type inHand struct {
	queue marks.Queue
	users int
	mark  int64         // the queue is applied up to here at least
	moved chan struct{} // closed when mark moves
}

func newOrder(wait time.Duration) *order {
	return &order{wait: wait, queues: map[marks.Queue]*inHand{}, waiting: map[id.Agent]int{}}
}

// enter says that a batch of the queue is in hand, until done is called.
func (o *order) enter(q marks.Queue) (t *inHand, done func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t = o.queues[q]
	if t == nil {
		t = &inHand{queue: q, moved: make(chan struct{})}
		o.queues[q] = t
	}
	t.users++
	return t, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(o.queues, q)
		}
	}
}

// passed says that the queue is applied up to mark.
func (o *order) passed(t *inHand, mark int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if mark > t.mark {
		t.mark = mark
		close(t.moved)
		t.moved = make(chan struct{})
	}
}

// await returns when the queue is applied up to seq as far as is known here, after a while, or at once when the agent has
// too many that wait; the database has the last word.
func (o *order) await(ctx context.Context, t *inHand, seq int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	agent := t.queue.Agent
	if o.waiting[agent] >= aheadMost {
		return
	}
	o.waiting[agent]++
	defer func() {
		if o.waiting[agent]--; o.waiting[agent] == 0 {
			delete(o.waiting, agent)
		}
	}()
	timeout := time.NewTimer(o.wait)
	defer timeout.Stop()
	for t.mark < seq {
		moved := t.moved
		o.mu.Unlock()
		late := false
		select {
		case <-moved:
		case <-timeout.C:
			late = true
		case <-ctx.Done():
			late = true
		}
		o.mu.Lock()
		if late {
			return
		}
	}
}

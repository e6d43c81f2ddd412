package ingest

import (
	"context"
	"sync"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// turnstile lets a few batches at once to the database: those of the urgent and live lanes before backlog, and
// inside a lane one of each organisation in turn. One turn in four goes to backlog, so that it drains as well.
type turnstile struct {
	waitingMax int

	mu      sync.Mutex
	free    int
	turns   int
	waiting map[id.Org]int
	lanes   [3]line
}

// line is who waits in one lane.
type line struct {
	orgs []id.Org // that wait, the next one first
	of   map[id.Org][]chan struct{}
}

func newTurnstile(free, waitingMax int) *turnstile {
	t := &turnstile{waitingMax: waitingMax, free: free, waiting: map[id.Org]int{}}
	for i := range t.lanes {
		t.lanes[i].of = map[id.Org][]chan struct{}{}
	}
	return t
}

func rank(lane wire.Lane) int {
	switch lane {
	case wire.Urgent:
		return 0
	case wire.Live:
		return 1
	default:
		return 2
	}
}

// enter waits for its turn; leave must be called when the work is done. It is a *BusyError if too many batches
// of the organisation wait.
func (t *turnstile) enter(ctx context.Context, org id.Org, lane wire.Lane) (leave func(), err error) {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return t.leave, nil
	}
	if t.waiting[org] >= t.waitingMax {
		t.mu.Unlock()
		return nil, &BusyError{RetryAfter: 2 * time.Second}
	}
	turn := make(chan struct{})
	t.waiting[org]++
	l := &t.lanes[rank(lane)]
	if len(l.of[org]) == 0 {
		l.orgs = append(l.orgs, org)
	}
	l.of[org] = append(l.of[org], turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return t.leave, nil
	case <-ctx.Done():
		t.giveUp(org, l, turn)
		return nil, ctx.Err()
	}
}

// giveUp takes a waiter out, or passes its turn on if it has just come.
func (t *turnstile) giveUp(org id.Org, l *line, turn chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, w := range l.of[org] {
		if w != turn {
			continue
		}
		l.of[org] = append(l.of[org][:i:i], l.of[org][i+1:]...)
		t.waited(org)
		if len(l.of[org]) == 0 {
			l.drop(org)
		}
		return
	}
	t.pass()
}

func (l *line) drop(org id.Org) {
	delete(l.of, org)
	for i, o := range l.orgs {
		if o == org {
			l.orgs = append(l.orgs[:i:i], l.orgs[i+1:]...)
			return
		}
	}
}

func (t *turnstile) waited(org id.Org) {
	if t.waiting[org]--; t.waiting[org] == 0 {
		delete(t.waiting, org)
	}
}

func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass()
}

// pass gives a free place to the next in turn.
func (t *turnstile) pass() {
	t.turns++
	order := [3]int{0, 1, 2}
	if t.turns%4 == 0 {
		order = [3]int{2, 0, 1}
	}
	for _, i := range order {
		l := &t.lanes[i]
		if len(l.orgs) == 0 {
			continue
		}
		org := l.orgs[0]
		next := l.of[org][0]
		l.of[org] = l.of[org][1:]
		l.orgs = l.orgs[1:]
		if len(l.of[org]) == 0 {
			delete(l.of, org)
		} else {
			l.orgs = append(l.orgs, org)
		}
		t.waited(org)
		close(next)
		return
	}
	t.free++
}

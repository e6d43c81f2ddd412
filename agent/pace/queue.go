package pace

import (
	"cmp"
	"slices"
	"time"
)

// waiter is a request that waits for its turn.
type waiter struct {
	flow  *Flow
	n     int   // bytes that it still wants
	tag   int64 // where it begins on the class's count
	seq   uint64
	ready chan struct{}
}

// queue holds the waiters of one class in the order in which they are served. Flows without a deadline share it by
// start-time fair queueing: each is served as if it had begun no earlier than the others.
type queue struct {
	line  []*waiter
	count int64     // tag of the waiter served last
	since time.Time // since when its first one has waited for a turn of the class
}

// stamp books n bytes for a flow and returns where they begin on the class's count.
func (q *queue) stamp(f *Flow, n int) int64 {
	tag := max(q.count, f.finish)
	f.finish = tag + int64(n)
	if len(q.line) == 0 {
		q.count = tag
	}
	return tag
}

func (q *queue) join(w *waiter, now time.Time) {
	if len(q.line) == 0 {
		q.since = now
	}
	w.tag = q.stamp(w.flow, w.n)
	q.insert(w)
}

func (q *queue) insert(w *waiter) {
	at, _ := slices.BinarySearchFunc(q.line, w, before)
	q.line = slices.Insert(q.line, at, w)
}

func before(a, b *waiter) int {
	return cmp.Or(cmp.Compare(uint64(a.flow.dueUs-1), uint64(b.flow.dueUs-1)), // no deadline is the latest
		cmp.Compare(a.tag, b.tag), cmp.Compare(a.seq, b.seq))
}

// serve gives the first waiter at most so much of what it wants; it stays in the queue until it has all.
func (q *queue) serve(now time.Time, most int) (*waiter, int) {
	w := q.line[0]
	n := min(w.n, most)
	q.line = slices.Delete(q.line, 0, 1)
	q.count, q.since = max(q.count, w.tag), now
	w.n -= n
	w.tag += int64(n)
	if w.n > 0 {
		q.insert(w)
	}
	return w, n
}

// leave takes a waiter out that gave up; false if it was served already.
func (q *queue) leave(w *waiter) bool {
	at := slices.Index(q.line, w)
	if at < 0 {
		return false
	}
	q.line = slices.Delete(q.line, at, at+1)
	return true
}

// bytes is how much waits.
func (q *queue) bytes() (n int) {
	for _, w := range q.line {
		n += w.n
	}
	return n
}

const slots = 6

// meter counts bytes by the second, for the last few seconds.
type meter struct {
	second [slots]int64 // Unix seconds
	bytes  [slots]int
	total  int64
}

func (m *meter) add(now time.Time, n int) {
	s := now.Unix()
	i := s % slots
	if m.second[i] != s {
		m.second[i], m.bytes[i] = s, 0
	}
	m.bytes[i] += n
	m.total += int64(n)
}

func (m *meter) rate(now time.Time) float64 {
	sum, s := 0, now.Unix()
	for i := range m.second {
		if s-m.second[i] < slots {
			sum += m.bytes[i]
		}
	}
	part := float64(now.Nanosecond()) / 1e9
	return float64(sum) / (slots - 1 + part)
}

package outbox

import (
	"sync"
	"time"
)

// tally counts what happened within the last minute, second by second.
type tally struct {
	mu      sync.Mutex
	counts  [60]int64
	seconds [60]int64 // which second each count is of
}

func (t *tally) add(now time.Time, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	second := now.Unix()
	i := second % int64(len(t.counts))
	if t.seconds[i] != second {
		t.seconds[i], t.counts[i] = second, 0
	}
	t.counts[i] += n
}

func (t *tally) minute(now time.Time) (sum int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, second := range t.seconds {
		if age := now.Unix() - second; age >= 0 && age < int64(len(t.counts)) {
			sum += t.counts[i]
		}
	}
	return sum
}

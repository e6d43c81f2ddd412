package api

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// rateError says that requests come too fast.
type rateError struct{ after time.Duration }

// Error says when to go on.
func (e *rateError) Error() string {
	return fmt.Sprintf("too many requests: wait %d seconds and go on more slowly", max(1, int(e.after.Seconds()+0.999)))
}

// maxBuckets bounds the memory of a limiter.
const maxBuckets = 20000

// limiter holds one token bucket per key. A key that was not seen for long is forgotten, which only gives it a
// full bucket.
type limiter struct {
	perSecond rate.Limit
	burst     int
	mu        sync.Mutex
	buckets   map[string]*rate.Limiter
}

func newLimiter(perSecond float64, burst int) *limiter {
	return &limiter{perSecond: rate.Limit(perSecond), burst: burst, buckets: map[string]*rate.Limiter{}}
}

// take takes n tokens of a key, or returns a *rateError that says when they are there.
func (l *limiter) take(key string, n int) error {
	now := time.Now()
	l.mu.Lock()
	b, ok := l.buckets[key]
	if !ok {
		if len(l.buckets) >= maxBuckets {
			l.forget(now)
		}
		b = rate.NewLimiter(l.perSecond, l.burst)
		l.buckets[key] = b
	}
	l.mu.Unlock()
	n = min(n, l.burst)
	if b.AllowN(now, n) {
		return nil
	}
	missing := float64(n) - b.TokensAt(now)
	return &rateError{after: time.Duration(missing / float64(l.perSecond) * float64(time.Second))}
}

// forget drops the full buckets, or all of them when none is full.
func (l *limiter) forget(now time.Time) {
	for k, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.burst) {
			delete(l.buckets, k)
		}
	}
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}

// counter bounds how many of something a key has open at once.
type counter struct {
	limit int
	mu    sync.Mutex
	open  map[string]int
}

func newCounter(limit int) *counter { return &counter{limit: limit, open: map[string]int{}} }

// enter takes a place; leave must be called when it returns true.
func (c *counter) enter(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[key] >= c.limit {
		return false
	}
	c.open[key]++
	return true
}

func (c *counter) leave(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[key]--; c.open[key] <= 0 {
		delete(c.open, key)
	}
}

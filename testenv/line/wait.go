package line

import (
	"sync"
	"testing"
	"time"
)

// Wait is how long a test waits for something that must happen.
const Wait = 20 * time.Second

// Put passes a value on, or drops it when the channel is full.
func Put[T any](c chan<- T, v T) {
	select {
	case c <- v:
	default:
	}
}

// Get awaits a value, and fails the test when none comes.
func Get[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Wait):
		t.Fatalf("no %s came in %v", what, Wait)
		panic("unreachable")
	}
}

// None fails the test if a value is there.
func None[T any](t testing.TB, c <-chan T, what string) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s came: %+v", what, v)
	default:
	}
}

// Until waits for a condition, and fails the test when it does not come true.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(Wait); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s did not happen in %v", what, Wait)
		}
	}
}

// Clock is a clock that a test can move. The zero value shows the right time.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// Move steps the clock.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

package media

import (
	"sync"
	"time"
)

// Clock is a run's timeline: monotonic microseconds since the run began, and the wall time of its zero.
// Durations come from the monotonic part alone; wall time is an offset that may be corrected. Safe for
// concurrent use.
type Clock struct {
	start time.Time // carries the monotonic reading

	mu     sync.Mutex
	run    int64
	zero   int64 // monotonic µs since start at which the present run began
	wallUs int64 // wall time of the run's zero
}

// NewClock returns a Clock for a run that begins now, at the system's wall time.
func NewClock() *Clock {
	now := time.Now()
	return &Clock{start: now, wallUs: now.UnixMicro()}
}

// Begin starts run at this moment with the system's wall time: at start-up, and after a step of the clock.
func (c *Clock) Begin(run int64) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run = run
	c.zero = now.Sub(c.start).Microseconds()
	c.wallUs = now.UnixMicro()
}

// Run returns the present run.
func (c *Clock) Run() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run
}

// Mono returns the microseconds since the run began.
func (c *Clock) Mono() int64 {
	since := time.Since(c.start).Microseconds()
	c.mu.Lock()
	defer c.mu.Unlock()
	return since - c.zero
}

// Wall returns the wall time (microseconds since 1970) of a moment on the run's timeline.
func (c *Clock) Wall(monoUs int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wallUs + monoUs
}

// Now returns the wall time of this moment by the run's timeline.
func (c *Clock) Now() int64 { return c.Wall(c.Mono()) }

// Drift returns how far the system's wall clock is ahead of the run's timeline, in microseconds.
func (c *Clock) Drift() int64 { return time.Now().UnixMicro() - c.Now() }

// Slew moves the offset by at most 500 parts per million of elapsed towards the system's wall clock and
// returns by how much, in microseconds.
func (c *Clock) Slew(elapsed time.Duration) int64 {
	limit := elapsed.Microseconds() * 500 / 1_000_000
	step := min(max(c.Drift(), -limit), limit)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wallUs += step
	return step
}

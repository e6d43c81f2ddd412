package media

import (
	"sync"
	"time"
)

// keptRuns is how many past runs a Clock still knows: frames of the run before a step are on their way for a
// few seconds.
const keptRuns = 16

// Clock is a run's timeline: monotonic microseconds since the run began, and the wall time of its zero.
// Durations come from the monotonic part alone; wall time is an offset that may be corrected. Safe for
// concurrent use.
type Clock struct {
	start time.Time // carries the monotonic reading

	mu      sync.Mutex
	run     int64
	runs    map[int64]*timeline
	stepped chan struct{}
}

// timeline is what a Clock knows of one run.
type timeline struct {
	zero   int64 // monotonic µs since start at which the run began
	wallUs int64 // wall time of the run's zero
}

// NewClock returns a Clock for a run that begins now, at the system's wall time.
func NewClock() *Clock {
	now := time.Now()
	return &Clock{
		start: now, runs: map[int64]*timeline{0: {wallUs: now.UnixMicro()}}, stepped: make(chan struct{}),
	}
}

// Begin starts run at this moment with the system's wall time: at start-up, and after a step of the clock.
func (c *Clock) Begin(run int64) {
	now := time.Now()
	c.BeginAt(run, now, now.UnixMicro())
}

// BeginAt starts run at a moment just past, at a wall time; at must carry its monotonic reading (as time.Now
// gives it).
func (c *Clock) BeginAt(run int64, at time.Time, wallUs int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run = run
	c.runs[run] = &timeline{zero: at.Sub(c.start).Microseconds(), wallUs: wallUs}
	for len(c.runs) > keptRuns {
		oldest := run
		for n := range c.runs {
			oldest = min(oldest, n)
		}
		delete(c.runs, oldest)
	}
	close(c.stepped)
	c.stepped = make(chan struct{})
}

// Run returns the present run.
func (c *Clock) Run() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run
}

// Stepped returns a channel that is closed when the next run begins.
func (c *Clock) Stepped() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stepped
}

// Mono returns the microseconds since the run began.
func (c *Clock) Mono() int64 {
	since := time.Since(c.start).Microseconds()
	c.mu.Lock()
	defer c.mu.Unlock()
	return since - c.of(c.run).zero
}

// MonoIn returns the microseconds since a run began, also after that run has ended.
func (c *Clock) MonoIn(run int64) int64 {
	since := time.Since(c.start).Microseconds()
	c.mu.Lock()
	defer c.mu.Unlock()
	return since - c.of(run).zero
}

// Wall returns the wall time (microseconds since 1970) of a moment on the run's timeline.
func (c *Clock) Wall(monoUs int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of(c.run).wallUs + monoUs
}

// WallIn returns the wall time of a moment on a run's timeline, as that run saw it.
func (c *Clock) WallIn(run, monoUs int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of(run).wallUs + monoUs
}

// of returns a run's timeline; a run that is not known (0 is anybody's) counts as the present one.
func (c *Clock) of(run int64) *timeline {
	if t, ok := c.runs[run]; ok && run != 0 {
		return t
	}
	return c.runs[c.run]
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
	c.of(c.run).wallUs += step
	return step
}

// Package netcut is a stretch of network that tests can break: proxies for TCP, HTTP CONNECT and UDP.
//
// It owns the connections that run through it. It promises that bytes that pass are never changed nor
// reordered, that a TCP byte is either delivered or its connection dies, and that a fault begins and ends with
// the call that asks for it. It never breaks anything by itself.
package netcut

import (
	"sync"
	"time"
)

// link is what all connections of a proxy share: one wire with two directions.
type link struct {
	mu      sync.Mutex
	hole    bool
	delay   time.Duration
	limit   int64 // bytes a second each way; 0 means none
	changed chan struct{}
	up      lane
	down    lane
}

// lane is one direction of a link.
type lane struct {
	free  time.Time // when the wire has sent all that was put on it
	bytes int64     // delivered
}

func newLink() *link { return &link{changed: make(chan struct{})} }

func (l *link) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.changed)
	l.changed = make(chan struct{})
}

// Blackhole keeps connections open and passes nothing on, as a dead route does. What TCP senders have sent is
// kept, as they would send it again; UDP packets are gone. Restore ends it.
func (l *link) Blackhole() { l.set(func() { l.hole = true }) }

// Delay holds everything that comes from now on back by d each way.
func (l *link) Delay(d time.Duration) { l.set(func() { l.delay = d }) }

// Cap lets at most so many bytes a second through each way, all connections together; 0 takes the limit off.
func (l *link) Cap(bytesPerSecond int64) {
	l.set(func() {
		l.limit = max(bytesPerSecond, 0)
		l.up.free, l.down.free = time.Time{}, time.Time{}
	})
}

func (l *link) heal() {
	l.set(func() {
		l.hole, l.delay, l.limit = false, 0, 0
		l.up.free, l.down.free = time.Time{}, time.Time{}
	})
}

// due is when a byte that arrives now may go on, and how large a piece should be.
func (l *link) due(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Add(l.delay)
}

// piece is how many bytes to move at a time, so that a slow link trickles instead of gulping.
func (l *link) piece() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit == 0 {
		return maxPiece
	}
	return int(min(max(l.limit/20, 256), maxPiece))
}

const maxPiece = 32 << 10

// pass waits until n bytes that are due then have left by the lane; false when done comes first.
func (l *link) pass(done <-chan struct{}, at *lane, n int, due time.Time) bool {
	var leave time.Time // when the last byte is out, under the limit that was in force
	var under int64
	for {
		now := time.Now()
		l.mu.Lock()
		wait, changed := due.Sub(now), l.changed
		switch {
		case l.hole:
			wait = time.Hour
		case wait > 0:
		case l.limit == 0:
			wait = 0
		case leave.IsZero() || under != l.limit:
			if at.free.Before(now) {
				at.free = now
			}
			under = l.limit
			at.free = at.free.Add(time.Duration(int64(n) * int64(time.Second) / l.limit))
			leave = at.free
			wait = leave.Sub(now)
		default:
			wait = leave.Sub(now)
		}
		if wait <= 0 {
			at.bytes += int64(n)
		}
		l.mu.Unlock()
		if wait <= 0 {
			return true
		}
		if !sleep(wait, changed, done) {
			return false
		}
	}
}

// sleep waits for the time or a change; false when done comes first.
func sleep(d time.Duration, changed, done <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-done:
		return false
	}
	return true
}

// open waits until the link is no black hole; false when done comes first.
func (l *link) open(done <-chan struct{}) bool {
	for {
		l.mu.Lock()
		hole, changed := l.hole, l.changed
		l.mu.Unlock()
		if !hole {
			return true
		}
		if !sleep(time.Hour, changed, done) {
			return false
		}
	}
}

// Stats count what ran through.
type Stats struct {
	Up, Down int64 // bytes delivered to the target, and back to clients
	Open     int   // connections now; for UDP, clients with an open way back
	Accepted int64 // connections ever
	Full     int64 // UDP packets that found no room to wait for the line
}

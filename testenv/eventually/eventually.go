// Package eventually has tests wait for what must come about, instead of for time to pass. It owns the limit after
// which waiting is given up (longer than anything takes on a machine that is busy with other tests), and promises
// that a condition that never comes true fails the test with what was waited for. It never waits for a time alone.
package eventually

import (
	"testing"
	"time"
)

// limit is when waiting is given up.
const limit = time.Minute

// True waits for a condition, asking for it every few milliseconds, and fails the test when it does not come true.
func True(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Package bubble lets time pass in tests that run on synthetic time (testing/synctest).
//
// A test never sleeps on real time: it waits for a condition. Pass is the one place that sleeps, and it panics
// outside a synctest bubble.
package bubble

import (
	"testing/synctest"
	"time"
)

// Pass lets d of synthetic time pass, and returns when all other goroutines of the bubble have done what was due.
func Pass(d time.Duration) {
	synctest.Wait()
	time.Sleep(d)
	synctest.Wait()
}

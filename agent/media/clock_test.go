package media

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestClockRunsFromItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock()
		c.Begin(1)
		zero := time.Now().UnixMicro()
		<-time.After(90 * time.Second)
		if m := c.Mono(); m != 90_000_000 {
			t.Fatalf("mono %d, want 90 s", m)
		}
		if w := c.Now(); w != zero+90_000_000 {
			t.Fatalf("wall %d, want %d", w, zero+90_000_000)
		}
		c.Begin(2)
		if c.Run() != 2 || c.Mono() != 0 {
			t.Fatalf("run %d at mono %d, want run 2 at 0", c.Run(), c.Mono())
		}
	})
}

func TestSlewIsBounded(t *testing.T) {
	c := NewClock()
	c.Begin(1)
	c.mu.Lock()
	c.wallUs -= 3_000_000 // the run's timeline is 3 s behind
	c.mu.Unlock()
	if step := c.Slew(10 * time.Second); step != 5000 {
		t.Fatalf("slewed %d µs in 10 s, want 5000", step)
	}
	if d := c.Drift(); d < 2_990_000 || d > 2_996_000 {
		t.Fatalf("drift %d µs after the slew, want about 2.995 s", d)
	}
}

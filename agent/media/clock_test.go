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
	c.runs[1].wallUs -= 3_000_000 // the run's timeline is 3 s behind
	c.mu.Unlock()
	if step := c.Slew(10 * time.Second); step != 5000 {
		t.Fatalf("slewed %d µs in 10 s, want 5000", step)
	}
	if d := c.Drift(); d < 2_990_000 || d > 2_996_000 {
		t.Fatalf("drift %d µs after the slew, want about 2.995 s", d)
	}
}

func TestRunsBeforeAStepKeepTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock()
		c.Begin(1)
		first := time.Now().UnixMicro()
		stepped := c.Stepped()
		<-time.After(10 * time.Second)
		began := time.Now()
		<-time.After(time.Second)
		c.BeginAt(2, began, began.UnixMicro()+5)
		select {
		case <-stepped:
		default:
			t.Fatal("Stepped was not closed when a run began")
		}
		if m := c.Mono(); m != 1_000_000 {
			t.Fatalf("run 2 is at %d, want 1 s: it began a second ago", m)
		}
		if m := c.MonoIn(1); m != 11_000_000 {
			t.Fatalf("run 1 is at %d, want 11 s", m)
		}
		if w := c.Wall(0); w != began.UnixMicro()+5 {
			t.Fatalf("run 2 began at wall %d, want %d", w, began.UnixMicro()+5)
		}
		if w := c.WallIn(1, 4_000_000); w != first+4_000_000 {
			t.Fatalf("wall time in run 1 is %d, want %d", w, first+4_000_000)
		}
		for run := int64(3); run < 100; run++ {
			c.Begin(run)
		}
		if len(c.runs) != keptRuns || c.Run() != 99 {
			t.Fatalf("%d runs are kept, the present one is %d", len(c.runs), c.Run())
		}
	})
}

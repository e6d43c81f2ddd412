package record

import (
	"flag"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/wire"
	"holdfast/testenv/crashfs"
)

var (
	seeds     = flag.Int("seeds", 150, "how many seeds TestPowerCutsLeaveNoHole plays")
	firstSeed = flag.Int("first-seed", 0, "the seed that TestPowerCutsLeaveNoHole begins with")
)

// instructive are seeds that once brought a hole to light. 2085 kills the agent before what it remembers of a new volume
// is durable, and cuts the power once the volume is.
var instructive = [...]int{2085}

// TestPowerCutsLeaveNoHole plays lives of a site, each ended by a power cut or a kill at some operation of the file
// system, be it in the middle of the start. After each the ledger and the volumes must bear out all that was said.
func TestPowerCutsLeaveNoHole(t *testing.T) {
	t.Parallel()
	began := time.Now()
	var cuts atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d seeds, %d cuts in %v", *seeds, cuts.Load(), time.Since(began).Round(time.Millisecond))
	})
	for n := range *seeds + len(instructive) {
		seed := *firstSeed + n
		if n >= *seeds {
			seed = instructive[n-*seeds]
		}
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { cuts.Add(int64(perish(t, uint64(seed), false))) })
		})
	}
}

// muted takes the failures of a story that has to fail.
type muted struct {
	testing.TB
	text []string
}

func (q *muted) Error(args ...any) { q.text = append(q.text, fmt.Sprint(args...)) }
func (q *muted) Errorf(format string, args ...any) {
	q.text = append(q.text, fmt.Sprintf(format, args...))
}
func (q *muted) Failed() bool { return len(q.text) > 0 }
func (q *muted) Log(...any)   {}

// TestTheseTestsNoticeADiskThatLies: with a disk that flushes nothing the same stories come to light as holes.
func TestTheseTestsNoticeADiskThatLies(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		found := false
		synctest.Test(t, func(t *testing.T) {
			q := &muted{TB: t}
			perish(q, seed, true)
			found = q.Failed()
		})
		if found {
			return
		}
	}
	t.Error("a disk that flushes nothing goes unnoticed")
}

// perish plays one seed, on a disk that lies if so, and returns how many cuts it had.
func perish(t testing.TB, seed uint64, lying bool) (cuts int) {
	v := newVictim(t, seed, 1+int(seed%3), 1+int(seed%2))
	v.fs.Lying = lying
	defer func() {
		if t.Failed() {
			t.Log(v.said.String())
		}
	}()
	for range 2 + v.chance.IntN(3) {
		cuts += v.rise(true)
		if t.Failed() {
			v.close()
			return cuts
		}
		v.fs.CutAt(1 + v.chance.IntN(400))
		if v.chance.IntN(4) == 0 {
			v.failOnce("sync")
		}
		v.live()
		v.turmoil()
		v.cut(v.keep())
		cuts++
	}
	cuts += v.rise(false)
	v.live()
	v.film(5 * time.Second)
	v.end()
	return cuts
}

// rise starts until a start comes through, and looks at what it found. With trouble starts may be cut too.
func (v *victim) rise(trouble bool) (cuts int) {
	v.t.Helper()
	for {
		<-time.After(time.Duration(v.chance.IntN(3000)) * time.Millisecond)
		if trouble && v.chance.IntN(2) == 0 {
			v.fs.CutAt(1 + v.chance.IntN(60))
		}
		if v.start() {
			break
		}
		v.cut(v.keep())
		cuts++
	}
	v.fs.CutAt(0)
	select {
	case <-v.fs.Dark():
		v.t.Fatal("frozen after the start")
	default:
	}
	v.verify()
	if n := len(v.trims()); n != v.trimmed {
		v.t.Errorf("the start has lost %d ranges of video", n-v.trimmed)
	}
	return cuts
}

// keep says how much of what was not flushed survives; more than 100 is a kill of the process.
func (v *victim) keep() int { return []int{0, 20, 50, 80, 101}[v.chance.IntN(5)] }

// turmoil films with what happens to cameras.
func (v *victim) turmoil() {
	for range 1 + v.chance.IntN(4) {
		i := v.chance.IntN(len(v.streams))
		switch v.chance.IntN(5) {
		case 0:
			(&actor{hub: v.hubs[i], clock: v.clock}).down(wire.Unreachable)
		case 1:
			v.params[i] = params(false)
		}
		v.film(time.Duration(v.chance.IntN(8000)) * time.Millisecond)
	}
}

// failOnce fails one of the next operations of a kind.
func (v *victim) failOnce(kind string) {
	left := v.chance.IntN(20)
	v.fs.Fault = func(op crashfs.Op) error {
		if op.Kind != kind {
			return nil
		}
		if left--; left == 0 {
			return syscall.EIO
		}
		return nil
	}
}

// TestAKillThenAPowerCut: what another process left unflushed is flushed by the one that takes it over, even if a flush
// by the first one has failed, after which the system calls everything flushed.
func TestAKillThenAPowerCut(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]error{"before the last flush": nil, "after a flush that failed": syscall.EIO} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVictim(t, 1, 1, 1)
				v.rise(false)
				v.live()
				v.film(1800 * time.Millisecond)
				failed := false
				v.fs.Fault = func(op crashfs.Op) error {
					if op.Kind != "sync" {
						return nil
					}
					failed = true
					if last == nil {
						v.fs.Cut() // the segment has been written, sealed too
					}
					return last
				}
				v.stop()
				v.over()
				if !failed {
					t.Error("nothing was flushed")
				}
				v.cut(101)
				v.rise(false)
				v.live()
				v.film(beat)
				v.cut(0)
				v.rise(false)
				v.live()
				v.end()
			})
		})
	}
}

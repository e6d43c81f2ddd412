package record

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/disk"
	"holdfast/shared/wire"
)

// TestWhateverHappensEveryMomentIsAccountedFor lets chance play with cameras, disk, clock and agent, and then
// holds the account against what was really filmed.
func TestWhateverHappensEveryMomentIsAccountedFor(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { play(t, dir, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func play(t *testing.T, dir string, chance *rand.Rand) {
	s := newSite(t, dir, 1)
	s.cfg.Segment = 10 * time.Second
	s.start()
	began := s.clock.Wall(0)
	c := newCamera(s, 0, params(false))
	var log []string
	for range 25 {
		act := chance.IntN(11)
		log = append(log, fmt.Sprintf("%ds:%d", (s.clock.Now()-began)/1e6, act))
		switch act {
		case 0:
			c.down(wire.Reasons()[chance.IntN(8)+4])
		case 1:
			<-time.After(time.Duration(chance.IntN(15000)) * time.Millisecond)
		case 2:
			c.params = params(false)
		case 3:
			op := []disk.Op{disk.OpWrite, disk.OpFlush, disk.OpCreate, disk.OpFolder, disk.OpRead}[chance.IntN(5)]
			left := chance.IntN(6)
			s.setFault(func(o disk.Op, _ uint64) error {
				if o == op {
					if left--; left >= 0 {
						return syscall.EIO
					}
				}
				return nil
			})
		case 4:
			s.kill()
			<-time.After(time.Duration(chance.IntN(20000)) * time.Millisecond)
			if chance.IntN(2) == 0 {
				s.boot = fmt.Sprint("boot", chance.Int())
			}
			s.start()
			c.attach(s, 0, params(false))
		case 5:
			s.end()
			<-time.After(time.Duration(chance.IntN(20000)) * time.Millisecond)
			s.start()
			c.attach(s, 0, params(false))
		case 6:
			c.n += chance.IntN(40) // a new session begins anywhere
		}
		c.film(time.Duration(chance.IntN(20000)) * time.Millisecond)
	}
	s.setFault(nil)
	c.film(40 * time.Second)
	now := s.finish()
	s.assertAccounted(0, began, now)
	s.assertFrames(0, c, began, now)
	s.assertRows(0, began, now)
	s.assertSealed()
	if open, err := s.ledger.OpenSegments(t.Context()); err != nil || len(open) > 0 {
		t.Errorf("%d segments are still open, %v", len(open), err)
	}
	s.close()
	if t.Failed() {
		t.Log(log)
	}
}

// assertRows checks that no two segments of a stream overlap.
func (s *site) assertRows(i int, fromUs, toUs int64) {
	s.t.Helper()
	segments, err := s.ledger.Segments(s.t.Context(), s.streams[i], fromUs, toUs)
	if err != nil {
		s.t.Fatal(err)
	}
	for k := 1; k < len(segments); k++ {
		if over := segments[k-1].EndUs - segments[k].StartUs; over > frameUs {
			s.t.Errorf("segments %d and %d overlap by %d ms", segments[k-1].ID, segments[k].ID, over/1000)
		}
	}
}

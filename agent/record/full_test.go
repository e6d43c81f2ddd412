package record

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/disk"
	"holdfast/shared/wire"
)

// TestADiskThatTakesNothingIsSaid: while no volume takes video, the camera's state says so within 15 s and goes
// on saying so, however often recording is tried again in between.
func TestADiskThatTakesNothingIsSaid(t *testing.T) {
	t.Parallel()
	faults := map[string]func(op disk.Op, n int) bool{
		"no file can be made":                func(op disk.Op, _ int) bool { return op == disk.OpCreate },
		"a new file takes its header alone":  func(op disk.Op, n int) bool { return op == disk.OpWrite && n > 1 },
		"a new file takes two seconds alone": func(op disk.Op, n int) bool { return op == disk.OpWrite && n > 3 },
		"nothing can be flushed":             func(op disk.Op, _ int) bool { return op == disk.OpFlush },
	}
	for name, fails := range faults {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, dir, 1)
				said := &lines{}
				s.log = slog.New(slog.NewTextHandler(said, nil))
				s.cfg.Segment = 3 * time.Second
				s.start()
				c := newCamera(s, 0, params(false))
				c.gop = 25
				c.film(5 * time.Second)
				s.setFault(s.failing(fails))
				for second := 1; second <= 60; second++ {
					c.film(time.Second)
					if st := s.amended(0); second >= 15 && (st.State != wire.Failing || st.Reason != wire.DiskFailed) {
						t.Errorf("after %d s the state is %q (%s)", second, st.State, st.Reason)
					}
				}
				if n := said.count("nothing is recorded"); n < 1 || n > 2 {
					t.Errorf("%d lines in a minute say that nothing is recorded, want one or two:\n%s", n, said)
				}
				s.setFault(nil)
				c.film(60 * time.Second)
				if st := s.amended(0); st.State != wire.OK {
					t.Errorf("a minute after the disk is well the state is %q: %s", st.State, st.Text)
				}
				if n := said.count("recording again"); n != 1 {
					t.Errorf("%d lines say that it is recording again, want one:\n%s", n, said)
				}
				s.end()
			})
		})
	}
}

// failing fails operations by how often they were done on a segment before.
func (s *site) failing(fails func(op disk.Op, n int) bool) disk.Fault {
	var mu sync.Mutex
	done := map[disk.Op]map[uint64]int{}
	return func(op disk.Op, segment uint64) error {
		mu.Lock()
		defer mu.Unlock()
		if done[op] == nil {
			done[op] = map[uint64]int{}
		}
		done[op][segment]++
		if fails(op, done[op][segment]) {
			return syscall.ENOSPC
		}
		return nil
	}
}

// amended returns what the heartbeat says of a stream whose camera is well.
func (s *site) amended(i int) wire.StreamState {
	s.t.Helper()
	states := []wire.CameraState{{Camera: s.streams[i].Camera, Streams: []wire.StreamState{{Kind: s.streams[i].Kind, State: wire.OK}}}}
	if err := s.rec.Amend(s.t.Context(), states); err != nil {
		s.t.Fatal(err)
	}
	return states[0].Streams[0]
}

// lines is a log that is kept.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) count(part string) int { return strings.Count(l.String(), part) }

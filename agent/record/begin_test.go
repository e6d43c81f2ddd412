package record

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// videoFiles returns the paths of all segment files, oldest first.
func (s *site) videoFiles() (out []string) {
	s.t.Helper()
	err := filepath.WalkDir(filepath.Join(s.dir, "video", "video"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// lived runs two runs with what happens in between and checks the account over both.
func lived(t *testing.T, first func(s *site, c *actor), between func(s *site), want ...wire.Reason) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		began := s.clock.Wall(0)
		c := newCamera(s, 0, params(false))
		first(s, c)
		killed := s.kill()
		between(s)
		s.start()
		back := s.clock.Wall(0)
		<-time.After(2 * time.Second)
		c.attach(s, 0, params(false))
		c.film(10 * time.Second)
		now := s.finish()
		reasons, _ := s.assertAccounted(0, began, now)
		if !slices.Equal(reasons, want) {
			t.Errorf("gaps %v, want %v", reasons, want)
		}
		for _, r := range s.account(0, began, now) {
			if r.StartUs >= killed && r.EndUs <= back && r.Recorded {
				t.Errorf("video is said to exist while the agent was not there: %+v", r)
			}
		}
		s.assertFrames(0, c, began, now)
		s.assertSealed()
		s.close()
	})
}

func TestACrashLosesAtMostTheOpenPart(t *testing.T) {
	t.Parallel()
	lived(t, func(s *site, c *actor) {
		c.film(30*time.Second + 480*time.Millisecond)
	}, func(s *site) {
		<-time.After(20 * time.Second)
	}, wire.AgentCrashed, wire.Connecting)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		began := s.clock.Wall(0)
		c := newCamera(s, 0, params(false))
		c.film(30*time.Second + 960*time.Millisecond)
		killed := s.kill()
		s.start()
		_, recorded := s.assertAccounted(0, began, killed)
		// One frame is held back to learn its length.
		if lost := time.Duration(killed-began)*time.Microsecond - recorded; lost > 1040*time.Millisecond {
			t.Errorf("%v are lost, at most the open part may be", lost)
		}
		s.end()
	})
}

func TestAPowerCutKeepsWholePartsOnly(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(content []byte) []byte{
		"torn in the last part": func(b []byte) []byte { return b[:len(b)-100] },
		"zeros behind":          func(b []byte) []byte { return append(b, make([]byte, 9000)...) },
		"a hole inside": func(b []byte) []byte {
			copy(b[len(b)-30_000:], make([]byte, 4096))
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			lived(t, func(s *site, c *actor) {
				c.size = 4000
				c.film(30 * time.Second)
			}, func(s *site) {
				files := s.videoFiles()
				file := files[len(files)-1]
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, damage(content), 0o640); err != nil {
					t.Fatal(err)
				}
				s.boot = "boot-2"
				<-time.After(time.Minute)
			}, wire.HostOff, wire.Connecting)
		})
	}
}

func TestAnEmptyOpenSegmentLeavesNothing(t *testing.T) {
	t.Parallel()
	lived(t, func(s *site, c *actor) {
		<-time.After(3 * time.Second)
		c.film(200 * time.Millisecond) // shorter than a part
	}, func(s *site) {}, wire.Connecting, wire.AgentCrashed, wire.Connecting)
}

func TestACrashInsideAGap(t *testing.T) {
	t.Parallel()
	lived(t, func(s *site, c *actor) {
		c.film(10 * time.Second)
		c.down(wire.Unreachable)
		<-time.After(30 * time.Second)
	}, func(s *site) {
		<-time.After(30 * time.Second)
	}, wire.Unreachable, wire.AgentCrashed, wire.Connecting)
}

func TestCrashesInARow(t *testing.T) {
	t.Parallel()
	lived(t, func(s *site, c *actor) {
		c.film(10 * time.Second)
	}, func(s *site) {
		for range 3 {
			<-time.After(5 * time.Second)
			s.start()
			<-time.After(12 * time.Second)
			s.kill()
		}
	}, wire.AgentCrashed, wire.Connecting, wire.AgentCrashed, wire.Connecting, wire.AgentCrashed, wire.Connecting,
		wire.AgentCrashed, wire.Connecting)
}

func TestAStopIsDeclaredWithItsReason(t *testing.T) {
	t.Parallel()
	for _, reason := range []wire.Reason{wire.AgentStopped, wire.Updating} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, dir, 1)
			s.cfg.EndedBy = func() wire.Reason { return reason }
			s.start()
			began := s.clock.Wall(0)
			c := newCamera(s, 0, params(false))
			c.film(10 * time.Second)
			s.end()
			<-time.After(time.Minute)
			s.start()
			c.attach(s, 0, params(false))
			c.film(10 * time.Second)
			now := s.finish()
			reasons, recorded := s.assertAccounted(0, began, now)
			if !slices.Equal(reasons, []wire.Reason{reason}) || recorded < 19900*time.Millisecond {
				t.Errorf("gaps %v, recorded %v", reasons, recorded)
			}
			s.assertFrames(0, c, began, now)
			s.assertSealed()
			s.close()
		})
	}
}

func TestAStreamThatWasNotConfiguredForAWhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		began := s.clock.Wall(0)
		c := newCamera(s, 0, params(false))
		c.film(10 * time.Second)
		s.end()
		<-time.After(time.Minute)
		mine := s.streams
		s.streams = []id.Stream{{Camera: id.New[id.Camera](), Kind: id.Main}}
		s.start()
		<-time.After(5 * time.Minute)
		s.end()
		s.streams = mine
		s.start()
		c.attach(s, 0, params(false))
		c.film(5 * time.Second)
		reasons, _ := s.assertAccounted(0, began, s.finish())
		if !slices.Equal(reasons, []wire.Reason{wire.AgentStopped, wire.NotConfigured}) {
			t.Errorf("gaps %v", reasons)
		}
		s.close()
	})
}

func TestFilesThatTheLedgerDoesNotKnow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		c := newCamera(s, 0, params(false))
		c.film(10 * time.Second)
		s.kill()
		// The ledger is an older copy of itself: it has lost the segment's row.
		for _, f := range []string{"ledger.db", "ledger.db-wal", "ledger.db-shm"} {
			if err := os.Remove(filepath.Join(s.dir, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		real := s.videoFiles()[0]
		content, err := os.ReadFile(real)
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Dir(real)
		for name, b := range map[string][]byte{"0000000000000100.mp4": nil, "0000000000000101.mp4": content[:40], "notes.txt": []byte("x")} {
			if err := os.WriteFile(filepath.Join(folder, name), b, 0o640); err != nil {
				t.Fatal(err)
			}
		}
		s.start()
		if got := len(s.videoFiles()); got != 2 {
			t.Errorf("%d files are left, want the segment and what is none of ours", got)
		}
		segments, err := s.ledger.SegmentsAfter(t.Context(), 0, 10)
		if err != nil || len(segments) != 1 || !segments[0].Recovered || segments[0].Parts < 9 {
			t.Fatalf("segments %+v, %v; want the one that was on disk", segments, err)
		}
		if n := s.ledger.NextSegment(); n <= 0x101 {
			t.Errorf("the next segment would be %#x, a number that was on disk", n)
		}
		s.assertSealed()
		s.end()
	})
}

func TestAVolumeThatIsAwayAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		began := s.clock.Wall(0)
		c := newCamera(s, 0, params(false))
		c.film(20*time.Second + 500*time.Millisecond)
		s.kill()
		volume, away := filepath.Join(s.dir, "video"), filepath.Join(s.dir, "away")
		if err := os.Rename(volume, away); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		s.start()
		c.attach(s, 0, params(false))
		c.film(20 * time.Second)
		if got := s.condition("disk"); got != wire.Failing {
			t.Errorf("condition disk is %q without its volume", got)
		}
		if _, err := os.Stat(volume); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something was written where the volume should be mounted: %v", err)
		}
		if err := os.Rename(away, volume); err != nil {
			t.Fatal(err)
		}
		c.film(90 * time.Second)
		now := s.finish()
		reasons, recorded := s.assertAccounted(0, began, now)
		if !slices.Equal(reasons, []wire.Reason{wire.AgentCrashed, wire.DiskFailed}) {
			t.Errorf("gaps %v", reasons)
		}
		if recorded < 70*time.Second {
			t.Errorf("recorded %v", recorded)
		}
		s.assertFrames(0, c, began, now)
		s.assertSealed()
		if open, err := s.ledger.OpenSegments(t.Context()); err != nil || len(open) > 0 {
			t.Errorf("%d segments are still open, %v", len(open), err)
		}
		s.close()
	})
}

func TestStatementsOfAStreamAreAChain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.cfg.Segment = 4 * time.Second
		s.start()
		c := newCamera(s, 0, params(false))
		c.film(20 * time.Second)
		c.down(wire.Unreachable)
		<-time.After(10 * time.Second)
		c.film(6 * time.Second)
		s.kill()
		s.start()
		c.attach(s, 0, params(false))
		c.film(9 * time.Second)
		s.finish()
		segments, err := s.ledger.SegmentsAfter(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		var digest [32]byte
		var gaps []string
		for i, seg := range segments {
			file, size, err := s.disk.OpenRead(seg.Volume, seg.ID)
			if err != nil {
				t.Fatal(err)
			}
			signed, _, _, err := mp4.ReadSeal(file, size)
			if err != nil {
				t.Fatal(err)
			}
			rep, err := mp4.VerifySegment(file, size)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Statement.Previous != digest {
				t.Errorf("segment %d does not name the statement before it", i)
			}
			if rep.Statement.Recovered != seg.Recovered {
				t.Errorf("segment %d: recovered %v in the seal, %v in the ledger", i, rep.Statement.Recovered, seg.Recovered)
			}
			for _, g := range rep.Statement.Gaps {
				gaps = append(gaps, fmt.Sprint(g.Reason, " ", (g.ToUs-g.FromUs)/1e6))
			}
			digest = signed.Digest()
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{"connecting 0", "unreachable 10", "agent_crashed 1", "connecting 0"}; !slices.Equal(gaps, want) {
			t.Errorf("gaps in the statements %q, want %q", gaps, want)
		}
		s.close()
	})
}

func TestRecentFramesComeBackFromDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		name := s.streams[0]
		if _, err := s.rec.Recent(name, 5); !errors.Is(err, ErrNotRecent) {
			t.Errorf("Recent before the first frame = %v", err)
		}
		c := newCamera(s, 0, params(false))
		c.gop = 250
		c.film(14 * time.Second) // the newest key frame is 4 s old
		synctest.Wait()
		r := c.hub.Reader(media.Limit{Frames: 10_000, Bytes: 1 << 30})
		it, ok := r.Try()
		if !ok || it.Break != nil || it.Frame.Key {
			t.Fatalf("the hub's first item is %+v, want a frame in the middle of a group of pictures", it)
		}
		frames, err := s.rec.Recent(name, it.Frame.Seq)
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(251) // Seq counts from 1, frames from 0
		for i, f := range frames {
			if f.Seq != want+uint64(i) || f.Key != (i == 0) {
				t.Fatalf("frame %d of the recent ones has Seq %d, key %v", i, f.Seq, f.Key)
			}
			n := int(f.Seq - 1)
			if f.DTS != c.monoUs[n]*9/100 || f.MonoUs != c.monoUs[n] || !bytes.Equal(f.Units[0][1:9], stamp(n)) || f.Params != c.params {
				t.Errorf("frame %d came back with DTS %d, mono %d, want %d, %d", n, f.DTS, f.MonoUs, c.monoUs[n]*9/100, c.monoUs[n])
			}
		}
		if last := frames[len(frames)-1].Seq; last != it.Frame.Seq-1 {
			t.Errorf("the recent frames end at %d, the hub begins at %d", last, it.Frame.Seq)
		}
		if _, _, parts, ok := s.rec.OpenParts(name); !ok || len(parts) < 12 || !parts[0].Key {
			t.Errorf("OpenParts = %v, %v", parts, ok)
		}
		r.Close()
		s.end()
	})
}

func stamp(n int) []byte {
	return []byte{0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

func TestBootIDStaysWithinABoot(t *testing.T) {
	t.Parallel()
	if a, b := BootID(), BootID(); a == "" || a != b {
		t.Errorf("BootID = %q, then %q", a, b)
	}
	if a := bootByUptime(); a == "" || a != bootByUptime() {
		t.Errorf("bootByUptime = %q, then %q", a, bootByUptime())
	}
}

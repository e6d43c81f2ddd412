package record

import (
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/media"
	"holdfast/shared/wire"
)

// scene runs one script on a fresh site in a bubble of time and then checks the account of its first stream.
func scene(t *testing.T, sound bool, script func(s *site, c *actor), want ...wire.Reason) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		began := s.clock.Wall(0)
		c := newCamera(s, 0, params(sound))
		script(s, c)
		now := s.finish()
		reasons, _ := s.assertAccounted(0, began, now)
		if want != nil && !slices.Equal(reasons, want) {
			t.Errorf("gaps %v, want %v", reasons, want)
		}
		s.assertFrames(0, c, began, now)
		s.close()
	})
}

func (c *actor) down(reason wire.Reason) {
	c.hub.Down(media.Break{Reason: reason, MonoUs: c.clock.Mono()})
}

func TestBreaksBecomeGapsWithTheirReasons(t *testing.T) {
	t.Parallel()
	scene(t, false, func(s *site, c *actor) {
		<-time.After(time.Second)
		c.film(10 * time.Second)
		c.down(wire.Unreachable)
		<-time.After(20 * time.Second)
		c.down(wire.AuthFailed)
		<-time.After(20 * time.Second)
		c.n = (c.n/c.gop)*c.gop + 10 // the session begins in the middle of a group of pictures
		c.film(10 * time.Second)
	}, wire.Connecting, wire.Unreachable, wire.AuthFailed, wire.AwaitKeyFrame)
}

func TestSilenceWithoutAWordIsAGapToo(t *testing.T) {
	t.Parallel()
	scene(t, false, func(s *site, c *actor) {
		c.film(10 * time.Second)
		<-time.After(7 * time.Second)
		c.film(10 * time.Second)
	}, wire.Stalled)
}

func TestSlowFramesAreNoGap(t *testing.T) {
	t.Parallel()
	scene(t, false, func(s *site, c *actor) {
		c.gop = 4
		for range 20 {
			c.shoot()
			<-time.After(2 * time.Second)
		}
	}, []wire.Reason{}...)
}

func TestNewParamsAtAKeyFrameLeaveNoGap(t *testing.T) {
	t.Parallel()
	scene(t, false, func(s *site, c *actor) {
		c.film(10 * time.Second) // 250 frames: the next one is a key frame
		c.params = params(false)
		c.film(10 * time.Second)
	}, []wire.Reason{}...)
}

func TestNewParamsInTheMiddleWaitForAKeyFrame(t *testing.T) {
	t.Parallel()
	scene(t, false, func(s *site, c *actor) {
		c.film(11 * time.Second)
		c.params = params(false)
		c.film(10 * time.Second)
	}, wire.AwaitKeyFrame)
}

func TestAStreamWithoutKeyFramesIsNamed(t *testing.T) {
	t.Parallel()
	scene(t, false, func(s *site, c *actor) {
		c.gop = 1 << 30
		c.n = 1
		c.film(40 * time.Second)
	}, wire.AwaitKeyFrame, wire.NoKeyFrame)
}

func TestASegmentThatCannotEndAtAKeyFrameEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.cfg.MaxBytes = 1 << 20
		s.start()
		began := s.clock.Wall(0)
		c := newCamera(s, 0, params(false))
		c.size, c.gop = 20_000, 100
		c.film(12 * time.Second)
		now := s.finish()
		reasons, _ := s.assertAccounted(0, began, now)
		if !slices.Equal(reasons, []wire.Reason{wire.NoKeyFrame, wire.NoKeyFrame, wire.NoKeyFrame}) {
			t.Errorf("gaps %v: each group of pictures of 2 MB should have been cut at 1 MiB", reasons)
		}
		s.assertFrames(0, c, began, now)
		s.close()
	})
}

// TestSoundLandsInTheSegmentOfItsMoment has audio arrive a quarter of a second late, over the ends of segments.
func TestSoundLandsInTheSegmentOfItsMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.cfg.Segment = 4 * time.Second
		s.start()
		began := s.clock.Wall(0)
		c := newCamera(s, 0, params(true))
		const late = 6 // frames
		for i := range 25 * 30 {
			c.shoot()
			if i >= late {
				// 40 ms of G.711 that were captured with frame i-late.
				c.hub.Write(media.Frame{
					Params: c.params, Track: 1, PTS: int64(i-late) * 320, DTS: int64(i-late) * 320, Key: true,
					MonoUs: c.monoUs[i-late] + 5000, Units: [][]byte{make([]byte, 320)}, Bytes: 320,
				})
			}
			<-time.After(frameUs * time.Microsecond)
		}
		s.end()
		s.start()
		now := s.clock.Now()
		s.assertFrames(0, c, began, now)
		s.assertSealed()
		segments, err := s.ledger.Segments(t.Context(), s.streams[0], began, now)
		if err != nil || len(segments) < 5 {
			t.Fatalf("%d segments, %v", len(segments), err)
		}
		total := 0
		for i, seg := range segments {
			video, audio := s.count(seg)
			total += audio
			// In the last segment the sound of the last quarter of a second never came.
			if slack := 2 + late*(i/(len(segments)-1)); video-audio > slack || audio-video > slack {
				t.Errorf("segment %d has %d frames of video and %d of sound", i, video, audio)
			}
		}
		if want := 25*30 - late; total != want {
			t.Errorf("%d frames of sound on disk, %d were sent", total, want)
		}
		s.end()
	})
}

func TestAFailedFlushEndsTheSegmentAtWhatIsSafe(t *testing.T) {
	t.Parallel()
	scene(t, false, func(s *site, c *actor) {
		c.film(10 * time.Second)
		var failed atomic.Bool
		s.setFault(func(op disk.Op, _ uint64) error {
			if op == disk.OpFlush && !failed.Swap(true) {
				return syscall.EIO
			}
			return nil
		})
		c.film(20 * time.Second)
		if !failed.Load() {
			s.t.Error("no flush was asked for")
		}
	}, wire.DiskFailed)
}

func TestADiskThatFailsForAWhile(t *testing.T) {
	t.Parallel()
	for _, op := range []disk.Op{disk.OpWrite, disk.OpCreate, disk.OpFlush, disk.OpFolder} {
		t.Run(string(op), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, dir, 2)
				s.cfg.Segment = 10 * time.Second
				s.start()
				began := s.clock.Wall(0)
				cams := []*actor{newCamera(s, 0, params(false)), newCamera(s, 1, params(false))}
				film := func(d time.Duration) {
					for range int(d / (frameUs * time.Microsecond)) {
						cams[0].shoot()
						cams[1].shoot()
						<-time.After(frameUs * time.Microsecond)
					}
				}
				film(20 * time.Second)
				s.setFault(func(o disk.Op, _ uint64) error {
					if o == op {
						return syscall.ENOSPC
					}
					return nil
				})
				film(60 * time.Second)
				if said := s.condition("disk"); said != wire.Failing {
					t.Errorf("condition disk is %q while %s fails", said, op)
				}
				s.setFault(nil)
				film(90 * time.Second)
				if said := s.condition("disk"); said != wire.OK {
					t.Errorf("condition disk is %q after the disk is well", said)
				}
				now := s.finish()
				for i, c := range cams {
					reasons, recorded := s.assertAccounted(i, began, now)
					if !slices.Contains(reasons, wire.DiskFailed) {
						t.Errorf("gaps %v, want disk_failed among them", reasons)
					}
					// The last try may come 30 s and a group of pictures after the disk is well.
					if recorded < 75*time.Second {
						t.Errorf("recorded %v of 170 s, of which the disk was well 110 s", recorded)
					}
					s.assertFrames(i, c, began, now)
				}
				s.close()
				s.start()
				if open, err := s.ledger.OpenSegments(t.Context()); err != nil || len(open) > 0 {
					t.Errorf("%d segments are still open, %v", len(open), err)
				}
				s.end()
			})
		})
	}
}

func TestASlowDiskDropsWholeGroupsAndSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.cfg.Queue = 2 << 20
		s.start()
		began := s.clock.Wall(0)
		c := newCamera(s, 0, params(false))
		c.size = 20_000 // 500 kB a second: four seconds fit
		c.film(10 * time.Second)
		hold := make(chan struct{})
		s.setFault(func(op disk.Op, _ uint64) error {
			if op == disk.OpWrite {
				<-hold
			}
			return nil
		})
		c.film(20 * time.Second)
		s.setFault(nil)
		close(hold)
		c.film(10 * time.Second)
		now := s.finish()
		reasons, recorded := s.assertAccounted(0, began, now)
		if !slices.Equal(reasons, []wire.Reason{wire.SlowDisk}) {
			t.Errorf("gaps %v, want slow_disk", reasons)
		}
		if recorded < 22*time.Second {
			t.Errorf("recorded %v of 40 s with a stall of 20 s", recorded)
		}
		s.assertFrames(0, c, began, now)
		s.close()
	})
}

func TestAShortStallOfTheDiskLosesNothing(t *testing.T) {
	t.Parallel()
	scene(t, false, func(s *site, c *actor) {
		c.film(10 * time.Second)
		hold := make(chan struct{})
		s.setFault(func(op disk.Op, _ uint64) error {
			if op == disk.OpWrite || op == disk.OpFlush {
				<-hold
			}
			return nil
		})
		c.film(5 * time.Second)
		close(hold)
		s.setFault(nil)
		c.film(5 * time.Second)
	}, []wire.Reason{}...)
}

func TestAStepOfTheClockSplitsAndDropsNothing(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]time.Duration{"forward": 3 * time.Hour, "backward": -3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, dir, 2)
				s.start()
				began := s.clock.Wall(0)
				c := newCamera(s, 0, params(false))
				c.params.Run = s.clock.Run()
				c.film(5 * time.Second)
				now := time.Now()
				if err := s.rec.stepTo(t.Context(), now, now.Add(step).UnixMicro()); err != nil {
					t.Fatal(err)
				}
				zero := s.clock.Wall(0)
				// Until the next key frame the camera goes on with the run before.
				old := c.params.Run
				for c.n%c.gop != 0 {
					mono := s.clock.MonoIn(old)
					c.hub.Write(media.Frame{
						Params: c.params, PTS: mono * 9 / 100, DTS: mono * 9 / 100, MonoUs: mono, Units: [][]byte{make([]byte, 100)}, Bytes: 100,
					})
					c.n++
					<-time.After(frameUs * time.Microsecond)
				}
				keyUs := s.clock.Now()
				c.params = params(false)
				c.params.Run = s.clock.Run()
				c.film(3 * time.Second)
				now2 := s.finish()
				var oldTime time.Duration
				for _, r := range s.account(0, began, began+6_000_000) {
					if r.Recorded {
						oldTime += time.Duration(r.EndUs-r.StartUs) * time.Microsecond
					}
				}
				if oldTime < 5900*time.Millisecond {
					t.Errorf("%v of 6 s before the step are recorded", oldTime)
				}
				if step > 0 {
					s.assertAccounted(0, began, now2) // the hours that never were are declared too
					s.assertAccounted(1, began, now2)
				}
				reasons, _ := s.assertAccounted(0, zero, now2)
				if !slices.Equal(reasons, []wire.Reason{wire.ClockStep}) {
					t.Errorf("gaps after the step %v, want clock_step up to the key frame", reasons)
				}
				for _, r := range s.account(0, zero, keyUs) {
					if !r.Recorded && r.EndUs != keyUs {
						t.Errorf("the gap ends %d µs beside the key frame", r.EndUs-keyUs)
					}
				}
				// The stream that was down goes on being down in the new run.
				reasons, _ = s.assertAccounted(1, zero, now2)
				if !slices.Equal(reasons, []wire.Reason{wire.Connecting}) {
					t.Errorf("gaps of the other stream %v", reasons)
				}
				s.close()
			})
		})
	}
}

func TestRecordingIsCalledFailingWhenNothingReachesTheDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		c := newCamera(s, 0, params(false))
		c.film(5 * time.Second)
		hold := make(chan struct{})
		s.setFault(func(op disk.Op, _ uint64) error {
			if op == disk.OpWrite {
				<-hold
			}
			return nil
		})
		c.film(20 * time.Second)
		if got := s.condition("recording"); got != wire.Failing {
			t.Errorf("condition recording is %q while the disk takes nothing", got)
		}
		states := []wire.CameraState{{Camera: s.streams[0].Camera, Streams: []wire.StreamState{{Kind: "main", State: wire.OK}}}}
		if err := s.rec.Amend(t.Context(), states); err != nil {
			t.Fatal(err)
		}
		if st := states[0].Streams[0]; st.State != wire.Failing || st.Reason != wire.SlowDisk || st.DurableUs == 0 || !st.Record {
			t.Errorf("state %+v", st)
		}
		close(hold)
		s.setFault(nil)
		c.film(5 * time.Second)
		if got := s.condition("recording"); got != wire.OK {
			t.Errorf("condition recording is %q afterwards", got)
		}
		s.end()
	})
}

func (s *site) condition(name string) wire.State {
	for _, c := range s.board.Conditions() {
		if c.Name == name {
			return c.State
		}
	}
	return ""
}

func TestConfigReportsEveryFault(t *testing.T) {
	t.Parallel()
	c := Config{Segment: -1, MaxBytes: 1 << 40, Hubs: []*media.Hub{nil}}
	err := c.Validate()
	if err == nil {
		t.Fatal("a configuration full of faults was accepted")
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 4 {
		t.Errorf("Validate = %v, want four faults", err)
	}
}

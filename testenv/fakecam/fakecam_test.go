package fakecam_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"go.uber.org/goleak"

	"holdfast/testenv/fakecam"
	"holdfast/testenv/scenes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEveryFrameArrives is the promise that all loss counting stands on.
func TestEveryFrameArrives(t *testing.T) {
	for name, transport := range map[string]gortsplib.Transport{
		"tcp": gortsplib.TransportTCP, "tcp gathered": gortsplib.TransportTCP, "udp": gortsplib.TransportUDP,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := fakecam.Config{UDP: true}
			if name == "tcp gathered" {
				cfg.Gather = 10 * time.Millisecond
			}
			s := house(t, cfg, "quick-carpark/sub")
			cam := s.Cameras()[0]
			a := watch(t, cam.URL("main"), options{transport: transport})
			b := watch(t, cam.URL("main"), options{transport: transport})
			one, two := a.atLeast(t, 90), b.atLeast(t, 90)
			whole(t, one)
			whole(t, two)
			first, last := one[0].Frame, one[len(one)-1].Frame
			log := cam.Main().Log(first, last)
			if len(log) != len(one) {
				t.Fatalf("the log has %d frames from %d to %d, the viewer got %d", len(log), first, last, len(one))
			}
			for i, f := range one {
				if log[i].Frame != f.Frame || log[i].AtUs != f.SentUs || log[i].RTP != f.RTP || log[i].Key != f.Key {
					t.Fatalf("frame %d: the log says %+v, the viewer saw %+v", f.Frame, log[i], f)
				}
				if f.Camera != cam.Number() || f.Stream != 0 {
					t.Fatalf("frame %d is stamped camera %d stream %d", f.Frame, f.Camera, f.Stream)
				}
			}
			for _, f := range two { // what both got is the same
				if i := int(f.Frame) - int(first); i >= 0 && i < len(one) && f.SentUs != one[i].SentUs {
					t.Fatalf("frame %d was sent twice: at %d and %d", f.Frame, one[i].SentUs, f.SentUs)
				}
			}
		})
	}
}

// TestClockDoesNotDrift holds RTP time against the loop's step and against the time of sending, over joints.
func TestClockDoesNotDrift(t *testing.T) {
	t.Parallel()
	s := house(t, fakecam.Config{Cameras: []fakecam.CameraConfig{{RTPStart: 0xffffffff - 60*quickStep}}}, "quick-carpark/sub")
	v := watch(t, s.Cameras()[0].URL("main"), tcp())
	frames := v.atLeast(t, 100) // three joints, and the wrap of the RTP clock
	wrapped := false
	for i := 1; i < len(frames); i++ {
		if step := frames[i].RTP - frames[i-1].RTP; step != quickStep {
			t.Fatalf("frame %d is %d ticks after the one before, want %d", frames[i].Frame, step, quickStep)
		}
		wrapped = wrapped || frames[i].RTP < frames[i-1].RTP
	}
	if !wrapped {
		t.Fatalf("the RTP clock should have wrapped; it went from %d to %d", frames[0].RTP, frames[len(frames)-1].RTP)
	}
	sent := time.Duration(frames[len(frames)-1].SentUs-frames[0].SentUs) * time.Microsecond
	media := time.Duration(len(frames)-1) * time.Second * quickStep / scenes.Timescale
	if off := sent - media; off < -200*time.Millisecond || off > 500*time.Millisecond {
		t.Fatalf("%v of pictures took %v to send", media, sent)
	}
}

func TestKeyFramesCarryParameterSets(t *testing.T) {
	t.Parallel()
	s := house(t, fakecam.Config{Cameras: []fakecam.CameraConfig{{}, {OutOfBand: true}}}, "quick-carpark/sub", "quick-carpark/sub")
	for i, want := range []bool{true, false} {
		cam := s.Cameras()[i]
		v := watch(t, cam.URL("main"), tcp())
		for _, f := range v.atLeast(t, 40) {
			if !f.Key {
				continue
			}
			if got := bytes.Equal(f.AU[0], cam.Main().Loop().Video.SPS); got != want {
				t.Errorf("camera %s: key frame begins with the SPS: %v, want %v", cam.Name(), got, want)
			}
		}
	}
}

// TestManyStreams is the house as a load generator: eighty streams, each watched, nothing lost.
func TestManyStreams(t *testing.T) {
	const cameras, frames = 40, 15
	cfg := fakecam.Config{}
	for range cameras {
		cfg.Cameras = append(cfg.Cameras, fakecam.CameraConfig{Main: "carpark/main", Sub: "carpark/sub"})
	}
	s := fakecam.Serve(t, cfg)
	var viewers []*viewer
	for _, c := range s.Cameras() {
		viewers = append(viewers, watch(t, c.URL("main"), tcp()), watch(t, c.URL("sub"), tcp()))
	}
	keys := map[int64]int{}
	for _, v := range viewers {
		got := v.atLeast(t, frames)
		whole(t, got)
		for _, f := range got {
			if f.Key {
				keys[f.SentUs/20_000]++
			}
		}
	}
	for at, n := range keys {
		if n > 12 {
			t.Errorf("%d of 80 streams sent a key frame within the 20 ms at %d: they should be spread", n, at)
		}
	}
	for _, c := range s.Cameras() {
		if n := c.Main().Counters().Overflow; n > 0 {
			t.Errorf("camera %s lost %d packets in its own queue", c.Name(), n)
		}
	}
}

func TestSenderReports(t *testing.T) {
	t.Parallel()
	s := house(t, fakecam.Config{}, "quick-carpark/sub")
	cam := s.Cameras()[0]
	turn(t, cam, func(k *fakecam.Knobs) { k.NTPOffsetMs = 3_600_000 })
	v := watch(t, cam.URL("main"), tcp())
	v.until(t, "a sender report and a frame", func() bool { return len(v.reports) > 0 && len(v.frames) > 0 })
	v.mu.Lock()
	sr, f := v.reports[0], v.frames[0]
	v.mu.Unlock()
	const since1900 = 2208988800
	wallUs := int64(sr.NTPTime>>32-since1900)*1_000_000 + int64(sr.NTPTime&0xffffffff)*1_000_000>>32
	atUs := wallUs + int64(int32(f.RTP-sr.RTPTime))*1_000_000/90_000
	if off := time.Duration(atUs-f.SentUs)*time.Microsecond - time.Hour; off < -300*time.Millisecond || off > 300*time.Millisecond {
		t.Fatalf("by the report the frame is %v away from when it was sent, an hour ahead", off)
	}
}

func TestNewReportsFaults(t *testing.T) {
	for what, cfg := range map[string]fakecam.Config{
		"no cameras":   {},
		"unknown loop": {Cameras: []fakecam.CameraConfig{{Main: "attic/main"}}},
		"same name":    {Cameras: []fakecam.CameraConfig{{Name: "a", Main: "carpark/sub"}, {Name: "a", Main: "carpark/sub"}}},
		"bad address":  {Listen: "nowhere", Cameras: []fakecam.CameraConfig{{Main: "carpark/sub"}}},
	} {
		if s, err := fakecam.New(cfg); err == nil {
			s.Close()
			t.Errorf("%s: New did not complain", what)
		}
	}
}

package record

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/agent/camera"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/backoff"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// TestRealCamerasWithRealTrouble pulls fake cameras over real RTSP, troubles them, and holds what is on disk
// against the cameras' own log of what they sent: every frame is on disk or in a declared gap.
func TestRealCamerasWithRealTrouble(t *testing.T) {
	t.Parallel()
	loops := []string{"carpark/main", "shop/main", "checkout/main", "carpark-night/main"}
	house, cams := rent(t, loops)
	s := newSite(t, t.TempDir(), len(loops))
	s.cfg.Segment = 4 * time.Second
	room, stopRoom := pull(t, s, cams)
	began := s.clock.Wall(0)
	for i, name := range s.streams {
		eventually.True(t, fmt.Sprintf("%s to be recorded", loops[i]), func() bool { return s.rec.Durable(name) > 0 })
	}
	linger(t, s, 2*time.Second)
	cams[0].Drop()
	turn(t, cams[1], fakecam.Knobs{Stall: true})
	turn(t, cams[2], fakecam.Knobs{Offline: true})
	cams[3].Jump(3 * time.Hour)
	linger(t, s, 3500*time.Millisecond)
	for _, c := range cams {
		turn(t, c, fakecam.Knobs{})
	}
	back := s.clock.Now()
	for i, name := range s.streams {
		eventually.True(t, fmt.Sprintf("%s to be recorded again", loops[i]), func() bool { return s.rec.Durable(name) > back+1e6 })
	}
	states := room.States()
	if err := s.rec.Amend(t.Context(), states); err != nil {
		t.Fatal(err)
	}
	for _, st := range states {
		if st.Streams[0].DurableUs < back || st.Streams[0].FirstUs == 0 || !st.Streams[0].Record {
			t.Errorf("state %+v", st)
		}
	}
	now := s.finish()
	stopRoom()
	house()
	for i := range s.streams {
		assertSent(t, s, i, cams[i], loops[i], began, now)
	}
	s.assertSealed()
	report, err := Check(t.Context(), CheckConfig{Depth: Full, Keys: []ed25519.PublicKey{s.key.Public().(ed25519.PublicKey)}}, s.ledger, s.disk, slog.New(slog.DiscardHandler))
	if err != nil || !report.OK() {
		t.Errorf("check: %v %q", err, findings(report))
	}
	s.assertDecodes()
	s.close()
}

// rent starts a house of fake cameras.
func rent(t *testing.T, loops []string) (stop func(), cams []*fakecam.Camera) {
	t.Helper()
	var cfg fakecam.Config
	for _, l := range loops {
		cfg.Cameras = append(cfg.Cameras, fakecam.CameraConfig{Main: l})
	}
	cams, stop = rentHouse(t, cfg)
	return stop, cams
}

// rentHouse starts a house as it is configured.
func rentHouse(t *testing.T, cfg fakecam.Config) (cams []*fakecam.Camera, stop func()) {
	t.Helper()
	house, err := fakecam.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = house.Run(ctx) })
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return house.Cameras(), stop
}

// pull starts the site's recorder and the room that feeds it, which has little patience: but more than a busy machine lets
// a camera wait.
func pull(t *testing.T, s *site, cams []*fakecam.Camera) (*camera.Cameras, func()) {
	t.Helper()
	return pullFrom(t, s, cams, func(c *camera.Config) { c.Stall = 2 * time.Second })
}

func pullFrom(t *testing.T, s *site, cams []*fakecam.Camera, adjust func(*camera.Config)) (*camera.Cameras, func()) {
	t.Helper()
	cfg := camera.Config{
		Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Retry:    backoff.Policy{Min: 50 * time.Millisecond, Cap: 300 * time.Millisecond},
	}
	for i, c := range cams {
		source, err := camera.NewSource(c.URL("main"), "", "", "")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Cameras = append(cfg.Cameras, camera.Camera{ID: s.streams[i].Camera, Name: c.Name(), Main: source})
	}
	adjust(&cfg)
	s.clock = media.NewClock()
	room, err := camera.New(cfg, s.clock, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.rooms = room
	s.start()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := room.Run(ctx); err != nil {
			t.Errorf("cameras: %v", err)
		}
	})
	stop := func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return room, stop
}

// TestASeamBetweenTwoSources: the preferred camera dies, the next source takes over, and later the recording goes
// back. On disk there is a declared seam each time, every file decodes from its first picture on, and no picture of
// the source in use is missing beside a gap.
func TestASeamBetweenTwoSources(t *testing.T) {
	t.Parallel()
	cams, stopHouse := rentHouse(t, fakecam.Config{Cameras: []fakecam.CameraConfig{
		{Main: "shop/sub", Number: 1, Listen: "127.0.0.1:0"}, {Main: "shop/main", Number: 2},
	}})
	s := newSite(t, t.TempDir(), 1)
	s.cfg.Segment = 3 * time.Second
	room, stopRoom := pullFrom(t, s, cams[:1], func(c *camera.Config) {
		next, err := camera.NewSource(cams[1].URL("main"), "", "", "")
		if err != nil {
			t.Fatal(err)
		}
		c.Stall, c.Prove, c.Retrial = 6*time.Second, 3*time.Second, time.Second
		c.Cameras[0].Fallback = []camera.Fallback{{Main: next}}
	})
	began := s.clock.Wall(0)
	flows := func(what string, c *fakecam.Camera) {
		t.Helper()
		eventually.True(t, what, func() bool { return c.Sessions() == 1 && room.States()[0].Streams[0].FPS > 5 })
		mark := s.clock.Now()
		eventually.True(t, what+" to be recorded", func() bool { return s.rec.Durable(s.streams[0]) > mark+2_000_000 })
	}
	flows("the camera itself", cams[0])
	turn(t, cams[0], fakecam.Knobs{Silent: true})
	flows("the next source", cams[1])
	turn(t, cams[0], fakecam.Knobs{})
	eventually.True(t, "the way back", func() bool { return cams[1].Sessions() == 0 })
	flows("the camera itself again", cams[0])
	now := s.finish()
	stopRoom()
	stopHouse()
	reasons, recorded := s.assertAccounted(0, began, now)
	t.Logf("%v recorded, gaps %v", recorded.Round(time.Millisecond), reasons)
	if n := slices.Index(reasons, wire.Stalled); n < 0 || !slices.Contains(reasons[n:], wire.Connecting) {
		t.Errorf("the seams are not among the gaps: %v", reasons)
	}
	s.assertSealed()
	s.assertDecodes()
	s.close()
}

func turn(t *testing.T, c *fakecam.Camera, k fakecam.Knobs) {
	t.Helper()
	if err := c.Turn(func(now *fakecam.Knobs) { *now = k }); err != nil {
		t.Fatal(err)
	}
}

// linger waits until so much time has passed on the run's timeline.
func linger(t *testing.T, s *site, d time.Duration) {
	t.Helper()
	until := s.clock.Mono() + d.Microseconds()
	eventually.True(t, d.String()+" to pass", func() bool { return s.clock.Mono() >= until })
}

// assertSent checks the account of one camera against its own log.
func assertSent(t *testing.T, s *site, i int, cam *fakecam.Camera, loop string, began, now int64) {
	t.Helper()
	reasons, recorded := s.assertAccounted(i, began, now)
	t.Logf("%s: %v recorded, gaps %v", loop, recorded.Round(time.Millisecond), reasons)
	on := s.stampsOf(i, began, now)
	ranges := s.account(i, began, now)
	lost := 0
	for _, sent := range cam.Main().Log(1, 1<<62) {
		if on[sent.Frame] || sent.AtUs < began || sent.AtUs > now-500_000 || nearGap(ranges, sent.AtUs) {
			continue
		}
		if lost++; lost < 4 {
			t.Errorf("%s: frame %d, sent %d ms after the start, is neither on disk nor in a gap", loop, sent.Frame, (sent.AtUs-began)/1000)
		}
	}
	if len(on) < 60 {
		t.Errorf("%s: only %d frames are on disk", loop, len(on))
	}
}

// nearGap says whether a frame that was sent at a moment belongs to a gap: its capture is estimated from its
// arrival, on a machine with other things to do.
func nearGap(ranges []ledger.Range, at int64) bool {
	const jitter = 400_000
	for _, r := range ranges {
		if !r.Recorded && at >= r.StartUs-jitter && at < r.EndUs+jitter {
			return true
		}
	}
	return false
}

// stampsOf returns the numbers of the frames on disk by their stamps; a number that is there twice is an error.
func (s *site) stampsOf(i int, fromUs, toUs int64) map[uint64]bool {
	s.t.Helper()
	segments, err := s.ledger.Segments(s.t.Context(), s.streams[i], fromUs, toUs)
	must(s.t, err)
	out := map[uint64]bool{}
	for _, seg := range segments {
		file, size, err := s.disk.OpenRead(seg.Volume, seg.ID)
		must(s.t, err)
		h, _, err := mp4.ReadHeader(file, size)
		must(s.t, err)
		for part, err := range mp4.Parts(file, size) {
			must(s.t, err)
			samples, err := mp4.ReadSamples(file, part)
			must(s.t, err)
			for _, sample := range samples {
				if sample.Track != 0 {
					continue
				}
				stamp, ok := fakecam.FindStamp(sample.Units, h.Tracks[0].Codec == mp4.H265)
				if !ok || out[stamp.Frame] {
					s.t.Errorf("a frame without a stamp, or frame %d twice", stamp.Frame)
				}
				out[stamp.Frame] = true
			}
		}
		must(s.t, file.Close())
	}
	return out
}

// assertDecodes has ffmpeg decode every file, if there is one.
func (s *site) assertDecodes() {
	s.t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		s.t.Log("no ffmpeg here: files are not decoded")
		return
	}
	for i, file := range s.videoFiles() {
		if i%3 != 0 {
			continue // decoding takes long
		}
		out, err := exec.Command("ffmpeg", "-v", "error", "-xerror", "-i", file, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-").CombinedOutput()
		if err != nil || len(out) > 0 {
			s.t.Errorf("%s does not decode: %v\n%s", filepath.Base(file), err, out)
			if keep := os.Getenv("HOLDFAST_KEEP"); keep != "" {
				b, _ := os.ReadFile(file)
				_ = os.WriteFile(filepath.Join(keep, filepath.Base(file)), b, 0o640)
			}
		}
	}
}

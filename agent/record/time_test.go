package record

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"holdfast/agent/camera"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/scenes"
)

// timing is a camera with a way of its own with time.
type timing struct {
	name   string
	camera fakecam.CameraConfig // Main is a loop, or the timing's own name
	loop   *scenes.Loop         // by that name
	knobs  fakecam.Knobs
	every  time.Duration // between calls of do
	do     func(t *testing.T, c *fakecam.Camera, n int)
	exact  bool // frames keep the distance that the camera gave them
	none   bool // nothing can be recorded
}

// TestTimesOfEveryKind pulls real cameras of every timing into real files, and holds each frame's number, its time
// of presentation and the account of each camera against the camera's own log.
func TestTimesOfEveryKind(t *testing.T) {
	t.Parallel()
	list := timings(t)
	var house fakecam.Config
	house.Loops = map[string]*scenes.Loop{}
	for _, k := range list {
		if k.loop != nil {
			k.camera.Main = k.name
			house.Loops[k.name] = k.loop
			if k.name == "noise" {
				house.Loops["noisy"] = noisy(t, k.loop)
			}
		}
		house.Cameras = append(house.Cameras, k.camera)
	}
	cams, stopHouse := rentHouse(t, house)
	for i, k := range list {
		turn(t, cams[i], k.knobs)
	}
	s := newSite(t, t.TempDir(), len(list))
	s.cfg.Segment = 4 * time.Second
	_, stopRoom := pullFrom(t, s, cams, func(*camera.Config) {})
	began := s.clock.Wall(0)
	var doing sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i, k := range list {
		if k.do != nil {
			doing.Go(func() { repeat(ctx, t, k, cams[i]) })
		}
	}
	linger(t, s, 24*time.Second)
	cancel()
	doing.Wait()
	now := s.finish()
	stopRoom()
	stopHouse()
	for i, k := range list {
		t.Run(k.name, func(t *testing.T) { assertTiming(t, s, i, k, cams[i], began, now) })
	}
	s.assertSealedLoosely()
	report, err := Check(t.Context(), CheckConfig{Depth: Full, Keys: []ed25519.PublicKey{s.key.Public().(ed25519.PublicKey)}}, s.ledger, s.disk, slog.New(slog.DiscardHandler))
	if err != nil || !report.OK() {
		t.Errorf("check: %v %q", err, findings(report))
	}
	s.assertDecodes()
	s.close()
}

func repeat(ctx context.Context, t *testing.T, k timing, c *fakecam.Camera) {
	tick := time.NewTicker(k.every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
			k.do(t, c, n)
		case <-ctx.Done():
			return
		}
	}
}

// timings are the kinds of time that cameras have. A camera's number sets where in its loop it begins: 29 and 3 are some
// seconds before a key frame, when the room has connected.
func timings(t *testing.T) []timing {
	t.Helper()
	day, night := load(t, "carpark/sub"), load(t, "corridor/sub")
	swap := func(a, b string) func(*testing.T, *fakecam.Camera, int) {
		return func(t *testing.T, c *fakecam.Camera, n int) {
			t.Helper()
			if err := c.Switch("main", []string{a, b}[n%2]); err != nil {
				t.Error(err)
			}
		}
	}
	each := func(d time.Duration) func(int) int64 {
		return func(int) int64 { return int64(d) * scenes.Timescale / int64(time.Second) }
	}
	return []timing{
		{name: "60 a second", loop: day.Paced("60 a second", each(time.Second/60)), exact: true},
		{name: "1 a second", loop: day.KeysOnly("1 a second", time.Second), exact: true},
		{name: "1 in 2 s", loop: day.KeysOnly("1 in 2 s", 2*time.Second), exact: true},
		{name: "1 in 4 s", loop: day.KeysOnly("1 in 4 s", 4*time.Second), exact: true},
		{name: "variable", camera: fakecam.CameraConfig{Number: 3}, loop: night.Paced("variable", uneven), exact: true},
		{name: "keys every 10 s", camera: fakecam.CameraConfig{Main: "corridor/sub", Number: 3}, exact: true},
		{name: "keys every 60 s", camera: fakecam.CameraConfig{Number: 29}, loop: night.Paced("keys every 60 s", each(400*time.Millisecond)), exact: true},
		{name: "B-frames", camera: fakecam.CameraConfig{Main: "checkout/main"}, exact: true},
		{name: "wrap", camera: fakecam.CameraConfig{Main: "carpark/sub", RTPStart: 1<<32 - 5*90000}, exact: true},
		{name: "sets in the stream alone", camera: fakecam.CameraConfig{Main: "carpark/sub", InBand: true}, exact: true},
		{name: "sets in the description alone", camera: fakecam.CameraConfig{Main: "carpark/sub", OutOfBand: true}, exact: true},
		{name: "sets nowhere", camera: fakecam.CameraConfig{Main: "carpark/sub", InBand: true, OutOfBand: true}, none: true},
		{name: "other sets every 2 s", camera: fakecam.CameraConfig{Main: "carpark/main"}, every: 2 * time.Second, do: swap("carpark/sub", "carpark/main")},
		{name: "noise", loop: day, every: 2 * time.Second, do: swap("noisy", "noise"), exact: true},
		{name: "sound that jumps about", camera: fakecam.CameraConfig{Main: "shop/main"}, knobs: fakecam.Knobs{SoundJitter: 400}, exact: true},
		{name: "strays", camera: fakecam.CameraConfig{Main: "carpark/sub"}, every: 1500 * time.Millisecond, do: func(_ *testing.T, c *fakecam.Camera, n int) {
			c.Outlier([]time.Duration{-9800 * time.Second, 37600 * time.Second, 7 * time.Second}[n%3])
		}},
		{name: "steps", camera: fakecam.CameraConfig{Main: "carpark/sub"}, every: 4 * time.Second, do: func(_ *testing.T, c *fakecam.Camera, n int) {
			c.Jump([]time.Duration{2 * time.Hour, -5 * time.Hour, -61 * time.Millisecond, 9 * time.Second}[n%4])
		}},
	}
}

// uneven is a camera that sends 30 pictures a second while something moves, else one.
func uneven(i int) int64 {
	if i%50 < 44 {
		return scenes.Timescale / 30
	}
	return scenes.Timescale
}

func load(t *testing.T, name string) *scenes.Loop {
	t.Helper()
	l, err := scenes.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// noisy is the loop with a sequence parameter set that says another frame rate, and else the same.
func noisy(t *testing.T, l *scenes.Loop) *scenes.Loop {
	t.Helper()
	var was h264.SPS
	if err := was.Unmarshal(l.Video.SPS); err != nil || was.VUI == nil || was.VUI.TimingInfo == nil {
		t.Fatalf("the loop's parameters say no frame rate: %v", err)
	}
	for bit := 8 * len(l.Video.SPS); bit > 0; bit-- {
		set := slices.Clone(l.Video.SPS)
		set[(bit-1)/8] ^= 1 << ((bit - 1) % 8)
		var is h264.SPS
		if is.Unmarshal(set) != nil || is.VUI == nil || is.VUI.TimingInfo == nil || is.Width() != was.Width() || is.Height() != was.Height() {
			continue
		}
		if is.VUI.TimingInfo.NumUnitsInTick != was.VUI.TimingInfo.NumUnitsInTick && is.VUI.TimingInfo.TimeScale == was.VUI.TimingInfo.TimeScale {
			out := *l
			out.Name, out.Video.SPS = "noisy", set
			return &out
		}
	}
	t.Fatal("no bit of the parameters is the frame rate alone")
	return nil
}

func assertTiming(t *testing.T, s *site, i int, k timing, cam *fakecam.Camera, began, now int64) {
	t.Helper()
	reasons, recorded := s.assertAccounted(i, began, now)
	t.Logf("%v recorded, gaps %v", recorded.Round(time.Millisecond), reasons)
	if k.none {
		if recorded > 0 || !slices.Contains(reasons, wire.NoKeyFrame) {
			t.Errorf("%v recorded, gaps %v", recorded, reasons)
		}
		return
	}
	for _, r := range reasons {
		if !slices.Contains([]wire.Reason{wire.Connecting, wire.AwaitKeyFrame, wire.AgentStopped}, r) {
			t.Errorf("a gap for %s", r)
		}
	}
	got := s.pictures(t, i, began, now)
	log := map[uint64]fakecam.Sent{}
	for _, e := range cam.Main().Log(1, 1<<62) {
		log[e.Frame] = e
	}
	if len(got) < 4 {
		t.Fatalf("only %d pictures are on disk", len(got))
	}
	ranges := s.account(i, began, now)
	last := got[len(got)-1].number
	for n := got[0].number; n <= last; n++ {
		if !slices.ContainsFunc(got, func(p picture) bool { return p.number == n }) && !nearGap(ranges, log[n].AtUs) {
			t.Errorf("picture %d is neither on disk nor in a gap", n)
		}
	}
	for j := 1; j < len(got); j++ {
		a, b := got[j-1], got[j]
		if b.number <= a.number {
			t.Errorf("picture %d lies behind picture %d", b.number, a.number)
		}
		if a.segment != b.segment || b.number != a.number+1 {
			continue
		}
		step, want := b.pts-a.pts, int64(int32(log[b.number].RTP-log[a.number].RTP))
		switch {
		case k.exact && step != want:
			t.Errorf("picture %d is shown %d ticks after the one before, want %d", b.number, step, want)
		case !k.exact && (step <= 0 || step > scenes.Timescale):
			t.Errorf("picture %d is shown %d ticks after the one before", b.number, step)
		}
	}
}

// picture is one video sample on disk.
type picture struct {
	segment uint64
	number  uint64
	pts     int64
}

// pictures returns the numbered pictures of a stream on disk, in order.
func (s *site) pictures(t *testing.T, i int, fromUs, toUs int64) (out []picture) {
	t.Helper()
	segments, err := s.ledger.Segments(t.Context(), s.streams[i], fromUs, toUs)
	must(t, err)
	for _, seg := range segments {
		file, size, err := s.disk.OpenRead(seg.Volume, seg.ID)
		must(t, err)
		h, _, err := mp4.ReadHeader(file, size)
		must(t, err)
		media := int64(0)
		for part, err := range mp4.Parts(file, size) {
			must(t, err)
			samples, err := mp4.ReadSamples(file, part)
			must(t, err)
			for _, sample := range samples {
				if sample.Track != 0 {
					continue
				}
				stamp, ok := fakecam.FindStamp(sample.Units, h.Tracks[0].Codec == mp4.H265)
				if !ok {
					t.Error("a picture without a stamp")
				}
				out = append(out, picture{seg.ID, stamp.Frame, sample.DTS + int64(sample.CTS)})
				media += int64(sample.Duration)
			}
		}
		must(t, file.Close())
		// The file is as long as its row says, but for the drift of the camera's clock.
		if off := media*1_000_000/scenes.Timescale - (seg.EndUs - seg.StartUs); off < -60_000 || off > 60_000 {
			t.Errorf("segment %d holds %d ms more than its row says", seg.ID, off/1000)
		}
	}
	return out
}

package live

import (
	"context"
	"crypto/ed25519"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/camera"
	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/agent/live/talk"
	"holdfast/agent/media"
	"holdfast/agent/pace"
	"holdfast/agent/record"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// TestMain lets many tests run at once: they wait for a camera's real time, not for a processor.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// site is a site from its cameras to its live room; nothing in it is made up but the cameras.
type site struct {
	t       *testing.T
	cams    *fakecam.Server
	ids     map[string]id.Camera
	clock   *media.Clock
	ledger  *ledger.Ledger
	disk    *disk.Disk
	cameras *camera.Cameras
	record  *record.Recorder
	room    *Room
	began   time.Time
}

func newSite(t *testing.T, cams ...fakecam.CameraConfig) *site {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	s := &site{t: t, ids: map[string]id.Camera{}, clock: media.NewClock(), began: time.Now()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	s.cams, err = fakecam.New(fakecam.Config{Cameras: cams})
	must(err)
	cfg := camera.Config{
		Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Stall: 1500 * time.Millisecond, Linger: 500 * time.Millisecond,
		Retry: backoff.Policy{Min: 50 * time.Millisecond, Cap: 200 * time.Millisecond},
	}
	for i, c := range s.cams.Cameras() {
		cam := camera.Camera{ID: id.New[id.Camera](), Name: c.Name(), Talk: cams[i].Speaker != nil}
		cam.Main, err = camera.NewSource(c.URL("main"), "", "", "tcp")
		must(err)
		if c.Sub() != nil {
			cam.Sub, err = camera.NewSource(c.URL("sub"), "", "", "tcp")
			must(err)
		}
		s.ids[c.Name()] = cam.ID
		cfg.Cameras = append(cfg.Cameras, cam)
	}
	s.ledger, err = ledger.Open(t.Context(), filepath.Join(dir, "ledger.db"), log)
	must(err)
	board := health.NewBoard(s.clock.Now, nil)
	s.disk, err = disk.Open(disk.Config{
		Volumes: []disk.Volume{{Path: filepath.Join(dir, "video"), Create: true, Free: 1}}, State: filepath.Join(dir, "volumes.json"),
	}, board, log)
	must(err)
	s.cameras, err = camera.New(cfg, s.clock, board, log)
	must(err)
	_, key, err := ed25519.GenerateKey(nil)
	must(err)
	recording := record.Config{Site: "site-test", Key: key, BootID: "boot-1", Version: "test", Segment: 3 * time.Second}
	recording.Offset = func() (int64, bool) { return clockError, true }
	for _, name := range s.cameras.Recorded() {
		recording.Hubs = append(recording.Hubs, s.cameras.Hub(name))
	}
	s.record, err = record.New(recording, record.Floors{Ledger: s.ledger, Disk: s.disk, Clock: s.clock, Board: board, Log: log})
	must(err)
	must(s.record.Begin(t.Context()))
	s.room, err = New(Config{Loopback: true}, s.footage(), pace.New(pace.Plan{}), nil, log)
	must(err)
	s.start()
	return s
}

// clockError is what the site's clock is off by, as far as the site knows, microseconds.
const clockError = -70_000

func (s *site) footage() Footage {
	return Footage{
		Offset: func() (int64, bool) { return clockError, true },
		Hub:    s.cameras.Hub, Recent: s.record.Recent, Segments: s.ledger.Segments, Wall: s.clock.WallIn, Pin: s.disk.Pin,
		Open: func(volume string, segment uint64) (File, int64, error) { return s.disk.OpenRead(volume, segment) },
		Speaker: func(cam id.Camera) talk.Speaker {
			if speaker := s.cameras.Speaker(cam); speaker != nil {
				return speaker
			}
			return nil
		},
		Gap: func(ctx context.Context, name id.Stream, atUs int64) string {
			ranges, err := s.ledger.Coverage(ctx, name, atUs, atUs+1)
			if err != nil || len(ranges) == 0 || ranges[0].Gap == nil {
				return ""
			}
			return fmt.Sprintf("Reason: %s.", ranges[0].Gap.Reason)
		},
	}
}

// start runs everything; the rooms end in the order of the agent's own shutdown.
func (s *site) start() {
	run := func(name string, fn func(context.Context) error) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() {
			if err := fn(ctx); err != nil {
				s.t.Errorf("%s: %v", name, err)
			}
		})
		return func() { cancel(); done.Wait() }
	}
	stops := []func(){
		run("cameras at the site", s.cams.Run), run("disk", s.disk.Run), run("record", s.record.Run), run("camera", s.cameras.Run),
		run("live", s.room.Run),
	}
	eventually.True(s.t, "the port", func() bool { return taking(s.room) })
	s.t.Cleanup(func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
		if err := s.disk.Close(); err != nil {
			s.t.Error(err)
		}
		if err := s.ledger.Close(); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *site) cam(name string) *fakecam.Camera { return s.cams.Camera(name) }

// turn changes a camera's knobs.
func (s *site) turn(t *testing.T, name string, change func(*fakecam.Knobs)) {
	t.Helper()
	if err := s.cam(name).Turn(change); err != nil {
		t.Fatal(err)
	}
}

// recorded waits until a camera's main stream is on disk from some moment on for so long, and returns that
// moment.
func (s *site) recorded(t *testing.T, name string, d time.Duration) (fromUs int64) {
	t.Helper()
	stream := id.Stream{Camera: s.ids[name], Kind: id.Main}
	eventually.True(t, fmt.Sprintf("%v of %s", d, name), func() bool {
		stats, err := s.ledger.StreamStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fromUs = stats[stream].FirstUs
		return fromUs > 0 && stats[stream].DurableUs-fromUs > d.Microseconds()
	})
	return fromUs
}

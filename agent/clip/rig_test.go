package clip

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
	"holdfast/agent/media"
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

// site records cameras on a real disk and ledger.
type site struct {
	t       *testing.T
	cams    *fakecam.Server
	ids     map[string]id.Camera
	clock   *media.Clock
	key     ed25519.PublicKey
	path    string // of the ledger
	ledger  *ledger.Ledger
	disk    *disk.Disk
	cameras *camera.Cameras
	record  *record.Recorder
	stops   []func() // in the order of starting
}

func newSite(t *testing.T, cams ...fakecam.CameraConfig) *site {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	s := &site{t: t, ids: map[string]id.Camera{}, clock: media.NewClock()}
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
		Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Stall: 1500 * time.Millisecond,
		Retry: backoff.Policy{Min: 50 * time.Millisecond, Cap: 200 * time.Millisecond},
	}
	for i, c := range s.cams.Cameras() {
		cam := camera.Camera{ID: id.New[id.Camera](), Name: c.Name()}
		cam.Main, err = camera.NewSource(c.URL("main"), "", "", "tcp")
		must(err)
		if cams[i].Sub != "" {
			cam.Sub, err = camera.NewSource(c.URL("sub"), "", "", "tcp")
			must(err)
			cam.RecordSub = true
		}
		s.ids[c.Name()] = cam.ID
		cfg.Cameras = append(cfg.Cameras, cam)
	}
	s.path = filepath.Join(dir, "ledger.db")
	s.ledger, err = ledger.Open(t.Context(), s.path, log)
	must(err)
	board := health.NewBoard(s.clock.Now, nil)
	s.disk, err = disk.Open(disk.Config{
		Volumes: []disk.Volume{{Path: filepath.Join(dir, "video"), Create: true, Free: 1}}, State: filepath.Join(dir, "volumes.json"),
	}, board, log)
	must(err)
	s.cameras, err = camera.New(cfg, s.clock, board, log)
	must(err)
	public, key, err := ed25519.GenerateKey(nil)
	must(err)
	s.key = public
	recording := record.Config{Site: "site-test", Key: key, BootID: "boot-1", Version: "test", Segment: 3 * time.Second}
	for _, name := range s.cameras.Recorded() {
		recording.Hubs = append(recording.Hubs, s.cameras.Hub(name))
	}
	s.record, err = record.New(recording, record.Floors{Ledger: s.ledger, Disk: s.disk, Clock: s.clock, Board: board, Log: log})
	must(err)
	must(s.record.Begin(t.Context()))
	for name, fn := range map[string]func(context.Context) error{"cameras at the site": s.cams.Run, "disk": s.disk.Run} {
		t.Cleanup(run(t, name, fn))
	}
	for name, fn := range map[string]func(context.Context) error{"record": s.record.Run, "camera": s.cameras.Run} {
		s.stops = append(s.stops, run(t, name, fn))
	}
	t.Cleanup(func() {
		s.finish()
		if err := s.disk.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run starts something that lives; stop ends it and waits.
func run(t *testing.T, name string, fn func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := fn(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	return func() { cancel(); done.Wait() }
}

// finish ends the recording in order: every segment is closed and sealed, and the ledger may be copied.
func (s *site) finish() {
	if s.stops == nil {
		return
	}
	for _, stop := range s.stops {
		stop()
	}
	s.stops = nil
	if err := s.ledger.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *site) cam(name string) *fakecam.Camera { return s.cams.Camera(name) }

func (s *site) stream(name string) id.Stream { return id.Stream{Camera: s.ids[name], Kind: id.Main} }

// recorded waits until a camera is on disk from some moment on for so long, and returns that moment.
func (s *site) recorded(t *testing.T, name string, d time.Duration) (fromUs int64) {
	t.Helper()
	return s.streamRecorded(t, s.stream(name), d)
}

func (s *site) streamRecorded(t *testing.T, stream id.Stream, d time.Duration) (fromUs int64) {
	t.Helper()
	eventually.True(t, fmt.Sprintf("%v of %s", d, stream), func() bool {
		stats, err := s.ledger.StreamStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stat := stats[stream]
		fromUs = stat.FirstUs
		return fromUs > 0 && stat.DurableUs-fromUs > d.Microseconds()
	})
	return fromUs
}

package camera

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/health"
	"holdfast/agent/media"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/fakecam"
)

// TestMain lets many tests run at once: they wait for a camera's real time, not for a processor.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.fuzz"); f == nil || f.Value.String() == "" {
		if err := flag.Set("test.parallel", "24"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// rig is a fake camera and the room that pulls it.
type rig struct {
	t     *testing.T
	house *fakecam.Server
	cam   *fakecam.Camera
	room  *Cameras
	board *health.Board
	clock *media.Clock
	log   *syncBuffer
	id    id.Camera
}

// syncBuffer collects what is logged.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type options struct {
	camera fakecam.CameraConfig
	house  fakecam.Config
	adjust func(*Config)
	user   string
	pass   string
	udp    bool
}

func newRig(t *testing.T, o options) *rig {
	t.Helper()
	if o.camera.Main == "" {
		o.camera.Main = "shop/main"
	}
	o.house.Cameras = []fakecam.CameraConfig{o.camera}
	house, err := fakecam.New(o.house)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := house.Run(ctx); err != nil {
			t.Errorf("fake camera: %v", err)
		}
	})
	r := &rig{
		t: t, house: house, cam: house.Cameras()[0], clock: media.NewClock(), log: &syncBuffer{}, id: id.New[id.Camera](),
	}
	r.clock.Begin(1)
	r.board = health.NewBoard(r.clock.Now, nil)
	transport := "tcp"
	if o.udp {
		transport = "udp"
	}
	cam := Camera{ID: r.id, Name: "test", Main: r.source("main", o.user, o.pass, transport)}
	if o.camera.Sub != "" {
		cam.Sub = r.source("sub", o.user, o.pass, transport)
	}
	cfg := Config{
		Cameras: []Camera{cam}, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Stall: 1500 * time.Millisecond,
		Linger: 500 * time.Millisecond, Retry: backoff.Policy{Min: 50 * time.Millisecond, Cap: 200 * time.Millisecond},
	}
	if o.adjust != nil {
		o.adjust(&cfg)
	}
	r.room, err = New(cfg, r.clock, r.board, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		if err := r.room.Run(ctx); err != nil {
			t.Errorf("cameras: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return r
}

func (r *rig) source(kind, user, pass, transport string) Source {
	r.t.Helper()
	s, err := NewSource(r.cam.URL(kind), user, pass, transport)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// viewer reads a hub in the background and keeps what it read.
type viewer struct {
	t      *testing.T
	reader *media.Reader
	mu     sync.Mutex
	items  []media.Item
	more   chan struct{}
}

func (r *rig) watch(kind id.StreamKind) *viewer {
	v := &viewer{
		t:      r.t,
		reader: r.room.Hub(id.Stream{Camera: r.id, Kind: kind}).Reader(media.Limit{Frames: 1 << 20, Bytes: 1 << 30}),
		more:   make(chan struct{}, 1),
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			it, err := v.reader.Next(context.Background())
			if err != nil {
				return
			}
			v.mu.Lock()
			v.items = append(v.items, it)
			v.mu.Unlock()
			select {
			case v.more <- struct{}{}:
			default:
			}
		}
	})
	r.t.Cleanup(func() {
		v.reader.Close()
		reading.Wait()
	})
	return v
}

// until waits until ok is true of what was read, and returns that.
func (v *viewer) until(what string, ok func([]media.Item) bool) []media.Item {
	v.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		v.mu.Lock()
		items := v.items[:len(v.items):len(v.items)]
		v.mu.Unlock()
		if ok(items) {
			return items
		}
		select {
		case <-v.more:
		case <-limit:
			v.t.Fatalf("waited in vain for %s; %d items came", what, len(items))
		}
	}
}

// frames waits for n video frames after the items read so far.
func (v *viewer) frames(n int) []media.Frame {
	v.t.Helper()
	v.mu.Lock()
	from := len(v.items)
	v.mu.Unlock()
	items := v.until(fmt.Sprintf("%d frames", n), func(items []media.Item) bool { return len(pictures(items[from:])) >= n })
	return pictures(items[from:])
}

func pictures(items []media.Item) []media.Frame { return track(items, 0) }

func track(items []media.Item, n int) (out []media.Frame) {
	for _, it := range items {
		if it.Break == nil && it.Frame.Track == n {
			out = append(out, it.Frame)
		}
	}
	return out
}

func breaks(items []media.Item) (out []wire.Reason) {
	for _, it := range items {
		if it.Break != nil {
			out = append(out, it.Break.Reason)
		}
	}
	return out
}

// broken waits for a break with that reason and returns its words.
func (v *viewer) broken(reason wire.Reason) string {
	v.t.Helper()
	text := ""
	v.until("a break with "+string(reason), func(items []media.Item) bool {
		for _, it := range items {
			if it.Break != nil && it.Break.Reason == reason {
				text = it.Break.Text
				return true
			}
		}
		return false
	})
	return text
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(25 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

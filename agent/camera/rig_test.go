package camera

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/health"
	"holdfast/agent/media"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// TestMain lets many tests run at once: they wait for a camera's real time, not for a processor.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.fuzz"); f == nil || f.Value.String() == "" {
		if err := flag.Set("test.parallel", "12"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// rig is a fake camera and the room that pulls it.
type rig struct {
	t     *testing.T
	house *fakecam.Server
	end   context.CancelFunc
	over  chan struct{} // closed when the room has ended
	err   error         // then
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

	pin     string              // of the camera's certificate
	secure  bool                // rtsps:// whatever the camera has
	address string              // of the main stream, instead of the fake camera's
	ready   func(*rig)          // called before the room runs
	with    func(*rig, *Config) // as adjust, when the house stands
}

func newRig(t *testing.T, o options) *rig {
	t.Helper()
	if o.camera.Main == "" {
		o.camera.Main = "shop/main"
	}
	o.house.Cameras = append([]fakecam.CameraConfig{o.camera}, o.house.Cameras...)
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
	cfg := Config{
		Cameras: []Camera{r.camera(o, transport)}, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Stall: 4 * time.Second,
		Linger: 500 * time.Millisecond, Retry: backoff.Policy{Min: 50 * time.Millisecond, Cap: 200 * time.Millisecond},
	}
	if o.adjust != nil {
		o.adjust(&cfg)
	}
	if o.with != nil {
		o.with(r, &cfg)
	}
	r.id = cfg.Cameras[0].ID
	r.room, err = New(cfg, r.clock, r.board, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	var pulling context.Context
	pulling, r.end = context.WithCancel(ctx)
	r.over = make(chan struct{})
	if o.ready != nil {
		o.ready(r)
	}
	go func() {
		defer close(r.over)
		if r.err = r.room.Run(pulling); r.err != nil {
			t.Errorf("cameras: %v", r.err)
		}
	}()
	t.Cleanup(func() {
		r.stop()
		cancel()
		running.Wait()
	})
	return r
}

// camera is the fake camera as the room's configuration has it.
func (r *rig) camera(o options, transport string) Camera {
	r.t.Helper()
	cam := Camera{ID: r.id, Name: "test", Main: r.source("main", o.user, o.pass, transport), Talk: o.camera.Speaker != nil}
	var err error
	if o.address != "" || o.secure {
		address := cmp.Or(o.address, strings.Replace(r.cam.URL("main"), "rtsp:", "rtsps:", 1))
		if cam.Main, err = NewSource(address, o.user, o.pass, transport); err != nil {
			r.t.Fatal(err)
		}
	}
	if o.pin != "" {
		if cam.Main, err = cam.Main.Pin(o.pin); err != nil {
			r.t.Fatal(err)
		}
	}
	if o.camera.Sub != "" {
		cam.Sub = r.source("sub", o.user, o.pass, transport)
	}
	return cam
}

// stop ends the room and waits for it; the cameras go on.
func (r *rig) stop() {
	r.end()
	<-r.over
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
	limit := time.After(time.Minute)
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

// so returns what was read so far.
func (v *viewer) so() []media.Item {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.items[:len(v.items):len(v.items)]
}

// turn sets the camera's faults.
func (r *rig) turn(k fakecam.Knobs) {
	r.t.Helper()
	if err := r.cam.Turn(func(now *fakecam.Knobs) { *now = k }); err != nil {
		r.t.Fatal(err)
	}
}

// condition waits for a condition of the main stream in a state, with these words.
func (r *rig) condition(name string, state wire.State, words string) health.Condition {
	r.t.Helper()
	var got health.Condition
	eventually.True(r.t, "the condition "+name+" to be "+string(state), func() bool {
		for _, c := range r.board.Conditions() {
			if c.Name == name && c.Kind == string(id.Main) && c.State == state && strings.Contains(c.Text, words) {
				got = c
				return true
			}
		}
		return false
	})
	return got
}

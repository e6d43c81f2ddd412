package restream

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/testenv/eventually"
	"holdfast/testenv/scenes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a server with one camera whose frames the test writes.
type stage struct {
	t      *testing.T
	server *Server
	addr   string
	hub    *media.Hub
	silent *media.Hub // of a camera that sends nothing
	loop   *scenes.Loop
	stop   func()

	mu     sync.Mutex
	params *media.Params
}

func newStage(t *testing.T, cfg Config) *stage {
	t.Helper()
	loop, err := scenes.Load("carpark/sub")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // for a free port
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s := &stage{
		t: t, addr: cfg.Listen, hub: media.NewHub(id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}),
		silent: media.NewHub(id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}), loop: loop,
		params: &media.Params{Tracks: []mp4.Track{loop.Video, {Codec: mp4.PCMU, Timescale: 8000, SampleRate: 8000, Channels: 1}}, Run: 1},
	}
	s.server = New(cfg, Deps{
		Find: func(name string) (id.Camera, bool) {
			if name == "silent" {
				return s.silent.Stream().Camera, true
			}
			return s.hub.Stream().Camera, name == "front door" || name == string(s.hub.Stream().Camera)
		},
		Hub: func(name id.Stream) *media.Hub {
			for _, h := range []*media.Hub{s.hub, s.silent} {
				if name == h.Stream() {
					return h
				}
			}
			return nil
		},
		Wall: func(_, monoUs int64) int64 { return began.UnixMicro() + monoUs },
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.server.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	running.Go(func() { s.film(ctx, began) })
	s.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(s.stop)
	eventually.True(t, "the port", s.server.Listening)
	return s
}

// film writes the loop's frames to the hub, again and again, and sound beside them.
func (s *stage) film(ctx context.Context, began time.Time) {
	tick := time.NewTicker(time.Second / time.Duration(s.loop.FPS))
	defer tick.Stop()
	for {
		for i := range s.loop.Units {
			u := &s.loop.Units[i]
			mono := time.Since(began).Microseconds()
			s.mu.Lock()
			params := s.params
			s.mu.Unlock()
			s.hub.Write(media.Frame{Params: params, MonoUs: mono, DTS: mono * 9 / 100, PTS: mono * 9 / 100, Key: u.Key, Units: u.NALUs})
			s.hub.Write(media.Frame{Params: params, Track: 1, MonoUs: mono, DTS: mono * 8 / 1000, PTS: mono * 8 / 1000, Units: [][]byte{make([]byte, 160)}})
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (s *stage) change(change func(*media.Params)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := *s.params
	p.Tracks = append([]mp4.Track{}, p.Tracks...)
	change(&p)
	s.params = &p
}

// program watches a camera by RTSP.
type program struct {
	client *gortsplib.Client
	over   chan error

	mu       sync.Mutex
	keys     int
	pictures int
	sounds   int
	last     uint32
	backward bool
}

// watch connects; the error is that of the first request that was refused.
func (s *stage) watch(path string) (*program, error) {
	s.t.Helper()
	u, err := base.ParseURL("rtsp://" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	tcp := gortsplib.TransportTCP
	p := &program{client: &gortsplib.Client{Scheme: u.Scheme, Host: u.Host, Transport: &tcp}, over: make(chan error, 1)}
	if err := p.client.Start2(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.client.Close)
	desc, _, err := p.client.Describe(u)
	if err != nil {
		return nil, err
	}
	if err := p.client.SetupAll(desc.BaseURL, desc.Medias); err != nil {
		return nil, err
	}
	var h *format.H264
	pictures := desc.FindFormat(&h)
	decoder, err := h.CreateDecoder()
	if err != nil {
		s.t.Fatal(err)
	}
	p.client.OnPacketRTPAny(func(m *description.Media, _ format.Format, pkt *rtp.Packet) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if m != pictures {
			p.sounds++
			return
		}
		units, err := decoder.Decode(pkt)
		if err != nil {
			return // the access unit goes on
		}
		p.pictures++
		p.backward = p.backward || p.last != 0 && int32(pkt.Timestamp-p.last) <= 0
		p.last = pkt.Timestamp
		if units[0][0]&0x1f == 7 {
			p.keys++
		}
	})
	if _, err := p.client.Play(nil); err != nil {
		return nil, err
	}
	go func() { p.over <- p.client.Wait() }()
	return p, nil
}

func (p *program) seen(pictures int) func() bool {
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.pictures >= pictures && p.keys > 0 && p.sounds > 0
	}
}

// TestProgramsShareOnePull: several programs watch a camera, by key and by ID; it is pulled once, and no more when they
// have gone.
func TestProgramsShareOnePull(t *testing.T) {
	s := newStage(t, Config{User: "viewer", Password: "s3cret"})
	var all []*program
	for _, path := range []string{"front%20door/main", "front%20door", string(s.hub.Stream().Camera) + "/main"} {
		p, err := s.watch("viewer:s3cret@" + s.addr + "/" + path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, p)
	}
	for _, p := range all {
		eventually.True(t, "pictures and sound", p.seen(40))
		if p.backward {
			t.Error("RTP time goes backwards")
		}
	}
	if n, _ := s.hub.Readers(); n != 1 || s.server.Watching() != 3 {
		t.Errorf("%d readers for %d programs", n, s.server.Watching())
	}
	for _, p := range all {
		p.client.Close()
	}
	eventually.True(t, "the programs to be forgotten", func() bool { return s.server.Watching() == 0 })
	eventually.True(t, "the pull to end", func() bool { n, _ := s.hub.Readers(); return n == 0 })
	p, err := s.watch("viewer:s3cret@" + s.addr + "/front%20door/main")
	if err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "pictures again", p.seen(10))
}

// TestStrangersSeeNothing refuses who has no password or a wrong one, and what is not there, in words of RTSP.
func TestStrangersSeeNothing(t *testing.T) {
	s := newStage(t, Config{User: "viewer", Password: "s3cret"})
	for path, code := range map[string]string{
		s.addr + "/front%20door/main": "401", "viewer:guess@" + s.addr + "/front%20door/main": "401", "other:s3cret@" + s.addr + "/front%20door/main": "401",
		"viewer:s3cret@" + s.addr + "/back%20door/main": "404", "viewer:s3cret@" + s.addr + "/front%20door/sub": "404",
		"viewer:s3cret@" + s.addr + "/front%20door/third": "404", "viewer:s3cret@" + s.addr + "/..%2f..%2fetc/main": "404",
	} {
		if _, err := s.watch(path); err == nil || !strings.Contains(err.Error(), code) && !strings.Contains(err.Error(), "EOF") {
			t.Errorf("%s: %v, want %s", path, err, code)
		}
	}
	if n, _ := s.hub.Readers(); n != 0 {
		t.Errorf("%d readers for nobody", n)
	}
}

// TestACameraThatChanges ends the sessions when the parameters change, and not when they only come again.
func TestACameraThatChanges(t *testing.T) {
	s := newStage(t, Config{})
	p, err := s.watch(s.addr + "/front%20door/main")
	if err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "pictures", p.seen(10))
	s.change(func(*media.Params) {})
	eventually.True(t, "pictures after the same parameters", p.seen(60))
	s.change(func(m *media.Params) { m.Tracks[0].Width++ })
	select {
	case err := <-p.over:
		t.Logf("the program was told: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("a program goes on with parameters that no longer hold")
	}
	if p, err = s.watch(s.addr + "/front%20door/main"); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "pictures of the new kind", p.seen(10))
}

// TestTheEndIsQuick: a program that waits for a camera which sends nothing does not hold the agent up.
func TestTheEndIsQuick(t *testing.T) {
	s := newStage(t, Config{})
	answered := make(chan error, 1)
	go func() {
		_, err := s.watch(s.addr + "/silent/main")
		answered <- err
	}()
	eventually.True(t, "the pull", func() bool { n, _ := s.silent.Readers(); return n == 1 })
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > patience/2 {
		t.Errorf("the end took %v", took)
	}
	if err := <-answered; err == nil {
		t.Error("a program watches a camera that sends nothing")
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []Config{{}, {Listen: "127.0.0.1:8554"}, {Listen: "[::1]:8554"}, {Listen: "0.0.0.0:8554", User: "a", Password: "b"}} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for want, c := range map[string]Config{
		"listen": {Listen: "8554"}, "user": {Listen: ":8554"}, "password": {Listen: "10.0.0.1:8554", User: "a"},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "live.rtsp."+want) {
			t.Errorf("%+v: %v, want a fault of %s", c, err, want)
		}
	}
}

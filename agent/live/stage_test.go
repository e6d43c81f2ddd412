package live

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/scenes"
)

// stage is a room with one hub whose frames the test itself writes: for what no camera does on demand.
type stage struct {
	t      *testing.T
	room   *Room
	hub    *media.Hub
	loop   *scenes.Loop
	params *media.Params
	monoUs func() int64
	orders chan func() // done between two frames
	frame  uint64
	times  int // so much faster than in the world the camera's time goes
}

// insideCamera is how long a picture takes inside the stage's camera.
const insideCamera = 83 * time.Millisecond

func newStage(t *testing.T, cfg Config) *stage {
	t.Helper()
	return newStageOf(t, cfg, "carpark/sub")
}

// newFastStage is one whose camera's time goes so many times faster.
func newFastStage(t *testing.T, cfg Config, times int) *stage {
	t.Helper()
	return setStage(t, cfg, "carpark/sub", times)
}

// newStageOf is a stage whose camera films a scene.
func newStageOf(t *testing.T, cfg Config, scene string) *stage {
	t.Helper()
	return setStage(t, cfg, scene, 1)
}

func setStage(t *testing.T, cfg Config, scene string, times int) *stage {
	t.Helper()
	loop, err := scenes.Load(scene)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s := &stage{
		t: t, hub: media.NewHub(id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}), loop: loop, params: paramsOf(loop),
		monoUs: func() int64 { return int64(times) * time.Since(began).Microseconds() }, orders: make(chan func()), times: times,
	}
	cfg.Loopback = true
	s.room, err = New(cfg, Footage{
		Own: func(name id.Stream) (time.Duration, bool) { return insideCamera, name == s.hub.Stream() },
		Hub: func(name id.Stream) *media.Hub {
			if name == s.hub.Stream() {
				return s.hub
			}
			return nil
		},
		Recent:   func(id.Stream, uint64) ([]media.Frame, error) { return nil, errors.New("nothing on disk") },
		Segments: func(context.Context, id.Stream, int64, int64) ([]ledger.Segment, error) { return nil, nil },
		Open:     func(string, uint64) (File, int64, error) { return nil, 0, errors.New("nothing on disk") },
		Wall:     func(_, monoUs int64) int64 { return began.UnixMicro() + monoUs },
		Pin:      func(id.Stream, int64, int64, time.Duration) func() { return func() {} },
		Gap:      func(context.Context, id.Stream, int64) string { return "" },
	}, pace.New(pace.Plan{}), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.room.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	running.Go(func() { s.film(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	eventually.True(t, "the first frame", func() bool { _, brk := s.hub.State(); return brk == nil })
	eventually.True(t, "the port", func() bool { return taking(s.room) })
	return s
}

// taking says whether a room takes new sessions.
func taking(r *Room) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.port != nil
}

func paramsOf(l *scenes.Loop) *media.Params {
	return &media.Params{Tracks: []mp4.Track{l.Video}, Run: 1}
}

// film writes the loop's frames to the hub, again and again.
func (s *stage) film(ctx context.Context) {
	tick := time.NewTicker(time.Second / time.Duration(s.loop.FPS*s.times))
	defer tick.Stop()
	for {
		for i := range s.loop.Units {
			u := &s.loop.Units[i]
			s.frame++
			stamp := fakecam.Stamp{Camera: 1, Frame: s.frame, SentUs: time.Now().UnixMicro()}
			units := append([][]byte{stamp.NAL(s.loop.Video.Codec == mp4.H265)}, u.NALUs...)
			mono := s.monoUs()
			s.hub.Write(media.Frame{Params: s.params, MonoUs: mono, DTS: mono * 9 / 100, PTS: mono * 9 / 100, Key: u.Key, Units: units})
			select {
			case <-tick.C:
			case do := <-s.orders:
				do()
				<-tick.C
			case <-ctx.Done():
				return
			}
		}
	}
}

// do does something between two frames.
func (s *stage) do(fn func()) {
	done := make(chan struct{})
	s.orders <- func() { fn(); close(done) }
	<-done
}

func (s *stage) wish() wish { return wish{LiveOffer: wire.LiveOffer{Camera: s.hub.Stream().Camera}} }

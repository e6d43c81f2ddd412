package nvr_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/nvr"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/bubble"
)

// far is a device that takes as long as a test wants, and notes what it is asked.
type far struct {
	off  toggle
	mu   sync.Mutex
	keys []time.Time
	of   []id.StreamKind
	does func(wire.PTZOrder) error                                   // nil: nothing
	asks func(ctx context.Context, anew bool) (wire.PTZReply, error) // nil: it can do nothing
}

// toggle is a switch of all cameras.
type toggle struct{ atomic.Bool }

func (o *toggle) has(id.Camera) bool { return o.Load() }

// room is a room with this one camera, which runs until stop.
func (f *far) room(t *testing.T) (room *nvr.Room, cam id.Camera, stop func()) {
	t.Helper()
	cam = id.New[id.Camera]()
	room = nvr.New(map[id.Camera]nvr.Device{cam: f}, f.off.has, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- room.Run(ctx) }()
	return room, cam, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func (f *far) Ask(ctx context.Context, anew bool) (wire.PTZReply, error) {
	if f.asks == nil {
		return wire.PTZReply{}, nil
	}
	return f.asks(ctx, anew)
}

func (f *far) Do(_ context.Context, o wire.PTZOrder) error {
	if f.does == nil {
		return nil
	}
	return f.does(o)
}

func (f *far) KeyFrame(_ context.Context, kind id.StreamKind) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys, f.of = append(f.keys, time.Now()), append(f.of, kind)
	return nil
}

// tells checks that an error is a failure for people with a code and some words.
func tells(t *testing.T, err error, code wire.FailureCode, words string) {
	t.Helper()
	if failure := (*wire.Failure)(nil); !errors.As(err, &failure) || failure.Code != code || !strings.Contains(failure.Text, words) {
		t.Errorf("it says %v", err)
	}
}

// TestPresetsThatAreNotTold after one was kept are no reason to say that it was not.
func TestPresetsThatAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, searches, silent := &far{}, 0, false
		f.asks = func(_ context.Context, anew bool) (wire.PTZReply, error) {
			if anew {
				searches++
			}
			if silent {
				return wire.PTZReply{}, errors.New("no answer")
			}
			return wire.PTZReply{Move: true, Presets: []wire.PTZPreset{{Token: "1"}}}, nil
		}
		room, cam, stop := f.room(t)
		defer stop()
		check := func(o wire.PTZOrder, want int) {
			t.Helper()
			o.Camera = cam
			able, err := room.Do(t.Context(), o)
			if err != nil || !able.Move || len(able.Presets) != 1 || searches != want {
				t.Errorf("%s: %+v, %v, after %d searches", o.Act, able, err, searches)
			}
		}
		check(wire.PTZOrder{Act: wire.PTZAsk}, 1)
		check(wire.PTZOrder{Act: wire.PTZSave, Name: "x"}, 1)
		silent = true
		check(wire.PTZOrder{Act: wire.PTZSave, Name: "y"}, 1)
		silent = false
		check(wire.PTZOrder{Act: wire.PTZAsk}, 2) // what is known is old
	})
}

// TestAPresetWaitsItsTurn: it does not reach the device beside another order, and one that is overtaken is not told as kept.
func TestAPresetWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, did, held := &far{}, []wire.PTZAct(nil), make(chan struct{})
		f.does = func(o wire.PTZOrder) error {
			f.mu.Lock()
			did = append(did, o.Act)
			f.mu.Unlock()
			if o.Act == wire.PTZGoto {
				<-held
			}
			return nil
		}
		room, cam, stop := f.room(t)
		defer stop()
		order := func(o wire.PTZOrder) chan error {
			o.Camera = cam
			done := make(chan error, 1)
			go func() {
				_, err := room.Do(t.Context(), o)
				done <- err
			}()
			synctest.Wait()
			return done
		}
		far := order(wire.PTZOrder{Act: wire.PTZGoto, Preset: "1"})
		first := order(wire.PTZOrder{Act: wire.PTZSave, Name: "x"})
		second := order(wire.PTZOrder{Act: wire.PTZRemove, Preset: "1"})
		tells(t, <-first, wire.FailedBusy, "Try again")
		if !slices.Equal(did, []wire.PTZAct{wire.PTZGoto}) {
			t.Errorf("meanwhile the device was told %v", did)
		}
		close(held)
		if err := errors.Join(<-far, <-second); err != nil {
			t.Error(err)
		}
		if !slices.Equal(did, []wire.PTZAct{wire.PTZGoto, wire.PTZRemove}) {
			t.Errorf("the device was told %v", did)
		}
	})
}

// TestAFaultInReading what a device says is an error of that order: everything else goes on.
func TestAFaultInReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fault := &far{}, true
		f.does = func(wire.PTZOrder) error {
			if fault {
				panic("a fault")
			}
			return nil
		}
		room, cam, stop := f.room(t)
		defer stop()
		_, err := room.Do(t.Context(), wire.PTZOrder{Camera: cam, Act: wire.PTZHome})
		tells(t, err, wire.FailedOtherwise, "report")
		fault = false
		if _, err = room.Do(t.Context(), wire.PTZOrder{Camera: cam, Act: wire.PTZHome}); err != nil {
			t.Error(err)
		}
	})
}

// TestACameraThatIsSwitchedOff is told to stop and nothing else.
func TestACameraThatIsSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, did := &far{}, []wire.PTZAct(nil)
		f.does = func(o wire.PTZOrder) error {
			did = append(did, o.Act)
			return nil
		}
		f.asks = func(context.Context, bool) (wire.PTZReply, error) {
			t.Error("it is asked")
			return wire.PTZReply{}, nil
		}
		room, cam, stop := f.room(t)
		defer stop()
		f.off.Store(true)
		for _, act := range []wire.PTZAct{wire.PTZAsk, wire.PTZHome, wire.PTZMove} {
			_, err := room.Do(t.Context(), wire.PTZOrder{Camera: cam, Act: act, Pan: 1})
			tells(t, err, wire.FailedRefused, "switched off")
		}
		room.KeyFrame(id.Stream{Camera: cam, Kind: id.Main})
		synctest.Wait()
		if _, err := room.Do(t.Context(), wire.PTZOrder{Camera: cam, Act: wire.PTZStop}); err != nil || len(did) != 1 || len(f.keys) > 0 {
			t.Errorf("it was told %v, asked for %d key frames, %v", did, len(f.keys), err)
		}
	})
}

// TestASearchGoesOn when who wanted to know has gone: the next one has the answer.
func TestASearchGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, asked := &far{}, 0
		f.asks = func(ctx context.Context, _ bool) (wire.PTZReply, error) { // a recorder with 32 channels
			asked++
			select {
			case <-time.After(20 * time.Second):
				return wire.PTZReply{Move: true}, nil
			case <-ctx.Done():
				return wire.PTZReply{}, ctx.Err()
			}
		}
		room, cam, stop := f.room(t)
		defer stop()
		ask := func() (wire.PTZReply, error) {
			short, over := context.WithTimeout(t.Context(), 8*time.Second)
			defer over()
			return room.Do(short, wire.PTZOrder{Camera: cam, Act: wire.PTZAsk})
		}
		for range 2 {
			_, err := ask()
			tells(t, err, wire.FailedBusy, "still being asked")
		}
		if able, err := ask(); err != nil || !able.Move || asked != 1 {
			t.Errorf("after 20 s: %+v, %v; the device was asked %d times", able, err, asked)
		}
	})
}

// TestKeyFramesAreAskedForSeldom: twice a second would be a stream of key frames alone.
func TestKeyFramesAreAskedForSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{}
		room, cam, stop := f.room(t)
		for range 100 { // a crowd of viewers on narrow lines, for ten seconds
			room.KeyFrame(id.Stream{Camera: cam, Kind: id.Main})
			room.KeyFrame(id.Stream{Camera: cam, Kind: id.Sub})
			room.KeyFrame(id.Stream{Camera: id.New[id.Camera](), Kind: id.Main})
			bubble.Pass(100 * time.Millisecond)
		}
		stop()
		if len(f.keys) < 5 || len(f.keys) > 6 {
			t.Errorf("%d key frames were asked for in ten seconds", len(f.keys))
		}
		if !slices.Contains(f.of, id.Main) || !slices.Contains(f.of, id.Sub) {
			t.Errorf("key frames were asked for of %v: one stream is passed over", f.of)
		}
		for i := 1; i < len(f.keys); i++ {
			if f.keys[i].Sub(f.keys[i-1]) < 2*time.Second {
				t.Errorf("two within %v", f.keys[i].Sub(f.keys[i-1]))
			}
		}
	})
}

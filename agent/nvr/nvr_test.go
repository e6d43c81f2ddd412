package nvr_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/nvr"
	"holdfast/agent/nvr/onvif"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakenvr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a room with one camera, and its device over HTTP.
type rig struct {
	*fakenvr.Device
	t    *testing.T
	room *nvr.Room
	cam  id.Camera
	stop func() // ends the room
	n    int64  // of the last order
}

func newRig(t *testing.T) *rig {
	t.Helper()
	far, err := fakenvr.New(fakenvr.Config{User: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	device, err := onvif.New(onvif.Config{
		Address: far.URL(), User: "u", Password: "p", Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Device: far, t: t, cam: id.New[id.Camera]()}
	r.room = nvr.New(map[id.Camera]nvr.Device{r.cam: device}, func(id.Camera) bool { return false }, slog.New(slog.DiscardHandler))
	run := func(fn func(context.Context) error) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- fn(ctx) }()
		return sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	stopFar := run(far.Run)
	r.stop = run(r.room.Run)
	t.Cleanup(func() {
		r.stop()
		stopFar()
	})
	return r
}

// order is the next order of a turn.
func (r *rig) order(turn int64, act wire.PTZAct, pan float64) wire.PTZOrder {
	r.n++
	return wire.PTZOrder{Camera: r.cam, Act: act, Turn: turn, Number: r.n, Pan: pan}
}

func (r *rig) do(o wire.PTZOrder) {
	r.t.Helper()
	if _, err := r.room.Do(r.t.Context(), o); err != nil {
		r.t.Fatalf("%s: %v", o.Act, err)
	}
}

func (r *rig) still() bool { return !r.Where().Moving }

// TestACameraThatNobodyHoldsStops: a second after the last word its device is told to stop, long before it would by itself.
func TestACameraThatNobodyHoldsStops(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.do(r.order(1, wire.PTZAsk, 0))
	r.do(r.order(1, wire.PTZMove, 1))
	last := time.Now()
	for r.Where().Pan < 0.15 { // for a second and a half and more
		last = time.Now()
		r.do(r.order(1, wire.PTZMove, 1))
		at := r.Where().Pan
		eventually.True(t, "it turns further", func() bool { return r.Where().Pan > at+0.02 })
		if r.still() {
			t.Fatal("it stopped although it was held")
		}
	}
	eventually.True(t, "it stands still", r.still)
	if took := time.Since(last); took < 800*time.Millisecond || took > 1800*time.Millisecond {
		t.Errorf("it stopped %v after the last word", took)
	}
	if r.Count("Stop") != 1 {
		t.Errorf("the device heard %v", r.Calls())
	}
	if n := r.Count("ContinuousMove"); n < 2 || n > 4 {
		t.Errorf("the device was told to move %d times: a move that goes on long enough need not be told again", n)
	}
}

// TestStopIsToldUntilItIsHeard: a device that refuses to stop is told again.
func TestStopIsToldUntilItIsHeard(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.do(r.order(1, wire.PTZMove, 1))
	r.Turn(func(k *fakenvr.Knobs) { k.StopFails = 2 })
	_, err := r.room.Do(t.Context(), r.order(1, wire.PTZStop, 0))
	if failure := (*wire.Failure)(nil); !errors.As(err, &failure) || !strings.Contains(failure.Text, "Busy") {
		t.Errorf("the refusal reads %v", err)
	}
	eventually.True(t, "it stands still", r.still)
	if r.Count("Stop") != 3 {
		t.Errorf("the device heard %v", r.Calls())
	}
}

// TestTheEndOfTheAgentStopsTheCamera: nobody is there to renew anything afterwards.
func TestTheEndOfTheAgentStopsTheCamera(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.do(r.order(1, wire.PTZMove, -1))
	if r.still() {
		t.Fatal("it does not move")
	}
	r.stop()
	if !r.still() {
		t.Errorf("it goes on: %v", r.Calls())
	}
}

// TestTheNewestOrderWins: behind a device that is slow no old orders wait, and never two at once reach it.
func TestTheNewestOrderWins(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.do(r.order(1, wire.PTZAsk, 0))
	before := len(r.Calls())
	r.Turn(func(k *fakenvr.Knobs) { k.Slow = 300 * time.Millisecond })
	var all sync.WaitGroup
	for i := range 20 {
		o := r.order(1, wire.PTZMove, 1-float64(i)/10) // from 1 down to -0.9
		all.Go(func() { r.do(o) })
	}
	all.Wait()
	calls := r.Calls()[before:]
	if len(calls) > 3 {
		t.Errorf("of 20 orders the device heard %v", calls)
	}
	if r.Crowd() > 1 {
		t.Errorf("%d orders reached it at once", r.Crowd())
	}
	was := r.Where().Pan
	eventually.True(t, "it goes the way of the newest order", func() bool { return r.Where().Pan < was-0.01 })
	o := r.order(1, wire.PTZStop, 0)
	r.do(o)
	o.Act, o.Pan, o.Number = wire.PTZMove, 1, o.Number-5 // it was sent before the stop
	r.do(o)
	if !r.still() {
		t.Error("an order that came late was carried out")
	}
}

// TestATurnThatIsOver: who has lost the camera moves it no more.
func TestATurnThatIsOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.do(r.order(7, wire.PTZMove, 1))
	r.do(r.order(8, wire.PTZStop, 0))
	_, err := r.room.Do(t.Context(), r.order(7, wire.PTZMove, 1))
	if failure := (*wire.Failure)(nil); !errors.As(err, &failure) || !strings.Contains(failure.Text, "Somebody else") {
		t.Errorf("an order of the turn before: %v", err)
	}
	if !r.still() {
		t.Error("it moves")
	}
	_, err = r.room.Do(t.Context(), wire.PTZOrder{Camera: id.New[id.Camera](), Act: wire.PTZAsk})
	if failure := (*wire.Failure)(nil); !errors.As(err, &failure) || failure.Code != wire.FailedUnknownCamera {
		t.Errorf("an unknown camera: %v", err)
	}
	_, err = r.room.Do(t.Context(), wire.PTZOrder{Camera: r.cam, Act: wire.PTZMove, Turn: 9, Number: 99, Pan: 2})
	if failure := (*wire.Failure)(nil); !errors.As(err, &failure) || failure.Code != wire.FailedRefused {
		t.Errorf("twice as fast as there is: %v", err)
	}
}

// TestPresetsAreKept at the device, and told anew when they change; else what a camera can do is asked once.
func TestPresetsAreKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 3 {
		r.do(wire.PTZOrder{Camera: r.cam, Act: wire.PTZAsk})
	}
	if r.Count("GetPresets") != 1 || r.Count("GetNode") != 1 {
		t.Errorf("the device heard %v", r.Calls())
	}
	o := r.order(1, wire.PTZSave, 0)
	o.Name = "Back door"
	able, err := r.room.Do(t.Context(), o)
	if err != nil || !slices.Contains(able.Presets, wire.PTZPreset{Token: "n1", Name: "Back door"}) || !slices.Contains(able.Presets, wire.PTZPreset{Token: "2", Name: "2"}) {
		t.Errorf("after it was kept: %+v, %v", able, err)
	}
	o = r.order(1, wire.PTZRemove, 0)
	o.Preset = "n1"
	if able, err = r.room.Do(t.Context(), o); err != nil || len(able.Presets) != 2 {
		t.Errorf("after it was removed: %+v, %v", able, err)
	}
}

package camera

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/agent/health"
	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// trouble is one camera among good ones.
type trouble struct {
	name  string
	begin func(t *testing.T, c *fakecam.Camera)

	stream wire.Reason // said of the stream and in the recording's gap; empty when pictures go on
	also   string      // a condition that must come with it
	reason wire.Reason // of that
	back   bool        // pictures must be there again in the end
}

func knob(change func(*fakecam.Knobs), drop bool) func(*testing.T, *fakecam.Camera) {
	return func(t *testing.T, c *fakecam.Camera) {
		t.Helper()
		if err := c.Turn(change); err != nil {
			t.Error(err)
		}
		if drop {
			c.Drop()
		}
	}
}

var troubles = []trouble{
	{name: "drop", begin: func(_ *testing.T, c *fakecam.Camera) { c.Drop() }, stream: wire.Unreachable, back: true},
	{name: "freeze", begin: knob(func(k *fakecam.Knobs) { k.Freeze = true }, false), also: "picture", reason: wire.Stalled, back: true},
	{name: "no key frame", begin: knob(func(k *fakecam.Knobs) { k.NoKey = true }, false), also: "picture", reason: wire.NoKeyFrame, back: true},
	{name: "another codec", begin: switchTo("carpark-night/main"), back: true},
	{name: "another resolution", begin: switchTo("carpark/main"), back: true},
	{name: "jump ahead", begin: func(_ *testing.T, c *fakecam.Camera) { c.Jump(3 * time.Hour) }, back: true},
	{name: "jump back", begin: func(_ *testing.T, c *fakecam.Camera) { c.Jump(-3 * time.Hour) }, back: true},
	{name: "100 times the data", begin: knob(func(k *fakecam.Knobs) { k.Bloat = 100 }, false), also: "picture", back: true},
	{name: "lost packets", begin: knob(func(k *fakecam.Knobs) { k.LossPercent = 10 }, false), also: "picture", reason: wire.DecodeError, back: true},
	{name: "another password", begin: knob(func(k *fakecam.Knobs) { k.Password = "changed" }, true), stream: wire.AuthFailed},
	{name: "401 for ever", begin: knob(func(k *fakecam.Knobs) { k.RejectLogin = true }, true), stream: wire.AuthFailed},
	{name: "453", begin: knob(func(k *fakecam.Knobs) { k.Refuse = 453 }, true), stream: wire.SessionLimit},
	{name: "500 at SETUP", begin: knob(func(k *fakecam.Knobs) { k.Refuse, k.RefuseAt = 500, "SETUP" }, true), stream: wire.SessionLimit},
	{name: "silent", begin: knob(func(k *fakecam.Knobs) { k.Silent = true }, false), stream: wire.Stalled},
	{name: "no power", begin: knob(func(k *fakecam.Knobs) { k.Offline = true }, false), stream: wire.Unreachable},
}

func switchTo(loop string) func(*testing.T, *fakecam.Camera) {
	return func(t *testing.T, c *fakecam.Camera) {
		t.Helper()
		if err := c.Switch("main", loop); err != nil {
			t.Error(err)
		}
	}
}

// ward is the room with good cameras and one for each trouble.
type ward struct {
	*nvr
	good int
}

func newWard(t *testing.T, good int) *ward {
	t.Helper()
	w := &ward{good: good, nvr: &nvr{}}
	house := fakecam.Config{}
	for i := range good + len(troubles) - 1 {
		c := fakecam.CameraConfig{Main: "shop/sub", User: "viewer", Password: "x"}
		if k := i + 1 - good; k >= 0 {
			c.Main, c.Listen = "carpark/sub", fmt.Sprintf("127.0.1.%d:0", k+1) // a device of its own
		}
		house.Cameras = append(house.Cameras, c)
	}
	w.rig = newRig(t, options{house: house, camera: fakecam.CameraConfig{Main: "shop/sub", User: "viewer", Password: "x"}, with: func(r *rig, c *Config) {
		w.cams, c.Cameras, c.Stall = r.house.Cameras(), nil, 10*time.Second
		for _, cam := range w.cams {
			source, err := NewSource(cam.URL("main"), "viewer", "x", "")
			if err != nil {
				t.Fatal(err)
			}
			w.ids = append(w.ids, id.New[id.Camera]())
			c.Cameras = append(c.Cameras, Camera{ID: w.ids[len(w.ids)-1], Name: cam.Name(), Main: source})
		}
	}})
	return w
}

// said returns the condition of a camera by name, if it fails.
func (w *ward) said(i int, name string) *health.Condition {
	for _, c := range w.board.Conditions() {
		if c.Camera == w.ids[i] && c.Name == name && c.State == wire.Failing {
			return &c
		}
	}
	return nil
}

// declared says whether a trouble is in the recording and on the board, as it should be.
func (w *ward) declared(trouble trouble, i int, v *viewer) bool {
	if trouble.stream != "" && !slices.Contains(breaks(v.so()), trouble.stream) {
		return false
	}
	if trouble.also == "" {
		return true
	}
	c := w.said(i, trouble.also)
	return c != nil && c.Reason == trouble.reason
}

// TestOneOfEachTroubleAmongGoodCameras: the good ones lose no picture, each bad one is declared with its reason
// within fifteen seconds, and no account is tried twice.
func TestOneOfEachTroubleAmongGoodCameras(t *testing.T) {
	w := newWard(t, 29)
	var views []*viewer
	for i := range w.ids {
		views = append(views, w.see(i))
	}
	for i, v := range views {
		v.until(w.cams[i].Name(), func(items []media.Item) bool { return len(pictures(items)) > 0 })
	}
	measured := w.clock.Mono() // what is usual must have been seen
	eventually.True(t, "the usual to be known", func() bool { return w.clock.Mono()-measured > 12_000_000 })
	began := time.Now()
	for k, trouble := range troubles {
		trouble.begin(t, w.cams[w.good+k])
	}
	declared := map[string]time.Duration{}
	var p pulse
	eventually.True(t, "every trouble to be declared", func() bool {
		p.beat()
		for k, trouble := range troubles {
			if i := w.good + k; declared[trouble.name] == 0 && w.declared(trouble, i, views[i]) {
				declared[trouble.name] = time.Since(began)
			}
		}
		return len(declared) == len(troubles)
	})
	for k, trouble := range troubles {
		// A picture that stands still is known to do so after fifteen seconds.
		if d := declared[trouble.name]; d > 17*time.Second+p.stolen {
			t.Errorf("%s: declared after %v", trouble.name, d)
		}
		if c := w.said(w.good+k, trouble.also); c != nil && c.Text == "" {
			t.Errorf("%s: the condition has no words: %+v", trouble.name, c)
		}
	}
	for k, trouble := range troubles {
		if !trouble.back {
			continue
		}
		views[w.good+k].frames(5)
		if trouble.stream == "" && strings.HasPrefix(trouble.name, "jump") {
			if got := breaks(views[w.good+k].so()); len(got) != 1 {
				t.Errorf("%s: the recording was broken: %v", trouble.name, got)
			}
		}
	}
	for i := range w.good {
		items := views[i].so()
		if got := breaks(items); len(got) != 1 {
			t.Errorf("good camera %d: %v", i, got)
		}
		assertWhole(t, items)
		if c := w.said(i, "stream"); c != nil {
			t.Errorf("good camera %d: %+v", i, c)
		}
	}
	for i, c := range w.cams {
		if n := c.Tally().BadLogins; n > 1 {
			t.Errorf("camera %d: %d wrong logins", i, n)
		}
	}
}

// hostile are the devices that mean harm, with the reasons that they may be declared with: on a machine with other
// things to do a flood comes to less before time is up.
var hostile = map[fakecam.Malice][]wire.Reason{
	fakecam.Drip: {wire.Unreachable}, fakecam.HugeLength: {wire.Unreachable}, fakecam.EndlessSDP: {wire.DecodeError},
	fakecam.ManyTracks: {wire.DecodeError}, fakecam.EndlessHeader: {wire.Unreachable}, fakecam.Answers: {wire.DecodeError, wire.Unreachable},
	fakecam.Questions: {wire.DecodeError, wire.Unreachable}, fakecam.Garbage: {wire.DecodeError}, fakecam.Frames: {wire.DecodeError, wire.NoKeyFrame},
	fakecam.Tiny: {wire.DecodeError, wire.Unreachable}, fakecam.Redirect: {wire.Unreachable}, fakecam.Mute: {wire.Unreachable},
}

// pulse measures for how long the machine did other things, so that a limit of time is one of the agent's.
type pulse struct {
	last   time.Time
	stolen time.Duration
}

func (p *pulse) beat() {
	now := time.Now()
	if late := now.Sub(p.last); !p.last.IsZero() && late > 100*time.Millisecond {
		p.stolen += 4 * late // the others on the way were late as well
	}
	p.last = now
}

// weight is how much memory was used at most.
type weight struct {
	most  uint64
	looks int
}

// look weighs now and then: it takes long.
func (w *weight) look() {
	if w.looks++; w.looks%50 == 0 {
		w.most = max(w.most, heap())
	}
}

// TestHostileDevices: devices that mean harm cost a bounded amount of time and memory, are declared within 15 s, and
// take nothing from a good camera beside them.
func TestHostileDevices(t *testing.T) {
	names := map[id.Camera]fakecam.Malice{}
	devices := map[fakecam.Malice]*fakecam.Hostile{}
	before := heap()
	r := newRig(t, options{camera: fakecam.CameraConfig{Main: "shop/sub"}, with: func(_ *rig, c *Config) {
		c.Stall = 10 * time.Second
		for kind := range hostile {
			h := fakecam.ServeHostile(t, kind)
			source, err := NewSource(h.URL("rtsp"), "", "", "")
			if err != nil {
				t.Fatal(err)
			}
			cam := Camera{ID: id.New[id.Camera](), Name: string(kind), Main: source}
			names[cam.ID], devices[kind] = kind, h
			c.Cameras = append(c.Cameras, cam)
		}
	}})
	v := r.watch(id.Main)
	w := weight{most: before}
	assertDeclared(t, r, names, devices, &w)
	mark := r.clock.Mono()
	eventually.True(t, "ten more seconds", func() bool {
		w.look()
		return r.clock.Mono()-mark > 10_000_000
	})
	if grown := (w.most - before) >> 20; grown > 64 {
		t.Errorf("memory grew by %d MB", grown)
	} else {
		t.Logf("memory grew by %d MB at most", grown)
	}
	for kind, h := range devices {
		if h.Connects() > 20 {
			t.Errorf("%s was dialled %d times", kind, h.Connects())
		}
	}
	if got := breaks(v.so()); len(got) != 1 {
		t.Errorf("the good camera: %v", got)
	}
	assertWhole(t, v.so())
	stop := time.Now()
	r.stop()
	if d := time.Since(stop); d > 8*time.Second {
		t.Errorf("it took %v to end", d)
	}
}

// assertDeclared waits until each hostile device is declared, and checks with what reason, and when.
func assertDeclared(t *testing.T, r *rig, names map[id.Camera]fakecam.Malice, devices map[fakecam.Malice]*fakecam.Hostile, w *weight) {
	t.Helper()
	began := time.Now()
	declared := map[fakecam.Malice]time.Duration{}
	var p pulse
	eventually.True(t, "all of them to be declared", func() bool {
		w.look()
		p.beat()
		for _, c := range r.board.Conditions() {
			kind, bad := names[c.Camera]
			if !bad || c.Name != "stream" || c.State != wire.Failing || c.Reason == wire.Connecting || declared[kind] > 0 {
				continue
			}
			declared[kind] = time.Since(began)
			if !slices.Contains(hostile[kind], c.Reason) || !strings.Contains(c.Text, devices[kind].Host()) {
				t.Errorf("%s is declared as %s: %s", kind, c.Reason, c.Text)
			}
		}
		return len(declared) == len(names)
	})
	for kind, d := range declared {
		if d > 15*time.Second+p.stolen {
			t.Errorf("%s is declared after %v", kind, d)
		} else {
			t.Logf("%s after %v", kind, d)
		}
	}
}

// heap is what the process holds of memory.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestACameraMovesToAnotherAddress: its name leads there after the next resolution.
func TestACameraMovesToAnotherAddress(t *testing.T) {
	t.Parallel()
	var at atomic.Pointer[netip.Addr]
	point := func(s string) {
		a := netip.MustParseAddr(s)
		at.Store(&a)
	}
	point("127.0.2.1")
	old := fakecam.Serve(t, fakecam.Config{Listen: "127.0.2.1:0", Cameras: []fakecam.CameraConfig{{Main: "shop/sub", Number: 1}}})
	_, port, err := net.SplitHostPort(old.Addr())
	if err != nil {
		t.Fatal(err)
	}
	moved := fakecam.Serve(t, fakecam.Config{Listen: "127.0.2.2:" + port, Cameras: []fakecam.CameraConfig{{Main: "shop/sub", Number: 2}}})
	r := newRig(t, options{address: "rtsp://till-2.example:" + port + "/cam1/main", ready: func(r *rig) {
		lookup := func(context.Context, string, string) ([]netip.Addr, error) {
			if a := at.Load(); a.IsValid() {
				return []netip.Addr{*a}, nil
			}
			return nil, &net.DNSError{Name: "till-2.example", Err: "no such host", IsNotFound: true}
		}
		for _, s := range r.room.streams {
			for _, tap := range s.taps {
				tap.dial.lookup = lookup
			}
		}
	}})
	v := r.watch(id.Main)
	v.frames(5)
	at.Store(&netip.Addr{})
	if err := old.Cameras()[0].Turn(func(k *fakecam.Knobs) { k.Offline = true }); err != nil {
		t.Fatal(err)
	}
	v.broken(wire.Unreachable)
	r.condition("stream", wire.Failing, "name till-2.example is not known")
	point("127.0.2.2")
	frames := v.frames(10)
	if n := from(frames[9]); n != 2 {
		t.Errorf("pictures come from camera %d", n)
	}
	if moved.Cameras()[0].Sessions() != 1 {
		t.Error("no session at the new address")
	}
}

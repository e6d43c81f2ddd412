package camera

import (
	"strings"
	"testing"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// pair is a camera with a way of its own, and the recorder's channel of it. Both are fake cameras; their numbers in
// the stamps tell them apart.
type pair struct {
	*rig
	own, nvr *fakecam.Camera
}

func newPair(t *testing.T, house fakecam.Config, adjust func(*Config)) *pair {
	t.Helper()
	p := &pair{}
	house.Cameras = []fakecam.CameraConfig{{Main: "shop/sub", Number: 2, Listen: "127.0.0.1:0"}}
	p.rig = newRig(t, options{
		house: house, camera: fakecam.CameraConfig{Main: "shop/main", Number: 1, Listen: "127.0.0.1:0"},
		with: func(r *rig, c *Config) {
			p.own, p.nvr = r.house.Cameras()[0], r.house.Cameras()[1]
			second, err := NewSource(p.nvr.URL("main"), "", "", "")
			if err != nil {
				t.Fatal(err)
			}
			c.Stall, c.Prove, c.Retrial = 5*time.Second, 3*time.Second, time.Second
			c.Cameras[0].Fallback = []Fallback{{Main: second}}
			if adjust != nil {
				adjust(c)
			}
		},
	})
	return p
}

// from returns the number of the camera that a frame was sent by.
func from(f media.Frame) uint32 {
	stamp, _ := fakecam.FindStamp(f.Units, false)
	return stamp.Camera
}

// until waits until frames come from one of the two, and returns when the first one came.
func (p *pair) until(v *viewer, number uint32) time.Time {
	p.t.Helper()
	v.mu.Lock()
	start := len(v.items)
	v.mu.Unlock()
	v.until("frames of camera", func(items []media.Item) bool {
		f := pictures(items[start:])
		return len(f) > 0 && from(f[len(f)-1]) == number
	})
	return time.Now()
}

// assertSeams checks that between pictures of two sources there is a word, a key frame behind it when the recording
// goes back, and that no picture lies before the one that came before it.
func assertSeams(t *testing.T, items []media.Item) (seams int) {
	t.Helper()
	var last *media.Frame
	broken := false
	for i := range items {
		f := &items[i].Frame
		if items[i].Break != nil {
			broken = true
			continue
		}
		if f.Track != 0 {
			continue
		}
		if last != nil && from(*f) != from(*last) {
			seams++
			if !broken || from(*f) == 1 && !f.Key || f.Params == last.Params {
				t.Errorf("from camera %d to %d: said %v, key frame %v, new parameters %v", from(*last), from(*f), broken, f.Key, f.Params != last.Params)
			}
		}
		if last != nil && f.MonoUs <= last.MonoUs {
			t.Errorf("a picture at %d comes after one at %d", f.MonoUs, last.MonoUs)
		}
		last, broken = f, false
	}
	return seams
}

func TestTheNextSourceTakesOverAndGivesBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		knobs  fakecam.Knobs
		reason wire.Reason
	}{
		"refused":   {fakecam.Knobs{Offline: true}, wire.Unreachable},
		"silent":    {fakecam.Knobs{Silent: true}, wire.Stalled},
		"stalled":   {fakecam.Knobs{Stall: true}, wire.Stalled},
		"no longer": {fakecam.Knobs{Refuse: 404}, wire.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, fakecam.Config{}, nil)
			v := p.watch(id.Main)
			p.until(v, 1)
			began := time.Now()
			if err := p.own.Turn(func(k *fakecam.Knobs) { *k = c.knobs }); err != nil {
				t.Fatal(err)
			}
			if c.knobs.Refuse != 0 {
				p.own.Drop()
			}
			if d := p.until(v, 2).Sub(began); d > 10*time.Second {
				t.Errorf("the next source took over after %v", d)
			}
			v.broken(c.reason)
			cond := p.condition("source", wire.Failing, "next source")
			if !strings.Contains(cond.Text, p.nvr.URL("main")[7:21]) {
				t.Errorf("it is said as %q", cond.Text)
			}
			if st := p.room.States()[0].Streams[0]; st.State == wire.Failing {
				t.Errorf("the stream is said to fail: %+v", st)
			}
			if err := p.own.Restore(); err != nil {
				t.Fatal(err)
			}
			well := time.Now()
			if d := p.until(v, 1).Sub(well); d < 2*time.Second {
				t.Errorf("the preferred source came back after %v, without a proof", d)
			}
			p.condition("source", wire.OK, "")
			v.frames(10)
			if n := assertSeams(t, v.so()); n < 2 { // more on a machine that stands still for seconds
				t.Errorf("%d seams, want 2", n)
			}
			eventually.True(t, "the other session to be torn down", func() bool { return p.nvr.Sessions() == 0 && p.own.Sessions() == 1 })
		})
	}
}

// TestASourceThatComesAndGoesIsNotGoneBackTo: while the preferred source works for two seconds at a time only, the
// recording stays where it is.
func TestASourceThatComesAndGoesIsNotGoneBackTo(t *testing.T) {
	t.Parallel()
	p := newPair(t, fakecam.Config{}, func(c *Config) { c.Prove = 4 * time.Second })
	v := p.watch(id.Main)
	p.until(v, 1)
	if err := p.own.Turn(func(k *fakecam.Knobs) { k.Offline = true }); err != nil {
		t.Fatal(err)
	}
	p.until(v, 2)
	v.mu.Lock()
	start := len(v.items)
	v.mu.Unlock()
	for range 3 {
		if err := p.own.Restore(); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, "a trial", func() bool { return p.own.Sessions() == 1 })
		v.frames(25)
		if err := p.own.Turn(func(k *fakecam.Knobs) { k.Offline = true }); err != nil {
			t.Fatal(err)
		}
		v.frames(10)
	}
	for _, f := range pictures(v.so()[start:]) {
		if from(f) != 2 {
			t.Fatal("the recording went back to a source that comes and goes")
		}
	}
	if got := breaks(v.so()[start:]); len(got) != 0 {
		t.Errorf("trials broke the recording: %v", got)
	}
}

// TestBothSourcesFail: the gap has the preferred source's reason and does not change with every try; whichever comes
// back first is taken.
func TestBothSourcesFail(t *testing.T) {
	t.Parallel()
	p := newPair(t, fakecam.Config{}, nil)
	v := p.watch(id.Main)
	p.until(v, 1)
	if err := p.nvr.Turn(func(k *fakecam.Knobs) { k.Refuse = 404 }); err != nil {
		t.Fatal(err)
	}
	if err := p.own.Turn(func(k *fakecam.Knobs) { k.Silent = true }); err != nil {
		t.Fatal(err)
	}
	v.broken(wire.Stalled)
	eventually.True(t, "both to have been tried", func() bool { return p.nvr.Tally().Describes >= 2 && p.own.Tally().Connects >= 3 })
	if got := breaks(v.so()); len(got) > 4 {
		t.Errorf("the reason changed with every try: %v", got)
	}
	if err := p.nvr.Restore(); err != nil {
		t.Fatal(err)
	}
	p.until(v, 2)
	// When the one in use fails, a preferred one that is being tried takes over without waiting for its proof.
	if err := p.own.Restore(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "a trial", func() bool { return p.own.Sessions() == 1 })
	if err := p.nvr.Turn(func(k *fakecam.Knobs) { k.Offline = true }); err != nil {
		t.Fatal(err)
	}
	p.until(v, 1)
	assertSeams(t, v.so())
}

// TestOneAccountOverSourcesAndStreams: four cameras have the recorder as their second source, with a password that
// is wrong there.
func TestOneAccountOverSourcesAndStreams(t *testing.T) {
	t.Parallel()
	house := fakecam.Config{}
	for range 4 {
		house.Cameras = append(house.Cameras, fakecam.CameraConfig{Main: "shop/sub", User: "viewer", Password: "right"})
	}
	r := newRig(t, options{house: house, camera: fakecam.CameraConfig{Main: "shop/sub", Listen: "127.0.0.2:0"}, with: func(r *rig, c *Config) {
		c.Stall, c.Cameras = 4*time.Second, nil
		for _, cam := range r.house.Cameras()[1:] {
			// Nothing listens where the cameras themselves should be.
			own, err := NewSource("rtsp://127.0.0.3:9/x", "", "", "")
			if err != nil {
				t.Fatal(err)
			}
			nvr, err := NewSource(cam.URL("main"), "viewer", "wrong", "")
			if err != nil {
				t.Fatal(err)
			}
			c.Cameras = append(c.Cameras, Camera{ID: id.New[id.Camera](), Name: cam.Name(), Main: own, Sub: nvr, RecordSub: true, Fallback: []Fallback{{Main: nvr}}})
		}
	}})
	eventually.True(t, "every stream to fail", func() bool {
		failing := 0
		for _, c := range r.board.Conditions() {
			if c.Name == "stream" && c.State == wire.Failing {
				failing++
			}
		}
		return failing == 8
	})
	began := r.clock.Mono()
	eventually.True(t, "a few more seconds", func() bool { return r.clock.Mono() > began+6_000_000 })
	tries := uint64(0)
	for _, cam := range r.house.Cameras() {
		tries += cam.Tally().BadLogins
	}
	if tries != 1 {
		t.Errorf("the account was tried %d times within seconds", tries)
	}
}

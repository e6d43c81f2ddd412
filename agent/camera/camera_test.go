package camera

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/auth"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/scenes"
)

func TestEveryFrameArrivesWithItsTime(t *testing.T) {
	t.Parallel()
	for _, place := range scenes.Cameras() {
		for _, loop := range []string{place.Main, place.Sub} {
			t.Run(loop, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, options{camera: fakecam.CameraConfig{Main: loop}})
				v := r.watch(id.Main)
				items := v.until("four seconds of video", func(items []media.Item) bool { return len(pictures(items)) >= 60 })
				assertStream(t, r, items)
			})
		}
	}
}

func assertStream(t *testing.T, r *rig, items []media.Item) {
	t.Helper()
	loop := r.cam.Main().Loop()
	frames := pictures(items)
	assertOrder(t, frames)
	h265 := loop.Video.Codec == mp4.H265
	last := frames[len(frames)-1].Params
	if last.BFrames != loop.BFrames {
		t.Errorf("BFrames is %v, want %v", last.BFrames, loop.BFrames)
	}
	if v := last.Video(); !bytes.Equal(v.SPS, loop.Video.SPS) || !bytes.Equal(v.PPS, loop.Video.PPS) || v.Width != loop.Video.Width || v.Height != loop.Video.Height {
		t.Errorf("the track is %+v, want %+v", v, loop.Video)
	}
	number := uint64(0)
	var offs []int64 // from sending to what is taken for the moment of capture
	for i, f := range frames {
		stamp, ok := fakecam.FindStamp(f.Units, h265)
		if !ok || number != 0 && stamp.Frame != number+1 {
			t.Fatalf("frame %d has stamp %+v after frame %d", i, stamp, number)
		}
		number = stamp.Frame
		offs = append(offs, r.clock.WallIn(f.Params.Run, f.MonoUs)-stamp.SentUs)
		for _, u := range f.Units {
			if k := kind(h265, u); k == nalSPS || k == nalPPS || k == nalVPS || k == nalDrop {
				t.Fatalf("frame %d still holds a unit of kind %d", i, k)
			}
		}
	}
	slices.Sort(offs)
	if off := offs[len(offs)/2]; off < -300_000 || off > 150_000 {
		t.Errorf("frames are said to be captured %d ms after they were sent", off/1000)
	}
	sound := track(items, 1)
	if (loop.Audio != nil) != (len(sound) > 0) {
		t.Fatalf("%d frames of sound came", len(sound))
	}
	for i := 1; i < len(sound); i++ {
		if step := sound[i].DTS - sound[i-1].DTS; step != loop.SoundTicks {
			t.Errorf("sound goes on after %d samples, want %d", step, loop.SoundTicks)
		}
		if sound[i].MonoUs <= sound[i-1].MonoUs {
			t.Errorf("sound runs backwards")
		}
	}
	if a := last.Audio(); loop.Audio != nil && (a.Codec != loop.Audio.Codec || a.SampleRate != loop.Audio.SampleRate || a.Channels != loop.Audio.Channels || !bytes.Equal(a.ASC, loop.Audio.ASC)) {
		t.Errorf("the sound is %+v, want %+v", a, loop.Audio)
	}
}

func kind(h265 bool, unit []byte) nalKind {
	if h265 {
		return kindH265(unit)
	}
	return kindH264(unit)
}

// assertOrder checks what holds of every stream: times that grow, no picture shown before it is decoded, and
// capture times that go with media times.
func assertOrder(t *testing.T, frames []media.Frame) {
	t.Helper()
	for i, f := range frames {
		if f.PTS < f.DTS {
			t.Errorf("frame %d is shown at %d and decoded at %d", i, f.PTS, f.DTS)
		}
		if i == 0 || frames[i-1].Params != f.Params {
			continue
		}
		was := frames[i-1]
		if f.DTS <= was.DTS || f.MonoUs <= was.MonoUs {
			t.Errorf("frame %d has DTS %d, mono %d after %d, %d", i, f.DTS, f.MonoUs, was.DTS, was.MonoUs)
		}
		if off := (f.MonoUs - was.MonoUs) - scale(f.DTS-was.DTS, 1e6, videoRate); abs(off) > 1000 {
			t.Errorf("frame %d: capture and media time differ by %d µs in one step", i, off)
		}
	}
}

func TestUDP(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{house: fakecam.Config{UDP: true}, udp: true})
	v := r.watch(id.Main)
	items := v.until("two seconds of video", func(items []media.Item) bool { return len(pictures(items)) >= 30 })
	assertStream(t, r, items)
}

func TestLogin(t *testing.T) {
	t.Parallel()
	for name, methods := range map[string][]auth.VerifyMethod{
		"basic":          {auth.VerifyMethodBasic},
		"digest MD5":     {auth.VerifyMethodDigestMD5},
		"digest SHA-256": {auth.VerifyMethodDigestSHA256},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{
				camera: fakecam.CameraConfig{User: "viewer", Password: "pä%s/s@w#rd", Auth: methods}, user: "viewer", pass: "pä%s/s@w#rd",
			})
			v := r.watch(id.Main)
			v.frames(15)
			// A nonce that grew old costs a session at most: the next one begins at once.
			if err := r.cam.ExpireNonce(); err != nil {
				t.Fatal(err)
			}
			r.cam.Drop()
			v.frames(15)
			for _, canary := range []string{"pä%s", "s@w#rd", "%C3%A4"} {
				if strings.Contains(r.log.String(), canary) {
					t.Errorf("the log holds %q, a piece of the password", canary)
				}
			}
		})
	}
}

func TestAWrongPasswordIsTriedOnceAMinute(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{
		camera: fakecam.CameraConfig{User: "viewer", Password: "right", Sub: "shop/sub"}, user: "viewer", pass: "wrong",
		adjust: func(c *Config) { c.Cameras[0].RecordSub = true },
	})
	v := r.watch(id.Main)
	text := v.broken(wire.AuthFailed)
	if !strings.Contains(text, "viewer") || !strings.Contains(text, "holdfast.yaml") || strings.Contains(text, "wrong") {
		t.Errorf("the reason in words is %q", text)
	}
	// Two streams share the account: one tries for both, and both say what is wrong.
	eventually.True(t, "the condition of both streams", func() bool {
		failing := 0
		for _, c := range r.board.Conditions() {
			if c.Name == "stream" && c.State == wire.Failing && c.Reason == wire.AuthFailed {
				failing++
			}
		}
		return failing == 2
	})
	if tries := strings.Count(r.log.String(), "bad status code: 401"); tries != 1 {
		t.Errorf("the account was tried %d times within seconds", tries)
	}
}

func TestRefusalsAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		knobs fakecam.Knobs
		want  wire.Reason
		words string
	}{
		"not found":      {fakecam.Knobs{Refuse: 404}, wire.Unreachable, "Check path"},
		"bandwidth":      {fakecam.Knobs{Refuse: 453}, wire.SessionLimit, "no more viewers"},
		"unavailable":    {fakecam.Knobs{Refuse: 503}, wire.SessionLimit, "no more viewers"},
		"error at setup": {fakecam.Knobs{Refuse: 500, RefuseAt: "SETUP"}, wire.SessionLimit, "no more viewers"},
		"error":          {fakecam.Knobs{Refuse: 500}, wire.Unreachable, "500"},
		"transport":      {fakecam.Knobs{Refuse: 461, RefuseAt: "SETUP"}, wire.Unreachable, "transport: udp"},
		"forbidden":      {fakecam.Knobs{Refuse: 403}, wire.AuthFailed, "may see live video"},
		"silent":         {fakecam.Knobs{Silent: true}, wire.Unreachable, "does not answer"},
		"stalled":        {fakecam.Knobs{Stall: true}, wire.Stalled, "sends no pictures"},
		"offline":        {fakecam.Knobs{Offline: true}, wire.Unreachable, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{})
			v := r.watch(id.Main)
			v.frames(3)
			if err := r.cam.Turn(func(k *fakecam.Knobs) { *k = c.knobs }); err != nil {
				t.Fatal(err)
			}
			if !c.knobs.Stall && !c.knobs.Silent {
				r.cam.Drop()
			}
			text := v.broken(c.want)
			if c.knobs.Silent {
				// The session that was there stalls; the next one gets no answer.
				text = v.broken(wire.Unreachable)
			}
			if !strings.Contains(text, c.words) {
				// The first words may be those of the connection that broke.
				eventually.True(t, "the words "+c.words, func() bool { return strings.Contains(r.room.States()[0].Streams[0].Text, c.words) })
			}
			if c.want == wire.AuthFailed || c.knobs.Refuse != 0 {
				return // the next try is a while away
			}
			if err := r.cam.Restore(); err != nil {
				t.Fatal(err)
			}
			v.frames(15)
			eventually.True(t, "the condition to be well again", func() bool {
				return r.room.States()[0].Streams[0].State == wire.OK && r.board.Conditions()[0].State == wire.OK
			})
		})
	}
}

// TestAStallIsNoLackOfKeyFrames: a camera that falls silent long after it began is said to be silent, and nothing else.
func TestAStallIsNoLackOfKeyFrames(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	v := r.watch(id.Main)
	v.frames(60)
	if err := r.cam.Turn(func(k *fakecam.Knobs) { k.Stall = true }); err != nil {
		t.Fatal(err)
	}
	v.broken(wire.Stalled)
	if said := breaks(v.so()); slices.Contains(said, wire.NoKeyFrame) {
		t.Errorf("it is said to be: %v", said)
	}
}

func TestADeadAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{camera: fakecam.CameraConfig{Listen: "127.0.0.1:0"}})
	v := r.watch(id.Main)
	v.frames(3)
	if err := r.cam.Turn(func(k *fakecam.Knobs) { k.Offline = true }); err != nil {
		t.Fatal(err)
	}
	v.broken(wire.Unreachable)
	eventually.True(t, "the words for a refused connection", func() bool {
		st := r.room.States()[0].Streams[0]
		return st.State == wire.Failing && strings.Contains(st.Text, "refuses the connection")
	})
	if err := r.cam.Restore(); err != nil {
		t.Fatal(err)
	}
	assertOrder(t, v.frames(20))
}

func TestJumpsAndOutliersNeverShow(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(c *fakecam.Camera){
		"one frame far back":      func(c *fakecam.Camera) { c.Outlier(-9800 * time.Second) },
		"one frame far ahead":     func(c *fakecam.Camera) { c.Outlier(37600 * time.Second) },
		"a jump ahead that stays": func(c *fakecam.Camera) { c.Jump(2 * time.Hour) },
		"a jump back that stays":  func(c *fakecam.Camera) { c.Jump(-2 * time.Hour) },
		"a small step back":       func(c *fakecam.Camera) { c.Jump(-61 * time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{})
			v := r.watch(id.Main)
			v.frames(20)
			fault(r.cam)
			v.frames(45)
			items := v.until("frames", func([]media.Item) bool { return true })
			if got := breaks(items); !slices.Equal(got, []wire.Reason{wire.Connecting}) {
				t.Errorf("breaks %v", got)
			}
			frames := pictures(items)
			number := uint64(0)
			for i, f := range frames {
				stamp, _ := fakecam.FindStamp(f.Units, false)
				if number != 0 && stamp.Frame != number+1 {
					t.Errorf("frame %d is missing", number+1)
				}
				number = stamp.Frame
				if i == 0 {
					continue
				}
				was := frames[i-1]
				if f.DTS <= was.DTS && f.Params == was.Params || f.MonoUs <= was.MonoUs {
					t.Errorf("frame %d runs backwards", i)
				}
				if step := f.MonoUs - was.MonoUs; step > 500_000 {
					t.Errorf("frame %d comes %d ms after the one before", i, step/1000)
				}
			}
			// A timeline that broke for good is marked by new Params at a key frame.
			if wants := strings.Contains(name, "stays"); (frames[0].Params != frames[len(frames)-1].Params) != wants {
				t.Errorf("new Params: %v, want %v", !wants, wants)
			}
			for i := 1; i < len(frames); i++ {
				if frames[i].Params != frames[i-1].Params && !frames[i].Key {
					t.Errorf("new Params at frame %d, which is no key frame", i)
				}
			}
		})
	}
}

func TestNewParameterSetsBeginNewParams(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{camera: fakecam.CameraConfig{Main: "carpark/main"}})
	v := r.watch(id.Main)
	v.frames(20)
	if err := r.cam.Switch("main", "carpark/sub"); err != nil {
		t.Fatal(err)
	}
	items := v.until("the smaller picture", func(items []media.Item) bool {
		f := pictures(items)
		return len(f) > 0 && f[len(f)-1].Params.Video().Width == 640
	})
	var old *media.Params
	for _, f := range pictures(items) {
		if old != nil && f.Params != old && !f.Key {
			t.Error("new Params at a frame that is no key frame")
		}
		old = f.Params
	}
	if st := r.room.States()[0].Streams[0]; st.Width != 640 {
		t.Errorf("the state says %dx%d", st.Width, st.Height)
	}
}

func TestParameterSetsFromTheDescriptionAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{camera: fakecam.CameraConfig{OutOfBand: true}})
	v := r.watch(id.Main)
	frames := v.frames(30)
	if !bytes.Equal(frames[0].Params.Video().SPS, r.cam.Main().Loop().Video.SPS) {
		t.Error("the SPS is another one")
	}
}

func TestASubStreamIsPulledWhileSomebodyWatches(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{camera: fakecam.CameraConfig{Sub: "shop/sub"}})
	eventually.True(t, "the sub-stream's codec to be known", func() bool { return r.room.States()[0].Streams[1].Codec != "" })
	main := r.watch(id.Main)
	main.frames(15)
	if n := r.cam.Sessions(); n != 1 {
		t.Errorf("%d sessions while nobody watches the sub-stream", n)
	}
	sub := r.watch(id.Sub)
	sub.frames(15)
	if st := r.room.States()[0].Streams[1]; st.State != wire.OK && st.State != wire.StateUnknown || st.Width != 640 {
		t.Errorf("state of the sub-stream %+v", st)
	}
	sub.reader.Close()
	eventually.True(t, "the sub-stream to be let go", func() bool { return r.cam.Sessions() == 1 })
	main.frames(15)
	again := r.watch(id.Sub)
	again.frames(5)
	items := main.until("main", func([]media.Item) bool { return true })
	for _, reason := range breaks(items) {
		if reason != wire.Connecting {
			t.Errorf("the main stream was broken: %v", reason)
		}
	}
}

func TestACameraThatIsSwitchedOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	v := r.watch(id.Main)
	v.frames(15)
	r.room.Apply([]wire.CameraDesire{{Camera: r.id, Disable: true, Name: "Till 2"}, {Camera: "cam-unknown", Name: "x"}})
	v.broken(wire.Disabled)
	eventually.True(t, "the session to end", func() bool { return r.cam.Sessions() == 0 })
	st := r.room.States()[0]
	if st.Name != "Till 2" || st.Streams[0].State != wire.StateUnknown || st.Streams[0].Reason != wire.Disabled {
		t.Errorf("state %+v", st)
	}
	if c := r.board.Conditions(); len(c) != 0 {
		t.Errorf("conditions of a camera that is off: %+v", c)
	}
	r.room.Apply(nil)
	v.frames(15)
	if name := r.room.States()[0].Name; name != "test" {
		t.Errorf("the name is %q after the wish was taken back", name)
	}
}

func TestSessionsAreTornDown(t *testing.T) {
	t.Parallel()
	// One session at most, and one that ends without TEARDOWN holds its place for a minute.
	r := newRig(t, options{})
	if err := r.cam.Turn(func(k *fakecam.Knobs) { k.MaxSessions, k.HoldSlotMs = 1, 60_000 }); err != nil {
		t.Fatal(err)
	}
	v := r.watch(id.Main)
	v.frames(5)
	for range 3 {
		r.room.Apply([]wire.CameraDesire{{Camera: r.id, Disable: true}})
		eventually.True(t, "the session to end", func() bool { return r.cam.Sessions() == 0 })
		r.room.Apply(nil)
		v.frames(5)
	}
}

func TestStrictKeepalive(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{house: fakecam.Config{SessionTimeout: 2 * time.Second}})
	if err := r.cam.Turn(func(k *fakecam.Knobs) { k.StrictAlive, k.AliveStatus = true, 401 }); err != nil {
		t.Fatal(err)
	}
	v := r.watch(id.Main)
	v.frames(90) // six seconds, three times the session's life
	if got := breaks(v.until("", func([]media.Item) bool { return true })); len(got) != 1 {
		t.Errorf("the session broke: %v", got)
	}
}

func TestStatesMeasureTheStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	v := r.watch(id.Main)
	v.frames(75)
	want := float64(r.cam.Main().Loop().Bitrate()) / 1000
	eventually.True(t, "measured values", func() bool {
		st := r.room.States()[0].Streams[0]
		return st.State == wire.OK && st.FPS > 13 && st.FPS < 17 && st.Kbps > want*0.6 && st.Kbps < want*1.8 &&
			strings.HasPrefix(st.Codec, "avc1.") && st.Audio == "mp4a.40.2" && st.Width == 1280
	})
	if got := r.room.Recorded(); len(got) != 1 || got[0].Kind != id.Main {
		t.Errorf("recorded streams %v", got)
	}
}

func TestSoundCanBeLeftOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{adjust: func(c *Config) { c.Cameras[0].NoAudio = true }})
	v := r.watch(id.Main)
	if f := v.frames(10); f[9].Params.Audio() != nil {
		t.Error("sound came although it was not wanted")
	}
}

func TestOnlyAllowedNetworksAreDialled(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{adjust: func(c *Config) { c.Networks = prefixes("192.168.0.0/16") }})
	v := r.watch(id.Main)
	if text := v.broken(wire.Unreachable); !strings.Contains(text, "camera_networks") {
		t.Errorf("the reason in words is %q", text)
	}
	if r.cam.Sessions() != 0 {
		t.Error("the camera was reached")
	}
}

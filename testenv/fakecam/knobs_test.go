package fakecam_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/auth"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"

	"holdfast/testenv/fakecam"
)

// one is a house with one quick camera.
func one(t *testing.T, c fakecam.CameraConfig) *fakecam.Camera {
	t.Helper()
	t.Parallel()
	return house(t, fakecam.Config{UDP: true, Cameras: []fakecam.CameraConfig{c}}, "quick-carpark/sub").Cameras()[0]
}

// refused fails the test unless a new viewer is refused with the status.
func refused(t *testing.T, url string, status int) {
	t.Helper()
	v, err := dial(url, tcp())
	if err == nil {
		v.client.Close()
		t.Fatalf("%s was served, want status %d", url, status)
	}
	var bad liberrors.ErrClientBadStatusCode
	if !errors.As(err, &bad) || int(bad.Code) != status {
		t.Fatalf("%s answered %v, want status %d", url, err, status)
	}
}

func TestStall(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 10)
	turn(t, cam, func(k *fakecam.Knobs) { k.Stall = true })
	settled(t, cam.Main())
	before := cam.Main().Sent()
	v.until(t, "the last frame before the stall", func() bool { return v.frames[len(v.frames)-1].Frame == before })
	turn(t, cam, func(k *fakecam.Knobs) { k.Stall = false })
	v.until(t, "frames after the stall", func() bool { return v.frames[len(v.frames)-1].Frame > before+5 })
	frames := v.got()
	whole(t, frames) // the session stayed, and numbers count what was sent
	for i, f := range frames {
		if f.Frame != before+1 {
			continue
		}
		if !f.Key {
			t.Error("the stream did not go on with a key frame")
		}
		media := int64(f.RTP-frames[i-1].RTP) * 1_000_000 / 90_000
		if wall := f.SentUs - frames[i-1].SentUs; media-wall > 300_000 || wall-media > 300_000 {
			t.Errorf("the RTP clock moved %d µs over a stall of %d µs", media, wall)
		}
	}
}

// settled waits until a stream that should stop has stopped: no frame for ten frames' time.
func settled(t *testing.T, s *fakecam.Stream) {
	t.Helper()
	tick := time.NewTicker(170 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for last := s.Counters(); ; {
		<-tick.C
		now := s.Counters()
		if now.Frames == last.Frames && now.Frozen == last.Frozen {
			return
		}
		if last = now; time.Now().After(deadline) {
			t.Fatal("the stream does not stop")
		}
	}
}

func TestFreeze(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 10)
	turn(t, cam, func(k *fakecam.Knobs) { k.Freeze = true })
	v.until(t, "repetitions", func() bool {
		n := len(v.frames)
		return n > 20 && v.frames[n-1].Frame == v.frames[n-10].Frame
	})
	frames := v.got()
	a, b := frames[len(frames)-2], frames[len(frames)-1]
	if !a.Key || len(a.AU) != len(b.AU) || b.RTP-a.RTP != quickStep {
		t.Fatalf("want the same key frame one step later, got key %v, %d and %d NAL units, %d ticks apart", a.Key, len(a.AU), len(b.AU), b.RTP-a.RTP)
	}
	for i := range a.AU {
		if !bytes.Equal(a.AU[i], b.AU[i]) {
			t.Fatalf("NAL unit %d differs between repetitions", i)
		}
	}
	turn(t, cam, func(k *fakecam.Knobs) { k.Freeze = false })
	v.until(t, "new frames", func() bool { return v.frames[len(v.frames)-1].Frame > b.Frame+3 })
	log := cam.Main().Log(b.Frame, b.Frame+1)
	if n := len(log); !log[1].Frozen || !log[n-2].Frozen || log[n-1].Frozen || !log[n-1].Key {
		t.Fatalf("the log should show one frame, its repetitions, and a key frame: %+v", log)
	}
	if c := cam.Main().Counters(); c.Frozen != uint64(len(log)-2) {
		t.Fatalf("%d repetitions counted, %d in the log", c.Frozen, len(log)-2)
	}
}

func TestLossIsMarkedInTheLog(t *testing.T) {
	for name, transport := range map[string]gortsplib.Transport{"tcp": gortsplib.TransportTCP, "udp": gortsplib.TransportUDP} {
		t.Run(name, func(t *testing.T) {
			cam := one(t, fakecam.CameraConfig{})
			turn(t, cam, func(k *fakecam.Knobs) { k.LossPercent = 20 })
			v := watch(t, cam.URL("main"), options{transport: transport})
			v.until(t, "loss", func() bool { return v.lost > 5 && len(v.frames) > 40 })
			turn(t, cam, func(k *fakecam.Knobs) { k.LossPercent = 0 })
			frames := v.got()
			whole := map[uint64]bool{}
			for _, f := range frames {
				if f.Ready {
					whole[f.Frame] = true
				}
			}
			damaged := 0
			for _, e := range cam.Main().Log(frames[1].Frame, frames[len(frames)-1].Frame) {
				if e.Damaged {
					damaged++
				} else if !whole[e.Frame] {
					t.Errorf("frame %d did not arrive and is not marked as damaged", e.Frame)
				}
			}
			if damaged == 0 {
				t.Error("no frame is marked as damaged")
			}
		})
	}
}

func TestNoKey(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	turn(t, cam, func(k *fakecam.Knobs) { k.NoKey = true })
	v := watch(t, cam.URL("main"), tcp())
	frames := v.atLeast(t, 70) // more than two rounds of the loop
	whole(t, frames)
	for _, f := range frames[1:] { // the first may have been on its way
		if f.Key {
			t.Fatalf("frame %d is a key frame", f.Frame)
		}
	}
	turn(t, cam, func(k *fakecam.Knobs) { k.NoKey = false })
	v.until(t, "a key frame", func() bool { return v.frames[len(v.frames)-1].Key })
}

func TestGarble(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 5)
	turn(t, cam, func(k *fakecam.Knobs) { k.Garble = 100 })
	v.until(t, "nonsense", func() bool { return v.faults > 10 })
	if d := cam.Main().Counters().Damaged; d < 5 {
		t.Errorf("%d frames are marked as damaged", d)
	}
	turn(t, cam, func(k *fakecam.Knobs) { k.Garble = 0 })
	n := len(v.got())
	v.until(t, "good frames", func() bool { return len(v.frames) > n+20 && v.frames[len(v.frames)-1].Ready })
	if got := cam.Main().Loop().Units[0].NALUs[0][0] & 0x1f; got != 5 {
		t.Fatalf("the loop itself was garbled: its first slice has type %d", got)
	}
}

func TestTally(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{User: "viewer", Password: "x"})
	refused(t, strings.Replace(cam.URL("main"), "rtsp://", "rtsp://viewer:wrong@", 1), 401)
	v := watch(t, cam.URLWithLogin("main"), tcp())
	v.atLeast(t, 3)
	v.client.Close()
	lost := watch(t, cam.URLWithLogin("main"), tcp())
	cam.Drop()
	lost.until(t, "the end of the session", func() bool { return lost.over })
	// Each login takes two DESCRIBEs: one to be asked for it. A session's end is counted after its connection's.
	want := fakecam.Tally{Connects: 3, Describes: 6, Setups: 2, BadLogins: 1, Teardowns: 1, Lost: 1}
	poll(t, fmt.Sprintf("%+v", want), func() bool { return cam.Tally() == want })
}

func TestSlowStart(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	turn(t, cam, func(k *fakecam.Knobs) { k.SlowStartMs = 250 })
	begun := time.Now()
	watch(t, cam.URL("main"), tcp())
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Fatalf("DESCRIBE and PLAY took %v together, want 500 ms or more", took)
	}
}

func TestRefusals(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	for _, k := range []fakecam.Knobs{
		{Refuse: 404}, {Refuse: 453}, {Refuse: 500}, {Refuse: 500, RefuseAt: "SETUP"}, {Refuse: 503, RefuseAt: "PLAY"},
	} {
		turn(t, cam, func(now *fakecam.Knobs) { *now = k })
		refused(t, cam.URL("main"), k.Refuse)
	}
	refused(t, strings.Replace(cam.URL("main"), "/main", "/third", 1), 404)
	if err := cam.Restore(); err != nil {
		t.Fatal(err)
	}
	watch(t, cam.URL("main"), tcp()).atLeast(t, 3)
	for _, k := range []fakecam.Knobs{{Refuse: 200}, {LossPercent: 101}, {SlowStartMs: -1}, {RefuseAt: "OPTIONS"}} {
		if err := cam.Turn(func(now *fakecam.Knobs) { *now = k }); err == nil {
			t.Errorf("%+v was taken", k)
		}
	}
}

func TestLogins(t *testing.T) {
	for name, method := range map[string]auth.VerifyMethod{
		"basic": auth.VerifyMethodBasic, "md5": auth.VerifyMethodDigestMD5, "sha256": auth.VerifyMethodDigestSHA256,
	} {
		t.Run(name, func(t *testing.T) {
			cam := one(t, fakecam.CameraConfig{User: "viewer", Password: "s3cret&?", Auth: []auth.VerifyMethod{method}})
			refused(t, cam.URL("main"), 401)
			refused(t, strings.Replace(cam.URL("main"), "rtsp://", "rtsp://viewer:wrong@", 1), 401)
			v := watch(t, cam.URLWithLogin("main"), tcp())
			v.atLeast(t, 3)
			turn(t, cam, func(k *fakecam.Knobs) { k.Password = "changed" })
			refused(t, cam.URLWithLogin("main"), 401)
			watch(t, strings.Replace(cam.URL("main"), "rtsp://", "rtsp://viewer:changed@", 1), tcp()).atLeast(t, 3)
			turn(t, cam, func(k *fakecam.Knobs) { k.Password, k.RejectLogin = "", true })
			refused(t, cam.URLWithLogin("main"), 401)
			n := len(v.got())
			v.atLeast(t, n+3) // who is in stays in
		})
	}
}

func TestSessionLimits(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	turn(t, cam, func(k *fakecam.Knobs) { k.MaxSessions = 1; k.HoldSlotMs = 60_000 })
	v := watch(t, cam.URL("main"), tcp())
	refused(t, cam.URL("main"), 453)
	v.client.Close() // with TEARDOWN: the slot is free at once
	again := eventually(t, cam.URL("main"))
	turn(t, cam, func(k *fakecam.Knobs) { k.MaxSessions = 2 })
	watch(t, cam.URL("main"), tcp())
	turn(t, cam, func(k *fakecam.Knobs) { k.MaxSessions = 1 })
	cam.Drop() // without: two lost sessions still count
	again.until(t, "the end of the session", func() bool { return again.over })
	refused(t, cam.URL("main"), 453)
	turn(t, cam, func(k *fakecam.Knobs) { k.MaxSessions = 3 })
	eventually(t, cam.URL("main")).atLeast(t, 3)
}

// eventually dials until it is served.
func eventually(t *testing.T, url string) *viewer {
	t.Helper()
	var v *viewer
	poll(t, "a session at "+url, func() bool {
		var err error
		v, err = dial(url, tcp())
		return err == nil
	})
	t.Cleanup(v.client.Close)
	return v
}

func TestHouseLimit(t *testing.T) {
	t.Parallel()
	s := house(t, fakecam.Config{MaxSessions: 2}, "quick-carpark/sub", "quick-carpark/sub", "quick-carpark/sub")
	watch(t, s.Cameras()[0].URL("main"), tcp())
	watch(t, s.Cameras()[1].URL("main"), tcp())
	refused(t, s.Cameras()[2].URL("main"), 453)
}

func TestDrop(t *testing.T) {
	for name, transport := range map[string]gortsplib.Transport{"tcp": gortsplib.TransportTCP, "udp": gortsplib.TransportUDP} {
		t.Run(name, func(t *testing.T) {
			cam := one(t, fakecam.CameraConfig{})
			v := watch(t, cam.URL("main"), options{transport: transport})
			v.atLeast(t, 3)
			cam.Drop()
			v.until(t, "the end of the session", func() bool { return v.over })
			whole(t, v.got())
			watch(t, cam.URL("main"), options{transport: transport}).atLeast(t, 3)
		})
	}
}

func TestSilent(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 3)
	turn(t, cam, func(k *fakecam.Knobs) { k.Silent = true })
	settled(t, cam.Main())
	n := len(v.got())
	_, err := dial(cam.URL("main"), options{transport: gortsplib.TransportTCP, timeout: 400 * time.Millisecond})
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		var waited liberrors.ErrClientRequestTimedOut
		if !errors.As(err, &waited) {
			t.Fatalf("a silent camera gave %v, want a timeout", err)
		}
	}
	if got := len(v.got()); got != n {
		t.Fatalf("%d frames came from a silent camera", got-n)
	}
	turn(t, cam, func(k *fakecam.Knobs) { k.Silent = false })
	v.atLeast(t, n+3) // the old session was there all the time
}

func TestOffline(t *testing.T) {
	for name, listen := range map[string]string{"shared port": "", "own port": "127.0.0.1:0"} {
		t.Run(name, func(t *testing.T) {
			cam := one(t, fakecam.CameraConfig{Listen: listen})
			v := watch(t, cam.URL("main"), tcp())
			v.atLeast(t, 3)
			url := cam.URL("main")
			turn(t, cam, func(k *fakecam.Knobs) { k.Offline = true })
			v.until(t, "the end of the session", func() bool { return v.over })
			_, err := dial(url, tcp())
			switch {
			case listen != "" && !errors.Is(err, syscall.ECONNREFUSED):
				t.Fatalf("want the connection refused, got %v", err)
			case listen == "" && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF):
				t.Fatalf("want the connection reset, got %v", err)
			}
			before := cam.Main().Sent()
			turn(t, cam, func(k *fakecam.Knobs) { k.Offline = false })
			if cam.URL("main") != url {
				t.Fatalf("the camera came back at %s, it was at %s", cam.URL("main"), url)
			}
			frames := eventually(t, url).atLeast(t, 3)
			if frames[0].Frame <= before {
				t.Fatalf("frame %d after frame %d: numbers must not come twice", frames[0].Frame, before)
			}
		})
	}
}

func TestClockJumpStays(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 5)
	for _, d := range []time.Duration{10 * time.Second, -25 * time.Second} {
		from := len(v.got())
		cam.Jump(d)
		want := uint32(int64(quickStep) + int64(d/time.Second)*90_000)
		v.until(t, "the jump", func() bool {
			jumps := 0
			for i := max(from, 1); i < len(v.frames); i++ {
				if v.frames[i].RTP-v.frames[i-1].RTP != quickStep {
					jumps++
				}
			}
			return jumps == 1 && len(v.frames) > from+20
		})
		frames := v.got()
		found := false
		for i := max(from, 1); i < len(frames); i++ {
			found = found || frames[i].RTP-frames[i-1].RTP == want
		}
		if !found {
			t.Fatalf("no frame is %d ticks after the one before", int32(want))
		}
	}
	whole(t, v.got())
}

func TestOutlierIsOneFrame(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 5)
	cam.Outlier(-9800 * time.Second)
	const away uint32 = 1<<32 - 9800*90_000
	v.until(t, "the outlier", func() bool {
		for i := 1; i+1 < len(v.frames); i++ {
			a, b, c := v.frames[i-1].RTP, v.frames[i].RTP, v.frames[i+1].RTP
			if b-a == quickStep+away && c-a == 2*quickStep {
				return true
			}
		}
		return false
	})
	whole(t, v.got())
}

func TestSwitchWithinTheCodec(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	old := cam.Main().Loop().Video.SPS
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 5)
	if err := cam.Switch("main", "carpark/main"); err != nil {
		t.Fatal(err)
	}
	v.until(t, "another SPS", func() bool {
		f := v.frames[len(v.frames)-1]
		return f.Key && !bytes.Equal(f.AU[0], old)
	})
	whole(t, v.got())
	later := watch(t, cam.URL("main"), tcp())
	if sps, _ := later.desc.Medias[0].Formats[0].(*format.H264).SafeParams(); bytes.Equal(sps, old) {
		t.Error("a new client is described the old parameter sets")
	}
	if err := cam.Switch("main", "attic/main"); err == nil {
		t.Error("an unknown loop was taken")
	}
	if err := cam.Switch("third", "carpark/main"); err == nil {
		t.Error("an unknown stream was taken")
	}
}

func TestSwitchToAnotherCodec(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 5)
	if err := cam.Switch("main", "carpark-night/main"); err != nil {
		t.Fatal(err)
	}
	v.until(t, "the end of the session", func() bool { return v.over })
	again := watch(t, cam.URL("main"), tcp())
	if _, ok := again.desc.Medias[0].Formats[0].(*format.H265); !ok {
		t.Fatalf("the camera describes %T, want H.265", again.desc.Medias[0].Formats[0])
	}
	whole(t, again.atLeast(t, 3))
}

func TestSoundKeepsTime(t *testing.T) {
	t.Parallel()
	for loop, want := range map[string]struct {
		codec string
		step  uint32
	}{"shop/sub": {"MPEG-4 Audio", 1024}, "corridor/sub": {"G711", 320}, "dock/sub": {"G711", 320}} {
		s := house(t, fakecam.Config{}, loop)
		v := watch(t, s.Cameras()[0].URL("main"), tcp())
		if got := v.desc.Medias[1].Formats[0].Codec(); got != want.codec {
			t.Errorf("%s: sound is %s, want %s", loop, got, want.codec)
		}
		v.until(t, "sound", func() bool { return len(v.sound) >= 8 })
		for i, ts := range v.sound[1:8] {
			if ts-v.sound[i] != want.step {
				t.Errorf("%s: sound steps by %d, want %d", loop, ts-v.sound[i], want.step)
			}
		}
	}
}

func TestSessionTimesOut(t *testing.T) {
	t.Parallel()
	s := house(t, fakecam.Config{SessionTimeout: time.Second}, "quick-carpark/sub", "quick-carpark/sub")
	strict, lax := s.Cameras()[0], s.Cameras()[1]
	turn(t, strict, func(k *fakecam.Knobs) { k.StrictAlive = true })
	kept := watch(t, lax.URL("main"), tcp()) // the client keeps alive at 80 % of the timeout
	quiet := rawPlay(t, strict)
	if _, err := io.Copy(io.Discard, quiet); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read from the camera: %v", err)
	}
	poll(t, "the session's end", func() bool { return strict.Sessions() == 0 })
	n := len(kept.got())
	kept.atLeast(t, n+3)
}

package onvif_test

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"holdfast/agent/nvr/onvif"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakenvr"
)

const (
	user     = "operator"
	password = `pass <word> & "more"`
)

// far is a device and what it is asked with.
type far struct {
	*fakenvr.Device
	cfg onvif.Config
}

func start(t *testing.T, turn func(*fakenvr.Knobs)) *far {
	t.Helper()
	d, err := fakenvr.New(fakenvr.Config{User: user, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if turn != nil {
		d.Turn(turn)
	}
	return &far{d, onvif.Config{
		Address: d.URL(), User: user, Password: password, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Streams: map[id.StreamKind]string{id.Main: "rtsp://127.0.0.1:554/main", id.Sub: "rtsp://127.0.0.1:554/sub"},
	}}
}

func (f *far) device(t *testing.T) *onvif.Device {
	t.Helper()
	d, err := onvif.New(f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// says checks that an error is a failure for people with some words.
func says(t *testing.T, err error, words ...string) {
	t.Helper()
	var f *wire.Failure
	if !errors.As(err, &f) {
		t.Fatalf("%v is no failure for people", err)
	}
	for _, w := range words {
		if !strings.Contains(f.Text, w) {
			t.Errorf("it says %q, without %q", f.Text, w)
		}
	}
	if strings.Contains(f.Text, password) || strings.Contains(f.Text, "<") {
		t.Errorf("it says %q", f.Text)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 0.02 }

// TestDevices: whatever logins and services a device knows, the camera moves.
func TestDevices(t *testing.T) {
	for name, turn := range map[string]func(*fakenvr.Knobs){
		"as it should be":             nil,
		"a clock three hours off":     func(k *fakenvr.Knobs) { k.Clock = -3*time.Hour - 20*time.Second },
		"a clock years off":           func(k *fakenvr.Knobs) { k.Clock = -10 * 365 * 24 * time.Hour },
		"logins by HTTP alone":        func(k *fakenvr.Knobs) { k.Digest = true },
		"by HTTP with SHA-256":        func(k *fakenvr.Knobs) { k.Digest, k.SHA256 = true, true },
		"a nonce for each request":    func(k *fakenvr.Knobs) { k.Digest, k.OneNonce = true, true },
		"a choice of two sums":        func(k *fakenvr.Knobs) { k.Digest, k.QOP = true, "auth-int, auth" },
		"a sum of the whole question": func(k *fakenvr.Knobs) { k.Digest, k.QOP = true, "auth-int" },
		"an old one":                  func(k *fakenvr.Knobs) { k.Old = true },
		"ten thousand profiles":       func(k *fakenvr.Knobs) { k.Profiles = 10_000 },
		"five other cameras":          func(k *fakenvr.Knobs) { k.Sources = 5 },
		"one that does not tell time": func(k *fakenvr.Knobs) { k.NoClock = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, turn)
			d := f.device(t)
			able, err := d.Ask(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			want := wire.PTZReply{Move: true, Zoom: true, Centre: true, Home: true, Save: true}
			presets := able.Presets
			able.Presets = nil
			if able.Move != want.Move || able.Zoom != want.Zoom || able.Centre != want.Centre || able.Home != want.Home || able.Save != want.Save {
				t.Errorf("it can do %+v, want %+v", able, want)
			}
			if len(presets) != 2 || presets[0] != (wire.PTZPreset{Token: "1", Name: "Gate"}) {
				t.Errorf("presets %+v", presets)
			}
			if err := d.Do(t.Context(), wire.PTZOrder{Act: wire.PTZMove, Pan: 1, Tilt: -0.5, Zoom: 0.5}); err != nil {
				t.Fatal(err)
			}
			eventually.True(t, "it turns", func() bool { w := f.Where(); return w.Pan > 0.01 && w.Tilt < -0.005 && w.Zoom > 0.005 && w.Moving })
			if err := d.Do(t.Context(), wire.PTZOrder{Act: wire.PTZStop}); err != nil {
				t.Fatal(err)
			}
			if f.Where().Moving {
				t.Error("it goes on")
			}
			if f.Refused() > 0 {
				t.Errorf("%d logins were refused", f.Refused())
			}
		})
	}
}

func TestEveryAct(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	d := f.device(t)
	do := func(o wire.PTZOrder) {
		t.Helper()
		if err := d.Do(t.Context(), o); err != nil {
			t.Fatalf("%s: %v", o.Act, err)
		}
	}
	do(wire.PTZOrder{Act: wire.PTZGoto, Preset: "1"})
	if w := f.Where(); !near(w.Pan, 0.5) || !near(w.Zoom, 0.2) {
		t.Errorf("at the preset it points to %+v", w)
	}
	do(wire.PTZOrder{Act: wire.PTZHome})
	if w := f.Where(); w != (fakenvr.Position{}) {
		t.Errorf("at home it points to %+v", w)
	}
	do(wire.PTZOrder{Act: wire.PTZCentre, Pan: 1, Tilt: -0.5})
	if w := f.Where(); !near(w.Pan, 0.1) || !near(w.Tilt, -0.05) {
		t.Errorf("with its right edge in the middle it points to %+v", w)
	}
	do(wire.PTZOrder{Act: wire.PTZSave, Name: `Back door <& "left">`})
	able, err := d.Ask(t.Context(), true)
	if err != nil || len(able.Presets) != 3 || able.Presets[2] != (wire.PTZPreset{Token: "n1", Name: `Back door <& "left">`}) {
		t.Errorf("presets %+v, %v", able.Presets, err)
	}
	do(wire.PTZOrder{Act: wire.PTZRemove, Preset: "n1"})
	says(t, d.Do(t.Context(), wire.PTZOrder{Act: wire.PTZGoto, Preset: "n1"}), "refuses", "preset token does not exist")
	for _, kind := range []id.StreamKind{id.Main, id.Sub} {
		if err := d.KeyFrame(t.Context(), kind); err != nil || f.Count("SetSynchronizationPoint "+string(kind)) != 1 {
			t.Errorf("a key frame of %s: %v, %v", kind, err, f.Calls())
		}
	}
}

// TestNothingThatItCannot: a camera that is fixed, or can't turn by the picture, says so and is asked for nothing of it.
func TestNothingThatItCannot(t *testing.T) {
	t.Parallel()
	f := start(t, func(k *fakenvr.Knobs) { k.Fixed = true })
	d := f.device(t)
	able, err := d.Ask(t.Context(), true)
	if err != nil || able.Move || able.Zoom || able.Save || len(able.Presets) > 0 {
		t.Errorf("a fixed camera can do %+v, %v", able, err)
	}
	says(t, d.Do(t.Context(), wire.PTZOrder{Act: wire.PTZMove, Pan: 1}), "can't do that")
	g := start(t, func(k *fakenvr.Knobs) { k.NoView = true })
	d = g.device(t)
	if able, err = d.Ask(t.Context(), true); err != nil || able.Centre || !able.Move {
		t.Errorf("a camera without a view can do %+v, %v", able, err)
	}
	says(t, d.Do(t.Context(), wire.PTZOrder{Act: wire.PTZCentre, Pan: 1}), "can't do that")
}

// TestAWrongPasswordIsToldOnceAMinute, however many cameras have it and however often people ask.
func TestAWrongPasswordIsToldOnceAMinute(t *testing.T) {
	for name, turn := range map[string]func(*fakenvr.Knobs){
		"WS-Security": nil,
		"HTTP":        func(k *fakenvr.Knobs) { k.Digest = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, turn)
			f.cfg.Password, f.cfg.Accounts = "wrong", onvif.NewAccounts()
			a, b := f.device(t), f.device(t)
			_, err := a.Ask(t.Context(), true)
			says(t, err, "does not take the ONVIF login", user)
			for _, d := range []*onvif.Device{a, b, a} {
				_, err = d.Ask(t.Context(), true)
				says(t, err, "once a minute")
			}
			if f.Refused() != 1 {
				t.Errorf("the password was told %d times", f.Refused())
			}
		})
	}
}

// TestAClockThatIsSet while the device is in use costs nothing but another try, a password that is changed a minute.
func TestAClockThatIsSet(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	d := f.device(t)
	if err := d.Do(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	f.Turn(func(k *fakenvr.Knobs) { k.Clock = time.Hour })
	if err := d.Do(t.Context(), home); err != nil || f.Refused() != 1 {
		t.Errorf("after its clock was set: %v, %d refusals", err, f.Refused())
	}
	f.Turn(func(k *fakenvr.Knobs) { k.Locked = true })
	says(t, d.Do(t.Context(), home), "does not take")
	says(t, d.Do(t.Context(), home), "once a minute")
	if f.Refused() != 3 { // once more, to see whether it is this question alone
		t.Errorf("the new password was told %d times", f.Refused()-1)
	}
}

// TestAClockThatNobodyCanAsk is one of the things that a refused login may mean.
func TestAClockThatNobodyCanAsk(t *testing.T) {
	t.Parallel()
	f := start(t, func(k *fakenvr.Knobs) { k.NoClock, k.Clock = true, -2*time.Hour })
	_, err := f.device(t).Ask(t.Context(), true)
	says(t, err, "does not take", "does not tell its time", "set it")
}

// TestHostileAnswers cost a bounded time, and are refused in words.
func TestHostileAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		turn  func(*fakenvr.Knobs)
		words string
	}{
		"entities of entities": {func(k *fakenvr.Knobs) { k.Laughs = true }, "document type definition"},
		"without end in depth": {func(k *fakenvr.Knobs) { k.Deep = true }, "nested deeper"},
		"without end":          {func(k *fakenvr.Knobs) { k.Endless = true }, "larger"},
		"a page":               {func(k *fakenvr.Knobs) { k.Html = true }, "can't be used"},
		"moves refused":        {func(k *fakenvr.Knobs) { k.Refuse = true }, "The head is locked & waits for service"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, c.turn)
			d := f.device(t)
			begun := time.Now()
			err := d.Do(t.Context(), wire.PTZOrder{Act: wire.PTZMove, Pan: 1})
			says(t, err, c.words)
			if took := time.Since(begun); took > 6*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestASilentDevice(t *testing.T) {
	t.Parallel()
	f := start(t, func(k *fakenvr.Knobs) { k.Slow = time.Minute })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	says(t, f.device(t).Do(ctx, wire.PTZOrder{Act: wire.PTZHome}), "does not answer to ONVIF")
	f.cfg.Address = "http://127.0.0.1:1/onvif/device_service"
	says(t, f.device(t).Do(t.Context(), wire.PTZOrder{Act: wire.PTZHome}), "does not answer to ONVIF")
}

// TestOnlyTheConfiguredHost: services elsewhere are sought at the device itself, and addresses outside the networks are not
// dialled.
func TestOnlyTheConfiguredHost(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.cfg.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	says(t, f.device(t).Do(t.Context(), wire.PTZOrder{Act: wire.PTZHome}), "outside camera_networks")
	if len(f.Calls()) > 0 {
		t.Errorf("it was asked for %v", f.Calls())
	}
}

// TestAmongSeveralCameras the right one moves, or none.
func TestAmongSeveralCameras(t *testing.T) {
	t.Parallel()
	f := start(t, func(k *fakenvr.Knobs) { k.Sources = 3 })
	f.cfg.Streams = map[id.StreamKind]string{id.Main: "rtsp://127.0.0.1/elsewhere"}
	says(t, f.device(t).Do(t.Context(), wire.PTZOrder{Act: wire.PTZHome}), "several cameras", "onvif: profile:", "other-1, other-2")
	f.cfg.Profile = "main"
	if err := f.device(t).Do(t.Context(), wire.PTZOrder{Act: wire.PTZHome}); err != nil {
		t.Error(err)
	}
	f.cfg.Profile = "third"
	says(t, f.device(t).Do(t.Context(), wire.PTZOrder{Act: wire.PTZHome}), "no profile third")
	f.Turn(func(k *fakenvr.Knobs) { k.Sources = 150 })
	f.cfg.Profile = ""
	says(t, f.device(t).Do(t.Context(), wire.PTZOrder{Act: wire.PTZHome}), "more than 128 profiles", "onvif: profile:")
}

func TestAddresses(t *testing.T) {
	for address, fault := range map[string]string{
		"http://192.168.1.10/onvif/device_service": "",
		"https://camera.lan:8443/onvif":            "",
		"rtsp://192.168.1.10/x":                    "http://",
		"http://user:pass@192.168.1.10/":           "login",
		"http:///onvif":                            "host",
		"http://192.168.1.10/#x":                   "part",
		"%":                                        "URL",
	} {
		err := onvif.Check(address)
		if (err == nil) != (fault == "") || err != nil && (!strings.Contains(err.Error(), fault) || strings.Contains(err.Error(), "pass@")) {
			t.Errorf("%s: %v, want %q", address, err, fault)
		}
	}
	if _, err := onvif.New(onvif.Config{Address: "https://camera.lan/", Pin: "12"}); err == nil {
		t.Error("half a fingerprint was taken")
	}
}

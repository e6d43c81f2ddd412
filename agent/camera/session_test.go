package camera

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/auth"
	"github.com/bluenviron/gortsplib/v4/pkg/base"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// TestKeepalives: devices with sessions of four seconds that only RTSP requests keep alive, each with a mind of its
// own about them.
func TestKeepalives(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		knobs fakecam.Knobs
		lost  int // sessions that it costs to learn
	}{
		"as it should be":                     {fakecam.Knobs{}, 0},
		"GET_PARAMETER is not listed":         {fakecam.Knobs{HideGetParameter: true}, 0},
		"answers 401 to all":                  {fakecam.Knobs{AliveStatus: 401}, 0},
		"answers 400 to what it lists":        {fakecam.Knobs{AliveMethod: "OPTIONS", AliveStatus: 400}, 0},
		"answers 501 to OPTIONS":              {fakecam.Knobs{AliveMethod: "GET_PARAMETER", AliveStatus: 501, HideGetParameter: true}, 0},
		"only GET_PARAMETER counts, unlisted": {fakecam.Knobs{AliveMethod: "GET_PARAMETER", HideGetParameter: true}, 1},
		"only OPTIONS counts":                 {fakecam.Knobs{AliveMethod: "OPTIONS"}, 1},
		"never answers":                       {fakecam.Knobs{AliveMute: true}, 0},
		"a new nonce with 401 at a keepalive": {fakecam.Knobs{NonceLifeMs: 2500}, 0},
		"a new nonce, and it answers nothing": {fakecam.Knobs{AliveMute: true, NonceLifeMs: 3600_000}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.knobs.StrictAlive = true
			r := newRig(t, options{
				camera: fakecam.CameraConfig{User: "viewer", Password: "x"}, user: "viewer", pass: "x",
				house: fakecam.Config{SessionTimeout: 4 * time.Second}, ready: func(r *rig) { r.turn(c.knobs) },
			})
			v := r.watch(id.Main)
			v.frames(200) // more than thirteen seconds
			if tally := r.cam.Tally(); tally.Lost != uint64(c.lost) || tally.BadLogins != 0 {
				t.Errorf("%+v; want %d lost sessions and no wrong login", tally, c.lost)
			}
			if c.lost == 0 {
				if got := breaks(v.so()); len(got) != 1 {
					t.Errorf("the session broke: %v", got)
				}
			}
		})
	}
}

func TestHalve(t *testing.T) {
	for header, want := range map[string]struct {
		out  string
		life time.Duration
	}{
		"12345":                  {"12345;timeout=30", time.Minute},
		"12345;timeout=60":       {"12345;timeout=30", time.Minute},
		"12345; timeout = 10":    {"12345;timeout=5", 10 * time.Second},
		"1;timeout=1":            {"1;timeout=1", 2 * time.Second},
		"1;timeout=0":            {"1;timeout=30", time.Minute},
		"1;timeout=600":          {"1;timeout=30", 10 * time.Minute},
		"1;timeout=99999999999":  {"1;timeout=30", time.Minute},
		"a;b=c;Timeout=20;x":     {"a;timeout=10", 20 * time.Second},
		"1;timeout=-5":           {"1;timeout=30", time.Minute},
		"1;timeout=4294967295.5": {"1;timeout=30", time.Minute},
	} {
		got, life := halve(base.HeaderValue{header})
		if got[0] != want.out || life != want.life {
			t.Errorf("%q becomes %q, %v; want %q, %v", header, got[0], life, want.out, want.life)
		}
	}
}

func TestAliveLearns(t *testing.T) {
	ask := func(a *alive, n int) (out []base.Method) {
		for range n {
			out = append(out, a.method())
		}
		return out
	}
	const o, g = base.Options, base.GetParameter
	var a alive
	if got := ask(&a, 3); !slices.Equal(got, []base.Method{o, o, o}) {
		t.Errorf("a device that lists nothing is asked %v", got)
	}
	a.listen([]string{"DESCRIBE, SETUP, get_parameter"})
	if got := ask(&a, 2); !slices.Equal(got, []base.Method{g, g}) {
		t.Errorf("a device that lists it is asked %v", got)
	}
	a.refuse(g)
	if got := ask(&a, 2); !slices.Equal(got, []base.Method{o, o}) {
		t.Errorf("a device that refuses it is asked %v", got)
	}
	a = alive{}
	a.died(10*time.Minute, time.Minute, o, time.Second)
	a.died(10*time.Second, time.Minute, o, time.Second)
	if a.both {
		t.Error("a camera that drops a session at another time is no reason")
	}
	a.died(61*time.Second, time.Minute, o, 13*time.Second)
	if got := ask(&a, 4); !slices.Contains(got, g) || !slices.Contains(got, o) {
		t.Errorf("after a session that died in time: %v", got)
	}
	a.died(25*time.Second, time.Minute, g, 100*time.Millisecond)
	if got := ask(&a, 4); slices.Contains(got, g) {
		t.Errorf("a device that hung up on GET_PARAMETER is asked %v", got)
	}
}

// exchange is a request, and what the device says to it.
type exchange struct {
	challenge string // of a 401; empty: it is accepted
	basic     bool
	want      string // what the login is to be: none, basic, or the nonce
	again     bool   // the request is worth another try
}

func TestNoncesAndRefusals(t *testing.T) {
	const a, b, c = "aaaa", "bbbb", "cccc"
	for name, list := range map[string][]exchange{
		"at once": {{challenge: a, want: "none"}, {want: a}, {want: a}},
		"a new nonce after a while": {
			{challenge: a, want: "none"}, {want: a}, {challenge: b, want: a, again: true}, {want: b}, {want: b},
		},
		"a nonce for each request": {
			{challenge: a, want: "none"}, {want: a}, {challenge: b, want: a, again: true}, {want: b}, {challenge: c, want: b, again: true}, {want: c},
		},
		"stale says so": {{challenge: a, want: "none"}, {challenge: b + " stale", want: a, again: true}, {want: b}},
		"a wrong password": {
			{challenge: a, want: "none"}, {challenge: b, want: a}, {challenge: c, want: "none"}, {challenge: a, want: "none"},
		},
		"a password that was changed": {
			{challenge: a, want: "none"}, {want: a}, {challenge: b, want: a, again: true}, {challenge: c, want: b}, {challenge: a, want: "none"},
		},
		"a password that was changed, with the old nonce": {
			{challenge: a, want: "none"}, {want: a}, {challenge: a, want: a}, {challenge: a, want: "none"},
		},
		"stale for ever": {
			{challenge: a, want: "none"},
			{challenge: b + " stale", want: a, again: true},
			{challenge: c + " stale", want: b, again: true},
			{challenge: a + " stale", want: c},
			{challenge: b + " stale", want: "none"},
		},
		"basic": {{challenge: "x", basic: true, want: "none"}, {want: "basic"}, {challenge: "x", basic: true, want: "basic"}, {want: "none"}},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := NewSource("rtsp://10.0.0.5/x", "viewer", "secret", "")
			if err != nil {
				t.Fatal(err)
			}
			l := login{tap: &tap{source: source}, pinned: func() {}, refusal: func(err error) { t.Errorf("refused: %v", err) }}
			for i, e := range list {
				req := &base.Request{Method: base.Options, URL: source.url(), Header: base.Header{}}
				l.authorize(req)
				sent := "none"
				if v := req.Header["Authorization"]; len(v) > 0 {
					sent = "basic"
					if _, after, ok := strings.Cut(v[0], `nonce="`); ok {
						sent, _, _ = strings.Cut(after, `"`)
					}
				}
				if sent != e.want {
					t.Fatalf("request %d carries %s, want %s", i, sent, e.want)
				}
				l.heard(e.answer())
				if got := l.renewed(); got != e.again {
					t.Errorf("request %d is worth another try: %v", i, got)
				}
			}
		})
	}
}

func (e exchange) answer() *base.Response {
	if e.challenge == "" {
		return &base.Response{StatusCode: base.StatusOK}
	}
	nonce, stale := strings.CutSuffix(e.challenge, " stale")
	v := `Digest realm="x", nonce="` + nonce + `"`
	if stale {
		v += `, stale="true"`
	}
	if e.basic {
		v = `Basic realm="x"`
	}
	return &base.Response{StatusCode: base.StatusUnauthorized, Header: base.Header{"WWW-Authenticate": base.HeaderValue{v}}}
}

// memory is what outlives a room.
type memory struct {
	mu sync.Mutex
	m  map[string]string
}

func (m *memory) keep(c *Config) {
	c.Recall = func(name string) string {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.m[name]
	}
	c.Remember = func(name, value string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.m == nil {
			m.m = map[string]string{}
		}
		m.m[name] = value
	}
}

// TestADowngradeIsRefusedAcrossRestarts: a device that has asked for digest never gets the password in the clear,
// also from an agent that was started anew, unless the configuration says so.
func TestADowngradeIsRefusedAcrossRestarts(t *testing.T) {
	t.Parallel()
	var kept memory
	camera := id.New[id.Camera]()
	run := func(basicOnly, allowed bool) *rig {
		return newRig(t, options{
			camera: fakecam.CameraConfig{User: "viewer", Password: "secret", Auth: []auth.VerifyMethod{auth.VerifyMethodBasic, auth.VerifyMethodDigestMD5}},
			user:   "viewer", pass: "secret", ready: func(r *rig) { r.turn(fakecam.Knobs{BasicOnly: basicOnly}) },
			adjust: func(c *Config) {
				kept.keep(c)
				c.Cameras[0].ID = camera
				if allowed {
					c.Cameras[0].Main = c.Cameras[0].Main.AllowBasic()
				}
			},
		})
	}
	first := run(false, false)
	first.watch(id.Main).frames(5)
	if n := first.cam.Tally().Basics; n != 0 {
		t.Errorf("%d requests in the clear although digest was offered", n)
	}
	first.stop()
	second := run(true, false)
	text := second.watch(id.Main).broken(wire.AuthFailed)
	if !strings.Contains(text, "in the clear") || !strings.Contains(text, "basic_login: true") {
		t.Errorf("it is said as %q", text)
	}
	eventually.True(t, "the alarm", func() bool {
		c := second.board.Conditions()
		return len(c) > 0 && c[0].Name == "stream" && c[0].State == wire.Failing && c[0].Reason == wire.AuthFailed
	})
	if n := second.cam.Tally().Basics; n != 0 {
		t.Errorf("%d requests in the clear", n)
	}
	second.stop()
	third := run(true, true)
	third.watch(id.Main).frames(5)
}

func TestSessionsOfFailedSetupsAreTornDown(t *testing.T) {
	t.Parallel()
	t.Run("PLAY refused", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, options{ready: func(r *rig) { r.turn(fakecam.Knobs{Refuse: 500, RefuseAt: "PLAY"}) }})
		r.watch(id.Main).broken(wire.SessionLimit)
		eventually.True(t, "the session to be torn down", func() bool { return r.cam.Tally().Teardowns == 1 && r.cam.Sessions() == 0 })
	})
	for _, kind := range []fakecam.Malice{fakecam.Elsewhere, fakecam.Mismatch} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			h := fakecam.ServeHostile(t, kind)
			r := newRig(t, options{address: h.URL("rtsp")})
			r.watch(id.Main).broken(wire.Unreachable)
			eventually.True(t, "the session to be torn down", func() bool { return h.Torn() > 0 })
		})
	}
}

func TestNoSessionIsLeftWhenTheAgentEnds(t *testing.T) {
	t.Parallel()
	for _, udp := range []bool{false, true} {
		r := newRig(t, options{
			camera: fakecam.CameraConfig{Sub: "shop/sub"}, house: fakecam.Config{UDP: true}, udp: udp,
			adjust: func(c *Config) { c.Cameras[0].RecordSub = true },
		})
		main, sub := r.watch(id.Main), r.watch(id.Sub)
		main.frames(10)
		sub.frames(10)
		r.stop()
		eventually.True(t, "both sessions to be torn down", func() bool {
			return r.cam.Sessions() == 0 && r.cam.Tally().Teardowns == 2 && r.cam.Tally().Lost == 0
		})
	}
}

// TestALostSessionIsTornDown: a recorder with one session still counts the one whose connection broke.
func TestALostSessionIsTornDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{camera: fakecam.CameraConfig{User: "viewer", Password: "x"}, user: "viewer", pass: "x"})
	r.turn(fakecam.Knobs{MaxSessions: 1, HoldSlotMs: 3600_000})
	v := r.watch(id.Main)
	v.frames(10)
	r.cam.Drop()
	v.frames(10)
	if tally := r.cam.Tally(); tally.Refused != 1 || tally.BadLogins != 0 {
		t.Errorf("%+v", tally)
	}
}

func TestAStalledSubStreamNeverTouchesTheMainOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{
		camera: fakecam.CameraConfig{Sub: "shop/sub"}, adjust: func(c *Config) { c.Cameras[0].RecordSub = true },
	})
	main, sub := r.watch(id.Main), r.watch(id.Sub)
	main.frames(5)
	sub.frames(5)
	r.cam.Sub().Stall(true)
	sub.broken(wire.Stalled)
	main.frames(60)
	if got := breaks(main.so()); len(got) != 1 {
		t.Errorf("the main stream broke: %v", got)
	}
	assertWhole(t, main.so())
}

// assertWhole fails where a numbered frame is missing.
func assertWhole(t *testing.T, items []media.Item) {
	t.Helper()
	number := uint64(0)
	for _, f := range pictures(items) {
		stamp, ok := fakecam.FindStamp(f.Units, f.Params.Video().VPS != nil)
		if !ok || number != 0 && stamp.Frame != number+1 {
			t.Errorf("frame %d comes after %d (%v)", stamp.Frame, number, ok)
		}
		number = stamp.Frame
	}
}

func TestUDPWithLoss(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{house: fakecam.Config{UDP: true}, udp: true, adjust: func(c *Config) { c.Stall = 10 * time.Second }})
	v := r.watch(id.Main)
	v.frames(15)
	r.turn(fakecam.Knobs{LossPercent: 3})
	r.condition("picture", wire.Failing, "transport: tcp")
	r.turn(fakecam.Knobs{})
	r.condition("picture", wire.OK, "")
	items := v.so()
	frames := pictures(items)
	for i := 1; i < len(frames); i++ {
		if frames[i].MonoUs <= frames[i-1].MonoUs || frames[i].DTS <= frames[i-1].DTS && frames[i].Params == frames[i-1].Params {
			t.Errorf("frame %d runs backwards", i)
		}
	}
	if got := breaks(items); len(got) != 1 {
		t.Errorf("loss broke the session: %v", got)
	}
	if errs := strings.Count(r.log.String(), "fault in reading"); errs != 0 {
		t.Error("loss is a fault of the agent")
	}
}

func TestUDPThatIsShutOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{house: fakecam.Config{UDP: true}, udp: true, ready: func(r *rig) { r.turn(fakecam.Knobs{LossPercent: 100, Stall: true}) }})
	if text := r.watch(id.Main).broken(wire.Stalled); !strings.Contains(text, "transport: tcp") {
		t.Errorf("it is said as %q", text)
	}
}

package live

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/turn/v5"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
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
}

func newStage(t *testing.T, cfg Config) *stage {
	t.Helper()
	loop, err := scenes.Load("carpark/sub")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s := &stage{
		t: t, hub: media.NewHub(id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}), loop: loop, params: paramsOf(loop),
		monoUs: func() int64 { return time.Since(began).Microseconds() }, orders: make(chan func()),
	}
	cfg.Loopback = true
	s.room, err = New(cfg, Footage{
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
	}, slog.New(slog.DiscardHandler))
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
	eventually(t, "the first frame", func() bool { _, brk := s.hub.State(); return brk == nil })
	return s
}

func paramsOf(l *scenes.Loop) *media.Params {
	return &media.Params{Tracks: []mp4.Track{l.Video}, Run: 1}
}

// film writes the loop's frames to the hub, again and again.
func (s *stage) film(ctx context.Context) {
	tick := time.NewTicker(time.Second / time.Duration(s.loop.FPS))
	defer tick.Stop()
	for {
		for i := range s.loop.Units {
			u := &s.loop.Units[i]
			s.frame++
			stamp := fakecam.Stamp{Camera: 1, Frame: s.frame, SentUs: time.Now().UnixMicro()}
			units := append([][]byte{stamp.NAL(false)}, u.NALUs...)
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

func TestASessionLeavesNothingBehind(t *testing.T) {
	s := newStage(t, Config{})
	before := goleak.IgnoreCurrent()
	for range 2 {
		mine, theirs := watch(t, s.room, s.wish()), watch(t, s.room, s.wish())
		mine.seen(3)
		theirs.seen(3)
		s.room.Close(mine.session)
		s.room.Close(mine.session)
		mine.ended()
		mine.close()
		theirs.close() // a tab that is closed says so
		eventually(t, "the sessions to end", func() bool { return len(s.room.Open()) == 0 })
	}
	if n, _ := s.hub.Readers(); n != 0 {
		t.Errorf("%d readers are still attached to the hub", n)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func TestAViewerThatNeverConnects(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{Connect: 300 * time.Millisecond})
	v := newViewer(t, webrtc.Configuration{})
	offer := s.wish().LiveOffer
	offer.Session, offer.SDP = v.session, v.offer()
	if _, err := s.room.Offer(t.Context(), offer); err != nil {
		t.Fatal(err)
	}
	if open := s.room.Open(); len(open) != 1 || open[0] != v.session {
		t.Fatalf("open sessions %v", open)
	}
	eventually(t, "the session to end", func() bool { return len(s.room.Open()) == 0 })
	if n, _ := s.hub.Readers(); n != 0 {
		t.Errorf("%d readers are still attached to the hub", n)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{MaxSessions: 2})
	a := watch(t, s.room, s.wish())
	a.seen(1)
	offer := s.wish().LiveOffer
	offer.Session, offer.SDP = a.session, a.pc.LocalDescription().SDP
	_, err := s.room.Offer(t.Context(), offer)
	assertFailure(t, err, wire.FailedRefused, "exists already")
	watch(t, s.room, s.wish())
	_, err = try(t, s.room, s.wish())
	assertFailure(t, err, wire.FailedBusy, "Close a view")
	a.close()
	eventually(t, "a free place", func() bool { return len(s.room.Open()) == 1 })
	watch(t, s.room, s.wish()).seen(1)
	s.room.Close(id.New[id.Session]())

	idle, err := New(Config{}, s.room.footage, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, err = try(t, idle, s.wish())
	assertFailure(t, err, wire.FailedBusy, "starting or stopping")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := idle.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Port: 70000, MaxSessions: -1}, s.room.footage, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "live.port") || !strings.Contains(err.Error(), "live.max_sessions") {
		t.Errorf("New = %v, want both faults", err)
	}
}

func TestHostileOffers(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{Connect: 3 * time.Second})
	good := newViewer(t, webrtc.Configuration{}).offer()
	cut := func(at string) string { return good[:strings.Index(good, at)] }
	for name, sdp := range map[string]string{
		"nothing":       "",
		"no SDP":        "hello\x00\xff",
		"only a head":   cut("m=video"),
		"no ICE":        strings.ReplaceAll(good, "a=ice-ufrag", "a=ice-nothing"),
		"no key":        strings.ReplaceAll(good, "a=fingerprint", "a=finger"),
		"a wrong key":   strings.ReplaceAll(good, "a=fingerprint:sha-256 ", "a=fingerprint:sha-256 zz"),
		"no video":      cut("m=video") + good[strings.Index(good, "m=audio"):],
		"only VP8":      "v=0" + strings.ReplaceAll(strings.ReplaceAll(good[3:], "H264", "VP8"), "H265", "VP8"),
		"it will send":  strings.ReplaceAll(good, "a=recvonly", "a=sendonly"),
		"odd candidate": strings.ReplaceAll(good, "a=candidate:", "a=candidate:x y z "),
		"a thousand m":  good + strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 102\r\n", 1000),
		"cut short":     good[:len(good)-40],
		"wild numbers":  strings.ReplaceAll(good, "m=video 9", "m=video 99999999999999999999"),
	} {
		offer := s.wish().LiveOffer
		offer.Session, offer.SDP = id.New[id.Session](), sdp
		_, err := s.room.Offer(t.Context(), offer)
		var f *wire.Failure
		if err != nil && (!errors.As(err, &f) || f.Text == "") {
			t.Errorf("%s: %v, want words", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
	eventually(t, "all of them to end", func() bool { return len(s.room.Open()) == 0 })
	watch(t, s.room, s.wish()).seen(3)
}

func TestHostileWords(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	v.seen(3)
	for _, text := range []string{
		"", "{", "null", "[]", `"seek"`, `{"type":"fly"}`, `{"type":"seek"}`, `{"type":"seek","at_us":-5}`, `{"type":"seek","at_us":1e400}`,
		`{"type":"rate","rate":0}`, `{"type":"rate","rate":-1}`, `{"type":"rate","rate":1e300}`, `{"type":"seek","at_us":9223372036854775807}`,
		`{"type":"pause","x":"` + strings.Repeat("y", 5000) + `"}`, "\xff\xfe",
	} {
		v.order(text)
	}
	if err := v.control.Send([]byte{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		v.order(op{Type: "pause"})
	}
	for _, label := range []string{"other", "control"} {
		if _, err := v.pc.CreateDataChannel(label, nil); err != nil {
			t.Fatal(err)
		}
	}
	assertWhole(t, v.seen(len(v.next(10))))
	v.order(op{Type: "seek", AtUs: 1}) // nothing is recorded here: it says so and waits
	end := v.note("end", nil)
	if !strings.Contains(end.Text, "no video") {
		t.Errorf("note %+v", end)
	}
	have := len(v.seen(1))
	v.order(op{Type: "live"})
	if p := v.seen(have + 5)[have:]; !p[0].key {
		t.Errorf("back at the live edge the first picture, number %d, is no key frame", p[0].Frame)
	}
}

func TestTheCameraGoesAndComes(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	v.seen(3)
	s.do(func() {
		s.hub.Down(media.Break{Reason: wire.Unreachable, Text: "192.0.2.7 does not answer: check its cable", MonoUs: s.monoUs()})
	})
	if n := v.note("state", nil); n.Text != "192.0.2.7 does not answer: check its cable." {
		t.Errorf("note %+v", n)
	}
	if n := v.note("state", nil); n.Text != "" { // the next key frame has come
		t.Errorf("note %+v, want one that says that there is video again", n)
	}
	all := v.seen(len(v.next(5)))
	keys := 0
	for i := 1; i < len(all); i++ {
		if all[i].key {
			keys++
		}
		if all[i].Frame != all[i-1].Frame+1 && !all[i].key {
			t.Errorf("behind the hole frame %d came first, which is no key frame", all[i].Frame)
		}
	}
}

func TestTheClockSteps(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	v.seen(3)
	s.do(func() { // as the camera room does it: another run, whose timeline begins at 0, at the next key frame
		next := paramsOf(s.loop)
		next.Run = 2
		began := time.Now()
		s.params, s.monoUs = next, func() int64 { return time.Since(began).Microseconds() }
	})
	pictures := v.seen(len(v.next(20)))
	assertWhole(t, pictures)
	assertPaced(t, pictures)
}

func TestALostPictureBeginsAnew(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	v.seen(3)
	v.begAgain() // too soon
	v.until("two seconds", func() bool { return time.Since(v.pictures[0].at) > 2200*time.Millisecond })
	pictures := v.seen(1)
	assertWhole(t, pictures)
	have := len(pictures)
	v.begAgain()
	v.until("a picture again", func() bool {
		for i := have; i < len(v.pictures); i++ {
			if v.pictures[i].Frame <= v.pictures[i-1].Frame {
				if !v.pictures[i].key {
					t.Errorf("it begins anew with frame %d, which is no key frame", v.pictures[i].Frame)
				}
				return true
			}
		}
		return false
	})
	again := v.seen(1)
	if n := int(again[len(again)-1].Frame-again[0].Frame) + 1; n >= len(again) {
		t.Errorf("%d pictures of %d frames: none was sent again", len(again), n)
	}
}

func TestTheCodecChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*media.Params){
		"H.265":    func(p *media.Params) { p.Tracks[0].Codec = mp4.H265 },
		"B-frames": func(p *media.Params) { p.BFrames = true },
	} {
		s := newStage(t, Config{})
		v := watch(t, s.room, s.wish())
		v.seen(3)
		v.note("position", nil) // the channel is open
		s.do(func() {
			next := paramsOf(s.loop)
			change(next)
			s.params = next
		})
		if n := v.note("end", nil); !strings.Contains(n.Text, "Open the view again") {
			t.Errorf("%s: note %+v", name, n)
		}
		v.ended()
	}
}

func TestPortOffersWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, loopback := range []bool{false, true} {
		p, err := openPort(Config{Loopback: loopback}, chatter{slog.New(slog.DiscardHandler)}.NewLogger("port"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, a := range p.GetListenAddresses() {
			ip := a.(*net.UDPAddr).IP
			found = found || ip.IsLoopback()
			if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
				t.Errorf("it offers %v", ip)
			}
		}
		if found != loopback {
			t.Errorf("with loopback %v it offers %v", loopback, p.GetListenAddresses())
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]bool{
		"eth0": false, "enp3s0": false, "br0": false, "br-lan": false, "br-3f8a1b2c4d5e": true, "docker0": true, "veth12ab": true,
		"Ethernet 2": false, "vEthernet (Extern)": false, "vEthernet (Default Switch)": true, "wlan0": false, "tailscale0": false,
	} {
		if madeUp(name) != want {
			t.Errorf("madeUp(%q) = %v", name, !want)
		}
	}
}

// TestAnswerIsQuick measures what a viewer waits for before anything can travel.
func TestAnswerIsQuick(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	best := time.Hour
	for range 5 {
		v := newViewer(t, webrtc.Configuration{})
		offer := s.wish().LiveOffer
		offer.Session, offer.SDP = v.session, v.offer()
		began := time.Now()
		answer, err := s.room.Offer(t.Context(), offer)
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began))
		if !strings.Contains(answer.SDP, "a=candidate:") || !strings.Contains(answer.SDP, "a=end-of-candidates") {
			t.Errorf("the answer lacks candidates:\n%s", answer.SDP)
		}
		s.room.Close(offer.Session)
	}
	t.Logf("offer to answer, best of five: %v", best)
	if best > 200*time.Millisecond {
		t.Errorf("the quickest of five answers took %v", best)
	}
}

func TestServersThatAreNoUse(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	deaf, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }()
	for name, url := range map[string]string{
		"no URL": "nonsense", "a scheme of its own": "http://127.0.0.1/", "never answers": "stun:" + deaf.LocalAddr().String(),
	} {
		w := s.wish()
		w.ICE = []wire.ICEServer{{URLs: []string{url}}}
		v := watch(t, s.room, w)
		first := v.seen(1)[0]
		if took := first.at.Sub(v.asked); took > 3*time.Second {
			t.Errorf("%s: the first picture came after %v", name, took)
		}
		t.Logf("%s: first picture after %v", name, first.at.Sub(v.asked))
	}
}

func TestThroughARelay(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	relay, err := turn.NewServer(turn.ServerConfig{
		Realm: "holdfast", LoggerFactory: chatter{slog.New(slog.DiscardHandler)},
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			return a.Username, turn.GenerateAuthKey("viewer", "holdfast", "secret"), a.Username == "viewer"
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: conn, RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
			RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1",
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := relay.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := s.wish()
	w.relay = true
	w.ICE = []wire.ICEServer{{URLs: []string{"turn:" + conn.LocalAddr().String() + "?transport=udp"}, Username: "viewer", Credential: "secret"}}
	v := watch(t, s.room, w)
	assertWhole(t, v.seen(10))
	if strings.Contains(v.pc.LocalDescription().SDP, "typ host") {
		t.Error("the viewer was to be reached through the relay only")
	}
	v.close()
	eventually(t, "the session to end", func() bool { return len(s.room.Open()) == 0 })
}

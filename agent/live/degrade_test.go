package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/netcut"
	"holdfast/testenv/scenes"
)

const mbit = 1_000_000 / 8

// branch is a room whose viewers are all outside, with cameras that the test itself plays.
type branch struct {
	t      *testing.T
	room   *Room
	budget *pace.Pace
	cams   []id.Camera
	hubs   map[id.Stream]*media.Hub
	began  time.Time
	run    func(func(context.Context) error)
	asked  map[id.Stream]chan struct{} // for a key frame, where the camera sends one
}

func newBranch(t *testing.T, plan pace.Plan, tempo tempo, cameras int, main, sub *scenes.Loop) *branch {
	t.Helper()
	b := &branch{t: t, budget: pace.New(plan), hubs: map[id.Stream]*media.Hub{}, began: time.Now(), asked: map[id.Stream]chan struct{}{}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	b.run = func(run func(context.Context) error) {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	for i := range cameras {
		cam := id.New[id.Camera]()
		b.cams = append(b.cams, cam)
		for kind, loop := range map[id.StreamKind]*scenes.Loop{id.Main: main, id.Sub: sub} {
			if loop == nil {
				continue
			}
			hub := media.NewHub(id.Stream{Camera: cam, Kind: kind})
			b.hubs[hub.Stream()], b.asked[hub.Stream()] = hub, make(chan struct{}, 1)
			b.run(func(ctx context.Context) error { b.film(ctx, hub, loop, uint32(i)); return nil })
		}
	}
	var err error
	b.room, err = New(Config{Loopback: true}, Footage{
		Hub:      func(s id.Stream) *media.Hub { return b.hubs[s] },
		Recent:   func(id.Stream, uint64) ([]media.Frame, error) { return nil, errors.New("nothing on disk") },
		Segments: func(context.Context, id.Stream, int64, int64) ([]ledger.Segment, error) { return nil, nil },
		Open:     func(string, uint64) (File, int64, error) { return nil, 0, errors.New("nothing on disk") },
		Wall:     func(_, monoUs int64) int64 { return b.began.UnixMicro() + monoUs },
		Pin:      func(id.Stream, int64, int64, time.Duration) func() { return func() {} },
		Gap:      func(context.Context, id.Stream, int64) string { return "" },
		Rates: func() map[id.Stream]float64 { // as the cameras' room measures them
			out := map[id.Stream]float64{}
			for _, c := range b.cams {
				out[id.Stream{Camera: c, Kind: id.Main}] = costOf(main)
				if sub != nil {
					out[id.Stream{Camera: c, Kind: id.Sub}] = costOf(sub)
				}
			}
			return out
		},
	}, b.budget, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b.room.near = func(netip.Addr) bool { return false }
	b.room.tempo = tempo
	b.run(b.budget.Run)
	b.run(b.room.Run)
	eventually.True(t, "the port", func() bool { return taking(b.room) })
	for _, h := range b.hubs {
		eventually.True(t, "the first frame", func() bool { _, brk := h.State(); return brk == nil })
	}
	return b
}

// film plays a loop into a hub, again and again.
func (b *branch) film(ctx context.Context, hub *media.Hub, loop *scenes.Loop, number uint32) {
	tick := time.NewTicker(time.Second / time.Duration(loop.FPS))
	defer tick.Stop()
	params, kind := paramsOf(loop), 0
	if hub.Stream().Kind == id.Sub {
		kind = 1
	}
	asked := false
	for frame := uint64(1); ; {
		for i := range loop.Units {
			if asked && !loop.Units[i].Key {
				continue
			}
			asked = false
			stamp := fakecam.Stamp{Camera: number, Frame: frame, SentUs: time.Now().UnixMicro()}
			frame++
			if kind == 1 {
				stamp.Stream = 1
			}
			h265 := false
			units := append([][]byte{stamp.NAL(h265)}, loop.Units[i].NALUs...)
			size := 0
			for _, u := range units {
				size += len(u)
			}
			mono := time.Since(b.began).Microseconds()
			hub.Write(media.Frame{Params: params, MonoUs: mono, DTS: mono * 9 / 100, PTS: mono * 9 / 100, Key: loop.Units[i].Key, Units: units, Bytes: size})
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			select {
			case <-b.asked[hub.Stream()]:
				asked = true
			default:
			}
		}
	}
}

func (b *branch) watch(camera int) *viewer {
	b.t.Helper()
	return watch(b.t, b.room, wish{LiveOffer: wire.LiveOffer{Camera: b.cams[camera]}})
}

// allow sets the cap, bytes per second.
func (b *branch) allow(up int64) {
	week := pace.Flat(pace.Cap{Up: up})
	b.budget.Wish(&week)
}

func loops(t *testing.T, names ...string) (out []*scenes.Loop) {
	t.Helper()
	for _, n := range names {
		l, err := scenes.Load(n)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// cost is what a stream of the branch costs, bytes per second, as frames go.
func costOf(l *scenes.Loop) float64 {
	n := 0
	for _, u := range l.Units {
		for _, b := range u.NALUs {
			n += len(b)
		}
	}
	return float64(n) / (float64(l.Ticks) / scenes.Timescale)
}

// TestALineTooNarrow has one viewer whose line gets narrower and wider again.
func TestALineTooNarrow(t *testing.T) {
	t.Parallel()
	l := loops(t, "shop/main", "shop/sub")
	main, sub := costOf(l[0]), costOf(l[1])
	b := newBranch(t, pace.Plan{}, tempo{downEvery: time.Second, upAfter: 4 * time.Second}, 1, l[0], l[1])
	v := b.watch(0)
	assertWhole(t, v.seen(60))
	if n := v.seen(60); n[len(n)-1].Stream != 0 {
		t.Fatal("with room for all it begins with the sub-stream")
	}
	b.allow(int64(main))
	said := func(text string) {
		t.Helper()
		v.note("note", func(n rtc.Note) bool {
			return strings.Contains(n.Text, text) && (text == "") == (n.Text == "") && n.Every == 0
		})
	}
	said("small stream")
	v.until("the small stream", func() bool { return v.pictures[len(v.pictures)-1].Stream == 1 })
	v.until("5 s of the small stream", func() bool { return len(v.pictures) > 0 && smallFor(v.pictures) > 5*time.Second })
	assertSeam(t, v.seen(1), false)

	b.allow(int64(0.75 * sub))
	v.note("note", func(n rtc.Note) bool {
		return strings.Contains(n.Text, "single pictures") && n.Every >= keysEvery.Microseconds()
	})
	have := len(v.seen(1))
	for _, p := range v.seen(have + 2)[have+1:] {
		if !p.key {
			t.Errorf("frame %d is no key frame", p.Frame)
		}
	}
	b.allow(0)
	b.budget.Wish(nil)
	said("small stream")
	said("")
	v.until("the whole stream", func() bool { return v.pictures[len(v.pictures)-1].Stream == 0 })
	v.next(20)
	assertSeam(t, v.seen(1), true)
	if v.state.String() != "connected" {
		t.Errorf("the session is %v", v.state)
	}
}

// smallFor is for how long the last pictures have been of the small stream.
func smallFor(all []picture) time.Duration {
	i := len(all) - 1
	for i > 0 && all[i-1].Stream == 1 {
		i--
	}
	return all[len(all)-1].at.Sub(all[i].at)
}

// assertSeam checks that each stream begins with a key frame, and that RTP time always grows; sparse allows for frames
// that were left out.
func assertSeam(t *testing.T, all []picture, sparse bool) {
	t.Helper()
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		switch {
		case int32(b.rtp-a.rtp) <= 0:
			t.Errorf("RTP time goes from %d to %d", a.rtp, b.rtp)
		case a.Stream != b.Stream && !b.key:
			t.Errorf("stream %d begins with frame %d, which is no key frame", b.Stream, b.Frame)
		case a.Stream == b.Stream && b.Frame != a.Frame+1 && (!sparse || !b.key):
			t.Errorf("frame %d of stream %d follows frame %d", b.Frame, b.Stream, a.Frame)
		}
	}
}

// line is a line to the branch, so long each way, and the wish of a viewer at its end.
func (b *branch) line(oneWay time.Duration) (*netcut.UDP, wish) {
	b.t.Helper()
	agent := b.room.port.Number()
	way, err := netcut.NewUDP("127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", agent))
	if err != nil {
		b.t.Fatal(err)
	}
	b.run(way.Run)
	way.Delay(oneWay)
	return way, wish{
		change: func(sdp string) string { return regexp.MustCompile("a=candidate:[^\r]*\r\n").ReplaceAllString(sdp, "") },
		back: func(sdp string) string {
			_, port, _ := net.SplitHostPort(way.Addr())
			return strings.ReplaceAll(sdp, fmt.Sprintf(" 127.0.0.1 %d ", agent), " 127.0.0.1 "+port+" ")
		},
	}
}

// TestAViewersOwnLine has a budget without bounds and a viewer whose own line is too narrow: its reports say so.
func TestAViewersOwnLine(t *testing.T) {
	t.Parallel()
	l := loops(t, "shop/main", "shop/sub")
	b := newBranch(t, pace.Plan{}, tempo{downEvery: time.Second, upAfter: time.Minute}, 1, l[0], l[1])
	way, w := b.line(30 * time.Millisecond)
	w.Camera = b.cams[0]
	v := watch(t, b.room, w)
	v.seen(30)
	rtt := func() (d time.Duration) {
		for _, s := range b.room.viewers() {
			s.view.change(func() { d = s.view.line.Shortest() })
		}
		return d
	}
	eventually.True(t, "a round trip of about 60 ms", func() bool { return rtt() > 55*time.Millisecond && rtt() < 200*time.Millisecond })
	v.mu.Lock()
	if len(v.notes) > 0 && v.notes[0].Type == "note" {
		t.Errorf("without loss the viewer is told %+v", v.notes)
	}
	v.mu.Unlock()
	way.Cap(int64(0.6 * costOf(l[0])))
	v.note("note", func(n rtc.Note) bool { return strings.Contains(n.Text, "small stream") })
	way.Cap(0)
	// What was told to one viewer of its own line is nobody else's.
	b.watch(0).seen(1)
	if s := b.room.viewers()[1]; s.view.now() != whole {
		t.Errorf("another viewer is on step %v", s.view.now())
	}
}

// TestTheSubStreamIsOfNoUse has a sub-stream in another codec, and one camera without any.
func TestTheSubStreamIsOfNoUse(t *testing.T) {
	t.Parallel()
	l := loops(t, "carpark-night/sub", "carpark-night/main") // H.264, and H.265 for its "small" one
	for name, sub := range map[string]*scenes.Loop{"H.265": l[1], "none": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBranch(t, pace.Plan{}, tempo{downEvery: time.Second, upAfter: time.Minute}, 1, l[0], sub)
			v := b.watch(0)
			v.seen(10)
			eventually.True(t, "the cost", func() bool { _, known := b.room.costs.of(id.Stream{Camera: b.cams[0], Kind: id.Main}); return known })
			b.allow(int64(costOf(l[0])))
			v.note("note", func(n rtc.Note) bool { return strings.Contains(n.Text, "single pictures") })
			for _, p := range v.next(2)[1:] {
				if !p.key || p.Stream != 0 {
					t.Errorf("picture %+v", p)
				}
			}
		})
	}
}

// testNarrowPlayback plays a recording, of whose camera no sub-stream is kept, over a line too narrow for it.
func testNarrowPlayback(t *testing.T, s *site) {
	from := s.recorded(t, "dock", 8*time.Second)
	budget := pace.New(pace.Plan{Week: pace.Flat(pace.Cap{Up: 60_000})})
	room, err := New(Config{Loopback: true}, s.footage(), budget, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	room.near = func(netip.Addr) bool { return false }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- room.Run(ctx) }()
	eventually.True(t, "the port", func() bool { return taking(room) })
	w := s.offer("dock")
	w.FromUs = from
	v := watch(t, room, w)
	v.note("note", func(n rtc.Note) bool { return n.Text != "" })
	all := v.seen(1)
	for _, p := range v.seen(len(all) + 2) {
		if !p.key || p.Stream != 0 {
			t.Errorf("on a step of single pictures came frame %d of stream %d", p.Frame, p.Stream)
		}
	}
	v.mu.Lock()
	for _, n := range v.notes {
		if n.Type == "gap" || n.Type == "end" {
			t.Errorf("note %+v", n)
		}
	}
	v.mu.Unlock()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestStillsAreTheLeast has a line that carries next to nothing.
func TestStillsAreTheLeast(t *testing.T) {
	t.Parallel()
	l := loops(t, "shop/main", "shop/sub")
	b := newBranch(t, pace.Plan{Week: pace.Flat(pace.Cap{Up: 64_000 / 8})}, calm(), 1, l[0], l[1])
	v := b.watch(0) // it begins where it would end
	n := v.note("note", nil)
	if !strings.Contains(n.Text, "every ten seconds") {
		t.Errorf("note %+v", n)
	}
	p := v.seen(2)
	if !p[0].key || !p[1].key {
		t.Errorf("pictures %+v", p)
	}
	if d := time.Duration(p[1].SentUs-p[0].SentUs) * time.Microsecond; d < 9*time.Second || d > 13*time.Second || d.Microseconds() > n.Every {
		t.Errorf("between two pictures are %v, and the viewer is told of %d us at most", d, n.Every)
	}
}

// TestWhoIsInsideIsNotCharged compares viewers inside and outside, and has a packet sent again.
func TestWhoIsInsideIsNotCharged(t *testing.T) {
	t.Parallel()
	l := loops(t, "carpark/sub")
	b := newBranch(t, pace.Plan{}, calm(), 1, l[0], nil)
	taken := func() int64 { return b.budget.State().Classes[pace.Live].Taken }
	b.room.near = onLink
	v := b.watch(0)
	v.seen(30)
	if n := taken(); n != 0 {
		t.Errorf("a viewer on the site's own network was charged %d bytes", n)
	}
	b.room.Close(v.session)
	v.ended()
	b.room.near = func(netip.Addr) bool { return false }
	v = b.watch(0)
	v.seen(60)
	b.room.Close(v.session)
	v.ended()
	v.mu.Lock()
	got := float64(v.bytes)
	v.mu.Unlock()
	if n := float64(taken()); n < got || n > 1.10*got {
		t.Errorf("for %.0f bytes of RTP %.0f were charged", got, n)
	}
	v = b.watch(0)
	v.seen(30)
	before := taken()
	var again []rtcp.NackPair
	for seq := range uint16(3) {
		again = append(again, rtcp.NackPair{PacketID: seq * 17, LostPackets: 0xffff})
	}
	v.until("packets sent again", func() bool {
		nack := &rtcp.TransportLayerNack{MediaSSRC: uint32(v.ssrc), Nacks: again}
		for seq := range uint32(1 << 12) {
			nack.Nacks = append(nack.Nacks, rtcp.NackPair{PacketID: uint16(seq << 4), LostPackets: 0xffff})
			if len(nack.Nacks) == 200 {
				if err := v.pc.WriteRTCP([]rtcp.Packet{nack}); err != nil {
					t.Error(err)
				}
				nack.Nacks = nil
			}
		}
		return float64(taken()-before) > 2*got/2
	})
}

// TestTwentyViewers has twenty people look at four cameras through a cap of 20 Mbit/s, while facts and a clip wait.
func TestTwentyViewers(t *testing.T) {
	heavy, err := scenes.Heavy(t.Context(), filepath.Join(os.TempDir(), "holdfast-loops"), 4000)
	if err != nil {
		t.Fatal(err)
	}
	const cap20 = 20 * mbit
	b := newBranch(t, pace.Plan{Week: pace.Flat(pace.Cap{Up: cap20})}, calm(), 4, heavy, loops(t, "carpark/sub")[0])
	way := b.upload()
	var viewers []*viewer
	for i := range 20 {
		viewers = append(viewers, b.watch(i%4))
	}
	got := func() (live, bulk int64) {
		for _, v := range viewers {
			v.mu.Lock()
			live += int64(v.bytes)
			v.mu.Unlock()
		}
		return live, way.Stats().Up
	}
	for _, v := range viewers {
		v.seen(1)
	}
	viewers[0].until("the burst to be over", func() bool { return time.Since(viewers[0].asked) > 15*time.Second })
	const seconds = 18
	live0, bulk0 := got()
	begun := time.Now()
	viewers[0].until("the measurement", func() bool { return time.Since(begun) > seconds*time.Second })
	live1, bulk1 := got()
	took := time.Since(begun).Seconds()
	live, bulk := float64(live1-live0)/took, float64(bulk1-bulk0)/took
	wholes := 0
	for _, v := range viewers {
		v.mu.Lock()
		last := v.pictures[len(v.pictures)-1]
		if last.Stream == 0 {
			wholes++
		}
		if age := time.Since(v.came); age > 14*time.Second {
			t.Errorf("to a viewer nothing was sent for %v", age)
		}
		v.mu.Unlock()
	}
	fmt.Printf("live_20_viewers_of_cap: %.1f %%\nbulk_beside_20_viewers: %.2f Mbit/s\nline_use_20_viewers: %.1f %%\nlive_20_viewers_whole: %d viewers\n",
		100*live/cap20, bulk/mbit, 100*(live+bulk)/cap20, wholes)
	t.Logf("%v", b.budget.State())
	// That little goes is no fault of the cap where the machine itself has no time to send.
	if sum := live + bulk; sum > 1.1*cap20 || sum < 0.5*cap20 {
		t.Errorf("through a cap of 20 Mbit/s go %.1f Mbit/s", sum/mbit)
	}
	if bulk < 0.5*mbit {
		t.Errorf("facts and a clip starve beside live view: %.2f Mbit/s", bulk/mbit)
	}
}

// upload keeps facts and a clip waiting for the line, on which it returns.
func (b *branch) upload() *netcut.Proxy {
	b.t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	way, err := netcut.New("127.0.0.1:0", srv.Listener.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.run(way.Run)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, way.Addr())
		if err != nil {
			return nil, err
		}
		return b.budget.Conn(pace.Urgent, c), nil
	}}
	b.t.Cleanup(func() { transport.CloseIdleConnections(); srv.Close() })
	for class, size := range map[pace.Class]int{pace.Urgent: 50_000, pace.Clips: 5 << 20, pace.Backlog: 250_000} {
		b.run(func(ctx context.Context) error {
			for ctx.Err() == nil {
				req, err := http.NewRequestWithContext(b.budget.Request(ctx, class), http.MethodPost, "http://cloud/", bytes.NewReader(make([]byte, size)))
				if err != nil {
					return err
				}
				if resp, err := transport.RoundTrip(req); err == nil {
					_ = resp.Body.Close()
				}
			}
			return nil
		})
	}
	return way
}

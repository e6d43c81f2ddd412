package relay

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/scenes"
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// site is the far side: an agent with cameras that send numbered pictures over real connections.
type site struct {
	t    *testing.T
	id   id.Agent
	port *rtc.Port

	mu     sync.Mutex
	peers  map[id.Session]*rtc.Peer
	shows  map[id.Session]func() // ends it
	views  []wire.LiveView
	offers int
	begged atomic.Int64  // for pictures
	lost   atomic.Uint32 // the second packet of this picture never arrives; 0: all do
	refuse *wire.Failure
	deaf   bool                                  // it does not learn where the relay is
	group  int                                   // frames
	fill   int                                   // bytes more of each packet of the main stream
	codec  string                                // by RFC 6381
	loop   *scenes.Loop                          // what its cameras show; nil: numbers
	words  func(wire.LiveView, *wire.LiveAnswer) // changes what it answers; nil: nothing is changed
}

func newSite(t *testing.T) *site {
	t.Helper()
	port, err := rtc.OpenPort(rtc.PortConfig{Loopback: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		t: t, id: id.New[id.Agent](), port: port, peers: map[id.Session]*rtc.Peer{}, shows: map[id.Session]func(){}, group: 50,
		codec: "avc1.42c01f",
	}
	t.Cleanup(func() {
		s.cut()
		if err := port.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// cut ends all its connections, as a line does that is gone for good.
func (s *site) cut() {
	s.mu.Lock()
	var shows []func()
	var peers []*rtc.Peer
	for _, end := range s.shows {
		shows = append(shows, end)
	}
	for _, p := range s.peers {
		peers = append(peers, p)
	}
	s.shows, s.peers = map[id.Session]func(){}, map[id.Session]*rtc.Peer{}
	s.mu.Unlock()
	for _, end := range shows {
		end()
	}
	for _, p := range peers {
		p.Close()
	}
}

// ask answers a command as an agent does.
func (s *site) ask(ctx context.Context, agent id.Agent, _ wire.CommandType, body, into any) error {
	var answer wire.LiveAnswer
	var err error
	switch b := body.(type) {
	case wire.LiveOffer:
		answer, err = s.offer(ctx, b)
	case wire.LiveView:
		answer, err = s.view(b)
	case wire.LiveClose:
		s.close(b.Session)
		return nil
	}
	if err != nil {
		return err
	}
	if agent != s.id {
		return errors.New("another site was asked")
	}
	*into.(*wire.LiveAnswer) = answer
	return nil
}

func (s *site) offer(ctx context.Context, o wire.LiveOffer) (answer wire.LiveAnswer, err error) {
	if o.Relay != wire.RelaySelf {
		return answer, fmt.Errorf("the relay says that it is %q", o.Relay)
	}
	s.mu.Lock()
	if s.deaf {
		o.SDP = regexp.MustCompile("a=candidate:[^\r]*\r\n").ReplaceAllString(o.SDP, "")
	}
	s.mu.Unlock()
	p, err := rtc.NewPeer(o.SDP, rtc.Setup{Port: s.port, Near: &hole{lost: &s.lost}, Film: true, Log: s.log()}, func(int, rtcp.ReceptionReport) {}, func() {})
	if err != nil {
		return answer, err
	}
	s.mu.Lock()
	s.peers[o.Session] = p
	s.offers++
	s.mu.Unlock()
	answer.SDP, err = p.Answer(ctx, o.SDP, o.Trickle)
	answer.Slots = len(p.Slots)
	return answer, err
}

func (s *site) view(v wire.LiveView) (answer wire.LiveAnswer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[v.Connection]
	switch {
	case s.refuse != nil:
		return answer, s.refuse
	case p == nil:
		return answer, wire.Fail(wire.FailedGone, "The connection to the site has ended: make a new one.")
	}
	s.views = append(s.views, v)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	s.shows[v.Session] = func() { cancel(); running.Wait() }
	answer = wire.LiveAnswer{Stream: id.Main, Codec: s.codec}
	if s.loop != nil {
		answer = s.promise(v.Film)
		running.Go(func() { s.project(ctx, p, p.Slots[v.Slot], v.Film) })
	} else {
		fill := s.fill
		if v.Stream == id.Sub {
			fill = 0
		}
		running.Go(func() { s.film(ctx, p, p.Slots[v.Slot], fill) })
	}
	if v.Stream == id.Sub || v.Width > 0 {
		answer.Stream = id.Sub
	}
	if s.words != nil {
		s.words(v, &answer)
	}
	return answer, nil
}

func (s *site) close(session id.Session) {
	s.mu.Lock()
	end, p := s.shows[session], s.peers[session]
	delete(s.shows, session)
	delete(s.peers, session)
	s.mu.Unlock()
	if end != nil {
		end()
	}
	if p != nil {
		p.Close()
	}
}

// film sends a picture every 20 ms; each has two packets, which say its number and whether it is a key frame, and are so many
// bytes longer than that.
func (s *site) film(ctx context.Context, p *rtc.Peer, slot *rtc.Slot, fill int) {
	select {
	case <-p.Connected():
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for frame := uint32(0); ; {
		select {
		case <-ctx.Done():
			return
		case o := <-slot.Control.Ops:
			s.t.Errorf("the relay says %+v", o)
			continue
		case <-slot.Lost:
			s.begged.Add(1)
			frame += uint32(s.group) - frame%uint32(s.group) // a key frame is next
			continue
		case <-tick.C:
		}
		s.mu.Lock()
		key := frame%uint32(s.group) == 0
		s.mu.Unlock()
		for n, head := range heads(key) {
			p := &rtp.Packet{Header: rtp.Header{Version: 2, Timestamp: frame * 1800, Marker: n == 1}, Payload: binary.BigEndian.AppendUint32([]byte{head, 0}, frame)}
			p.Payload = append(p.Payload, make([]byte, fill)...)
			_ = slot.Video.Write(mp4.H264, p) // lost, as on the way
		}
		frame++
	}
}

// heads are the NAL unit headers of a picture's packets.
func heads(key bool) []byte {
	if key {
		return []byte{0x67, 0x65} // SPS, IDR
	}
	return []byte{0x41, 0x41}
}

// say says something over the control channel of what is shown first.
func (s *site) say(n rtc.Note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		p.Slots[0].Control.Tell(n)
	}
}

func (s *site) asked() (offers, views int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offers, len(s.views)
}

// cloud is a relay with what a test needs to know of it.
type cloud struct {
	*Relay
	mu    sync.Mutex
	ended []id.Session
}

func newCloud(t *testing.T, s *site, cfg Config) *cloud {
	t.Helper()
	cfg.Loopback, cfg.Linger = true, 200*time.Millisecond
	c := &cloud{}
	var err error
	c.Relay, err = New(cfg, Deps{
		Ask: s.ask, ICE: func(id.Agent, id.Session) []wire.ICEServer { return nil },
		Ended: func(sid id.Session) { c.mu.Lock(); c.ended = append(c.ended, sid); c.mu.Unlock() },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	eventually.True(t, "the relay", func() bool { c.Relay.mu.Lock(); defer c.Relay.mu.Unlock(); return c.spawn != nil })
	return c
}

func (c *cloud) over(sid id.Session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.ended, sid)
}

// watcher is a browser's half.
type watcher struct {
	t       *testing.T
	session id.Session
	view    id.Session
	answer  wire.LiveAnswer
	pc      *webrtc.PeerConnection
	control *webrtc.DataChannel

	mu     sync.Mutex
	frames []frame
	notes  []rtc.Note
	ssrc   uint32
	state  webrtc.PeerConnectionState
}

// frame is a picture of which all packets have come.
type frame struct {
	number uint32
	key    bool
	rtp    uint32
	at     time.Time
}

func newWatcher(t *testing.T) *watcher {
	t.Helper()
	engine, reports := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := errors.Join(engine.RegisterDefaultCodecs(), webrtc.ConfigureNack(engine, reports), webrtc.ConfigureRTCPReports(reports), webrtc.ConfigureTWCCSender(engine, reports)); err != nil {
		t.Fatal(err)
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(reports)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{t: t, session: id.New[id.Session](), view: id.New[id.Session](), pc: pc}
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	if w.control, err = pc.CreateDataChannel("control", nil); err != nil {
		t.Fatal(err)
	}
	w.control.OnMessage(func(m webrtc.DataChannelMessage) {
		var n rtc.Note
		if err := json.Unmarshal(m.Data, &n); err != nil {
			t.Errorf("the relay says %q", m.Data)
		}
		w.change(func() { w.notes = append(w.notes, n) })
	})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) { w.change(func() { w.state = s }) })
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { w.read(track) })
	t.Cleanup(w.close)
	return w
}

func (w *watcher) close() {
	if err := w.pc.GracefulClose(); err != nil {
		w.t.Errorf("close viewer: %v", err)
	}
}

func (w *watcher) change(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

func (w *watcher) read(track *webrtc.TrackRemote) {
	w.change(func() { w.ssrc = uint32(track.SSRC()) })
	o := newOrder()
	var begun *rtp.Packet
	for {
		raw, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		due, _ := o.put(raw, time.Now())
		for _, p := range due {
			if len(p.Payload) < 6 {
				w.t.Errorf("a packet with %d bytes came", len(p.Payload))
				continue
			}
			if !p.Marker {
				begun = p
				continue
			}
			n := binary.BigEndian.Uint32(p.Payload[2:])
			if begun == nil || begun.Timestamp != p.Timestamp || binary.BigEndian.Uint32(begun.Payload[2:]) != n {
				w.t.Errorf("the second packet of picture %d, %v, came without the first one, %v; %d pictures before", n, p, begun, len(w.all()))
			}
			w.change(func() { w.frames = append(w.frames, frame{n, p.Payload[0] == 0x65, p.Timestamp, time.Now()}) })
		}
	}
}

// offer makes the viewer's offer.
func (w *watcher) offer() wire.LiveOffer {
	w.t.Helper()
	gathered := webrtc.GatheringCompletePromise(w.pc)
	offer, err := w.pc.CreateOffer(nil)
	if err == nil {
		err = w.pc.SetLocalDescription(offer)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	<-gathered
	return wire.LiveOffer{Session: w.session, SDP: w.pc.LocalDescription().SDP}
}

// watch has a viewer watch a camera.
func watch(t *testing.T, c *cloud, s *site, camera id.Camera) *watcher {
	t.Helper()
	return connect(t, c, s, wire.LiveOffer{Camera: camera, Codecs: []string{"h264"}})
}

// connect makes a viewer's connection, and shows on it what an offer names, if it names something.
func connect(t *testing.T, c *cloud, s *site, o wire.LiveOffer) *watcher {
	t.Helper()
	same := func(sdp string) string { return sdp }
	return connectOver(t, c, s, o, same, same)
}

// connectOver is connect over a way of its own: there changes the offer and back the answer.
func connectOver(t *testing.T, c *cloud, s *site, o wire.LiveOffer, there, back func(sdp string) string) *watcher {
	t.Helper()
	w := newWatcher(t)
	o.Session, o.SDP, o.View = w.session, there(w.offer().SDP), w.view
	var err error
	if w.answer, err = c.Offer(t.Context(), s.id, o); err == nil {
		w.answer.SDP = back(w.answer.SDP)
		err = w.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: w.answer.SDP})
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// seen waits for n more pictures and returns those.
func (w *watcher) seen(n int) []frame {
	w.t.Helper()
	w.mu.Lock()
	have := len(w.frames)
	w.mu.Unlock()
	eventually.True(w.t, fmt.Sprintf("%d pictures", n), func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.frames) >= have+n })
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.frames[have:])
}

func (w *watcher) all() []frame {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.frames)
}

// note waits for a note.
func (w *watcher) note(typ string, ok func(rtc.Note) bool) (found rtc.Note) {
	w.t.Helper()
	eventually.True(w.t, "the note "+typ, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		i := slices.IndexFunc(w.notes, func(n rtc.Note) bool { return n.Type == typ && ok(n) })
		if i >= 0 {
			found = w.notes[i]
			w.notes = w.notes[i+1:]
		}
		return i >= 0
	})
	return found
}

// assertWhole checks that pictures begin with a key frame, that none is missing, and that their RTP time grows.
func assertWhole(t *testing.T, frames []frame) {
	t.Helper()
	if len(frames) == 0 || !frames[0].key {
		t.Fatalf("the first of %d pictures is no key frame", len(frames))
	}
	for i := 1; i < len(frames); i++ {
		a, b := frames[i-1], frames[i]
		if b.number != a.number+1 || int32(b.rtp-a.rtp) <= 0 {
			t.Errorf("picture %d at %d follows picture %d at %d", b.number, b.rtp, a.number, a.rtp)
		}
	}
}

func (s *site) log() *slog.Logger { return slog.New(slog.DiscardHandler) }

func pong(asked, told int64) rtc.Note { return rtc.Note{Type: "pong", AtUs: asked, SentUs: told} }

// hole swallows packets, as often as they are sent.
type hole struct {
	interceptor.NoOp
	lost *atomic.Uint32
}

// NewInterceptor implements interceptor.Factory.
func (h *hole) NewInterceptor(string) (interceptor.Interceptor, error) { return h, nil }

// BindLocalStream implements interceptor.Interceptor.
func (h *hole) BindLocalStream(_ *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(head *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if n := h.lost.Load(); n != 0 && head.Marker && len(payload) >= 6 && binary.BigEndian.Uint32(payload[2:]) == n {
			return len(payload), nil
		}
		return w.Write(head, payload, a)
	})
}

package live

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/fakecam"
)

// picture is one access unit as a viewer got it.
type picture struct {
	fakecam.Stamp
	key  bool
	rtp  uint32
	ssrc webrtc.SSRC
	at   time.Time
}

// viewer is a browser's half of a live session.
type viewer struct {
	t       *testing.T
	session id.Session
	answer  wire.LiveAnswer
	pc      *webrtc.PeerConnection
	control *webrtc.DataChannel
	asked   time.Time // when the offer was made
	bare    bool      // what comes has no stamps
	running sync.WaitGroup

	mu       sync.Mutex
	more     chan struct{} // closed and replaced when something came
	pictures []picture
	sound    []uint32 // RTP timestamps
	notes    []rtc.Note
	open     bool // the control channel
	state    webrtc.PeerConnectionState
	ssrc     webrtc.SSRC
	bytes    int       // of RTP packets, in whatever order
	came     time.Time // the last one
}

// wish is what a viewer asks for; change may alter its offer's SDP.
type wish struct {
	wire.LiveOffer
	change func(sdp string) string
	back   func(sdp string) string // alters the answer
	relay  bool                    // it can be reached through the TURN server only
	tcp    bool                    // its network lets TCP pass alone
	bare   bool                    // its pictures come without the camera's stamps
}

// watch opens a session that must come about.
func watch(t *testing.T, r *Room, w wish) *viewer {
	t.Helper()
	v, err := try(t, r, w)
	if err != nil {
		t.Fatalf("offer: %v", err)
	}
	return v
}

// try makes an offer and, when it is answered, connects.
func try(t *testing.T, r *Room, w wish) (*viewer, error) {
	t.Helper()
	var cfg webrtc.Configuration
	if w.relay {
		turn := w.ICE[0]
		cfg.ICETransportPolicy = webrtc.ICETransportPolicyRelay
		cfg.ICEServers = []webrtc.ICEServer{{URLs: turn.URLs, Username: turn.Username, Credential: turn.Credential}}
	}
	v := newViewer(t, cfg, w.tcp)
	v.bare = w.bare
	w.Session, w.SDP = v.session, v.offer()
	if w.change != nil {
		w.SDP = w.change(w.SDP)
	}
	if w.Codecs == nil {
		w.Codecs = []string{"h264", "h265"}
	}
	v.asked = time.Now()
	var err error
	if v.answer, err = r.Offer(t.Context(), w.LiveOffer); err != nil {
		return nil, err
	}
	t.Logf("offer to answer: %v", time.Since(v.asked).Round(100*time.Microsecond))
	if w.back != nil {
		v.answer.SDP = w.back(v.answer.SDP)
	}
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: v.answer.SDP}
	if err := v.pc.SetRemoteDescription(answer); err != nil {
		t.Fatalf("the answer can't be read: %v\n%s", err, v.answer.SDP)
	}
	return v, nil
}

func newViewer(t *testing.T, cfg webrtc.Configuration, tcp bool) *viewer {
	t.Helper()
	engine := &webrtc.MediaEngine{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	if tcp {
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	}
	settings.SetSRTPReplayProtectionWindow(1024) // as in browsers: else what is sent again after a burst is refused
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	reports := &interceptor.Registry{}
	if err := errors.Join(webrtc.ConfigureNack(engine, reports), webrtc.ConfigureRTCPReports(reports), webrtc.ConfigureTWCCSender(engine, reports)); err != nil {
		t.Fatal(err)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(reports))
	pc, err := api.NewPeerConnection(cfg)
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{t: t, session: id.New[id.Session](), pc: pc, more: make(chan struct{})}
	t.Cleanup(v.close)
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		recv := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		if _, err := pc.AddTransceiverFromKind(kind, recv); err != nil {
			t.Fatal(err)
		}
	}
	if v.control, err = pc.CreateDataChannel("control", nil); err != nil {
		t.Fatal(err)
	}
	v.control.OnOpen(func() { v.change(func() { v.open = true }) })
	v.control.OnMessage(func(m webrtc.DataChannelMessage) {
		var n rtc.Note
		if err := json.Unmarshal(m.Data, &n); err != nil {
			t.Errorf("the agent says %q", m.Data)
		}
		v.change(func() { v.notes = append(v.notes, n) })
	})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) { v.change(func() { v.state = s }) })
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		v.running.Go(func() { v.read(track) })
		v.running.Go(func() {
			for err := error(nil); err == nil; { // sender reports are seen only by one who reads
				_, _, err = receiver.ReadRTCP()
			}
		})
	})
	return v
}

// offer returns the viewer's offer with all its candidates.
func (v *viewer) offer() string {
	v.t.Helper()
	return v.described(nil)
}

// described makes an offer the viewer's own, and returns it with all candidates.
func (v *viewer) described(how *webrtc.OfferOptions) string {
	v.t.Helper()
	offer, err := v.pc.CreateOffer(how)
	if err != nil {
		v.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(v.pc)
	if err := v.pc.SetLocalDescription(offer); err != nil {
		v.t.Fatal(err)
	}
	<-gathered
	return v.pc.LocalDescription().SDP
}

func (v *viewer) close() {
	if err := v.pc.GracefulClose(); err != nil {
		v.t.Errorf("close viewer: %v", err)
	}
	v.running.Wait()
}

// change does something under the lock and tells those who wait.
func (v *viewer) change(do func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	do()
	close(v.more)
	v.more = make(chan struct{})
}

// read takes a track's packets apart until the session ends.
func (v *viewer) read(track *webrtc.TrackRemote) {
	v.change(func() {
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			v.ssrc = track.SSRC()
		}
	})
	decode := unpack(v.t, track.Codec().MimeType)
	h265 := track.Codec().MimeType == webrtc.MimeTypeH265
	inOrder := order{came: func(p *rtp.Packet) { v.change(func() { v.bytes, v.came = v.bytes+p.MarshalSize(), time.Now() }) }}
	for {
		p, err := inOrder.next(track)
		if err != nil {
			return
		}
		if track.Kind() == webrtc.RTPCodecTypeAudio {
			v.change(func() { v.sound = append(v.sound, p.Timestamp) })
			continue
		}
		units, err := decode(p)
		if err != nil {
			continue // more packets needed
		}
		pic := picture{rtp: p.Timestamp, ssrc: track.SSRC(), at: time.Now()}
		var ok bool
		if pic.Stamp, ok = fakecam.FindStamp(units, h265); !ok && !v.bare {
			v.t.Errorf("a picture without a stamp came: %d units", len(units))
			continue
		}
		pic.key = slices.ContainsFunc(units, func(u []byte) bool {
			return !h265 && u[0]&0x1f == 5 || h265 && u[0]>>1&0x3f >= 16 && u[0]>>1&0x3f <= 21
		})
		v.change(func() { v.pictures = append(v.pictures, pic) })
	}
}

// order brings packets that were lost and sent again back to their place, as every browser does.
type order struct {
	came  func(*rtp.Packet)
	early map[uint16]*rtp.Packet
	want  uint16
}

func (o *order) next(track *webrtc.TrackRemote) (*rtp.Packet, error) {
	for {
		if p := o.early[o.want]; p != nil {
			delete(o.early, o.want)
			o.want++
			return p, nil
		}
		p, _, err := track.ReadRTP()
		if err != nil {
			return nil, err
		}
		o.came(p)
		if o.early == nil {
			o.early, o.want = map[uint16]*rtp.Packet{}, p.SequenceNumber
		}
		o.early[p.SequenceNumber] = p
	}
}

func unpack(t *testing.T, mime string) func(*rtp.Packet) ([][]byte, error) {
	switch mime {
	case webrtc.MimeTypeH264:
		d := &rtph264.Decoder{PacketizationMode: 1}
		if err := d.Init(); err != nil {
			t.Error(err)
		}
		return d.Decode
	case webrtc.MimeTypeH265:
		d := &rtph265.Decoder{}
		if err := d.Init(); err != nil {
			t.Error(err)
		}
		return d.Decode
	default:
		return nil
	}
}

// until waits until ok is true; ok may look at everything that came.
func (v *viewer) until(what string, ok func() bool) {
	v.t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond) // for what is true only when nothing comes
	defer tick.Stop()
	for {
		v.mu.Lock()
		done, more := ok(), v.more
		v.mu.Unlock()
		if done {
			return
		}
		select {
		case <-more:
		case <-tick.C:
		case <-limit:
			v.mu.Lock()
			defer v.mu.Unlock()
			v.t.Fatalf("waited in vain for %s: %d pictures, %d sounds, notes %+v, state %v",
				what, len(v.pictures), len(v.sound), v.notes, v.state)
		}
	}
}

// seen waits for n pictures in all and returns what came.
func (v *viewer) seen(n int) []picture {
	v.t.Helper()
	v.until("pictures", func() bool { return len(v.pictures) >= n })
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.pictures)
}

// next waits for n more pictures and returns those.
func (v *viewer) next(n int) []picture {
	v.t.Helper()
	v.mu.Lock()
	have := len(v.pictures)
	v.mu.Unlock()
	return v.seen(have + n)[have:]
}

// note waits for a note of a type, after those that came before the last call for that type, and returns it.
func (v *viewer) note(typ string, ok func(rtc.Note) bool) rtc.Note {
	v.t.Helper()
	var found rtc.Note
	v.until("the note "+typ, func() bool {
		i := slices.IndexFunc(v.notes, func(n rtc.Note) bool { return n.Type == typ && (ok == nil || ok(n)) })
		if i >= 0 {
			found = v.notes[i]
			v.notes = v.notes[i+1:]
		}
		return i >= 0
	})
	return found
}

// order sends a word over the control channel.
func (v *viewer) order(o any) {
	v.t.Helper()
	v.until("the control channel", func() bool { return v.open })
	text, ok := o.(string)
	if !ok {
		b, err := json.Marshal(o)
		if err != nil {
			v.t.Fatal(err)
		}
		text = string(b)
	}
	if err := v.control.SendText(text); err != nil {
		v.t.Fatal(err)
	}
}

// forget drops the notes that came so far.
func (v *viewer) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.notes = nil
}

// begAgain asks for a key frame, as a browser does that has lost the picture.
func (v *viewer) begAgain() {
	v.t.Helper()
	if err := v.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(v.ssrc)}}); err != nil {
		v.t.Fatal(err)
	}
}

// ended waits until the agent has ended the session.
func (v *viewer) ended() {
	v.t.Helper()
	v.until("the end", func() bool { return v.state == webrtc.PeerConnectionStateClosed })
}

// assertWhole checks that no frame is missing between the first and the last, that the first is a key frame and
// that RTP time always grows.
func assertWhole(t *testing.T, pictures []picture) {
	t.Helper()
	if !pictures[0].key {
		t.Errorf("the first picture, number %d, is no key frame", pictures[0].Frame)
	}
	for i := 1; i < len(pictures); i++ {
		a, b := pictures[i-1], pictures[i]
		if b.Frame != a.Frame+1 {
			t.Errorf("frame %d follows frame %d", b.Frame, a.Frame)
		}
		if int32(b.rtp-a.rtp) <= 0 {
			t.Errorf("RTP time goes from %d to %d at frame %d", a.rtp, b.rtp, b.Frame)
		}
	}
}

// pace returns the pictures after the burst, and checks that their RTP time goes as fast as they were captured.
func assertPaced(t *testing.T, pictures []picture) []picture {
	t.Helper()
	from := len(pictures) - 1
	for from > 0 && pictures[from].rtp-pictures[from-1].rtp > 90*20 {
		from--
	}
	paced := pictures[from:]
	a, b := paced[0], paced[len(paced)-1]
	shown := time.Duration(b.rtp-a.rtp) * time.Second / 90_000
	captured := time.Duration(b.SentUs-a.SentUs) * time.Microsecond
	if d := shown - captured; d < -200*time.Millisecond || d > 200*time.Millisecond {
		t.Errorf("frames %d to %d were captured within %v and are shown within %v", a.Frame, b.Frame, captured, shown)
	}
	return paced
}

// failure checks that an offer is refused with a code and in words.
func assertFailure(t *testing.T, err error, code wire.FailureCode, words ...string) {
	t.Helper()
	var f *wire.Failure
	if !errors.As(err, &f) || f.Code != code {
		t.Fatalf("got %v, want a failure %q", err, code)
	}
	for _, w := range words {
		if !strings.Contains(f.Text, w) {
			t.Errorf("the failure says %q, want something with %q", f.Text, w)
		}
	}
}

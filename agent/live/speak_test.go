package live

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"holdfast/agent/live/talk"
	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// beep is the tone that people say in these tests, in Hz.
const beep = 1000

// person is a browser's half of a talk.
type person struct {
	t         *testing.T
	session   id.Session
	pc        *webrtc.PeerConnection
	track     *webrtc.TrackLocalStaticRTP
	connected chan struct{}
	gone      chan struct{} // closed when the far end has closed the connection
	said      int           // packets

	mu   sync.Mutex
	note rtc.Note // the last word
}

// approach wants to speak at a camera in a codec (webrtc.MimeTypePCMU), under a name.
func approach(t *testing.T, r *Room, camera id.Camera, mime, by string) (*person, error) {
	t.Helper()
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	engine := &webrtc.MediaEngine{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, session: id.New[id.Session](), pc: pc, connected: make(chan struct{}), gone: make(chan struct{})}
	t.Cleanup(p.leave)
	if p.track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 8000}, "voice", "person"); err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromTrack(p.track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	control, err := pc.CreateDataChannel(rtc.ControlLabel, nil)
	if err != nil {
		t.Fatal(err)
	}
	control.OnMessage(func(m webrtc.DataChannelMessage) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err := json.Unmarshal(m.Data, &p.note); err != nil {
			t.Errorf("the agent says %q", m.Data)
		}
	})
	var there, away sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			there.Do(func() { close(p.connected) })
		case webrtc.PeerConnectionStateClosed, webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateDisconnected:
			away.Do(func() { close(p.gone) })
		default:
		}
	})
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	answer, err := r.Talk(t.Context(), wire.TalkOffer{Session: p.session, Camera: camera, SDP: pc.LocalDescription().SDP, By: by})
	if err != nil {
		return p, err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP}); err != nil {
		t.Fatalf("the answer can't be read: %v\n%s", err, answer.SDP)
	}
	return p, nil
}

// speakUp is approach where it must come about.
func speakUp(t *testing.T, r *Room, camera id.Camera, mime, by string) *person {
	t.Helper()
	p, err := approach(t, r, camera, mime, by)
	if err != nil {
		t.Fatalf("speak: %v", err)
	}
	select {
	case <-p.connected:
	case <-time.After(20 * time.Second):
		t.Fatal("the person's connection does not come about")
	}
	return p
}

// say says the tone for so many packets of 20 ms, in bursts of so many, and returns when the first one left.
func (p *person) say(packets, burst int) (began time.Time) {
	p.t.Helper()
	tick := time.NewTicker(time.Duration(burst) * 20 * time.Millisecond)
	defer tick.Stop()
	began = time.Now()
	for end := p.said + packets; p.said < end; <-tick.C {
		for range min(burst, end-p.said) {
			payload := make([]byte, 160)
			for i := range payload {
				payload[i] = coded(p.track.Codec().MimeType, 12000*math.Sin(2*math.Pi*beep*float64(p.said*160+i)/8000))
			}
			pkt := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(p.said), Timestamp: uint32(p.said * 160)}, Payload: payload}
			if err := p.track.WriteRTP(pkt); err != nil {
				p.t.Errorf("say: %v", err)
				return began
			}
			p.said++
		}
	}
	return began
}

// coded codes a sample in G.711: the nearest of the 256 that there are.
func coded(mime string, v float64) byte {
	sign, x := byte(0x80), v
	if x < 0 {
		sign, x = 0, -x
	}
	if mime == webrtc.MimeTypePCMU {
		x = min(x, 32000) + 0x84
		e := max(int(math.Log2(x/0x80)), 0)
		return ^((sign ^ 0x80) | byte(e<<4) | byte(int(x)>>(e+3)&0x0f))
	}
	x = min(x, 32000)
	e := max(int(math.Log2(max(x, 1)/0x80)), 0)
	m := int(x) >> 4
	if e > 0 {
		m = int(x) >> (e + 3)
	}
	return (sign | byte(e<<4) | byte(m&0x0f)) ^ 0x55
}

func (p *person) last() rtc.Note {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.note
}

func (p *person) leave() {
	if err := p.pc.GracefulClose(); err != nil {
		p.t.Errorf("close person: %v", err)
	}
}

// TestSpeaking holds everything that needs cameras with loudspeakers: one site, whose cameras are recorded meanwhile.
func TestSpeaking(t *testing.T) {
	t.Parallel()
	s := newSite(t,
		fakecam.CameraConfig{Name: "door", Number: 1, Main: "dock/sub", Speaker: []string{"AAC", "PCMU"}},
		fakecam.CameraConfig{Name: "gate", Number: 2, Main: "dock/sub", Speaker: []string{"PCMA"}},
		fakecam.CameraConfig{Name: "till", Number: 3, Main: "dock/sub", Speaker: []string{"PCMU"}},
		fakecam.CameraConfig{Name: "busy", Number: 4, Main: "dock/sub", Speaker: []string{"PCMU"}},
		fakecam.CameraConfig{Name: "aac", Number: 5, Main: "dock/sub", Speaker: []string{"AAC"}},
		fakecam.CameraConfig{Name: "mute", Number: 6, Main: "dock/sub", Speaker: []string{}},
		fakecam.CameraConfig{Name: "silent", Number: 7, Main: "dock/sub"},
		fakecam.CameraConfig{Name: "only", Number: 8, Main: "dock/sub", Speaker: []string{"PCMU"}},
		fakecam.CameraConfig{Name: "limit", Number: 9, Main: "dock/sub", Speaker: []string{"PCMA"}},
	)
	s.turn(t, "only", func(k *fakecam.Knobs) { k.MaxSessions = 1 })
	for name, test := range map[string]func(*testing.T, *site){
		"the tone arrives": testToneArrives, "in A-law, through bursts": testToneInBursts, "one at a time": testOneAtATime,
		"recording goes on": testRecordingGoesOn, "words": testWhyNot, "limits": testLimits,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// heard waits until a camera's n-th speech is over and returns it.
func (s *site) heard(t *testing.T, name string, n int) fakecam.Speech {
	t.Helper()
	var got fakecam.Speech
	eventually.True(t, "the end of the speech at "+name, func() bool {
		all := s.cam(name).Heard()
		if len(all) >= n {
			got = all[n-1]
		}
		return len(all) >= n && !got.Ended.IsZero()
	})
	return got
}

// assertWholeSpeech checks that a tone of so many packets was heard, all of it, in one even stream.
func assertWholeSpeech(t *testing.T, got fakecam.Speech, codec string, packets int) {
	t.Helper()
	if got.Codec != codec || got.Lost != 0 {
		t.Errorf("heard %d packets of %s, %d lost; want %s and none lost", len(got.At), got.Codec, got.Lost, codec)
	}
	tones := got.Tones(beep)
	if want := packets / 5 * 3 / 4; len(tones) < want { // the machine may be busy
		t.Errorf("the tone was heard for %d tenths of a second, want %d", len(tones), want)
	}
	var longest time.Duration
	for i := 1; i < len(got.At); i++ {
		longest = max(longest, got.At[i].Sub(got.At[i-1]))
	}
	t.Logf("heard %d packets, the tone for %d ms, %d samples left out, longest pause between packets %v",
		len(got.At), len(tones)*100, got.Skipped, longest.Round(time.Millisecond))
	if tail := got.Sound[max(0, len(got.Sound)-400):]; fakecam.Tone(tail, beep) > 0.1 {
		t.Error("speech ends in the middle of a sound")
	}
}

func testToneArrives(t *testing.T, s *site) {
	s.recorded(t, "door", time.Second)
	before := time.Now()
	p := speakUp(t, s.room, s.ids["door"], webrtc.MimeTypePCMU, "Anna")
	t.Logf("talk_open: %v", time.Since(before).Round(time.Millisecond))
	if got := s.room.Open(); !slices.Contains(got, p.session) {
		t.Errorf("the talk is not among the open sessions %v", got)
	}
	began := p.say(100, 1)
	s.room.Close(p.session)
	got := s.heard(t, "door", 1)
	assertWholeSpeech(t, got, "PCMU", 100)
	if tones := got.Tones(beep); len(tones) > 0 {
		delay := tones[0].Sub(began) - 100*time.Millisecond // of the whole piece
		t.Logf("talk_delay: %v", delay.Round(time.Millisecond))
		if delay > time.Second { // measured below 100 ms; the machine may be busy
			t.Errorf("what is said is heard after %v", delay)
		}
	}
	eventually.True(t, "the camera to have the recording's session alone", func() bool { return s.cam("door").Sessions() == 1 })
	if tally := s.cam("door").Tally(); tally.Lost != 0 || tally.Teardowns != 1 {
		t.Errorf("the camera counts %+v, want one session that was torn down", tally)
	}
	eventually.True(t, "nothing to be left", func() bool { return !slices.Contains(s.room.Open(), p.session) })
}

func testToneInBursts(t *testing.T, s *site) {
	p := speakUp(t, s.room, s.ids["gate"], webrtc.MimeTypePCMA, "Ben")
	p.say(100, 3)
	s.room.Close(p.session)
	assertWholeSpeech(t, s.heard(t, "gate", 1), "PCMA", 100)
}

func testOneAtATime(t *testing.T, s *site) {
	camera := s.ids["till"]
	if got := s.room.AskTalk(t.Context(), wire.TalkAsk{Camera: camera}); got != (wire.TalkState{Codec: "pcmu"}) {
		t.Errorf("before anybody speaks: %+v", got)
	}
	anna := speakUp(t, s.room, camera, webrtc.MimeTypePCMU, "Anna")
	if got := s.room.AskTalk(t.Context(), wire.TalkAsk{Camera: camera}); got.By != "Anna" || got.ForUs <= 0 || got.Text != "" {
		t.Errorf("while Anna speaks: %+v", got)
	}
	_, err := approach(t, s.room, camera, webrtc.MimeTypePCMU, "Ben")
	assertFailure(t, err, wire.FailedTaken, "Anna is speaking.")
	s.room.Close(anna.session)
	ben := speakUp(t, s.room, camera, webrtc.MimeTypePCMU, "Ben") // while the last one is still being tidied up after
	ben.leave()                                                   // as a page that is closed
	eventually.True(t, "nobody to speak", func() bool { return s.room.AskTalk(t.Context(), wire.TalkAsk{Camera: camera}).By == "" })
	if d := s.cam("till").Tally().Describes; d > 4 {
		t.Errorf("the camera was asked %d times: once for the recording, once for its loudspeaker, and for each talk", d)
	}
}

// testRecordingGoesOn speaks twenty times and misses no frame meanwhile.
func testRecordingGoesOn(t *testing.T, s *site) {
	from := s.recorded(t, "busy", time.Second)
	v := watch(t, s.room, s.offer("busy"))
	v.seen(1)
	for range 20 {
		p := speakUp(t, s.room, s.ids["busy"], webrtc.MimeTypePCMU, "Anna")
		p.say(5, 1)
		s.room.Close(p.session)
		p.leave()
	}
	s.heard(t, "busy", 20)
	v.next(10)
	stream := id.Stream{Camera: s.ids["busy"], Kind: id.Main}
	ranges, err := s.ledger.Coverage(t.Context(), stream, from, time.Now().UnixMicro())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ranges {
		if r.Gap != nil {
			t.Errorf("the recording has a gap: %s, %s", r.Gap.Reason, r.Gap.Detail)
		}
	}
	got := v.seen(1)
	for i := 1; i < len(got); i++ {
		if got[i].Frame != got[i-1].Frame+1 {
			t.Errorf("frame %d follows frame %d", got[i].Frame, got[i-1].Frame)
		}
	}
	if tally := s.cam("busy").Tally(); tally.Lost != 0 || tally.Teardowns != 20 || s.cam("busy").Sessions() != 1 {
		t.Errorf("the camera counts %+v and has %d sessions, want 20 that were torn down and the recording's", tally, s.cam("busy").Sessions())
	}
	t.Logf("talk_frames_lost: 0 of %d, over 20 talks", len(got))
}

// testWhyNot: whoever can't speak is told why.
func testWhyNot(t *testing.T, s *site) {
	for camera, words := range map[string]string{
		"aac": "loudspeaker wants AAC, which browsers don't send", "mute": "no loudspeaker", "silent": "talk: true",
	} {
		_, err := approach(t, s.room, s.ids[camera], webrtc.MimeTypePCMU, "Anna")
		assertFailure(t, err, wire.FailedRefused, words)
		if got := s.room.AskTalk(t.Context(), wire.TalkAsk{Camera: s.ids[camera]}); got.Codec != "" || got.By != "" || got.Text != err.Error() {
			t.Errorf("%s: %+v, want %q", camera, got, err)
		}
	}
	s.recorded(t, "only", time.Second)
	_, err := approach(t, s.room, s.ids["only"], webrtc.MimeTypePCMU, "Anna")
	assertFailure(t, err, wire.FailedRefused, "takes no further session (453)")
	if n := s.cam("only").Tally().Lost + s.cam("only").Tally().Teardowns; n != 0 {
		t.Errorf("%d sessions of the recording ended", n)
	}
	for name, sdp := range map[string]string{"pictures": "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "nothing": "", "two": "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"} {
		offer := wire.TalkOffer{Session: id.New[id.Session](), Camera: s.ids["till"], SDP: "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" + sdp, By: "Eve"}
		if _, err := s.room.Talk(t.Context(), offer); !errors.As(err, new(*wire.Failure)) {
			t.Errorf("an offer of %s gets %v", name, err)
		}
	}
}

// testLimits: nobody keeps a loudspeaker who says nothing more, or does not stop.
func testLimits(t *testing.T, s *site) {
	for name, c := range map[string]struct {
		cfg    talk.Config
		speaks bool
		words  string
	}{
		"longest": {talk.Config{Longest: time.Second}, true, "You have spoken for a second"},
		"quiet":   {talk.Config{Quiet: 500 * time.Millisecond}, false, "Nothing came from your microphone"},
	} {
		room, err := New(Config{Loopback: true, Talk: c.cfg}, s.footage(), pace.New(pace.Plan{}), nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		stop := runRoom(t, room)
		p := speakUp(t, room, s.ids["limit"], webrtc.MimeTypePCMA, "Anna")
		for began := time.Now(); c.speaks && len(room.Open()) > 0 && time.Since(began) < 10*time.Second; {
			p.say(5, 1)
		}
		eventually.True(t, name+": the end", func() bool { return len(room.Open()) == 0 })
		eventually.True(t, name+": the last word", func() bool { return p.last().Type == "end" })
		if got := p.last(); !strings.Contains(got.Text, c.words) {
			t.Errorf("%s: the last word is %+v, want %q", name, got, c.words)
		}
		stop()
	}
}

// runRoom runs a room until stop is called.
func runRoom(t *testing.T, room *Room) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- room.Run(ctx) }()
	eventually.True(t, "the port", func() bool { return taking(room) })
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

package live

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// filming is the cloud's relay as far as the agent sees it: its connection has room for what browsers do not take.
type filming struct {
	mu     sync.Mutex
	sound  [][]byte // configurations that came with AAC
	later  int      // pictures that are shown later than they come
	frames int
}

func newFilming(t *testing.T, s *site) (*filming, id.Session) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	port, err := rtc.OpenPort(rtc.PortConfig{Loopback: true}, log)
	if err != nil {
		t.Fatal(err)
	}
	api, err := rtc.Setup{Port: port, Receives: true, Film: true, Log: log}.API()
	if err != nil {
		t.Fatal(err)
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	f := &filming{}
	var reading sync.WaitGroup
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
		reading.Wait()
		if err := port.Close(); err != nil {
			t.Error(err)
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		reading.Go(func() { f.read(track, rtc.Marks(r)) })
	})
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pc.CreateDataChannel(rtc.ControlLabel, nil); err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	offer, err := pc.CreateOffer(nil)
	if err == nil {
		err = pc.SetLocalDescription(offer)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-gathered
	session := id.New[id.Session]()
	answer, err := s.room.Offer(t.Context(), wire.LiveOffer{Session: session, SDP: pc.LocalDescription().SDP, Codecs: []string{}, Relay: wire.RelaySelf})
	if err == nil {
		err = pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.room.Close(session) })
	return f, session
}

func (f *filming) read(track *webrtc.TrackRemote, marks map[string]uint8) {
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		f.mu.Lock()
		if codec, _ := rtc.CodecOf(track.Codec().MimeType); codec == mp4.AAC && len(p.Payload) > 0 {
			f.sound = append(f.sound, p.GetExtension(marks[rtc.Sound]))
		} else if p.Marker {
			f.frames++
			if len(p.GetExtension(marks[rtc.Later])) == 3 {
				f.later++
			}
		}
		f.mu.Unlock()
	}
}

// testFilm has the relay take what it makes MP4 of: AAC with its configuration, and pictures in another order than they are
// shown in.
func testFilm(t *testing.T, s *site) {
	s.recorded(t, "checkout", 3*time.Second) // that there are B-frames shows itself in the first group
	for name, c := range map[string]struct {
		reordered bool
		sound     bool
	}{"shop": {false, true}, "checkout": {true, false}} {
		f, connection := newFilming(t, s)
		view := wire.LiveView{
			Session: id.New[id.Session](), Connection: connection, Camera: s.ids[name], Stream: id.Main, Codecs: []string{"h264", "h265"}, Film: true,
		}
		answer, err := s.room.View(t.Context(), view)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Stream != id.Main || answer.Reordered != c.reordered || answer.Unseen != "" || answer.Unheard != "" || (len(answer.Sound) > 0) != c.sound {
			t.Errorf("%s: the answer is %+v", name, answer)
		}
		eventually.True(t, "the film of "+name, func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.frames > 20 && (f.later > 5 || !c.reordered) && (len(f.sound) > 5 || !c.sound)
		})
		f.mu.Lock()
		for _, config := range f.sound {
			if !bytes.Equal(config, answer.Sound) {
				t.Errorf("%s: sound comes with the configuration %x, want %x", name, config, answer.Sound)
			}
		}
		if !c.reordered && f.later > 0 {
			t.Errorf("%s: %d of %d pictures are shown later than they come", name, f.later, f.frames)
		}
		f.mu.Unlock()
	}
}

package look

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"holdfast/testenv/scenes"
)

// endpoint is a bare WHEP server with one camera, as another program would be: it sends from a key frame on as soon as it is
// connected.
type endpoint struct {
	loop  *scenes.Loop
	blind bool // it connects and sends nothing

	mu    sync.Mutex
	peers []*webrtc.PeerConnection
	ended int
	wg    sync.WaitGroup
}

func serve(t *testing.T, e *endpoint) string {
	t.Helper()
	var err error
	if e.loop, err = scenes.Load("carpark/sub"); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /camera/whep", e.answer)
	mux.HandleFunc("DELETE /camera/whep/{session}", func(http.ResponseWriter, *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.ended++
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.Close()
		e.mu.Lock()
		for _, p := range e.peers {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		e.mu.Unlock()
		e.wg.Wait()
	})
	return s.URL + "/camera/whep"
}

func (e *endpoint) answer(w http.ResponseWriter, r *http.Request) {
	offer, err := io.ReadAll(r.Body)
	if err == nil {
		var answer string
		if answer, err = e.connect(string(offer)); err == nil {
			w.Header().Set("Content-Type", "application/sdp")
			w.Header().Set("Location", "/camera/whep/1")
			w.WriteHeader(http.StatusCreated)
			_, err = io.WriteString(w, answer)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (e *endpoint) connect(offer string) (string, error) {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	e.mu.Lock()
	e.peers = append(e.peers, pc)
	e.mu.Unlock()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video", "camera")
	if err != nil {
		return "", err
	}
	if _, err := pc.AddTrack(track); err != nil {
		return "", err
	}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected && !e.blind {
			e.wg.Go(func() { e.send(pc, track) })
		}
	})
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

// send sends the loop until the viewer has gone.
func (e *endpoint) send(pc *webrtc.PeerConnection, track *webrtc.TrackLocalStaticSample) {
	each := time.Second / time.Duration(e.loop.FPS)
	tick := time.NewTicker(each)
	defer tick.Stop()
	for i := 0; pc.ConnectionState() == webrtc.PeerConnectionStateConnected; i++ {
		u := e.loop.Units[i%len(e.loop.Units)]
		units := u.NALUs
		if u.Key {
			units = append([][]byte{e.loop.Video.SPS, e.loop.Video.PPS}, units...)
		}
		var annexB []byte
		for _, n := range units {
			annexB = append(binary.BigEndian.AppendUint32(annexB, 1), n...)
		}
		if err := track.WriteSample(media.Sample{Data: annexB, Duration: each}); err != nil {
			return // the viewer has gone
		}
		<-tick.C
	}
}

func lookAt(t *testing.T, url string, tries int, limit time.Duration) (Tries, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	return Run(ctx, Order{Parts: []string{Other}, Tries: tries, LimitMS: int(limit.Milliseconds()), Peer: &Peer{URL: url, GOP: 1}})
}

// TestAnotherServerIsMeasured measures a WHEP endpoint in a real Chromium.
func TestAnotherServerIsMeasured(t *testing.T) {
	const tries = 3
	e := &endpoint{}
	all, err := lookAt(t, serve(t, e), tries, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != tries {
		t.Fatalf("%d tries, want %d: %v", len(all), tries, all)
	}
	order := []string{Asked, Answer, Packet, Whole, Painted}
	for _, one := range all {
		before, was := 0.0, "the press"
		for _, moment := range order {
			ms, ok := one.MS[moment]
			if !ok || ms < before {
				t.Errorf("%s is at %v ms, want it after %s at %v: %v", moment, ms, was, before, one.MS)
			}
			before, was = ms, moment
		}
		for _, moment := range []string{Joined, Decoded} {
			if ms, ok := one.MS[moment]; !ok || ms < one.MS[Asked] || ms > one.MS[Painted] {
				t.Errorf("%s is at %v ms, want it between the request and the picture: %v", moment, ms, one.MS)
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.peers) != tries || e.ended < tries-1 {
		t.Errorf("%d connections were made and %d ended, want %d and all but perhaps the last", len(e.peers), e.ended, tries)
	}
}

// TestWithoutAPictureThereIsNoFigure checks that what goes wrong is said, and where.
func TestWithoutAPictureThereIsNoFigure(t *testing.T) {
	url := serve(t, &endpoint{blind: true})
	for _, c := range []struct{ url, want string }{
		{url, "no picture within 3 s"},
		{url + "/nowhere", fmt.Sprintf("%s/nowhere answers 405", url)}, // it knows of no POST there
	} {
		all, err := lookAt(t, c.url, 1, 3*time.Second)
		if err == nil {
			t.Errorf("%s gives %v", c.url, all)
			continue
		}
		for _, want := range []string{"try 1 of 1, the other server", c.want} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s gives %q, which does not say %q", c.url, err, want)
			}
		}
	}
}

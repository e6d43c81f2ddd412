package look

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"holdfast/testenv/scenes"
)

// Floor is the least that a picture in a browser takes: one camera at a WHEP endpoint of the WebRTC library alone, on this
// machine, which sends from a key frame on as soon as there is a connection. Nothing can be sooner.
type Floor struct {
	blind bool // it connects and sends nothing

	loop   *scenes.Loop
	listen net.Listener
	wg     sync.WaitGroup

	mu    sync.Mutex
	peers []*webrtc.PeerConnection
	ended int
}

// NewFloor takes a port for a camera that shows a scene, as testenv/scenes names it; Run must follow.
func NewFloor(ctx context.Context, scene string) (*Floor, error) {
	loop, err := scenes.Load(scene)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &Floor{loop: loop, listen: l}, nil
}

// URL is the endpoint.
func (f *Floor) URL() string { return "http://" + f.listen.Addr().String() + "/camera/whep" }

// Run serves until ctx ends; all connections have ended then.
func (f *Floor) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /camera/whep", f.answer)
	mux.HandleFunc("DELETE /camera/whep/{session}", func(http.ResponseWriter, *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ended++
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	err := s.Serve(f.listen)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	f.mu.Lock()
	for _, p := range f.peers {
		err = errors.Join(err, p.Close())
	}
	f.mu.Unlock()
	f.wg.Wait()
	return err
}

func (f *Floor) answer(w http.ResponseWriter, r *http.Request) {
	offer, err := io.ReadAll(r.Body)
	if err == nil {
		var answer string
		if answer, err = f.connect(string(offer)); err == nil {
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

func (f *Floor) connect(offer string) (string, error) {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	f.peers = append(f.peers, pc)
	f.mu.Unlock()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video", "camera")
	if err != nil {
		return "", err
	}
	if _, err := pc.AddTrack(track); err != nil {
		return "", err
	}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected && !f.blind {
			f.wg.Go(func() { f.send(pc, track) })
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
func (f *Floor) send(pc *webrtc.PeerConnection, track *webrtc.TrackLocalStaticSample) {
	each := time.Second / time.Duration(f.loop.FPS)
	tick := time.NewTicker(each)
	defer tick.Stop()
	for i := 0; pc.ConnectionState() == webrtc.PeerConnectionStateConnected; i++ {
		u := f.loop.Units[i%len(f.loop.Units)]
		units := u.NALUs
		if u.Key {
			units = append([][]byte{f.loop.Video.SPS, f.loop.Video.PPS}, units...)
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

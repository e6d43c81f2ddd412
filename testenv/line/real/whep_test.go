package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"holdfast/shared/rtc"
	"holdfast/testenv/house"
)

// TestPlayersWatchWithAToken has a program that knows nothing of Holdfast watch a camera by WHEP, with nothing but an address
// and a token, until the token is revoked.
func TestPlayersWatchWithAToken(t *testing.T) {
	turn, err := house.FreeAddr(t.Context())
	relay, err2 := house.FreeAddr(t.Context())
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(relay, ":")
	b := open(t, house.Setup{Cloud: []string{"--turn", turn, "--turn-address", "127.0.0.1", "--relay", port}, Branches: []house.BranchPlan{{
		Name: "Players", Cameras: []house.CameraPlan{{Key: "dock", Name: "Dock", Place: "dock", Sub: true}, {Key: "till", Name: "Till", Place: "checkout"}},
	}}})
	ids, err := b.site.CameraIDs()
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Player    struct{ ID string }
		Token     string
		Addresses []struct{ URL string }
	}
	wish := map[string]any{"name": "Control room", "camera": ids["dock"], "days": 1}
	if err := b.house.Owner.Post(t.Context(), "/sites/"+string(b.site.ID)+"/players", wish, &made); err != nil {
		t.Fatal(err)
	}
	if len(made.Addresses) != 1 {
		t.Fatalf("made %+v, want one address", made)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	p := player{token: made.Token, over: make(chan struct{})}
	relayed := player{token: made.Token, over: make(chan struct{})}
	err = errors.Join(p.play(ctx, made.Addresses[0].URL+"?stream=sub"), relayed.play(ctx, made.Addresses[0].URL+"?stream=sub&through=relay"))
	if err != nil {
		t.Fatal(err)
	}
	b.until(30*time.Second, "thirty pictures from a key frame on, from the site and through the relay", func(context.Context) (bool, error) {
		return p.pictures.Load() >= 30 && relayed.pictures.Load() >= 30, nil
	})

	other := strings.Replace(made.Addresses[0].URL, string(ids["dock"]), string(ids["till"]), 1)
	if status, _, err := p.ask(ctx, http.MethodPost, other, "application/sdp", p.pc.LocalDescription().SDP); err != nil || status.StatusCode != http.StatusNotFound {
		t.Errorf("another camera: %v, %v; want 404", status, err)
	}
	if err := b.house.Owner.Delete(ctx, "/players/"+made.Player.ID); err != nil {
		t.Fatal(err)
	}
	revoked := time.Now()
	for _, view := range []*player{&p, &relayed} {
		select {
		case <-view.over:
			t.Logf("a view ended %v after its token was revoked", time.Since(revoked).Round(time.Millisecond))
		case <-ctx.Done():
			t.Fatal("a view goes on without a token")
		}
	}
	status, body, err := p.ask(ctx, http.MethodPost, made.Addresses[0].URL, "application/sdp", p.pc.LocalDescription().SDP)
	if err != nil || status.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "revoked") {
		t.Errorf("the revoked token: %v %s, %v; want 401", status, body, err)
	}
	if err := errors.Join(p.pc.Close(), relayed.pc.Close()); err != nil {
		t.Error(err)
	}
}

// player is a program that speaks WHEP.
type player struct {
	token    string
	pc       *webrtc.PeerConnection
	pictures atomic.Int64  // from the first key frame on
	over     chan struct{} // closed when the far end has ended the view
}

// play offers to receive pictures and sound, before it has looked for addresses of its own, which follow.
func (p *player) play(ctx context.Context, at string) (err error) {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true) // the relay is at no other address here
	if p.pc, err = webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{}); err != nil {
		return err
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		_, err := p.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			return err
		}
	}
	p.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { p.watch(track) })
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateClosed || s == webrtc.PeerConnectionStateFailed {
			close(p.over)
		}
	})
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	resp, answer, err := p.ask(ctx, http.MethodPost, at, "application/sdp", offer.SDP)
	if err != nil || resp.StatusCode != http.StatusCreated {
		return errors.Join(err, fmt.Errorf("the offer is answered with %s %s", resp.Status, answer))
	}
	links := strings.Join(resp.Header.Values("Link"), "\n")
	if !strings.Contains(links, "<turn:127.0.0.1:") || !strings.Contains(links, `rel="ice-server"; username="`) {
		return fmt.Errorf("no relay is named: %q", links)
	}
	where, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	err = errors.Join(p.pc.SetLocalDescription(offer), p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	if err != nil {
		return err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return ctx.Err()
	}
	resp, text, err := p.ask(ctx, http.MethodPatch, resp.Request.URL.ResolveReference(where).String(), "application/trickle-ice-sdpfrag", fragment(p.pc.LocalDescription().SDP))
	if err != nil || resp.StatusCode != http.StatusNoContent {
		return errors.Join(err, fmt.Errorf("addresses are answered with %s %s", resp.Status, text))
	}
	return nil
}

// fragment is what a description says of addresses.
func fragment(sdp string) string {
	f := rtc.Fragment{Last: true}
	for line := range strings.Lines(sdp) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "a=ice-ufrag":
			f.Ufrag = value
		case "a=ice-pwd":
			f.Password = value
		case "a=candidate":
			f.Candidates = append(f.Candidates, value)
		}
	}
	return f.String()
}

// ask sends a request with the token and nothing else.
func (p *player) ask(ctx context.Context, method, at, kind, body string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), errors.Join(err, resp.Body.Close())
}

// watch counts pictures from the first that stands alone on, by the ends of theirs that arrive.
func (p *player) watch(track *webrtc.TrackRemote) {
	if track.Kind() != webrtc.RTPCodecTypeVideo {
		return
	}
	var frame codecs.H264Packet
	key := false
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		units, err := frame.Unmarshal(packet.Payload)
		if err != nil {
			continue
		}
		key = key || strings.Contains(string(units), "\x00\x00\x00\x01\x65")
		if key && packet.Marker {
			p.pictures.Add(1)
		}
	}
}

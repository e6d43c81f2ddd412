package live

import (
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// TestTheSamePictureByAnotherPath restarts ICE while a camera is shown: the picture goes on, on the same tracks.
func TestTheSamePictureByAnotherPath(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	before := v.seen(10)
	ufrag := func(sdp string) string {
		_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
		name, _, _ := strings.Cut(rest, "\r\n")
		return name
	}
	for range 2 {
		offer, err := v.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
		if err != nil {
			t.Fatal(err)
		}
		gathered := webrtc.GatheringCompletePromise(v.pc)
		if err := v.pc.SetLocalDescription(offer); err != nil {
			t.Fatal(err)
		}
		<-gathered
		was := ufrag(v.answer.SDP)
		got, err := s.room.Offer(t.Context(), wire.LiveOffer{Session: v.session, SDP: v.pc.LocalDescription().SDP, Restart: true})
		if err != nil {
			t.Fatal(err)
		}
		if ufrag(got.SDP) == was || !strings.Contains(got.SDP, "a=candidate:") || got.Slots != 1 {
			t.Errorf("the answer is that to the first offer, or has no candidates:\n%s", got.SDP)
		}
		v.answer = got
		if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: got.SDP}); err != nil {
			t.Fatal(err)
		}
		after := v.next(20)
		if after[0].ssrc != before[0].ssrc {
			t.Error("the picture is on another track now")
		}
	}
	if n := len(s.room.Open()); n != 1 {
		t.Errorf("%d connections are open", n)
	}

	_, err := s.room.Offer(t.Context(), wire.LiveOffer{Session: id.New[id.Session](), SDP: v.pc.LocalDescription().SDP, Restart: true})
	assertFailure(t, err, wire.FailedGone)
	for _, sdp := range []string{"", "nonsense", newViewer(t, webrtc.Configuration{}, false).offer()} {
		if _, err := s.room.Offer(t.Context(), wire.LiveOffer{Session: v.session, SDP: sdp, Restart: true}); err == nil {
			t.Errorf("an offer of %d bytes that is not this connection's restarts it", len(sdp))
		}
	}
	v.next(10)
}

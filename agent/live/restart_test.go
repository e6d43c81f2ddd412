package live

import (
	"math"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// elsewhere returns an offer that seeks the path anew, with all addresses.
func (v *viewer) elsewhere() string {
	v.t.Helper()
	return v.described(&webrtc.OfferOptions{ICERestart: true})
}

// TestAnotherPathByNewServers has the servers that a site was told no longer take it, as the cloud's don't after two minutes:
// with new ones it has a relay again, by an offer and by a fragment.
func TestAnotherPathByNewServers(t *testing.T) {
	t.Parallel()
	addr, roots := serveTLS(t, "127.0.0.1")
	s := newStage(t, Config{Authorities: roots})
	servers := func(user string) []wire.ICEServer {
		return []wire.ICEServer{{URLs: []string{"turns:" + addr + "?transport=tcp"}, Username: user, Credential: "secret"}}
	}
	w := s.wish()
	w.ICE = servers("nobody")
	v := watch(t, s.room, w)
	v.seen(3)
	again := func(ice []wire.ICEServer) string {
		t.Helper()
		got, err := s.room.Offer(t.Context(), wire.LiveOffer{Session: v.session, SDP: v.elsewhere(), Restart: true, ICE: ice})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: got.SDP}); err != nil {
			t.Fatal(err)
		}
		return got.SDP
	}
	const relay = "typ relay"
	if strings.Contains(v.answer.SDP, relay) || strings.Contains(again(nil), relay) {
		t.Fatal("a server that takes nobody serves")
	}
	if sdp := again(servers("viewer")); !strings.Contains(sdp, relay) {
		t.Errorf("the answer offers no relay of the new servers:\n%s", sdp)
	}
	v.next(10)
	again(servers("nobody"))
	mine := fragment(t, v.elsewhere())
	mine.Last = true
	theirs, err := s.room.Paths(t.Context(), wire.LivePaths{Session: v.session, Fragment: mine.String(), ICE: servers("viewer")})
	if err != nil {
		t.Fatal(err)
	}
	if !theirs.Anew || !strings.Contains(theirs.Fragment, relay) {
		t.Errorf("the site tells %s", theirs.Fragment)
	}
}

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
	s.room.mu.Lock()
	p := s.room.peers[v.session]
	s.room.mu.Unlock()
	for range 2 {
		p.path.squeeze(1000)
		offer := v.elsewhere()
		was := ufrag(v.answer.SDP)
		got, err := s.room.Offer(t.Context(), wire.LiveOffer{Session: v.session, SDP: offer, Restart: true})
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
		eventually.True(t, "the path before to be forgotten", func() bool { return math.IsInf(p.carries(), 1) })
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

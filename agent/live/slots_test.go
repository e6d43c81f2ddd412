package live

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// testManyCameras makes one connection and shows one camera after the other on its slots.
func testManyCameras(t *testing.T, s *site) {
	v := newViewer(t, webrtc.Configuration{}, false)
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := v.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := s.room.Offer(t.Context(), wire.LiveOffer{Session: v.session, SDP: v.offer()})
	if err != nil || answer.Slots != 2 || answer.Stream != "" {
		t.Fatalf("the answer has %d slots and shows %q: %v", answer.Slots, answer.Stream, err)
	}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP}); err != nil {
		t.Fatal(err)
	}
	v.until("the connection", func() bool { return v.state == webrtc.PeerConnectionStateConnected })

	view := func(slot int, camera string) id.Session {
		t.Helper()
		o := wire.LiveView{Session: id.New[id.Session](), Connection: v.session, Slot: slot, Camera: s.ids[camera], Codecs: []string{"h264"}}
		began := time.Now()
		if got, err := s.room.View(t.Context(), o); err != nil || got.SDP != "" || got.Stream != id.Main {
			t.Fatalf("%s on slot %d: %+v, %v", camera, slot, got, err)
		}
		number := s.cam(camera).Number()
		v.until("pictures of "+camera, func() bool {
			return slices.ContainsFunc(v.pictures, func(p picture) bool { return p.Camera == number && p.at.After(began) })
		})
		v.mu.Lock()
		defer v.mu.Unlock()
		i := slices.IndexFunc(v.pictures, func(p picture) bool { return p.Camera == number && p.at.After(began) })
		t.Logf("%s: order to first picture %v", camera, v.pictures[i].at.Sub(began).Round(time.Millisecond))
		return o.Session
	}
	of := func(camera string, n int) []picture {
		t.Helper()
		number := s.cam(camera).Number()
		var out []picture
		v.until("more of "+camera, func() bool {
			out = slices.DeleteFunc(slices.Clone(v.pictures), func(p picture) bool { return p.Camera != number })
			return len(out) >= n
		})
		return out
	}
	dock, corridor := view(0, "dock"), view(1, "corridor")
	assertWhole(t, of("dock", 20))
	assertWhole(t, of("corridor", 20))
	v.order(rtc.Op{Type: "pause"}) // the first slot's word: it does not touch the second one
	shop := view(0, "shop")
	eventually.True(t, "the one before to end", func() bool { return !slices.Contains(s.room.Open(), dock) })
	for _, still := range []id.Session{shop, corridor, v.session} {
		if !slices.Contains(s.room.Open(), still) {
			t.Errorf("session %s has ended too", still)
		}
	}
	got := of("shop", 20)
	assertWhole(t, got)
	before := of("dock", 1)
	last := before[len(before)-1]
	if got[0].ssrc != last.ssrc || got[0].at.Before(last.at) || int32(got[0].rtp-last.rtp) <= 0 {
		t.Errorf("a slot shows %+v after %+v: want the same track, later, with RTP time that grows", got[0], last)
	}
	have := len(of("corridor", 1))
	if more := of("corridor", have+5); more[0].ssrc == got[0].ssrc {
		t.Error("two slots share a track")
	}

	for want, o := range map[wire.FailureCode]wire.LiveView{
		wire.FailedGone:    {Session: id.New[id.Session](), Connection: id.New[id.Session](), Camera: s.ids["dock"]},
		wire.FailedRefused: {Session: id.New[id.Session](), Connection: v.session, Slot: 2, Camera: s.ids["dock"]},
	} {
		_, err := s.room.View(t.Context(), o)
		assertFailure(t, err, want)
	}
	_, err = s.room.View(t.Context(), wire.LiveView{Session: shop, Connection: v.session, Slot: 1, Camera: s.ids["dock"]})
	assertFailure(t, err, wire.FailedRefused, "a session of its own")

	s.room.Close(corridor)
	eventually.True(t, "the view to end", func() bool { return !slices.Contains(s.room.Open(), corridor) })
	have = len(of("shop", 1))
	of("shop", have+5) // goes on
	s.room.Close(v.session)
	v.ended()
	eventually.True(t, "everything to end", func() bool {
		open := s.room.Open()
		return !slices.Contains(open, v.session) && !slices.Contains(open, shop)
	})
}

// TestAPlaceThatWasEmpty shows a camera, nothing for a while, and the camera again on the same place. RTP time goes on as life
// does, from the first picture on: a browser that sees it jump takes that for the line's delay, and shows seconds later what
// comes after.
func TestAPlaceThatWasEmpty(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	w := s.wish()
	w.View = id.New[id.Session]()
	v := watch(t, s.room, w)
	seen := v.seen(10)
	s.room.Close(w.View)
	eventually.True(t, "the view to end", func() bool { return !slices.Contains(s.room.Open(), w.View) })
	last := seen[len(seen)-1]
	const empty = 2 * time.Second
	eventually.True(t, "time to pass", func() bool { return time.Since(last.at) > empty })
	again := wire.LiveView{Session: id.New[id.Session](), Connection: v.session, Camera: w.Camera, Codecs: []string{"h264"}}
	v.mu.Lock()
	have := len(v.pictures)
	v.mu.Unlock()
	if _, err := s.room.View(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	for _, p := range v.seen(have + 20)[have:] {
		life, told := p.at.Sub(last.at), time.Duration(int32(p.rtp-last.rtp))*time.Second/90_000
		if d := (told - life).Abs(); d > time.Second {
			t.Fatalf("%v after the last picture of before its time is %v later", life, told)
		}
	}
}

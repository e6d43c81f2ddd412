package live

import (
	"testing"

	"github.com/pion/webrtc/v4"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// TestAStreamThatIsFetched watches a stream that nobody has pulled yet over a connection that is there: until it comes the viewer
// is told why, and the camera is asked for a key frame.
func TestAStreamThatIsFetched(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := newViewer(t, webrtc.Configuration{}, false)
	answer, err := s.room.Offer(t.Context(), wire.LiveOffer{Session: v.session, SDP: v.offer()})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP}); err != nil {
		t.Fatal(err)
	}
	v.until("the control channel", func() bool { return v.open })
	asked := make(chan id.Stream, 16)
	s.room.footage.KeyFrame = func(s id.Stream) { asked <- s }
	answered := make(chan error, 1)
	s.do(func() { // no frame comes meanwhile
		s.hub.Down(media.Break{Reason: wire.Connecting})
		go func() {
			_, err := s.room.View(t.Context(), wire.LiveView{
				Session: id.New[id.Session](), Connection: v.session, Camera: s.hub.Stream().Camera, Codecs: []string{"h264"},
			})
			answered <- err
		}()
		if n := v.note("state", nil); n.Text != "The site fetches the stream from the camera." {
			t.Errorf("the viewer is told %+v", n)
		}
		if got := <-asked; got != s.hub.Stream() {
			t.Errorf("%v is asked for a key frame", got)
		}
		select {
		case err := <-answered:
			t.Errorf("without a frame it is answered: %v", err)
		default:
		}
	})
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	v.note("state", func(n rtc.Note) bool { return n.Text == "" })
	assertWhole(t, v.seen(10))
}

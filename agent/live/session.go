package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"holdfast/agent/media"
	"holdfast/agent/pace"
	"holdfast/shared/wire"
)

// session is one viewer's peer connection. It shows one stream, live or from the disk.
type session struct {
	room   *Room
	log    *slog.Logger
	offer  wire.LiveOffer
	pick   choice
	end    context.CancelFunc
	pc     *webrtc.PeerConnection
	video  *sender
	audio  *sender // nil without audio
	viewer control
	toll   toll
	view   view

	connected chan struct{}
	lost      chan struct{} // the viewer can't decode what it has
	listening sync.WaitGroup

	// Only run's goroutine touches these.
	start  time.Time // zero of the session's timeline
	lastUs int64     // latest time sent on it
	told   string    // about the step
	mended time.Time // when a group of pictures was last begun anew for this viewer
}

func newSession(ctx context.Context, r *Room, offer wire.LiveOffer, pick choice, end context.CancelFunc) (*session, error) {
	s := &session{
		room: r, offer: offer, pick: pick, end: end,
		log:       r.log.With("session", offer.Session, "camera", offer.Camera, "stream", pick.stream.Kind),
		connected: make(chan struct{}), lost: make(chan struct{}, 1),
	}
	s.viewer.log, s.viewer.ops = s.log, make(chan op, 16)
	r.came++
	s.view.number, s.view.turned, s.view.times, s.view.path.limit = r.came, make(chan struct{}, 1), 1, math.Inf(1)
	s.toll.ctx, s.toll.flow = ctx, r.budget.Flow(pace.Live, time.Time{})
	if err := s.connect(); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.pc.Close())
	}
	return s, nil
}

// connect makes the peer connection. Without servers a viewer on the same network still connects, so servers that
// can't be used are no reason to refuse.
func (s *session) connect() error {
	var servers []webrtc.ICEServer
	for _, i := range s.offer.ICE {
		servers = append(servers, webrtc.ICEServer{URLs: i.URLs, Username: i.Username, Credential: i.Credential})
	}
	api, err := newAPI(s.room.cfg, s.room.port, &s.toll, chatter{s.room.log})
	if err != nil {
		return err
	}
	s.pc, err = api.NewPeerConnection(webrtc.Configuration{ICEServers: servers})
	if err != nil && len(servers) > 0 {
		s.log.Warn("the ICE servers that the cloud names can't be used", "error", err)
		s.pc, err = api.NewPeerConnection(webrtc.Configuration{})
	}
	if err != nil {
		return fmt.Errorf("make peer connection: %w", err)
	}
	s.pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		s.toll.outside.Store(!s.room.inside(pair))
	})
	return nil
}

func (s *session) prepare() error {
	var err error
	if s.video, err = newSender(s.pick.params.Video(), "video", string(s.offer.Camera)); err != nil {
		return err
	}
	if err := s.add(s.video); err != nil {
		return err
	}
	if s.pick.audio != "" {
		if s.audio, err = newSender(s.pick.params.Audio(), "audio", string(s.offer.Camera)); err != nil {
			return err
		}
		if err := s.add(s.audio); err != nil {
			return err
		}
	}
	var once sync.Once
	s.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(s.connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			s.end()
		default:
		}
	})
	s.pc.OnDataChannel(s.viewer.open)
	return nil
}

// add attaches a sender and listens to what the viewer reports about it.
func (s *session) add(out *sender) error {
	rtp, err := s.pc.AddTrack(out.track)
	if err != nil {
		return fmt.Errorf("add track: %w", err)
	}
	s.listening.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, _, err := rtp.Read(buf)
			if err != nil {
				return // the peer connection is closed
			}
			reports, err := rtcp.Unmarshal(buf[:n])
			if err == nil && out == s.video {
				s.listen(reports)
			}
			if err == nil && slices.ContainsFunc(reports, asksForPicture) {
				select {
				case s.lost <- struct{}{}:
				default:
				}
			}
		}
	})
	return nil
}

// listen takes the receiver reports about the pictures out of a packet.
func (s *session) listen(reports []rtcp.Packet) {
	select {
	case <-s.video.track.bound:
	default:
		return
	}
	for _, r := range reports {
		rr, ok := r.(*rtcp.ReceiverReport)
		if !ok {
			continue
		}
		for _, one := range rr.Reports {
			if one.SSRC == uint32(s.video.track.ssrc) {
				s.heard(one)
			}
		}
	}
}

// asksForPicture says whether a report is a Picture Loss Indication (RFC 4585) or a Full Intra Request (RFC 5104).
func asksForPicture(p rtcp.Packet) bool {
	switch p.(type) {
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		return true
	default:
		return false
	}
}

// mend says whether the picture should begin anew for a viewer that has lost it: no camera can be asked for a key
// frame here, but the group of pictures can be sent again. It is large, so not often, and where single pictures are
// all that there is room for, the next one will do.
func (s *session) mend() bool {
	return time.Since(s.mended) > 2*time.Second && s.view.now() < keys
}

// gatherFor is how long an answer waits for the addresses that servers know of. Where a firewall blocks them they
// never answer.
const gatherFor = 500 * time.Millisecond

// answer takes the viewer's offer and returns the answer with all candidates of this machine.
func (s *session) answer(ctx context.Context, sdp string) (string, error) {
	err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp})
	if err != nil {
		return "", wire.Fail(wire.FailedRefused, "The browser's offer can't be read: %v. Reload the page.", err)
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	answer, err := s.pc.CreateAnswer(nil)
	if err == nil {
		err = s.pc.SetLocalDescription(answer)
	}
	switch {
	case err != nil:
		return "", wire.Fail(wire.FailedCodec, "The browser and the agent have no video format in common: %v.", err)
	case !s.shown():
		return "", wire.Fail(wire.FailedCodec, "The browser's offer has no place for %s video.", codecName(s.video.codec))
	}
	// Without STUN and TURN servers this takes no time. What servers answer later is used all the same: the viewer
	// learns of it from the agent's own checks (RFC 8445 section 7.3.1.3).
	limit := time.NewTimer(gatherFor)
	defer limit.Stop()
	select {
	case <-gathered:
	case <-limit.C:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return s.pc.LocalDescription().SDP, nil
}

// shown says whether the offer has taken up the video track.
func (s *session) shown() bool {
	return slices.ContainsFunc(s.pc.GetTransceivers(), func(t *webrtc.RTPTransceiver) bool {
		return t.Mid() != "" && t.Sender() != nil && t.Sender().Track() == s.video.track
	})
}

// run blocks for the life of the session.
func (s *session) run(ctx context.Context) {
	defer func() {
		s.end()
		if err := s.pc.GracefulClose(); err != nil {
			s.log.Debug("close peer connection", "error", err)
		}
		s.listening.Wait()
	}()
	limit := time.NewTimer(s.room.cfg.Connect)
	defer limit.Stop()
	for _, ready := range []<-chan struct{}{s.connected, s.video.track.bound} {
		select {
		case <-ready:
		case <-limit.C:
			s.log.Info("viewer did not connect: no network path between browser and agent")
			return
		case <-ctx.Done():
			return
		}
	}
	s.start = time.Now()
	outside := s.toll.outside.Load()
	s.log.Info("live session begins", "playback", s.offer.FromUs > 0, "outside", outside)
	s.view.change(func() { s.view.shows = true })
	s.room.weigh(s.start, s)
	err := s.show(ctx)
	s.log.Info("live session ends", "lasted", time.Since(s.start).Round(time.Millisecond), "cause", err)
}

// show alternates between live and playback as the viewer wishes.
func (s *session) show(ctx context.Context) error {
	mode := op{Type: "live"}
	if s.offer.FromUs > 0 {
		mode = op{Type: "seek", AtUs: s.offer.FromUs}
	}
	for {
		var err error
		if mode.Type == "seek" {
			mode, err = s.play(ctx, mode.AtUs)
		} else {
			mode, err = s.follow(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// errChanged ends a session whose stream can't go on over the negotiated tracks.
var errChanged = errors.New("the camera changed its way of coding: open the view again")

// carries says whether the session can show what comes with these parameters.
func (s *session) carries(p *media.Params) bool {
	v := p.Video()
	return v != nil && v.Codec == s.video.codec && !p.BFrames
}

// burstUs is the time on the session's timeline of the next frame of a burst: just after the last.
func (s *session) burstUs() int64 { return s.lastUs + 1000 }

// nowUs is the time on the session's timeline of a frame that is shown from now on at its own pace.
func (s *session) nowUs() int64 { return max(s.burstUs(), time.Since(s.start).Microseconds()) }

// send sends a frame at outUs on the session's timeline. What the network refuses is lost, as on the way.
func (s *session) send(f shot, outUs int64) {
	out := s.video
	if !f.track.Codec.IsVideo() {
		if out = s.audio; out == nil || out.codec != f.track.Codec {
			return
		}
	}
	s.lastUs = max(s.lastUs, outUs)
	err := s.toll.ask(f.bytes())
	if err == nil {
		err = out.send(f, outUs)
	}
	if err != nil {
		s.log.Debug("send frame", "error", err)
	}
}

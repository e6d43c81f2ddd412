package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// peer is one viewer's connection (RFC 8829). It has slots, each of which shows one camera at a time: another camera
// costs neither ICE nor DTLS again.
type peer struct {
	room  *Room
	id    id.Session
	log   *slog.Logger
	pc    *webrtc.PeerConnection
	end   context.CancelFunc
	toll  toll
	slots []*slot

	connected chan struct{}
	listening sync.WaitGroup
	showing   sync.WaitGroup // sessions on its slots

	shows  int       // sessions; under Room.mu
	idleAt time.Time // since when it has none; under Room.mu
}

// slot is the place of one camera in a viewer's connection.
type slot struct {
	video  *track
	audio  *track // nil where the offer has no place for sound
	takes  []mp4.Codec
	viewer control
	lost   chan struct{} // the viewer can't decode what it has

	session atomic.Pointer[session] // that was given it last; nil: it is free
	turn    chan struct{}           // holds one element while a session sends

	// Only the session that sends touches these.
	start  time.Time // zero of the slot's timeline
	lastUs int64     // latest time sent on it
}

// maxSlots bounds the cameras of one connection.
const maxSlots = 16

// newPeer makes the connection that belongs to an offer; its SDP is answered later.
func newPeer(ctx context.Context, r *Room, offer wire.LiveOffer, end context.CancelFunc) (*peer, error) {
	p := &peer{
		room: r, id: offer.Session, end: end, log: r.log.With("connection", offer.Session),
		connected: make(chan struct{}), idleAt: time.Now(),
	}
	p.toll.ctx, p.toll.flow = ctx, r.budget.Flow(pace.Live, time.Time{})
	if err := p.places(offer.SDP); err != nil {
		return nil, err
	}
	if err := p.connect(ctx, offer.ICE); err != nil {
		return nil, err
	}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(err, p.pc.Close())
	}
	return p, nil
}

// places makes a slot for each place for video in an offer, with the place for sound that belongs to it: the first to
// the first, and so on.
func (p *peer) places(offer string) error {
	sdp, err := (&webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}).Unmarshal()
	if err != nil {
		return unreadableOffer(err)
	}
	sound := 0
	for _, m := range sdp.MediaDescriptions {
		switch m.MediaName.Media {
		case "audio":
			sound++
		case "video":
			s := &slot{lost: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
			for _, a := range m.Attributes {
				_, format, _ := strings.Cut(a.Value, " ")
				name, _, _ := strings.Cut(format, "/")
				if codec, ok := codecOf("video/" + name); ok && a.Key == "rtpmap" && !slices.Contains(s.takes, codec) {
					s.takes = append(s.takes, codec)
				}
			}
			p.slots = append(p.slots, s)
		}
	}
	switch n := len(p.slots); {
	case n == 0:
		return wire.Fail(wire.FailedCodec, "The browser's offer has no place for video.")
	case n > maxSlots || sound > maxSlots:
		return wire.Fail(wire.FailedRefused, "The browser's offer has places for %d cameras: %d are the most for one connection.", max(n, sound), maxSlots)
	}
	for i, s := range p.slots {
		name := strconv.Itoa(i)
		s.viewer.log, s.viewer.ops = p.log, make(chan op, 16)
		s.video = newTrack(webrtc.RTPCodecTypeVideo, "video-"+name, "camera-"+name)
		if i < sound {
			s.audio = newTrack(webrtc.RTPCodecTypeAudio, "audio-"+name, "camera-"+name)
		}
	}
	return nil
}

func unreadableOffer(err error) error {
	return wire.Fail(wire.FailedRefused, "The browser's offer can't be read: %v. Reload the page.", err)
}

// connect makes the peer connection. Without servers a viewer on the same network still connects, so servers that
// can't be used are no reason to refuse.
func (p *peer) connect(ctx context.Context, ice []wire.ICEServer) error {
	var servers []webrtc.ICEServer
	for _, i := range ice {
		servers = append(servers, webrtc.ICEServer{URLs: i.URLs, Username: i.Username, Credential: i.Credential})
	}
	api, err := newAPI(p.room.cfg, p.room.port, &p.toll, newRelayDialer(ctx, p.room.cfg.Authorities, ice), chatter(p.room.log))
	if err != nil {
		return err
	}
	p.pc, err = api.NewPeerConnection(webrtc.Configuration{ICEServers: servers})
	if err != nil && len(servers) > 0 {
		p.log.Warn("the ICE servers that the cloud names can't be used", "error", err)
		p.pc, err = api.NewPeerConnection(webrtc.Configuration{})
	}
	if err != nil {
		return fmt.Errorf("make peer connection: %w", err)
	}
	p.pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		p.toll.outside.Store(!p.room.inside(pair))
	})
	return nil
}

// prepare attaches the slots' tracks, in the order of the offer, and listens.
func (p *peer) prepare() error {
	for _, s := range p.slots {
		if err := p.add(s, s.video); err != nil {
			return err
		}
	}
	for _, s := range p.slots {
		if s.audio == nil {
			continue
		}
		if err := p.add(s, s.audio); err != nil {
			return err
		}
	}
	var once sync.Once
	p.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(p.connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			p.end()
		default:
		}
	})
	p.pc.OnDataChannel(func(dc *webrtc.DataChannel) {
		if i := slotOf(dc.Label()); i >= 0 && i < len(p.slots) {
			p.slots[i].viewer.open(dc)
		}
	})
	return nil
}

// slotOf reads the label of a control channel: "control" is that of the first slot, "control-2" that of the third. It
// returns -1 for any other.
func slotOf(label string) int {
	if label == controlLabel {
		return 0
	}
	i, err := strconv.Atoi(strings.TrimPrefix(label, controlLabel+"-"))
	if err != nil || i < 1 || label != controlLabel+"-"+strconv.Itoa(i) {
		return -1
	}
	return i
}

// add attaches a track and listens to what the viewer reports about it.
func (p *peer) add(s *slot, t *track) error {
	rtp, err := p.pc.AddTrack(t)
	if err != nil {
		return fmt.Errorf("add track: %w", err)
	}
	p.listening.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, _, err := rtp.Read(buf)
			if err != nil {
				return // the peer connection is closed
			}
			reports, err := rtcp.Unmarshal(buf[:n])
			if err == nil && t == s.video {
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
func (s *slot) listen(reports []rtcp.Packet) {
	showing := s.session.Load()
	select {
	case <-s.video.bound:
	default:
		return
	}
	for _, r := range reports {
		rr, ok := r.(*rtcp.ReceiverReport)
		if !ok || showing == nil {
			continue
		}
		for _, one := range rr.Reports {
			if one.SSRC == uint32(s.video.ssrc) {
				showing.heard(one)
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

// So long an answer waits for the addresses that servers know of; where a firewall blocks them they never answer. A relay
// is worth a longer wait, for without one there may be no path at all, and TLS takes five round trips; but once there is
// one, hardly anything is missing.
const (
	gatherFor  = 500 * time.Millisecond
	relayFor   = 1500 * time.Millisecond
	afterRelay = 50 * time.Millisecond
)

// answer takes the viewer's offer and returns the answer with all candidates of this machine.
func (p *peer) answer(ctx context.Context, offer wire.LiveOffer) (string, error) {
	err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP})
	if err != nil {
		return "", unreadableOffer(err)
	}
	relayed := make(chan struct{}, 1)
	p.pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil && c.Typ == webrtc.ICECandidateTypeRelay {
			select {
			case relayed <- struct{}{}:
			default: // one is enough
			}
		}
	})
	gathered := webrtc.GatheringCompletePromise(p.pc)
	answer, err := p.pc.CreateAnswer(nil)
	if err == nil {
		err = p.pc.SetLocalDescription(answer)
	}
	switch {
	case err != nil:
		return "", wire.Fail(wire.FailedCodec, "The browser and the agent have no video format in common: %v.", err)
	case !p.taken():
		return "", wire.Fail(wire.FailedCodec, "The browser's offer has no place for video that it is sent.")
	}
	// Without STUN and TURN servers this takes no time. What servers answer later is used all the same: the viewer
	// learns of it from the agent's own checks (RFC 8445 section 7.3.1.3).
	longest := gatherFor
	if slices.ContainsFunc(offer.ICE, func(s wire.ICEServer) bool { return s.Username != "" }) {
		longest = relayFor
	}
	limit := time.NewTimer(longest)
	defer limit.Stop()
	for {
		select {
		case <-relayed:
			limit.Reset(afterRelay)
			continue
		case <-gathered:
		case <-limit.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		return p.pc.LocalDescription().SDP, nil
	}
}

// taken says whether the offer has taken up the video track of every slot.
func (p *peer) taken() bool {
	all := p.pc.GetTransceivers()
	return !slices.ContainsFunc(p.slots, func(s *slot) bool {
		return !slices.ContainsFunc(all, func(t *webrtc.RTPTransceiver) bool {
			return t.Mid() != "" && t.Sender() != nil && t.Sender().Track() == s.video
		})
	})
}

// run blocks for the life of the connection.
func (p *peer) run(ctx context.Context) {
	defer func() {
		p.end()
		p.showing.Wait()
		if err := p.pc.GracefulClose(); err != nil {
			p.log.Debug("close peer connection", "error", err)
		}
		p.listening.Wait()
	}()
	limit := time.NewTimer(p.room.cfg.Connect)
	defer limit.Stop()
	select {
	case <-p.connected:
	case <-limit.C:
		p.log.Info("viewer did not connect: no network path between browser and agent")
		return
	case <-ctx.Done():
		return
	}
	look := time.NewTicker(p.room.cfg.Idle / 4)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			if p.idle(now) > p.room.cfg.Idle {
				p.log.Info("nothing was watched over the connection for long: it ends")
				return
			}
		}
	}
}

// idle returns for how long nothing was watched.
func (p *peer) idle(now time.Time) time.Duration {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.shows > 0 {
		return 0
	}
	return now.Sub(p.idleAt)
}

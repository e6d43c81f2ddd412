package rtc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"golang.org/x/time/rate"

	"holdfast/shared/wire"
)

// Peer is one viewer's connection (RFC 8829). It has slots, each of which shows one camera at a time: another camera
// costs neither ICE nor DTLS again.
type Peer struct {
	PC    *webrtc.PeerConnection
	Slots []*Slot
	// Arrivals is what is known of the packets on their way to the viewer.
	Arrivals *Arrivals

	log       *slog.Logger
	servers   []wire.ICEServer
	report    func(slot int, r rtcp.ReceptionReport)
	end       func()
	connected chan struct{}
	listening sync.WaitGroup
	answering sync.Mutex
	// Under answering:
	gathering *gathering      // for the newest description
	told      map[string]bool // addresses of the viewer for it
	past      []string        // ice-ufrag of its last paths that are no longer sought
	seeks     *rate.Limiter   // of paths anew
}

// What a viewer may have done: a path is sought anew when its network changes.
const (
	seeksAtOnce = 10
	seekEvery   = 5 * time.Second
	pastMost    = 16
)

// NewPeer makes the connection that belongs to an offer, which Answer then answers. report is told what the viewer reports
// about the pictures of a slot, end that the connection has ended; both may be called at once, and must not block. An
// error is a *wire.Failure when the viewer should read it. Servers that can't be used are no error: a viewer on the same
// network connects without.
func NewPeer(offer string, setup Setup, report func(slot int, r rtcp.ReceptionReport), end func()) (*Peer, error) {
	slots, err := slotsOf(offer, setup.Log)
	if err != nil {
		return nil, err
	}
	p, err := newPeer(offer, setup, end)
	if err != nil {
		return nil, err
	}
	p.Slots, p.report = slots, report
	if err := p.prepare(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// newPeer makes a connection for an offer, without anything on it.
func newPeer(offer string, setup Setup, end func()) (*Peer, error) {
	role := attribute(offer, "setup")
	setup.calls = role == "passive" || setup.Hears != 0 && role != "active"
	setup.arrivals = newArrivals()
	p := &Peer{
		Arrivals: setup.arrivals, log: setup.Log, servers: setup.Servers, end: end, connected: make(chan struct{}),
		seeks: rate.NewLimiter(rate.Every(seekEvery), seeksAtOnce),
	}
	api, err := setup.API()
	if err != nil {
		return nil, err
	}
	p.PC, err = api.NewPeerConnection(configured(setup.Servers))
	if err != nil && len(setup.Servers) > 0 {
		p.log.Warn("the ICE servers that the cloud names can't be used", "error", err)
		p.PC, err = api.NewPeerConnection(webrtc.Configuration{})
	}
	if err != nil {
		return nil, fmt.Errorf("make peer connection: %w", err)
	}
	var once sync.Once
	p.PC.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(p.connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			p.end()
		default:
		}
	})
	return p, nil
}

func configured(servers []wire.ICEServer) (cfg webrtc.Configuration) {
	for _, s := range servers {
		cfg.ICEServers = append(cfg.ICEServers, webrtc.ICEServer{URLs: s.URLs, Username: s.Username, Credential: s.Credential})
	}
	return cfg
}

// Use has the next path that is sought go by other STUN and TURN servers; none leave those that are known.
func (p *Peer) Use(servers []wire.ICEServer) {
	if len(servers) == 0 {
		return
	}
	p.answering.Lock()
	defer p.answering.Unlock()
	if err := p.PC.SetConfiguration(configured(servers)); err != nil {
		p.log.Warn("the ICE servers that the cloud names can't be used", "error", err)
		return
	}
	p.servers = servers
}

func unreadableOffer(err error) error {
	return wire.Fail(wire.FailedRefused, "The browser's offer can't be read: %v. Reload the page.", err)
}

// prepare attaches the slots' tracks, in the order of the offer, and listens.
func (p *Peer) prepare() error {
	for i, s := range p.Slots {
		if err := p.add(s, s.Video, i); err != nil {
			return err
		}
	}
	for _, s := range p.Slots {
		if s.Audio == nil {
			continue
		}
		if err := p.add(s, s.Audio, -1); err != nil {
			return err
		}
	}
	p.PC.OnDataChannel(func(dc *webrtc.DataChannel) {
		if i := slotOf(dc.Label()); i >= 0 && i < len(p.Slots) {
			p.Slots[i].Control.open(dc)
		}
	})
	return nil
}

// slotOf reads the label of a control channel: "control" is that of the first slot, "control-2" that of the third. It
// returns -1 for any other.
func slotOf(label string) int {
	if label == ControlLabel {
		return 0
	}
	i, err := strconv.Atoi(strings.TrimPrefix(label, ControlLabel+"-"))
	if err != nil || i < 1 || label != ControlLabel+"-"+strconv.Itoa(i) {
		return -1
	}
	return i
}

// add attaches a track and listens to what the viewer reports about it; slot is -1 for sound.
func (p *Peer) add(s *Slot, t *Track, slot int) error {
	rtp, err := p.PC.AddTrack(t)
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
			if err == nil && slot >= 0 {
				p.hear(t, slot, reports)
			}
			for _, r := range reports {
				if told, ok := r.(*rtcp.TransportLayerCC); ok {
					p.Arrivals.hear(told)
				}
			}
			if err == nil && slices.ContainsFunc(reports, asksForPicture) {
				select {
				case s.Lost <- struct{}{}:
				default:
				}
			}
		}
	})
	return nil
}

// hear takes the receiver reports about the pictures out of a packet.
func (p *Peer) hear(t *Track, slot int, reports []rtcp.Packet) {
	select {
	case <-t.bound:
	default:
		return
	}
	for _, r := range reports {
		rr, ok := r.(*rtcp.ReceiverReport)
		if !ok {
			continue
		}
		for _, one := range rr.Reports {
			if one.SSRC == t.SSRC() {
				p.report(slot, one)
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

// Answer takes the viewer's offer and returns the answer with all candidates of this machine; with early only with those
// that it has of itself, and Paths tells the rest. An error is a *wire.Failure when the viewer should read it.
func (p *Peer) Answer(ctx context.Context, offer string, early bool) (string, error) {
	p.answering.Lock()
	defer p.answering.Unlock()
	return p.answer(ctx, offer, early)
}

// answer is Answer; answering is held.
func (p *Peer) answer(ctx context.Context, offer string, early bool) (string, error) {
	before := p.PC.RemoteDescription()
	if before != nil && !p.seeks.Allow() {
		return "", wire.Fail(wire.FailedBusy, "The path was sought anew too often. Wait some seconds.")
	}
	if err := readable(offer); err != nil { // the library would be stuck in the middle of it
		return "", unreadableOffer(err)
	}
	err := p.PC.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer})
	if err != nil {
		return "", unreadableOffer(err)
	}
	if before != nil && attribute(before.SDP, iceUfrag) != attribute(offer, iceUfrag) {
		p.past = append(p.past[max(0, len(p.past)-pastMost+1):], attribute(before.SDP, iceUfrag))
	}
	p.told = map[string]bool{}
	for _, c := range candidates(offer) {
		p.told[c] = true
	}
	p.gathering = p.gather()
	answer, err := p.PC.CreateAnswer(nil)
	if err == nil {
		err = p.PC.SetLocalDescription(answer)
	}
	switch {
	case err != nil:
		return "", wire.Fail(wire.FailedCodec, "The browser and the site have no video format in common: %v.", err)
	case !p.taken():
		return "", wire.Fail(wire.FailedCodec, "The browser's offer has no place for video that it is sent.")
	}
	if early {
		err = p.gathering.wait(ctx, p.gathering.own, afterOwn, gatherFor)
	} else {
		err = p.settle(ctx)
	}
	if err != nil {
		return "", err
	}
	return p.PC.LocalDescription().SDP, nil
}

// Restart takes an offer that seeks the path anew (RFC 8839 section 4.4.1.1) and returns the answer. An offer that asks for
// anything else is refused, and the connection goes on as it was.
func (p *Peer) Restart(ctx context.Context, offer string, early bool) (string, error) {
	slots, err := slotsOf(offer, p.log)
	if err != nil {
		return "", err
	}
	if before := p.PC.RemoteDescription(); before == nil || len(slots) != len(p.Slots) || attribute(before.SDP, fingerprint) != attribute(offer, fingerprint) {
		return "", wire.Fail(wire.FailedRefused, "The offer belongs to another connection: make a new one.")
	}
	return p.Answer(ctx, offer, early)
}

// fingerprint is the attribute that says which keys an end has (RFC 8122 section 5): a path may change, they may not.
const fingerprint = "fingerprint"

// taken says whether the offer has taken up the video track of every slot.
func (p *Peer) taken() bool {
	all := p.PC.GetTransceivers()
	return !slices.ContainsFunc(p.Slots, func(s *Slot) bool {
		return !slices.ContainsFunc(all, func(t *webrtc.RTPTransceiver) bool {
			return t.Mid() != "" && t.Sender() != nil && t.Sender().Track() == s.Video
		})
	})
}

// Connected is closed when there is a path to the viewer.
func (p *Peer) Connected() <-chan struct{} { return p.connected }

// Why Serve ends a connection.
var (
	ErrNoPath = errors.New("there is no network path to the viewer")
	ErrUnused = errors.New("nothing was watched over the connection for long")
)

// Serve blocks until ctx ends, and then returns nil; or until a path has not come about within connect, or nothing was shown
// for idle, as far as shows says.
func (p *Peer) Serve(ctx context.Context, connect, idle time.Duration, shows func() bool) error {
	limit := time.NewTimer(connect)
	defer limit.Stop()
	select {
	case <-p.connected:
	case <-limit.C:
		return ErrNoPath
	case <-ctx.Done():
		return nil
	}
	look, used := time.NewTicker(idle/4), time.Now()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-look.C:
			if shows() {
				used = now
			}
			if now.Sub(used) > idle {
				return ErrUnused
			}
		}
	}
}

// Close ends the connection and waits until nothing of it is left.
func (p *Peer) Close() {
	if err := p.PC.GracefulClose(); err != nil {
		p.log.Debug("close peer connection", "error", err)
	}
	p.listening.Wait()
}

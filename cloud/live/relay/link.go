package relay

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// link is a connection to an agent, over which the streams come that the relay takes from it. To the agent it is a viewer.
type link struct {
	relay *Relay
	agent id.Agent
	id    id.Session
	log   *slog.Logger
	pc    *webrtc.PeerConnection
	ready chan struct{} // closed when the agent has answered, or not
	over  chan struct{} // closed when the connection has ended
	once  sync.Once
	seats []*seat

	connected chan struct{}
	reading   sync.WaitGroup

	// Under Relay.mu.
	err   error // why the agent did not answer
	used  time.Time
	count int // seats that it has, by its answer
}

const (
	linkIdle = 30 * time.Second // a link without a stream is kept so long
	// linkFor is how long an agent has to find its way to the relay, and noWayFor how long it is not asked again if it did
	// not: viewers have the site itself to turn to.
	linkFor  = 8 * time.Second
	noWayFor = time.Minute
)

func errNoWay() *wire.Failure {
	return wire.Fail(wire.FailedOtherwise, "The site finds no way to the relay for many viewers: watch it directly.")
}

// seat takes a place for a stream on a link to an agent: on one that is there, else on a new one.
func (r *Relay) seat(ctx context.Context, agent id.Agent) (*seat, error) {
	for {
		r.mu.Lock()
		l, s := r.place(agent)
		var err error
		switch {
		case l != nil:
		case time.Now().Before(r.noWay[agent]):
			err = errNoWay()
		default:
			l, err = r.newLink(agent)
		}
		r.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case s != nil:
			return s, nil
		}
		select { // until it is known how many seats it has
		case <-l.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		r.mu.Lock()
		err = l.err
		r.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// place finds a free seat, or a link that is about to have some; r.mu is held.
func (r *Relay) place(agent id.Agent) (*link, *seat) {
	for _, l := range r.links[agent] {
		select {
		case <-l.over:
			continue
		case <-l.ready:
		default:
			return l, nil
		}
		for i, s := range l.seats {
			if i < l.count && !s.taken && time.Since(s.freed) > seatRest {
				s.taken = true
				return l, s
			}
		}
	}
	return nil, nil
}

// newLink makes a connection to an agent, which it offers itself to; r.mu is held.
func (r *Relay) newLink(agent id.Agent) (*link, error) {
	if r.spawn == nil {
		return nil, errClosed()
	}
	l := &link{
		relay: r, agent: agent, id: id.New[id.Session](), ready: make(chan struct{}), over: make(chan struct{}), connected: make(chan struct{}),
	}
	l.log = r.log.With("agent", agent, "link", l.id)
	api, err := rtc.Setup{Port: r.port, Lite: true, Receives: true, Film: true, Log: l.log}.API()
	if err == nil {
		l.pc, err = api.NewPeerConnection(webrtc.Configuration{})
	}
	if err != nil {
		return nil, fmt.Errorf("make the relay's connection: %w", err)
	}
	if err := l.prepare(); err != nil {
		_ = l.pc.Close()
		return nil, err
	}
	r.spawn(l.run)
	r.links[agent] = append(r.links[agent], l)
	return l, nil
}

// prepare makes the places of the offer.
func (l *link) prepare() error {
	only := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	for i := range rtc.MaxSlots {
		s := &seat{link: l, index: i}
		var err error
		if s.video, err = l.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, only); err != nil {
			return fmt.Errorf("add a place for video: %w", err)
		}
		l.seats = append(l.seats, s)
	}
	for i, s := range l.seats {
		var err error
		if s.audio, err = l.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, only); err != nil {
			return fmt.Errorf("add a place for sound: %w", err)
		}
		label := rtc.ControlLabel
		if i > 0 {
			label += "-" + strconv.Itoa(i)
		}
		if s.control, err = l.pc.CreateDataChannel(label, nil); err != nil {
			return fmt.Errorf("make a control channel: %w", err)
		}
		s.control.OnMessage(func(m webrtc.DataChannelMessage) {
			if n, ok := read(m.Data); ok {
				if p := s.pull.Load(); p != nil {
					p.hear(n)
				}
			}
		})
	}
	l.pc.OnTrack(l.incoming)
	var once sync.Once
	l.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(l.connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			l.end()
		default:
		}
	})
	return nil
}

func (l *link) end() { l.once.Do(func() { close(l.over) }) }

// run blocks for the life of the connection.
func (l *link) run(ctx context.Context) {
	defer l.gone()
	err := l.offer(ctx)
	l.relay.mu.Lock()
	l.err, l.used = err, time.Now()
	l.relay.mu.Unlock()
	close(l.ready)
	if err != nil {
		return
	}
	limit := time.NewTimer(min(l.relay.cfg.Connect, linkFor))
	defer limit.Stop()
	select {
	case <-l.connected:
	case <-limit.C:
		l.log.Warn("a site's agent finds no way to the relay, so its viewers all take pictures from the site: are the relay's ports open?")
		l.relay.mu.Lock()
		l.relay.noWay[l.agent] = time.Now().Add(noWayFor)
		l.relay.mu.Unlock()
		return
	case <-l.over:
		return
	case <-ctx.Done():
		return
	}
	look := time.NewTicker(linkIdle / 4)
	defer look.Stop()
	for {
		select {
		case <-l.over:
			return
		case <-ctx.Done():
			return
		case now := <-look.C:
			if l.idle(now) {
				return
			}
		}
	}
}

// there waits until the agent has found its way.
func (l *link) there(ctx context.Context) error {
	select {
	case <-l.connected:
		return nil
	case <-l.over:
		return errNoWay()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Sessions returns the relay's sessions at an agent, which are in no other's hands: its connections, and what comes over
// them.
func (r *Relay) Sessions(agent id.Agent) (own []id.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.links[agent] {
		own = append(own, l.id)
		for _, s := range l.seats {
			if p := s.pull.Load(); p != nil {
				own = append(own, p.at())
			}
		}
	}
	return own
}

// idle says whether nothing has come over the link for long.
func (l *link) idle(now time.Time) bool {
	l.relay.mu.Lock()
	defer l.relay.mu.Unlock()
	if slices.ContainsFunc(l.seats, func(s *seat) bool { return s.taken }) {
		l.used = now
	}
	if now.Sub(l.used) > linkIdle {
		l.end() // so that nobody takes a seat any more
		return true
	}
	return false
}

// gone ends the connection and takes it out of the relay.
func (l *link) gone() {
	l.end()
	l.relay.mu.Lock()
	left := slices.DeleteFunc(l.relay.links[l.agent], func(other *link) bool { return other == l })
	if l.relay.links[l.agent] = left; len(left) == 0 {
		delete(l.relay.links, l.agent)
	}
	l.relay.mu.Unlock()
	if err := l.pc.GracefulClose(); err != nil {
		l.log.Debug("close the relay's connection", "error", err)
	}
	l.reading.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := l.relay.deps.Ask(ctx, l.agent, wire.CmdLiveClose, wire.LiveClose{Session: l.id}, nil); err != nil {
		l.log.Debug("end the relay's connection at the site", "error", err)
	}
	l.relay.deps.Ended(l.id)
}

// offer makes the agent an offer and takes its answer.
func (l *link) offer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	offer, err := l.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("make the relay's offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(l.pc)
	if err := l.pc.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("take the relay's offer: %w", err)
	}
	select { // this takes no time: the addresses are known
	case <-gathered:
	case <-ctx.Done():
		return ctx.Err()
	}
	var answer wire.LiveAnswer
	order := wire.LiveOffer{
		Session: l.id, SDP: l.pc.LocalDescription().SDP, ICE: l.relay.deps.ICE(l.agent, l.id), Codecs: []string{}, Relay: wire.RelaySelf,
	}
	if err := l.relay.deps.Ask(ctx, l.agent, wire.CmdLiveOffer, order, &answer); err != nil {
		return err
	}
	if err := l.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP}); err != nil {
		return fmt.Errorf("read the agent's answer to the relay: %w", err)
	}
	l.relay.mu.Lock()
	defer l.relay.mu.Unlock()
	l.count = max(answer.Slots, 1)
	return nil
}

// incoming reads a track of the agent's into the pull that it belongs to.
func (l *link) incoming(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	for _, s := range l.seats {
		if s.video.Receiver() != receiver && s.audio.Receiver() != receiver {
			continue
		}
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			s.ssrc.Store(uint32(track.SSRC()))
		}
		l.reading.Go(func() {
			for {
				if _, _, err := receiver.ReadRTCP(); err != nil {
					return // sender reports are seen only by one who reads
				}
			}
		})
		l.reading.Go(func() { s.read(track, codecs(receiver), rtc.Marks(receiver)) })
		return
	}
}

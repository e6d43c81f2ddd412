// Package live is the room of WebRTC sessions: live view from the Hub, playback from the disk, stills, and people who speak
// through a camera's loudspeaker (talk).
//
// It owns one peer connection per viewer (RFC 8829), on which any number of cameras share one path, the choice of the stream that a tile and a browser
// can show, and the words that say why when it is not the one that was asked for. It promises that a viewer
// starts at the newest key frame, that any number of viewers cost one pull of the camera, and that a session
// leaves nothing behind when it ends. It never slows recording: it reads the Hub through bounded readers and
// the disk through files of its own. It re-encodes
// only where the site allows it, in a program of its own.
package live

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"holdfast/agent/health"
	"holdfast/agent/live/talk"
	"holdfast/agent/pace"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// Room holds the sessions.
type Room struct {
	cfg     Config
	footage Footage
	budget  *pace.Pace
	board   *health.Board // may be nil
	log     *slog.Logger
	costs   costs
	checks  *pace.Flow // what can't wait
	tempo   tempo
	near    func(netip.Addr) bool // whether an address is in one of the machine's own private networks
	talk    *talk.Room

	mu       sync.Mutex
	port     *rtc.Port // takes new connections; nil while Run has none
	came     uint64    // sessions so far
	closed   string    // why there is no port, for a viewer; empty when nothing is wrong
	peers    map[id.Session]*peer
	sessions map[id.Session]*session
	running  sync.WaitGroup // peers
}

// New returns the Room; Run opens its UDP port. What goes to viewers on the WAN asks the budget. board may be nil.
func New(cfg Config, footage Footage, budget *pace.Pace, board *health.Board, log *slog.Logger) (*Room, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Convert = cfg.Convert.withDefaults()
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 64
	}
	if cfg.Path == 0 {
		cfg.Path = 20 * time.Second
	}
	if cfg.Idle == 0 {
		cfg.Idle = 15 * time.Minute
	}
	r := &Room{
		cfg: cfg, footage: footage, budget: budget, board: board, log: log, tempo: calm(), near: onLink,
		checks: budget.Flow(pace.Live, time.Time{}), costs: costs{by: map[id.Stream]cost{}}, peers: map[id.Session]*peer{}, sessions: map[id.Session]*session{},
	}
	r.talk = r.newTalk()
	return r, nil
}

// Run blocks until ctx ends, then ends every session and frees the port. A port that another program has is tried
// again until it is free: recording does not depend on it, so it is a condition of the site ("live") and no error.
func (r *Room) Run(ctx context.Context) error {
	port, err := r.enter(ctx)
	if err != nil {
		return err
	}
	r.findProgram()
	var talking sync.WaitGroup
	talking.Go(func() { r.talk.Run(ctx) })
	r.balance(ctx)
	talking.Wait()
	r.mu.Lock()
	r.port = nil
	for _, p := range r.peers {
		p.end()
	}
	r.mu.Unlock()
	r.running.Wait()
	if port == nil {
		return nil
	}
	return port.Close()
}

// enter opens the port and begins to take sessions; it returns nil when ctx has ended before that worked.
func (r *Room) enter(ctx context.Context) (*rtc.Port, error) {
	retry := backoff.New(backoff.Policy{Min: time.Second, Cap: 30 * time.Second})
	for told := false; ; told = true {
		port, err := rtc.OpenPort(rtc.PortConfig{Port: r.cfg.Port, Loopback: r.cfg.Loopback, Sent: r.sent}, r.log)
		if err == nil {
			r.report(port, "")
			return port, nil
		}
		if !told {
			r.log.Error("nobody can watch live: the UDP port can't be opened; it is tried again", "port", r.cfg.Port, "error", err)
		}
		r.report(nil, fmt.Sprintf("Nobody can watch this site: the agent can't open UDP port %d for live view. Stop the program that uses it, "+
			"or set another live.port in holdfast.yaml. Recording goes on.", r.cfg.Port))
		if retry.Wait(ctx, 0) != nil {
			return nil, nil
		}
	}
}

// report begins or puts off the taking of sessions and says so on the board.
func (r *Room) report(port *rtc.Port, trouble string) {
	r.mu.Lock()
	r.port, r.closed = port, trouble
	r.mu.Unlock()
	if r.board == nil {
		return
	}
	c := health.Condition{Name: "live", State: wire.OK, Text: trouble}
	if trouble != "" {
		c.State = wire.Failing
	}
	r.board.Set(c)
}

// Offer answers a viewer's offer. It makes a connection, and shows the camera that the offer names, if it names one, on
// the first slot. The error is a *wire.Failure when the viewer should read it.
func (r *Room) Offer(ctx context.Context, offer wire.LiveOffer) (wire.LiveAnswer, error) {
	if offer.Restart {
		return r.restart(ctx, offer)
	}
	view := wire.LiveView{
		Session: cmp.Or(offer.View, offer.Session), Connection: offer.Session, Camera: offer.Camera, Stream: offer.Stream,
		Width: offer.Width, Codecs: offer.Codecs, FromUs: offer.FromUs, Silent: offer.Silent,
	}
	var pick choice
	var err error
	if offer.Camera != "" {
		if pick, err = r.pick(ctx, &view, func(string) {}); err != nil {
			return wire.LiveAnswer{}, err
		}
	}
	if offer.Relay == wire.RelayOnce && r.carried(view, pick) && !r.mayBeInside(offer.SDP) {
		return wire.LiveAnswer{Relay: true}, nil
	}
	p, err := r.open(offer)
	if err != nil {
		return wire.LiveAnswer{}, err
	}
	sdp, err := p.Answer(ctx, offer.SDP, offer.Trickle)
	if err == nil && offer.Camera != "" {
		err = r.begin(view, pick)
	}
	if err != nil {
		p.end()
		return wire.LiveAnswer{}, err
	}
	answer := pick.answer()
	answer.SDP, answer.Slots = sdp, len(p.slots)
	return answer, nil
}

// restart seeks the path of a connection anew; what is shown on it goes on.
func (r *Room) restart(ctx context.Context, offer wire.LiveOffer) (wire.LiveAnswer, error) {
	r.mu.Lock()
	p := r.peers[offer.Session]
	r.mu.Unlock()
	if p == nil {
		return wire.LiveAnswer{}, errGone()
	}
	p.Use(offer.ICE)
	sdp, err := p.Restart(ctx, offer.SDP, offer.Trickle)
	return wire.LiveAnswer{SDP: sdp, Slots: len(p.slots)}, err
}

// Paths takes addresses that a viewer has learnt of itself since its offer, and returns the site's. The error is a
// *wire.Failure when the viewer should read it.
func (r *Room) Paths(ctx context.Context, told wire.LivePaths) (wire.LivePaths, error) {
	if theirs, speaks, err := r.talk.Paths(ctx, told); speaks {
		return theirs, err
	}
	r.mu.Lock()
	p := r.peers[told.Session]
	r.mu.Unlock()
	if p == nil {
		return wire.LivePaths{}, errGone()
	}
	p.Use(told.ICE)
	fragment, anew, err := p.Paths(ctx, told.Fragment)
	return wire.LivePaths{Session: told.Session, Fragment: fragment, Anew: anew}, err
}

// View shows a camera on a slot of a connection that is there; what was shown on it before ends. The error is a
// *wire.Failure when the viewer should read it. An answer with Relay shows nothing: the camera is to be had from the relay.
func (r *Room) View(ctx context.Context, view wire.LiveView) (wire.LiveAnswer, error) {
	r.mu.Lock()
	p := r.peers[view.Connection]
	r.mu.Unlock()
	if p == nil {
		return wire.LiveAnswer{}, errGone() // before a camera is asked for anything
	}
	pick, err := r.pick(ctx, &view, p.teller(view.Slot))
	if err == nil && r.sentOn(p, view, pick) {
		return wire.LiveAnswer{Relay: true}, nil
	}
	if err == nil {
		err = r.begin(view, pick)
	}
	if err != nil {
		return wire.LiveAnswer{}, err
	}
	return pick.answer(), nil
}

func errGone() *wire.Failure {
	return wire.Fail(wire.FailedGone, "The connection to the site has ended: make a new one.")
}

// pick chooses what a view shows.
func (r *Room) pick(ctx context.Context, view *wire.LiveView, tell func(text string)) (choice, error) {
	recorded := view.FromUs > 0
	if !rtc.Recorded(view.FromUs) {
		view.FromUs = 0
	}
	c, err := r.choose(ctx, *view, tell)
	c.recorded = recorded
	return c, err
}

// answer tells what a viewer will see.
func (c choice) answer() wire.LiveAnswer {
	a := wire.LiveAnswer{
		Stream: c.stream.Kind, Codec: c.codec, Audio: c.audio, Note: c.note, Unheard: c.unheard, Unseen: c.unseen,
		Reordered: c.params != nil && c.params.BFrames,
	}
	if sound := c.params.Audio(); c.audio != "" && sound.Codec == mp4.AAC {
		a.Sound = sound.ASC
	}
	return a
}

// open registers a connection and starts it.
func (r *Room) open(offer wire.LiveOffer) (*peer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed != "":
		return nil, wire.Fail(wire.FailedOtherwise, "%s", r.closed)
	case r.port == nil:
		return nil, wire.Fail(wire.FailedBusy, "The site's agent is starting or stopping. Try again in a moment.")
	case offer.Session == "":
		return nil, wire.Fail(wire.FailedRefused, "The offer names no session.")
	case len(r.peers) >= r.cfg.MaxSessions:
		return nil, wire.Fail(wire.FailedBusy, "%d people are watching this site already, which is its limit. Close a view and try again.", len(r.peers))
	case r.peers[offer.Session] != nil:
		return nil, wire.Fail(wire.FailedRefused, "This session exists already.")
	}
	ctx, cancel := context.WithCancel(context.Background()) // Run ends it
	p, err := newPeer(ctx, r, offer, cancel)
	if err != nil {
		cancel()
		return nil, err
	}
	r.peers[offer.Session] = p
	r.running.Go(func() {
		p.run(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.peers, offer.Session)
	})
	return p, nil
}

// begin starts a session on a slot.
func (r *Room) begin(view wire.LiveView, pick choice) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.peers[view.Connection]
	switch {
	case p == nil || p.toll.ctx.Err() != nil:
		return errGone()
	case view.Slot < 0 || view.Slot >= len(p.slots):
		return wire.Fail(wire.FailedRefused, "The connection has places 0 to %d, not %d.", len(p.slots)-1, view.Slot)
	case view.Session == "" || r.sessions[view.Session] != nil:
		return wire.Fail(wire.FailedRefused, "A view needs a session of its own.")
	}
	if err := r.admits(pick, p.slots[view.Slot]); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(p.toll.ctx)
	r.came++
	s, err := newSession(ctx, p, p.slots[view.Slot], view, pick, r.came, cancel)
	if err != nil {
		cancel()
		return err
	}
	if before := s.session.Swap(s); before != nil {
		before.end()
	}
	r.sessions[view.Session] = s
	p.showing.Go(func() {
		s.run(ctx)
		if s.id == p.id {
			p.end() // the connection was made for it
		}
		s.session.CompareAndSwap(s, nil)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.sessions, s.id)
	})
	return nil
}

// Close ends a session, or a connection with all that it shows; an unknown one is no error, since it may have ended by
// itself.
func (r *Room) Close(session id.Session) {
	r.talk.Close(session)
	r.mu.Lock()
	p, s := r.peers[session], r.sessions[session]
	r.mu.Unlock()
	if p != nil {
		p.end()
	}
	if s != nil {
		s.end()
	}
}

// Open returns the sessions and connections that are open, for heartbeats.
func (r *Room) Open() []id.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	open := append(slices.AppendSeq(slices.Collect(maps.Keys(r.peers)), maps.Keys(r.sessions)), r.talk.Open()...)
	slices.Sort(open)
	return slices.Compact(open)
}

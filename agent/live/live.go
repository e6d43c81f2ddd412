// Package live is the room of WebRTC sessions: live view from the Hub, playback from the disk, and stills.
//
// It owns one peer connection per viewer (RFC 8829), on which any number of cameras share one path, the choice of the stream that a tile and a browser
// can show, and the words that say why when it is not the one that was asked for. It promises that a viewer
// starts at the newest key frame, that any number of viewers cost one pull of the camera, and that a session
// leaves nothing behind when it ends. It never slows recording: it reads the Hub through bounded readers and
// the disk through files of its own. It never re-encodes.
package live

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/agent/pace"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// Config bounds the room.
type Config struct {
	Port        int           // UDP port for all sessions; 0 takes any
	Loopback    bool          // offer loopback addresses, for a browser on the same machine
	MaxSessions int           // more are refused in words; 0 means 64
	Connect     time.Duration // a connection that does not come about by then ends; 0 means 20 s
	Idle        time.Duration // a connection over which nothing was watched for so long ends; 0 means 15 min
	// Authorities are those whose certificates TURN servers may show; nil means the system's.
	Authorities *x509.CertPool
	// LAN are networks of the site beside the machine's own: who watches from there is not on the WAN.
	LAN []netip.Prefix
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	var errs []error
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("live.port: want 0 to 65535, not %d", c.Port))
	}
	if c.MaxSessions < 0 {
		errs = append(errs, fmt.Errorf("live.max_sessions: want 0 or more, not %d", c.MaxSessions))
	}
	return errors.Join(errs...)
}

// Footage is what the room reads from the floors and from the recorder; the hall fills it.
type Footage struct {
	// Hub returns the hub of a stream, nil when the site has no such stream.
	Hub func(id.Stream) *media.Hub
	// Recent returns the frames from the newest key frame up to, not including, seq, read back from disk.
	Recent func(stream id.Stream, before uint64) ([]media.Frame, error)
	// Segments returns the segments that overlap [fromUs, toUs), by time, open ones up to what is durable.
	Segments func(ctx context.Context, stream id.Stream, fromUs, toUs int64) ([]ledger.Segment, error)
	// Open opens a segment for reading and returns its present size in bytes.
	Open func(volume string, segment uint64) (File, int64, error)
	// Wall turns a moment on a run's timeline into wall time, microseconds since 1970.
	Wall func(run, monoUs int64) int64
	// Pin keeps retention away from a range of a stream until release is called, at most for ttl.
	Pin func(stream id.Stream, fromUs, toUs int64, ttl time.Duration) (release func())
	// Gap says why a stream has no video at a moment; the empty string when nothing is known.
	Gap func(ctx context.Context, stream id.Stream, atUs int64) string
	// Offset returns the cloud's clock minus the site's, microseconds, once it is known. It may be nil.
	Offset func() (us int64, known bool)
	// Rates returns how many bytes per second the streams that are pulled now bring. It may be nil.
	Rates func() map[id.Stream]float64
}

// File is an open segment.
type File interface {
	io.ReaderAt
	io.Closer
}

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
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 64
	}
	if cfg.Connect == 0 {
		cfg.Connect = 20 * time.Second
	}
	if cfg.Idle == 0 {
		cfg.Idle = 15 * time.Minute
	}
	return &Room{
		cfg: cfg, footage: footage, budget: budget, board: board, log: log, tempo: calm(), near: onLink,
		checks: budget.Flow(pace.Live, time.Time{}), costs: costs{by: map[id.Stream]cost{}}, peers: map[id.Session]*peer{}, sessions: map[id.Session]*session{},
	}, nil
}

// Run blocks until ctx ends, then ends every session and frees the port. A port that another program has is tried
// again until it is free: recording does not depend on it, so it is a condition of the site ("live") and no error.
func (r *Room) Run(ctx context.Context) error {
	port, err := r.enter(ctx)
	if err != nil {
		return err
	}
	r.balance(ctx)
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
		if pick, err = r.pick(ctx, &view); err != nil {
			return wire.LiveAnswer{}, err
		}
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
	sdp, err := p.Restart(ctx, offer.SDP, offer.Trickle)
	return wire.LiveAnswer{SDP: sdp, Slots: len(p.slots)}, err
}

// Paths takes addresses that a viewer has learnt of itself since its offer, and returns the site's. The error is a
// *wire.Failure when the viewer should read it.
func (r *Room) Paths(ctx context.Context, told wire.LivePaths) (wire.LivePaths, error) {
	r.mu.Lock()
	p := r.peers[told.Session]
	r.mu.Unlock()
	if p == nil {
		return wire.LivePaths{}, errGone()
	}
	fragment, err := p.Paths(ctx, told.Fragment)
	return wire.LivePaths{Session: told.Session, Fragment: fragment}, err
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
	pick, err := r.pick(ctx, &view)
	if err == nil && r.sentOn(p, view, pick.stream) {
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
func (r *Room) pick(ctx context.Context, view *wire.LiveView) (choice, error) {
	if !rtc.Recorded(view.FromUs) {
		view.FromUs = 0
	}
	return r.choose(ctx, *view)
}

// answer tells what a viewer will see.
func (c choice) answer() wire.LiveAnswer {
	return wire.LiveAnswer{Stream: c.stream.Kind, Codec: c.codec, Audio: c.audio, Note: c.note}
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
	ctx, cancel := context.WithCancel(p.toll.ctx)
	r.came++
	s, err := newSession(p, p.slots[view.Slot], view, pick, r.came, cancel)
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
	open := slices.AppendSeq(slices.Collect(maps.Keys(r.peers)), maps.Keys(r.sessions))
	slices.Sort(open)
	return slices.Compact(open)
}

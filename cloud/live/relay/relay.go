// Package relay is the cloud's relay for many viewers: it takes one copy of a camera from a site and gives it to everybody
// who watches, so that a narrow line serves a crowd.
//
// It owns the connections of those viewers, and one of its own to each site that they watch. It promises that a camera is
// on a site's line once however many watch it here, that a newcomer starts at the newest key frame without another one
// being asked for, and that a viewer with a bad line gets less without the others noticing. It never decides who may
// watch, never decodes a picture, and keeps none longer than a group of pictures. Who has no WebRTC gets MP4 made of the
// same copy, over a WebSocket; a recording over that has a pull of its own.
package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// Config bounds the relay.
type Config struct {
	Port     int           // UDP and TCP; 0 takes any
	Address  netip.Addr    // by which the world reaches this machine; unset: whatever addresses it has
	Loopback bool          // offer loopback addresses, for viewers on the same machine
	Viewers  int           // connections at once; 0 means 256
	Reels    int           // cameras shown by WebSocket at once; 0 means 1024: a person has one for each tile
	Connect  time.Duration // a connection that does not come about by then ends; 0 means 20 s
	Idle     time.Duration // a connection over which nothing was watched for so long ends; 0 means 15 min
	Linger   time.Duration // a stream is kept so long for whoever comes back; 0 means 5 s
}

// Deps are what the relay needs of the broker.
type Deps struct {
	// Ask sends a command to an agent and reads its reply into into, unless that is nil. The error is a *wire.Failure when
	// the viewer should read it.
	Ask func(ctx context.Context, agent id.Agent, typ wire.CommandType, body, into any) error
	// ICE returns the servers that help an agent to reach the relay over a connection of its own.
	ICE func(agent id.Agent, connection id.Session) []wire.ICEServer
	// Ended is told of each session that Offer or View began, once it is over, and of connections to agents. It must not
	// call back.
	Ended func(id.Session)
}

// Relay holds the viewers and the streams that they share. Safe for concurrent use.
type Relay struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	port *rtc.Port

	mu      sync.Mutex
	spawn   func(fn func(ctx context.Context)) // runs fn until it ends by itself or with the relay; nil while that is closed
	viewers map[id.Session]*viewer
	legs    map[id.Session]*leg
	reels   map[id.Session]*reel
	links   map[id.Agent][]*link
	noWay   map[id.Agent]time.Time // agents that found no way to the relay; until then they are not asked again
	pulls   map[want]*pull         // by what is wanted: several wants may come to one pull
	streams map[source]*pull       // by what is sent: one pull each
	running sync.WaitGroup
	dropped atomic.Int64
}

// New opens the relay's port; Run must follow.
func New(cfg Config, deps Deps, log *slog.Logger) (*Relay, error) {
	cfg.Viewers, cfg.Reels, cfg.Connect = cmp.Or(cfg.Viewers, 256), cmp.Or(cfg.Reels, 1024), cmp.Or(cfg.Connect, 20*time.Second)
	cfg.Idle, cfg.Linger = cmp.Or(cfg.Idle, 15*time.Minute), cmp.Or(cfg.Linger, 5*time.Second)
	port, err := rtc.OpenPort(rtc.PortConfig{Port: cfg.Port, Address: cfg.Address, Loopback: cfg.Loopback, TCPMost: 4 * cfg.Viewers}, log)
	if err != nil {
		return nil, fmt.Errorf("open the relay: %w", err)
	}
	return &Relay{
		cfg: cfg, deps: deps, log: log, port: port, viewers: map[id.Session]*viewer{}, legs: map[id.Session]*leg{},
		reels: map[id.Session]*reel{},
		links: map[id.Agent][]*link{}, noWay: map[id.Agent]time.Time{}, pulls: map[want]*pull{}, streams: map[source]*pull{},
	}, nil
}

// Port returns the number of the relay's UDP and TCP port.
func (r *Relay) Port() int { return r.port.Number() }

// Run serves until ctx ends, then ends every session and frees the port.
func (r *Relay) Run(ctx context.Context) error {
	r.mu.Lock()
	r.spawn = func(fn func(context.Context)) { r.running.Go(func() { fn(ctx) }) }
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.spawn = nil
	r.mu.Unlock()
	r.running.Wait()
	return r.port.Close()
}

// within returns ctx, which ends with the channels too.
func within(ctx context.Context, a, b <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-a:
		case <-b:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}

func errClosed() *wire.Failure {
	return wire.Fail(wire.FailedBusy, "The relay for live view is starting or stopping. Try again in a moment.")
}

func errGone() *wire.Failure {
	return wire.Fail(wire.FailedGone, "The connection to the relay has ended: make a new one.")
}

// Offer answers the offer of a viewer of an agent's cameras. It makes a connection, and shows the camera that the offer
// names, if it names one, on the first slot. The error is a *wire.Failure when the viewer should read it.
func (r *Relay) Offer(ctx context.Context, agent id.Agent, offer wire.LiveOffer) (wire.LiveAnswer, error) {
	v, err := r.admit(agent, offer)
	if err != nil {
		return wire.LiveAnswer{}, err
	}
	var answer wire.LiveAnswer
	sdp, err := v.Answer(ctx, offer.SDP, offer.Trickle)
	if err == nil && offer.Camera != "" {
		answer, err = r.View(ctx, wire.LiveView{
			Session: cmp.Or(offer.View, offer.Session), Connection: offer.Session, Camera: offer.Camera, Stream: offer.Stream,
			Width: offer.Width, Codecs: offer.Codecs, FromUs: offer.FromUs, Silent: offer.Silent,
		})
	}
	if err != nil {
		r.mu.Lock()
		v.refused = true
		r.mu.Unlock()
		v.end()
		return wire.LiveAnswer{}, err
	}
	answer.SDP, answer.Slots = sdp, len(v.slots)
	return answer, nil
}

// Restart seeks the path of a viewer's connection anew; what is shown on it goes on. The error is a *wire.Failure when the
// viewer should read it.
func (r *Relay) Restart(ctx context.Context, offer wire.LiveOffer) (wire.LiveAnswer, error) {
	r.mu.Lock()
	v := r.viewers[offer.Session]
	r.mu.Unlock()
	if v == nil {
		return wire.LiveAnswer{}, errGone()
	}
	sdp, err := v.Restart(ctx, offer.SDP, offer.Trickle)
	return wire.LiveAnswer{SDP: sdp, Slots: len(v.slots)}, err
}

// Paths is the agent's, for a viewer of the relay.
func (r *Relay) Paths(ctx context.Context, told wire.LivePaths) (wire.LivePaths, error) {
	r.mu.Lock()
	v := r.viewers[told.Session]
	r.mu.Unlock()
	if v == nil {
		return wire.LivePaths{}, errGone()
	}
	fragment, anew, err := v.Paths(ctx, told.Fragment)
	return wire.LivePaths{Session: told.Session, Fragment: fragment, Anew: anew}, err
}

// admit makes the connection that belongs to an offer, and starts it.
func (r *Relay) admit(agent id.Agent, offer wire.LiveOffer) (*viewer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.spawn == nil:
		return nil, errClosed()
	case offer.Session == "" || r.viewers[offer.Session] != nil:
		return nil, wire.Fail(wire.FailedRefused, "The offer needs a session of its own.")
	case len(r.viewers) >= r.cfg.Viewers:
		return nil, wire.Fail(wire.FailedBusy, "%d people are watching through the relay already, which is its limit. Close a view and try again.", len(r.viewers))
	}
	v, err := newViewer(r, agent, offer)
	if err != nil {
		return nil, err
	}
	r.viewers[v.id] = v
	r.spawn(func(ctx context.Context) {
		v.run(ctx)
		r.mu.Lock()
		delete(r.viewers, v.id)
		refused := v.refused
		r.mu.Unlock()
		if !refused {
			r.deps.Ended(v.id)
		}
	})
	return v, nil
}

// View shows a camera on a slot of a connection that is there; what was shown on it before ends. Recordings are not for
// the relay. The error is a *wire.Failure when the viewer should read it.
func (r *Relay) View(ctx context.Context, view wire.LiveView) (wire.LiveAnswer, error) {
	r.mu.Lock()
	v := r.viewers[view.Connection]
	_, taken := r.legs[view.Session]
	r.mu.Unlock()
	switch {
	case v == nil:
		return wire.LiveAnswer{}, errGone()
	case view.Slot < 0 || view.Slot >= len(v.slots):
		return wire.LiveAnswer{}, wire.Fail(wire.FailedRefused, "The connection has places 0 to %d, not %d.", len(v.slots)-1, view.Slot)
	case view.Session == "" || taken:
		return wire.LiveAnswer{}, wire.Fail(wire.FailedRefused, "A view needs a session of its own.")
	case view.FromUs != 0:
		return wire.LiveAnswer{}, wire.Fail(wire.FailedRefused, "Recordings are played over a connection to the site itself.")
	}
	p, err := r.take(ctx, v.agent, view)
	if err != nil {
		return wire.LiveAnswer{}, err
	}
	answer := p.answerTo(wantOf(v.agent, view))
	if codec, ok := codecOf(answer.Codec); !ok || !slices.Contains(v.slots[view.Slot].Takes, codec) {
		p.leave()
		return wire.LiveAnswer{}, wire.Fail(wire.FailedCodec, "The browser's offer has no place for %s video.", answer.Codec)
	}
	if err := r.show(v, view, p); err != nil {
		p.leave()
		return wire.LiveAnswer{}, err
	}
	return answer, nil
}

// show starts a leg on a slot. The leg takes the caller's share of the pull over.
func (r *Relay) show(v *viewer, view wire.LiveView, p *pull) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.spawn == nil:
		return errClosed()
	case v.ended:
		return errGone()
	}
	l := newLeg(v, v.slots[view.Slot], view, p)
	r.legs[l.id] = l
	v.showing.Add(1)
	if before := l.slot.leg.Swap(l); before != nil {
		before.end()
	}
	r.spawn(func(ctx context.Context) {
		l.run(ctx)
		l.slot.leg.CompareAndSwap(l, nil)
		r.mu.Lock()
		delete(r.legs, l.id)
		r.mu.Unlock()
		v.showing.Done()
		if l.id != v.id {
			r.deps.Ended(l.id)
		} else {
			v.end() // the connection was made for it
		}
	})
	return nil
}

// Close ends a session, or a connection with all that it shows. It reports false for one that it does not know.
func (r *Relay) Close(session id.Session) bool {
	r.mu.Lock()
	v, l, s := r.viewers[session], r.legs[session], r.reels[session]
	r.mu.Unlock()
	if s != nil {
		s.part("")
	}
	if v != nil {
		v.end()
	}
	if l != nil {
		l.end()
	}
	return v != nil || l != nil || s != nil
}

// Load is how much the relay carries.
type Load struct {
	Viewers int // connections
	Legs    int // cameras shown to them
	Pulls   int // streams taken from sites
	Reels   int // cameras shown by WebSocket
	Dropped int // groups of pictures that were left out there, because a viewer's line was too slow for them
}

// Load returns how much the relay carries now.
func (r *Relay) Load() Load {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Load{Viewers: len(r.viewers), Legs: len(r.legs), Pulls: len(r.streams), Reels: len(r.reels), Dropped: int(r.dropped.Load())}
}

// words turns an error into what a viewer is told.
func words(err error) string {
	var failure *wire.Failure
	if errors.As(err, &failure) {
		return failure.Text
	}
	return "The relay can't reach the site at this moment."
}

// read decodes what an agent says over a control channel.
func read(text []byte) (n rtc.Note, ok bool) {
	return n, len(text) <= 4096 && json.Unmarshal(text, &n) == nil
}

// codecOf is the codec of pictures by its RFC 6381 name.
func codecOf(name string) (mp4.Codec, bool) {
	switch entry, _, _ := strings.Cut(name, "."); entry {
	case "avc1", "avc3":
		return mp4.H264, true
	case "hvc1", "hev1":
		return mp4.H265, true
	default:
		return 0, false
	}
}

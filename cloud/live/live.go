// Package live is the broker between a browser and an agent: it passes offer and answer on, hands out ICE
// servers, remembers who watches what, and ends what may no longer be watched.
//
// It owns live sessions as the cloud sees them. It promises that a session dies within a minute of its
// viewer's right to it. It never sees a picture: media goes from the agent to the browser.
package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config bounds the broker.
type Config struct {
	ICE      []wire.ICEServer // STUN and TURN servers for both ends
	Recheck  time.Duration    // how often rights are looked at again; 0 means 20 s
	MaxSDP   int              // bytes of an offer; 0 means 64 KiB
	PerSite  int              // sessions of one site; 0 means 64
	Lifetime time.Duration    // a session older than this is forgotten; 0 means 12 h
}

// Agents is how commands reach an agent.
type Agents interface {
	// Command sends a command and waits for its reply; payload is the reply's attachment.
	Command(ctx context.Context, agent id.Agent, typ wire.CommandType, body any) (reply wire.Reply, payload []byte, err error)
}

// Place says where a camera is.
type Place struct {
	Org    id.Org
	Site   id.Site
	Agent  id.Agent // empty when no agent is enrolled
	Camera id.Camera
}

// Viewer is somebody who watches; Token is what the rights are checked by.
type Viewer struct {
	Person  id.Person
	Session id.Session // of the portal
}

// Wish is what a viewer asks for.
type Wish struct {
	SDP    string
	Stream id.StreamKind // empty: the agent chooses
	Width  int           // device pixels of the tile
	Codecs []string      // "h264", "h265"
	FromUs int64         // above 0: playback from there
}

// Answer is the agent's answer and the session it opened.
type Answer struct {
	Session id.Session
	wire.LiveAnswer
}

// Offline is the code of a Failure when the site's agent can't be asked.
const Offline wire.FailureCode = "offline"

type session struct {
	id     id.Session
	place  Place
	viewer Viewer
	began  time.Time
	replay bool
}

// Broker holds the sessions of this replica.
type Broker struct {
	cfg     Config
	agents  Agents
	allowed func(ctx context.Context, v Viewer, p Place, playback bool) bool
	log     *slog.Logger

	mu       sync.Mutex
	sessions map[id.Session]session
}

// New returns a Broker. allowed says whether a viewer may (still) watch a place; it is asked again and again
// while the session lasts.
func New(cfg Config, agents Agents, allowed func(context.Context, Viewer, Place, bool) bool, log *slog.Logger) *Broker {
	if cfg.Recheck == 0 {
		cfg.Recheck = 20 * time.Second
	}
	if cfg.MaxSDP == 0 {
		cfg.MaxSDP = 64 << 10
	}
	if cfg.PerSite == 0 {
		cfg.PerSite = 64
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = 12 * time.Hour
	}
	return &Broker{cfg: cfg, agents: agents, allowed: allowed, log: log, sessions: map[id.Session]session{}}
}

// ICE returns the ICE servers for a browser.
func (b *Broker) ICE() []wire.ICEServer { return b.cfg.ICE }

// Run looks at rights again and again until ctx ends.
func (b *Broker) Run(ctx context.Context) error {
	tick := time.NewTicker(b.cfg.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.recheck(ctx)
		}
	}
}

func (b *Broker) recheck(ctx context.Context) {
	for _, s := range b.list() {
		old := time.Since(s.began) > b.cfg.Lifetime
		if !old && b.allowed(ctx, s.viewer, s.place, s.replay) {
			continue
		}
		b.log.Info("live session ends: the right to it is gone", "session", s.id, "camera", s.place.Camera)
		b.drop(ctx, s)
	}
}

func (b *Broker) list() []session {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]session, 0, len(b.sessions))
	for _, s := range b.sessions {
		out = append(out, s)
	}
	return out
}

// Offer passes a wish on to the agent and returns its answer. The error is a *wire.Failure when the viewer should
// read it.
func (b *Broker) Offer(ctx context.Context, v Viewer, p Place, w Wish) (Answer, error) {
	switch {
	case len(w.SDP) == 0 || len(w.SDP) > b.cfg.MaxSDP:
		return Answer{}, wire.Fail(wire.FailedRefused, "The offer has %d bytes, want 1 to %d.", len(w.SDP), b.cfg.MaxSDP)
	case p.Agent == "":
		return Answer{}, wire.Fail(Offline, "No agent is enrolled at this site yet. Add one in the site's settings.")
	}
	s := session{id: id.New[id.Session](), place: p, viewer: v, began: time.Now(), replay: w.FromUs > 0}
	if !b.admit(s) {
		return Answer{}, wire.Fail(wire.FailedBusy, "Too many views of this site are open. Close one and try again.")
	}
	offer := wire.LiveOffer{
		Session: s.id, Camera: p.Camera, Stream: w.Stream, Width: w.Width, SDP: w.SDP, Codecs: w.Codecs,
		ICE: b.cfg.ICE, FromUs: w.FromUs,
	}
	var answer wire.LiveAnswer
	if _, err := b.ask(ctx, p.Agent, wire.CmdLiveOffer, offer, &answer); err != nil {
		b.forget(s.id)
		return Answer{}, err
	}
	return Answer{Session: s.id, LiveAnswer: answer}, nil
}

// Still fetches one key frame.
func (b *Broker) Still(ctx context.Context, p Place, atUs int64) (wire.StillReply, []byte, error) {
	if p.Agent == "" {
		return wire.StillReply{}, nil, wire.Fail(Offline, "No agent is enrolled at this site yet.")
	}
	var reply wire.StillReply
	payload, err := b.ask(ctx, p.Agent, wire.CmdStill, wire.StillOrder{Camera: p.Camera, AtUs: atUs}, &reply)
	return reply, payload, err
}

// ask sends a command and decodes its reply; what the agent refuses becomes a *wire.Failure.
func (b *Broker) ask(ctx context.Context, agent id.Agent, typ wire.CommandType, body, into any) ([]byte, error) {
	reply, payload, err := b.agents.Command(ctx, agent, typ, body)
	if err != nil {
		return nil, err
	}
	if reply.Error != "" {
		return nil, &wire.Failure{Code: reply.Code, Text: reply.Error}
	}
	if into != nil {
		if err := json.Unmarshal(reply.Body, into); err != nil {
			return nil, fmt.Errorf("read the agent's reply to %s: %w", typ, err)
		}
	}
	return payload, nil
}

func (b *Broker) admit(s session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, other := range b.sessions {
		if other.place.Site == s.place.Site {
			n++
		}
	}
	if n >= b.cfg.PerSite {
		return false
	}
	b.sessions[s.id] = s
	return true
}

func (b *Broker) forget(sid id.Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, sid)
}

// ErrUnknown says that there is no such session of this viewer.
var ErrUnknown = errors.New("no such live session")

// Close ends a viewer's own session.
func (b *Broker) Close(ctx context.Context, v Viewer, sid id.Session) error {
	b.mu.Lock()
	s, ok := b.sessions[sid]
	b.mu.Unlock()
	if !ok || s.viewer.Person != v.Person {
		return ErrUnknown
	}
	b.drop(ctx, s)
	return nil
}

// drop forgets a session and tells the agent. An agent that can't be reached ends it by itself: without a
// session to the cloud nobody answers for it.
func (b *Broker) drop(ctx context.Context, s session) {
	b.forget(s.id)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := b.ask(ctx, s.place.Agent, wire.CmdLiveClose, wire.LiveClose{Session: s.id}, nil); err != nil {
		b.log.Debug("tell agent that a live session ended", "session", s.id, "error", err)
	}
}

// Watching returns how many sessions a site has.
func (b *Broker) Watching(site id.Site) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, s := range b.sessions {
		if s.place.Site == site {
			n++
		}
	}
	return n
}

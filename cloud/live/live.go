// Package live is the broker between a browser and an agent: it passes offer and answer on, hands out ICE
// servers, and remembers which sessions are open and where.
//
// It owns live sessions as the cloud sees them; the agent's heartbeats say which of them are still there, and the relay
// for many viewers which of its own. It promises that closing a session reaches whoever serves it, and that none goes on at
// a site which nobody here knows: it forgets all with a restart, after which viewers lose their picture and, as the portal
// does by itself, connect anew, when their right is read again. It decides nothing about
// rights (the door does), not even who may move a camera, and it never sees a picture: media goes from the agent, or from the relay, to the browser.
package live

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"holdfast/cloud/live/relay"
	"holdfast/cloud/live/turn"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config bounds the broker.
type Config struct {
	ICE     []wire.ICEServer // STUN and TURN servers of others, for both ends
	Turn    *turn.Server     // the cloud's own; nil without one
	MaxSDP  int              // bytes of an offer; 0 means 64 KiB
	PerSite int              // connections to one site; 0 means 64
	Settle  time.Duration    // a session that the agent does not report after this has ended; 0 means 45 s
	Relay   *relay.Config    // of the relay for many viewers; nil: none
	// Silent is told that somebody's talk has ended. It may be nil, and must not block.
	Silent func(id.Session)
}

// Agents is how commands reach an agent.
type Agents interface {
	// Command sends a command and waits for its reply; payload is the reply's attachment.
	Command(ctx context.Context, agent id.Agent, typ wire.CommandType, body any) (reply wire.Reply, payload []byte, err error)
}

// Place says where a camera is.
type Place struct {
	Site   id.Site
	Agent  id.Agent // empty when no agent is enrolled
	Camera id.Camera
}

// Offline is the code of a Failure when the site's agent can't be asked.
const Offline wire.FailureCode = "offline"

// session is a connection, or what is shown over one.
type session struct {
	place Place
	over  id.Session // the connection; empty for a connection itself
	began time.Time  // zero: its agent has not answered yet, and knows nothing of it
	lent  time.Time  // when its agent was given servers last
	ended bool       // closed here; the agent has not confirmed it
	relay bool       // the relay serves it, not the agent
	talk  bool       // somebody speaks over it
}

// perConnection bounds what is shown over one connection at once: more than an agent has slots for, since what ended
// there is known here a little later.
const perConnection = 64

// Broker holds the sessions of this replica.
type Broker struct {
	cfg    Config
	agents Agents
	log    *slog.Logger
	relay  *relay.Relay // nil without one
	born   time.Time

	mu       sync.Mutex
	sessions map[id.Session]session
	strange  map[id.Agent][]id.Session // that an agent has reported last and nobody here knows
}

// New returns a Broker, and opens the relay's port; Run must follow.
func New(cfg Config, agents Agents, log *slog.Logger) (*Broker, error) {
	if cfg.MaxSDP == 0 {
		cfg.MaxSDP = 64 << 10
	}
	if cfg.PerSite == 0 {
		cfg.PerSite = 64
	}
	if cfg.Settle == 0 {
		cfg.Settle = 45 * time.Second
	}
	b := &Broker{
		cfg: cfg, agents: agents, log: log, born: time.Now(), sessions: map[id.Session]session{}, strange: map[id.Agent][]id.Session{},
	}
	if cfg.Relay == nil {
		return b, nil
	}
	var err error
	b.relay, err = relay.New(*cfg.Relay, relay.Deps{
		Ask: func(ctx context.Context, agent id.Agent, typ wire.CommandType, body, into any) error {
			_, err := b.ask(ctx, agent, typ, body, into)
			return err
		},
		ICE: b.lend, Ended: b.forget,
	}, log.With("part", "relay"))
	return b, err
}

// ICE returns the ICE servers for the browser of a person; the credentials are for one connection.
func (b *Broker) ICE(person id.Person) []wire.ICEServer { return b.servers(string(person)) }

func (b *Broker) servers(holder string) []wire.ICEServer {
	if b.cfg.Turn == nil {
		return b.cfg.ICE
	}
	return append(b.cfg.Turn.Mint(holder), b.cfg.ICE...)
}

// bind has the cloud's relays serve a connection as long as it is open: by the credentials that its viewer has named, if
// they are its own, and by those that the agent is given.
func (b *Broker) bind(offer *wire.LiveOffer, p Place, by Viewer) {
	if by.Through != Relay {
		offer.ICE = b.lend(p.Agent, offer.Session)
	}
	if b.cfg.Turn == nil {
		return
	}
	if by.Credentials != "" && !b.cfg.Turn.Bind(by.Credentials, string(by.Person), offer.Session) {
		b.log.Info("a viewer named relay credentials that are not its own or have ended: it connects without the cloud's relay", "session", offer.Session)
	}
}

// Viewer is who makes a connection.
type Viewer struct {
	Person      id.Person
	Through     Way
	Credentials string // user name of those that ICE gave it, which it uses for this connection; empty for none
}

// Offer passes an offer on to the agent and returns its answer; offer.Session names the connection, and offer.View, if it
// is set, what is shown over it at once. The error is a *wire.Failure when the viewer should read it.
func (b *Broker) Offer(ctx context.Context, p Place, offer wire.LiveOffer, by Viewer) (wire.LiveAnswer, error) {
	switch {
	case len(offer.SDP) == 0 || len(offer.SDP) > b.cfg.MaxSDP:
		return wire.LiveAnswer{}, wire.Fail(wire.FailedRefused, "The offer has %d bytes, want 1 to %d.", len(offer.SDP), b.cfg.MaxSDP)
	case p.Agent == "":
		return wire.LiveAnswer{}, noAgent()
	case by.Through == Relay && b.relay == nil:
		return wire.LiveAnswer{}, wire.Fail(wire.FailedRefused, "There is no relay for live view here: connect to the site itself.")
	case !b.admit(offer.Session, session{place: p, began: time.Now(), relay: by.Through == Relay}):
		return wire.LiveAnswer{}, tooMany()
	}
	if offer.View != "" && !b.admit(offer.View, session{place: p, over: offer.Session, began: time.Now(), relay: by.Through == Relay}) {
		b.forget(offer.Session)
		return wire.LiveAnswer{}, tooMany()
	}
	offer.Camera = p.Camera
	b.bind(&offer, p, by)
	var answer wire.LiveAnswer
	var err error
	if by.Through == Relay {
		answer, err = b.relay.Offer(ctx, p.Agent, offer)
	} else {
		switch {
		case b.relay == nil:
		case by.Through == Either:
			offer.Relay = wire.RelayNear
		case by.Through == Auto:
			offer.Relay = wire.RelayOnce
		}
		_, err = b.ask(ctx, p.Agent, wire.CmdLiveOffer, offer, &answer)
		if err == nil && answer.Relay && offer.Relay == wire.RelayOnce {
			answer, err = b.onward(ctx, p, offer)
		}
	}
	if err != nil {
		b.forget(offer.Session)
		return wire.LiveAnswer{}, err
	}
	return answer, nil
}

// View has a camera shown over a connection that an offer made; view.Session names what is shown. An answer with Relay
// shows nothing: the viewer is to take the camera from the relay. The error is a *wire.Failure when the viewer should read
// it.
func (b *Broker) View(ctx context.Context, p Place, view wire.LiveView) (wire.LiveAnswer, error) {
	if p.Agent == "" {
		return wire.LiveAnswer{}, noAgent()
	}
	relayed := b.relayed(view.Connection)
	if !b.admit(view.Session, session{place: p, over: view.Connection, began: time.Now(), relay: relayed}) {
		return wire.LiveAnswer{}, tooMany()
	}
	view.Camera = p.Camera
	var answer wire.LiveAnswer
	var err error
	if relayed {
		answer, err = b.relay.View(ctx, view)
	} else {
		_, err = b.ask(ctx, p.Agent, wire.CmdLiveView, view, &answer)
	}
	if err != nil || answer.Relay {
		b.forget(view.Session)
	}
	if err != nil {
		return wire.LiveAnswer{}, err
	}
	return answer, nil
}

func tooMany() error {
	return wire.Fail(wire.FailedBusy, "Too many views of this site are open. Close one and try again.")
}

func noAgent() error {
	return wire.Fail(Offline, "No agent is enrolled at this site yet. Add one in the site's settings.")
}

// Still fetches one key frame as Annex B.
func (b *Broker) Still(ctx context.Context, p Place, order wire.StillOrder) (wire.StillReply, []byte, error) {
	if p.Agent == "" {
		return wire.StillReply{}, nil, noAgent()
	}
	order.Camera = p.Camera
	var reply wire.StillReply
	payload, err := b.ask(ctx, p.Agent, wire.CmdStill, order, &reply)
	return reply, payload, err
}

// Steer has a camera carry out an order, or tell what it can do.
func (b *Broker) Steer(ctx context.Context, p Place, order wire.PTZOrder) (wire.PTZReply, error) {
	if p.Agent == "" {
		return wire.PTZReply{}, noAgent()
	}
	order.Camera = p.Camera
	var reply wire.PTZReply
	_, err := b.ask(ctx, p.Agent, wire.CmdPTZ, order, &reply)
	reply.Tidy()
	return reply, err
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

func (b *Broker) admit(sid id.Session, s session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, taken := b.sessions[sid]; taken {
		return false
	}
	if s.over == "" && !s.relay && b.direct(s.place.Site) >= b.cfg.PerSite || s.over != "" && b.over(s.over) >= perConnection {
		return false
	}
	b.sessions[sid] = s
	return true
}

func (b *Broker) forget(sid id.Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(sid)
}

// remove forgets a session, and what is shown over it when it is a connection. The cloud's relays carry it no longer.
func (b *Broker) remove(sid id.Session) {
	if s := b.sessions[sid]; s.talk && !s.ended && b.cfg.Silent != nil {
		b.cfg.Silent(sid)
	}
	delete(b.sessions, sid)
	if b.cfg.Turn != nil {
		b.cfg.Turn.End(sid)
	}
	for other, s := range b.sessions {
		if s.over == sid {
			delete(b.sessions, other)
		}
	}
}

// Open reports whether a session has not ended yet, as far as is known.
func (b *Broker) Open(sid id.Session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.sessions[sid]
	return ok && !s.ended
}

// closing is how long an agent has to confirm the end of a session.
const closing = 5 * time.Second

// Close ends a session; no error if it ended already. After an error it counts as ended here, and an agent that still
// reports it is told once more.
func (b *Broker) Close(ctx context.Context, sid id.Session) error {
	b.mu.Lock()
	s, ok := b.sessions[sid]
	again := s.ended
	if ok {
		b.remove(sid)
		s.ended = true
		b.sessions[sid] = s
	}
	b.mu.Unlock()
	switch {
	case !ok || again:
		return nil
	case s.relay:
		b.forget(sid)
		b.relay.Close(sid)
		return nil
	}
	return b.finish(ctx, sid, s.place.Agent)
}

// finish has an agent end a session, and forgets it then.
func (b *Broker) finish(ctx context.Context, sid id.Session, agent id.Agent) error {
	ctx, cancel := context.WithTimeout(ctx, closing)
	defer cancel()
	if _, err := b.ask(ctx, agent, wire.CmdLiveClose, wire.LiveClose{Session: sid}, nil); err != nil {
		return fmt.Errorf("close live session: %w", err)
	}
	b.forget(sid)
	return nil
}

// Watching returns how many connections a site has.
func (b *Broker) Watching(site id.Site) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.direct(site)
	for _, s := range b.sessions {
		if s.place.Site == site && s.over == "" && s.relay {
			n++
		}
	}
	return n
}

// direct returns how many connections a site serves itself.
func (b *Broker) direct(site id.Site) int {
	n := 0
	for _, s := range b.sessions {
		if s.place.Site == site && s.over == "" && !s.relay && !s.ended {
			n++
		}
	}
	return n
}

// over returns how much is shown over a connection.
func (b *Broker) over(connection id.Session) int {
	n := 0
	for _, s := range b.sessions {
		if s.over == connection && !s.ended {
			n++
		}
	}
	return n
}

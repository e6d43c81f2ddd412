package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// ErrBusy says that too many commands of this agent wait for their reply.
var ErrBusy = errors.New("the site is busy with other requests: try again in a moment")

// ErrOffline says that the agent has no session.
type ErrOffline struct {
	SinceUs int64 // when it was last seen; 0 if never
}

// Error says since when, for a person.
func (e ErrOffline) Error() string {
	if e.SinceUs == 0 {
		return "the site has not been online yet"
	}
	return "the site is offline since " + time.UnixMicro(e.SinceUs).UTC().Format("2006-01-02 15:04:05 UTC")
}

// pending is a command that waits for its reply.
type pending struct {
	payload []byte
	result  chan result // with room for one
}

type result struct {
	reply   wire.Reply
	payload []byte
	err     error
}

func emptyDigest() []byte {
	sum := sha256.Sum256(nil)
	return sum[:]
}

// loop serves a welcomed session and returns why it ended.
func (g *Gateway) loop(ctx context.Context, s *session) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var lost error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lost = g.receive(ctx, s)
	}()
	select {
	case <-ended:
		return g.over(s, lost)
	case <-s.leave:
		s.mu.Lock()
		bye := *s.leaving
		s.mu.Unlock()
		g.goodbye(s, bye)
		_ = s.conn.CloseNow() // ends the reading, if the close handshake has not
		<-ended
		return bye.Text
	}
}

// over says bye for the errors that the agent should know of, and returns the reason in words.
func (g *Gateway) over(s *session, err error) string {
	var refusal *wire.Refusal
	switch {
	case errors.As(err, &refusal):
		if refusal.Code == wire.RefusedSignature || refusal.Code == wire.RefusedReplay {
			g.alarm(context.Background(), Alarm{Kind: AlarmForged, Ref: s.ref, Addr: s.addr, Text: refusal.Text})
		}
		g.goodbye(s, farewell(err))
		return refusal.Text
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no heartbeat came for %v", 3*g.cfg.Heartbeat)
	case errors.Is(err, errBye):
		_ = s.conn.CloseNow() // the agent has said bye and closes too
		return "the agent stopped"
	default:
		return "the connection was cut: " + err.Error()
	}
}

var errBye = errors.New("the agent said bye")

func (g *Gateway) receive(ctx context.Context, s *session) error {
	for {
		frame, err := s.read(ctx, 3*g.cfg.Heartbeat)
		if err != nil {
			return err
		}
		if err := s.frames.Wait(ctx); err != nil {
			return err
		}
		if err := g.take(ctx, s, frame); err != nil {
			return err
		}
	}
}

func (g *Gateway) take(ctx context.Context, s *session, frame wire.Frame) error {
	switch frame.Type {
	case wire.FrameHeartbeat:
		return g.heartbeat(ctx, s, frame)
	case wire.FramePayload:
		var p wire.Payload
		if err := wire.Decode(frame.Message, &p); err != nil {
			return wire.Refuse(wire.RefusedProtocol, "a payload cannot be read: %v", err)
		}
		s.gather(p.ID, frame.Body)
		return nil
	case wire.FrameReply:
		var r wire.Reply
		if err := wire.Decode(frame.Message, &r); err != nil {
			return wire.Refuse(wire.RefusedProtocol, "a reply cannot be read: %v", err)
		}
		s.gather(r.ID, frame.Body)
		s.resolve(r)
		return nil
	case wire.FrameBye:
		return errBye
	case wire.FrameHello:
		return wire.Refuse(wire.RefusedProtocol, "a second hello came")
	default:
		return nil // of a later version
	}
}

func (g *Gateway) heartbeat(ctx context.Context, s *session, frame wire.Frame) error {
	var beat wire.Heartbeat
	err := wire.Decode(frame.Message, &beat)
	if err == nil {
		err = beat.Tidy()
	}
	if err != nil {
		return wire.Refuse(wire.RefusedProtocol, "a heartbeat is not in order: %v", err)
	}
	// The answer goes first: the agent measures its round trip by it.
	if err := s.send(wire.FrameHeartbeatAck, wire.HeartbeatAck{WallUs: g.nowUs(), EchoUs: beat.WallUs}); err != nil {
		return err
	}
	s.rttUs.Store(beat.RTTUs)
	s.offsetUs.Store(beat.OffsetUs)
	if g.hooks.Heartbeat != nil {
		g.hooks.Heartbeat(ctx, s.ref, beat, wire.Micros(beat.RTTUs))
	}
	return nil
}

// rotate lets the pinned key vouch for the present one, if they differ.
func (g *Gateway) rotate(s *session, welcome *wire.Welcome) {
	if old, next := s.pinned, g.keys.Public(); !next.Equal(public(old)) {
		welcome.CloudKey, welcome.KeySig = next, wire.SignRotation(old, next)
	}
}

// Command sends a command to an agent and waits for its reply, until ctx ends or for 15 s if ctx has no
// deadline. The command expires with the wait. A reply whose Error is set is the agent's own refusal and no
// error here. ErrOffline and ErrBusy say why nothing was sent.
func (g *Gateway) Command(ctx context.Context, agent id.Agent, typ wire.CommandType, body any) (wire.Reply, []byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return wire.Reply{}, nil, fmt.Errorf("encode %s command: %w", typ, err)
	}
	if len(raw) > wire.MaxCommandBytes {
		return wire.Reply{}, nil, fmt.Errorf("encode %s command: %d bytes, the limit is %d", typ, len(raw), wire.MaxCommandBytes)
	}
	s := g.find(agent)
	if s == nil || !s.isWelcomed() {
		return wire.Reply{}, nil, g.offline(ctx, agent)
	}
	wait := commandWait
	if end, ok := ctx.Deadline(); ok {
		wait = min(time.Until(end), commandLonger)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	p, err := s.command(typ, raw, wait)
	if err != nil {
		return wire.Reply{}, nil, err
	}
	defer s.forget(p)
	select {
	case r := <-p.result:
		return r.reply, r.payload, r.err
	case <-ctx.Done():
		return wire.Reply{}, nil, fmt.Errorf("the site did not answer in %v: %w", wait.Round(time.Millisecond), ctx.Err())
	}
}

func (g *Gateway) offline(ctx context.Context, agent id.Agent) error {
	a, err := agents.Get(ctx, g.db, store.System(store.UseAgent), agent)
	if err != nil {
		return err
	}
	return ErrOffline{SinceUs: a.LastSeenUs}
}

// command registers and sends a command. Numbers rise in the order of sending.
func (s *session) command(typ wire.CommandType, body []byte, wait time.Duration) (*pending, error) {
	s.ordering.Lock()
	defer s.ordering.Unlock()
	p := &pending{result: make(chan result, 1)}
	s.mu.Lock()
	if len(s.pending) >= wire.MaxOutstanding {
		s.mu.Unlock()
		return nil, ErrBusy
	}
	s.nextID++
	n := s.nextID
	s.pending[n] = p
	s.mu.Unlock()
	err := s.send(wire.FrameCommand, wire.Command{ID: n, Type: typ, ExpiresUs: s.now().Add(wait).UnixMicro(), Body: body})
	if err != nil {
		s.forget(p)
		s.log.Info("a command could not be sent: the session is ending", "type", typ, "err", err)
		return nil, ErrOffline{SinceUs: s.lastUs.Load()}
	}
	return p, nil
}

func (s *session) forget(p *pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, q := range s.pending {
		if p == q {
			delete(s.pending, n)
		}
	}
}

// gather appends a piece of a payload; pieces for nobody, and more than a payload may have, are dropped.
func (s *session) gather(n int64, piece []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pending[n]
	if p == nil || len(piece) == 0 {
		return
	}
	if len(p.payload)+len(piece) > wire.MaxPayloadBytes {
		delete(s.pending, n)
		p.result <- result{err: fmt.Errorf("the site sent more than %d bytes", wire.MaxPayloadBytes)}
		return
	}
	p.payload = append(p.payload, piece...)
}

func (s *session) resolve(r wire.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pending[r.ID]; p != nil {
		delete(s.pending, r.ID)
		p.result <- result{reply: r, payload: p.payload}
	}
}

// abandon fails every command that waits, and lets no more in.
func (s *session) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.welcomed = false
	for n, p := range s.pending {
		delete(s.pending, n)
		p.result <- result{err: ErrOffline{SinceUs: s.lastUs.Load()}}
	}
}

// Info describes an open session.
type Info struct {
	agents.Ref
	Session  id.Session
	SinceUs  int64 // by the cloud's clock
	LastUs   int64 // when the last frame came
	Addr     string
	Hello    wire.Hello
	RTT      time.Duration // as the agent measured it last; 0 before
	OffsetUs int64         // the cloud's clock minus the agent's
}

// Session returns the open session of an agent.
func (g *Gateway) Session(agent id.Agent) (Info, bool) {
	s := g.find(agent)
	if s == nil || !s.isWelcomed() {
		return Info{}, false
	}
	return Info{
		Ref: s.ref, Session: s.id, SinceUs: s.opened.UnixMicro(), LastUs: s.lastUs.Load(), Addr: s.addr.String(),
		Hello: s.hello, RTT: wire.Micros(s.rttUs.Load()), OffsetUs: s.offsetUs.Load(),
	}, true
}

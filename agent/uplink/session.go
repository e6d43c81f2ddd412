package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const (
	openTimeout  = 30 * time.Second // for the handshake, and again for the welcome
	writeTimeout = 30 * time.Second
	closeTimeout = 2 * time.Second
	urgentEvery  = time.Second // urgent heartbeats come no closer together
	maxStep      = 30 * time.Second
	beatDefault  = 15 * time.Second
)

// session is one connection, from the cloud's signed answer on.
type session struct {
	u        *Uplink
	id       id.Session
	conn     *websocket.Conn
	opener   *wire.Opener // the reading loop's own
	counter  atomic.Uint64
	farewell atomic.Bool // the cloud has said bye
	beat     time.Duration
	ahead    atomic.Int64  // pieces of payloads that may be on their way
	over     chan struct{} // closed when it is no longer the open one

	sealing sync.Mutex // held from the sealing of a frame to the end of its writing
	sealer  *wire.Sealer

	mu     sync.Mutex
	echoUs int64 // WallUs of the last heartbeat
	sent   time.Time
}

// connect opens a session and serves it to its end, whose reason it returns.
func (u *Uplink) connect(ctx context.Context) error {
	s, err := u.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.conn.CloseNow() }()
	welcome, err := s.greet(ctx)
	if err != nil {
		return err
	}
	outage := u.opened(s)
	u.log.Info("session with the cloud opened", "session", s.id)
	if u.deps.Opened != nil {
		u.deps.Opened(s.id, welcome)
	}
	if outage != nil && u.deps.Outage != nil {
		u.deps.Outage(*outage)
	}
	problem := diagnose(s.serve(ctx), u.base.Host, u.cfg.Now())
	u.closed()
	// What a dead line swallowed is never answered, and the idle connections beside it are as dead.
	close(s.over)
	u.bulk.CloseIdleConnections()
	if u.deps.Closed != nil {
		u.deps.Closed(problem)
	}
	return problem
}

// greet sends the hello and awaits the welcome.
func (s *session) greet(ctx context.Context) (wire.Welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := s.send(ctx, pace.Control, wire.FrameHello, s.hello(), nil); err != nil {
		return wire.Welcome{}, fmt.Errorf("send hello: %w", err)
	}
	frame, err := s.read(ctx)
	if err != nil {
		return wire.Welcome{}, err
	}
	var welcome wire.Welcome
	switch frame.Type {
	case wire.FrameBye:
		return welcome, s.bye(frame)
	case wire.FrameWelcome:
		err = wire.Decode(frame.Message, &welcome)
	default:
		err = wire.Refuse(wire.RefusedProtocol, "a %s frame came where a welcome was due", frame.Type)
	}
	if err != nil {
		return welcome, err
	}
	if beat := wire.Micros(welcome.Heartbeat); beat > 0 {
		s.beat = min(max(beat, 10*time.Millisecond), time.Minute)
	}
	return welcome, s.u.adopt(welcome)
}

func (s *session) hello() wire.Hello {
	var h wire.Hello
	if s.u.deps.Hello != nil {
		h = s.u.deps.Hello()
	}
	me := s.u.identity()
	h.Version, h.Agent, h.Site = wire.Version, me.Agent, me.Site
	h.EvKey, h.SealKey = public(me.evidence), me.seal.PublicKey().Bytes()
	h.WallUs = s.u.cfg.Now().UnixMicro()
	if h.LineGone == 0 && s.u.Status().Tries > 0 {
		h.LineGone = s.u.Status().SinceUs
	}
	return h
}

// adopt pins the cloud's next key, if the pinned one vouches for it.
func (u *Uplink) adopt(welcome wire.Welcome) error {
	me := u.identity()
	if len(welcome.CloudKey) == 0 || bytes.Equal(me.CloudKey, welcome.CloudKey) {
		return nil
	}
	if !wire.RotationSigned(me.CloudKey, welcome.CloudKey, welcome.KeySig) {
		return wire.Refuse(wire.RefusedProtocol, "the cloud named a new key that its old one does not vouch for")
	}
	me.CloudKey = welcome.CloudKey
	if err := me.write(identityFile); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.me = me
	u.log.Info("the cloud's key was rotated", "key", wire.KeyPrint(me.CloudKey))
	return nil
}

const (
	// dialBytes is about what the opening of a session sends: TCP and TLS handshakes and the signed request.
	dialBytes = 4 << 10
	// envelope is what a frame has around its body at least: header and signature, and what WebSocket (RFC 6455 section
	// 5.2) and TLS (RFC 8446 section 5.2) put around it.
	envelope = 160
)

// send asks the budget, seals and writes one frame. The budget is asked first, so that a frame that waits for it
// does not hold up a more urgent one. How well a frame packs shows when it is written: what the line carried above the
// estimate is booked afterwards.
func (s *session) send(ctx context.Context, class pace.Class, typ wire.FrameType, message any, body []byte) error {
	asked := pace.OnWire(len(body) + envelope)
	if err := s.u.pace.Take(ctx, class, asked); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	s.sealing.Lock()
	defer s.sealing.Unlock()
	frame, err := s.sealer.Seal(typ, message, body, s.u.clock.cloudUs()+wire.SignedFor.Microseconds())
	if err != nil {
		return err
	}
	before := s.u.carried.Load()
	err = s.conn.Write(ctx, websocket.MessageBinary, frame)
	s.u.pace.Spend(class, max(pace.OnWire(int(s.u.carried.Load()-before))-asked, 0))
	return err
}

func (s *session) read(ctx context.Context) (wire.Frame, error) {
	typ, raw, err := s.conn.Read(ctx)
	if err != nil {
		return wire.Frame{}, err
	}
	if typ != websocket.MessageBinary {
		return wire.Frame{}, wire.Refuse(wire.RefusedProtocol, "a text message came where frames are binary")
	}
	return s.opener.Open(raw, s.u.clock.latestUs())
}

// bye turns the cloud's bye into a Problem.
func (s *session) bye(frame wire.Frame) error {
	var bye wire.Bye
	if err := wire.Decode(frame.Message, &bye); err != nil {
		return err
	}
	s.farewell.Store(true)
	return &Problem{
		Code: ProblemCode(bye.Code), Text: wire.CleanText(bye.Text, wire.MaxTextRunes),
		Retry: min(wire.Micros(bye.RetryUs), maxRetry),
	}
}

// serve runs a welcomed session until it ends; nothing of it is left then. The end of ctx must not reach the
// connection before a bye was said: the library closes it with the context of a read.
func (s *session) serve(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	beaten, received := make(chan error, 1), make(chan error, 1)
	running.Go(func() { beaten <- s.beats(inner) })
	running.Go(func() { received <- s.receive(inner, &running) })
	var err error
	select {
	case err = <-received:
	case err = <-beaten:
		err = s.lastWord(err, received)
	case <-ctx.Done():
		err = &Problem{Code: ProblemStopped, Text: "the agent stops", Err: ctx.Err()}
		s.leave(inner)
	}
	if s.farewell.Load() {
		_ = s.conn.Close(websocket.StatusNormalClosure, "") // in good order: the cloud waits for it
	}
	cancel()
	_ = s.conn.CloseNow() // ends what the context does not
	running.Wait()
	return err
}

// lastWord prefers what the cloud said last to a write that failed because the cloud has gone.
func (s *session) lastWord(failed error, received <-chan error) error {
	var problem *Problem
	if errors.As(failed, &problem) {
		return failed
	}
	select {
	case err := <-received:
		return errors.Join(err, failed)
	case <-time.After(closeTimeout):
		return failed
	}
}

// leave says bye, because the agent stops.
func (s *session) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	// Without the bye the cloud learns of the end from the connection.
	_ = s.send(ctx, pace.Control, wire.FrameBye, wire.Bye{Code: wire.RefusedShutdown, Text: "the agent stops"}, nil)
}

// receive reads frames; none for long enough means that the line is dead. Three heartbeats go unanswered in
// that time, and 15 s of heartbeat make 40 s.
func (s *session) receive(ctx context.Context, running *sync.WaitGroup) error {
	d := newDispatcher(s, running)
	for {
		wait, cancel := context.WithTimeout(ctx, s.beat*8/3)
		frame, err := s.read(wait)
		silent := wait.Err() != nil && ctx.Err() == nil
		cancel()
		if silent {
			return &Problem{Code: ProblemCut, Text: fmt.Sprintf("the line to %s went silent: nothing came for %v", s.u.base.Host, (s.beat * 8 / 3).Round(time.Second)), Err: err}
		}
		if err != nil {
			return err
		}
		if err := s.take(ctx, d, frame); err != nil {
			return err
		}
	}
}

func (s *session) take(ctx context.Context, d *dispatcher, frame wire.Frame) error {
	switch frame.Type {
	case wire.FrameHeartbeatAck:
		var ack wire.HeartbeatAck
		if err := wire.Decode(frame.Message, &ack); err != nil {
			return err
		}
		s.measure(ack)
		return nil
	case wire.FrameCommand:
		var c wire.Command
		if err := wire.Decode(frame.Message, &c); err != nil {
			return err
		}
		return d.dispatch(ctx, c)
	case wire.FrameBye:
		return s.bye(frame)
	case wire.FrameWelcome:
		return wire.Refuse(wire.RefusedProtocol, "a second welcome came")
	default:
		return nil // of a later version
	}
}

// measure takes the round trip and the clock offset from an answered heartbeat.
func (s *session) measure(ack wire.HeartbeatAck) {
	s.mu.Lock()
	echo, sent := s.echoUs, s.sent
	s.mu.Unlock()
	if ack.EchoUs != echo {
		return // of an earlier heartbeat: its time was not kept
	}
	now := s.u.cfg.Now()
	rtt := now.Sub(sent)
	s.u.clock.learn(ack.WallUs, now.Add(-rtt/2))
	s.u.pace.RoundTrip(rtt)
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.u.rtt = rtt
}

// beats sends heartbeats: at once, every interval, and when something is urgent.
func (s *session) beats(ctx context.Context) error {
	ticker := time.NewTicker(s.beat)
	defer ticker.Stop()
	var pause <-chan time.Time // set while urgent heartbeats must wait
	urgent := s.u.deps.Urgent
	for full := true; ; full = false {
		if step := s.u.clock.stepped(); step.Abs() > maxStep {
			return &Problem{Code: ProblemCode(wire.RefusedClock), Text: fmt.Sprintf("this machine slept, or its clock was moved by %s: the session is renewed", words(step.Abs()))}
		}
		if err := s.heartbeat(ctx, full); err != nil {
			return err
		}
		if urgent != nil {
			pause, urgent = time.After(min(urgentEvery, s.beat)), nil
		}
		for wait := true; wait; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-pause:
				pause, urgent = nil, s.u.deps.Urgent
			case <-urgent:
				wait = false
			case <-ticker.C:
				wait = false
			}
		}
	}
}

func (s *session) heartbeat(ctx context.Context, full bool) error {
	var beat wire.Heartbeat
	if s.u.deps.Heartbeat != nil {
		beat = s.u.deps.Heartbeat(full)
	}
	status := s.u.Status()
	now := s.u.cfg.Now()
	beat.WallUs, beat.RTTUs, beat.OffsetUs = now.UnixMicro(), status.RTT.Microseconds(), status.Offset.Microseconds()
	s.mu.Lock()
	s.echoUs, s.sent = beat.WallUs, now
	s.mu.Unlock()
	err := s.send(ctx, pace.Control, wire.FrameHeartbeat, beat, nil)
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("send heartbeat: %w", err)
	}
	return err
}

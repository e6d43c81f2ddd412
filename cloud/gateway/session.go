package gateway

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const (
	revokedRetryUs   = int64(5 * time.Minute / time.Microsecond)
	duplicateRetryUs = int64(time.Minute / time.Microsecond)
	revokedText      = "this machine was removed from its site: make a code in the portal and enrol it again"
	replacedText     = "another machine was enrolled for this site in its place: stop this one, or enrol it again with a new code"
	duplicateText    = "another machine that is online uses the same identity: this one is a copy; enrol it with a code of its own"
)

// session is one agent's connection, from its verified hello on.
type session struct {
	ref    agents.Ref
	id     id.Session
	key    ed25519.PublicKey  // the agent's
	pinned ed25519.PrivateKey // the cloud's key that the agent knows
	addr   netip.Addr
	hello  wire.Hello
	opened time.Time
	log    *slog.Logger
	conn   *websocket.Conn
	now    func() time.Time

	requests *rate.Limiter // bulk requests
	frames   *rate.Limiter // frames that come in

	ordering sync.Mutex // held from the numbering of a command to its sending
	sealing  sync.Mutex // held from the sealing of a frame to the end of its writing
	sealer   *wire.Sealer
	opener   *wire.Opener // the reading loop's own

	lastUs   atomic.Int64 // cloud time of the last frame
	rttUs    atomic.Int64
	offsetUs atomic.Int64

	mu        sync.Mutex
	window    wire.Window
	welcomed  bool // commands may follow
	contended bool // another machine waits for this one to be proven dead
	leaving   *wire.Bye
	nextID    int64
	pending   map[int64]*pending
	leave     chan struct{} // closed by stop
	done      chan struct{} // closed when nothing of the session is left
}

func (s *session) admit(counter uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.window.Admit(counter)
}

// stop asks the session's loop to say bye and end; only the first call counts.
func (s *session) stop(bye wire.Bye) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving == nil {
		s.leaving = &bye
		close(s.leave)
	}
}

// send seals and writes one frame. A frame that cannot be written ends the session.
func (s *session) send(typ wire.FrameType, message any) error {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	return s.write(typ, message)
}

// write is send by a caller that holds sealing.
func (s *session) write(typ wire.FrameType, message any) error {
	frame, err := s.sealer.Seal(typ, message, nil, s.now().Add(wire.SignedFor).UnixMicro())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageBinary, frame)
}

// read returns the next verified frame, or an error after timeout.
func (s *session) read(ctx context.Context, timeout time.Duration) (wire.Frame, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	typ, raw, err := s.conn.Read(ctx)
	if err != nil {
		return wire.Frame{}, err
	}
	if typ != websocket.MessageBinary {
		return wire.Frame{}, wire.Refuse(wire.RefusedProtocol, "a text message came where frames are binary")
	}
	frame, err := s.opener.Open(raw, s.now().UnixMicro())
	if err == nil {
		s.lastUs.Store(s.now().UnixMicro())
	}
	return frame, err
}

// openSession answers the request that opens a session and stays until the session's end.
func (g *Gateway) openSession(w http.ResponseWriter, r *http.Request) {
	agent, claim, refusal := g.caller(r)
	if refusal == nil && !g.admits.AllowN(g.cfg.Now(), 1) {
		// Only now, so that nobody without an identity can take the places.
		refusal = wire.Refuse(wire.RefusedBusy, "too many agents connect at once: come back in a moment")
		refusal.RetryUs = g.spread(2*time.Second, 15*time.Second)
	}
	if refusal != nil {
		g.refuse(w, r, refusal)
		return
	}
	g.mu.Lock()
	ready := g.state == open
	if ready {
		g.live.Add(1)
	}
	g.mu.Unlock()
	if !ready {
		g.shutdown(w, r)
		return
	}
	defer g.live.Done()
	s, err := g.accept(w, r, agent, claim)
	if err != nil {
		g.log.Info("an agent's connection could not be upgraded", "agent", agent.Agent, "err", err)
		return
	}
	defer func() { _ = s.conn.CloseNow() }()
	g.serve(r.Context(), s)
}

// caller verifies the request that opens a session.
func (g *Gateway) caller(r *http.Request) (agents.Agent, wire.SignedRequest, *wire.Refusal) {
	claim, err := wire.ReadRequest(r)
	if err != nil {
		return agents.Agent{}, claim, wire.Refuse(wire.RefusedMalformed, "the request is not signed rightly: %v", err)
	}
	agent, err := agents.Get(r.Context(), g.db, store.System(store.UseAgent), claim.Agent)
	if errors.Is(err, store.ErrNotFound) {
		return agent, claim, wire.Refuse(wire.RefusedUnknown, "this cloud does not know the agent: enrol the machine again with a new code")
	}
	if err != nil {
		g.log.Error("cannot look up an agent: is the database reachable?", "agent", claim.Agent, "err", err)
		return agent, claim, wire.Refuse(wire.RefusedInternal, "the cloud cannot look up the agent now: try again later")
	}
	if !claim.Verify(agent.Key) {
		g.alarm(r.Context(), Alarm{Kind: AlarmForged, Ref: agent.Ref, Addr: g.addr(r), Text: "a request's signature does not hold"})
		return agent, claim, wire.Refuse(wire.RefusedSignature, "the request's signature does not hold")
	}
	var refusal *wire.Refusal
	if errors.As(claim.Fresh(g.nowUs()), &refusal) {
		return agent, claim, refusal
	}
	if !g.firstTime(claim) {
		g.alarm(r.Context(), Alarm{Kind: AlarmForged, Ref: agent.Ref, Addr: g.addr(r), Text: "a request came twice"})
		return agent, claim, wire.Refuse(wire.RefusedReplay, "this request was seen before")
	}
	if _, err := wire.Negotiate(claim.Version); errors.As(err, &refusal) {
		return agent, claim, refusal
	}
	return agent, claim, gone(agent)
}

// gone returns the refusal for an agent that was revoked, or nil.
func gone(agent agents.Agent) *wire.Refusal {
	var refusal *wire.Refusal
	switch {
	case agent.RevokedUs == 0:
		return nil
	case agent.RevokedWhy == agents.Replaced:
		refusal = wire.Refuse(wire.RefusedReplaced, replacedText)
	default:
		refusal = wire.Refuse(wire.RefusedRevoked, revokedText)
	}
	refusal.RetryUs = revokedRetryUs
	return refusal
}

// firstTime remembers a handshake until it expires and reports whether it was new.
func (g *Gateway) firstTime(claim wire.SignedRequest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, seen := g.shakes[claim.Signature]; seen {
		return false
	}
	g.shakes[claim.Signature] = claim.ExpiresUs
	return true
}

// accept upgrades the connection. The new session's ID goes out signed: it is the agent's challenge and the
// cloud's proof at once.
func (g *Gateway) accept(w http.ResponseWriter, r *http.Request, agent agents.Agent, claim wire.SignedRequest) (*session, error) {
	s := &session{
		ref: agent.Ref, id: id.New[id.Session](), key: agent.Key, addr: g.addr(r), opened: g.cfg.Now(),
		log: g.log.With("agent", agent.Agent, "site", agent.Site), now: g.cfg.Now,
		requests: rate.NewLimiter(20, 60), frames: rate.NewLimiter(100, 300),
		pending: map[int64]*pending{}, leave: make(chan struct{}), done: make(chan struct{}),
	}
	s.pinned = g.keys.pinned(claim.Cloud)
	s.sealer = wire.NewSealer(s.pinned, s.id, wire.Down)
	s.opener = wire.NewOpener(agent.Key, s.id, wire.Up)
	version, _ := wire.Negotiate(claim.Version) // caller has negotiated before
	wire.SignReply(w.Header(), s.pinned, claim.Signature, wire.ReplyClaim{
		Version: version, Status: http.StatusSwitchingProtocols, Session: s.id, WallUs: g.nowUs(), Digest: emptyDigest(),
	})
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		CompressionMode: websocket.CompressionContextTakeover, // of what agents say; what they are told is little
		// A compressor takes half a megabyte, and there are thousands of sessions: nothing is large enough for one.
		CompressionThreshold: wire.MaxFrameBytes + 1,
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(wire.MaxFrameBytes)
	s.conn = conn
	return s, nil
}

// serve runs a session from its hello to its end.
func (g *Gateway) serve(ctx context.Context, s *session) {
	if err := g.greeted(ctx, s); err != nil {
		g.goodbye(s, farewell(err))
		return
	}
	if bye := g.place(ctx, s); bye != nil {
		g.goodbye(s, *bye)
		return
	}
	defer close(s.done)
	why := g.welcomed(ctx, s)
	g.remove(s)
	s.log.Info("session ended", "session", s.id, "why", why, "lasted", g.cfg.Now().Sub(s.opened).Round(time.Second))
}

// greeted reads the hello; the gateway's end ends the wait for it.
func (g *Gateway) greeted(ctx context.Context, s *session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-g.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	frame, err := s.read(ctx, helloTimeout)
	if err != nil {
		return err
	}
	return s.greet(frame)
}

// greet takes the hello.
func (s *session) greet(frame wire.Frame) error {
	if frame.Type != wire.FrameHello {
		return wire.Refuse(wire.RefusedProtocol, "a %s frame came where a hello was due", frame.Type)
	}
	if err := wire.Decode(frame.Message, &s.hello); err != nil {
		return wire.Refuse(wire.RefusedProtocol, "the hello cannot be read: %v", err)
	}
	if err := s.hello.Tidy(); err != nil {
		return wire.Refuse(wire.RefusedProtocol, "the hello is not in order: %v", err)
	}
	if s.hello.Agent != s.ref.Agent || s.hello.Site != s.ref.Site {
		return wire.Refuse(wire.RefusedProtocol, "the hello names another agent or site than the identity")
	}
	return nil
}

// farewell turns the error that ends a session into its bye.
func farewell(err error) wire.Bye {
	var refusal *wire.Refusal
	if errors.As(err, &refusal) {
		return wire.Bye{Code: refusal.Code, Text: refusal.Text, RetryUs: refusal.RetryUs}
	}
	return wire.Bye{Code: wire.RefusedProtocol, Text: "the connection was not used as it should: " + err.Error()}
}

// goodbye sends a bye, if the other end still listens, and closes the connection.
func (g *Gateway) goodbye(s *session, bye wire.Bye) {
	g.count(bye.Code)
	if err := s.send(wire.FrameBye, bye); err == nil {
		_ = s.conn.Close(websocket.StatusNormalClosure, string(bye.Code)) // the other end may have gone: all is said
	}
}

// welcomed records the session, answers the hello and serves the session; it returns why it ended.
func (g *Gateway) welcomed(ctx context.Context, s *session) string {
	bye, err := g.welcome(ctx, s)
	if bye != nil {
		g.goodbye(s, *bye)
		return bye.Text
	}
	if err != nil {
		g.noteEnd(s)
		return err.Error()
	}
	s.log.Info("session opened", "session", s.id, "addr", s.addr, "version", s.hello.AgentVer)
	if g.hooks.Opened != nil {
		g.hooks.Opened(ctx, s.ref, s.hello)
	}
	why := g.loop(ctx, s)
	s.abandon()
	g.noteEnd(s)
	if g.hooks.Closed != nil {
		g.hooks.Closed(context.WithoutCancel(ctx), s.ref, why)
	}
	return why
}

func (s *session) isWelcomed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.welcomed
}

// sendWelcome lets commands in behind the welcome, never before it.
func (s *session) sendWelcome(welcome wire.Welcome) error {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	s.mu.Lock()
	s.welcomed = true
	s.mu.Unlock()
	return s.write(wire.FrameWelcome, welcome)
}

// welcome writes the session's row and sends the welcome.
func (g *Gateway) welcome(ctx context.Context, s *session) (*wire.Bye, error) {
	now := g.cfg.Now()
	err := agents.OpenSession(ctx, g.db, s.ref.Scope(), agents.Session{
		Agent: s.ref.Agent, Org: s.ref.Org, Session: s.id, Replica: g.cfg.Replica,
		OpenedUs: now.UnixMicro(), LeaseUs: now.Add(lease).UnixMicro(),
	})
	if errors.Is(err, agents.ErrHeld) {
		return g.held(ctx, s), nil
	}
	welcome := wire.Welcome{}
	if err == nil && g.hooks.Welcome != nil {
		welcome, err = g.hooks.Welcome(ctx, s.ref, s.hello)
	}
	if err != nil {
		s.log.Error("cannot open a session: is the database reachable?", "err", err)
		g.noteEnd(s)
		return &wire.Bye{Code: wire.RefusedInternal, Text: "the cloud cannot open a session now", RetryUs: g.spread(5*time.Second, 10*time.Second)}, nil
	}
	welcome.Session, welcome.WallUs = s.id, g.nowUs()
	if welcome.Version, err = wire.Negotiate(s.hello.Version); err != nil {
		welcome.Version = wire.OldestVersion
	}
	welcome.Heartbeat, welcome.CloudVer = g.cfg.Heartbeat.Microseconds(), g.cfg.Version
	g.rotate(s, &welcome)
	return nil, s.sendWelcome(welcome)
}

// noteEnd removes the session's row and notes when the agent was last seen.
func (g *Gateway) noteEnd(s *session) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := agents.CloseSession(ctx, g.db, s.ref.Scope(), s.ref.Agent, s.id, s.lastUs.Load()); err != nil {
		s.log.Error("cannot note the end of a session: is the database reachable?", "err", err)
	}
}

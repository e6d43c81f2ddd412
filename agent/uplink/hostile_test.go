package uplink

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"holdfast/agent/pace"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s did not happen in %v", what, patience)
		}
	}
}

// far is a cloud that holds the right key and may do anything with it.
type far struct {
	t       *testing.T
	srv     *httptest.Server
	key     ed25519.PrivateKey
	welcome wire.Welcome
	shake   func(h http.Header, request string)   // signs the handshake's answer; nil: rightly
	bulk    http.HandlerFunc                      // everything that is not a session
	script  func(ctx context.Context, s *farSide) // after the welcome, for each session
}

type farSide struct {
	f       *far
	conn    *websocket.Conn
	session id.Session
	seal    *wire.Sealer
	open    *wire.Opener
	hello   []byte // the agent's first frame, as it came
	nextID  int64
}

func newFar(t *testing.T) *far {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &far{t: t, key: key}
	f.srv = httptest.NewServer(f)
	t.Cleanup(f.srv.Close)
	return f
}

func (f *far) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != wire.PathSession {
		f.bulk(w, r)
		return
	}
	ses, request := id.New[id.Session](), r.Header.Get(wire.HeaderSignature)
	empty := sha256.Sum256(nil)
	if f.shake == nil {
		wire.SignReply(w.Header(), f.key, request, wire.ReplyClaim{
			Version: 1, Status: 101, Session: ses, WallUs: time.Now().UnixMicro(), Digest: empty[:],
		})
	} else {
		f.shake(w.Header(), request)
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(wire.MaxFrameBytes)
	claim, err := wire.ReadRequest(r)
	if err != nil {
		return
	}
	s := &farSide{f: f, conn: conn, session: ses, seal: wire.NewSealer(f.key, ses, wire.Down)}
	_ = claim
	if _, s.hello, err = conn.Read(r.Context()); err != nil {
		return
	}
	if f.welcome.Heartbeat == 0 {
		f.welcome.Heartbeat = time.Minute.Microseconds()
	}
	s.send(wire.FrameWelcome, f.welcome)
	if f.script != nil {
		f.script(r.Context(), s)
	}
	// Until the agent leaves.
	for err == nil {
		_, _, err = conn.Read(context.WithoutCancel(r.Context()))
	}
}

func (s *farSide) raw(b []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = s.conn.Write(ctx, websocket.MessageBinary, b) // the agent may have left, as it should
}

func (s *farSide) send(typ wire.FrameType, msg any) {
	f, err := s.seal.Seal(typ, msg, nil, time.Now().Add(wire.SignedFor).UnixMicro())
	if err != nil {
		s.f.t.Error(err)
		return
	}
	s.raw(f)
}

// ask sends a command as it is and returns the reply to it.
func (s *farSide) ask(ctx context.Context, c wire.Command) wire.Reply {
	s.send(wire.FrameCommand, c)
	return s.reply(ctx)
}

func (s *farSide) reply(ctx context.Context) wire.Reply {
	for {
		_, b, err := s.conn.Read(ctx)
		if err != nil {
			return wire.Reply{Error: err.Error()}
		}
		f, err := s.open.Open(b, time.Now().UnixMicro())
		if err != nil {
			s.f.t.Errorf("a frame of the agent: %v", err)
			return wire.Reply{Error: err.Error()}
		}
		var r wire.Reply
		if f.Type == wire.FrameReply && json.Unmarshal(f.Message, &r) == nil {
			return r
		}
	}
}

func (s *farSide) next() int64 { s.nextID++; return s.nextID }

func soon() int64 { return time.Now().Add(10 * time.Second).UnixMicro() }

// near is an enrolled agent whose cloud is f.
func (f *far) near(t *testing.T) Identity {
	t.Helper()
	me, err := newKeys()
	if err != nil {
		t.Fatal(err)
	}
	me.Agent, me.Site, me.Org = id.New[id.Agent](), id.New[id.Site](), id.New[id.Org]()
	me.CloudURL, me.CloudKey, me.dir = f.srv.URL, public(f.key), t.TempDir()
	return me
}

type ears struct {
	closed chan error
	opened chan wire.Welcome
	ran    atomic.Int64
	most   atomic.Int64
	now    atomic.Int64
}

func start(t *testing.T, me Identity, do func(context.Context, wire.Command) (any, []byte, error)) (*Uplink, *ears) {
	t.Helper()
	e := &ears{closed: make(chan error, 100), opened: make(chan wire.Welcome, 100)}
	u, err := New(Config{Retry: backoff.Policy{Min: 20 * time.Millisecond, Cap: 50 * time.Millisecond}}, me, pace.New(pace.Plan{}), Deps{
		Opened: func(_ id.Session, w wire.Welcome) { e.opened <- w },
		Closed: func(err error) { e.closed <- err },
		Command: func(ctx context.Context, c wire.Command) (any, []byte, error) {
			e.ran.Add(1)
			if n := e.now.Add(1); n > e.most.Load() {
				e.most.Store(n)
			}
			defer e.now.Add(-1)
			return do(ctx, c)
		},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := u.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return u, e
}

func nothing(context.Context, wire.Command) (any, []byte, error) { return nil, nil, nil }

func TestHostileCommands(t *testing.T) {
	f := newFar(t)
	me := f.near(t)
	type answer struct {
		name string
		got  wire.Reply
		want wire.FailureCode
	}
	answers := make(chan answer, 20)
	f.script = func(ctx context.Context, s *farSide) {
		s.open = wire.NewOpener(public(me.key), s.session, wire.Up)
		if _, err := s.open.Open(s.hello, time.Now().UnixMicro()); err != nil {
			t.Errorf("the hello: %v", err)
			return
		}
		ok := func(typ wire.CommandType) wire.Command {
			return wire.Command{ID: s.next(), Type: typ, ExpiresUs: soon(), Body: json.RawMessage(`{}`)}
		}
		for _, typ := range []wire.CommandType{"shell", "read_file", "add_camera", "delete_all", "update", "", "STILL", wire.CommandType(strings.Repeat("x", 9000))} {
			answers <- answer{"type " + string(typ), s.ask(ctx, ok(typ)), wire.FailedRefused}
		}
		late := ok(wire.CmdClipDrop)
		late.ExpiresUs = time.Now().Add(-time.Hour).UnixMicro()
		answers <- answer{"expired", s.ask(ctx, late), wire.FailedExpired}
		ages := ok(wire.CmdClip)
		ages.ExpiresUs = 1<<63 - 1
		answers <- answer{"expires in ages", s.ask(ctx, ages), wire.FailedRefused}
		large := ok(wire.CmdConfig)
		large.Body = json.RawMessage(`"` + strings.Repeat("x", wire.MaxCommandBytes) + `"`)
		answers <- answer{"large body", s.ask(ctx, large), wire.FailedRefused}
		first := ok(wire.CmdClip)
		answers <- answer{"good", s.ask(ctx, first), ""}
		answers <- answer{"same number again", s.ask(ctx, first), wire.FailedRefused}
		low := ok(wire.CmdClip)
		low.ID = -5
		answers <- answer{"negative number", s.ask(ctx, low), wire.FailedRefused}
		close(answers)
	}
	_, e := start(t, me, nothing)
	n := 0
	for a := range answers {
		n++
		if a.got.Code != a.want || (a.want != "") != (a.got.Error != "") || len(a.got.Error) > 400 {
			t.Errorf("%.40s: reply %+v, want code %q", a.name, a.got, a.want)
		}
	}
	if n != 14 || e.ran.Load() != 1 {
		t.Fatalf("%d answers, %d commands ran; want 14 and 1", n, e.ran.Load())
	}
}

func TestHostileFlood(t *testing.T) {
	const flood = 1000
	f := newFar(t)
	me := f.near(t)
	codes, release := map[wire.FailureCode]int{}, make(chan struct{})
	done := make(chan struct{})
	f.script = func(ctx context.Context, s *farSide) {
		defer close(done)
		s.open = wire.NewOpener(public(me.key), s.session, wire.Up)
		if _, err := s.open.Open(s.hello, time.Now().UnixMicro()); err != nil {
			t.Errorf("the hello: %v", err)
			return
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for range flood {
				s.send(wire.FrameCommand, wire.Command{ID: s.next(), Type: wire.CmdStill, ExpiresUs: soon(), Body: json.RawMessage(`{}`)})
			}
		})
		for i := range flood {
			if i == flood-wire.MaxOutstanding {
				close(release)
			}
			codes[s.reply(ctx).Code]++
		}
		wg.Wait()
	}
	_, e := start(t, me, func(ctx context.Context, _ wire.Command) (any, []byte, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, nil, nil
	})
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("a flood stopped the agent: %v", codes)
	}
	if e.most.Load() > wire.MaxOutstanding || codes[wire.FailedBusy] < flood/2 {
		t.Fatalf("%d commands ran at once; answers %v", e.most.Load(), codes)
	}
}

func TestHostileFrames(t *testing.T) {
	_, wrong, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ack := func(s *farSide, seal *wire.Sealer, expires time.Duration) []byte {
		b, err := seal.Seal(wire.FrameHeartbeatAck, wire.HeartbeatAck{}, nil, time.Now().Add(expires).UnixMicro())
		if err != nil {
			s.f.t.Error(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		do   func(*farSide)
		code ProblemCode
	}{
		"replayed": {func(s *farSide) {
			b := ack(s, s.seal, time.Minute)
			s.raw(b)
			s.raw(b)
		}, ProblemCode(wire.RefusedReplay)},
		"skipped": {func(s *farSide) {
			ack(s, s.seal, time.Minute)
			s.raw(ack(s, s.seal, time.Minute))
		}, ProblemCode(wire.RefusedReplay)},
		"by another key":  {func(s *farSide) { s.raw(ack(s, wire.NewSealer(wrong, s.session, wire.Down), time.Minute)) }, ProblemCode(wire.RefusedSignature)},
		"another session": {func(s *farSide) { s.raw(ack(s, wire.NewSealer(s.f.key, id.New[id.Session](), wire.Down), time.Minute)) }, ProblemCode(wire.RefusedReplay)},
		"reflected":       {func(s *farSide) { s.raw(s.hello) }, ProblemCode(wire.RefusedSignature)},
		"wrong way":       {func(s *farSide) { s.raw(ack(s, wire.NewSealer(s.f.key, s.session, wire.Up), time.Minute)) }, ProblemCode(wire.RefusedReplay)},
		"expired":         {func(s *farSide) { s.raw(ack(s, s.seal, -time.Second)) }, ProblemCode(wire.RefusedClock)},
		"far ahead":       {func(s *farSide) { s.raw(ack(s, s.seal, time.Hour)) }, ProblemCode(wire.RefusedClock)},
		"too large":       {func(s *farSide) { s.raw(make([]byte, wire.MaxFrameBytes+1)) }, ProblemCut},
		"second welcome":  {func(s *farSide) { s.send(wire.FrameWelcome, s.f.welcome) }, ProblemCode(wire.RefusedProtocol)},
		"bad command":     {func(s *farSide) { s.send(wire.FrameCommand, "hm") }, ProblemCut},
		"text": {func(s *farSide) {
			_ = s.conn.Write(context.Background(), websocket.MessageText, []byte("{}"))
		}, ProblemCode(wire.RefusedProtocol)},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFar(t)
			f.script = func(_ context.Context, s *farSide) { c.do(s) }
			_, e := start(t, f.near(t), nothing)
			select {
			case err := <-e.closed:
				var p *Problem
				if !errors.As(err, &p) || p.Code != c.code {
					t.Fatalf("the session ended with %v (%+v), want code %q", err, p, c.code)
				}
			case <-time.After(patience):
				t.Fatal("the session went on")
			}
			if e.ran.Load() != 0 {
				t.Fatal("a command ran")
			}
		})
	}
}

func TestHostileHandshake(t *testing.T) {
	_, wrong, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	empty := sha256.Sum256(nil)
	claim := wire.ReplyClaim{Version: 1, Status: 101, Session: id.New[id.Session](), WallUs: time.Now().UnixMicro(), Digest: empty[:]}
	for name, c := range map[string]struct {
		shake func(f *far, h http.Header, request string)
		code  ProblemCode
	}{
		"no signature":    {func(*far, http.Header, string) {}, ProblemGateway},
		"another key":     {func(_ *far, h http.Header, q string) { wire.SignReply(h, wrong, q, claim) }, ProblemForeign},
		"another request": {func(f *far, h http.Header, _ string) { wire.SignReply(h, f.key, "x", claim) }, ProblemForeign},
		"no session": {func(f *far, h http.Header, q string) {
			c := claim
			c.Session = ""
			wire.SignReply(h, f.key, q, c)
		}, ProblemForeign},
		"future version": {func(f *far, h http.Header, q string) {
			c := claim
			c.Version = 99
			wire.SignReply(h, f.key, q, c)
		}, ProblemCode(wire.RefusedVersion)},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFar(t)
			f.shake = func(h http.Header, request string) { c.shake(f, h, request) }
			u, e := start(t, f.near(t), nothing)
			until(t, "a refusal", func() bool { return u.Status().Problem != nil })
			if p := u.Status().Problem; p.Code != c.code || p.Text == "" {
				t.Fatalf("problem %+v, want code %q", p, c.code)
			}
			if len(e.opened) != 0 {
				t.Fatal("a session was opened")
			}
		})
	}
}

func TestHostileKeyRotation(t *testing.T) {
	f := newFar(t)
	pub, own, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	f.welcome = wire.Welcome{CloudKey: pub, KeySig: wire.SignRotation(own, pub)}
	me := f.near(t)
	u, e := start(t, me, nothing)
	until(t, "a refusal", func() bool { return u.Status().Problem != nil })
	if p := u.Status().Problem; p.Code != ProblemCode(wire.RefusedProtocol) || len(e.opened) != 0 {
		t.Fatalf("a key that the pinned one does not vouch for: %+v", p)
	}
	if !u.identity().CloudKey.Equal(me.CloudKey) {
		t.Fatal("the foreign key was pinned")
	}
}

func TestByeIsObeyedWithinBounds(t *testing.T) {
	f := newFar(t)
	f.script = func(_ context.Context, s *farSide) {
		s.send(wire.FrameBye, wire.Bye{Code: wire.RefusedShutdown, Text: "later\x1b[2J" + strings.Repeat("!", 5000), RetryUs: 1 << 60})
	}
	u, e := start(t, f.near(t), nothing)
	var p *Problem
	select {
	case err := <-e.closed:
		if !errors.As(err, &p) || p.Code != ProblemCode(wire.RefusedShutdown) || p.Retry != maxRetry {
			t.Fatalf("bye: %+v", p)
		}
	case <-time.After(patience):
		t.Fatal("the bye was not heard")
	}
	if len(p.Text) > wire.MaxTextRunes || strings.Contains(p.Text, "\x1b") {
		t.Fatal("the bye's text was taken as it is")
	}
	until(t, "the wait", func() bool { return !u.Status().Next.IsZero() })
	if d := time.Until(u.Status().Next); d < maxRetry-time.Second || d > maxRetry+maxRetry/9 {
		t.Fatalf("the next attempt is in %v", d)
	}
}

func TestHeartbeatIntervalIsBounded(t *testing.T) {
	for name, us := range map[string]int64{"tiny": 1, "huge": 1 << 60, "negative": -1} {
		f := newFar(t)
		f.welcome.Heartbeat = us
		u, e := start(t, f.near(t), nothing)
		<-e.opened
		until(t, "a session", func() bool { return u.current() != nil || len(e.closed) > 0 })
		if s := u.current(); s != nil && (s.beat < 10*time.Millisecond || s.beat > time.Minute) {
			t.Errorf("%s: a heartbeat every %v", name, s.beat)
		}
	}
}

func TestLargePayloadIsRefusedInWords(t *testing.T) {
	f := newFar(t)
	me := f.near(t)
	got := make(chan wire.Reply, 1)
	f.script = func(ctx context.Context, s *farSide) {
		s.open = wire.NewOpener(public(me.key), s.session, wire.Up)
		if _, err := s.open.Open(s.hello, time.Now().UnixMicro()); err != nil {
			t.Errorf("the hello: %v", err)
		}
		got <- s.ask(ctx, wire.Command{ID: 1, Type: wire.CmdStill, ExpiresUs: soon(), Body: json.RawMessage(`{}`)})
	}
	start(t, me, func(context.Context, wire.Command) (any, []byte, error) {
		return struct{}{}, make([]byte, wire.MaxPayloadBytes+1), nil
	})
	if r := <-got; r.Code != wire.FailedOtherwise || !strings.Contains(r.Error, fmt.Sprint(wire.MaxPayloadBytes+1)) {
		t.Fatalf("reply %+v", r)
	}
}

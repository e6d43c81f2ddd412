package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"holdfast/cloud/gateway"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/line"
)

func TestHandshakeRefusals(t *testing.T) {
	r := newRig(t)
	a := r.raw(r.Code())
	change := func(f func(*wire.RequestClaim)) http.Header {
		c := a.claim(nil)
		f(&c)
		return a.signed(http.MethodGet, wire.PathSession, c)
	}
	other := r.raw(r.Code()) // of the same site: a has been replaced by it
	stranger := &raw{r: r, agent: id.New[id.Agent](), key: newTestKey(t)}
	forger := &raw{r: r, agent: other.agent, key: newTestKey(t)}
	for name, c := range map[string]struct {
		by   *raw
		head http.Header
		code wire.RefusalCode
	}{
		"replaced":  {a, change(func(*wire.RequestClaim) {}), wire.RefusedReplaced},
		"unknown":   {stranger, stranger.signed(http.MethodGet, wire.PathSession, stranger.claim(nil)), wire.RefusedUnknown},
		"forged":    {forger, forger.signed(http.MethodGet, wire.PathSession, forger.claim(nil)), wire.RefusedSignature},
		"other way": {other, other.signed(http.MethodPost, wire.PathSession, other.claim(nil)), wire.RefusedSignature},
		"unsigned":  {other, http.Header{wire.HeaderSignature: {"x"}}, wire.RefusedMalformed},
		"late":      {other, other.at(-2 * time.Minute), wire.RefusedClock},
		"early":     {other, other.at(3 * time.Minute), wire.RefusedClock},
		"version 0": {other, other.version(0), wire.RefusedVersion},
	} {
		status, refusal := c.by.dial(c.head)
		if refusal.Code != c.code || refusal.Text == "" || status != refusal.Status() || refusal.WallUs == 0 {
			t.Errorf("%s: %d %+v, want code %q", name, status, refusal, c.code)
		}
	}
	head := other.signed(http.MethodGet, wire.PathSession, other.claim(nil))
	if status, _ := other.dial(head); status != http.StatusSwitchingProtocols {
		t.Fatalf("the first use of a handshake: %d", status)
	}
	if _, refusal := other.dial(head); refusal.Code != wire.RefusedReplay {
		t.Fatalf("the second use of a handshake: %+v", refusal)
	}
	browser := other.at(0)
	browser.Set("Origin", "https://evil.example.com")
	resp, _ := r.Forward(&http.Request{Method: http.MethodGet, URL: mustURL(wire.PathSession), Header: browser}, nil)
	if resp.StatusCode != http.StatusForbidden {
		t.Fatalf("a browser was answered %d", resp.StatusCode)
	}
}

func TestFrameRefusals(t *testing.T) {
	r := newRig(t)
	a := r.raw(r.Code())
	for name, c := range map[string]struct {
		do   func()
		code wire.RefusalCode
	}{
		"replayed": {func() {
			f := a.frame(wire.FrameHeartbeat, wire.Heartbeat{})
			a.write(f)
			a.write(f)
		}, wire.RefusedReplay},
		"reordered": {func() {
			first := a.frame(wire.FrameHeartbeat, wire.Heartbeat{})
			second := a.frame(wire.FrameHeartbeat, wire.Heartbeat{})
			a.write(second)
			a.write(first)
		}, wire.RefusedReplay},
		"forged": {func() {
			f := a.frame(wire.FrameHeartbeat, wire.Heartbeat{})
			f[len(f)-1] ^= 1
			a.write(f)
		}, wire.RefusedSignature},
		"of another session": {func() {
			f, _ := wire.NewSealer(a.key.private, id.New[id.Session](), wire.Up).Seal(wire.FrameHeartbeat, wire.Heartbeat{}, nil, time.Now().Add(time.Minute).UnixMicro())
			a.write(f)
		}, wire.RefusedReplay},
		"expired": {func() {
			f, _ := a.seal.Seal(wire.FrameHeartbeat, wire.Heartbeat{}, nil, time.Now().Add(-time.Second).UnixMicro())
			a.write(f)
		}, wire.RefusedClock},
		"second hello": {func() { a.write(a.frame(wire.FrameHello, a.hello())) }, wire.RefusedProtocol},
		"bad message":  {func() { a.write(a.frame(wire.FrameHeartbeat, "hm")) }, wire.RefusedProtocol},
		"short":        {func() { a.write([]byte("x")) }, wire.RefusedMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			a.welcomed()
			c.do()
			a.wantBye(c.code)
			line.Get(t, r.Closed, "end")
		})
	}
	if a := line.Get(t, r.Alarms, "alarm"); a.Kind != gateway.AlarmForged || a.Ref.Site != r.Site {
		t.Fatalf("alarm %+v", a)
	}
}

// TestAFrameThatUnpacksToMuch ends its session: a thousandth of what it unpacks to is on the line.
func TestAFrameThatUnpacksToMuch(t *testing.T) {
	r := newRig(t)
	a := r.raw(r.Code())
	a.welcomed()
	w, err := a.conn.Writer(t.Context(), websocket.MessageBinary)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 64 {
		if _, err := w.Write(zeros); err != nil {
			break // the gateway has seen enough
		}
	}
	_ = w.Close() // or has now
	if _, err := a.next(); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("the session goes on: %v", err)
	}
	line.Get(t, r.Closed, "end")
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16*wire.MaxFrameBytes {
		t.Errorf("%d bytes were allocated for frames of at most %d", grown, wire.MaxFrameBytes)
	}
	a.welcomed() // another session is as welcome as ever
}

func TestHelloRefusals(t *testing.T) {
	r := newRig(t)
	a := r.raw(r.Code())
	for name, msg := range map[string]any{
		"another agent": wire.Hello{Agent: id.New[id.Agent](), Site: r.Site},
		"another site":  wire.Hello{Agent: a.agent, Site: id.New[id.Site]()},
		"no hello":      "hm",
		"bad camera":    wire.Hello{Agent: a.agent, Site: r.Site, Cameras: []wire.CameraState{{Camera: "../.."}}},
	} {
		t.Run(name, func(*testing.T) {
			a.shake()
			a.write(a.frame(wire.FrameHello, msg))
			a.wantBye(wire.RefusedProtocol)
		})
	}
	a.shake()
	a.write(a.frame(wire.FrameHeartbeat, wire.Heartbeat{}))
	a.wantBye(wire.RefusedProtocol)
	line.None(t, r.Opened, "a session")
}

func TestUnknownFrameIsIgnored(t *testing.T) {
	r := newRig(t)
	a := r.raw(r.Code())
	a.welcomed()
	a.write(a.frame("song", struct{}{}))
	a.write(a.frame(wire.FrameReply, wire.Reply{ID: 99}))
	a.write(a.frame(wire.FrameHeartbeat, wire.Heartbeat{WallUs: 5}))
	f, err := a.next()
	var ack wire.HeartbeatAck
	if err != nil || f.Type != wire.FrameHeartbeatAck || json.Unmarshal(f.Message, &ack) != nil || ack.EchoUs != 5 {
		t.Fatalf("%s frame, %v", f.Type, err)
	}
}

func TestRequestRefusals(t *testing.T) {
	r := newRig(t)
	a := r.raw(r.Code())
	a.welcomed()
	go func() { // keeps the session alive
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			f, err := a.seal.Seal(wire.FrameHeartbeat, wire.Heartbeat{}, nil, time.Now().Add(wire.SignedFor).UnixMicro())
			if err != nil || a.conn.Write(context.Background(), websocket.MessageBinary, f) != nil {
				return
			}
		}
	}()
	body := packed(t)
	n := uint64(0)
	with := func(f func(*wire.RequestClaim)) http.Header {
		c := a.claim(body)
		n++
		c.Counter = n
		if f != nil {
			f(&c)
		}
		return a.signed(http.MethodPost, wire.PathBatch, c)
	}
	good := with(nil)
	if status, _ := a.send(http.MethodPost, wire.PathBatch, good, body); status != http.StatusOK {
		t.Fatalf("a good batch: %d", status)
	}
	line.Get(t, r.Batches, "batch")
	forged := with(nil)
	forged.Set(wire.HeaderSignature, good.Get(wire.HeaderSignature))
	for name, c := range map[string]struct {
		head http.Header
		path string
		body []byte
		code wire.RefusalCode
	}{
		"replay":          {good, wire.PathBatch, body, wire.RefusedReplay},
		"forged":          {forged, wire.PathBatch, body, wire.RefusedSignature},
		"another body":    {with(nil), wire.PathBatch, append([]byte("x"), body...), wire.RefusedMalformed},
		"another path":    {with(nil), wire.PathClips + string(id.New[id.Clip]()) + "/begin", body, wire.RefusedSignature},
		"another session": {with(func(c *wire.RequestClaim) { c.Session = id.New[id.Session]() }), wire.PathBatch, body, wire.RefusedSession},
		"no session":      {with(func(c *wire.RequestClaim) { c.Session = "" }), wire.PathBatch, body, wire.RefusedSession},
		"another agent":   {with(func(c *wire.RequestClaim) { c.Agent = id.New[id.Agent]() }), wire.PathBatch, body, wire.RefusedSession},
		"old":             {with(func(c *wire.RequestClaim) { c.ExpiresUs = 1 }), wire.PathBatch, body, wire.RefusedClock},
		"counter 0":       {with(func(c *wire.RequestClaim) { c.Counter = 0 }), wire.PathBatch, body, wire.RefusedReplay},
		"unsigned":        {http.Header{wire.HeaderSignature: {""}}, wire.PathBatch, body, wire.RefusedMalformed},
		"no path":         {with(nil), "/agent/v1/etc/passwd", body, wire.RefusedMissing},
	} {
		status, refusal := a.send(http.MethodPost, c.path, c.head, c.body)
		if refusal.Code != c.code || status != refusal.Status() {
			t.Errorf("%s: %d %+v, want %q", name, status, refusal, c.code)
		}
	}
	line.None(t, r.Batches, "a refused batch")
	bomb := bytes.Repeat([]byte{0}, wire.MaxRequestBytes+1)
	sum := sha256.Sum256(bomb)
	if _, refusal := a.send(http.MethodPost, wire.PathBatch, with(func(c *wire.RequestClaim) { c.Digest = sum[:] }), bomb); refusal.Code != wire.RefusedTooLarge {
		t.Errorf("a body above the limit: %+v", refusal)
	}
	if a := line.Get(t, r.Alarms, "alarm"); a.Kind != gateway.AlarmForged {
		t.Fatalf("alarm %+v", a)
	}
}

func packed(t *testing.T) []byte {
	t.Helper()
	coder, err := wire.NewBatchCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	body, err := coder.Encode(wire.Batch{Epoch: "e", Lane: wire.Live, Facts: []wire.Fact{{Seq: 1, Kind: wire.KindRun, Body: json.RawMessage(`{}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestSilentAgentIsLetGo(t *testing.T) {
	r := newRig(t, line.Beating(150*time.Millisecond))
	a := r.raw(r.Code())
	a.welcomed()
	begun := time.Now()
	if why := line.Get(t, r.Closed, "end"); !strings.Contains(why, "no heartbeat") {
		t.Fatalf("ended because %q", why)
	}
	if d := time.Since(begun); d < 300*time.Millisecond || d > 5*time.Second {
		t.Fatalf("a silent agent was let go after %v, want 3 heartbeats of 150 ms", d)
	}
}

func TestPayloadIsBounded(t *testing.T) {
	r := newRig(t, line.Beating(time.Minute))
	a := r.raw(r.Code())
	a.welcomed()
	done := make(chan error, 1)
	go func() {
		_, _, err := r.Gateway().Command(t.Context(), a.agent, wire.CmdStill, wire.StillOrder{})
		done <- err
	}()
	f, err := a.next()
	var c wire.Command
	if err != nil || f.Type != wire.FrameCommand || json.Unmarshal(f.Message, &c) != nil {
		t.Fatalf("%s frame, %v", f.Type, err)
	}
	piece := make([]byte, wire.MaxFrameBytes/2)
	for range 2*wire.MaxPayloadBytes/wire.MaxFrameBytes + 1 {
		f, err := a.seal.Seal(wire.FramePayload, wire.Payload{ID: c.ID}, piece, time.Now().Add(time.Minute).UnixMicro())
		if err != nil {
			t.Fatal(err)
		}
		a.write(f)
	}
	if err := line.Get(t, done, "end of the command"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Fatalf("an endless payload: %v", err)
	}
}

func TestCommandWithoutAnAnswer(t *testing.T) {
	r := newRig(t, line.Beating(time.Minute))
	a := r.raw(r.Code())
	a.welcomed()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := r.Gateway().Command(ctx, a.agent, wire.CmdClip, struct{}{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a command that nobody answers: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := r.Gateway().Command(t.Context(), a.agent, wire.CmdClip, struct{}{})
		done <- err
	}()
	for range 2 {
		if f, err := a.next(); err != nil || f.Type != wire.FrameCommand {
			t.Fatalf("%s frame, %v", f.Type, err)
		}
	}
	_ = a.conn.CloseNow()
	var offline gateway.ErrOffline
	if err := line.Get(t, done, "end of the command"); !errors.As(err, &offline) || offline.SinceUs == 0 {
		t.Fatalf("a command whose agent has gone: %v", err)
	}
}

func TestHandshakesAreAdmittedSlowly(t *testing.T) {
	r := newRig(t, func(c *gateway.Config, _ *gateway.Hooks) { c.Handshakes = 1 })
	a := r.raw(r.Code())
	busy := 0
	for range 10 {
		resp, _ := r.Forward(&http.Request{Method: http.MethodGet, URL: mustURL(wire.PathSession), Header: a.at(0)}, nil)
		if resp.StatusCode == http.StatusTooManyRequests {
			busy++
			if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || s < 2 || s > 17 {
				t.Fatalf("Retry-After %q", resp.Header.Get("Retry-After"))
			}
		}
	}
	if busy < 7 {
		t.Fatalf("%d of 10 handshakes at once were put off, want at least 7", busy)
	}
}

func TestErrOfflineIsOneOfItsKind(t *testing.T) {
	r := newRig(t)
	var offline gateway.ErrOffline
	if _, _, err := r.Gateway().Command(t.Context(), r.raw(r.Code()).agent, wire.CmdStill, nil); !errors.As(err, &offline) || offline.SinceUs != 0 {
		t.Fatalf("an agent that was never online: %v", err)
	}
}

func TestAnotherReplicasSessionStays(t *testing.T) {
	clock := &line.Clock{}
	r := newRig(t, line.Timed(clock))
	a := r.raw(r.Code())
	now := time.Now()
	err := agents.OpenSession(t.Context(), r.DB, r.Scope(), agents.Session{
		Agent: a.agent, Org: r.Org, Session: id.New[id.Session](), Replica: "other",
		OpenedUs: now.UnixMicro(), LeaseUs: now.Add(30 * time.Second).UnixMicro(),
	})
	if err != nil {
		t.Fatal(err)
	}
	a.shake()
	a.write(a.frame(wire.FrameHello, a.hello()))
	a.wantBye(wire.RefusedDuplicate)
	line.None(t, r.Opened, "a session")
	clock.Move(31 * time.Second)
	a.welcomed()
	line.Get(t, r.Opened, "a session after the other replica's lease")
}

func TestShutdownIsQuickWithOpenHandshakes(t *testing.T) {
	r := newRig(t)
	a := r.raw(r.Code())
	a.shake() // and no hello
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() { r.Stop(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("the end of the gateway waits for a hello that never comes")
	}
}

package gateway_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"holdfast/cloud/gateway"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

type testKey struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
}

func newTestKey(t *testing.T) testKey {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return testKey{pub, priv}
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func mustURL(path string) *url.URL { return &url.URL{Path: path} }

func itoa(i int) string { return strconv.Itoa(i) }

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// raw is an agent made by hand, which can misbehave in every way.
type raw struct {
	r     *rig
	agent id.Agent
	key   testKey
	conn  *websocket.Conn
	ses   id.Session
	seal  *wire.Sealer
	open  *wire.Opener
}

func (r *rig) raw() *raw {
	r.t.Helper()
	code, _ := wire.ParseCode(r.code())
	m := r.begin(code.Lookup())
	status, body := r.post(wire.PathEnrolFinish, m.finish(code.Key()))
	var grant wire.EnrolGrant
	if status != http.StatusOK || json.Unmarshal(body, &grant) != nil {
		r.t.Fatalf("finish: %d %s", status, body)
	}
	return &raw{r: r, agent: grant.Agent, key: m.key}
}

func (a *raw) claim(body []byte) wire.RequestClaim {
	sum := sha256.Sum256(body)
	return wire.RequestClaim{
		Version: 1, Agent: a.agent, Cloud: wire.KeyPrint(a.r.keys.Public()), Session: a.ses, Counter: 1,
		ExpiresUs: time.Now().Add(wire.SignedFor).UnixMicro(), Digest: sum[:],
	}
}

// signed returns the headers of a signed request.
func (a *raw) signed(method, path string, c wire.RequestClaim) http.Header {
	req, err := http.NewRequest(method, a.r.srv.URL+path, nil)
	if err != nil {
		a.r.t.Fatal(err)
	}
	wire.SignRequest(req, a.key.private, c)
	return req.Header
}

// dial opens a connection; the answer's status is returned when it is not upgraded.
func (a *raw) dial(h http.Header) (int, wire.Refusal) {
	a.r.t.Helper()
	conn, resp, err := websocket.Dial(a.r.t.Context(), a.r.srv.URL+wire.PathSession, &websocket.DialOptions{HTTPHeader: h})
	if err != nil {
		if resp == nil {
			a.r.t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if _, err := wire.VerifyReply(resp, body, h.Get(wire.HeaderSignature), a.r.keys.Public()); err != nil {
			a.r.t.Errorf("a refusal is not signed: %v", err)
		}
		var refusal wire.Refusal
		_ = json.Unmarshal(body, &refusal)
		return resp.StatusCode, refusal
	}
	claim, err := wire.VerifyReply(resp, nil, h.Get(wire.HeaderSignature), a.r.keys.Public())
	if err != nil {
		a.r.t.Fatal(err)
	}
	a.r.t.Cleanup(func() { _ = conn.CloseNow() })
	a.conn, a.ses = conn, claim.Session
	a.seal = wire.NewSealer(a.key.private, a.ses, wire.Up)
	a.open = wire.NewOpener(a.r.keys.Public(), a.ses, wire.Down)
	return resp.StatusCode, wire.Refusal{}
}

func (a *raw) shake() {
	a.r.t.Helper()
	a.ses = ""
	c := a.claim(nil)
	c.Counter = uint64(time.Now().UnixNano())
	if status, refusal := a.dial(a.signed(http.MethodGet, wire.PathSession, c)); status != http.StatusSwitchingProtocols {
		a.r.t.Fatalf("handshake: %d %+v", status, refusal)
	}
}

func (a *raw) frame(typ wire.FrameType, msg any) []byte {
	a.r.t.Helper()
	f, err := a.seal.Seal(typ, msg, nil, time.Now().Add(wire.SignedFor).UnixMicro())
	if err != nil {
		a.r.t.Fatal(err)
	}
	return f
}

func (a *raw) write(frame []byte) {
	a.r.t.Helper()
	if err := a.conn.Write(a.r.t.Context(), websocket.MessageBinary, frame); err != nil {
		a.r.t.Fatal(err)
	}
}

// next returns the next frame, or the error that ended the connection.
func (a *raw) next() (wire.Frame, error) {
	ctx, cancel := context.WithTimeout(a.r.t.Context(), wait)
	defer cancel()
	_, b, err := a.conn.Read(ctx)
	if err != nil {
		return wire.Frame{}, err
	}
	return a.open.Open(b, time.Now().UnixMicro())
}

func (a *raw) wantBye(code wire.RefusalCode) wire.Bye {
	a.r.t.Helper()
	for {
		f, err := a.next()
		if err != nil {
			a.r.t.Fatalf("no bye came: %v", err)
		}
		if f.Type != wire.FrameBye {
			continue
		}
		var bye wire.Bye
		if err := json.Unmarshal(f.Message, &bye); err != nil || bye.Code != code {
			a.r.t.Fatalf("bye %+v, %v; want %q", bye, err, code)
		}
		_ = a.conn.CloseNow()
		return bye
	}
}

func (a *raw) hello() wire.Hello {
	return wire.Hello{Version: 1, Agent: a.agent, Site: a.r.site, Host: "raw"}
}

// welcomed opens a session up to its welcome.
func (a *raw) welcomed() {
	a.r.t.Helper()
	a.shake()
	a.write(a.frame(wire.FrameHello, a.hello()))
	if f, err := a.next(); err != nil || f.Type != wire.FrameWelcome {
		a.r.t.Fatalf("%s frame, %v; want a welcome", f.Type, err)
	}
}

// send sends a bulk request with these headers and verifies its answer's signature.
func (a *raw) send(method, path string, h http.Header, body []byte) (int, wire.Refusal) {
	a.r.t.Helper()
	req, err := http.NewRequestWithContext(a.r.t.Context(), method, a.r.srv.URL+path, bytes.NewReader(body))
	if err != nil {
		a.r.t.Fatal(err)
	}
	req.Header = h.Clone()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		a.r.t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		a.r.t.Fatal(err)
	}
	if _, err := wire.VerifyReply(resp, answer, h.Get(wire.HeaderSignature), a.r.keys.Public()); err != nil {
		a.r.t.Errorf("the answer %d is not signed: %v", resp.StatusCode, err)
	}
	var refusal wire.Refusal
	_ = json.Unmarshal(answer, &refusal)
	return resp.StatusCode, refusal
}

func TestHandshakeRefusals(t *testing.T) {
	r := newRig(t)
	a := r.raw()
	change := func(f func(*wire.RequestClaim)) http.Header {
		c := a.claim(nil)
		f(&c)
		return a.signed(http.MethodGet, wire.PathSession, c)
	}
	other := r.raw() // of the same site: a has been replaced by it
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
	resp, _ := r.forward(&http.Request{Method: http.MethodGet, URL: mustURL(wire.PathSession), Header: browser}, nil)
	if resp.StatusCode != http.StatusForbidden {
		t.Fatalf("a browser was answered %d", resp.StatusCode)
	}
}

func (a *raw) at(off time.Duration) http.Header {
	c := a.claim(nil)
	c.Counter = uint64(time.Now().UnixNano())
	c.ExpiresUs += off.Microseconds()
	return a.signed(http.MethodGet, wire.PathSession, c)
}

func (a *raw) version(v int) http.Header {
	c := a.claim(nil)
	c.Version = v
	return a.signed(http.MethodGet, wire.PathSession, c)
}

func TestFrameRefusals(t *testing.T) {
	r := newRig(t)
	a := r.raw()
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
			get(t, r.closed, "end")
		})
	}
	if a := get(t, r.alarms, "alarm"); a.Kind != gateway.AlarmForged || a.Ref.Site != r.site {
		t.Fatalf("alarm %+v", a)
	}
}

func TestHelloRefusals(t *testing.T) {
	r := newRig(t)
	a := r.raw()
	for name, msg := range map[string]any{
		"another agent": wire.Hello{Agent: id.New[id.Agent](), Site: r.site},
		"another site":  wire.Hello{Agent: a.agent, Site: id.New[id.Site]()},
		"no hello":      "hm",
		"bad camera":    wire.Hello{Agent: a.agent, Site: r.site, Cameras: []wire.CameraState{{Camera: "../.."}}},
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
	none(t, r.opened, "a session")
}

func TestUnknownFrameIsIgnored(t *testing.T) {
	r := newRig(t)
	a := r.raw()
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
	a := r.raw()
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
	get(t, r.batches, "batch")
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
	none(t, r.batches, "a refused batch")
	bomb := bytes.Repeat([]byte{0}, wire.MaxRequestBytes+1)
	sum := sha256.Sum256(bomb)
	if _, refusal := a.send(http.MethodPost, wire.PathBatch, with(func(c *wire.RequestClaim) { c.Digest = sum[:] }), bomb); refusal.Code != wire.RefusedTooLarge {
		t.Errorf("a body above the limit: %+v", refusal)
	}
	if a := get(t, r.alarms, "alarm"); a.Kind != gateway.AlarmForged {
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
	r := newRig(t, beating(150*time.Millisecond))
	a := r.raw()
	a.welcomed()
	begun := time.Now()
	if why := get(t, r.closed, "end"); !strings.Contains(why, "no heartbeat") {
		t.Fatalf("ended because %q", why)
	}
	if d := time.Since(begun); d < 300*time.Millisecond || d > 5*time.Second {
		t.Fatalf("a silent agent was let go after %v, want 3 heartbeats of 150 ms", d)
	}
}

func TestPayloadIsBounded(t *testing.T) {
	r := newRig(t, beating(time.Minute))
	a := r.raw()
	a.welcomed()
	done := make(chan error, 1)
	go func() {
		_, _, err := r.gw.Command(t.Context(), a.agent, wire.CmdStill, wire.StillOrder{})
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
	if err := get(t, done, "end of the command"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Fatalf("an endless payload: %v", err)
	}
}

func TestCommandWithoutAnAnswer(t *testing.T) {
	r := newRig(t, beating(time.Minute))
	a := r.raw()
	a.welcomed()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := r.gw.Command(ctx, a.agent, wire.CmdClip, struct{}{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a command that nobody answers: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := r.gw.Command(t.Context(), a.agent, wire.CmdClip, struct{}{})
		done <- err
	}()
	for range 2 {
		if f, err := a.next(); err != nil || f.Type != wire.FrameCommand {
			t.Fatalf("%s frame, %v", f.Type, err)
		}
	}
	_ = a.conn.CloseNow()
	var offline gateway.ErrOffline
	if err := get(t, done, "end of the command"); !errors.As(err, &offline) || offline.SinceUs == 0 {
		t.Fatalf("a command whose agent has gone: %v", err)
	}
}

func TestHandshakesAreAdmittedSlowly(t *testing.T) {
	r := newRig(t, func(c *gateway.Config, _ *gateway.Hooks) { c.Handshakes = 1 })
	a := r.raw()
	busy := 0
	for range 10 {
		resp, _ := r.forward(&http.Request{Method: http.MethodGet, URL: mustURL(wire.PathSession), Header: a.at(0)}, nil)
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
	if _, _, err := r.gw.Command(t.Context(), r.raw().agent, wire.CmdStill, nil); !errors.As(err, &offline) || offline.SinceUs != 0 {
		t.Fatalf("an agent that was never online: %v", err)
	}
}

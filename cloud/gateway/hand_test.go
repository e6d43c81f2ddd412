package gateway_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/line"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a cloud end with agents made by hand.
type rig struct {
	*line.Cloud
	t *testing.T
}

func newRig(t *testing.T, options ...line.Option) *rig {
	t.Helper()
	return &rig{Cloud: line.New(t, options...), t: t}
}

// machine is what enrols without the uplink: everything by hand.
type machine struct {
	start wire.EnrolStart
	offer wire.EnrolOffer
	key   testKey
}

func (r *rig) begin(lookup string) machine {
	r.t.Helper()
	key := newTestKey(r.t)
	m := machine{key: key, start: wire.EnrolStart{
		Version: 1, Lookup: lookup, Nonce: wire.NewNonce(), Key: key.public, SealKey: wire.NewNonce(), EvKey: wire.NewNonce(), Host: "raw",
	}}
	status, body := r.Post(wire.PathEnrolStart, m.start)
	if status != http.StatusOK {
		r.t.Fatalf("start: %d %s", status, body)
	}
	if err := wire.Decode(body, &m.offer); err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (m machine) finish(key []byte) wire.EnrolFinish {
	tr := wire.EnrolTranscript(m.start, m.offer)
	return wire.EnrolFinish{Attempt: m.offer.Attempt, Proof: tr.Prove(key, wire.AsAgent), Sig: tr.Sign(m.key.private)}
}

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

// raw enrols an agent made by hand with this code.
func (r *rig) raw(text string) *raw {
	r.t.Helper()
	code, _ := wire.ParseCode(text)
	m := r.begin(code.Lookup())
	status, body := r.Post(wire.PathEnrolFinish, m.finish(code.Key()))
	var grant wire.EnrolGrant
	if status != http.StatusOK || json.Unmarshal(body, &grant) != nil {
		r.t.Fatalf("finish: %d %s", status, body)
	}
	return &raw{r: r, agent: grant.Agent, key: m.key}
}

func (a *raw) claim(body []byte) wire.RequestClaim {
	sum := sha256.Sum256(body)
	return wire.RequestClaim{
		Version: 1, Agent: a.agent, Cloud: wire.KeyPrint(a.r.Keys.Public()), Session: a.ses, Counter: 1,
		ExpiresUs: time.Now().Add(wire.SignedFor).UnixMicro(), Digest: sum[:],
	}
}

// signed returns the headers of a signed request.
func (a *raw) signed(method, path string, c wire.RequestClaim) http.Header {
	req, err := http.NewRequest(method, a.r.URL+path, nil)
	if err != nil {
		a.r.t.Fatal(err)
	}
	wire.SignRequest(req, a.key.private, c)
	return req.Header
}

// dial opens a connection; the answer's status is returned when it is not upgraded.
func (a *raw) dial(h http.Header) (int, wire.Refusal) {
	a.r.t.Helper()
	conn, resp, err := websocket.Dial(a.r.t.Context(), a.r.URL+wire.PathSession, &websocket.DialOptions{
		HTTPHeader: h, CompressionMode: websocket.CompressionContextTakeover, // as agents have it
	})
	if err != nil {
		if resp == nil {
			a.r.t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if _, err := wire.VerifyReply(resp, body, h.Get(wire.HeaderSignature), a.r.Keys.Public()); err != nil {
			a.r.t.Errorf("a refusal is not signed: %v", err)
		}
		var refusal wire.Refusal
		_ = json.Unmarshal(body, &refusal)
		return resp.StatusCode, refusal
	}
	claim, err := wire.VerifyReply(resp, nil, h.Get(wire.HeaderSignature), a.r.Keys.Public())
	if err != nil {
		a.r.t.Fatal(err)
	}
	a.r.t.Cleanup(func() { _ = conn.CloseNow() })
	a.conn, a.ses = conn, claim.Session
	a.seal = wire.NewSealer(a.key.private, a.ses, wire.Up)
	a.open = wire.NewOpener(a.r.Keys.Public(), a.ses, wire.Down)
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
	ctx, cancel := context.WithTimeout(a.r.t.Context(), line.Wait)
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
	return wire.Hello{Version: 1, Agent: a.agent, Site: a.r.Site, Host: "raw"}
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
	req, err := http.NewRequestWithContext(a.r.t.Context(), method, a.r.URL+path, bytes.NewReader(body))
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
	if _, err := wire.VerifyReply(resp, answer, h.Get(wire.HeaderSignature), a.r.Keys.Public()); err != nil {
		a.r.t.Errorf("the answer %d is not signed: %v", resp.StatusCode, err)
	}
	var refusal wire.Refusal
	_ = json.Unmarshal(answer, &refusal)
	return resp.StatusCode, refusal
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

package uplink

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"

	"github.com/coder/websocket"

	"holdfast/agent/pace"
	"holdfast/shared/wire"
)

// dial sends the request that opens a session and verifies its answer.
func (u *Uplink) dial(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	me := u.identity()
	target := u.base.JoinPath(wire.PathSession)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make session request: %w", err)
	}
	empty := sha256.Sum256(nil)
	wire.SignRequest(req, me.key, wire.RequestClaim{
		Version: wire.Version, Agent: me.Agent, Cloud: wire.KeyPrint(me.CloudKey), Counter: randomCounter(),
		ExpiresUs: u.clock.cloudUs() + wire.SignedFor.Microseconds(), Digest: empty[:],
	})
	u.pace.Spend(pace.Control, dialBytes)
	conn, resp, err := websocket.Dial(ctx, target.String(), &websocket.DialOptions{
		HTTPClient: client(u.line), HTTPHeader: req.Header,
		// One heartbeat is nearly what the one before was: what has been said lately need not be said again.
		CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		return nil, u.notUpgraded(resp, req.Header.Get(wire.HeaderSignature), err)
	}
	claim, err := wire.VerifyReply(resp, nil, req.Header.Get(wire.HeaderSignature), me.CloudKey)
	if err != nil || claim.Session == "" {
		_ = conn.CloseNow()
		return nil, unsigned(resp, nil, u.base.Host)
	}
	if v, err := wire.Negotiate(claim.Version); err != nil || v != claim.Version {
		_ = conn.CloseNow()
		return nil, versionProblem(0, claim.Version)
	}
	u.clock.learn(claim.WallUs, u.cfg.Now())
	u.shown(resp)
	conn.SetReadLimit(wire.MaxFrameBytes)
	s := &session{
		u: u, id: claim.Session, conn: conn, beat: beatDefault, over: make(chan struct{}),
		opener: wire.NewOpener(me.CloudKey, claim.Session, wire.Down),
		sealer: wire.NewSealer(me.key, claim.Session, wire.Up),
	}
	s.ahead.Store(aheadFirst)
	return s, nil
}

// shown keeps the end of the certificate that the cloud has shown.
func (u *Uplink) shown(resp *http.Response) {
	if resp.TLS == nil || len(resp.TLS.PeerCertificates) == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.certEnds = resp.TLS.PeerCertificates[0].NotAfter
}

// notUpgraded explains a handshake that did not end in a session.
func (u *Uplink) notUpgraded(resp *http.Response, signature string, err error) error {
	if resp == nil {
		return err
	}
	body := readBody(resp)
	_ = resp.Body.Close()
	refusal, err := u.verifyRefusal(resp, body, signature)
	if err != nil {
		return err
	}
	return refusal
}

// verifyRefusal reads a signed refusal and learns the cloud's clock from it; everything else is a Problem.
func (u *Uplink) verifyRefusal(resp *http.Response, body []byte, signature string) (*Problem, error) {
	claim, err := wire.VerifyReply(resp, body, signature, u.identity().CloudKey)
	if err != nil {
		return nil, unsigned(resp, body, u.base.Host)
	}
	now := u.cfg.Now()
	u.clock.learn(claim.WallUs, now)
	var refusal wire.Refusal
	if err := wire.Decode(body, &refusal); err != nil || refusal.Code == "" {
		return nil, &Problem{Code: ProblemGateway, Text: fmt.Sprintf("the cloud answers %d without a reason", resp.StatusCode), Retry: retryAfter(resp)}
	}
	p := diagnose(&refusal, u.base.Host, now)
	switch refusal.Code {
	case wire.RefusedClock:
		offset, _ := u.clock.offset()
		if text := ClockText(offset); text != "" {
			p.Text = text
		}
	case wire.RefusedVersion:
		p = versionProblem(refusal.Oldest, refusal.Newest)
	}
	return p, nil
}

func versionProblem(oldest, newest int) *Problem {
	return &Problem{
		Code: ProblemCode(wire.RefusedVersion), Retry: maxRetry / 2,
		Text: fmt.Sprintf("the cloud speaks protocol version %d to %d, this agent %d to %d: update the older one",
			max(oldest, 1), newest, wire.OldestVersion, wire.Version),
	}
}

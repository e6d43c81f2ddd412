package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"holdfast/shared/atomicfile"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// ErrEnrolled says that the machine has an identity already, by another code.
var ErrEnrolled = errors.New("this machine is enrolled already")

// EnrolConfig says where and with what to enrol.
type EnrolConfig struct {
	URL     string // of the cloud: "https://cloud.example.com"
	Code    string // as the person typed it
	DataDir string // gets identity.json; made if it is missing
	Proxy   Proxy
	CAFile  string           // extra authorities, PEM; empty: the system's
	Host    string           // what the portal shows; empty: the machine's name
	Replace bool             // forget an identity that is there
	Now     func() time.Time // the machine's clock; time.Now when nil
}

// Validate reports every fault, the code's typing mistakes included.
func (c EnrolConfig) Validate() error {
	_, code := wire.ParseCode(c.Code)
	_, cloud := parseCloud(c.URL)
	var dir error
	if c.DataDir == "" {
		dir = errors.New("the data folder is not named")
	}
	return errors.Join(code, cloud, dir, c.Proxy.check())
}

// Enrol turns a code into an identity and stores it in the data folder. Keys are made here and never leave; the
// code's secret is never sent. It may be repeated with the same code, after a lost reply or at any later time:
// the result is the same identity. A *Problem says why not.
func Enrol(ctx context.Context, cfg EnrolConfig) (Identity, error) {
	if err := cfg.Validate(); err != nil {
		return Identity{}, err
	}
	code, err := wire.ParseCode(cfg.Code)
	if err != nil {
		return Identity{}, err
	}
	base, err := parseCloud(cfg.URL)
	if err != nil {
		return Identity{}, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Host == "" {
		cfg.Host, _ = os.Hostname() // a machine without a name is still a machine
	}
	me, err := prepare(cfg, code)
	if err != nil {
		return Identity{}, err
	}
	tr, err := transport(cfg.Proxy, cfg.CAFile, unasked)
	if err != nil {
		return Identity{}, err
	}
	defer tr.CloseIdleConnections()
	e := &enrolment{cfg: cfg, code: code, base: base, http: client(tr), me: me}
	if err := e.run(ctx); err != nil {
		return Identity{}, err
	}
	if err := e.me.write(identityFile); err != nil {
		return Identity{}, err
	}
	if err := os.Remove(filepath.Join(cfg.DataDir, pendingFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Identity{}, fmt.Errorf("remove the keys of the attempt: %w", err)
	}
	return e.me, atomicfile.SyncDir(cfg.DataDir)
}

// prepare returns the keys to enrol with: those of an identity that the same code made, those of an attempt
// that was not finished, or new ones, which are on the disk before anything is sent.
func prepare(cfg EnrolConfig, code wire.Code) (Identity, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return Identity{}, fmt.Errorf("make data folder: %w", err)
	}
	old, err := LoadIdentity(cfg.DataDir)
	switch {
	case err == nil && old.lookup == code.Lookup():
		return old, nil
	case err == nil && !cfg.Replace:
		return Identity{}, fmt.Errorf("%w, at site %q: to give it a new identity, enrol with --replace", ErrEnrolled, old.SiteName)
	case err != nil && !errors.Is(err, ErrNotEnrolled) && !cfg.Replace:
		return Identity{}, err
	}
	me, err := readIdentity(cfg.DataDir, pendingFile)
	if err == nil {
		return me, nil
	}
	// A damaged attempt has made no identity: new keys take its place.
	if me, err = newKeys(); err != nil {
		return Identity{}, err
	}
	me.dir = cfg.DataDir
	return me, me.write(pendingFile)
}

type enrolment struct {
	cfg  EnrolConfig
	code wire.Code
	base *url.URL
	http *http.Client
	me   Identity
}

// run tries up to four times as long as the line is at fault: the exchange may be repeated at any point.
func (e *enrolment) run(ctx context.Context) error {
	timer := backoff.New(backoff.Policy{Min: time.Second, Cap: 4 * time.Second})
	for {
		err := e.exchange(ctx)
		if err == nil {
			return nil
		}
		p := diagnose(err, e.base.Host, e.cfg.Now())
		transient := p.Code == ProblemUnreachable || p.Code == ProblemCut || p.Code == ProblemGateway
		if !transient || timer.Tries() == 3 || ctx.Err() != nil {
			return p
		}
		if err := timer.Wait(ctx, 0); err != nil {
			return p
		}
	}
}

func (e *enrolment) exchange(ctx context.Context) error {
	start := wire.EnrolStart{
		Version: wire.Version, Lookup: e.code.Lookup(), Nonce: wire.NewNonce(), Key: public(e.me.key),
		SealKey: e.me.seal.PublicKey().Bytes(), EvKey: public(e.me.evidence),
		Host: wire.CleanText(e.cfg.Host, wire.MaxNameRunes), OS: runtime.GOOS + "/" + runtime.GOARCH,
	}
	var offer wire.EnrolOffer
	if _, err := e.post(ctx, wire.PathEnrolStart, start, &offer); err != nil {
		return err
	}
	if err := offer.Check(); err != nil {
		return &Problem{Code: ProblemForeign, Text: fmt.Sprintf("%s does not answer like a Holdfast cloud: %v", e.base.Host, err)}
	}
	if v, err := wire.Negotiate(offer.Version); err != nil || v != offer.Version {
		return wire.Refuse(wire.RefusedVersion, "the cloud wants protocol version %d, which this agent does not speak: update it", offer.Version)
	}
	transcript := wire.EnrolTranscript(start, offer)
	if !transcript.Proven(e.code.Key(), wire.AsCloud, offer.Proof) {
		return &Problem{Code: ProblemForeign, Text: fmt.Sprintf("%s could not prove that it knows the code: it is not the cloud that made the code, or something on the way changes the traffic; nothing secret was sent to it", e.base.Host)}
	}
	finish := wire.EnrolFinish{
		Attempt: offer.Attempt, Proof: transcript.Prove(e.code.Key(), wire.AsAgent), Sig: transcript.Sign(e.me.key),
	}
	var grant wire.EnrolGrant
	granted, err := e.post(ctx, wire.PathEnrolFinish, finish, &grant)
	if err != nil {
		return err
	}
	if !transcript.GrantSigned(offer.Key, granted.body, granted.signature) {
		return &Problem{Code: ProblemForeign, Text: "the identity came without the cloud's signature: something on the way changes the traffic"}
	}
	if grant.Agent == "" || grant.Site == "" || grant.Org == "" {
		return &Problem{Code: ProblemForeign, Text: "the cloud granted an identity without a name: update the cloud"}
	}
	e.me.Agent, e.me.Site, e.me.Org = grant.Agent, grant.Site, grant.Org
	e.me.SiteName = wire.CleanText(grant.SiteName, wire.MaxNameRunes)
	e.me.OrgName = wire.CleanText(grant.OrgName, wire.MaxNameRunes)
	for _, c := range grant.Cameras {
		if _, err := id.Parse[id.Camera](string(c.Camera)); err == nil {
			e.me.Cameras = append(e.me.Cameras, c)
		}
	}
	e.me.CloudURL, e.me.CloudKey, e.me.lookup = e.base.String(), offer.Key, e.code.Lookup()
	return nil
}

// answer is what the cloud said to one step, with its signature if there is one.
type answer struct {
	body      []byte
	signature string
}

// post sends one step and reads its answer into v. Nothing in an answer is believed before its proof is checked,
// so that a refusal's code is used and its words are not.
func (e *enrolment) post(ctx context.Context, path string, message, v any) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	raw, err := json.Marshal(message)
	if err != nil {
		return answer{}, fmt.Errorf("encode enrolment: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.base.JoinPath(path).String(), bytes.NewReader(raw))
	if err != nil {
		return answer{}, fmt.Errorf("make enrolment request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxEnrolBytes))
	err = errors.Join(err, resp.Body.Close())
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return answer{}, e.refused(resp, body)
	}
	if err := wire.Decode(body, v); err != nil {
		return answer{}, unsigned(resp, body, e.base.Host)
	}
	return answer{body: body, signature: resp.Header.Get(wire.HeaderSignature)}, nil
}

// refused explains an answer that is not a success.
func (e *enrolment) refused(resp *http.Response, body []byte) error {
	var refusal wire.Refusal
	if err := wire.Decode(body, &refusal); err != nil || refusal.Code == "" {
		return unsigned(resp, body, e.base.Host)
	}
	text := ""
	switch refusal.Code {
	case wire.RefusedCode:
		text = "the cloud does not take this code: it was used by another machine, it is older than an hour, or it is another cloud's; make a new one in the portal"
	case wire.RefusedUsed:
		text = "another machine was enrolled with this code, or this one was removed from its site since: make a new code in the portal"
	case wire.RefusedBusy:
		text = fmt.Sprintf("too many attempts to enrol failed: wait %s and try again", words(max(refusal.Retry(), time.Second)))
	case wire.RefusedVersion:
		text = fmt.Sprintf("the cloud speaks protocol version %d to %d, this agent %d to %d: update the older one",
			refusal.Oldest, refusal.Newest, wire.OldestVersion, wire.Version)
	default:
		text = fmt.Sprintf("the cloud refused (%s): %s", wire.CleanText(string(refusal.Code), 32), wire.CleanText(refusal.Text, 200))
	}
	return &Problem{Code: ProblemCode(refusal.Code), Text: text, Retry: min(refusal.Retry(), maxRetry), Err: &refusal}
}

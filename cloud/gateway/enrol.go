package gateway

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const attemptLife = 2 * time.Minute

// NewCode makes an enrolment code for a site of the scope: what the person types, its ID, and when it expires.
// store.ErrNotFound if the scope has no such site.
func (g *Gateway) NewCode(ctx context.Context, scope store.Scope, site id.Site, by id.Person) (string, id.Code, time.Time, error) {
	now := g.cfg.Now()
	expires := now.Add(codeLife)
	for range 10 {
		code := wire.NewCode()
		row := agents.Code{
			ID: id.New[id.Code](), Site: site, Lookup: code.Lookup(), Key: code.Key(), By: by,
			CreatedUs: now.UnixMicro(), ExpiresUs: expires.UnixMicro(),
		}
		err := agents.PutCode(ctx, g.db, scope, row)
		if errors.Is(err, store.ErrConflict) {
			continue // the lookup is taken: one in a million per code in the table
		}
		if err != nil {
			return "", "", time.Time{}, err
		}
		return code.Text(), row.ID, expires, nil
	}
	return "", "", time.Time{}, errors.New("make enrolment code: no free lookup was found")
}

// attempt is what the cloud must remember between start and finish. It travels to the agent and back under a
// MAC instead of being kept, so that nobody can fill the cloud's memory with attempts.
type attempt struct {
	Start     wire.EnrolStart `json:"start"`
	Version   int             `json:"version"`
	Nonce     []byte          `json:"nonce"`
	Code      id.Code         `json:"code"`
	ExpiresUs int64           `json:"expires_us"`
}

func (g *Gateway) attemptMAC(text string) []byte {
	m := hmac.New(sha256.New, g.keys.secret("holdfast enrol attempt 1"))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func (g *Gateway) sealAttempt(a attempt) (string, error) {
	raw, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("encode attempt: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(raw)
	return text + "." + base64.RawURLEncoding.EncodeToString(g.attemptMAC(text)), nil
}

func (g *Gateway) openAttempt(token string) (attempt, error) {
	text, sum, _ := strings.Cut(token, ".")
	mac, err := base64.RawURLEncoding.Strict().DecodeString(sum)
	if err != nil || !hmac.Equal(mac, g.attemptMAC(text)) {
		return attempt{}, errors.New("the attempt is not of this cloud")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return attempt{}, fmt.Errorf("decode attempt: %w", err)
	}
	var a attempt
	if err := wire.Decode(raw, &a); err != nil {
		return attempt{}, err
	}
	if g.nowUs() > a.ExpiresUs {
		return attempt{}, errors.New("the attempt took too long")
	}
	return a, nil
}

// enrolRefusal is the one answer to every code that is not good, whatever the reason.
func enrolRefusal() *wire.Refusal {
	return wire.Refuse(wire.RefusedCode, "this code is not good: it was used, it is older than an hour, or it never was one")
}

// readEnrol reads the body of either enrolment request, after the caller's address was found innocent.
func (g *Gateway) readEnrol(w http.ResponseWriter, r *http.Request, v any) bool {
	if !g.guess.allowed(g.addr(r), g.cfg.Now()) {
		refusal := wire.Refuse(wire.RefusedBusy, "too many failed attempts came from this network: wait a minute")
		refusal.RetryUs = g.spread(guessEach, guessEach)
		g.answerPlain(w, refusal)
		return false
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(closeTimeout)) // a recorder has no deadline
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxEnrolBytes))
	if err != nil {
		g.answerPlain(w, wire.Refuse(wire.RefusedTooLarge, "the request is too large or too slow"))
		return false
	}
	if err := wire.Decode(body, v); err != nil {
		g.answerPlain(w, wire.Refuse(wire.RefusedMalformed, "the request cannot be read: %v", err))
		return false
	}
	return true
}

// failEnrol counts a failed attempt and answers it; code is the one it was for, if it is known.
func (g *Gateway) failEnrol(w http.ResponseWriter, r *http.Request, code agents.Code) {
	addr := g.addr(r)
	flood, count := g.guess.fail(addr, g.cfg.Now())
	switch {
	case code.ID != "":
		g.alarm(r.Context(), Alarm{
			Kind: AlarmGuessing, Ref: agents.Ref{Org: code.Org, Site: code.Site}, Addr: addr,
			Text: "somebody tried to enrol a machine at this site with a wrong code",
		})
	case count > 0:
		g.alarm(r.Context(), Alarm{
			Kind: AlarmGuessing, Addr: addr, Text: fmt.Sprintf("%d attempts to enrol failed: codes may be being guessed", count),
		})
	}
	if flood {
		refusal := wire.Refuse(wire.RefusedBusy, "too many attempts fail everywhere at once: wait a minute")
		refusal.RetryUs = g.spread(guessEach, guessEach)
		g.answerPlain(w, refusal)
		return
	}
	g.answerPlain(w, enrolRefusal())
}

// answerPlain answers an enrolment request: the agent has pinned no key yet, so only the grant is signed.
func (g *Gateway) answerPlain(w http.ResponseWriter, refusal *wire.Refusal) {
	g.count(refusal.Code)
	refusal.WallUs = g.nowUs()
	writeJSON(w, refusal.Status(), refusal, refusal.RetryUs)
}

func (g *Gateway) enrolStart(w http.ResponseWriter, r *http.Request) {
	var start wire.EnrolStart
	if !g.readEnrol(w, r, &start) {
		return
	}
	if err := start.Check(); err != nil {
		g.answerPlain(w, wire.Refuse(wire.RefusedMalformed, "the request is not in order: %v", err))
		return
	}
	version, err := wire.Negotiate(start.Version)
	var refusal *wire.Refusal
	if errors.As(err, &refusal) {
		g.answerPlain(w, refusal)
		return
	}
	code, good, err := g.findCode(r.Context(), start)
	if err != nil {
		g.log.Error("cannot look up an enrolment code: is the database reachable?", "err", err)
		g.answerPlain(w, wire.Refuse(wire.RefusedInternal, "the cloud cannot look up codes now: try again later"))
		return
	}
	offer := wire.EnrolOffer{Version: version, Nonce: wire.NewNonce(), Key: g.keys.Public(), WallUs: g.nowUs()}
	offer.Proof = wire.EnrolTranscript(start, offer).Prove(code.Key, wire.AsCloud)
	offer.Attempt, err = g.sealAttempt(attempt{
		Start: start, Version: version, Nonce: offer.Nonce, Code: code.ID,
		ExpiresUs: g.cfg.Now().Add(attemptLife).UnixMicro(),
	})
	if !good || err != nil { // only now, so that a good and a bad lookup take the same time
		g.failEnrol(w, r, agents.Code{})
		return
	}
	writeJSON(w, http.StatusOK, offer, 0)
}

// findCode finds a lookup's code; good if it waits to be used, or was used by the same key. It does the same
// reads for every lookup.
func (g *Gateway) findCode(ctx context.Context, start wire.EnrolStart) (code agents.Code, good bool, err error) {
	scope := store.System(store.UseEnrol)
	code, err = agents.FindCode(ctx, g.db, scope, start.Lookup)
	missing := errors.Is(err, store.ErrNotFound)
	if err != nil && !missing {
		return code, false, err
	}
	user, err := agents.Get(ctx, g.db, scope, code.Agent)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return code, false, err
	}
	switch {
	case missing:
		code.Key = make([]byte, sha256.Size)
		return code, false, nil
	case code.State(g.nowUs()) == agents.Used:
		return code, bytes.Equal(user.Key, start.Key), nil
	default:
		return code, code.State(g.nowUs()) == agents.Waiting, nil
	}
}

func (g *Gateway) enrolFinish(w http.ResponseWriter, r *http.Request) {
	var finish wire.EnrolFinish
	if !g.readEnrol(w, r, &finish) {
		return
	}
	a, err := g.openAttempt(finish.Attempt)
	if err != nil {
		g.failEnrol(w, r, agents.Code{})
		return
	}
	code, err := agents.GetCode(r.Context(), g.db, store.System(store.UseEnrol), a.Code)
	if err != nil {
		g.failEnrol(w, r, agents.Code{})
		return
	}
	tr := wire.EnrolTranscript(a.Start, wire.EnrolOffer{Version: a.Version, Nonce: a.Nonce, Key: g.keys.Public()})
	if !tr.Proven(code.Key, wire.AsAgent, finish.Proof) || !tr.Signed(a.Start.Key, finish.Sig) {
		g.failEnrol(w, r, code)
		return
	}
	g.grant(w, r, a, code, tr)
}

// grant turns a proven code into an identity and signs it.
func (g *Gateway) grant(w http.ResponseWriter, r *http.Request, a attempt, code agents.Code, tr wire.Transcript) {
	ctx := context.WithoutCancel(r.Context())
	done, err := agents.Redeem(ctx, g.db, store.Org(code.Org), code.ID, agents.Agent{
		Ref: agents.Ref{Agent: id.New[id.Agent]()}, Key: a.Start.Key, SealKey: a.Start.SealKey,
		EvidenceKey: a.Start.EvKey, Host: a.Start.Host, OS: a.Start.OS,
	}, g.nowUs())
	switch {
	case errors.Is(err, agents.ErrUsed):
		g.log.Warn("an enrolment code was used twice", "code", code.ID, "site", code.Site, "host", a.Start.Host, "addr", g.addr(r))
		g.answerPlain(w, wire.Refuse(wire.RefusedUsed, "another machine was enrolled with this code, or this one was removed since: make a new code in the portal"))
		return
	case errors.Is(err, agents.ErrExpired), errors.Is(err, store.ErrNotFound):
		g.answerPlain(w, enrolRefusal())
		return
	case err != nil:
		g.log.Error("cannot store a new agent: is the database reachable?", "site", code.Site, "err", err)
		g.answerPlain(w, wire.Refuse(wire.RefusedInternal, "the cloud cannot store the new agent now: try again later"))
		return
	}
	if !done.Again {
		g.enrolled(ctx, r, code, done)
	}
	grant := wire.EnrolGrant{Agent: done.Agent.Agent, Site: done.Agent.Site, Org: done.Agent.Org}
	if g.hooks.Names != nil {
		if grant.OrgName, grant.SiteName, err = g.hooks.Names(ctx, done.Agent.Ref); err != nil {
			g.log.Error("cannot read the names of a site: is the database reachable?", "site", code.Site, "err", err)
		}
	}
	if g.hooks.Cameras != nil {
		if grant.Cameras, err = g.hooks.Cameras(ctx, done.Agent.Ref); err != nil {
			g.answerPlain(w, wire.Refuse(wire.RefusedInternal, "the cloud cannot read the site's cameras now: try again later"))
			return
		}
	}
	body, err := json.Marshal(grant)
	if err != nil {
		g.answerPlain(w, wire.Refuse(wire.RefusedInternal, "the grant cannot be written"))
		return
	}
	w.Header().Set(wire.HeaderSignature, tr.SignGrant(g.keys.present(), body))
	writeBody(w, http.StatusOK, body, 0)
}

func (g *Gateway) enrolled(ctx context.Context, r *http.Request, code agents.Code, done agents.Redemption) {
	a := done.Agent
	g.log.Info("agent enrolled", "agent", a.Agent, "site", a.Site, "host", a.Host, "addr", g.addr(r), "replaced", done.Replaced)
	if done.Replaced != "" {
		g.end(done.Replaced, wire.Bye{Code: wire.RefusedReplaced, Text: replacedText, RetryUs: revokedRetryUs})
	}
	if g.hooks.Enrolled != nil {
		g.hooks.Enrolled(ctx, Enrolment{
			Ref: a.Ref, Code: code.ID, By: code.By, Host: a.Host, OS: a.OS, Addr: g.addr(r), Replaced: done.Replaced,
		})
	}
}

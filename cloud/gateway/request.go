package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const (
	readStall = 30 * time.Second // a body that gives nothing for so long is given up
	partLimit = 30 * time.Minute // for one part of a clip
	bulkLimit = 2 * time.Minute  // for every other body
)

// spread returns a random wait in microseconds, from floor to floor + window.
func (g *Gateway) spread(floor, window time.Duration) int64 {
	return (floor + rand.N(window)).Microseconds()
}

func writeJSON(w http.ResponseWriter, status int, v any, retryUs int64) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	writeBody(w, status, body, retryUs)
}

func writeBody(w http.ResponseWriter, status int, body []byte, retryUs int64) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	if retryUs > 0 {
		h.Set("Retry-After", strconv.FormatInt((retryUs+999_999)/1_000_000, 10))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the other end has gone: nothing is left to tell it
}

// answer sends a signed answer to the request that carries the signature: with the key that the agent has
// pinned, if the cloud still has it.
func (g *Gateway) answer(w http.ResponseWriter, r *http.Request, status int, body []byte, retryUs int64) {
	key, version := g.keys.present(), wire.OldestVersion
	if claim, err := wire.ReadRequest(r); err == nil {
		key = g.keys.pinned(claim.Cloud)
		if v, err := wire.Negotiate(claim.Version); err == nil {
			version = v
		}
	}
	sum := sha256.Sum256(body)
	wire.SignReply(w.Header(), key, r.Header.Get(wire.HeaderSignature), wire.ReplyClaim{
		Version: version, Status: status, WallUs: g.nowUs(), Digest: sum[:],
	})
	writeBody(w, status, body, retryUs)
}

// refuse sends a refusal, signed.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, refusal *wire.Refusal) {
	g.count(refusal.Code)
	out := *refusal
	out.WallUs = g.nowUs()
	body, err := json.Marshal(out)
	if err != nil {
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	g.answer(w, r, out.Status(), body, out.RetryUs)
}

// fail turns a hook's error into a refusal.
func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, s *session, what string, err error) {
	var refusal *wire.Refusal
	switch {
	case errors.As(err, &refusal):
	case errors.Is(err, store.ErrNotFound):
		refusal = wire.Refuse(wire.RefusedMissing, "the cloud does not know it")
	case errors.Is(err, errDigest):
		refusal = wire.Refuse(wire.RefusedMalformed, "the body is not what was signed: it was damaged or cut on the way")
	case r.Context().Err() != nil:
		return // the agent has gone
	default:
		s.log.Error("cannot "+what, "err", err)
		refusal = wire.Refuse(wire.RefusedInternal, "the cloud cannot %s now: try again later", what)
	}
	g.refuse(w, r, refusal)
}

// verified returns the open session that a bulk request belongs to. If it returns nil, it has answered. No part
// of the body has been read then.
func (g *Gateway) verified(w http.ResponseWriter, r *http.Request) (*session, wire.SignedRequest) {
	claim, err := wire.ReadRequest(r)
	if err != nil {
		g.refuse(w, r, wire.Refuse(wire.RefusedMalformed, "the request is not signed rightly: %v", err))
		return nil, claim
	}
	s := g.find(claim.Agent)
	if s == nil || s.id != claim.Session {
		g.refuse(w, r, wire.Refuse(wire.RefusedSession, "the cloud holds no such session: open another one"))
		return nil, claim
	}
	if !claim.Verify(s.key) {
		g.forged(r, s, "a request's signature does not hold")
		g.refuse(w, r, wire.Refuse(wire.RefusedSignature, "the request's signature does not hold"))
		return nil, claim
	}
	var refusal *wire.Refusal
	if errors.As(claim.Fresh(g.nowUs()), &refusal) {
		g.refuse(w, r, refusal)
		return nil, claim
	}
	if !s.admit(claim.Counter) {
		g.forged(r, s, "a request came twice")
		g.refuse(w, r, wire.Refuse(wire.RefusedReplay, "this request was seen before"))
		return nil, claim
	}
	if !s.requests.Allow() {
		busy := wire.Refuse(wire.RefusedBusy, "this agent sends too many requests")
		busy.RetryUs = g.spread(time.Second, 2*time.Second)
		g.refuse(w, r, busy)
		return nil, claim
	}
	return s, claim
}

func (g *Gateway) forged(r *http.Request, s *session, text string) {
	g.alarm(r.Context(), Alarm{Kind: AlarmForged, Ref: s.ref, Addr: g.addr(r), Text: text})
}

var errDigest = errors.New("the body is not what was signed")

// signedBody reads a body and ends with errDigest instead of io.EOF if it differs from the signed digest. Each
// read may take readStall, and all together until end.
type signedBody struct {
	body   io.Reader
	ctl    *http.ResponseController
	end    time.Time
	sum    hash.Hash
	digest []byte
}

func body(w http.ResponseWriter, r *http.Request, digest []byte, limit int64, all time.Duration) *signedBody {
	return &signedBody{
		body: http.MaxBytesReader(w, r.Body, limit), ctl: http.NewResponseController(w),
		end: time.Now().Add(all), sum: sha256.New(), digest: digest,
	}
}

func (b *signedBody) Read(p []byte) (int, error) {
	deadline := time.Now().Add(readStall)
	if deadline.After(b.end) {
		deadline = b.end
	}
	_ = b.ctl.SetReadDeadline(deadline) // a recorder has no deadline
	n, err := b.body.Read(p)
	b.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && !bytes.Equal(b.sum.Sum(nil), b.digest) {
		return n, errDigest
	}
	return n, err
}

// readAll reads a whole body of at most limit bytes.
func (g *Gateway) readAll(w http.ResponseWriter, r *http.Request, s *session, digest []byte, limit int64) ([]byte, bool) {
	raw, err := io.ReadAll(body(w, r, digest, limit, bulkLimit))
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return raw, true
	case errors.As(err, &large):
		g.refuse(w, r, wire.Refuse(wire.RefusedTooLarge, "the body is larger than %d bytes", limit))
	default:
		g.fail(w, r, s, "read the request", err)
	}
	return nil, false
}

func (g *Gateway) postBatch(w http.ResponseWriter, r *http.Request) {
	s, claim := g.verified(w, r)
	if s == nil {
		return
	}
	if g.hooks.Batch == nil {
		g.refuse(w, r, wire.Refuse(wire.RefusedMissing, "this cloud takes no facts"))
		return
	}
	select {
	case g.decode <- struct{}{}:
		defer func() { <-g.decode }()
	case <-time.After(closeTimeout):
		busy := wire.Refuse(wire.RefusedBusy, "the cloud takes in too much at once")
		busy.RetryUs = g.spread(2*time.Second, 8*time.Second)
		g.refuse(w, r, busy)
		return
	case <-r.Context().Done():
		return
	}
	raw, ok := g.readAll(w, r, s, claim.Digest, wire.MaxRequestBytes)
	if !ok {
		return
	}
	batch, err := g.coder.Decode(raw)
	if err != nil {
		g.fail(w, r, s, "read the batch", err)
		return
	}
	// What is being committed is committed, even if the line goes now.
	ack, err := g.hooks.Batch(context.WithoutCancel(r.Context()), s.ref, batch)
	if err != nil {
		g.fail(w, r, s, "store the facts", err)
		return
	}
	g.reply(w, r, ack)
}

// posted serves a signed message that a hook answers with another.
func posted[In, Out any](g *Gateway, what string, hook func(context.Context, agents.Ref, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, claim := g.verified(w, r)
		if s == nil {
			return
		}
		raw, ok := g.readAll(w, r, s, claim.Digest, wire.MaxRequestBytes)
		if !ok {
			return
		}
		var in In
		err := g.coder.Unpack(raw, &in)
		if err == nil && hook == nil {
			err = wire.Refuse(wire.RefusedMissing, "this cloud does not %s", what)
		}
		if err != nil {
			g.fail(w, r, s, what, err)
			return
		}
		out, err := hook(r.Context(), s.ref, in)
		if err != nil {
			g.fail(w, r, s, what, err)
			return
		}
		g.reply(w, r, out)
	}
}

func (g *Gateway) reply(w http.ResponseWriter, r *http.Request, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		g.refuse(w, r, wire.Refuse(wire.RefusedInternal, "the answer cannot be written"))
		return
	}
	g.answer(w, r, http.StatusOK, raw, 0)
}

func (g *Gateway) clip(w http.ResponseWriter, r *http.Request) (id.Clip, bool) {
	clip, err := id.Parse[id.Clip](r.PathValue("clip"))
	if err != nil {
		g.refuse(w, r, wire.Refuse(wire.RefusedMalformed, "the path names no clip: %v", err))
		return "", false
	}
	return clip, true
}

func (g *Gateway) clipBegin(w http.ResponseWriter, r *http.Request) {
	s, claim := g.verified(w, r)
	if s == nil {
		return
	}
	clip, ok := g.clip(w, r)
	if !ok {
		return
	}
	raw, ok := g.readAll(w, r, s, claim.Digest, wire.MaxRequestBytes)
	if !ok {
		return
	}
	var begin wire.ClipBegin
	if err := wire.Decode(raw, &begin); err != nil || g.hooks.ClipBegin == nil {
		g.refuse(w, r, wire.Refuse(wire.RefusedMalformed, "the beginning of the clip cannot be read"))
		return
	}
	plan, err := g.hooks.ClipBegin(r.Context(), s.ref, clip, begin)
	if err != nil {
		g.fail(w, r, s, "begin the clip", err)
		return
	}
	g.reply(w, r, plan)
}

func (g *Gateway) clipPart(w http.ResponseWriter, r *http.Request) {
	s, claim := g.verified(w, r)
	if s == nil {
		return
	}
	clip, ok := g.clip(w, r)
	if !ok {
		return
	}
	number, err := strconv.Atoi(r.PathValue("number"))
	switch {
	case err != nil || number < 1 || g.hooks.ClipPart == nil:
		g.refuse(w, r, wire.Refuse(wire.RefusedMalformed, "the path names no part of a clip"))
		return
	case r.ContentLength < 1 || r.ContentLength > wire.MaxClipPartBytes:
		g.refuse(w, r, wire.Refuse(wire.RefusedTooLarge, "a part has 1 to %d bytes and says how many", wire.MaxClipPartBytes))
		return
	}
	part := body(w, r, claim.Digest, wire.MaxClipPartBytes, partLimit)
	if err := g.hooks.ClipPart(r.Context(), s.ref, clip, number, part, r.ContentLength); err != nil {
		g.fail(w, r, s, "store the part", err)
		return
	}
	g.reply(w, r, struct{}{})
}

func (g *Gateway) clipPiece(w http.ResponseWriter, r *http.Request) {
	s, claim := g.verified(w, r)
	if s == nil {
		return
	}
	clip, ok := g.clip(w, r)
	if !ok {
		return
	}
	number, err := strconv.Atoi(r.PathValue("number"))
	piece, err2 := strconv.Atoi(r.PathValue("piece"))
	if errors.Join(err, err2) != nil || number < 1 || piece < 1 || g.hooks.ClipPiece == nil {
		g.refuse(w, r, wire.Refuse(wire.RefusedMalformed, "the path names no piece of a clip's part"))
		return
	}
	raw, ok := g.readAll(w, r, s, claim.Digest, wire.MaxClipPieceBytes)
	if !ok {
		return
	}
	if err := g.hooks.ClipPiece(r.Context(), s.ref, clip, number, piece, bytes.NewReader(raw)); err != nil {
		g.fail(w, r, s, "store the piece", err)
		return
	}
	g.reply(w, r, struct{}{})
}

func (g *Gateway) clipComplete(w http.ResponseWriter, r *http.Request) {
	s, claim := g.verified(w, r)
	if s == nil {
		return
	}
	clip, ok := g.clip(w, r)
	if !ok {
		return
	}
	raw, ok := g.readAll(w, r, s, claim.Digest, wire.MaxRequestBytes)
	if !ok {
		return
	}
	var complete wire.ClipComplete
	if err := wire.Decode(raw, &complete); err != nil || g.hooks.ClipComplete == nil {
		g.refuse(w, r, wire.Refuse(wire.RefusedMalformed, "the end of the clip cannot be read"))
		return
	}
	if err := g.hooks.ClipComplete(r.Context(), s.ref, clip, complete); err != nil {
		g.fail(w, r, s, "complete the clip", err)
		return
	}
	g.reply(w, r, wire.ClipPlan{Stored: true})
}

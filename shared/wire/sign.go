package wire

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"holdfast/shared/id"
)

// Headers of a signed request or reply.
const (
	HeaderClaim     = "Holdfast-Claim"     // base64url of the claim's JSON
	HeaderSignature = "Holdfast-Signature" // base64url of 64 bytes, Ed25519 (RFC 8032)
)

// SignedFor is how long after its signing a request or frame is accepted; MaxAhead is how far its expiry may
// lie ahead. Both ends use the cloud's clock, so together they allow an error of a minute either way.
const (
	SignedFor = 60 * time.Second
	MaxAhead  = 120 * time.Second
)

const maxClaim = 1024

// KeyPrint returns the first eight bytes of a public key's SHA-256 in hex, to tell keys apart.
func KeyPrint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// RequestClaim is what an agent signs beside the method and the target of a request.
type RequestClaim struct {
	Version   int        `json:"v"`
	Agent     id.Agent   `json:"agent"`
	Cloud     string     `json:"cloud"`             // KeyPrint of the pinned key: for whom the request is
	Session   id.Session `json:"session,omitempty"` // empty only for the request that opens a session
	Counter   uint64     `json:"n"`                 // inside the session; random for the request that opens one
	ExpiresUs int64      `json:"exp_us"`            // by the cloud's clock
	Digest    []byte     `json:"sha256"`            // of the body
}

// SignRequest signs req as the agent; its method and URL must be final. A retry needs a new counter.
func SignRequest(req *http.Request, key ed25519.PrivateKey, c RequestClaim) {
	claim := encodeClaim(c)
	req.Header.Set(HeaderClaim, claim)
	req.Header.Set(HeaderSignature, encode64(ed25519.Sign(key, requestText(req, claim))))
}

func requestText(req *http.Request, claim string) []byte {
	return fmt.Appendf(nil, "holdfast request 1\n%s\n%s\n%s", req.Method, req.URL.RequestURI(), claim)
}

// SignedRequest is a request's claim, read but not yet believed.
type SignedRequest struct {
	RequestClaim
	Signature string // as sent
	raw       []byte
	text      []byte
}

// ReadRequest reads the claim and the signature of a request. Nothing is verified yet: Claim.Agent says whose
// key to verify with.
func ReadRequest(req *http.Request) (SignedRequest, error) {
	s := SignedRequest{Signature: req.Header.Get(HeaderSignature)}
	claim := req.Header.Get(HeaderClaim)
	if err := decodeClaim(claim, &s.RequestClaim); err != nil {
		return SignedRequest{}, fmt.Errorf("read the request's claim: %w", err)
	}
	var err error
	if s.raw, err = decode64(s.Signature, ed25519.SignatureSize); err != nil {
		return SignedRequest{}, fmt.Errorf("read the request's signature: %w", err)
	}
	if _, err := id.Parse[id.Agent](string(s.Agent)); err != nil {
		return SignedRequest{}, err
	}
	if s.Session != "" {
		if _, err := id.Parse[id.Session](string(s.Session)); err != nil {
			return SignedRequest{}, err
		}
	}
	if len(s.Digest) != sha256.Size {
		return SignedRequest{}, errors.New("the digest does not have 32 bytes")
	}
	s.text = requestText(req, claim)
	return s, nil
}

// Verify reports whether the holder of key signed the request.
func (s SignedRequest) Verify(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, s.text, s.raw)
}

// Fresh returns a Refusal with code "clock" if the request's expiry does not fit the cloud's clock.
func (s SignedRequest) Fresh(nowUs int64) error { return fresh("request", s.ExpiresUs, nowUs) }

func fresh(what string, expiresUs, nowUs int64) error {
	if off := expiresUs - nowUs; off > 0 && off <= MaxAhead.Microseconds() {
		return nil
	}
	r := Refuse(RefusedClock, "the %s's time does not fit the cloud's clock", what)
	r.WallUs = nowUs
	return r
}

// ReplyClaim is what the cloud signs beside the signature of the request that it answers.
type ReplyClaim struct {
	Version int        `json:"v"`
	Status  int        `json:"status"`
	Session id.Session `json:"session,omitempty"` // the new session, with status 101
	WallUs  int64      `json:"wall_us"`           // the cloud's clock
	Digest  []byte     `json:"sha256"`            // of the body
}

// SignReply puts the signed claim into the reply's headers; request is the Holdfast-Signature that it answers.
func SignReply(h http.Header, key ed25519.PrivateKey, request string, c ReplyClaim) {
	claim := encodeClaim(c)
	h.Set(HeaderClaim, claim)
	h.Set(HeaderSignature, encode64(ed25519.Sign(key, replyText(request, claim))))
}

func replyText(request, claim string) []byte {
	return fmt.Appendf(nil, "holdfast reply 1\n%s\n%s", request, claim)
}

// ErrUnsigned says that an answer does not come from the cloud whose key is pinned: a portal, a proxy or a
// balancer on the way has answered instead. Nothing in it may be believed.
var ErrUnsigned = errors.New("the answer is not signed by the cloud's pinned key")

// VerifyReply checks that the holder of the cloud's key gave this status and body as the answer to the request
// with that Holdfast-Signature. Every failure is ErrUnsigned.
func VerifyReply(resp *http.Response, body []byte, request string, key ed25519.PublicKey) (ReplyClaim, error) {
	var c ReplyClaim
	claim := resp.Header.Get(HeaderClaim)
	if err := decodeClaim(claim, &c); err != nil {
		return ReplyClaim{}, fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	sig, err := decode64(resp.Header.Get(HeaderSignature), ed25519.SignatureSize)
	if err != nil {
		return ReplyClaim{}, fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, replyText(request, claim), sig) {
		return ReplyClaim{}, ErrUnsigned
	}
	sum := sha256.Sum256(body)
	if c.Status != resp.StatusCode || !bytes.Equal(c.Digest, sum[:]) {
		return ReplyClaim{}, fmt.Errorf("%w: its status or body was changed on the way", ErrUnsigned)
	}
	return c, nil
}

func encodeClaim(c any) string {
	b, err := json.Marshal(c)
	if err != nil {
		panic("wire: marshal a claim: " + err.Error()) // a claim holds only numbers, strings and bytes
	}
	return encode64(b)
}

func decodeClaim(text string, c any) error {
	if text == "" {
		return errors.New("it is missing")
	}
	if len(text) > maxClaim {
		return errors.New("it is too long")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return err
	}
	return Decode(b, c)
}

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode64(s string, length int) ([]byte, error) {
	if base64.RawURLEncoding.DecodedLen(len(s)) != length {
		return nil, errors.New("it has the wrong length")
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

// Decode reads exactly one JSON value (RFC 8259) into v; unknown members are ignored, anything after the value
// is an error.
func Decode(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode JSON: %w", err)
	}
	return nil
}

package wire

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// NonceLength is the length of both sides' nonces, in bytes.
const NonceLength = 32

// NewNonce returns NonceLength random bytes.
func NewNonce() []byte {
	b := make([]byte, NonceLength)
	_, _ = rand.Read(b) // never returns an error since Go 1.24
	return b
}

// Check reports what is wrong with the agent's first word.
func (s EnrolStart) Check() error {
	switch {
	case s.Version < 1:
		return errors.New("the version is missing")
	case !validLookup(s.Lookup):
		return errors.New("the lookup is not four characters of a code")
	case len(s.Nonce) != NonceLength:
		return fmt.Errorf("the nonce has %d bytes, want %d", len(s.Nonce), NonceLength)
	case len(s.Key) != ed25519.PublicKeySize, len(s.SealKey) != 32, len(s.EvKey) != ed25519.PublicKeySize:
		return errors.New("a public key does not have 32 bytes")
	}
	return errors.Join(checkName("host", s.Host), checkName("os", s.OS))
}

func validLookup(s string) bool {
	if len(s) != lookupLength {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// checkName refuses text that a person or a device gave, if it is long or could confuse a reader.
func checkName(what, s string) error {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > MaxNameRunes {
		return fmt.Errorf("%s is not text of at most %d characters", what, MaxNameRunes)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return fmt.Errorf("%s holds a control character", what)
		}
	}
	return nil
}

// Check reports what is wrong with the cloud's offer.
func (o EnrolOffer) Check() error {
	switch {
	case len(o.Nonce) != NonceLength:
		return fmt.Errorf("the nonce has %d bytes, want %d", len(o.Nonce), NonceLength)
	case len(o.Key) != ed25519.PublicKeySize:
		return errors.New("the public key does not have 32 bytes")
	case len(o.Proof) != sha256.Size:
		return errors.New("the proof does not have 32 bytes")
	}
	return nil
}

// Transcript is a hash over everything that both sides said before they prove the secret.
type Transcript [sha256.Size]byte

// EnrolTranscript hashes the exchange: both versions, the lookup, both nonces, both public keys, the agent's
// other two keys, and what it says of its machine. Each field is preceded by its length.
func EnrolTranscript(s EnrolStart, o EnrolOffer) Transcript {
	h := sha256.New()
	h.Write([]byte("holdfast enrol transcript 1\n"))
	for _, field := range [][]byte{
		binary.BigEndian.AppendUint32(nil, uint32(s.Version)), binary.BigEndian.AppendUint32(nil, uint32(o.Version)),
		[]byte(s.Lookup), s.Nonce, o.Nonce, s.Key, o.Key, s.SealKey, s.EvKey, []byte(s.Host), []byte(s.OS),
	} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(field))))
		h.Write(field)
	}
	return Transcript(h.Sum(nil))
}

// Role is a side of the enrolment; it keeps one side's proof from being the other's.
type Role string

// The two sides.
const (
	AsCloud Role = "cloud"
	AsAgent Role = "agent"
)

// Prove returns HMAC-SHA-256 (RFC 2104) under the code's key over the role and the transcript.
func (t Transcript) Prove(key []byte, role Role) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("holdfast enrol proof 1 " + string(role) + "\n"))
	m.Write(t[:])
	return m.Sum(nil)
}

// Proven reports, in constant time, whether proof is the role's proof.
func (t Transcript) Proven(key []byte, role Role, proof []byte) bool {
	return hmac.Equal(t.Prove(key, role), proof)
}

// Sign proves that the agent holds the private key that it named.
func (t Transcript) Sign(key ed25519.PrivateKey) []byte {
	return ed25519.Sign(key, append([]byte("holdfast enrol key 1\n"), t[:]...))
}

// Signed reports whether sig is Sign's result by the holder of key.
func (t Transcript) Signed(key ed25519.PublicKey, sig []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, append([]byte("holdfast enrol key 1\n"), t[:]...), sig)
}

func (t Transcript) grant(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(append([]byte("holdfast enrol grant 1\n"), t[:]...), sum[:]...)
}

// SignGrant signs the body of an EnrolGrant as the cloud; the result is the reply's Holdfast-Signature.
func (t Transcript) SignGrant(key ed25519.PrivateKey, body []byte) string {
	return encode64(ed25519.Sign(key, t.grant(body)))
}

// GrantSigned reports whether signature is SignGrant's result by the holder of the cloud's key.
func (t Transcript) GrantSigned(key ed25519.PublicKey, body []byte, signature string) bool {
	sig, err := decode64(signature, ed25519.SignatureSize)
	return err == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, t.grant(body), sig)
}

// SignRotation signs the cloud's next key with its present one.
func SignRotation(old ed25519.PrivateKey, next ed25519.PublicKey) []byte {
	return ed25519.Sign(old, append([]byte("holdfast cloud key 1\n"), next...))
}

// RotationSigned reports whether the pinned key vouches for next.
func RotationSigned(pinned, next ed25519.PublicKey, sig []byte) bool {
	return len(pinned) == ed25519.PublicKeySize && len(next) == ed25519.PublicKeySize &&
		ed25519.Verify(pinned, append([]byte("holdfast cloud key 1\n"), next...), sig)
}

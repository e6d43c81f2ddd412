package evidence

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrSignature is returned (wrapped) when a signature, or the key that it names, is not the expected one.
var ErrSignature = errors.New("signature does not hold")

// signDomain goes before the statement under the signature, so that no other message of the same key can pass for one.
const signDomain = "holdfast evidence v1\x00"

// KeyID names a public key: the first 16 bytes of the SHA-256 of its 32 bytes.
type KeyID [16]byte

// String returns the ID in 32 hexadecimal digits.
func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// KeyIDOf returns the ID of a public key.
func KeyIDOf(pub ed25519.PublicKey) KeyID {
	sum := sha256.Sum256(pub)
	return KeyID(sum[:16])
}

// Signed is a statement in its canonical bytes, with the signature over them; it is what a file keeps.
type Signed struct {
	Statement []byte
	Signature [ed25519.SignatureSize]byte
}

// Sign fills in s.KeyID and signs the canonical bytes of s: Ed25519 (RFC 8032) over a domain tag and those bytes.
func Sign(s Statement, key ed25519.PrivateKey) (Signed, error) {
	if len(key) != ed25519.PrivateKeySize {
		return Signed{}, fmt.Errorf("sign statement: private key of %d bytes, %d expected", len(key), ed25519.PrivateKeySize)
	}
	s.KeyID = KeyIDOf(key.Public().(ed25519.PublicKey))
	b, err := s.AppendBinary(nil)
	if err != nil {
		return Signed{}, fmt.Errorf("sign statement: %w", err)
	}
	return Signed{Statement: b, Signature: [ed25519.SignatureSize]byte(ed25519.Sign(key, message(b)))}, nil
}

// Verify returns the statement inside sg if one of the keys is the one it names and its signature holds.
// The statement is returned even when only the signature fails (ErrSignature), so that it can be shown as unproven.
func Verify(sg Signed, keys ...ed25519.PublicKey) (Statement, error) {
	s, err := ParseStatement(sg.Statement)
	if err != nil {
		return s, fmt.Errorf("verify statement: %w", err)
	}
	for _, pub := range keys {
		if len(pub) != ed25519.PublicKeySize || KeyIDOf(pub) != s.KeyID {
			continue
		}
		if !ed25519.Verify(pub, message(sg.Statement), sg.Signature[:]) {
			return s, fmt.Errorf("verify statement with key %s: %w", s.KeyID, ErrSignature)
		}
		return s, nil
	}
	return s, fmt.Errorf("verify statement: it names key %s, which is none of those given: %w", s.KeyID, ErrSignature)
}

// Digest returns SHA-256 of the canonical bytes: what the next statement of the stream carries as Previous.
func (sg Signed) Digest() [32]byte { return sha256.Sum256(sg.Statement) }

func message(statement []byte) []byte { return append([]byte(signDomain), statement...) }

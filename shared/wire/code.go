package wire

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Code is an enrolment code as a person reads it: 20 characters of Crockford's base32 in five groups of four,
// for example "K7Q2-9XHM-0TDA-WR5E-VJ3C". The first four find the code, the next thirteen are the secret (65
// random bits), and the last three are a checksum over both, so that a typing mistake is found offline.
// It prints as its first group: the secret never reaches a log.
type Code struct {
	lookup string
	secret string
}

const (
	codeAlphabet  = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	lookupLength  = 4
	secretLength  = 13
	codeLength    = 20
	codeGroup     = 4
	codeKeyLength = 32
)

// NewCode makes a code from the system's random source.
func NewCode() Code {
	var raw [lookupLength + secretLength]byte
	_, _ = rand.Read(raw[:]) // never returns an error since Go 1.24
	for i, b := range raw {
		raw[i] = codeAlphabet[b%32] // 256 is a multiple of 32: no bias
	}
	return Code{lookup: string(raw[:lookupLength]), secret: string(raw[lookupLength:])}
}

// ParseCode reads a code as a person types it: any case, with or without spaces and dashes, o for 0, i and l
// for 1. The error says in a sentence what is wrong with it.
func ParseCode(typed string) (Code, error) {
	var b strings.Builder
	if len(typed) > 16*codeLength {
		return Code{}, fmt.Errorf("the code is too long: it has %d letters and digits", codeLength)
	}
	for _, r := range strings.ToUpper(typed) {
		switch r {
		case '-', ' ', '\t', '\r', '\n', '\u00a0', '\u2010', '\u2011', '\u2012', '\u2013', '\u2014', '\u2212':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if !strings.ContainsRune(codeAlphabet, r) {
			return Code{}, fmt.Errorf("the code holds %q, which no code holds: compare it with the portal", r)
		}
		b.WriteRune(r)
	}
	s := b.String()
	if len(s) != codeLength {
		return Code{}, fmt.Errorf("the code has %d letters and digits, but %d are needed: compare it with the portal",
			len(s), codeLength)
	}
	c := Code{lookup: s[:lookupLength], secret: s[lookupLength : lookupLength+secretLength]}
	if c.sum() != s[lookupLength+secretLength:] {
		return Code{}, errors.New("the code has a typing mistake: compare it with the portal, group by group")
	}
	return c, nil
}

// sum returns the three characters of the checksum: 15 bits of a SHA-256.
func (c Code) sum() string {
	h := sha256.Sum256([]byte("holdfast code 1\n" + c.lookup + c.secret))
	v := binary.BigEndian.Uint16(h[:])
	return string([]byte{codeAlphabet[v>>11&31], codeAlphabet[v>>6&31], codeAlphabet[v>>1&31]})
}

// Text returns the whole code in five groups, for the one person who will type it.
func (c Code) Text() string {
	s := c.lookup + c.secret + c.sum()
	groups := make([]string, 0, codeLength/codeGroup)
	for ; s != ""; s = s[codeGroup:] {
		groups = append(groups, s[:codeGroup])
	}
	return strings.Join(groups, "-")
}

// Lookup returns the first four characters, which find the code and prove nothing.
func (c Code) Lookup() string { return c.lookup }

// Key returns the 32 bytes that both sides prove to each other: HKDF-SHA-256 (RFC 5869) of the secret with the
// lookup as salt. The cloud stores this and never the secret.
func (c Code) Key() []byte {
	k, err := hkdf.Key(sha256.New, []byte(c.secret), []byte(c.lookup), "holdfast enrol 1", codeKeyLength)
	if err != nil {
		panic("wire: derive the enrolment key: " + err.Error()) // only for lengths above 255 hashes
	}
	return k
}

// String returns the first group and nothing of the secret.
func (c Code) String() string { return c.lookup + "-…" }

// GoString is String: %#v must not show the secret either.
func (c Code) GoString() string { return c.String() }

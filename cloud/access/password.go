package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Argon holds the cost of one password hash (argon2id, RFC 9106) and how many run at once.
type Argon struct {
	MemoryKiB uint32
	Passes    uint32
	Threads   uint8
	AtOnce    int           // hashes in parallel: each takes MemoryKiB
	Wait      time.Duration // how long one waits for its turn before ErrBusy
}

// Limits of a password. It has no rules of composition: length is what counts.
const (
	minPassword = 12   // characters
	maxPassword = 1024 // bytes
	ownPart     = 8    // characters beside the words that are easy to guess
	saltBytes   = 16
	keyBytes    = 32
)

// ErrBusy says that too many people sign in at once.
var ErrBusy = errors.New("too many people are signing in at this moment: try again in a few seconds")

// hasher hashes and checks passwords, a few at a time.
type hasher struct {
	cost  Argon
	slots chan struct{}
	dummy string // hash of a password that nobody has
}

func newHasher(cost Argon) (*hasher, error) {
	h := &hasher{cost: cost, slots: make(chan struct{}, cost.AtOnce)}
	dummy, err := h.hash(context.Background(), rand.Text())
	if err != nil {
		return nil, err
	}
	h.dummy = dummy
	return h, nil
}

func (h *hasher) turn(ctx context.Context, do func()) error {
	wait := time.NewTimer(h.cost.Wait)
	defer wait.Stop()
	select {
	case h.slots <- struct{}{}:
	case <-wait.C:
		return ErrBusy
	case <-ctx.Done():
		return fmt.Errorf("wait for a password hash: %w", ctx.Err())
	}
	defer func() { <-h.slots }()
	do()
	return nil
}

// hash returns the PHC string of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // crypto/rand.Read never returns an error since Go 1.24
	var key []byte
	c := h.cost
	if err := h.turn(ctx, func() {
		key = argon2.IDKey([]byte(password), salt, c.Passes, c.MemoryKiB, c.Threads, keyBytes)
	}); err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.MemoryKiB, c.Passes, c.Threads,
		b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// check compares a password with a PHC string; an empty one costs the same and never matches. stale says that
// the string was made at another cost than today's.
func (h *hasher) check(ctx context.Context, phc, password string) (match, stale bool, err error) {
	real := phc != ""
	if !real {
		phc = h.dummy
	}
	p, err := parsePHC(phc)
	if err != nil {
		return false, false, err
	}
	var key []byte
	if err := h.turn(ctx, func() {
		key = argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.threads, uint32(len(p.key)))
	}); err != nil {
		return false, false, err
	}
	match = subtle.ConstantTimeCompare(key, p.key) == 1 && real
	return match, p.passes != h.cost.Passes || p.memory != h.cost.MemoryKiB || p.threads != h.cost.Threads, nil
}

type phcString struct {
	memory, passes uint32
	threads        uint8
	salt, key      []byte
}

// parsePHC reads "$argon2id$v=19$m=...,t=...,p=...$salt$key" (PHC string format, unpadded base64). Costs that
// would exhaust the machine are refused.
func parsePHC(s string) (p phcString, err error) {
	bad := errors.New("read password hash: the stored hash is damaged: make a reset link for the person")
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.threads); err != nil {
		return p, bad
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || len(salt) < 8 || len(key) < 16 || len(key) > 64 ||
		p.memory < 8 || p.memory > 1<<20 || p.passes < 1 || p.passes > 16 || p.threads < 1 {
		return p, bad
	}
	p.salt, p.key = salt, key
	return p, nil
}

// acceptable checks a new password against the rules; words are what an attacker tries first: the person's
// e-mail address and name, and the organisation's name.
func acceptable(password string, words ...string) error {
	refuse := func(text string) error { return &Invalid{Field: "password", Text: text} }
	if !utf8.ValidString(password) || len(password) > maxPassword {
		return refuse(fmt.Sprintf("The password is not valid text or longer than %d bytes: choose another.", maxPassword))
	}
	if n := utf8.RuneCountInString(password); n < minPassword {
		return refuse(fmt.Sprintf("The password has %d characters: use at least %d. A few words are easy to remember.", n, minPassword))
	}
	rest := strings.ToLower(password)
	for _, common := range commonPasswords() {
		if rest == common {
			return refuse("The password is one of those that attackers try first: choose another.")
		}
	}
	for _, w := range guessable(words) {
		rest = strings.ReplaceAll(rest, w, "")
	}
	if utf8.RuneCountInString(rest) < ownPart {
		return refuse("The password is made of your e-mail address or of your own or your organisation's name: choose another.")
	}
	if runes := distinct(rest); runes < 4 {
		return refuse("The password repeats the same few characters: choose another.")
	}
	return nil
}

// guessable splits words at spaces, @ and dots into lower-case pieces of at least four characters, whole words
// first.
func guessable(words []string) []string {
	var all, pieces []string
	for _, w := range words {
		w = strings.ToLower(strings.TrimSpace(w))
		if utf8.RuneCountInString(w) < 4 {
			continue
		}
		all = append(all, w)
		for _, p := range strings.FieldsFunc(w, func(r rune) bool { return r == ' ' || r == '@' || r == '.' }) {
			if utf8.RuneCountInString(p) >= 4 {
				pieces = append(pieces, p)
			}
		}
	}
	return append(all, pieces...)
}

func distinct(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}

// commonPasswords lists, in lower case, long passwords that every list of leaked ones begins with.
func commonPasswords() []string {
	return []string{
		"123456789012", "1234567890123", "12345678901234", "123456789123", "1234567891234", "012345678910", "123123123123",
		"password1234", "password12345", "password123456", "passwordpassword", "password1password", "passw0rd1234",
		"qwertyuiop12", "qwertyuiop123", "qwertyuiopasdf", "qwertyuiopasdfgh", "qwerty123456", "qwerty1234567", "1qaz2wsx3edc",
		"1q2w3e4r5t6y", "q1w2e3r4t5y6", "zaq12wsxcde3", "1qazxsw23edc", "abcdefghijkl", "abcd12345678", "abcdef123456",
		"abc123abc123", "iloveyou1234", "letmeinletmein", "administrator", "administrator1", "admin1234567", "adminadminadmin",
		"changemeplease", "changeme1234", "welcome12345", "welcome123456", "football1234", "baseball1234", "superman1234",
		"trustno1trustno1", "holdfast1234", "holdfastholdfast", "surveillance", "securitycamera", "correcthorsebatterystaple",
		"correct horse battery staple",
	}
}

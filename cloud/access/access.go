// Package access is the one place that decides who may do what. It owns people, their roles and sites,
// passwords, portal sessions, invitations and resets, the tokens of players, whose turn it is to move a
// camera, the first start's setup, and the audit.
//
// It promises that rights are read from the database at every request, so that a change of role, sites or
// password and a removal end what they must at once; that an unknown account answers like a wrong password;
// that tokens are stored only as sums; that an organisation always keeps an owner who can sign in; and that
// every view, export and change is a row of a hash chain, with the address it came from. It never sees video,
// and it never says whether a row of another tenant exists.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/people"
	"holdfast/cloud/store/players"
)

// Config holds the times and limits of access. Defaults returns sound ones.
type Config struct {
	Idle      time.Duration // a portal session that is not used for so long ends
	Lifetime  time.Duration // a portal session ends after so long, used or not
	InviteFor time.Duration // how long an invitation's link works
	ResetFor  time.Duration // how long a reset's link works
	Argon     Argon
	Limits    Limits
	// FailAfter is how long a refused sign-in takes at least, so that its time tells nothing.
	FailAfter time.Duration
	// VerifyEvery is how old the verdict on an audit chain may be.
	VerifyEvery time.Duration
	// Now is the clock; time.Now unless a test sets it.
	Now func() time.Time
}

// Limits holds how many failed sign-ins are taken within Window before further ones are refused. Refusals
// count too, and do not tell whether the account exists.
type Limits struct {
	Window  time.Duration
	Pair    int // one account from one address
	Account int // one account from anywhere: high, so that a stranger can't easily lock a person out
	Address int // one address, any account
}

// Defaults returns the configuration of a production installation.
func Defaults() Config {
	return Config{
		Idle: 24 * time.Hour, Lifetime: 14 * 24 * time.Hour, InviteFor: 7 * 24 * time.Hour, ResetFor: 24 * time.Hour,
		Argon:     Argon{MemoryKiB: 64 << 10, Passes: 2, Threads: 1, AtOnce: max(1, min(4, runtime.NumCPU()/2)), Wait: 10 * time.Second},
		Limits:    Limits{Window: 15 * time.Minute, Pair: 10, Account: 100, Address: 60},
		FailAfter: 800 * time.Millisecond, VerifyEvery: 5 * time.Minute, Now: time.Now,
	}
}

// Validate reports every fault of the configuration.
func (c Config) Validate() error {
	var faults []error
	positive := func(name string, ok bool) {
		if !ok {
			faults = append(faults, fmt.Errorf("access: %s must be above 0", name))
		}
	}
	positive("idle", c.Idle > 0)
	positive("lifetime", c.Lifetime > 0)
	positive("invite_for", c.InviteFor > 0)
	positive("reset_for", c.ResetFor > 0)
	positive("argon memory, passes, threads, at_once and wait",
		c.Argon.MemoryKiB > 0 && c.Argon.Passes > 0 && c.Argon.Threads > 0 && c.Argon.AtOnce > 0 && c.Argon.Wait > 0)
	positive("limits", c.Limits.Window > 0 && c.Limits.Pair > 0 && c.Limits.Account > 0 && c.Limits.Address > 0)
	positive("verify_every", c.VerifyEvery > 0)
	if c.FailAfter < 0 {
		faults = append(faults, errors.New("access: fail_after must not be below 0"))
	}
	if c.Now == nil {
		faults = append(faults, errors.New("access: a clock is needed"))
	}
	return errors.Join(faults...)
}

// Access is the room. Safe for concurrent use.
type Access struct {
	cfg    Config
	db     *store.DB
	log    *slog.Logger
	hash   *hasher
	recent *recent
	chains *chains
}

// New returns the room; it computes one password hash, which takes a fraction of a second.
func New(cfg Config, db *store.DB, log *slog.Logger) (*Access, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	h, err := newHasher(cfg.Argon)
	if err != nil {
		return nil, fmt.Errorf("prepare password hashes: %w", err)
	}
	return &Access{cfg: cfg, db: db, log: log, hash: h, recent: newRecent(), chains: newChains()}, nil
}

// sweepEvery is how often expired sessions, links and counters are removed.
const sweepEvery = 10 * time.Minute

// Run removes what is expired until ctx ends.
func (a *Access) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("expired sessions and links are not removed", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// keepLinks is how long an expired or used link, and a player that serves no longer, is kept, to answer its holder in words.
const keepLinks = 30 * 24 * time.Hour

func (a *Access) sweep(ctx context.Context) error {
	now := a.cfg.Now()
	return a.db.Tx(ctx, func(q store.Querier) error {
		old := now.Add(-keepLinks).UnixMicro()
		return errors.Join(
			people.Sweep(ctx, q, store.System(store.UseSweep), now.UnixMicro(), now.Add(-a.cfg.Idle).UnixMicro(), old),
			players.Sweep(ctx, q, store.System(store.UseSweep), old))
	})
}

func (a *Access) nowUs() int64 { return a.cfg.Now().UnixMicro() }

// Invalid is a fault in what a person typed. Text says what is wrong and what to do.
type Invalid struct {
	Field string // name of the field in the request
	Text  string
}

// Error returns the text.
func (e *Invalid) Error() string { return e.Text }

// newToken returns a random token of 256 bits in base64url and its sum for the database.
func newToken() (token string, sum []byte) {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never returns an error since Go 1.24
	token = base64.RawURLEncoding.EncodeToString(raw[:])
	return token, tokenSum(token)
}

func tokenSum(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

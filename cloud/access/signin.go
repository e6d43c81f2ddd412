package access

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/people"
	"holdfast/shared/id"
)

// ErrSignedOut says that there is no session, or none any more.
var ErrSignedOut = errors.New("you are not signed in: sign in and try again")

// ErrCredentials says that the e-mail address and password do not go together; it never says which is wrong.
var ErrCredentials = errors.New("the e-mail address or the password is wrong: check both and try again")

// LimitedError says that there were too many tries.
type LimitedError struct {
	Retry time.Duration
	Ask   string // what helps at once; empty: a link to set a new password
}

// Error says when to try again.
func (e *LimitedError) Error() string {
	return fmt.Sprintf("too many tries: wait %d minutes and try again, or ask an owner of your organisation for %s",
		int(e.Retry.Minutes())+1, cmp.Or(e.Ask, "a reset link"))
}

// SignIn checks e-mail address and password and starts a session with a new token. The session of oldToken, if
// any, ends. It fails with ErrCredentials, *LimitedError or ErrBusy, after the same time and in the same words
// whether the account exists or not.
func (a *Access) SignIn(ctx context.Context, email, password, oldToken, ip string) (token string, actor Actor, err error) {
	start := time.Now()
	token, actor, err = a.signIn(ctx, cleanEmail(email), password, oldToken, ip)
	if err != nil {
		wait := time.NewTimer(a.cfg.FailAfter - time.Since(start))
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	return token, actor, err
}

func (a *Access) signIn(ctx context.Context, email, password, oldToken, ip string) (string, Actor, error) {
	keys := loginKeys(email, ip)
	if err := a.countTry(ctx, keys); err != nil {
		return "", Actor{}, err
	}
	lookup := email
	if _, err := Email(email); err != nil {
		lookup = "" // no account has it, and not every database takes every text
	}
	p, err := people.ByEmail(ctx, a.db.Read(), store.System(store.UseSignIn), lookup)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", Actor{}, err
	}
	match, stale, err := a.hash.check(ctx, p.Password, password)
	if err != nil {
		return "", Actor{}, errors.Join(err, a.forgive(ctx, keys, false))
	}
	if !match {
		if p.ID != "" {
			err = a.record(ctx, row(p.Org, p.ID, p.Name, ip, Entry{Deed: DeedSignInFailed, Target: string(p.ID)}))
		}
		return "", Actor{}, errors.Join(ErrCredentials, err)
	}
	if err := a.forgive(ctx, keys, true); err != nil {
		return "", Actor{}, err
	}
	if stale {
		p.Password, err = a.rehash(ctx, p, password)
		if errors.Is(err, store.ErrNotFound) {
			return "", Actor{}, ErrCredentials // changed or removed since it was read
		}
		if err != nil {
			return "", Actor{}, err
		}
	}
	return a.startSession(ctx, p, oldToken, ip, Entry{Deed: DeedSignIn, Target: string(p.ID)})
}

// rehash stores the password at today's cost and returns its hash.
func (a *Access) rehash(ctx context.Context, p people.Person, password string) (string, error) {
	phc, err := a.hash.hash(ctx, password)
	if err != nil {
		return "", err
	}
	return phc, a.db.Tx(ctx, func(q store.Querier) error {
		return people.SwapPassword(ctx, q, store.Org(p.Org), p.ID, p.Password, phc)
	})
}

// startSession makes a new session for p, which was read before; what changed since is seen inside.
func (a *Access) startSession(ctx context.Context, p people.Person, oldToken, ip string, e Entry) (string, Actor, error) {
	token, sum := newToken()
	err := a.db.Tx(ctx, func(q store.Querier) error {
		if err := people.Seen(ctx, q, store.Org(p.Org), p.ID, a.nowUs()); err != nil {
			return err
		}
		if oldToken != "" {
			if err := people.EndSession(ctx, q, store.System(store.UseToken), tokenSum(oldToken)); err != nil {
				return err
			}
		}
		return a.insertSession(ctx, q, p, sum, ip, e)
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", Actor{}, ErrCredentials // removed, or given another password, since it was read
	}
	if err != nil {
		return "", Actor{}, err
	}
	actor, err := a.Authenticate(ctx, token, ip)
	return token, actor, err
}

// insertSession adds a session for p, whose row the transaction must hold already, unless its password is no
// longer the one that was checked. Every transaction takes rows in the order person, sessions, audit, so that
// no two can wait for each other.
func (a *Access) insertSession(ctx context.Context, q store.Querier, p people.Person, sum []byte, ip string, e Entry) error {
	now, err := people.Get(ctx, q, store.Org(p.Org), p.ID)
	if err != nil {
		return err
	}
	if now.Password != p.Password {
		return store.ErrNotFound
	}
	at := a.cfg.Now()
	if err := people.AddSession(ctx, q, people.Session{
		TokenHash: sum, ID: id.New[id.Session](), Org: p.Org, Person: p.ID, CreatedUs: at.UnixMicro(), SeenUs: at.UnixMicro(),
		ExpiresUs: at.Add(a.cfg.Lifetime).UnixMicro(), IP: ip,
	}); err != nil {
		return err
	}
	return a.append(ctx, q, row(p.Org, p.ID, p.Name, ip, e))
}

// touchEvery is how often the last use of a session is written.
const touchEvery = time.Minute

// Authenticate returns who holds a session's token, with rights as they are now, or ErrSignedOut.
func (a *Access) Authenticate(ctx context.Context, token, ip string) (Actor, error) {
	if token == "" {
		return Actor{}, ErrSignedOut
	}
	return a.bySum(ctx, tokenSum(token), ip)
}

// Refresh returns the actor with rights as they are now, or ErrSignedOut when the session ended since, and ErrPlayer when the
// program's token did. What lasts longer than a request (a stream, a download, a live session) asks it at least twice a
// minute.
func (a *Access) Refresh(ctx context.Context, actor Actor) (Actor, error) {
	if actor.Player != nil {
		return a.playerBySum(ctx, actor.tokenHash, actor.IP)
	}
	return a.bySum(ctx, actor.tokenHash, actor.IP)
}

func (a *Access) bySum(ctx context.Context, sum []byte, ip string) (Actor, error) {
	now := a.cfg.Now()
	s, err := people.BySession(ctx, a.db.Read(), store.System(store.UseToken), sum, now.UnixMicro(), now.Add(-a.cfg.Idle).UnixMicro())
	if errors.Is(err, store.ErrNotFound) {
		return Actor{}, ErrSignedOut
	}
	if err != nil {
		return Actor{}, err
	}
	if now.UnixMicro()-s.Session.SeenUs >= touchEvery.Microseconds() {
		err := a.db.Tx(ctx, func(q store.Querier) error {
			return people.Touch(ctx, q, store.Org(s.Person.Org), sum, s.Person.ID, now.UnixMicro())
		})
		if errors.Is(err, store.ErrNotFound) {
			return Actor{}, ErrSignedOut
		}
		if err != nil {
			return Actor{}, err
		}
	}
	p := s.Person
	return Actor{
		Person: p.ID, Name: p.Name, Email: p.Email, Org: p.Org, OrgName: s.OrgName, Role: Role(p.Role), Sites: p.Sites,
		Session: s.Session.ID, IP: ip, tokenHash: sum,
	}, nil
}

// SignOut ends the actor's session.
func (a *Access) SignOut(ctx context.Context, actor Actor) error {
	return a.Change(ctx, actor, Entry{Deed: DeedSignOut, Target: string(actor.Person)}, func(q store.Querier) error {
		return people.EndSession(ctx, q, actor.Scope(), actor.tokenHash)
	})
}

// ChangePassword replaces the actor's own password. Every session of the person ends; the returned token is of
// a new one. A wrong old password counts like a failed sign-in.
func (a *Access) ChangePassword(ctx context.Context, actor Actor, old, password string) (token string, _ Actor, err error) {
	p, err := people.Get(ctx, a.db.Read(), actor.Scope(), actor.Person)
	if err != nil {
		return "", Actor{}, err
	}
	if err := acceptable(password, p.Email, p.Name, actor.OrgName); err != nil {
		return "", Actor{}, err
	}
	keys := loginKeys(p.Email, actor.IP)
	if err := a.countTry(ctx, keys); err != nil {
		return "", Actor{}, err
	}
	match, _, err := a.hash.check(ctx, p.Password, old)
	if err != nil {
		return "", Actor{}, errors.Join(err, a.forgive(ctx, keys, false))
	}
	if !match {
		return "", Actor{}, &Invalid{Field: "old", Text: "The old password is wrong: type it again, or ask an owner for a reset link."}
	}
	phc, err := a.hash.hash(ctx, password)
	if err != nil {
		return "", Actor{}, err
	}
	token, sum := newToken()
	err = a.db.Tx(ctx, func(q store.Querier) error {
		if err := a.replacePassword(ctx, q, p, phc); err != nil {
			return err
		}
		p.Password = phc
		return a.insertSession(ctx, q, p, sum, actor.IP, Entry{Deed: DeedPasswordChanged, Target: string(p.ID)})
	})
	if err != nil {
		return "", Actor{}, err
	}
	if err := a.forgive(ctx, keys, true); err != nil {
		return "", Actor{}, err
	}
	actor, err = a.Authenticate(ctx, token, actor.IP)
	return token, actor, err
}

// replacePassword stores a password and ends everything that the old one opened.
func (a *Access) replacePassword(ctx context.Context, q store.Querier, p people.Person, phc string) error {
	scope := store.Org(p.Org)
	if err := people.SetPassword(ctx, q, scope, p.ID, phc); err != nil {
		return err
	}
	return people.EndSessions(ctx, q, scope, p.ID)
}

// loginKey is one counter of failed sign-ins.
type loginKey struct {
	sum     string
	address bool // shared by everybody behind one address
	limit   func(Limits) int
}

// Network returns what counts as one address when tries are counted: the address itself for IPv4, and the
// network of 64 bits for IPv6, since one customer has all of it (RFC 6177).
func Network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Is4() || addr.Is4In6() {
		return ip
	}
	network, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return ip
	}
	return network.String()
}

func loginKeys(email, ip string) []loginKey {
	ip = Network(ip)
	return []loginKey{
		{keySum("pair", email, ip), false, func(l Limits) int { return l.Pair }},
		{keySum("account", email), false, func(l Limits) int { return l.Account }},
		{keySum("address", ip), true, func(l Limits) int { return l.Address }},
	}
}

// playerKeys counts tokens of players that were tried in vain, apart from sign-ins: people behind the address of a program
// with an old token can sign in.
func playerKeys(ip string) []loginKey {
	return []loginKey{{keySum("player", Network(ip)), true, func(l Limits) int { return l.Address }}}
}

func keySum(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:])
}

// countTry counts a sign-in as failed before it is tried, so that many at once can't pass the limit together.
func (a *Access) countTry(ctx context.Context, keys []loginKey) error {
	now := a.cfg.Now()
	var limited *LimitedError
	err := a.db.Tx(ctx, func(q store.Querier) error {
		for _, k := range keys {
			n, until, err := people.CountFailure(ctx, q, k.sum, now.UnixMicro(), now.Add(a.cfg.Limits.Window).UnixMicro())
			if err != nil {
				return err
			}
			if n > k.limit(a.cfg.Limits) {
				retry := time.UnixMicro(until).Sub(now)
				if limited == nil || retry > limited.Retry {
					limited = &LimitedError{Retry: retry}
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if limited != nil {
		return limited
	}
	return nil
}

// forgive takes back what countTry counted: all of it for the account after a success, one try otherwise.
func (a *Access) forgive(ctx context.Context, keys []loginKey, success bool) error {
	return a.db.Tx(ctx, func(q store.Querier) error {
		for _, k := range keys {
			if err := people.ForgiveFailure(ctx, q, k.sum, success && !k.address); err != nil {
				return err
			}
		}
		return nil
	})
}

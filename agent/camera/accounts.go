package camera

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// lockout is the time between two tries of an account that was refused.
	lockout = time.Minute
	// turn is how long one stream may take to find out whether a password is right before the next one tries.
	turn = 8 * time.Second
	// strangers is how many streams that were never accepted may be refused within the lockout while others of
	// the account are live; devices lock an account after five.
	strangers = 3
)

// accounts keeps a device from locking an account, however many streams use it: until the password is known to
// be right one stream tries it for all, and after a refusal that happens once a minute. When a session ends that is
// not known any more: a device that was restarted may have another password. While a stream of the account is
// live, the refusal of another one that was never accepted is its own: it may not see that channel. Such streams
// share one try a minute. A stream that was accepted before and is refused now says that the password has changed.
type accounts struct {
	mu   sync.Mutex
	rows map[string]*account
}

type account struct {
	good     bool
	live     int
	flying   int         // streams that were not heard of yet and are trying now
	trying   time.Time   // until when somebody has the turn
	next     time.Time   // not before
	strange  []time.Time // refusals of streams that were never accepted, within the lockout
	stranger time.Time   // until when nobody that was refused may try
	refusal  failure     // the last one, or what was wrong with the last try
	changed  chan struct{}
}

// standing is what a stream has heard of an account so far.
type standing int

const (
	unheard  standing = iota // not tried yet
	accepted                 // accepted once
	denied                   // refused when it last tried, and never accepted
)

// try is the leave to try an account once. It ends with pass, fail or leave; what comes after the first of these
// does nothing.
type try struct {
	accounts *accounts
	account  *account
	as       standing
	over     bool
}

func newAccounts() *accounts { return &accounts{rows: map[string]*account{}} }

// row returns an account; the caller holds the lock.
func (a *accounts) row(name string) *account {
	r := a.rows[name]
	if r == nil {
		r = &account{changed: make(chan struct{})}
		a.rows[name] = r
	}
	return r
}

// announce wakes those who wait; the caller holds the lock.
func (r *account) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// distant is a moment that only an announcement can bring nearer.
const distant = 24 * time.Hour

// until returns when a stream may try; the zero time is now. It takes the turn if it may.
func (r *account) until(now time.Time, as standing) (at time.Time) {
	wait := func(until time.Time) {
		if until.After(now) && until.After(at) {
			at = until
		}
	}
	if !r.good {
		wait(r.trying)
		wait(r.next)
	}
	r.strange = slices.DeleteFunc(r.strange, func(t time.Time) bool { return now.Sub(t) >= lockout })
	switch {
	case r.live == 0:
	case as == denied:
		wait(r.stranger)
	case as == unheard && len(r.strange) >= strangers:
		wait(r.strange[0].Add(lockout))
	case as == unheard && len(r.strange)+r.flying >= strangers:
		wait(now.Add(distant))
	}
	if !at.IsZero() {
		return at
	}
	if !r.good {
		r.trying = now.Add(turn)
	}
	switch as {
	case unheard:
		r.flying++
	case denied:
		r.stranger = now.Add(lockout)
	}
	return at
}

// await returns when the account may be tried. refused hears what was wrong with the last try while it must wait.
func (a *accounts) await(ctx context.Context, name string, as standing, refused func(failure)) (*try, error) {
	for {
		a.mu.Lock()
		r := a.row(name)
		until := r.until(time.Now(), as)
		why, changed := r.refusal, r.changed
		a.mu.Unlock()
		if until.IsZero() {
			return &try{accounts: a, account: r, as: as}, nil
		}
		if why.reason != "" {
			refused(why)
		}
		if err := await(ctx, changed, until); err != nil {
			return nil, err
		}
	}
}

// end says whether this is the end of the try, which it is once; the caller holds the lock.
func (t *try) end() bool {
	if t.over {
		return false
	}
	t.over = true
	if t.as == unheard {
		t.account.flying--
	}
	return true
}

// fail notes that the account was refused.
func (t *try) fail(why failure) {
	t.accounts.mu.Lock()
	defer t.accounts.mu.Unlock()
	if !t.end() {
		return
	}
	r, now := t.account, time.Now()
	r.trying = time.Time{}
	defer r.announce()
	if r.live > 0 && t.as != accepted {
		r.strange = append(r.strange, now)
		r.stranger = now.Add(lockout)
		return
	}
	r.good, r.refusal = false, why
	r.next = now.Add(lockout + rand.N(lockout/10))
}

// leave notes that a try ended without a word about the account; why may be empty.
func (t *try) leave(why failure) {
	t.accounts.mu.Lock()
	defer t.accounts.mu.Unlock()
	if !t.end() {
		return
	}
	r := t.account
	defer r.announce()
	if r.good {
		return
	}
	r.trying = time.Time{}
	if time.Now().After(r.next) {
		r.refusal = why
	}
}

// pass notes that the account was accepted and is in use until the returned function is called.
func (t *try) pass() (done func()) {
	t.accounts.mu.Lock()
	defer t.accounts.mu.Unlock()
	r := t.account
	if t.end() {
		if !r.good {
			r.good, r.next, r.trying, r.refusal = true, time.Time{}, time.Time{}, failure{}
		}
		r.announce()
	}
	r.live++
	return func() {
		t.accounts.mu.Lock()
		defer t.accounts.mu.Unlock()
		r.live--
		r.good = false
	}
}

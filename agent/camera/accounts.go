package camera

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// lockout is the time between two tries of an account that was refused.
	lockout = time.Minute
	// turn is how long one stream may take to find out whether a password is right before the next one tries.
	turn = 3 * time.Second
)

// accounts keeps a device from locking an account, however many streams use it: until the password is known to
// be right one stream tries it for all, and after a refusal that happens once a minute. While a stream of the
// account is live its password is right, and another stream's refusal is that stream's own.
type accounts struct {
	mu   sync.Mutex
	rows map[string]*account
}

type account struct {
	good    bool
	live    int
	trying  time.Time // until when somebody has the turn
	next    time.Time // not before
	refusal failure   // the last one
	changed chan struct{}
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

// await returns when the account may be tried. refused hears why it must wait, if that is because the account
// was refused. Each await is followed by pass, fail or leave.
func (a *accounts) await(ctx context.Context, name string, refused func(failure)) error {
	for {
		a.mu.Lock()
		r := a.row(name)
		now := time.Now()
		until := r.trying
		if r.next.After(until) {
			until = r.next
		}
		if r.good || !now.Before(until) {
			if !r.good {
				r.trying = now.Add(turn)
			}
			a.mu.Unlock()
			return nil
		}
		why, waiting, changed := r.refusal, until.Sub(now), r.changed
		a.mu.Unlock()
		if why.reason != "" {
			refused(why)
		}
		timer := time.NewTimer(waiting)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// fail notes that the account was refused.
func (a *accounts) fail(name string, why failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.row(name)
	r.trying = time.Time{}
	if r.live > 0 {
		return
	}
	r.good, r.refusal = false, why
	r.next = time.Now().Add(lockout + rand.N(lockout/10))
	r.announce()
}

// leave notes that a try ended without a word about the account.
func (a *accounts) leave(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.row(name)
	if !r.good {
		r.trying = time.Time{}
		r.announce()
	}
}

// pass notes that the account was accepted and is in use until the returned function is called.
func (a *accounts) pass(name string) (done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.row(name)
	if !r.good {
		r.good, r.next, r.trying, r.refusal = true, time.Time{}, time.Time{}, failure{}
		r.announce()
	}
	r.live++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		r.live--
	}
}

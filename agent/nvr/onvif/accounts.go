package onvif

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

const (
	// lockout is the time between two tries of an account that was refused: devices lock one after five or so.
	lockout = time.Minute
	// trusted is how long a password counts as good after it was accepted. Then one tries it for all: it may have been changed.
	trusted = time.Minute
)

var (
	// errWait says that the password was refused a moment ago, and is not told again yet.
	errWait = errors.New("the password was refused a moment ago")
	// errTurn says that the time was over before it was one's turn to try the password.
	errTurn = errors.New("others try the password first")
)

// Accounts keeps devices from locking an account that several cameras share. It is apart from what the RTSP sessions have for
// the same purpose: a login that fails here must never hold a recording back.
type Accounts struct {
	mu   sync.Mutex
	rows map[credential]*account
}

// credential is what a device is told: of the password only the sum is kept.
type credential struct {
	host, user string
	password   [sha256.Size]byte
}

// account is one login, and what its device said of it last.
type account struct {
	turn chan struct{} // holds an element while somebody tries whether the password is good

	mu   sync.Mutex
	good time.Time // until then
	next time.Time // not before
}

// NewAccounts returns Accounts of which nothing is known.
func NewAccounts() *Accounts { return &Accounts{rows: map[credential]*account{}} }

func (a *Accounts) row(host, user, password string) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := credential{host, user, sha256.Sum256([]byte(password))}
	if a.rows[c] == nil {
		a.rows[c] = &account{turn: make(chan struct{}, 1)}
	}
	return a.rows[c]
}

// enter waits until the password may be told: at once while it is known to be good, else one after the other, and not within
// the lockout. leave must be called when the device has answered.
func (a *account) enter(ctx context.Context) (leave func(), err error) {
	if good, err := a.standing(); good || err != nil {
		return func() {}, err
	}
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, errors.Join(errTurn, ctx.Err())
	}
	leave = func() { <-a.turn }
	if good, err := a.standing(); good || err != nil { // by now
		leave()
		return func() {}, err
	}
	return leave, nil
}

// standing says whether the password is known to be good; errWait, that it was refused a moment ago.
func (a *account) standing() (good bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Before(a.next) {
		return false, errWait
	}
	return now.Before(a.good), nil
}

// accepted notes that the device takes the password.
func (a *account) accepted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.good, a.next = time.Now().Add(trusted), time.Time{}
}

// refused notes that it does not.
func (a *account) refused() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.good, a.next = time.Time{}, time.Now().Add(lockout)
}

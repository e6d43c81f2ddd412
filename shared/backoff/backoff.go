// Package backoff spaces out retries with full jitter, so that many agents that lost the cloud at one
// moment do not come back at one moment.
//
// It owns the length of each wait, with a cap and the server's Retry-After as a floor. It never retries by
// itself: the caller waits, then tries.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Policy bounds the waits: the n-th wait is uniform in [Min/2, min(Cap, Min*2^n)].
type Policy struct {
	Min time.Duration // ceiling of the first wait; above zero
	Cap time.Duration // ceiling of every wait; at least Min
}

// Timer counts failures since the last success. The zero value of the count starts at the first wait.
type Timer struct {
	policy Policy
	tries  int
}

// New returns a Timer for p.
func New(p Policy) *Timer { return &Timer{policy: p} }

// Next returns the next wait and counts one failure. A positive retryAfter (the server's own word, RFC 9110
// section 10.2.3) is a floor: the wait is at least that long, with jitter of up to a tenth on top.
func (t *Timer) Next(retryAfter time.Duration) time.Duration {
	ceiling := t.policy.Cap
	if t.tries < 30 {
		ceiling = min(t.policy.Cap, t.policy.Min<<t.tries)
	}
	t.tries++
	floor := t.policy.Min / 2
	wait := floor
	if ceiling > floor {
		wait += rand.N(ceiling - floor)
	}
	if retryAfter > wait {
		wait = retryAfter + rand.N(retryAfter/10+1)
	}
	return wait
}

// Reset forgets the failures; call it after a success that lasted.
func (t *Timer) Reset() { t.tries = 0 }

// Tries returns the failures since the last Reset.
func (t *Timer) Tries() int { return t.tries }

// Wait waits for Next(retryAfter) or until ctx ends, whose error it then returns.
func (t *Timer) Wait(ctx context.Context, retryAfter time.Duration) error {
	return Sleep(ctx, t.Next(retryAfter))
}

// Sleep waits for d or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

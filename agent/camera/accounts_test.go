package camera

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/wire"
)

// door is one account and a clock of the test.
type door struct {
	t     *testing.T
	a     *accounts
	began time.Time
}

func newDoor(t *testing.T) *door { return &door{t, newAccounts(), time.Now()} }

// try waits for its turn and returns how long after the test's start that was.
func (d *door) try(as standing) (*try, time.Duration) {
	d.t.Helper()
	y, err := d.a.await(d.t.Context(), "u@h", as, func(failure) {})
	if err != nil {
		d.t.Error(err)
	}
	return y, time.Since(d.began)
}

var noEntry = failure{reason: wire.AuthFailed, text: "refused"}

func (d *door) at(as standing, want time.Duration) *try {
	d.t.Helper()
	y, got := d.try(as)
	if got != want {
		d.t.Errorf("a try came after %v, want %v", got, want)
	}
	return y
}

func TestAnAccountThatWorksHoldsNobodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		done := d.at(unheard, 0).pass()
		for range 5 {
			d.at(unheard, 0).leave(failure{})
		}
		d.at(unheard, 0).fail(noEntry) // one channel is not allowed, others are
		d.at(unheard, 0).leave(failure{})
		d.at(accepted, 0).leave(failure{})
		done()
		d.at(accepted, 0).fail(noEntry)
		other := newDoor(t)
		one := other.at(unheard, 0)
		waited := make(chan time.Duration)
		go func() {
			_, at := other.try(unheard)
			waited <- at
		}()
		<-time.After(time.Second)
		one.pass()()
		if at := <-waited; at != time.Second {
			t.Errorf("a stream waited %v although the account was accepted after 1 s", at)
		}
	})
}

func TestADeviceThatIsSilentHoldsTheOthersBackShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		var last *try
		for i := range 4 {
			last = d.at(unheard, time.Duration(i)*turn)
		}
		heard := make(chan string, 1)
		go func() {
			_, _ = d.a.await(t.Context(), "u@h", unheard, func(f failure) {
				select {
				case heard <- f.text:
				default:
				}
			})
		}()
		synctest.Wait()
		last.leave(failure{reason: wire.Unreachable, text: "no answer"}) // which is no refusal
		synctest.Wait()
		waited := make(chan time.Duration)
		go func() {
			_, _ = d.a.await(t.Context(), "u@h", unheard, func(f failure) { heard <- f.text })
			waited <- time.Since(d.began)
		}()
		if text := <-heard; text != "no answer" {
			t.Errorf("who waits hears %q", text)
		}
		if at := <-waited; at != 4*turn {
			t.Errorf("the next try came after %v", at)
		}
	})
}

// TestAChangedPasswordIsTriedOnceAMinute: sixteen streams were live, all are dropped at one moment, and the password
// is another one now; later some stay live on their old login while others are refused.
func TestAChangedPasswordIsTriedOnceAMinute(t *testing.T) {
	for _, staying := range []int{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t)
			var dones []func()
			for range 16 {
				dones = append(dones, d.at(unheard, 0).pass())
			}
			for _, done := range dones[staying:] {
				done()
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var mu sync.Mutex
			var tries []time.Duration
			for range 16 - staying {
				go func() {
					for {
						y, err := d.a.await(ctx, "u@h", accepted, func(failure) {})
						if err != nil {
							return
						}
						<-time.After(50 * time.Millisecond)
						mu.Lock()
						tries = append(tries, time.Since(d.began))
						mu.Unlock()
						y.fail(noEntry)
					}
				}()
			}
			<-time.After(5 * time.Minute)
			cancel()
			synctest.Wait()
			for i := 1; i < len(tries); i++ {
				if tries[i]-tries[i-1] < lockout {
					t.Errorf("%d stay: tries at %v and %v", staying, tries[i-1], tries[i])
				}
			}
			if len(tries) < 4 || len(tries) > 5 {
				t.Errorf("%d stay: %d tries in five minutes", staying, len(tries))
			}
		})
	}
}

// TestForbiddenChannelsShareATryAMinute: twelve channels that this user may not see, beside four that he may.
func TestForbiddenChannelsShareATryAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		d.at(unheard, 0).pass()
		for range 3 {
			d.at(unheard, 0).pass()
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		var tries []time.Duration
		for range 12 {
			go func() {
				for as := unheard; ; as = denied {
					y, err := d.a.await(ctx, "u@h", as, func(failure) {})
					if err != nil {
						return
					}
					<-time.After(50 * time.Millisecond)
					mu.Lock()
					tries = append(tries, time.Since(d.began))
					mu.Unlock()
					y.fail(noEntry)
				}
			}()
		}
		<-time.After(10 * time.Minute)
		cancel()
		synctest.Wait()
		for i := strangers + 1; i < len(tries); i++ {
			if n := tries[i] - tries[i-strangers-1]; n < lockout {
				t.Errorf("%d tries within %v", strangers+2, n)
			}
		}
		if len(tries) > 45 || len(tries) < 15 {
			t.Errorf("%d tries in ten minutes", len(tries))
		}
		d.at(accepted, 10*time.Minute) // streams that work are not held back
	})
}

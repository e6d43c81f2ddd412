package onvif

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/wire"
	"holdfast/testenv/bubble"
	"holdfast/testenv/fakenvr"
)

// TestOneTriesForAll: while nothing is known of a password, and again when it was long ago, one tells it at a time.
func TestOneTriesForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAccounts().row("h", "u", "p")
		enter := func() func() {
			t.Helper()
			leave, err := a.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return leave
		}
		waits := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := a.enter(ctx)
			return err
		}
		first := enter()
		if err := waits(); !errors.Is(err, errTurn) {
			t.Errorf("a second one: %v", err)
		}
		a.accepted()
		enter()() // the first one may stay as long as it likes
		first()
		bubble.Pass(trusted + time.Second)
		second := enter()
		if err := waits(); !errors.Is(err, errTurn) {
			t.Errorf("a minute later: %v", err)
		}
		a.refused()
		second()
		if err := waits(); !errors.Is(err, errWait) {
			t.Errorf("after a refusal: %v", err)
		}
		bubble.Pass(lockout + time.Second)
		enter()()
	})
}

// TestAPasswordThatWasChanged is told by one camera, however many there are.
func TestAPasswordThatWasChanged(t *testing.T) {
	for name, turn := range map[string]func(*fakenvr.Knobs){
		"WS-Security": func(*fakenvr.Knobs) {},
		"HTTP":        func(k *fakenvr.Knobs) { k.Digest = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			far, err := fakenvr.New(fakenvr.Config{User: "u", Password: "p"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- far.Run(ctx) }()
			t.Cleanup(func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
			far.Turn(turn)
			cfg := Config{Address: far.URL(), User: "u", Password: "p", Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Accounts: NewAccounts()}
			var all []*Device
			home := wire.PTZOrder{Act: wire.PTZHome}
			for range 16 {
				d, err := New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Do(t.Context(), home); err != nil {
					t.Fatal(err)
				}
				all = append(all, d)
			}
			all[0].account.mu.Lock()
			all[0].account.good = time.Now() // it was accepted a while ago
			all[0].account.mu.Unlock()
			far.Turn(func(k *fakenvr.Knobs) { k.Locked, k.Slow = true, 20*time.Millisecond })
			var tries sync.WaitGroup
			for _, d := range all {
				tries.Go(func() {
					if d.Do(t.Context(), home) == nil {
						t.Error("a wrong password was taken")
					}
				})
			}
			tries.Wait()
			if far.Refused() > 2 { // once more, to see whether it is this question alone
				t.Errorf("the wrong password was told %d times", far.Refused())
			}
		})
	}
}

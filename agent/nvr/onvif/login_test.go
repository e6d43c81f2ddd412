package onvif_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"holdfast/agent/nvr/onvif"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakenvr"
)

var home = wire.PTZOrder{Act: wire.PTZHome}

// TestARightThatIsMissing is no wrong password: everything else goes on.
func TestARightThatIsMissing(t *testing.T) {
	for name, turn := range map[string]func(*fakenvr.Knobs){
		"WS-Security": func(k *fakenvr.Knobs) { k.Deny = "SetPreset" },
		"HTTP":        func(k *fakenvr.Knobs) { k.Deny, k.Digest = "SetPreset", true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, turn)
			d := f.device(t)
			for range 2 {
				says(t, d.Do(t.Context(), wire.PTZOrder{Act: wire.PTZSave, Name: "x"}), "does not let user "+user)
				if err := d.Do(t.Context(), home); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestStopIsNeverHeldBack: what the device said to another camera of the account does not keep one that moves from being stopped.
func TestStopIsNeverHeldBack(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.cfg.Accounts = onvif.NewAccounts()
	a, b := f.device(t), f.device(t)
	for _, d := range []*onvif.Device{b, a} {
		if err := d.Do(t.Context(), wire.PTZOrder{Act: wire.PTZMove, Pan: 1}); err != nil {
			t.Fatal(err)
		}
	}
	f.Turn(func(k *fakenvr.Knobs) { k.Locked = true })
	says(t, b.Do(t.Context(), home), "does not take")
	f.Turn(func(k *fakenvr.Knobs) { k.Locked = false })
	says(t, a.Do(t.Context(), home), "once a minute")
	if err := a.Do(t.Context(), wire.PTZOrder{Act: wire.PTZStop}); err != nil || f.Where().Moving {
		t.Errorf("it is not stopped: %v", err)
	}
	if err := b.Do(t.Context(), home); err != nil {
		t.Errorf("the device has taken the password: %v", err)
	}
}

// TestWhoWaitsForTheTurnCanGo, and is told the truth: nothing is known of his camera.
func TestWhoWaitsForTheTurnCanGo(t *testing.T) {
	t.Parallel()
	f := start(t, func(k *fakenvr.Knobs) { k.Stuck = "GetProfiles" })
	f.cfg.Accounts = onvif.NewAccounts()
	a, b := f.device(t), f.device(t)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = a.Do(ctx, home) }) // its answer is of no account
	defer all.Wait()
	defer cancel()
	eventually.True(t, "the first one asks", func() bool { return f.Stuck() == 1 })
	short, over := context.WithTimeout(t.Context(), 2*time.Second)
	defer over()
	says(t, b.Do(short, home), "other cameras of it are asked first")
}

// TestASearchHoldsNobodyUp who knows the device already.
func TestASearchHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	d := f.device(t)
	if err := d.Do(t.Context(), wire.PTZOrder{Act: wire.PTZMove, Pan: 1}); err != nil {
		t.Fatal(err)
	}
	f.Turn(func(k *fakenvr.Knobs) { k.Stuck = "GetProfiles" })
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { _, _ = d.Ask(ctx, true) }) // likewise
	}
	eventually.True(t, "the device is sought anew", func() bool { return f.Stuck() > 0 })
	if err := d.Do(t.Context(), wire.PTZOrder{Act: wire.PTZStop}); err != nil || f.Where().Moving {
		t.Errorf("it is not stopped: %v", err)
	}
	if f.Stuck() != 1 {
		t.Errorf("%d search at once", f.Stuck())
	}
	cancel()
	all.Wait()
	if err := d.Do(t.Context(), home); err != nil {
		t.Errorf("after a search in vain: %v", err)
	}
}

package ingest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// TestTurnstile queues up batches behind a busy database and checks the order in which they go.
func TestTurnstile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTurnstile(1, 4)
		leave, err := ts.enter(t.Context(), "org-a", wire.Live)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		queue := func(name string, org id.Org, lane wire.Lane) {
			go func() {
				leave, err := ts.enter(t.Context(), org, lane)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, name)
				leave()
			}()
			synctest.Wait()
		}
		queue("a backlog", "org-a", wire.Backlog)
		queue("a live 1", "org-a", wire.Live)
		queue("a live 2", "org-a", wire.Live)
		queue("a live 3", "org-a", wire.Live)
		queue("b live", "org-b", wire.Live)
		queue("b urgent", "org-b", wire.Urgent)
		var busy *BusyError
		if _, err := ts.enter(t.Context(), "org-a", wire.Live); !errors.As(err, &busy) || busy.RetryAfter <= 0 {
			t.Fatalf("a fifth waiter of one organisation: %v", err)
		}
		var refusal *wire.Refusal
		if !errors.As(busy, &refusal) || refusal.Code != wire.RefusedBusy || refusal.RetryUs <= 0 {
			t.Fatalf("the agent is told %v", refusal)
		}
		leave()
		synctest.Wait()
		want := "b urgent, a live 1, b live, a backlog, a live 2, a live 3"
		if got := strings.Join(order, ", "); got != want {
			t.Fatalf("order %q, want %q", got, want)
		}
		if ts.free != 1 || len(ts.waiting) != 0 {
			t.Fatalf("afterwards %d are free and %v wait", ts.free, ts.waiting)
		}
	})
}

func TestTurnstileGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTurnstile(1, 4)
		leave, _ := ts.enter(t.Context(), "org-a", wire.Live)
		ctx, cancel := context.WithCancel(t.Context())
		var failed error
		go func() { _, failed = ts.enter(ctx, "org-a", wire.Live) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !errors.Is(failed, context.Canceled) {
			t.Fatalf("enter = %v", failed)
		}
		leave()
		if leave, err := ts.enter(t.Context(), "org-b", wire.Backlog); err != nil {
			t.Fatal(err)
		} else {
			leave()
		}
		if ts.free != 1 || len(ts.lanes[1].orgs) != 0 {
			t.Fatalf("%d are free, %v wait", ts.free, ts.lanes[1].orgs)
		}
	})
}

package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestNextStaysInItsBounds(t *testing.T) {
	b := New(Policy{Min: time.Second, Cap: 30 * time.Second})
	for i := range 100 {
		ceiling := 30 * time.Second
		if i < 5 {
			ceiling = time.Second << i
		}
		if w := b.Next(0); w < time.Second/2 || w > ceiling {
			t.Fatalf("wait %d is %v, want within [0.5 s, %v]", i, w, ceiling)
		}
	}
	b.Reset()
	if w := b.Next(0); w > time.Second {
		t.Fatalf("first wait after Reset is %v", w)
	}
}

func TestRetryAfterIsAFloor(t *testing.T) {
	b := New(Policy{Min: time.Second, Cap: 30 * time.Second})
	if w := b.Next(time.Minute); w < time.Minute || w > 66*time.Second+time.Millisecond {
		t.Fatalf("wait is %v, want 60 to 66 s", w)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		b := New(Policy{Min: time.Hour, Cap: 2 * time.Hour})
		if err := b.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait = %v", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Fatalf("Wait took %v", d)
		}
	})
}

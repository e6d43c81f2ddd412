package access

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func cheap() Argon {
	return Argon{MemoryKiB: 64, Passes: 1, Threads: 1, AtOnce: 1, Wait: time.Second}
}

func TestHashAndCheck(t *testing.T) {
	h, err := newHasher(cheap())
	if err != nil {
		t.Fatal(err)
	}
	phc, err := h.hash(t.Context(), "copper lantern 42")
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.hash(t.Context(), "copper lantern 42")
	if err != nil || again == phc {
		t.Fatalf("two hashes of one password are equal, or %v", err)
	}
	for _, tc := range []struct {
		phc, password string
		match         bool
	}{{phc, "copper lantern 42", true}, {phc, "copper lantern 43", false}, {phc, "", false}, {"", "", false}, {"", "x", false}} {
		match, stale, err := h.check(t.Context(), tc.phc, tc.password)
		if err != nil || match != tc.match || stale {
			t.Errorf("check(%q, %q) = %t, %t, %v", tc.phc, tc.password, match, stale, err)
		}
	}
	for _, bad := range []string{
		"x", "$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=18$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=64,t=0,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1,p=1$!$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AAAA", strings.Repeat("$", 5),
	} {
		if match, _, err := h.check(t.Context(), bad, "x"); err == nil || match {
			t.Errorf("check(%q) = %t, %v; want an error", bad, match, err)
		}
	}
}

func TestHashesWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := newHasher(cheap())
		if err != nil {
			t.Fatal(err)
		}
		h.slots <- struct{}{} // one hash runs and does not end
		if _, err := h.hash(t.Context(), "x"); !errors.Is(err, ErrBusy) {
			t.Errorf("a hash behind one that does not end: %v, want ErrBusy", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.hash(ctx, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("a hash that nobody waits for: %v", err)
		}
	})
}

func TestAcceptable(t *testing.T) {
	words := []string{"ana.torres@bluebird.example", "Ana Torres", "Bluebird Bakery"}
	for _, good := range []string{
		"copper lantern 42", "aB3$aB3$xYz!", "ооочень длинный пароль", "Bluebird-7-parking-lot", strings.Repeat("abcd", 256),
	} {
		if err := acceptable(good, words...); err != nil {
			t.Errorf("acceptable(%q) = %v", good, err)
		}
	}
	var invalid *Invalid
	for _, bad := range []string{
		"", "short", "elevenchars", "ana.torres@bluebird.example", "Ana.Torres@Bluebird.Example", "BLUEBIRD BAKERY", "bluebirdbluebird", "anatorres12345"[:9],
		"bluebird bakery 1", "password1234", "PassWord1234", "aaaaaaaaaaaa", "abababababababab", "\xff\xfe\xfd copper lantern", strings.Repeat("x1!y", 300),
	} {
		if err := acceptable(bad, words...); !errors.As(err, &invalid) || invalid.Field != "password" {
			t.Errorf("acceptable(%q) = %v, want a refusal", bad, err)
		}
	}
}

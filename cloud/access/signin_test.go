package access_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/testenv/db"
)

func setup(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	ctx := t.Context()
	old, needed, err := r.SetupToken(ctx)
	if err != nil || !needed {
		t.Fatalf("SetupToken = %t, %v", needed, err)
	}
	token, _, err := r.SetupToken(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f := access.Founding{Token: old, Organisation: "Bluebird Bakery", Name: "Olga", Email: "Olga@Example.com ", Password: good}
	_, _, err = r.Setup(ctx, f, "::1")
	want(t, "setup with a replaced token", err, access.ErrSetupToken)
	f.Token = token
	var invalid *access.Invalid
	for _, bad := range []access.Founding{
		{Token: token, Organisation: "\x00", Name: f.Name, Email: f.Email, Password: good},
		{Token: token, Organisation: f.Organisation, Name: "", Email: f.Email, Password: good},
		{Token: token, Organisation: f.Organisation, Name: f.Name, Email: "nobody", Password: good},
		{Token: token, Organisation: f.Organisation, Name: f.Name, Email: f.Email, Password: "short"},
	} {
		if _, _, err := r.Setup(ctx, bad, "::1"); !errors.As(err, &invalid) {
			t.Errorf("setup with %+v: %v, want a refusal", bad, err)
		}
	}
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for range 4 {
		wg.Go(func() {
			_, actor, err := r.Setup(ctx, f, "::1")
			if err == nil && (actor.Role != access.Owner || actor.Email != "olga@example.com" || actor.OrgName != f.Organisation) {
				err = fmt.Errorf("the founder is %+v", actor)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	done := 0
	for err := range errs {
		if err == nil {
			done++
		} else if !errors.Is(err, access.ErrNoSetup) && !errors.Is(err, access.ErrSetupToken) {
			t.Error(err)
		}
	}
	if done != 1 {
		t.Fatalf("%d of 4 setups at once succeeded, want 1", done)
	}
	_, _, err = r.Setup(ctx, f, "::1")
	want(t, "a second setup", err, access.ErrNoSetup)
	if token, needed, err := r.SetupToken(ctx); token != "" || needed || err != nil {
		t.Fatalf("SetupToken after the setup = %q, %t, %v", token, needed, err)
	}
}

func signIn(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	token, actor, err := h.SignIn(ctx, "  "+strings.ToUpper(h.boss.Email), good, "", "192.0.2.7")
	if err != nil || actor.Person != h.boss.Person || actor.IP != "192.0.2.7" || actor.Role != access.Owner || actor.Sites != nil {
		t.Fatalf("SignIn = %+v, %v", actor, err)
	}
	if got, err := h.Authenticate(ctx, token, "x"); err != nil || got.Session != actor.Session || got.OrgName != "Bluebird Bakery" {
		t.Fatalf("Authenticate = %+v, %v", got, err)
	}
	second, _, err := h.SignIn(ctx, h.boss.Email, good, token, "192.0.2.7")
	if err != nil || second == token {
		t.Fatalf("a second sign-in: the token is the old one, or %v", err)
	}
	_, err = h.Authenticate(ctx, token, "x")
	want(t, "the session before the second sign-in", err, access.ErrSignedOut)
	_, _, wrong := h.SignIn(ctx, h.boss.Email, "wrong password 1", "", "192.0.2.7")
	_, _, unknown := h.SignIn(ctx, "nobody@example.com", "wrong password 1", "", "192.0.2.7")
	want(t, "a wrong password", wrong, access.ErrCredentials)
	if wrong.Error() != unknown.Error() {
		t.Errorf("wrong password: %q; unknown account: %q; want the same words", wrong, unknown)
	}
	for _, bad := range []string{"\x00", "a\x00b@example.com", "\xff@example.com", "", "x"} {
		_, _, err := h.SignIn(ctx, bad, good, "", "192.0.2.8")
		want(t, fmt.Sprintf("signing in as %q", bad), err, access.ErrCredentials)
	}
	for _, bad := range []string{"", "x", strings.Repeat("A", 500), "' OR 1=1 --"} {
		_, err := h.Authenticate(ctx, bad, "x")
		want(t, "made-up token", err, access.ErrSignedOut)
	}
	actor, err = h.Authenticate(ctx, second, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.SignOut(ctx, actor); err != nil {
		t.Fatal(err)
	}
	_, err = h.Refresh(ctx, actor)
	want(t, "after sign-out", err, access.ErrSignedOut)
}

func expiry(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	token, _, err := h.SignIn(ctx, h.boss.Email, good, "", "::1")
	if err != nil {
		t.Fatal(err)
	}
	for range 13 * 2 {
		h.pass(13 * time.Hour)
		if _, err := h.Authenticate(ctx, token, "::1"); err != nil && time.Until(h.clock()) < 14*24*time.Hour {
			t.Fatalf("a session in use after %v: %v", time.Until(h.clock()), err)
		}
	}
	_, err = h.Authenticate(ctx, token, "::1")
	want(t, "a session older than its lifetime", err, access.ErrSignedOut)
	if token, _, err = h.SignIn(ctx, h.boss.Email, good, "", "::1"); err != nil {
		t.Fatal(err)
	}
	h.pass(25 * time.Hour)
	_, err = h.Authenticate(ctx, token, "::1")
	want(t, "an idle session", err, access.ErrSignedOut)
}

func limits(t *testing.T, d *store.DB) {
	h := newRig(t, d, func(c *access.Config) {
		c.Limits = access.Limits{Window: time.Minute, Pair: 3, Account: 8, Address: 1000}
	}).house()
	ctx := t.Context()
	var limited *access.LimitedError
	for _, email := range []string{h.boss.Email, "nobody-" + string(h.org) + "@example.com"} {
		for i := range 6 {
			_, _, err := h.SignIn(ctx, email, "wrong password", "", "203.0.113.1")
			if i < 3 != errors.Is(err, access.ErrCredentials) || i >= 3 != errors.As(err, &limited) {
				t.Errorf("%s, try %d: %v", email, i+1, err)
			}
		}
	}
	_, _, err := h.SignIn(ctx, h.boss.Email, good, "", "203.0.113.1")
	if !errors.As(err, &limited) || limited.Retry <= 0 || limited.Retry > time.Minute {
		t.Errorf("the right password while limited: %v", err)
	}
	if _, _, err := h.SignIn(ctx, h.boss.Email, good, "", "203.0.113.2"); err != nil {
		t.Errorf("the person from another address: %v, want in", err)
	}
	for i := range 12 {
		_, _, err = h.SignIn(ctx, h.boss.Email, "wrong password", "", fmt.Sprintf("198.51.100.%d", i))
	}
	if !errors.As(err, &limited) {
		t.Errorf("many addresses against one account: %v, want the account's limit", err)
	}
	h.pass(2 * time.Minute)
	if _, _, err := h.SignIn(ctx, h.boss.Email, good, "", "203.0.113.1"); err != nil {
		t.Errorf("after the window: %v, want in", err)
	}
	// A success forgives the account: two wrong tries may follow each time.
	for range 4 {
		for range 2 {
			_, _, err := h.SignIn(ctx, h.boss.Email, "wrong password", "", "203.0.113.9")
			want(t, "a wrong password between right ones", err, access.ErrCredentials)
		}
		if _, _, err := h.SignIn(ctx, h.boss.Email, good, "", "203.0.113.9"); err != nil {
			t.Errorf("the right password after two wrong ones: %v", err)
		}
	}
}

func TestFailedSignInTakesItsTime(t *testing.T) {
	h := newRig(t, db.SQLite(t), func(c *access.Config) { c.FailAfter = 60 * time.Millisecond }).house()
	for _, email := range []string{h.boss.Email, "nobody@example.com"} {
		start := time.Now()
		_, _, err := h.SignIn(t.Context(), email, "wrong password", "", "::1")
		if took := time.Since(start); !errors.Is(err, access.ErrCredentials) || took < 60*time.Millisecond {
			t.Errorf("%s: %v after %v, want at least 60 ms", email, err, took)
		}
	}
}

func TestStoredHashFollowsTheCost(t *testing.T) {
	d := db.SQLite(t)
	h := newRig(t, d).house()
	stored := func() (phc string) {
		if err := d.Read().QueryRowContext(t.Context(), `SELECT password FROM person WHERE id = $1`, h.boss.Person).Scan(&phc); err != nil {
			t.Fatal(err)
		}
		return phc
	}
	if !strings.HasPrefix(stored(), "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("stored %q", stored())
	}
	dearer := newRig(t, d, func(c *access.Config) { c.Argon.Passes = 2 })
	if _, _, err := dearer.SignIn(t.Context(), h.boss.Email, good, "", "::1"); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(stored(), "$argon2id$v=19$m=64,t=2,p=1$") {
		t.Fatalf("after a sign-in at a higher cost: %q", stored())
	}
	if _, _, err := dearer.SignIn(t.Context(), h.boss.Email, good, "", "::1"); err != nil {
		t.Fatalf("the next sign-in: %v", err)
	}
}

func TestNetwork(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "unknown": "unknown", "": "",
	} {
		if got := access.Network(ip); got != want {
			t.Errorf("Network(%q) = %q, want %q", ip, got, want)
		}
	}
}

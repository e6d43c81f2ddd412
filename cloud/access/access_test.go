package access_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
	"holdfast/shared/id"
	"holdfast/testenv/db"
)

const good = "copper lantern 42"

// rig is one access room with a clock that tests move.
type rig struct {
	*access.Access
	t   *testing.T
	db  *store.DB
	mu  sync.Mutex
	now time.Time
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func newRig(t *testing.T, d *store.DB, tweak ...func(*access.Config)) *rig {
	t.Helper()
	r := &rig{t: t, db: d, now: time.Now()}
	cfg := access.Defaults()
	cfg.Argon.MemoryKiB, cfg.Argon.Passes, cfg.Argon.AtOnce = 64, 1, 4
	cfg.FailAfter, cfg.VerifyEvery, cfg.Now = 0, time.Nanosecond, r.clock
	for _, f := range tweak {
		f(&cfg)
	}
	var err error
	if r.Access, err = access.New(cfg, d, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) do(fn func(q store.Querier) error) {
	r.t.Helper()
	if err := r.db.Tx(r.t.Context(), fn); err != nil {
		r.t.Fatal(err)
	}
}

// house is an organisation with two sites and one signed-in owner.
type house struct {
	*rig
	org  id.Org
	a, b id.Site
	boss access.Actor
}

func (r *rig) house() *house {
	r.t.Helper()
	h := &house{rig: r, org: id.New[id.Org](), a: id.New[id.Site](), b: id.New[id.Site]()}
	ctx := r.t.Context()
	r.do(func(q store.Querier) error {
		return errors.Join(
			orgs.Add(ctx, q, orgs.Org{ID: h.org, Name: "Bluebird Bakery"}),
			orgs.AddSite(ctx, q, orgs.Site{ID: h.a, Org: h.org, Name: "A", Timezone: "UTC"}),
			orgs.AddSite(ctx, q, orgs.Site{ID: h.b, Org: h.org, Name: "B", Timezone: "UTC"}))
	})
	// The first owner of a further organisation comes by a link that the installation's operator makes.
	boss := people.Person{ID: id.New[id.Person](), Org: h.org, Email: string(h.org) + "@example.com", Name: "Olga", Role: "owner"}
	r.do(func(q store.Querier) error { return people.Add(ctx, q, boss) })
	inv, err := r.ResetPerson(ctx, access.Actor{Person: boss.ID, Org: h.org, Role: access.Owner}, boss.ID)
	if err == nil {
		err = r.SetPassword(ctx, inv.Token, good, "::1")
	}
	if err != nil {
		r.t.Fatal(err)
	}
	h.boss = h.signIn(boss.Email)
	return h
}

func (h *house) signIn(email string) access.Actor {
	h.t.Helper()
	_, actor, err := h.SignIn(h.t.Context(), email, good, "", "192.0.2.7")
	if err != nil {
		h.t.Fatal(err)
	}
	return actor
}

// join invites somebody, uses the link and signs in.
func (h *house) join(role access.Role, sites []id.Site) access.Actor {
	h.t.Helper()
	email := strings.ToLower(string(id.New[id.Person]())) + "@example.com"
	inv, err := h.Invite(h.t.Context(), h.boss, access.Invitation{Name: "Ana", Email: email, Role: role, Sites: sites})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.SetPassword(h.t.Context(), inv.Token, good, "::1"); err != nil {
		h.t.Fatal(err)
	}
	return h.signIn(email)
}

func want(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: %v, want %v", what, err, target)
	}
}

func TestAccess(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		t.Run("setup", func(t *testing.T) { setup(t, d) })
		for name, run := range map[string]func(*testing.T, *store.DB){
			"signIn": signIn, "expiry": expiry, "limits": limits, "rightsEnd": rightsEnd, "invitations": invitations,
			"managers": managers, "lastOwner": lastOwner, "patches": patches, "auditRows": auditRows, "sweep": sweep,
			"playerTokens": playerTokens, "playerMakers": playerMakers, "playerUse": playerUse,
		} {
			t.Run(name, func(t *testing.T) { run(t, d) })
		}
	})
}

func auditRows(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	e := access.Entry{Deed: access.DeedStill, Target: "cam-1", Site: h.a, Detail: strings.Repeat("ä", 2000)}
	if err := h.Record(ctx, h.boss, access.Entry{Deed: access.DeedLive, Target: "cam-1", Site: h.a}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := h.RecordOnce(ctx, h.boss, e, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	count := func(deed access.Deed) (n int) {
		rows, err := h.Audit(ctx, h.boss, "", 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Action == string(deed) {
				n++
				if r.Person != h.boss.Person || r.PersonName != "Olga" || r.IP != "192.0.2.7" || len([]rune(r.Detail)) > 512 {
					t.Errorf("row %+v", r)
				}
			}
		}
		return n
	}
	if count(access.DeedLive) != 1 || count(access.DeedStill) != 1 {
		t.Errorf("%d live rows, %d still rows; want one of each", count(access.DeedLive), count(access.DeedStill))
	}
	h.pass(2 * time.Minute)
	if err := h.RecordOnce(ctx, h.boss, e, time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := count(access.DeedStill); n != 2 {
		t.Errorf("%d still rows after the time, want 2", n)
	}
	_, _, _ = h.SignIn(ctx, h.boss.Email, "wrong password", "", "192.0.2.7")
	if n := count(access.DeedSignInFailed); n != 1 {
		t.Errorf("%d rows of failed sign-ins, want 1", n)
	}
	undo := errors.New("undo")
	want(t, "a change that fails", h.Change(ctx, h.boss, access.Entry{Deed: access.DeedSiteChanged}, func(store.Querier) error { return undo }), undo)
	if n := count(access.DeedSiteChanged); n != 0 {
		t.Errorf("%d rows of a change that failed, want none", n)
	}
	if text, err := h.Chain(ctx, h.boss); err != nil || text != "ok" {
		t.Errorf("Chain = %q, %v", text, err)
	}
	who := h.join(access.Manager, nil)
	_, err := h.Audit(ctx, who, "", 0, 10)
	want(t, "a manager reads the audit", err, access.ErrForbidden)
	_, err = h.Chain(ctx, who)
	want(t, "a manager reads the chain", err, access.ErrForbidden)
	if h.db.Postgres() {
		return // tampering is tested on both engines in store/audit
	}
	h.do(func(q store.Querier) error {
		_, err := q.ExecContext(ctx, `DROP TRIGGER audit_no_update`)
		_, err2 := q.ExecContext(ctx, `UPDATE audit SET detail = 'x' WHERE org = $1 AND seq = 2`, h.org)
		return errors.Join(err, err2)
	})
	h.pass(time.Second)
	if text, err := h.Chain(ctx, h.boss); err != nil || !strings.HasPrefix(text, "broken at row 2: ") {
		t.Errorf("Chain of a changed audit = %q, %v", text, err)
	}
}

func sweep(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	if _, _, err := h.AddPlayer(t.Context(), h.boss, access.PlayerWish{Name: "Wall", Site: h.a, Days: 1}); err != nil {
		t.Fatal(err)
	}
	h.pass(32 * 24 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	deadline := time.After(10 * time.Second)
	for n := 1; n > 0; {
		if err := d.Read().QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM portal_session WHERE org = $1) + (SELECT count(*) FROM player WHERE org = $1)`,
			h.org).Scan(&n); err != nil {
			t.Fatal(err)
		}
		select {
		case <-deadline:
			t.Fatal("the expired session and player are not swept")
		default:
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestConfigReportsEveryFault(t *testing.T) {
	err := access.Config{FailAfter: -1}.Validate()
	for _, word := range []string{"idle", "lifetime", "invite_for", "reset_for", "argon", "limits", "verify_every", "fail_after", "clock"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("Validate = %v, want %q named", err, word)
		}
	}
	if err := access.Defaults().Validate(); err != nil {
		t.Fatal(err)
	}
}

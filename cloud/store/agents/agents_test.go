package agents_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"sync"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/testenv/db"
)

const hour = int64(3_600_000_000)

type site struct {
	org  id.Org
	site id.Site
}

func newSite(t *testing.T, d *store.DB) site {
	t.Helper()
	s := site{id.New[id.Org](), id.New[id.Site]()}
	err := d.Tx(t.Context(), func(q store.Querier) error {
		_, err := q.ExecContext(t.Context(), `INSERT INTO org (id, name, created_us) VALUES ($1, 'Acme', 1)`, s.org)
		if err != nil {
			return err
		}
		_, err = q.ExecContext(t.Context(),
			`INSERT INTO site (id, org, name, timezone, created_us) VALUES ($1, $2, 'North', 'Europe/Berlin', 1)`, s.site, s.org)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s site) scope() store.Scope { return store.Org(s.org) }

func (s site) putCode(t *testing.T, d *store.DB, lookup string) agents.Code {
	t.Helper()
	c := agents.Code{
		ID: id.New[id.Code](), Org: s.org, Site: s.site, Lookup: lookup, Key: make([]byte, 32),
		By: id.New[id.Person](), CreatedUs: 10, ExpiresUs: 10 + hour,
	}
	if err := agents.PutCode(t.Context(), d, s.scope(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

func newAgent(t *testing.T) agents.Agent {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return agents.Agent{
		Ref: agents.Ref{Agent: id.New[id.Agent]()}, Key: pub, SealKey: make([]byte, 32), EvidenceKey: pub,
		Host: "box", OS: "linux/amd64",
	}
}

func TestCode(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		s, other := newSite(t, d), newSite(t, d)
		c := s.putCode(t, d, "ABCD")
		dup := c
		dup.ID = id.New[id.Code]()
		if err := agents.PutCode(t.Context(), d, s.scope(), dup); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("a second code with the same lookup: %v", err)
		}
		dup.Lookup = "EFGH"
		if err := agents.PutCode(t.Context(), d, other.scope(), dup); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a code for a site of another tenant: %v", err)
		}
		got, err := agents.FindCode(t.Context(), d, store.System(store.UseEnrol), "ABCD")
		if err != nil || got.ID != c.ID || got.Org != s.org || got.Site != s.site || got.By != c.By {
			t.Fatalf("FindCode = %+v, %v", got, err)
		}
		if _, err := agents.GetCode(t.Context(), d, other.scope(), c.ID); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("another tenant reads the code: %v", err)
		}
		if got.State(10) != agents.Waiting || got.State(10+hour) != agents.Expired {
			t.Fatalf("states %q and %q", got.State(10), got.State(10+hour))
		}
		if n, err := agents.SweepCodes(t.Context(), d, store.System(store.UseSweep), 11+hour); err != nil || n != 1 {
			t.Fatalf("SweepCodes = %d, %v", n, err)
		}
	})
}

func TestRedeem(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		s, ctx := newSite(t, d), t.Context()
		c, a := s.putCode(t, d, "ABCD"), newAgent(t)
		if _, err := agents.Redeem(ctx, d, s.scope(), c.ID, a, 11+hour); !errors.Is(err, agents.ErrExpired) {
			t.Fatalf("expired code: %v", err)
		}
		first, err := agents.Redeem(ctx, d, s.scope(), c.ID, a, 20)
		if err != nil || first.Again || first.Replaced != "" || first.Agent.Site != s.site {
			t.Fatalf("Redeem = %+v, %v", first, err)
		}
		twin := a
		twin.Agent = id.New[id.Agent]()
		second, err := agents.Redeem(ctx, d, s.scope(), c.ID, twin, 30+hour)
		if err != nil || !second.Again || second.Agent.Agent != a.Agent {
			t.Fatalf("the same code with the same key = %+v, %v; want agent %s again", second, err, a.Agent)
		}
		if _, err := agents.Redeem(ctx, d, s.scope(), c.ID, newAgent(t), 30); !errors.Is(err, agents.ErrUsed) {
			t.Fatalf("used code with another key: %v", err)
		}
		if _, err := agents.Redeem(ctx, d, s.scope(), id.New[id.Code](), a, 30); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("unknown code: %v", err)
		}
		next := newAgent(t)
		third, err := agents.Redeem(ctx, d, s.scope(), s.putCode(t, d, "EFGH").ID, next, 40)
		if err != nil || third.Replaced != a.Agent {
			t.Fatalf("a new code = %+v, %v; want %s replaced", third, err, a.Agent)
		}
		if _, err := agents.Redeem(ctx, d, s.scope(), c.ID, a, 50); !errors.Is(err, agents.ErrUsed) {
			t.Fatalf("a replaced agent got its identity again: %v", err)
		}
		checkSite(t, d, s, a.Agent, next.Agent)
	})
}

// checkSite checks that now is the site's agent and that old was replaced.
func checkSite(t *testing.T, d *store.DB, s site, old, now id.Agent) {
	t.Helper()
	got, err := agents.OfSite(t.Context(), d, s.scope(), s.site)
	if err != nil || got.Agent != now {
		t.Fatalf("OfSite = %s, %v; want %s", got.Agent, err, now)
	}
	was, err := agents.Get(t.Context(), d, s.scope(), old)
	if err != nil || was.RevokedUs != 40 || was.RevokedWhy != agents.Replaced {
		t.Fatalf("the replaced agent = %+v, %v", was, err)
	}
	list, err := agents.List(t.Context(), d, s.scope())
	if err != nil || len(list) != 1 || list[0].Agent != now {
		t.Fatalf("List = %+v, %v", list, err)
	}
}

func TestRedeemRace(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		s := newSite(t, d)
		one, two := s.putCode(t, d, "ABCD"), s.putCode(t, d, "EFGH")
		var wg sync.WaitGroup
		results := make([]error, 12)
		for i := range results {
			code, a := one.ID, newAgent(t)
			if i%2 == 1 {
				code = two.ID
			}
			wg.Go(func() {
				_, results[i] = agents.Redeem(context.WithoutCancel(t.Context()), d, s.scope(), code, a, 20)
			})
		}
		wg.Wait()
		won := 0
		for _, err := range results {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, agents.ErrUsed):
				t.Errorf("a loser got %v", err)
			}
		}
		if won != 2 {
			t.Fatalf("%d identities from two codes", won)
		}
		if list, err := agents.List(t.Context(), d, s.scope()); err != nil || len(list) != 1 {
			t.Fatalf("the site has %d agents, %v", len(list), err)
		}
	})
}

func TestRevoke(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		s, other, ctx := newSite(t, d), newSite(t, d), t.Context()
		a := newAgent(t)
		if _, err := agents.Redeem(ctx, d, s.scope(), s.putCode(t, d, "ABCD").ID, a, 20); err != nil {
			t.Fatal(err)
		}
		if err := agents.Revoke(ctx, d, other.scope(), a.Agent, 30); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("another tenant revokes: %v", err)
		}
		for range 2 {
			if err := agents.Revoke(ctx, d, s.scope(), a.Agent, 30); err != nil {
				t.Fatal(err)
			}
		}
		got, err := agents.Get(ctx, d, store.System(store.UseAgent), a.Agent)
		if err != nil || got.RevokedUs != 30 || got.RevokedWhy != agents.ByPerson {
			t.Fatalf("Get = %+v, %v", got, err)
		}
		if _, err := agents.OfSite(ctx, d, s.scope(), s.site); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("the site still has an agent: %v", err)
		}
	})
}

func TestSession(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		s, ctx := newSite(t, d), t.Context()
		a := newAgent(t)
		if _, err := agents.Redeem(ctx, d, s.scope(), s.putCode(t, d, "ABCD").ID, a, 20); err != nil {
			t.Fatal(err)
		}
		open := func(replica string, atUs int64) (id.Session, error) {
			ses := id.New[id.Session]()
			return ses, agents.OpenSession(ctx, d, s.scope(), agents.Session{
				Agent: a.Agent, Org: s.org, Session: ses, Replica: replica, OpenedUs: atUs, LeaseUs: atUs + 60,
			})
		}
		first, err := open("a", 100)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open("b", 150); !errors.Is(err, agents.ErrHeld) {
			t.Fatalf("a second replica took a held session: %v", err)
		}
		if err := agents.RenewLeases(ctx, d, store.System(store.UseAgent), "a", 200); err != nil {
			t.Fatal(err)
		}
		if _, err := open("b", 180); !errors.Is(err, agents.ErrHeld) {
			t.Fatalf("a second replica took a renewed session: %v", err)
		}
		second, err := open("b", 300)
		if err != nil {
			t.Fatalf("a session whose lease has ended: %v", err)
		}
		// The first session's late close must not remove the second's row.
		if err := agents.CloseSession(ctx, d, s.scope(), a.Agent, first, 310); err != nil {
			t.Fatal(err)
		}
		got, err := agents.GetSession(ctx, d, s.scope(), a.Agent, 320)
		if err != nil || got.Session != second || got.Replica != "b" {
			t.Fatalf("GetSession = %+v, %v", got, err)
		}
		if err := agents.DropReplica(ctx, d, store.System(store.UseAgent), "b", 60); err != nil {
			t.Fatal(err)
		}
		if _, err := agents.GetSession(ctx, d, s.scope(), a.Agent, 320); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a dropped session is there: %v", err)
		}
		if seen, err := agents.Get(ctx, d, s.scope(), a.Agent); err != nil || seen.LastSeenUs != 300 {
			t.Fatalf("last seen %d, %v; want 300", seen.LastSeenUs, err)
		}
	})
}

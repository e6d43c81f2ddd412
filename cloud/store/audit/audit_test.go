package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/audit"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/testenv/db"
)

func TestConformance(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		for name, run := range map[string]func(*testing.T, *store.DB){
			"chain": chain, "together": together, "appendOnly": appendOnly, "tenants": tenants,
		} {
			t.Run(name, func(t *testing.T) { run(t, d) })
		}
		t.Run("broken", func(t *testing.T) { broken(t, d) }) // last: it takes the triggers away
	})
}

func do(t *testing.T, d *store.DB, fn func(q store.Querier) error) {
	t.Helper()
	if err := d.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func addOrg(t *testing.T, d *store.DB) id.Org {
	t.Helper()
	org := id.New[id.Org]()
	do(t, d, func(q store.Querier) error { return orgs.Add(t.Context(), q, orgs.Org{ID: org, Name: "Bakery"}) })
	return org
}

func write(t *testing.T, d *store.DB, org id.Org, n int) {
	t.Helper()
	for i := range n {
		do(t, d, func(q store.Querier) error {
			_, err := audit.Append(t.Context(), q, audit.Row{
				Org: org, AtUs: int64(i), Person: id.Person(fmt.Sprint("per-", i%2)), PersonName: "Ana", Action: "live_viewed", Target: "cam",
				Detail: "Counter; 'quoted'\nINFO fake=line", IP: "192.0.2.1",
			})
			return err
		})
	}
}

func verify(t *testing.T, d *store.DB, org id.Org) error {
	t.Helper()
	return audit.Verify(t.Context(), d.Read(), store.Org(org), org)
}

func chain(t *testing.T, d *store.DB) {
	org := addOrg(t, d)
	if err := verify(t, d, org); err != nil {
		t.Fatalf("an empty chain: %v", err)
	}
	write(t, d, org, 5)
	if err := verify(t, d, org); err != nil {
		t.Fatal(err)
	}
	list, err := audit.List(t.Context(), d.Read(), store.Org(org), "", 0, 2)
	if err != nil || len(list) != 2 || list[0].Seq != 5 || list[1].Seq != 4 || list[0].IP != "192.0.2.1" {
		t.Fatalf("List = %+v, %v", list, err)
	}
	list, err = audit.List(t.Context(), d.Read(), store.Org(org), "per-0", 5, 10)
	if err != nil || len(list) != 2 || list[0].Seq != 3 {
		t.Fatalf("List of a person before 5 = %+v, %v", list, err)
	}
	if seq, hash, err := audit.Head(t.Context(), d.Read(), store.Org(org), org); err != nil || seq != 5 || len(hash) != 32 {
		t.Fatalf("Head = %d, %x, %v", seq, hash, err)
	}
	failed := errors.New("undo")
	err = d.Tx(t.Context(), func(q store.Querier) error {
		_, err := audit.Append(t.Context(), q, audit.Row{Org: org})
		return errors.Join(err, failed)
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	write(t, d, org, 1)
	if err := verify(t, d, org); err != nil {
		t.Fatalf("after a transaction that failed: %v", err)
	}
}

func together(t *testing.T, d *store.DB) {
	org := addOrg(t, d)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() { write(t, d, org, 5) })
	}
	wg.Wait()
	if err := verify(t, d, org); err != nil {
		t.Fatal(err)
	}
	if seq, _, err := audit.Head(t.Context(), d.Read(), store.Org(org), org); err != nil || seq != 30 {
		t.Fatalf("Head = %d, %v; want 30", seq, err)
	}
}

func appendOnly(t *testing.T, d *store.DB) {
	org := addOrg(t, d)
	write(t, d, org, 2)
	for _, sql := range []string{`UPDATE audit SET detail = 'x' WHERE org = $1`, `DELETE FROM audit WHERE org = $1`} {
		err := d.Tx(t.Context(), func(q store.Querier) error {
			_, err := q.ExecContext(t.Context(), sql, org)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v, want a refusal", sql, err)
		}
	}
}

func tenants(t *testing.T, d *store.DB) {
	org, other := addOrg(t, d), addOrg(t, d)
	write(t, d, org, 3)
	for what, s := range map[string]store.Scope{"another tenant": store.Org(other), "no scope": {}} {
		list, err := audit.List(t.Context(), d.Read(), s, "", 0, 10)
		seq, _, err2 := audit.Head(t.Context(), d.Read(), s, org)
		if err := errors.Join(err, err2); err != nil || len(list) != 0 || seq != 0 {
			t.Errorf("%s reads %v, head %d, %v", what, list, seq, err)
		}
	}
}

// broken changes rows behind the program's back, each way in a chain of its own.
func broken(t *testing.T, d *store.DB) {
	drop := []string{`DROP TRIGGER audit_no_update`, `DROP TRIGGER audit_no_delete`}
	if d.Postgres() {
		drop = []string{`DROP TRIGGER audit_no_change ON audit`}
	}
	exec := func(sql string, args ...any) {
		t.Helper()
		do(t, d, func(q store.Querier) error {
			_, err := q.ExecContext(t.Context(), sql, args...)
			return err
		})
	}
	for _, sql := range drop {
		exec(sql)
	}
	for _, tc := range []struct {
		name, sql string
		seq       int64
	}{
		{"edited", `UPDATE audit SET detail = 'nothing' WHERE org = $1 AND seq = 3`, 3},
		{"other address", `UPDATE audit SET ip = '' WHERE org = $1 AND seq = 1`, 1},
		{"removed", `DELETE FROM audit WHERE org = $1 AND seq = 3`, 3},
		{"first removed", `DELETE FROM audit WHERE org = $1 AND seq = 1`, 1},
		{"end removed", `DELETE FROM audit WHERE org = $1 AND seq >= 4`, 4},
		{"all removed", `DELETE FROM audit WHERE org = $1`, 1},
		{"moved", `UPDATE audit SET seq = 60 WHERE org = $1 AND seq = 5`, 5},
		{"rehashed", `UPDATE audit SET hash = prev WHERE org = $1 AND seq = 2`, 2},
		{"head removed", `DELETE FROM audit_head WHERE org = $1`, 5},
	} {
		org := addOrg(t, d)
		write(t, d, org, 5)
		exec(tc.sql, org)
		err := verify(t, d, org)
		var b *audit.BrokenError
		if !errors.As(err, &b) || b.Seq != tc.seq {
			t.Errorf("%s: Verify = %v, want row %d named", tc.name, err, tc.seq)
		}
	}
}

package people_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
	"holdfast/shared/id"
	"holdfast/testenv/db"
)

func TestConformance(t *testing.T) {
	cases := map[string]func(*testing.T, *store.DB){
		"persons": persons, "scopes": scopes, "lists": lists, "sessions": sessions, "links": links, "failures": failures,
		"tenants": tenants, "sweep": sweep,
	}
	db.Each(t, func(t *testing.T, d *store.DB) {
		for name, run := range cases {
			t.Run(name, func(t *testing.T) { run(t, d) })
		}
	})
}

func do(t *testing.T, d *store.DB, fn func(q store.Querier) error) {
	t.Helper()
	if err := d.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func addOrg(t *testing.T, d *store.DB) (id.Org, store.Scope) {
	t.Helper()
	org := id.New[id.Org]()
	do(t, d, func(q store.Querier) error { return orgs.Add(t.Context(), q, orgs.Org{ID: org, Name: "Bakery"}) })
	return org, store.Org(org)
}

func addSite(t *testing.T, d *store.DB, org id.Org) id.Site {
	t.Helper()
	site := id.New[id.Site]()
	do(t, d, func(q store.Querier) error {
		return orgs.AddSite(t.Context(), q, orgs.Site{ID: site, Org: org, Name: string(site), Timezone: "UTC"})
	})
	return site
}

func newPerson(org id.Org, role string, sites []id.Site) people.Person {
	p := id.New[id.Person]()
	return people.Person{ID: p, Org: org, Email: string(p) + "@example.com", Name: "Ana", Role: role, Sites: sites, Password: "$x", CreatedUs: 3}
}

func add(t *testing.T, d *store.DB, p people.Person) people.Person {
	t.Helper()
	do(t, d, func(q store.Querier) error { return people.Add(t.Context(), q, p) })
	return p
}

func equal(a, b people.Person) bool {
	slices.Sort(a.Sites)
	slices.Sort(b.Sites)
	return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
}

func persons(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	site := addSite(t, d, org)
	for _, limit := range [][]id.Site{nil, {}, {site}} {
		p := add(t, d, newPerson(org, "viewer", limit))
		got, err := people.Get(t.Context(), d.Read(), scope, p.ID)
		if err != nil || !equal(got, p) {
			t.Fatalf("Get = %#v, %v; want %#v", got, err, p)
		}
		got, err = people.ByEmail(t.Context(), d.Read(), store.System(store.UseSignIn), p.Email)
		if err != nil || !equal(got, p) {
			t.Fatalf("ByEmail = %#v, %v", got, err)
		}
	}
	p := add(t, d, newPerson(org, "owner", nil))
	twin := newPerson(org, "viewer", nil)
	twin.Email = p.Email
	if err := d.Tx(t.Context(), func(q store.Querier) error { return people.Add(t.Context(), q, twin) }); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("the same address twice: %v, want ErrConflict", err)
	}
	if n, err := people.CountRole(t.Context(), d.Read(), scope, "owner"); err != nil || n != 1 {
		t.Fatalf("CountRole = %d, %v", n, err)
	}
	swap := func(was, now string) error {
		return d.Tx(t.Context(), func(q store.Querier) error { return people.SwapPassword(t.Context(), q, scope, p.ID, was, now) })
	}
	if err := errors.Join(swap("$x", "$y")); err != nil {
		t.Fatal(err)
	}
	if err := swap("$x", "$z"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("swapping a password that changed: %v, want ErrNotFound", err)
	}
	do(t, d, func(q store.Querier) error { return people.Remove(t.Context(), q, scope, p.ID, 8) })
	if _, err := people.ByEmail(t.Context(), d.Read(), scope, p.Email); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a removed person: %v", err)
	}
	add(t, d, twin)
}

func scopes(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	stranger, _ := addOrg(t, d)
	own, foreign := addSite(t, d, org), addSite(t, d, stranger)
	p := newPerson(org, "viewer", []id.Site{own, foreign})
	if err := d.Tx(t.Context(), func(q store.Querier) error { return people.Add(t.Context(), q, p) }); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a person with another tenant's site: %v, want ErrNotFound", err)
	}
	p.Sites = []id.Site{own}
	add(t, d, p)
	p.Sites, p.Role, p.Name = nil, "manager", "Ana María"
	do(t, d, func(q store.Querier) error { return people.Update(t.Context(), q, scope, p) })
	if got, err := people.Get(t.Context(), d.Read(), scope, p.ID); err != nil || !equal(got, p) {
		t.Fatalf("after Update: %#v, %v", got, err)
	}
	p.Sites = []id.Site{own}
	do(t, d, func(q store.Querier) error { return people.Update(t.Context(), q, scope, p) })
	do(t, d, func(q store.Querier) error { return orgs.RemoveSite(t.Context(), q, scope, own, 4) })
	if got, err := people.Get(t.Context(), d.Read(), scope, p.ID); err != nil || got.Sites == nil || len(got.Sites) != 0 {
		t.Fatalf("a person whose only site was removed sees %#v, %v; want no site, not every site", got.Sites, err)
	}
}

func lists(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	a, b := addSite(t, d, org), addSite(t, d, org)
	inA := add(t, d, newPerson(org, "viewer", []id.Site{a}))
	add(t, d, newPerson(org, "viewer", []id.Site{a, b}))
	add(t, d, newPerson(org, "viewer", nil))
	add(t, d, newPerson(org, "viewer", []id.Site{}))
	add(t, d, newPerson(org, "owner", nil))
	for _, tc := range []struct {
		f    people.Filter
		want int
	}{
		{people.Filter{}, 5},
		{people.Filter{Role: "viewer"}, 4},
		{people.Filter{Role: "viewer", Within: []id.Site{a}}, 1},
		{people.Filter{Role: "viewer", Within: []id.Site{a, b}}, 2},
		{people.Filter{Within: []id.Site{}}, 0},
	} {
		list, next, err := people.List(t.Context(), d.Read(), scope, tc.f, orgs.Page{Limit: 10})
		if err != nil || len(list) != tc.want || next != "" {
			t.Errorf("List(%v) = %d people, next %q, %v; want %d", tc.f, len(list), next, err, tc.want)
		}
		if tc.want == 1 && list[0].ID != inA.ID {
			t.Errorf("List(%v) = %v", tc.f, list)
		}
	}
	list, next, err := people.List(t.Context(), d.Read(), scope, people.Filter{}, orgs.Page{Limit: 3})
	if err != nil || len(list) != 3 || next == "" {
		t.Fatalf("first page: %d, %q, %v", len(list), next, err)
	}
	list, next, err = people.List(t.Context(), d.Read(), scope, people.Filter{}, orgs.Page{Limit: 3, After: next})
	if err != nil || len(list) != 2 || next != "" {
		t.Fatalf("second page: %d, %q, %v", len(list), next, err)
	}
}

func sessions(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	p := add(t, d, newPerson(org, "viewer", nil))
	tokens := store.System(store.UseToken)
	start := func(sum string, seen int64) people.Session {
		s := people.Session{TokenHash: []byte(sum), ID: id.New[id.Session](), Org: org, Person: p.ID, CreatedUs: 100, SeenUs: seen, ExpiresUs: 1000, IP: "::1"}
		do(t, d, func(q store.Querier) error { return people.AddSession(t.Context(), q, s) })
		return s
	}
	s := start(string(org)+"1", 100)
	get := func(now, idle int64) error {
		_, err := people.BySession(t.Context(), d.Read(), tokens, s.TokenHash, now, idle)
		return err
	}
	in, err := people.BySession(t.Context(), d.Read(), tokens, s.TokenHash, 500, 50)
	if err != nil || !equal(in.Person, p) || in.Session.ID != s.ID || in.OrgName != "Bakery" || in.Session.IP != "::1" {
		t.Fatalf("BySession = %+v, %v", in, err)
	}
	if err := get(1000, 50); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("an expired session: %v", err)
	}
	if err := get(500, 100); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("an idle session: %v", err)
	}
	do(t, d, func(q store.Querier) error { return people.Touch(t.Context(), q, scope, s.TokenHash, p.ID, 400) })
	if err := get(500, 100); err != nil {
		t.Fatalf("a touched session: %v", err)
	}
	second := start(string(org)+"2", 100)
	do(t, d, func(q store.Querier) error { return people.EndSession(t.Context(), q, scope, second.TokenHash) })
	if err := get(500, 50); err != nil {
		t.Fatalf("the first session after the end of the second: %v", err)
	}
	do(t, d, func(q store.Querier) error { return people.EndSessions(t.Context(), q, scope, p.ID) })
	if err := get(500, 50); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("an ended session: %v", err)
	}
	third := start(string(org)+"3", 100)
	do(t, d, func(q store.Querier) error { return people.Remove(t.Context(), q, scope, p.ID, 7) })
	if _, err := people.BySession(t.Context(), d.Read(), tokens, third.TokenHash, 500, 50); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the session of a removed person: %v", err)
	}
	if err := d.Tx(t.Context(), func(q store.Querier) error { return people.Seen(t.Context(), q, scope, p.ID, 9) }); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Seen of a removed person: %v", err)
	}
}

func links(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	p := add(t, d, newPerson(org, "viewer", nil))
	link := func(sum string) people.Link {
		l := people.Link{TokenHash: []byte(string(org) + sum), Org: org, Person: p.ID, Purpose: people.Reset, MadeBy: p.ID, CreatedUs: 1, ExpiresUs: 100}
		do(t, d, func(q store.Querier) error { return people.AddLink(t.Context(), q, l) })
		return l
	}
	old, l := link("1"), link("2")
	if _, err := people.GetLink(t.Context(), d.Read(), scope, old.TokenHash); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a replaced link: %v, want ErrNotFound", err)
	}
	use := func(now int64) error {
		return d.Tx(t.Context(), func(q store.Querier) error { return people.UseLink(t.Context(), q, scope, l.TokenHash, now) })
	}
	if err := use(100); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("using an expired link: %v", err)
	}
	if err := use(50); err != nil {
		t.Fatal(err)
	}
	if err := use(51); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("using a link twice: %v", err)
	}
	got, err := people.GetLink(t.Context(), d.Read(), scope, l.TokenHash)
	if err != nil || got.UsedUs != 50 || got.Purpose != people.Reset || got.Person != p.ID || got.ExpiresUs != 100 {
		t.Fatalf("GetLink = %+v, %v", got, err)
	}
}

func failures(t *testing.T, d *store.DB) {
	key := string(id.New[id.Org]())
	count := func(now int64) (n int, until int64) {
		do(t, d, func(q store.Querier) (err error) {
			n, until, err = people.CountFailure(t.Context(), q, key, now, now+100)
			return err
		})
		return n, until
	}
	for want := 1; want <= 3; want++ {
		if n, until := count(10); n != want || until != 110 {
			t.Fatalf("count %d = %d until %d", want, n, until)
		}
	}
	if n, until := count(110); n != 1 || until != 210 {
		t.Fatalf("after its time the counter = %d until %d, want 1 until 210", n, until)
	}
	do(t, d, func(q store.Querier) error { return people.ForgiveFailure(t.Context(), q, key, false) })
	if n, _ := count(111); n != 1 {
		t.Fatalf("after one was forgiven: %d, want 1", n)
	}
	count(112)
	do(t, d, func(q store.Querier) error { return people.ForgiveFailure(t.Context(), q, key, true) })
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[int]int{}
	for range 8 {
		wg.Go(func() {
			n, _ := count(113)
			mu.Lock()
			defer mu.Unlock()
			got[n]++
		})
	}
	wg.Wait()
	if len(got) != 8 {
		t.Fatalf("eight at once counted %v, want each number once", got)
	}
}

func tenants(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	_, foreign := addOrg(t, d)
	p := add(t, d, newPerson(org, "viewer", nil))
	ctx := t.Context()
	sum := []byte(string(org))
	do(t, d, func(q store.Querier) error {
		return errors.Join(
			people.AddSession(ctx, q, people.Session{TokenHash: sum, ID: id.New[id.Session](), Org: org, Person: p.ID, SeenUs: 100, ExpiresUs: 1000}),
			people.AddLink(ctx, q, people.Link{TokenHash: sum, Org: org, Person: p.ID, Purpose: people.Invite, MadeBy: p.ID, ExpiresUs: 1000}))
	})
	for what, s := range map[string]store.Scope{"another tenant": foreign, "no scope": {}} {
		errs := map[string]error{}
		do(t, d, func(q store.Querier) error {
			_, errs["get"] = people.Get(ctx, q, s, p.ID)
			_, errs["by e-mail"] = people.ByEmail(ctx, q, s, p.Email)
			_, errs["by session"] = people.BySession(ctx, q, s, sum, 1, 1)
			_, errs["link"] = people.GetLink(ctx, q, s, sum)
			errs["use link"] = people.UseLink(ctx, q, s, sum, 1)
			errs["update"] = people.Update(ctx, q, s, p)
			errs["password"] = people.SetPassword(ctx, q, s, p.ID, "$mine")
			errs["swap password"] = people.SwapPassword(ctx, q, s, p.ID, p.Password, "$mine")
			errs["remove"] = people.Remove(ctx, q, s, p.ID, 1)
			errs["seen"] = people.Seen(ctx, q, s, p.ID, 1)
			return errors.Join(people.EndSession(ctx, q, s, sum), people.EndSessions(ctx, q, s, p.ID), people.DropLinks(ctx, q, s, p.ID))
		})
		for name, err := range errs {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s, %s: %v, want ErrNotFound", what, name, err)
			}
		}
		list, _, err := people.List(ctx, d.Read(), s, people.Filter{}, orgs.Page{Limit: 5})
		n, err2 := people.CountRole(ctx, d.Read(), s, "viewer")
		if err := errors.Join(err, err2); err != nil || len(list) != 0 || n != 0 {
			t.Errorf("%s lists %v and counts %d, %v", what, list, n, err)
		}
	}
	if _, err := people.BySession(ctx, d.Read(), scope, sum, 1, 1); err != nil {
		t.Fatalf("the session after foreign hands: %v", err)
	}
	if _, err := people.GetLink(ctx, d.Read(), scope, sum); err != nil {
		t.Fatalf("the link after foreign hands: %v", err)
	}
}

func sweep(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	p := add(t, d, newPerson(org, "viewer", nil))
	ctx := t.Context()
	old, fresh := []byte(string(org)+"old"), []byte(string(org)+"new")
	for sum, expires := range map[string]int64{string(old): 1 << 40, string(fresh): 1 << 50} {
		do(t, d, func(q store.Querier) error {
			return people.AddSession(ctx, q, people.Session{TokenHash: []byte(sum), ID: id.New[id.Session](), Org: org, Person: p.ID, SeenUs: 1 << 49, ExpiresUs: expires})
		})
	}
	do(t, d, func(q store.Querier) error {
		return people.AddLink(ctx, q, people.Link{TokenHash: old, Org: org, Person: p.ID, Purpose: people.Invite, MadeBy: p.ID, ExpiresUs: 50})
	})
	do(t, d, func(q store.Querier) error {
		_, _, err := people.CountFailure(ctx, q, string(org), 1, 2)
		return err
	})
	do(t, d, func(q store.Querier) error {
		return people.Sweep(ctx, q, store.System(store.UseSweep), 1<<41, 1<<40, 60)
	})
	if _, err := people.BySession(ctx, d.Read(), scope, old, 0, 0); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("an expired session after the sweep: %v", err)
	}
	if _, err := people.BySession(ctx, d.Read(), scope, fresh, 0, 0); err != nil {
		t.Fatalf("a session in use after the sweep: %v", err)
	}
	if _, err := people.GetLink(ctx, d.Read(), scope, old); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("an expired link after the sweep: %v", err)
	}
	var n int
	if err := d.Read().QueryRowContext(ctx, `SELECT count(*) FROM login_failure WHERE key = $1`, string(org)).Scan(&n); err != nil || n != 0 {
		t.Fatalf("%d old counters after the sweep, %v", n, err)
	}
}

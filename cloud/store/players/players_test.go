package players_test

import (
	"errors"
	"reflect"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
	"holdfast/cloud/store/players"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

func TestConformance(t *testing.T) {
	cases := map[string]func(*testing.T, *store.DB){
		"life": life, "list": list, "astray": astray, "limit": limit, "sweep": sweep, "tenants": tenants,
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

// office is an organisation with two sites, a camera at the first, and somebody who makes players.
type office struct {
	org         id.Org
	scope       store.Scope
	site, other id.Site
	camera      id.Camera
	ana         id.Person
}

func newOffice(t *testing.T, d *store.DB) office {
	t.Helper()
	o := office{org: id.New[id.Org](), site: id.New[id.Site](), other: id.New[id.Site](), camera: id.New[id.Camera](), ana: id.New[id.Person]()}
	o.scope = store.Org(o.org)
	ctx := t.Context()
	do(t, d, func(q store.Querier) error {
		err := errors.Join(orgs.Add(ctx, q, orgs.Org{ID: o.org, Name: "Bakery"}),
			orgs.AddSite(ctx, q, orgs.Site{ID: o.site, Org: o.org, Name: "Harbour", Timezone: "UTC"}),
			orgs.AddSite(ctx, q, orgs.Site{ID: o.other, Org: o.org, Name: "Mill", Timezone: "UTC"}),
			people.Add(ctx, q, people.Person{ID: o.ana, Org: o.org, Email: string(o.ana) + "@example.com", Name: "Ana", Role: "owner"}))
		_, seen := orgs.SeenCameras(ctx, q, o.org, o.site, []wire.CameraState{{Camera: o.camera, Name: "Till"}}, 1)
		return errors.Join(err, seen)
	})
	return o
}

// player is one that serves from 100 to 1000.
func (o office) player(camera id.Camera) players.Player {
	p := players.Player{
		ID: id.New[id.Player](), Org: o.org, Site: o.site, Camera: camera, Name: "Control room", MadeBy: o.ana, CreatedUs: 100, ExpiresUs: 1000,
	}
	p.TokenHash = []byte("sum of " + p.ID)
	return p
}

func (o office) add(t *testing.T, d *store.DB, p players.Player) players.Player {
	t.Helper()
	do(t, d, func(q store.Querier) error { return players.Add(t.Context(), q, o.scope, p) })
	return p
}

func (o office) get(t *testing.T, d *store.DB, p players.Player) players.Player {
	t.Helper()
	got, err := players.Get(t.Context(), d.Read(), o.scope, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// life walks a player through its own: made, found by its token, used, revoked.
func life(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	want := o.add(t, d, o.player(o.camera))
	want.CameraName, want.MadeByName = "Till", "Ana"
	got, err := players.ByToken(t.Context(), d.Read(), store.System(store.UseToken), want.TokenHash)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("by its token: %+v, %v; want %+v", got, err, want)
	}
	if _, err := players.ByToken(t.Context(), d.Read(), store.System(store.UseToken), []byte("another")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another token: %v, want ErrNotFound", err)
	}
	do(t, d, func(q store.Querier) error { return players.Touch(t.Context(), q, o.scope, want.ID, 300) })
	do(t, d, func(q store.Querier) error { return players.Revoke(t.Context(), q, o.scope, want.ID, 400) })
	want.UsedUs, want.RevokedUs = 300, 400
	if got := o.get(t, d, want); !reflect.DeepEqual(got, want) {
		t.Errorf("after it was used and revoked: %+v, want %+v", got, want)
	}
	for what, change := range map[string]func(q store.Querier) error{
		"revoke": func(q store.Querier) error { return players.Revoke(t.Context(), q, o.scope, want.ID, 500) },
		"touch":  func(q store.Querier) error { return players.Touch(t.Context(), q, o.scope, want.ID, 500) },
	} {
		if err := d.Tx(t.Context(), change); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s a revoked one: %v, want ErrNotFound", what, err)
		}
	}
	twin := o.player("")
	twin.TokenHash = want.TokenHash
	if err := d.Tx(t.Context(), func(q store.Querier) error { return players.Add(t.Context(), q, o.scope, twin) }); err == nil {
		t.Error("two players have one token")
	}
}

func list(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	old, young := o.player(o.camera), o.player("")
	young.CreatedUs = 200
	o.add(t, d, old)
	o.add(t, d, young)
	elsewhere := o.player("")
	elsewhere.Site = o.other
	o.add(t, d, elsewhere)
	got, err := players.List(t.Context(), d.Read(), o.scope, o.site)
	if err != nil || len(got) != 2 || got[0].ID != young.ID || got[1].ID != old.ID || got[0].Camera != "" || got[0].CameraName != "" {
		t.Errorf("the list is %+v, %v", got, err)
	}
}

// astray removes and moves what players show.
func astray(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	ctx := t.Context()
	one, all := o.add(t, d, o.player(o.camera)), o.add(t, d, o.player(""))
	check := func(when string, wantOne, wantAll bool) {
		t.Helper()
		if a, b := o.get(t, d, one).Astray, o.get(t, d, all).Astray; a != wantOne || b != wantAll {
			t.Errorf("%s: that of the camera astray %t, that of the site %t; want %t, %t", when, a, b, wantOne, wantAll)
		}
	}
	check("at first", false, false)
	exec := func(query string, args ...any) {
		t.Helper()
		do(t, d, func(q store.Querier) error {
			_, err := q.ExecContext(ctx, query, args...)
			return err
		})
	}
	exec(`UPDATE camera SET site = $1 WHERE id = $2`, o.other, o.camera)
	check("after the camera moved", true, false)
	exec(`UPDATE camera SET site = $1 WHERE id = $2`, o.site, o.camera)
	do(t, d, func(q store.Querier) error {
		return errors.Join(orgs.Unreport(ctx, q, o.scope, o.site), orgs.RemoveCamera(ctx, q, o.scope, o.camera, 9))
	})
	check("after the camera was removed", true, false)
	do(t, d, func(q store.Querier) error { return orgs.RemoveSite(ctx, q, o.scope, o.site, 9) })
	check("after the site was removed", true, true)
	err := d.Tx(ctx, func(q store.Querier) error { return players.Add(ctx, q, o.scope, o.player("")) })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a player of a removed site: %v, want ErrNotFound", err)
	}
}

func limit(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	add := func(p players.Player) error {
		return d.Tx(t.Context(), func(q store.Querier) error { return players.Add(t.Context(), q, o.scope, p) })
	}
	var last players.Player
	for range players.MaxPerSite {
		last = o.player("")
		if err := add(last); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(o.player("")); !errors.Is(err, players.ErrMany) {
		t.Errorf("one more: %v, want ErrMany", err)
	}
	do(t, d, func(q store.Querier) error { return players.Revoke(t.Context(), q, o.scope, last.ID, 150) })
	if err := add(o.player("")); err != nil {
		t.Errorf("in the place of a revoked one: %v", err)
	}
	later := o.player("")
	later.CreatedUs, later.ExpiresUs = 2000, 3000
	if err := add(later); err != nil {
		t.Errorf("when all have expired: %v", err)
	}
}

func sweep(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	revoked, expired, serves := o.player(""), o.player(""), o.player("")
	serves.ExpiresUs = 1 << 60
	revoked.ExpiresUs = 1 << 60
	for _, p := range []players.Player{revoked, expired, serves} {
		o.add(t, d, p)
	}
	do(t, d, func(q store.Querier) error { return players.Revoke(t.Context(), q, o.scope, revoked.ID, 900) })
	left := func(before int64) int {
		do(t, d, func(q store.Querier) error {
			return players.Sweep(t.Context(), q, store.System(store.UseSweep), before)
		})
		got, err := players.List(t.Context(), d.Read(), o.scope, o.site)
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	for _, c := range []struct {
		before int64
		want   int
	}{{899, 3}, {900, 2}, {1000, 1}} {
		if n := left(c.before); n != c.want {
			t.Errorf("a sweep of what ended before %d leaves %d, want %d", c.before, n, c.want)
		}
	}
}

// tenants asks for every kind of row with the scope of another tenant, and with the zero scope.
func tenants(t *testing.T, d *store.DB) {
	o, other := newOffice(t, d), newOffice(t, d)
	p := o.add(t, d, o.player(o.camera))
	ctx := t.Context()
	for name, scope := range map[string]store.Scope{"another tenant": other.scope, "no scope": {}} {
		do(t, d, func(q store.Querier) error {
			list, err := players.List(ctx, q, scope, o.site)
			if err != nil || len(list) != 0 {
				t.Errorf("%s lists %+v, %v", name, list, err)
			}
			_, get := players.Get(ctx, q, scope, p.ID)
			_, byToken := players.ByToken(ctx, q, scope, p.TokenHash)
			for what, err := range map[string]error{
				"get": get, "by token": byToken, "revoke": players.Revoke(ctx, q, scope, p.ID, 1), "touch": players.Touch(ctx, q, scope, p.ID, 1),
				"add": players.Add(ctx, q, scope, o.player("")),
			} {
				if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s, %s: %v, want ErrNotFound", name, what, err)
				}
			}
			return players.Sweep(ctx, q, scope, 1<<62)
		})
	}
	// A player never shows another tenant's camera, whatever stands in the row.
	strange := o.add(t, d, o.player(other.camera))
	if got := o.get(t, d, strange); !got.Astray || got.CameraName != "" {
		t.Errorf("a player of another tenant's camera: %+v", got)
	}
	if got := o.get(t, d, p); got.RevokedUs != 0 || got.UsedUs != 0 || got.Astray {
		t.Errorf("the player after foreign hands: %+v", got)
	}
}

package walls_test

import (
	"errors"
	"slices"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
	"holdfast/cloud/store/walls"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

func TestConformance(t *testing.T) {
	cases := map[string]func(*testing.T, *store.DB){
		"life": life, "seen": seen, "tiles": tiles, "versions": versions, "limit": limit, "owner gone": ownerGone, "tenants": tenants,
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

// office is an organisation with a site of two cameras, and two people.
type office struct {
	org        id.Org
	scope      store.Scope
	site       id.Site
	a, b       id.Camera
	ana, boris id.Person
}

func newOffice(t *testing.T, d *store.DB) office {
	t.Helper()
	o := office{
		org: id.New[id.Org](), site: id.New[id.Site](), a: id.New[id.Camera](), b: id.New[id.Camera](),
		ana: id.New[id.Person](), boris: id.New[id.Person](),
	}
	o.scope = store.Org(o.org)
	ctx := t.Context()
	do(t, d, func(q store.Querier) error {
		err := errors.Join(orgs.Add(ctx, q, orgs.Org{ID: o.org, Name: "Bakery"}),
			orgs.AddSite(ctx, q, orgs.Site{ID: o.site, Org: o.org, Name: "Harbour", Timezone: "UTC"}))
		for p, name := range map[id.Person]string{o.ana: "Ana", o.boris: "Boris"} {
			err = errors.Join(err, people.Add(ctx, q, people.Person{ID: p, Org: o.org, Email: string(p) + "@example.com", Name: name, Role: "viewer"}))
		}
		_, seen := orgs.SeenCameras(ctx, q, o.org, o.site, []wire.CameraState{{Camera: o.a, Name: "Till"}, {Camera: o.b, Name: "Door"}}, 1)
		return errors.Join(err, seen)
	})
	return o
}

func (o office) wall(owner id.Person, name string, shared bool) walls.Wall {
	return walls.Wall{
		ID: id.New[id.Wall](), Org: o.org, Owner: owner, Name: name, Shared: shared, Layout: "2x2", CycleS: 20, CreatedUs: 5, ChangedUs: 6,
		Tiles: []walls.Tile{{Place: 0, Camera: o.a}, {Place: 2, Camera: o.b}},
	}
}

func (o office) add(t *testing.T, d *store.DB, w walls.Wall) walls.Wall {
	t.Helper()
	do(t, d, func(q store.Querier) error { return walls.Add(t.Context(), q, o.scope, w) })
	return w
}

func (o office) get(t *testing.T, d *store.DB, who id.Person, wall id.Wall) walls.Wall {
	t.Helper()
	w, err := walls.Get(t.Context(), d.Read(), o.scope, who, wall)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// life walks a wall through its own: made, read as it was made, changed, removed.
func life(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	w := o.add(t, d, o.wall(o.ana, "Doors", false))
	got := o.get(t, d, o.ana, w.ID)
	want := w
	want.Version, want.OwnerName = 1, "Ana"
	want.Tiles = []walls.Tile{
		{Place: 0, Camera: o.a, Site: o.site, SiteName: "Harbour", CameraName: "Till"},
		{Place: 2, Camera: o.b, Site: o.site, SiteName: "Harbour", CameraName: "Door"},
	}
	same := func(got walls.Wall) bool {
		tiles := slices.Equal(got.Tiles, want.Tiles)
		plain := got
		return tiles && plain.ID == want.ID && plain.Org == want.Org && plain.Owner == want.Owner && plain.OwnerName == want.OwnerName &&
			plain.Left == want.Left && plain.Name == want.Name && plain.Shared == want.Shared && plain.Layout == want.Layout &&
			plain.CycleS == want.CycleS && plain.Version == want.Version && plain.CreatedUs == want.CreatedUs && plain.ChangedUs == want.ChangedUs
	}
	if !same(got) {
		t.Fatalf("the wall is %+v, want %+v", got, want)
	}
	got.Name, got.Shared, got.Layout, got.CycleS, got.ChangedUs = "Tills", true, "1+5", 0, 9
	got.Tiles = []walls.Tile{{Place: 1, Camera: o.a}, {Place: 35, Camera: o.a}}
	do(t, d, func(q store.Querier) error { return walls.Update(t.Context(), q, o.scope, got) })
	want.Name, want.Shared, want.Layout, want.CycleS, want.ChangedUs, want.Version = "Tills", true, "1+5", 0, 9, 2
	till := want.Tiles[0]
	want.Tiles = []walls.Tile{till, till}
	want.Tiles[0].Place, want.Tiles[1].Place = 1, 35
	if got = o.get(t, d, o.ana, w.ID); !same(got) {
		t.Fatalf("the changed wall is %+v, want %+v", got, want)
	}
	do(t, d, func(q store.Querier) error { return walls.Remove(t.Context(), q, o.scope, w.ID) })
	if _, err := walls.Get(t.Context(), d.Read(), o.scope, o.ana, w.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the removed wall: %v, want ErrNotFound", err)
	}
	err := d.Tx(t.Context(), func(q store.Querier) error { return walls.Remove(t.Context(), q, o.scope, w.ID) })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removing it twice: %v, want ErrNotFound", err)
	}
}

// seen asks as the owner and as somebody else.
func seen(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	private, shared := o.add(t, d, o.wall(o.ana, "B mine", false)), o.add(t, d, o.wall(o.ana, "A ours", true))
	names := func(who id.Person) (list []string) {
		t.Helper()
		found, err := walls.List(t.Context(), d.Read(), o.scope, who)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range found {
			if len(w.Tiles) != 2 {
				t.Errorf("the wall %s has the tiles %+v", w.Name, w.Tiles)
			}
			list = append(list, w.Name)
		}
		return list
	}
	if got := names(o.ana); !slices.Equal(got, []string{"A ours", "B mine"}) {
		t.Errorf("the owner sees %q", got)
	}
	if got := names(o.boris); !slices.Equal(got, []string{"A ours"}) {
		t.Errorf("somebody else sees %q", got)
	}
	if _, err := walls.Get(t.Context(), d.Read(), o.scope, o.boris, private.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("somebody else's private wall: %v, want ErrNotFound", err)
	}
	if got := o.get(t, d, o.boris, shared.ID); got.OwnerName != "Ana" {
		t.Errorf("the shared wall is %q's", got.OwnerName)
	}
}

// tiles removes a camera, brings it back, and removes its site.
func tiles(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	w := o.add(t, d, o.wall(o.ana, "Doors", false))
	ctx := t.Context()
	gone := func() (list []bool) {
		t.Helper()
		for _, tile := range o.get(t, d, o.ana, w.ID).Tiles {
			list = append(list, tile.Gone)
		}
		return list
	}
	hello := func(states ...wire.CameraState) {
		t.Helper()
		do(t, d, func(q store.Querier) error {
			_, err := orgs.SeenCameras(ctx, q, o.org, o.site, states, 2)
			return err
		})
	}
	hello(wire.CameraState{Camera: o.b, Name: "Door"})
	do(t, d, func(q store.Querier) error { return orgs.RemoveCamera(ctx, q, o.scope, o.a, 9) })
	if got := gone(); !slices.Equal(got, []bool{true, false}) {
		t.Errorf("after a camera was removed: gone %v", got)
	}
	hello(wire.CameraState{Camera: o.a, Name: "Till"}, wire.CameraState{Camera: o.b, Name: "Door"})
	if got := gone(); !slices.Equal(got, []bool{false, false}) {
		t.Errorf("after it came back: gone %v", got)
	}
	do(t, d, func(q store.Querier) error { return orgs.RemoveSite(ctx, q, o.scope, o.site, 9) })
	if got := gone(); !slices.Equal(got, []bool{true, true}) {
		t.Errorf("after the site was removed: gone %v", got)
	}
}

func versions(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	w := o.get(t, d, o.ana, o.add(t, d, o.wall(o.ana, "Doors", false)).ID)
	first, second := w, w
	first.Name, second.Name = "First", "Second"
	second.Tiles = nil
	do(t, d, func(q store.Querier) error { return walls.Update(t.Context(), q, o.scope, first) })
	err := d.Tx(t.Context(), func(q store.Querier) error { return walls.Update(t.Context(), q, o.scope, second) })
	if !errors.Is(err, walls.ErrStale) {
		t.Errorf("a change of an old version: %v, want ErrStale", err)
	}
	if got := o.get(t, d, o.ana, w.ID); got.Name != "First" || len(got.Tiles) != 2 || got.Version != 2 {
		t.Errorf("the wall after both: %+v", got)
	}
}

func limit(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	do(t, d, func(q store.Querier) error {
		for range walls.MaxOwned {
			w := o.wall(o.ana, "Many", false)
			w.Tiles = nil
			if err := walls.Add(t.Context(), q, o.scope, w); err != nil {
				return err
			}
		}
		return nil
	})
	err := d.Tx(t.Context(), func(q store.Querier) error { return walls.Add(t.Context(), q, o.scope, o.wall(o.ana, "More", false)) })
	if !errors.Is(err, walls.ErrMany) {
		t.Errorf("one wall more: %v, want ErrMany", err)
	}
	o.add(t, d, o.wall(o.boris, "Somebody else's", false))
}

func ownerGone(t *testing.T, d *store.DB) {
	o := newOffice(t, d)
	private, shared := o.add(t, d, o.wall(o.ana, "Mine", false)), o.add(t, d, o.wall(o.ana, "Ours", true))
	his := o.add(t, d, o.wall(o.boris, "His", false))
	do(t, d, func(q store.Querier) error {
		return errors.Join(walls.RemovePrivate(t.Context(), q, o.scope, o.ana), people.Remove(t.Context(), q, o.scope, o.ana, 9))
	})
	if _, err := walls.Get(t.Context(), d.Read(), o.scope, o.ana, private.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the private wall of somebody who is gone: %v, want ErrNotFound", err)
	}
	if got := o.get(t, d, o.boris, shared.ID); !got.Left || len(got.Tiles) != 2 {
		t.Errorf("the shared wall of somebody who is gone: %+v", got)
	}
	if got := o.get(t, d, o.boris, his.ID); got.Left {
		t.Errorf("another person's wall: %+v", got)
	}
}

// tenants asks for every kind of row with the scope of another tenant, and with the zero scope.
func tenants(t *testing.T, d *store.DB) {
	o, other := newOffice(t, d), newOffice(t, d)
	w := o.get(t, d, o.ana, o.add(t, d, o.wall(o.ana, "Ours", true)).ID)
	for name, scope := range map[string]store.Scope{"another tenant": other.scope, "no scope": {}} {
		err := d.Tx(t.Context(), func(q store.Querier) error {
			list, err := walls.List(t.Context(), q, scope, o.ana)
			if err != nil || len(list) != 0 {
				t.Errorf("%s lists %+v, %v", name, list, err)
			}
			_, get := walls.Get(t.Context(), q, scope, o.ana, w.ID)
			for what, err := range map[string]error{
				"get": get, "remove": walls.Remove(t.Context(), q, scope, w.ID), "add": walls.Add(t.Context(), q, scope, o.wall(o.ana, "x", false)),
			} {
				if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s, %s: %v, want ErrNotFound", name, what, err)
				}
			}
			if err := walls.Update(t.Context(), q, scope, w); !errors.Is(err, walls.ErrStale) {
				t.Errorf("%s, update: %v, want ErrStale", name, err)
			}
			return walls.RemovePrivate(t.Context(), q, scope, o.ana)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// A tile never shows another tenant's camera, whatever stands in the row.
	strange := o.wall(o.ana, "Strange", false)
	strange.Tiles = []walls.Tile{{Place: 0, Camera: other.a}}
	o.add(t, d, strange)
	if got := o.get(t, d, o.ana, strange.ID); len(got.Tiles) != 0 {
		t.Errorf("a tile of another tenant: %+v", got.Tiles)
	}
	if got := o.get(t, d, o.boris, w.ID); got.Version != 1 || len(got.Tiles) != 2 {
		t.Errorf("the wall after foreign hands: %+v", got)
	}
}

package orgs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

func TestConformance(t *testing.T) {
	cases := map[string]func(*testing.T, *store.DB){
		"regions": regions, "sites": sites, "pages": pages, "filter": filter, "cameras": cameras, "seen": seen,
		"tenants": tenants, "settings": settings, "desired": desired, "holds": holds,
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
	do(t, d, func(q store.Querier) error {
		return orgs.Add(t.Context(), q, orgs.Org{ID: org, Name: "Bakery", CreatedUs: 1})
	})
	return org, store.Org(org)
}

func addSite(t *testing.T, d *store.DB, org id.Org, name string) id.Site {
	t.Helper()
	site := id.New[id.Site]()
	do(t, d, func(q store.Querier) error {
		return orgs.AddSite(t.Context(), q, orgs.Site{ID: site, Org: org, Name: name, Timezone: "UTC", CreatedUs: 5})
	})
	return site
}

func regions(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	r := orgs.Region{ID: id.New[id.Region](), Org: org, Name: "North", CreatedUs: 2}
	do(t, d, func(q store.Querier) error { return orgs.AddRegion(t.Context(), q, r) })
	err := d.Tx(t.Context(), func(q store.Querier) error {
		return orgs.AddRegion(t.Context(), q, orgs.Region{ID: id.New[id.Region](), Org: org, Name: "North"})
	})
	if !errors.Is(err, store.ErrConflict) {
		t.Fatalf("a second region of the same name: %v, want ErrConflict", err)
	}
	site := addSite(t, d, org, "Harbour")
	s, err := orgs.GetSite(t.Context(), d.Read(), scope, site)
	if err != nil {
		t.Fatal(err)
	}
	s.Region = r.ID
	do(t, d, func(q store.Querier) error { return orgs.UpdateSite(t.Context(), q, scope, s) })
	of, err := orgs.RegionSites(t.Context(), d.Read(), scope, nil)
	if err != nil || len(of) != 1 || !slices.Equal(of[r.ID], []id.Site{site}) {
		t.Fatalf("RegionSites = %v, %v", of, err)
	}
	if of, err = orgs.RegionSites(t.Context(), d.Read(), scope, []id.Site{}); err != nil || len(of) != 0 {
		t.Fatalf("RegionSites of no sites = %v, %v", of, err)
	}
	do(t, d, func(q store.Querier) error { return orgs.RenameRegion(t.Context(), q, scope, r.ID, "South") })
	list, err := orgs.Regions(t.Context(), d.Read(), scope)
	if err != nil || len(list) != 1 || list[0].Name != "South" {
		t.Fatalf("Regions = %v, %v", list, err)
	}
	do(t, d, func(q store.Querier) error { return orgs.RemoveRegion(t.Context(), q, scope, r.ID) })
	if s, err = orgs.GetSite(t.Context(), d.Read(), scope, site); err != nil || s.Region != "" {
		t.Fatalf("the site of a removed region: %+v, %v; want it without a region", s, err)
	}
}

func sites(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	site := addSite(t, d, org, "Harbour")
	err := d.Tx(t.Context(), func(q store.Querier) error {
		return orgs.AddSite(t.Context(), q, orgs.Site{ID: id.New[id.Site](), Org: org, Name: "Harbour", Timezone: "UTC"})
	})
	if !errors.Is(err, store.ErrConflict) {
		t.Fatalf("a second site of the same name: %v, want ErrConflict", err)
	}
	do(t, d, func(q store.Querier) error { return orgs.RemoveSite(t.Context(), q, scope, site, 9) })
	if _, err := orgs.GetSite(t.Context(), d.Read(), scope, site); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a removed site: %v, want ErrNotFound", err)
	}
	if addSite(t, d, org, "Harbour") == site {
		t.Fatal("an ID came back")
	}
	err = d.Tx(t.Context(), func(q store.Querier) error { return orgs.RemoveSite(t.Context(), q, scope, site, 10) })
	if !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("removing a site twice: %v, want ErrNotFound", err)
	}
}

func pages(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("Site %d", i)
		addSite(t, d, org, name)
		want = append(want, name)
	}
	var got []string
	page := orgs.Page{Limit: 3}
	for range 3 {
		list, next, err := orgs.Sites(t.Context(), d.Read(), scope, nil, "", page)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			got = append(got, s.Name)
		}
		page.After = next
	}
	if page.After != "" || !slices.Equal(got, want) {
		t.Fatalf("three pages = %q, next %q; want %q and no next", got, page.After, want)
	}
	for _, bad := range []string{"x", "%%%", "AAAA", "AP8A_w"} {
		if _, _, err := orgs.Sites(t.Context(), d.Read(), scope, nil, "", orgs.Page{After: bad, Limit: 3}); !errors.Is(err, orgs.ErrCursor) {
			t.Errorf("cursor %q: %v, want ErrCursor", bad, err)
		}
	}
}

func filter(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	a, b := addSite(t, d, org, "A"), addSite(t, d, org, "B")
	addSite(t, d, org, "C")
	for _, tc := range []struct {
		sites []id.Site
		want  int
	}{{nil, 3}, {[]id.Site{}, 0}, {[]id.Site{a}, 1}, {[]id.Site{a, b}, 2}, {[]id.Site{id.New[id.Site]()}, 0}} {
		list, _, err := orgs.Sites(t.Context(), d.Read(), scope, tc.sites, "", orgs.Page{Limit: 10})
		if err != nil || len(list) != tc.want {
			t.Errorf("Sites limited to %v: %d, %v; want %d", tc.sites, len(list), err, tc.want)
		}
	}
}

func hello(cameras ...id.Camera) []wire.CameraState {
	states := make([]wire.CameraState, len(cameras))
	for i, c := range cameras {
		states[i] = wire.CameraState{Camera: c, Name: "Camera " + string(c[4:8]), Channel: fmt.Sprint(i + 1)}
	}
	return states
}

func see(t *testing.T, d *store.DB, org id.Org, site id.Site, states []wire.CameraState) orgs.Seen {
	t.Helper()
	var s orgs.Seen
	do(t, d, func(q store.Querier) (err error) {
		s, err = orgs.SeenCameras(t.Context(), q, org, site, states, 77)
		return err
	})
	return s
}

func cameras(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	site := addSite(t, d, org, "Harbour")
	cam := id.New[id.Camera]()
	see(t, d, org, site, hello(cam))
	c, err := orgs.GetCamera(t.Context(), d.Read(), scope, cam)
	if err != nil || c.Name() != "Camera "+string(cam[4:8]) || c.FirstSeenUs != 77 || !c.Reported || c.Site != site {
		t.Fatalf("GetCamera = %+v, %v", c, err)
	}
	c.Given, c.Disabled, c.KeepDays, c.SharePct, c.StepDown = "Counter", true, 14, 20, true
	do(t, d, func(q store.Querier) error { return orgs.UpdateCamera(t.Context(), q, scope, c) })
	list, err := orgs.Cameras(t.Context(), d.Read(), scope, site)
	if err != nil || len(list) != 1 || list[0] != c || list[0].Name() != "Counter" {
		t.Fatalf("Cameras = %+v, %v; want %+v", list, err, c)
	}
	if s, err := orgs.GetSite(t.Context(), d.Read(), scope, site); err != nil || s.Config != 1 || s.Cameras != 1 {
		t.Fatalf("the site after a change of its camera: %+v, %v", s, err)
	}
}

// seen walks a camera through its life: new, renamed, left out, removed, back.
func seen(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	site, other := addSite(t, d, org, "Harbour"), addSite(t, d, org, "Station")
	a, b := id.New[id.Camera](), id.New[id.Camera]()
	if s := see(t, d, org, site, hello(a, b, a)); len(s.Added) != 2 || len(s.Refused)+len(s.Changed)+len(s.Gone) != 0 {
		t.Fatalf("first hello: %+v", s)
	}
	if s := see(t, d, org, site, hello(a, b)); len(s.Added)+len(s.Changed)+len(s.Gone)+len(s.Refused) != 0 {
		t.Fatalf("the same hello again: %+v, want no change", s)
	}
	remove := func(c id.Camera) error {
		return d.Tx(t.Context(), func(q store.Querier) error { return orgs.RemoveCamera(t.Context(), q, scope, c, 99) })
	}
	if err := remove(b); !errors.Is(err, orgs.ErrReported) {
		t.Fatalf("removing a camera that is reported: %v, want ErrReported", err)
	}
	states := hello(a)
	states[0].Name = "\u202eDoor\x00 " + strings.Repeat("x", 300)
	if s := see(t, d, org, site, states); !slices.Equal(s.Changed, []id.Camera{a}) || !slices.Equal(s.Gone, []id.Camera{b}) {
		t.Fatalf("renamed and left out: %+v", s)
	}
	c, err := orgs.GetCamera(t.Context(), d.Read(), scope, a)
	if err != nil || !strings.HasPrefix(c.SiteName, "Door") || len([]rune(c.SiteName)) > wire.MaxNameRunes {
		t.Fatalf("a hostile name is stored as %q, %v", c.SiteName, err)
	}
	if err := remove(b); err != nil {
		t.Fatal(err)
	}
	if _, err := orgs.GetCamera(t.Context(), d.Read(), scope, b); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a removed camera: %v", err)
	}
	if s := see(t, d, org, site, hello(a, b)); !slices.Equal(s.Added, []id.Camera{b}) {
		t.Fatalf("a removed camera in a hello: %+v, want it added", s)
	}
	// Another site, and another tenant, can't take a camera over.
	if s := see(t, d, org, other, hello(a)); !slices.Equal(s.Refused, []id.Camera{a}) {
		t.Fatalf("another site's camera: %+v, want it refused", s)
	}
	stranger, _ := addOrg(t, d)
	strange := addSite(t, d, stranger, "Elsewhere")
	if s := see(t, d, stranger, strange, append(hello(a), wire.CameraState{Camera: "cam-../../x"})); len(s.Refused) != 2 {
		t.Fatalf("another tenant's camera: %+v, want it refused", s)
	}
	if c, err := orgs.GetCamera(t.Context(), d.Read(), scope, a); err != nil || c.Site != site || c.Org != org {
		t.Fatalf("the camera after foreign hellos: %+v, %v", c, err)
	}
	err = d.Tx(t.Context(), func(q store.Querier) error {
		_, err := orgs.SeenCameras(t.Context(), q, stranger, site, hello(a), 1)
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a hello for another tenant's site: %v, want ErrNotFound", err)
	}
	do(t, d, func(q store.Querier) error { return orgs.Unreport(t.Context(), q, scope, site) })
	if err := remove(a); err != nil {
		t.Fatalf("removing a camera of a revoked agent: %v", err)
	}
}

func desired(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	site := addSite(t, d, org, "Harbour")
	a, b := id.New[id.Camera](), id.New[id.Camera]()
	see(t, d, org, site, hello(a, b))
	want, err := orgs.Desired(t.Context(), d.Read(), scope, site)
	if err != nil || want.Version != 0 || len(want.Cameras) != 0 || want.Holds == nil {
		t.Fatalf("Desired of a new site = %+v, %v", want, err)
	}
	c, err := orgs.GetCamera(t.Context(), d.Read(), scope, b)
	if err != nil {
		t.Fatal(err)
	}
	c.KeepDays, c.SharePct = 30, 20
	do(t, d, func(q store.Querier) error { return orgs.UpdateCamera(t.Context(), q, scope, c) })
	want, err = orgs.Desired(t.Context(), d.Read(), scope, site)
	if err != nil || want.Version != 1 || len(want.Cameras) != 1 ||
		want.Cameras[0] != (wire.CameraDesire{Camera: b, KeepUs: (30 * 24 * time.Hour).Microseconds(), SharePct: 20}) {
		t.Fatalf("Desired = %+v, %v", want, err)
	}
	c.KeepDays, c.SharePct, c.StepDown = 0, 0, true
	do(t, d, func(q store.Querier) error { return orgs.UpdateCamera(t.Context(), q, scope, c) })
	want, err = orgs.Desired(t.Context(), d.Read(), scope, site)
	if err != nil || want.Version != 2 || len(want.Cameras) != 1 || want.Cameras[0] != (wire.CameraDesire{Camera: b, StepDown: true}) {
		t.Fatalf("Desired = %+v, %v", want, err)
	}
}

// holds walks a hold through its life: made, agreed to, over, released.
func holds(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	site, other := addSite(t, d, org, "Harbour"), addSite(t, d, org, "Station")
	cam, ctx, now := id.New[id.Camera](), t.Context(), time.Now().UnixMicro()
	see(t, d, org, site, hello(cam))
	h := orgs.Hold{
		ID: id.New[id.Hold](), Org: org, Site: site, Camera: cam, StartUs: 10, EndUs: 20, Name: "Break-in", Person: "per-x", PersonName: "Ada", CreatedUs: now,
	}
	late := h
	late.ID, late.UntilUs, late.CreatedUs = id.New[id.Hold](), now-2*24*3600*1_000_000, now+1
	for _, x := range []orgs.Hold{h, late} {
		do(t, d, func(q store.Querier) error { return orgs.AddHold(ctx, q, scope, x) })
	}
	list := func(site id.Site) []orgs.Hold {
		got, err := orgs.Holds(ctx, d.Read(), scope, site, now)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := list(site); len(got) != 1 || got[0] != h || len(list(other)) != 0 {
		t.Fatalf("Holds = %+v, want the one whose time is not over", got)
	}
	do(t, d, func(q store.Querier) error { return orgs.AgreeHold(ctx, q, scope, h) })
	want, err := orgs.Desired(ctx, d.Read(), scope, site)
	if err != nil || want.Version != 3 || len(want.Holds) != 1 ||
		want.Holds[0] != (wire.HoldDesire{Hold: h.ID, Camera: cam, StartUs: 10, EndUs: 20, Name: "Break-in", By: "Ada", Over: true}) {
		t.Fatalf("Desired = %+v, %v", want, err)
	}
	do(t, d, func(q store.Querier) error { return orgs.ReleaseHold(ctx, q, scope, h, now) })
	if err := d.Tx(ctx, func(q store.Querier) error { return orgs.ReleaseHold(ctx, q, scope, h, now) }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second release = %v", err)
	}
	if got, err := orgs.GetHold(ctx, d.Read(), scope, h.ID); err != nil || got.ReleasedUs != now || len(list(site)) != 0 {
		t.Errorf("the released hold is %+v, %v, listed are %d", got, err, len(list(site)))
	}
	do(t, d, func(q store.Querier) error {
		for range wire.MaxHolds {
			x := h
			x.ID = id.New[id.Hold]()
			if err := orgs.AddHold(ctx, q, scope, x); err != nil {
				return err
			}
		}
		return nil
	})
	h.ID = id.New[id.Hold]()
	if err := d.Tx(ctx, func(q store.Querier) error { return orgs.AddHold(ctx, q, scope, h) }); !errors.Is(err, orgs.ErrHolds) {
		t.Errorf("one hold more = %v, want ErrHolds", err)
	}
}

// tenants asks for every kind of row with the scope of another tenant, and with the zero scope.
func tenants(t *testing.T, d *store.DB) {
	org, scope := addOrg(t, d)
	_, foreign := addOrg(t, d)
	site := addSite(t, d, org, "Harbour")
	cam := id.New[id.Camera]()
	see(t, d, org, site, hello(cam))
	region := id.New[id.Region]()
	do(t, d, func(q store.Querier) error {
		return orgs.AddRegion(t.Context(), q, orgs.Region{ID: region, Org: org, Name: "North"})
	})
	ctx := t.Context()
	hold := orgs.Hold{ID: id.New[id.Hold](), Org: org, Site: site, Camera: cam, StartUs: 1, EndUs: 2, Name: "x", CreatedUs: 1}
	do(t, d, func(q store.Querier) error { return orgs.AddHold(ctx, q, scope, hold) })
	ask := func(s store.Scope) map[string]error {
		errs := map[string]error{}
		err := d.Tx(ctx, func(q store.Querier) error {
			_, errs["org"] = orgs.Get(ctx, q, s, org)
			_, errs["region"] = orgs.GetRegion(ctx, q, s, region)
			_, errs["site"] = orgs.GetSite(ctx, q, s, site)
			_, errs["camera"] = orgs.GetCamera(ctx, q, s, cam)
			_, errs["desired"] = orgs.Desired(ctx, q, s, site)
			_, errs["hold"] = orgs.GetHold(ctx, q, s, hold.ID)
			errs["agree"] = orgs.AgreeHold(ctx, q, s, hold)
			errs["release"] = orgs.ReleaseHold(ctx, q, s, hold, 1)
			errs["lock"] = orgs.Lock(ctx, q, s, org)
			errs["rename region"] = orgs.RenameRegion(ctx, q, s, region, "Mine")
			errs["update site"] = orgs.UpdateSite(ctx, q, s, orgs.Site{ID: site, Name: "Mine"})
			errs["update camera"] = orgs.UpdateCamera(ctx, q, s, orgs.Camera{ID: cam, Site: site})
			errs["remove camera"] = orgs.RemoveCamera(ctx, q, s, cam, 1)
			errs["remove region"] = orgs.RemoveRegion(ctx, q, s, region)
			errs["remove site"] = orgs.RemoveSite(ctx, q, s, site, 1)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return errs
	}
	for what, s := range map[string]store.Scope{"another tenant": foreign, "no scope": {}} {
		for name, err := range ask(s) {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s asks for %s: %v, want ErrNotFound", what, name, err)
			}
		}
		list, _, err1 := orgs.Sites(ctx, d.Read(), s, nil, "", orgs.Page{Limit: 10})
		cams, err2 := orgs.Cameras(ctx, d.Read(), s, site)
		regs, err3 := orgs.Regions(ctx, d.Read(), s)
		of, err4 := orgs.RegionSites(ctx, d.Read(), s, nil)
		if err := errors.Join(err1, err2, err3, err4); err != nil || len(list)+len(cams)+len(regs)+len(of) != 0 {
			t.Errorf("%s lists %v %v %v %v, %v; want nothing", what, list, cams, regs, of, err)
		}
	}
	if c, err := orgs.GetCamera(ctx, d.Read(), scope, cam); err != nil || c.Site != site {
		t.Fatalf("the camera afterwards: %+v, %v", c, err)
	}
}

func settings(t *testing.T, d *store.DB) {
	ctx := t.Context()
	if _, err := orgs.Setting(ctx, d.Read(), "x"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Setting = %v, want ErrNotFound", err)
	}
	for _, v := range []string{"1", "2"} {
		do(t, d, func(q store.Querier) error { return orgs.PutSetting(ctx, q, "x", v) })
	}
	if v, err := orgs.Setting(ctx, d.Read(), "x"); err != nil || v != "2" {
		t.Fatalf("Setting = %q, %v", v, err)
	}
	take := func(v string) error {
		return d.Tx(ctx, func(q store.Querier) error { return orgs.TakeSetting(ctx, q, "x", v) })
	}
	if err := take("1"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("taking an old value: %v, want ErrNotFound", err)
	}
	if err := take("2"); err != nil {
		t.Fatal(err)
	}
	if err := take("2"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("taking twice: %v, want ErrNotFound", err)
	}
	if any, err := orgs.Any(ctx, d.Read(), store.Scope{}); err != nil || any {
		t.Fatalf("Any without a scope = %t, %v; want false", any, err)
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"Harbour", " Harbour ", "Café № 7 (北)", strings.Repeat("ä", 128)} {
		if got, err := orgs.Name(good); err != nil || got != strings.TrimSpace(good) {
			t.Errorf("Name(%q) = %q, %v", good, got, err)
		}
	}
	for _, bad := range []string{"", "  ", "a\x00b", "a\nb", "a\u202eb", "a\u2066b", "\xff\xfe", strings.Repeat("x", 129), "a\u2028b", "a\x1b[31m"} {
		if got, err := orgs.Name(bad); err == nil {
			t.Errorf("Name(%q) = %q, want a refusal", bad, got)
		}
		if got := orgs.Tidy(bad); got != "" {
			if _, err := orgs.Name(got); err != nil {
				t.Errorf("Tidy(%q) = %q, which Name refuses: %v", bad, got, err)
			}
		}
	}
}

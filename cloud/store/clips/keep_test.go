package clips_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

const day = 24 * hour

// place makes an organisation with a site.
func place(t *testing.T, d *store.DB) (id.Org, id.Site) {
	t.Helper()
	org, site := id.New[id.Org](), id.New[id.Site]()
	tx(t, d, func(q store.Querier) error {
		return errors.Join(orgs.Add(t.Context(), q, orgs.Org{ID: org, Name: "Bakery", CreatedUs: 1}),
			orgs.AddSite(t.Context(), q, orgs.Site{ID: site, Org: org, Name: "Harbour", Timezone: "UTC", CreatedUs: 5}))
	})
	return org, site
}

func stored(t *testing.T, d *store.DB, c clips.Clip, bytes, beganUs, atUs int64) {
	t.Helper()
	tx(t, d, func(q store.Querier) error {
		return errors.Join(clips.SetUpload(t.Context(), q, store.Org(c.Org), c.ID, clips.Upload{Handle: "h"}, bytes, beganUs),
			clips.SetStored(t.Context(), q, store.Org(c.Org), c.ID, atUs))
	})
}

func TestKeepFor(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		now := 480_000 * hour
		org, site := place(t, d)
		scope := store.Org(org)
		put := func(s clips.Settings) {
			tx(t, d, func(q store.Querier) error { return clips.PutSettings(t.Context(), q, org, s) })
		}
		if s, err := clips.GetSettings(t.Context(), d.Read(), scope); err != nil || s != clips.Unset() {
			t.Fatalf("settings of an organisation that said nothing: %+v, %v", s, err)
		}
		own, ever, byDefault, old := wanted(org, site, now), wanted(org, site, now), wanted(org, site, now), wanted(org, site, now-100*day)
		own.KeepDays, ever.KeepDays, byDefault.KeepDays, old.KeepDays = 3, clips.ForEver, clips.ByDefault, 3
		old.CreatedUs = now // chosen long after it happened: it is kept from then on
		insert(t, d, own, ever, byDefault, old)
		expires := func(c clips.Clip) int64 { return get(t, d, c).ExpiresUs }
		check := func(what string, want ...int64) {
			t.Helper()
			got := []int64{expires(own), expires(ever), expires(byDefault), expires(old)}
			if !slices.Equal(got, want) {
				t.Errorf("%s: expire at %v, want %v", what, got, want)
			}
		}
		end := now + 10_000_000
		check("nothing said", end+3*day, 0, 0, now+3*day)
		put(clips.Settings{KeepDays: 30, PriceMicros: 20_000, Currency: "EUR"})
		check("30 days by default", end+3*day, 0, end+30*day, now+3*day)
		later := wanted(org, site, now)
		later.KeepDays = clips.ByDefault
		insert(t, d, later)
		if expires(later) != end+30*day {
			t.Errorf("a new clip by default expires at %d", expires(later))
		}
		own.KeepDays, own.EndUs = clips.ByDefault, end+hour
		tx(t, d, func(q store.Querier) error { return clips.Change(t.Context(), q, own, now) })
		check("widened and by default", end+hour+30*day, 0, end+30*day, now+3*day)

		gone := func(at int64) []id.Clip {
			t.Helper()
			list, err := clips.Expired(t.Context(), d.Read(), store.System(store.UseSweep), at)
			if err != nil {
				t.Fatal(err)
			}
			return ids(list)
		}
		if got := gone(now + 1000*day); len(got) != 0 {
			t.Errorf("clips that are still wanted expire: %v", got)
		}
		stored(t, d, old, 5_000_000, now, now+1_000_000)
		if got := gone(now + 3*day); len(got) != 0 {
			t.Errorf("expired too early: %v", got)
		}
		if got := gone(now + 3*day + 1); !slices.Equal(got, []id.Clip{old.ID}) {
			t.Errorf("expired: %v, want %v", got, old.ID)
		}
		stored(t, d, byDefault, 7_000_000, now, now+2_000_000)
		if n, bytes, err := clips.Shorter(t.Context(), d.Read(), org, 2, now+5*day); err != nil || n != 1 || bytes != 7_000_000 {
			t.Errorf("Shorter = %d clips of %d bytes, %v", n, bytes, err)
		}
		if rate, err := clips.Line(t.Context(), d.Read(), scope, site); err != nil || rate != 5_000_000 {
			t.Errorf("the line was measured as %d B/s, %v", rate, err)
		}
	})
}

func TestClipsOfADeletedSite(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		now := time.Now().UnixMicro()
		org, site := place(t, d)
		scope := store.Org(org)
		a, b, c := wanted(org, site, now), wanted(org, site, now), wanted(org, site, now)
		a.KeepDays, b.KeepDays, c.KeepDays = clips.ForEver, 2, clips.ByDefault
		insert(t, d, a, b, c)
		stored(t, d, a, 1, now, now+1)
		stored(t, d, b, 1, now, now+1)
		until := now + 30*day
		tx(t, d, func(q store.Querier) error {
			return errors.Join(clips.SiteRemoved(t.Context(), q, scope, site, until, now), orgs.RemoveSite(t.Context(), q, scope, site, now))
		})
		if x, y := get(t, d, a), get(t, d, b); x.ExpiresUs != until || y.ExpiresUs != b.EndUs+2*day || x.State != wire.ClipStored {
			t.Errorf("after the site was deleted: %+v, %+v", x, y)
		}
		if z := get(t, d, c); z.State != wire.ClipUnavailable || z.Reason == "" || z.ExpiresUs != until {
			t.Errorf("what was never sent: %+v", z)
		}
		tx(t, d, func(q store.Querier) error {
			return clips.PutSettings(t.Context(), q, org, clips.Settings{KeepDays: 365, Currency: "EUR"})
		})
		if z := get(t, d, c); z.ExpiresUs != until {
			t.Errorf("a new default lets a clip of a deleted site live: %+v", z)
		}
		names, err := clips.Named(t.Context(), d.Read(), scope, []clips.Clip{a})
		if n := names[a.ID]; err != nil || n.Site != "Harbour" || !n.SiteDeleted {
			t.Errorf("Named = %+v, %v", n, err)
		}
	})
}

func TestEventsOfClips(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		now := 480_000 * hour
		org, site := id.New[id.Org](), id.New[id.Site]()
		scope := store.Org(org)
		a, b := wanted(org, site, now), wanted(org, site, now+hour)
		b.Camera = a.Camera
		insert(t, d, a, b)
		rule := id.New[id.Rule]()
		shown := func(n int64) clips.Shown {
			return clips.Shown{Event: id.New[id.Event](), Rule: rule, Kind: "motion", Text: "x", AtUs: now + n, StartUs: now, EndUs: now + 9}
		}
		x, y := shown(2), shown(1)
		tx(t, d, func(q store.Querier) error {
			return errors.Join(clips.Show(t.Context(), q, a, []clips.Shown{x, y}), clips.Show(t.Context(), q, a, []clips.Shown{x}),
				clips.MoveEvents(t.Context(), q, a, b))
		})
		for _, c := range []clips.Clip{a, b} {
			got, err := clips.Events(t.Context(), d.Read(), scope, []clips.Clip{c})
			if err != nil || !slices.Equal(got[c.ID], []clips.Shown{y, x}) {
				t.Errorf("Events = %+v, %v", got, err)
			}
			all, err := clips.EventsOf(t.Context(), d.Read(), scope, c.ID)
			if err != nil || len(all) != 2 {
				t.Errorf("EventsOf = %+v, %v", all, err)
			}
		}
		stored(t, d, a, 1, now, now+1)
		if got, err := clips.OfEvents(t.Context(), d.Read(), scope, []id.Event{x.Event, id.New[id.Event]()}); err != nil || len(got) != 1 || got[x.Event] != a.ID {
			t.Errorf("OfEvents = %v, %v; want the stored clip", got, err)
		}
		if known, err := clips.Chosen(t.Context(), d.Read(), org, site, x.Event, rule); err != nil || !known {
			t.Errorf("Chosen = %v, %v", known, err)
		}
		if known, err := clips.Chosen(t.Context(), d.Read(), org, id.New[id.Site](), x.Event, rule); err != nil || known {
			t.Errorf("another site's event counts: %v, %v", known, err)
		}
		around, err := clips.Around(t.Context(), d.Read(), scope, id.Stream{Camera: a.Camera, Kind: id.Main}, a.EndUs, now+hour)
		if err != nil || !slices.Equal(ids(around), []id.Clip{a.ID, b.ID}) {
			t.Errorf("Around = %v, %v", ids(around), err)
		}
		tx(t, d, func(q store.Querier) error {
			return errors.Join(clips.PutPiece(t.Context(), q, a, 2, 1, []byte("ab"), now), clips.PutPiece(t.Context(), q, a, 2, 2, []byte("c"), now),
				clips.PutPiece(t.Context(), q, a, 1, 1, []byte("z"), now))
		})
		if p, err := clips.Part(t.Context(), d.Read(), scope, a.ID, 2); err != nil || string(p) != "abc" {
			t.Errorf("Part = %q, %v", p, err)
		}
		tx(t, d, func(q store.Querier) error { return clips.DropPieces(t.Context(), q, scope, a.ID, 2) })
		if p, err := clips.Pieces(t.Context(), d.Read(), scope, a.ID); err != nil || len(p) != 1 || p[1][1] != 1 {
			t.Errorf("Pieces = %v, %v", p, err)
		}
		tx(t, d, func(q store.Querier) error {
			return errors.Join(clips.Delete(t.Context(), q, scope, a.ID, now), clips.Remove(t.Context(), q, scope, a.ID))
		})
		if p, err := clips.Pieces(t.Context(), d.Read(), scope, a.ID); err != nil || len(p) != 0 {
			t.Errorf("pieces of a removed clip: %v, %v", p, err)
		}
	})
}

func TestOrdersThatChange(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		c := wanted(id.New[id.Org](), id.New[id.Site](), hour)
		insert(t, d, c)
		waiting := func(want int) {
			t.Helper()
			sites, err := clips.WaitingSites(t.Context(), d.Read(), store.System(store.UseWatch))
			if err != nil || len(sites) != want {
				t.Fatalf("WaitingSites = %v, %v; want %d", sites, err, want)
			}
		}
		ordered := func(c clips.Clip) {
			tx(t, d, func(q store.Querier) error { return clips.Ordered(t.Context(), q, c, 7) })
		}
		waiting(1)
		ordered(c)
		waiting(0)
		wider := c
		wider.EndUs += hour
		tx(t, d, func(q store.Querier) error { return clips.Change(t.Context(), q, wider, 8) })
		waiting(1)
		ordered(c) // the agent took what was ordered before
		waiting(1)
		ordered(wider)
		waiting(0)
		kept := wider
		kept.KeepDays = 9
		tx(t, d, func(q store.Querier) error { return clips.Change(t.Context(), q, kept, 9) })
		waiting(0) // that is none of the agent's business
		tx(t, d, func(q store.Querier) error { return clips.Explain(t.Context(), q, store.Org(c.Org), c.ID, "no") })
		if got := get(t, d, c); got.Reason != "no" || got.OrderedUs != 7 {
			t.Fatalf("%+v", got)
		}
		other := wanted(c.Org, c.Site, hour/2)
		urgent := wanted(c.Org, c.Site, 2*hour)
		urgent.Priority = wire.PriorityHigh
		insert(t, d, other, urgent)
		if n, err := clips.Ahead(t.Context(), d.Read(), kept); err != nil || n != 2 {
			t.Errorf("Ahead = %d, %v", n, err)
		}
	})
}

func TestHoursOfTheWeek(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	var nights clips.Hours
	nights[0] = 1 << 22 // Monday 22:00 to 23:00
	for text, want := range map[string]bool{
		"2026-03-30T20:30:00Z": true,  // summer time: 22:30
		"2026-03-30T21:30:00Z": false, // 23:30
		"2026-11-30T21:30:00Z": true,  // winter time: 22:30
		"2026-11-29T21:30:00Z": false, // Sunday
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := nights.Has(at.In(zone)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if !(clips.Hours{}).Every() || !(clips.Hours{}).Has(time.Now()) || nights.Every() {
		t.Error("hours that say nothing are not every hour")
	}
}

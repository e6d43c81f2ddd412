package events_test

import (
	"errors"
	"slices"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/events"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

// TestPackedOrNot: what is answered of a month is the same before and after its days are packed, and after events came
// late for some of them.
func TestPackedOrNot(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		const day = int64(86_400_000_000)
		org, site := id.New[id.Org](), id.New[id.Site]()
		a, b := id.New[id.Camera](), id.New[id.Camera]()
		from, now := 20_000*day+5, 20_030*day+day/2
		scope := store.Org(org)
		tx := func(fn func(q store.Querier) error) {
			t.Helper()
			if err := d.Tx(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
		}
		want := map[id.Camera][]events.Moment{}
		put := func(camera id.Camera, at, length int64) {
			e := wire.EventFact{ID: id.New[id.Event](), Camera: camera, Kind: "motion", Source: "local", AtUs: at}
			if length > 0 {
				e.EndUs = at + length
			}
			tx(func(q store.Querier) error {
				_, err := events.Put(t.Context(), q, org, site, []wire.EventFact{e, {ID: id.New[id.Event](), Camera: camera, Kind: "other", Source: "x", AtUs: at}})
				return err
			})
			if at >= from {
				want[camera] = append(want[camera], events.Moment{AtUs: at, EndUs: at + length})
			}
		}
		check := func(what string) {
			t.Helper()
			got, err := events.Moments(t.Context(), d.Read(), scope, site, "motion", from)
			if err != nil || len(got) != len(want) {
				t.Fatalf("%s: %d cameras, %v; want %d", what, len(got), err, len(want))
			}
			for camera := range want {
				slices.SortFunc(want[camera], func(x, y events.Moment) int { return int(min(max(x.AtUs-y.AtUs, -1), 1)) })
				if !slices.Equal(got[camera], want[camera]) {
					t.Fatalf("%s: %v, want %v", what, got[camera], want[camera])
				}
			}
		}
		pack := func(n int) {
			t.Helper()
			days, err := events.Unpacked(t.Context(), d.Read(), scope, site, from, now)
			if err != nil || len(days) != n {
				t.Fatalf("%d days are to be packed, %v; want %d", len(days), err, n)
			}
			for _, day := range days {
				tx(func(q store.Querier) error {
					return events.Pack(t.Context(), q, store.System(store.UseSweep), site, day)
				})
			}
		}
		tx(func(q store.Querier) error {
			return errors.Join(orgs.Add(t.Context(), q, orgs.Org{ID: org, Name: "x", CreatedUs: 1}),
				orgs.AddSite(t.Context(), q, orgs.Site{ID: site, Org: org, Name: "s", Timezone: "UTC", CreatedUs: 1}))
		})
		put(a, from-3, 0)
		put(a, from, 0)
		for n := range int64(9) {
			put(a, from+n*3*day+n, n*1_000_000)
			put(b, from+n*4*day, 0)
		}
		put("", now, 77)
		check("not packed")
		pack(30)
		check("packed")
		put(b, from+7*day+1, 12)
		put(a, from+7*day+2, 0)
		put(a, from+20*day, 3)
		check("two days unpacked")
		pack(2)
		check("packed again")
		foreign, err := events.Moments(t.Context(), d.Read(), store.Org(id.New[id.Org]()), site, "motion", from)
		if err != nil || len(foreign) != 0 {
			t.Errorf("another organisation reads %v, %v", foreign, err)
		}
	})
}

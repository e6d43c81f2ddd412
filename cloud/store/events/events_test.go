package events_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/events"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

func put(t *testing.T, d *store.DB, org id.Org, site id.Site, facts ...wire.EventFact) []wire.EventFact {
	t.Helper()
	var fresh []wire.EventFact
	err := d.Tx(t.Context(), func(q store.Querier) (err error) {
		fresh, err = events.Put(t.Context(), q, org, site, facts)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func fact(at int64, kind string, camera id.Camera) wire.EventFact {
	return wire.EventFact{ID: id.New[id.Event](), Camera: camera, Kind: kind, Source: "local", AtUs: at, Text: "x"}
}

func TestEvents(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		t.Run("once", func(t *testing.T) { testOnce(t, d) })
		t.Run("filters", func(t *testing.T) { testFilters(t, d) })
		t.Run("pages", func(t *testing.T) { testPages(t, d) })
		t.Run("sweep", func(t *testing.T) { testSweep(t, d) })
	})
}

func testOnce(t *testing.T, d *store.DB) {
	org, site := id.New[id.Org](), id.New[id.Site]()
	a, b := fact(10, "door_opened", ""), fact(20, "motion", "")
	a.Data = []byte(`{"n":1}`)
	if fresh := put(t, d, org, site, a, b, a); len(fresh) != 2 {
		t.Fatalf("%d fresh events, want 2", len(fresh))
	}
	late := b
	late.EndUs, late.Text = 30, "other words"
	if fresh := put(t, d, org, site, a, late); len(fresh) != 0 {
		t.Fatalf("%d fresh events of known ones", len(fresh))
	}
	// Another site's event with the same ID is its own.
	if fresh := put(t, d, id.New[id.Org](), id.New[id.Site](), a); len(fresh) != 1 {
		t.Fatalf("another tenant's event was taken for ours")
	}
	list, next, err := events.List(t.Context(), d.Read(), store.Org(org), events.Filter{})
	if err != nil || next != "" || len(list) != 2 {
		t.Fatalf("List = %+v, %q, %v", list, next, err)
	}
	if list[0].ID != b.ID || list[0].EndUs != 30 || list[0].Text != "x" || list[0].Site != site ||
		string(list[1].Data) != `{"n":1}` || list[0].Data != nil {
		t.Fatalf("List = %+v", list)
	}
}

func testFilters(t *testing.T, d *store.DB) {
	org := id.New[id.Org]()
	north, south, cam, door := id.New[id.Site](), id.New[id.Site](), id.New[id.Camera](), id.New[id.Camera]()
	put(t, d, org, north, fact(10, "door", ""), fact(20, "motion", cam), fact(30, "door", cam))
	put(t, d, org, south, fact(25, "door", door), fact(40, "motion", ""))
	for name, c := range map[string]struct {
		f    events.Filter
		want string
	}{
		"all":           {events.Filter{}, "40 30 25 20 10"},
		"site":          {events.Filter{Site: north}, "30 20 10"},
		"camera":        {events.Filter{Camera: cam}, "30 20"},
		"kind":          {events.Filter{Kind: "door"}, "30 25 10"},
		"site and kind": {events.Filter{Site: north, Kind: "door"}, "30 10"},
		"time":          {events.Filter{FromUs: 20, ToUs: 40}, "30 25 20"},
		"limited":       {events.Filter{Sites: []id.Site{south}}, "40 25"},
		"two sites":     {events.Filter{Sites: []id.Site{south, north}, ToUs: 40}, "30 25 20 10"},
		"no site":       {events.Filter{Sites: []id.Site{}}, ""},
		"not own":       {events.Filter{Sites: []id.Site{south}, Site: north}, ""},
		"own":           {events.Filter{Sites: []id.Site{south}, Site: south}, "40 25"},
		"own camera":    {events.Filter{Sites: []id.Site{south}, Camera: cam}, ""},
		"cameras":       {events.Filter{Cameras: []id.Camera{cam, door, id.New[id.Camera]()}}, "30 25 20"},
		"their newest":  {events.Filter{Cameras: []id.Camera{cam, door}, ToUs: 30, Limit: 1}, "25"},
		"own cameras":   {events.Filter{Sites: []id.Site{south}, Cameras: []id.Camera{cam, door}}, "25"},
		"no cameras":    {events.Filter{Sites: []id.Site{}, Cameras: []id.Camera{cam, door}}, ""},
	} {
		list, _, err := events.List(t.Context(), d.Read(), store.Org(org), c.f)
		if err != nil {
			t.Fatal(err)
		}
		if got := times(list); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		list, _, err = events.List(t.Context(), d.Read(), store.Org(id.New[id.Org]()), c.f)
		if err != nil || len(list) != 0 {
			t.Errorf("%s: another tenant sees %q, %v", name, times(list), err)
		}
	}
	if list, _, err := events.List(t.Context(), d.Read(), store.Scope{}, events.Filter{}); err != nil || len(list) != 0 {
		t.Errorf("the empty scope sees %q, %v", times(list), err)
	}
}

func times(list []events.Event) string {
	var out []string
	for _, e := range list {
		out = append(out, fmt.Sprint(e.AtUs))
	}
	return strings.Join(out, " ")
}

func testPages(t *testing.T, d *store.DB) {
	org, sites := id.New[id.Org](), []id.Site{id.New[id.Site](), id.New[id.Site]()}
	var want []id.Event
	for i := range 25 {
		f := fact(int64(i/3)+1, "door", "") // several at one moment
		put(t, d, org, sites[i%2], f)
		want = append(want, f.ID)
	}
	slices.Sort(want)
	for _, f := range []events.Filter{{Limit: 4}, {Limit: 4, Sites: sites}} {
		var got []id.Event
		last := int64(1 << 60)
		for {
			list, next, err := events.List(t.Context(), d.Read(), store.Org(org), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				if e.AtUs > last {
					t.Fatalf("%d comes after %d", e.AtUs, last)
				}
				last = e.AtUs
				got = append(got, e.ID)
			}
			if f.Before = next; next == "" {
				break
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("pages hold %d events, want %d, each once", len(got), len(want))
		}
	}
	for _, bad := range []string{"x", "1.x", "1", ".evt", "1." + string(id.New[id.Site]())} {
		if _, _, err := events.List(t.Context(), d.Read(), store.Org(org), events.Filter{Before: bad}); !errors.Is(err, events.ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

func testSweep(t *testing.T, d *store.DB) {
	org, site := id.New[id.Org](), id.New[id.Site]()
	put(t, d, org, site, fact(1, "a", ""), fact(2, "a", ""), fact(3, "a", ""), fact(50, "a", ""))
	for _, want := range []int64{2, 1, 0} {
		err := d.Tx(t.Context(), func(q store.Querier) error {
			n, err := events.Sweep(t.Context(), q, store.System(store.UseSweep), site, 50, 2)
			if n != want {
				t.Errorf("swept %d, want %d", n, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if list, _, _ := events.List(t.Context(), d.Read(), store.Org(org), events.Filter{}); times(list) != "50" {
		t.Fatalf("left: %q", times(list))
	}
}

// spy explains every query that goes through it.
type spy struct {
	store.Querier
	t     *testing.T
	plans []string
}

func (s *spy) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s.explain(ctx, query, args)
	return s.Querier.QueryContext(ctx, query, args...)
}

func (s *spy) explain(ctx context.Context, query string, args []any) {
	rows, err := s.Querier.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var a, b, c int
		var detail string
		if err := rows.Scan(&a, &b, &c, &detail); err != nil {
			s.t.Fatal(err)
		}
		s.plans = append(s.plans, detail)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
}

// TestListsUseIndexes checks that no list reads the table or sorts more than the few rows of its branches.
func TestListsUseIndexes(t *testing.T) {
	d := db.SQLite(t)
	sites := []id.Site{id.New[id.Site](), id.New[id.Site]()}
	for name, c := range map[string]struct {
		f     events.Filter
		index string
	}{
		"organisation": {events.Filter{}, "event_org"},
		"page":         {events.Filter{Before: "5." + string(id.New[id.Event]())}, "event_org"},
		"site":         {events.Filter{Site: sites[0]}, "event_site"},
		"sites":        {events.Filter{Sites: sites, FromUs: 5}, "event_site"},
		"camera":       {events.Filter{Camera: id.New[id.Camera]()}, "event_camera"},
		"kind":         {events.Filter{Kind: "door"}, "event_kind"},
	} {
		s := &spy{Querier: d.Read(), t: t}
		if _, _, err := events.List(t.Context(), s, store.Org(id.New[id.Org]()), c.f); err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(s.plans, "\n")
		if !strings.Contains(plan, "USING INDEX "+c.index) || strings.Contains(plan, "SCAN event") {
			t.Errorf("%s: plan\n%s\ndoes not use %s", name, plan, c.index)
		}
		if c.f.Sites == nil && strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s: plan sorts\n%s", name, plan)
		}
	}
}

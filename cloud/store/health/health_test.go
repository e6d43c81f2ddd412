package health_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

type rig struct {
	t   *testing.T
	d   *store.DB
	ref agents.Ref
}

func newRig(t *testing.T, d *store.DB) *rig {
	t.Helper()
	r := &rig{t, d, agents.Ref{Org: id.New[id.Org](), Agent: id.New[id.Agent]()}}
	r.tx(func(q store.Querier) error {
		return orgs.Add(t.Context(), q, orgs.Org{ID: r.ref.Org, Name: string(r.ref.Org), CreatedUs: 1})
	})
	r.ref.Site = r.site()
	return r
}

func (r *rig) site() id.Site {
	r.t.Helper()
	site := id.New[id.Site]()
	r.tx(func(q store.Querier) error {
		return orgs.AddSite(r.t.Context(), q, orgs.Site{ID: site, Org: r.ref.Org, Name: string(site), Timezone: "UTC", CreatedUs: 1})
	})
	return site
}

func (r *rig) scope() store.Scope { return r.ref.Scope() }

func (r *rig) tx(fn func(q store.Querier) error) {
	r.t.Helper()
	if err := r.d.Tx(r.t.Context(), fn); err != nil {
		r.t.Fatal(err)
	}
}

func TestHealth(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		for name, test := range map[string]func(*testing.T, *rig){
			"runs": testRuns, "conditions": testConditions, "outages": testOutages, "states": testStates,
			"incidents": testIncidents, "configuration": testConfig, "sweep": testSweep,
		} {
			t.Run(name, func(t *testing.T) { test(t, newRig(t, d)) })
		}
	})
}

func testRuns(t *testing.T, r *rig) {
	put := func(queue, seq, run, wall, end int64, by wire.Reason) {
		t.Helper()
		r.tx(func(q store.Querier) error {
			return health.PutRuns(t.Context(), q, health.Source{Ref: r.ref, Epoch: "e", Queue: queue}, []health.RunWord{
				{Seq: seq, RunFact: wire.RunFact{Run: run, BootID: "b", WallUs: wall, EndMono: end, EndedBy: by, AgentVer: "1"}},
			})
		})
	}
	put(1, 1, 1, 100, 0, "")
	put(1, 5, 1, 100, 50, wire.AgentCrashed)
	put(1, 1, 1, 100, 0, "") // late
	put(0, 9, 1, 100, 0, "") // of an older queue
	put(2, 1, 2, 200, 0, "")
	put(2, 2, 3, 300, 0, "")
	want := func(from, to int64, text string) {
		t.Helper()
		list, err := health.Runs(t.Context(), r.d.Read(), r.scope(), r.ref.Site, from, to)
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		for _, x := range list {
			end := "lasts"
			if x.EndUs() != health.Lasts {
				end = fmt.Sprint(x.EndUs())
			}
			parts = append(parts, fmt.Sprintf("%d-%s%s", x.WallUs, end, x.EndedBy))
		}
		if got := strings.Join(parts, " "); got != text {
			t.Errorf("runs %q, want %q", got, text)
		}
	}
	want(0, 1000, "300-lasts 200-lasts 100-150agent_crashed")
	want(250, 1000, "300-lasts 200-lasts") // the one before the range, too
	want(0, 200, "100-150agent_crashed")
	if list, err := health.Runs(t.Context(), r.d.Read(), store.Org(id.New[id.Org]()), r.ref.Site, 0, 1000); err != nil || len(list) != 0 {
		t.Errorf("another tenant sees %v, %v", list, err)
	}
}

func testConditions(t *testing.T, r *rig) {
	cam := id.New[id.Camera]()
	put := func(since int64, state wire.State, text string) {
		t.Helper()
		r.tx(func(q store.Querier) error {
			return health.PutCondition(t.Context(), q, r.ref, wire.ConditionFact{
				Name: "stream", Camera: cam, Kind: "main", State: state, SinceUs: since, Text: text,
			})
		})
	}
	// Changes come out of order, and one twice.
	put(300, wire.OK, "")
	put(100, wire.Failing, "first")
	put(500, wire.Failing, "second")
	put(200, wire.Failing, "in between")
	put(100, wire.Failing, "first, again")
	list, err := health.Failures(t.Context(), r.d.Read(), r.scope(), r.ref.Site, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, c := range list {
		end := fmt.Sprint(c.EndUs)
		if c.EndUs == health.Lasts {
			end = "lasts"
		}
		parts = append(parts, fmt.Sprintf("%d-%s %s", c.SinceUs, end, c.Text))
	}
	if got, want := strings.Join(parts, ", "), "500-lasts second, 200-300 in between, 100-200 first, again"; got != want {
		t.Errorf("failures %q, want %q", got, want)
	}
	for rng, n := range map[[2]int64]int{{0, 100}: 0, {0, 101}: 1, {300, 500}: 0, {299, 500}: 1, {600, 700}: 1} {
		if list, _ := health.Failures(t.Context(), r.d.Read(), r.scope(), r.ref.Site, rng[0], rng[1]); len(list) != n {
			t.Errorf("%v: %d failures, want %d", rng, len(list), n)
		}
	}
}

func testOutages(t *testing.T, r *rig) {
	for _, end := range []int64{200, 250} {
		r.tx(func(q store.Querier) error {
			return health.PutOutages(t.Context(), q, r.ref, []wire.OutageFact{{StartUs: 100, EndUs: end, Text: "x"}, {StartUs: 100, EndUs: end}})
		})
	}
	list, err := health.Outages(t.Context(), r.d.Read(), r.scope(), r.ref.Site, 240, 300)
	if err != nil || len(list) != 1 || list[0].EndUs != 250 {
		t.Errorf("outages %+v, %v", list, err)
	}
	if list, _ := health.Outages(t.Context(), r.d.Read(), r.scope(), r.ref.Site, 250, 300); len(list) != 0 {
		t.Errorf("outages after their end: %+v", list)
	}
}

func testStates(t *testing.T, r *rig) {
	other := r.site()
	r.tx(func(q store.Querier) error {
		states := []health.State{{Ref: r.ref, SeenUs: 5, Body: []byte(`{"n":1}`)}, {Ref: agents.Ref{Org: r.ref.Org, Site: other, Agent: r.ref.Agent}, SeenUs: 6, Body: []byte(`{}`)}}
		return errors.Join(health.PutStates(t.Context(), q, states),
			health.PutStates(t.Context(), q, []health.State{{Ref: r.ref, SeenUs: 7, Body: []byte(`{"n":2}`)}}),
			health.PutReports(t.Context(), q, []health.Report{{Ref: r.ref, AtUs: 7, Body: []byte(`{"r":1}`)}}),
			// Another tenant can't overwrite it.
			health.PutStates(t.Context(), q, []health.State{{Ref: agents.Ref{Org: id.New[id.Org](), Site: r.ref.Site}, SeenUs: 9, Body: []byte(`{}`)}}))
	})
	read := func() map[id.Site]string {
		t.Helper()
		out := map[id.Site]string{}
		err := health.States(t.Context(), r.d.Read(), r.scope(), func(s health.State, rep health.Report) error {
			out[s.Site] = fmt.Sprintf("%d %s %s", s.SeenUs, s.Body, rep.Body)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := read(); len(got) != 2 || got[r.ref.Site] != `7 {"n":2} {"r":1}` || got[other] != "6 {} " {
		t.Errorf("states %v", got)
	}
	r.tx(func(q store.Querier) error {
		return errors.Join(health.DropState(t.Context(), q, r.scope(), r.ref.Site), orgs.RemoveSite(t.Context(), q, r.scope(), other, 9))
	})
	if got := read(); len(got) != 0 {
		t.Errorf("states %v of a dropped and a removed site", got)
	}
}

func testIncidents(t *testing.T, r *rig) {
	sites := []id.Site{r.ref.Site, r.site()}
	var all []health.Incident
	for n := range int64(5) {
		i := health.Incident{
			ID: id.New[id.Incident](), Org: r.ref.Org, Site: sites[n%2], Kind: health.Dark, StartUs: 100 + n/2, SaidUs: 200, Silences: 1,
			Cause: "silent", Report: []string{"a", "b"},
		}
		if n < 4 {
			i.EndUs, i.SettledUs = 1000+n, 2000+n
		}
		all = append(all, i)
		r.tx(func(q store.Querier) error { return health.PutIncident(t.Context(), q, i) })
	}
	list := func(f health.IncidentFilter) ([]health.Incident, string) {
		t.Helper()
		out, next, err := health.Incidents(t.Context(), r.d.Read(), r.scope(), f)
		if err != nil {
			t.Fatal(err)
		}
		return out, next
	}
	seen := map[id.Incident]bool{}
	f := health.IncidentFilter{Limit: 2}
	for range 3 {
		page, next := list(f)
		for _, i := range page {
			seen[i.ID] = true
		}
		f.Before = next
	}
	if len(seen) != 5 || f.Before != "" {
		t.Errorf("pages hold %d incidents, then %q", len(seen), f.Before)
	}
	for n, f := range map[int]health.IncidentFilter{3: {Site: sites[0]}, 2: {Sites: sites[1:]}, 0: {Sites: []id.Site{}}, 4: {ToUs: 102}, 1: {FromUs: 1004}} {
		if got, _ := list(f); len(got) != n {
			t.Errorf("%+v: %d incidents, want %d", f, len(got), n)
		}
	}
	if _, _, err := health.Incidents(t.Context(), r.d.Read(), r.scope(), health.IncidentFilter{Before: "x.y"}); !errors.Is(err, health.ErrCursor) {
		t.Errorf("a wrong cursor: %v", err)
	}
	open, err := health.OpenIncidents(t.Context(), r.d.Read(), r.scope())
	if err != nil || len(open) != 1 || open[0].ID != all[4].ID || len(open[0].Report) != 2 {
		t.Errorf("open %+v, %v", open, err)
	}
	last, err := health.LastIncidents(t.Context(), r.d.Read(), r.scope())
	if err != nil || len(last) != 2 {
		t.Errorf("last %+v, %v", last, err)
	}
	losing := all[0]
	losing.ID, losing.Kind, losing.EndUs, losing.SettledUs = id.New[id.Incident](), health.Losing, 0, 0
	r.tx(func(q store.Querier) error { return health.PutIncident(t.Context(), q, losing) })
	if got, _ := list(health.IncidentFilter{Kind: health.Losing}); len(got) != 1 || got[0].ID != losing.ID {
		t.Errorf("incidents of one kind %+v", got)
	}
	losing.EndUs, losing.SettledUs, losing.Outcome = 5000, 5001, "kept"
	r.tx(func(q store.Querier) error { return health.PutIncident(t.Context(), q, losing) })
	if last, err = health.LastIncidents(t.Context(), r.d.Read(), r.scope()); err != nil || len(last) != 3 {
		t.Errorf("last of each kind %+v, %v", last, err)
	}
	stolen := all[0]
	stolen.Org, stolen.Text = id.New[id.Org](), "changed by another tenant"
	r.tx(func(q store.Querier) error { return health.PutIncident(t.Context(), q, stolen) })
	if got, err := health.GetIncident(t.Context(), r.d.Read(), r.scope(), all[0].ID); err != nil || got.Text != "" {
		t.Errorf("incident %+v, %v", got, err)
	}
	if _, err := health.GetIncident(t.Context(), r.d.Read(), store.Org(stolen.Org), all[0].ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another tenant's incident: %v", err)
	}
}

func testConfig(t *testing.T, r *rig) {
	for _, c := range [][2]int64{{7, 7}, {3, 7}, {9, 9}} {
		r.tx(func(q store.Querier) error { return health.LiftConfig(t.Context(), q, r.scope(), r.ref.Site, c[0]) })
		if s, err := orgs.GetSite(t.Context(), r.d.Read(), r.scope(), r.ref.Site); err != nil || s.Config != c[1] {
			t.Errorf("after %d the version is %d, %v; want %d", c[0], s.Config, err, c[1])
		}
	}
}

func testSweep(t *testing.T, r *rig) {
	r.tx(func(q store.Querier) error {
		src := health.Source{Ref: r.ref, Epoch: "e", Queue: 1}
		return errors.Join(
			health.PutRuns(t.Context(), q, src, []health.RunWord{
				{Seq: 1, RunFact: wire.RunFact{Run: 1, WallUs: 10, EndMono: 20, EndedBy: wire.AgentStopped}}, {Seq: 2, RunFact: wire.RunFact{Run: 2, WallUs: 40}},
			}),
			health.PutOutages(t.Context(), q, r.ref, []wire.OutageFact{{StartUs: 1, EndUs: 20}, {StartUs: 30, EndUs: 60}}),
			health.PutCondition(t.Context(), q, r.ref, wire.ConditionFact{Name: "disk", State: wire.Failing, SinceUs: 10}),
			health.PutCondition(t.Context(), q, r.ref, wire.ConditionFact{Name: "disk", State: wire.Failing, Reason: wire.SlowDisk, SinceUs: 30}),
			health.Sweep(t.Context(), q, store.System(store.UseSweep), r.ref.Site, 50))
	})
	runs, _ := health.Runs(t.Context(), r.d.Read(), r.scope(), r.ref.Site, 0, 100)
	outages, _ := health.Outages(t.Context(), r.d.Read(), r.scope(), r.ref.Site, 0, 100)
	failures, _ := health.Failures(t.Context(), r.d.Read(), r.scope(), r.ref.Site, 0, 100)
	if len(runs) != 1 || len(outages) != 1 || len(failures) != 1 {
		t.Errorf("left: %d runs, %d outages, %d failures; want one of each", len(runs), len(outages), len(failures))
	}
}

package marks_test

import (
	"errors"
	"fmt"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/marks"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/testenv/db"
)

type rig struct {
	t   *testing.T
	d   *store.DB
	ref agents.Ref
}

func newRig(t *testing.T, d *store.DB) *rig {
	t.Helper()
	r := &rig{t, d, agents.Ref{Org: id.New[id.Org](), Site: id.New[id.Site](), Agent: id.New[id.Agent]()}}
	r.tx(func(q store.Querier) error {
		return errors.Join(orgs.Add(t.Context(), q, orgs.Org{ID: r.ref.Org, Name: string(r.ref.Org), CreatedUs: 1}),
			orgs.AddSite(t.Context(), q, orgs.Site{ID: r.ref.Site, Org: r.ref.Org, Name: "North", Timezone: "UTC", CreatedUs: 1}))
	})
	return r
}

func (r *rig) tx(fn func(q store.Querier) error) {
	r.t.Helper()
	if err := r.d.Tx(r.t.Context(), fn); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) queue(n int64) marks.Queue {
	return marks.Queue{Org: r.ref.Org, Site: r.ref.Site, Agent: r.ref.Agent, Epoch: "e", Queue: n}
}

func TestMarks(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		for name, test := range map[string]func(*testing.T, *rig){
			"move": testMove, "park": testPark, "try": testTry, "claim": testClaim,
		} {
			t.Run(name, func(t *testing.T) { test(t, newRig(t, d)) })
		}
	})
}

func testMove(t *testing.T, r *rig) {
	for _, seq := range []int64{5, 3, 9} {
		r.tx(func(q store.Querier) error {
			return errors.Join(marks.Lock(t.Context(), q, r.d.Postgres(), r.ref.Site), marks.Move(t.Context(), q, r.queue(2), seq, 1))
		})
	}
	r.tx(func(q store.Querier) error { return marks.Move(t.Context(), q, r.queue(0), 1, 1) })
	list, err := marks.List(t.Context(), r.d.Read(), r.ref.Scope(), r.ref.Agent, "e")
	if err != nil || fmt.Sprint(list) != "[{0 1} {2 9}]" {
		t.Errorf("marks %v, %v", list, err)
	}
	if seq, err := marks.Get(t.Context(), r.d.Read(), store.Org(id.New[id.Org]()), r.queue(2)); err != nil || seq != 0 {
		t.Errorf("another tenant sees %d, %v", seq, err)
	}
}

func testPark(t *testing.T, r *rig) {
	var facts []marks.Parked
	for n := range int64(20) {
		facts = append(facts, marks.Parked{Queue: r.queue(1), Seq: n + 1, Kind: "event", Body: []byte{0, 0xff}, Reason: "x", AtUs: 100 + n})
	}
	r.tx(func(q store.Querier) error { return marks.Park(t.Context(), q, facts) })
	r.tx(func(q store.Querier) error { return marks.Park(t.Context(), q, facts[:3]) }) // again
	list, err := marks.ListParked(t.Context(), r.d.Read(), r.ref.Scope(), r.ref.Site, 2)
	if err != nil || len(list) != 2 || list[0].Seq != 20 || string(list[0].Body) != "\x00\xff" {
		t.Fatalf("parked %+v, %v", list, err)
	}
	r.tx(func(q store.Querier) error {
		return marks.SweepParked(t.Context(), q, store.System(store.UseSweep), r.ref.Site, 105, 8)
	})
	if list, _ := marks.ListParked(t.Context(), r.d.Read(), r.ref.Scope(), r.ref.Site, 100); len(list) != 9 || list[len(list)-1].Seq < 6 {
		t.Errorf("%d parked are left", len(list))
	}
}

// testTry refuses a row by a real constraint, inside a transaction that goes on.
func testTry(t *testing.T, r *rig) {
	boom := errors.New("boom")
	r.tx(func(q store.Querier) error {
		refused, err := marks.Try(t.Context(), q, func() error {
			_, err := q.ExecContext(t.Context(), `INSERT INTO installation (name, value) VALUES ('kept', NULL)`)
			return err
		})
		if err != nil || refused == nil || !marks.Refused(refused) {
			t.Errorf("a broken constraint: %v, %v", refused, err)
		}
		refused, err = marks.Try(t.Context(), q, func() error {
			_, err := q.ExecContext(t.Context(), `INSERT INTO installation (name, value) VALUES ('undone', 'x')`)
			return errors.Join(err, boom)
		})
		if err != nil || !errors.Is(refused, boom) || marks.Refused(refused) {
			t.Errorf("a failure of another kind: %v, %v", refused, err)
		}
		refused, err = marks.Try(t.Context(), q, func() error {
			_, err := q.ExecContext(t.Context(), `INSERT INTO installation (name, value) VALUES ($1, 'x')`, "kept "+string(r.ref.Org))
			return err
		})
		return errors.Join(refused, err)
	})
	var n int
	err := r.d.Read().QueryRowContext(t.Context(), `SELECT count(*) FROM installation WHERE name IN ('undone', $1)`, "kept "+string(r.ref.Org)).Scan(&n)
	if err != nil || n != 1 {
		t.Errorf("%d rows, %v; want the one that was kept", n, err)
	}
}

func testClaim(t *testing.T, r *rig) {
	other := newRig(t, r.d)
	theirs, ours := id.New[id.Camera](), id.New[id.Camera]()
	claim := func(r *rig, cameras ...id.Camera) (fresh []id.Camera, own map[id.Camera]bool) {
		t.Helper()
		r.tx(func(q store.Querier) (err error) {
			fresh, own, err = marks.Claim(t.Context(), q, r.ref, cameras, 5)
			return err
		})
		return fresh, own
	}
	claim(other, theirs)
	if fresh, own := claim(r, ours, theirs); fmt.Sprint(fresh) != fmt.Sprint([]id.Camera{ours}) || !own[ours] || own[theirs] {
		t.Errorf("fresh %v, own %v", fresh, own)
	}
	if fresh, own := claim(r, ours); len(fresh) != 0 || !own[ours] {
		t.Errorf("again: fresh %v, own %v", fresh, own)
	}
	c, err := orgs.GetCamera(t.Context(), r.d.Read(), r.ref.Scope(), ours)
	if err != nil || c.Reported || c.Name() != string(ours) || c.Site != r.ref.Site {
		t.Errorf("camera %+v, %v", c, err)
	}
	many := make([]id.Camera, orgs.MaxCameras+50)
	for i := range many {
		many[i] = id.New[id.Camera]()
	}
	if fresh, own := claim(r, many...); len(fresh) != orgs.MaxCameras-1 || len(own) != orgs.MaxCameras {
		t.Errorf("%d fresh, %d own: a site has at most %d", len(fresh), len(own), orgs.MaxCameras)
	}
}

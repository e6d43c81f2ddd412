package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/cloud/ingest"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/coverage"
	"holdfast/cloud/store/events"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/marks"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

const s = int64(1_000_000)

// at returns a wall time that many seconds after the tests' zero.
func at(seconds int64) int64 { return 1000*s + seconds*s }

// rig is a site with an agent and its room.
type rig struct {
	t    *testing.T
	d    *store.DB
	in   *ingest.Ingest
	ref  agents.Ref
	deps ingest.Deps

	mu   sync.Mutex
	told []ingest.Change
}

func newRig(t *testing.T, d *store.DB) *rig {
	t.Helper()
	r := &rig{t: t, d: d, ref: site(t, d)}
	r.deps.Changed = func(c ingest.Change) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.told = append(r.told, c)
	}
	r.in = ingest.New(ingest.Config{AheadWait: 10 * time.Millisecond}, d, r.deps)
	return r
}

func site(t testing.TB, d *store.DB) agents.Ref {
	t.Helper()
	ref := agents.Ref{Org: id.New[id.Org](), Site: id.New[id.Site](), Agent: id.New[id.Agent]()}
	err := d.Tx(t.Context(), func(q store.Querier) error {
		return errors.Join(orgs.Add(t.Context(), q, orgs.Org{ID: ref.Org, Name: "Org " + string(ref.Org), CreatedUs: 1}),
			orgs.AddSite(t.Context(), q, orgs.Site{ID: ref.Site, Org: ref.Org, Name: "North", Timezone: "Europe/Berlin", CreatedUs: 1}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func fact(t testing.TB, seq int64, kind wire.FactKind, body any) wire.Fact {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Fact{Seq: seq, Kind: kind, Body: raw}
}

func batch(queue int64, facts ...wire.Fact) wire.Batch {
	return wire.Batch{Epoch: "EPOCH1", Queue: queue, Lane: wire.Live, Facts: facts}
}

func (r *rig) apply(b wire.Batch) wire.Ack {
	r.t.Helper()
	ack, err := r.in.Apply(r.t.Context(), r.ref, b)
	if err != nil {
		r.t.Fatal(err)
	}
	return ack
}

func event(at int64) wire.EventFact {
	return wire.EventFact{ID: id.New[id.Event](), Kind: "door_opened", Source: "local", AtUs: at, Text: "Back door"}
}

func cover(cam id.Camera, from, to int64) wire.CoverageFact {
	return wire.CoverageFact{
		Stream: id.Stream{Camera: cam, Kind: id.Main}, Run: 1, Segment: 1, StartUs: at(from), EndUs: at(to),
		Bytes: 1, Root: make([]byte, 32),
	}
}

func (r *rig) coverage(cam id.Camera) string {
	r.t.Helper()
	list, err := coverage.Coverage(r.t.Context(), r.d.Read(), r.ref.Scope(), cam, id.Main, at(-10), at(1000))
	if err != nil {
		r.t.Fatal(err)
	}
	var parts []string
	for _, x := range list {
		what := "rec"
		if !x.Recorded {
			what = string(x.Gap.Reason)
		}
		parts = append(parts, fmt.Sprintf("%d-%d %s", (x.StartUs-at(0))/s, (x.EndUs-at(0))/s, what))
	}
	return strings.Join(parts, ", ")
}

func (r *rig) events() []id.Event {
	r.t.Helper()
	list, _, err := events.List(r.t.Context(), r.d.Read(), r.ref.Scope(), events.Filter{Limit: 500})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []id.Event
	for _, e := range list {
		out = append(out, e.ID)
	}
	return out
}

func TestIngest(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		for name, test := range map[string]func(*testing.T, *store.DB){
			"every kind":            testEveryKind,
			"counted once":          testOnce,
			"ahead":                 testAhead,
			"overtaken":             testOvertaken,
			"queues":                testQueues,
			"new epoch":             testNewEpoch,
			"concurrent duplicates": testConcurrent,
			"poison":                testPoison,
			"foreign camera":        testForeignCamera,
			"hooks":                 testHooks,
			"sweep":                 testSweep,
		} {
			t.Run(name, func(t *testing.T) { test(t, d) })
		}
	})
}

func testEveryKind(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	cam := id.New[id.Camera]()
	stream := id.Stream{Camera: cam, Kind: id.Main}
	ack := r.apply(batch(1,
		fact(t, 1, wire.KindRun, wire.RunFact{Run: 1, BootID: "boot-1", WallUs: at(5), AgentVer: "1.0"}),
		fact(t, 2, wire.KindGap, wire.GapFact{ID: 1, Stream: stream, Run: 1, StartUs: at(5), Reason: wire.AwaitKeyFrame}),
		fact(t, 3, wire.KindGap, wire.GapFact{ID: 1, Stream: stream, Run: 1, StartUs: at(5), EndUs: at(10), Reason: wire.AwaitKeyFrame}),
		fact(t, 4, wire.KindCoverage, cover(cam, 10, 70)),
		fact(t, 5, wire.KindTrim, wire.TrimFact{Stream: stream, StartUs: at(10), EndUs: at(20), Reason: wire.Expired}),
		fact(t, 6, wire.KindEvent, event(at(30))),
		fact(t, 7, wire.KindCondition, wire.ConditionFact{Name: "disk", State: wire.Failing, Reason: wire.DiskFailed, SinceUs: at(40)}),
		fact(t, 8, wire.KindOutage, wire.OutageFact{StartUs: at(50), EndUs: at(60), Text: "no route to host"}),
	))
	if !reflect.DeepEqual(ack, wire.Ack{Queue: 1, Seq: 8}) {
		t.Fatalf("ack %+v", ack)
	}
	if got := r.coverage(cam); got != "5-10 await_keyframe, 10-20 expired, 20-70 rec" {
		t.Fatalf("coverage %q", got)
	}
	if n := len(r.events()); n != 1 {
		t.Fatalf("%d events", n)
	}
	runs, err := health.Runs(t.Context(), d.Read(), r.ref.Scope(), r.ref.Site, 0, at(1000))
	if err != nil || len(runs) != 1 || runs[0].BootID != "boot-1" {
		t.Fatalf("runs %+v, %v", runs, err)
	}
	failures, err := health.Failures(t.Context(), d.Read(), r.ref.Scope(), r.ref.Site, 0, at(1000))
	if err != nil || len(failures) != 1 || failures[0].EndUs != health.Lasts {
		t.Fatalf("failures %+v, %v", failures, err)
	}
	outages, err := health.Outages(t.Context(), d.Read(), r.ref.Scope(), r.ref.Site, 0, at(1000))
	if err != nil || len(outages) != 1 || outages[0].Text != "no route to host" {
		t.Fatalf("outages %+v, %v", outages, err)
	}
	kinds := map[string]int{}
	for _, c := range r.told {
		kinds[c.Kind]++
	}
	if !reflect.DeepEqual(kinds, map[string]int{"camera": 1, "coverage": 1, "event": 1, "site": 1}) {
		t.Fatalf("told %v", kinds)
	}
}

func testOnce(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	var facts []wire.Fact
	for i := range int64(10) {
		facts = append(facts, fact(t, i+1, wire.KindEvent, event(i+1)))
	}
	r.apply(batch(1, facts[:6]...))
	if ack := r.apply(batch(1, facts[:6]...)); ack.Seq != 6 {
		t.Fatalf("ack of a duplicate %+v", ack)
	}
	if ack := r.apply(batch(1, facts[2:9]...)); ack.Seq != 9 { // overlaps
		t.Fatalf("ack of an overlap %+v", ack)
	}
	if ack := r.apply(batch(1, facts[0])); ack.Seq != 9 { // late
		t.Fatalf("ack of a late one %+v", ack)
	}
	if ack := r.apply(batch(1)); ack.Seq != 9 {
		t.Fatalf("ack of an empty batch %+v", ack)
	}
	r.apply(batch(1, facts[9]))
	if n := len(r.events()); n != 10 {
		t.Fatalf("%d events, want 10", n)
	}
	got, err := r.in.Marks(t.Context(), r.ref, "EPOCH1")
	if err != nil || !reflect.DeepEqual(got, []wire.Mark{{Queue: 1, Seq: 10}}) {
		t.Fatalf("marks %v, %v", got, err)
	}
}

// testOvertaken sends batches of which each has overtaken the one before it: they wait for it and are applied in order.
func testOvertaken(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	r.in = ingest.New(ingest.Config{AheadWait: time.Hour}, d, r.deps)
	const batches = 5 // one comes in time, four may wait
	send := func(n int64) {
		ack, err := r.in.Apply(t.Context(), r.ref, batch(2, fact(t, 2*n-1, wire.KindEvent, event(2*n-1)), fact(t, 2*n, wire.KindEvent, event(2*n))))
		if err != nil || ack.Seq != 2*n {
			t.Errorf("batch %d: ack %+v, %v", n, ack, err)
		}
	}
	var sending sync.WaitGroup
	for n := int64(batches); n > 1; n-- {
		sending.Go(func() { send(n) })
	}
	send(1)
	sending.Wait()
	if n := len(r.events()); n != 2*batches {
		t.Errorf("%d events, want %d", n, 2*batches)
	}
}

func testAhead(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	r.apply(batch(3, fact(t, 1, wire.KindEvent, event(1))))
	_, err := r.in.Apply(t.Context(), r.ref, batch(3, fact(t, 3, wire.KindEvent, event(3))))
	var ahead *ingest.AheadError
	if !errors.As(err, &ahead) || ahead.Mark != 1 || ahead.First != 3 || ahead.Queue != 3 {
		t.Fatalf("Apply = %v, want an AheadError with mark 1", err)
	}
	var refusal *wire.Refusal
	if !errors.As(err, &refusal) || refusal.Code != wire.RefusedConflict {
		t.Fatalf("the agent is told %v", refusal)
	}
	one := fact(t, 1, wire.KindEvent, event(1))
	for name, b := range map[string]wire.Batch{
		"hole":     batch(1, one, fact(t, 3, wire.KindEvent, event(3))),
		"seq 0":    batch(1, fact(t, 0, wire.KindEvent, event(3))),
		"max seq":  batch(1, fact(t, 1<<62+(1<<62-1), wire.KindEvent, event(3)), fact(t, -1<<63, wire.KindEvent, event(3))),
		"queue":    batch(-1, one),
		"epoch":    {Epoch: "a b", Facts: []wire.Fact{one}},
		"no epoch": {Facts: []wire.Fact{one}},
		"too many": batch(1, make([]wire.Fact, wire.MaxBatchFacts+1)...),
	} {
		_, err := r.in.Apply(t.Context(), r.ref, b)
		if !errors.Is(err, ingest.ErrBatch) || !errors.As(err, &refusal) || refusal.Code != wire.RefusedMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// testQueues applies queues out of their order: a newer one while an older one still waits.
func testQueues(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	cam := id.New[id.Camera]()
	stream := id.Stream{Camera: cam, Kind: id.Main}
	gap := wire.GapFact{ID: 7, Stream: stream, Run: 1, StartUs: at(60), Reason: wire.Unreachable}
	closed := gap
	closed.EndUs = at(90)
	backlog := batch(4, fact(t, 1, wire.KindCoverage, cover(cam, 0, 60)), fact(t, 2, wire.KindGap, gap))
	live := batch(5, fact(t, 1, wire.KindGap, closed), fact(t, 2, wire.KindCoverage, cover(cam, 90, 150)))
	want := "0-60 rec, 60-90 unreachable, 90-150 rec"
	r.apply(live)
	r.apply(backlog)
	if got := r.coverage(cam); got != want {
		t.Fatalf("coverage %q, want %q", got, want)
	}
}

func testNewEpoch(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	cam := id.New[id.Camera]()
	stream := id.Stream{Camera: cam, Kind: id.Main}
	e := event(5)
	b := batch(2, fact(t, 1, wire.KindCoverage, cover(cam, 0, 60)), fact(t, 2, wire.KindEvent, e),
		fact(t, 3, wire.KindGap, wire.GapFact{ID: 1, Stream: stream, Run: 1, StartUs: at(60), EndUs: at(70), Reason: wire.Stalled}))
	r.apply(b)
	b.Epoch = "EPOCH2"
	if ack := r.apply(b); ack.Seq != 3 || ack.Parked != nil {
		t.Fatalf("ack %+v", ack)
	}
	if n := len(r.events()); n != 1 {
		t.Fatalf("%d events, want 1", n)
	}
	if got := r.coverage(cam); got != "0-60 rec, 60-70 stalled" {
		t.Fatalf("coverage %q", got)
	}
	if got, err := r.in.Marks(t.Context(), r.ref, "EPOCH3"); err != nil || len(got) != 0 {
		t.Fatalf("marks of an epoch that was never seen: %v, %v", got, err)
	}
	other := r.ref
	other.Org = id.New[id.Org]()
	if got, err := r.in.Marks(t.Context(), other, "EPOCH2"); err != nil || len(got) != 0 {
		t.Fatalf("marks for another tenant: %v, %v", got, err)
	}
}

// testConcurrent sends every batch of three queues several times at once and out of order, as a line that
// duplicates and reorders would, until all are acked; counts and coverage are exact.
func testConcurrent(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	cam := id.New[id.Camera]()
	var queues [][]wire.Batch
	var want []id.Event
	for queue := range int64(3) {
		var list []wire.Batch
		seq := int64(0)
		for part := range int64(8) {
			var facts []wire.Fact
			for i := range int64(5) {
				e := event(part*100 + i + 1)
				want = append(want, e.ID)
				seq++
				facts = append(facts, fact(t, seq, wire.KindEvent, e))
			}
			seq++
			from := queue*80 + part*10
			facts = append(facts, fact(t, seq, wire.KindCoverage, cover(cam, from, from+10)))
			list = append(list, batch(queue+1, facts...))
		}
		queues = append(queues, list)
	}
	ctx := context.WithoutCancel(t.Context())
	var wg sync.WaitGroup
	for _, list := range queues {
		for range 3 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(1, 2))
				for acked := int64(0); acked < 48; {
					ack, err := r.in.Apply(ctx, r.ref, list[rng.IntN(len(list))])
					var ahead *ingest.AheadError
					if err != nil && !errors.As(err, &ahead) {
						t.Error(err)
						return
					}
					acked = max(acked, ack.Seq)
				}
			})
		}
	}
	wg.Wait()
	if got := r.coverage(cam); got != "0-240 rec" {
		t.Fatalf("coverage %q", got)
	}
	seen := map[id.Event]int{}
	for _, e := range r.events() {
		seen[e]++
	}
	if len(seen) != len(want) {
		t.Fatalf("%d events, want %d", len(seen), len(want))
	}
	for _, e := range want {
		if seen[e] != 1 {
			t.Fatalf("event %s is there %d times", e, seen[e])
		}
	}
}

func testPoison(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	cam := id.New[id.Camera]()
	stream := id.Stream{Camera: cam, Kind: id.Main}
	good := event(1)
	nul := event(2)
	nul.Text = "a\x00b\u202eevil"
	bad := []wire.Fact{
		{Kind: "event", Body: []byte(`{`)},
		{Kind: "event", Body: []byte("{\"text\":\"\xff\"}")},
		{Kind: "event", Body: []byte(`null`)},
		{Kind: "event", Body: []byte(`{"at_us":1e400}`)},
		{Kind: "event", Body: []byte(strings.Repeat("[", 100_000))},
		{Kind: "event", Body: []byte(strings.Repeat(" ", wire.MaxFactBytes+1))},
		{Kind: "event"},
		{Kind: "nonsense\x00", Body: []byte(`{}`)},
		fact(t, 0, wire.KindEvent, wire.EventFact{ID: "evt-x", Kind: "a", Source: "local", AtUs: 1}),
		fact(t, 0, wire.KindEvent, wire.EventFact{ID: good.ID, Kind: "Bad Kind", Source: "local", AtUs: 1}),
		fact(t, 0, wire.KindEvent, wire.EventFact{ID: id.New[id.Event](), Kind: "a", Source: "local", AtUs: -1}),
		fact(t, 0, wire.KindEvent, wire.EventFact{ID: id.New[id.Event](), Kind: "a", Source: "local", AtUs: 5, EndUs: 4}),
		fact(t, 0, wire.KindEvent, wire.EventFact{ID: id.New[id.Event](), Kind: "a", Source: "local", AtUs: 5, Data: []byte(`[1]`)}),
		fact(t, 0, wire.KindEvent, wire.EventFact{
			ID: id.New[id.Event](), Kind: "a", Source: "local", AtUs: 5,
			Data: []byte(`{"x":"` + strings.Repeat("y", 9000) + `"}`),
		}),
		fact(t, 0, wire.KindEvent, wire.EventFact{ID: id.New[id.Event](), Kind: "a", Source: "local", AtUs: 5, Camera: "../../etc"}),
		fact(t, 0, wire.KindGap, wire.GapFact{ID: 1, Stream: stream, StartUs: 5, Reason: "because"}),
		fact(t, 0, wire.KindGap, wire.GapFact{ID: 0, Stream: stream, StartUs: 5, Reason: wire.Stalled}),
		fact(t, 0, wire.KindGap, wire.GapFact{ID: 1, Stream: id.Stream{Camera: cam, Kind: "third"}, StartUs: 5, Reason: wire.Stalled}),
		fact(t, 0, wire.KindCoverage, wire.CoverageFact{Stream: stream, StartUs: 10, EndUs: 10}),
		fact(t, 0, wire.KindCoverage, wire.CoverageFact{Stream: stream, StartUs: 10, EndUs: 1 << 60}),
		fact(t, 0, wire.KindCoverage, wire.CoverageFact{Stream: stream, StartUs: 10, EndUs: 20, Root: []byte("short")}),
		fact(t, 0, wire.KindTrim, wire.TrimFact{Stream: stream, StartUs: 10, EndUs: 20, Reason: wire.Stalled}),
		fact(t, 0, wire.KindCondition, wire.ConditionFact{Name: "disk", State: "broken", SinceUs: 5}),
		fact(t, 0, wire.KindRun, wire.RunFact{Run: 1, BootID: strings.Repeat("b", 500), WallUs: 5}),
		fact(t, 0, wire.KindOutage, wire.OutageFact{StartUs: 9, EndUs: 8}),
		fact(t, 0, wire.KindClip, wire.ClipFact{Clip: id.New[id.Clip](), State: wire.ClipStored, AtUs: 5}),
		fact(t, 0, wire.KindClip, wire.ClipFact{Clip: id.New[id.Clip](), State: wire.ClipQueued, AtUs: 5, Stream: "third"}),
		fact(t, 0, wire.KindClip, wire.ClipFact{Clip: id.New[id.Clip](), State: wire.ClipQueued, AtUs: 5}), // nobody takes clips here
	}
	facts := append([]wire.Fact{fact(t, 0, wire.KindEvent, good)}, bad...)
	facts = append(facts, fact(t, 0, wire.KindEvent, nul), fact(t, 0, wire.KindCoverage, cover(cam, 0, 60)))
	for i := range facts {
		facts[i].Seq = int64(i + 1)
	}
	ack := r.apply(batch(1, facts...))
	if ack.Seq != int64(len(facts)) || len(ack.Parked) != len(bad) {
		t.Fatalf("ack %+v; want all of %d, %d parked", ack, len(facts), len(bad))
	}
	parked, err := marks.ListParked(t.Context(), d.Read(), r.ref.Scope(), r.ref.Site, 100)
	if err != nil || len(parked) != len(bad) {
		t.Fatalf("%d parked, %v", len(parked), err)
	}
	for _, p := range parked {
		if p.Reason == "" || p.Seq < 2 || p.Seq > int64(len(bad))+1 {
			t.Errorf("parked %d: %q", p.Seq, p.Reason)
		}
	}
	if n := len(r.events()); n != 2 {
		t.Fatalf("%d events, want the two good ones", n)
	}
	if got := r.coverage(cam); got != "0-60 rec" {
		t.Fatalf("coverage %q", got)
	}
	list, _, _ := events.List(t.Context(), d.Read(), r.ref.Scope(), events.Filter{})
	if list[0].Text != "abevil" {
		t.Fatalf("text %q was not made safe", list[0].Text)
	}
}

func testForeignCamera(t *testing.T, d *store.DB) {
	r, other := newRig(t, d), newRig(t, d)
	cam := id.New[id.Camera]()
	other.apply(batch(1, fact(t, 1, wire.KindCoverage, cover(cam, 0, 60))))
	e := event(5)
	e.Camera = cam
	ack := r.apply(batch(1,
		fact(t, 1, wire.KindTrim, wire.TrimFact{Stream: id.Stream{Camera: cam, Kind: id.Main}, StartUs: at(1), EndUs: at(60), Reason: wire.Lost}),
		fact(t, 2, wire.KindEvent, e), fact(t, 3, wire.KindEvent, event(6)),
		fact(t, 4, wire.KindCondition, wire.ConditionFact{Name: "camera", Camera: cam, State: wire.Failing, SinceUs: 4})))
	if ack.Seq != 4 || !reflect.DeepEqual(ack.Parked, []int64{1, 2, 4}) {
		t.Fatalf("ack %+v", ack)
	}
	if got := other.coverage(cam); got != "0-60 rec" {
		t.Fatalf("the other site's coverage is %q", got)
	}
	if got := r.coverage(cam); got != "" {
		t.Fatalf("the other site's coverage is visible: %q", got)
	}
	// An event ID of another site is not ours to change.
	mine := event(7)
	other.apply(batch(1, fact(t, 2, wire.KindEvent, mine)))
	r.apply(batch(1, fact(t, 5, wire.KindEvent, mine)))
	if a, b := len(r.events()), len(other.events()); a != 2 || b != 1 {
		t.Fatalf("%d and %d events, want 2 and 1", a, b)
	}
}

func testHooks(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	var fresh, clips int
	refuse := id.New[id.Event]()
	boom := errors.New("boom")
	broken := false
	deps := r.deps
	deps.Clip = func(context.Context, store.Querier, agents.Ref, wire.ClipFact) error { clips++; return nil }
	deps.Events = func(_ context.Context, _ store.Querier, ref agents.Ref, list []wire.EventFact) error {
		if ref != r.ref {
			t.Errorf("hook for %v", ref)
		}
		if broken {
			return boom
		}
		for _, e := range list {
			if e.ID == refuse {
				return fmt.Errorf("%w: not this one", ingest.ErrPoison)
			}
		}
		fresh += len(list)
		return nil
	}
	r.in = ingest.New(ingest.Config{}, d, deps)
	one := batch(1, fact(t, 1, wire.KindEvent, event(1)), fact(t, 2, wire.KindClip,
		wire.ClipFact{Clip: id.New[id.Clip](), State: wire.ClipQueued, AtUs: 5}))
	r.apply(one)
	r.apply(one)
	if fresh != 1 || clips != 1 {
		t.Fatalf("hooks saw %d events and %d clips, want each once", fresh, clips)
	}
	poison := event(2)
	poison.ID = refuse
	ack := r.apply(batch(1, fact(t, 3, wire.KindEvent, event(1)), fact(t, 4, wire.KindEvent, poison), fact(t, 5, wire.KindEvent, event(1))))
	if !reflect.DeepEqual(ack.Parked, []int64{4}) || fresh != 3 || len(r.events()) != 3 {
		t.Fatalf("ack %+v, %d fresh, %d stored", ack, fresh, len(r.events()))
	}
	broken = true
	again := batch(1, fact(t, 6, wire.KindEvent, event(1)))
	if _, err := r.in.Apply(t.Context(), r.ref, again); !errors.Is(err, boom) {
		t.Fatalf("Apply = %v, want boom", err)
	}
	broken = false
	if ack := r.apply(again); ack.Seq != 6 || len(r.events()) != 4 {
		t.Fatalf("after the trouble: ack %+v, %d events", ack, len(r.events()))
	}
}

func testSweep(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	cam := id.New[id.Camera]()
	facts := []wire.Fact{
		fact(t, 1, wire.KindCoverage, cover(cam, 0, 60)),
		{Seq: 2, Kind: "junk"},
		fact(t, 3, wire.KindOutage, wire.OutageFact{StartUs: 1, EndUs: 2}),
		fact(t, 4, wire.KindGap, wire.GapFact{ID: 1, Stream: id.Stream{Camera: cam, Kind: id.Main}, StartUs: at(60), EndUs: at(70), Reason: wire.Stalled}),
	}
	for i := range 4100 {
		if len(facts) == wire.MaxBatchFacts {
			r.apply(batch(1, facts...))
			facts = nil
		}
		facts = append(facts, fact(t, int64(i+5), wire.KindEvent, event(int64(i+1))))
	}
	r.apply(batch(1, facts...))
	if err := r.in.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(r.events()); n != 0 {
		t.Fatalf("%d events of 1970 are left", n)
	}
	if got := r.coverage(cam); got != "0-60 rec" {
		t.Fatalf("coverage %q: what is recorded must stay, the old gap go", got)
	}
	if got, err := r.in.Marks(t.Context(), r.ref, "EPOCH1"); err != nil || len(got) != 1 || got[0].Seq != 4104 {
		t.Fatalf("marks %v, %v", got, err)
	}
}

func TestConfigReportsEveryFault(t *testing.T) {
	err := ingest.Config{Keep: 1, ParkedKeep: 1, Writers: -1, ParkedMax: -1, WaitingMax: -1, SweepPeriod: -1}.Validate()
	for _, name := range []string{"keep", "parked_keep", "writers", "parked_max", "waiting_max", "sweep_period"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if err := (ingest.Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

package ledger

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"holdfast/shared/wire"
)

func TestSegmentLife(t *testing.T) {
	l := open(t)
	ctx, s := t.Context(), newStream()
	run, _, err := l.BeginRun(ctx, RunStart{BootID: "a", WallUs: 0, Version: "1"})
	must(t, err)
	gap, err := l.BeginGap(ctx, Gap{Stream: s, Run: run.ID, StartUs: 1_000, Reason: wire.Connecting})
	must(t, err)
	o := OpenSegment{ID: l.NextSegment(), Volume: "v", Stream: s, Run: run.ID, MonoUs: 5_000, StartUs: 5_000}
	must(t, l.BeginSegment(ctx, o, &gap))
	if got, err := l.Segments(ctx, s, 0, 1e9); err != nil || len(got) != 0 {
		t.Fatalf("a segment without a durable part shows: %+v, %v", got, err)
	}
	must(t, l.Flushed(ctx, 9_000, []Durable{{ID: o.ID, DurableUs: 9_000, Bytes: 400}}))
	o.DurableUs, o.Bytes = 9_000, 400
	if got, err := l.OpenSegments(ctx); err != nil || len(got) != 1 || got[0] != o {
		t.Fatalf("OpenSegments = %+v, %v; want %+v", got, err, o)
	}
	if got, err := l.Segments(ctx, s, 0, 1e9); err != nil || len(got) != 1 || got[0].EndUs != 9_000 {
		t.Fatalf("Segments = %+v, %v", got, err)
	}
	stat := func(want StreamStat) {
		t.Helper()
		all, err := l.StreamStats(ctx)
		must(t, err)
		bytes, err := l.Bytes(ctx)
		must(t, err)
		if all[s] != want || bytes != want.Bytes {
			t.Fatalf("StreamStats = %+v, Bytes = %d; want %+v", all[s], bytes, want)
		}
	}
	stat(StreamStat{FirstUs: 5_000, DurableUs: 9_000, Bytes: 400})
	closed := Segment{ID: o.ID, Volume: "v", Stream: s, Run: run.ID, MonoUs: 5_000, StartUs: 5_000, EndUs: 12_000, Bytes: 700, Parts: 2, Root: [32]byte{7}}
	next, err := l.CloseSegment(ctx, closed, &Gap{Stream: s, Run: run.ID, Reason: wire.Stalled})
	must(t, err)
	stat(StreamStat{FirstUs: 5_000, DurableUs: 12_000, ClosedUs: 12_000, Bytes: 700})
	if _, err := l.CloseSegment(ctx, closed, nil); err == nil {
		t.Fatal("a segment was closed twice")
	}
	if got, err := l.Segments(ctx, s, 11_999, 12_000); err != nil || len(got) != 1 || got[0] != closed {
		t.Fatalf("Segments = %+v, %v; want %+v", got, err, closed)
	}
	if got, err := l.OpenGaps(ctx); err != nil || len(got) != 1 || got[0].ID != next || got[0].StartUs != 12_000 {
		t.Fatalf("OpenGaps = %+v, %v", got, err)
	}
	got, err := l.Coverage(ctx, s, 0, 20_000)
	must(t, err)
	want := "gap[1000,5000) video[5000,12000) gap[12000,20000) "
	if describe(got) != want {
		t.Fatalf("Coverage = %s, want %s", describe(got), want)
	}
}

// describe writes ranges for a comparison.
func describe(ranges []Range) string {
	var b strings.Builder
	for _, r := range ranges {
		kind := "video"
		if !r.Recorded {
			kind = "gap"
		}
		b.WriteString(kind + r.Origin + "[" + itoa(r.StartUs) + "," + itoa(r.EndUs) + ") ")
	}
	return b.String()
}

func TestSegmentIDsNeverReturn(t *testing.T) {
	l := open(t)
	ctx, s := t.Context(), newStream()
	var ids []uint64
	for range 3 {
		n := l.NextSegment()
		ids = append(ids, n)
		_, err := l.CloseSegment(ctx, Segment{ID: n, Stream: s, StartUs: int64(n) * 10, EndUs: int64(n)*10 + 5}, nil)
		must(t, err)
	}
	all, err := l.Oldest(ctx, 10)
	must(t, err)
	must(t, l.Condemn(ctx, all, wire.Expired))
	must(t, l.Buried(ctx, ids))
	must(t, l.BeginSegment(ctx, OpenSegment{ID: l.NextSegment(), Stream: s, StartUs: 1}, nil))
	must(t, l.Condemn(ctx, []Segment{{ID: 4}}, wire.Lost))
	if err := l.BeginSegment(ctx, OpenSegment{ID: 4, Stream: s, StartUs: 1}, nil); err == nil {
		t.Fatal("a condemned segment's ID was used again")
	}
	must(t, l.Buried(ctx, []uint64{4}))
	again := openAt(t, l.path)
	defer func() { must(t, again.Close()) }()
	if n := again.NextSegment(); n != 5 {
		t.Fatalf("NextSegment after a reopen = %d, want 5", n)
	}
	again.AtLeast(77)
	again.AtLeast(3)
	if n := again.NextSegment(); n != 78 {
		t.Fatalf("NextSegment after AtLeast(77) = %d, want 78", n)
	}
}

func TestCloseRefusesNothing(t *testing.T) {
	l := open(t)
	for _, s := range []Segment{
		{ID: 1, Stream: newStream(), StartUs: 5, EndUs: 5},
		{ID: 0, Stream: newStream(), StartUs: 1, EndUs: 5},
		{ID: 1 << 63, Stream: newStream(), StartUs: 1, EndUs: 5},
		{ID: 1, StartUs: 1, EndUs: 5},
	} {
		if _, err := l.CloseSegment(t.Context(), s, nil); err == nil {
			t.Errorf("CloseSegment(%+v) was accepted", s)
		}
	}
}

func TestGaps(t *testing.T) {
	l := open(t)
	ctx, s := t.Context(), newStream()
	g, err := l.BeginGap(ctx, Gap{Stream: s, StartUs: 10, Reason: wire.Connecting, Detail: strings.Repeat("é", 2000)})
	must(t, err)
	h, err := l.SplitGap(ctx, g, 20, wire.AuthFailed, "wrong password")
	must(t, err)
	must(t, l.EndGap(ctx, h, 30))
	must(t, l.EndGap(ctx, h, 40))
	if err := l.EndGap(ctx, 99, 40); !errors.Is(err, ErrNotFound) {
		t.Errorf("EndGap of an unknown gap = %v", err)
	}
	if _, err := l.SplitGap(ctx, g, 25, wire.Stalled, ""); err == nil {
		t.Error("a gap that has ended was split")
	}
	if _, err := l.BeginGap(ctx, Gap{Stream: s, StartUs: 10, EndUs: 5}); err == nil {
		t.Error("a gap that ends before it begins was noted")
	}
	got, err := l.Coverage(ctx, s, 0, 100)
	must(t, err)
	if describe(got) != "gap[10,20) gap[20,30) " || got[1].Gap.Reason != wire.AuthFailed || len(got[0].Gap.Detail) != maxDetail {
		t.Errorf("Coverage = %s %+v", describe(got), got)
	}
	var told []int64
	for _, f := range bodies[wire.GapFact](t, l, 1, wire.KindGap) {
		told = append(told, f.ID, f.EndUs)
	}
	if want := []int64{1, 0, 1, 20, 2, 0, 2, 30}; !equal(told, want) {
		t.Errorf("gap facts (id, end) = %v, want %v", told, want)
	}
}

// TestEndStaysBehindItsBeginning: what ends a gap, or takes coverage back, must not overtake what began it
// when the cloud drains the live queue before the backlog.
func TestEndStaysBehindItsBeginning(t *testing.T) {
	l := open(t)
	ctx, s := t.Context(), newStream()
	segment := Segment{ID: l.NextSegment(), Stream: s, StartUs: 10, EndUs: 20, Bytes: 1}
	gap, err := l.CloseSegment(ctx, segment, &Gap{Stream: s, Reason: wire.Stalled})
	must(t, err)
	live, err := l.OpenQueue(ctx)
	must(t, err)
	must(t, l.EndGap(ctx, gap, 30))
	must(t, l.Condemn(ctx, []Segment{segment}, wire.Expired))
	if n, m := len(facts(t, l)[live]), len(facts(t, l)[1]); live != 2 || n != 0 || m != 4 {
		t.Fatalf("live queue %d has %d facts, the old one %d; want queue 2, 0 and 4", live, n, m)
	}
	must(t, l.Acked(ctx, l.Epoch(), 1, 4))
	gap, err = l.BeginGap(ctx, Gap{Stream: s, StartUs: 40, Reason: wire.Stalled})
	must(t, err)
	must(t, l.EndGap(ctx, gap, 50))
	if n := len(facts(t, l)[live]); n != 2 {
		t.Fatalf("%d facts in the live queue, want 2", n)
	}
}

// TestTheAccountKeepsWhatWasDeleted deletes two days minute by minute, and five hours at once: that is a row for every six
// hours, none is without its word, and video of that time that comes again is video.
func TestTheAccountKeepsWhatWasDeleted(t *testing.T) {
	l := quick(t, open(t))
	ctx, s := t.Context(), newStream()
	const minute = int64(60_000_000)
	put := func(startUs, endUs int64) []Segment {
		g := Segment{ID: l.NextSegment(), Stream: s, Run: 1, StartUs: startUs, EndUs: endUs, Bytes: 1}
		_, err := l.CloseSegment(ctx, g, nil)
		must(t, err)
		return []Segment{g}
	}
	first := minute
	for n := range int64(2 * 24 * 60) {
		must(t, l.Condemn(ctx, put(first+n*minute, first+(n+1)*minute), wire.Expired))
	}
	end := first + 2*24*60*minute
	must(t, l.Condemn(ctx, put(end, end+8*60*minute), wire.Lost))
	end += 8 * 60 * minute
	put(end, end+minute)
	account := func() (deletedUs int64, words []string, rows int) {
		ranges, err := l.Coverage(ctx, s, first, end+minute)
		must(t, err)
		at := first
		for _, r := range ranges {
			if r.StartUs != at {
				t.Fatalf("nothing is known from %d to %d", at, r.StartUs)
			}
			if at = r.EndUs; r.Deleted() {
				deletedUs += r.EndUs - r.StartUs
				words = append(words, string(r.Gap.Reason))
			}
		}
		if at != end+minute {
			t.Errorf("the account ends at %d, want %d", at, end+minute)
		}
		must(t, l.read.QueryRowContext(ctx, `SELECT count(*) FROM gone`).Scan(&rows))
		return deletedUs, slices.Compact(words), rows
	}
	// What the cloud never knew of is lost, whatever it was deleted for.
	if us, words, rows := account(); us != end-first || !slices.Equal(words, []string{"lost"}) || rows != 10 {
		t.Errorf("%d of %d µs are deleted, in %d rows, as %v; want all, in ten, as lost", us, end-first, rows, words)
	}
	put(first+30*minute, first+40*minute)
	if us, _, _ := account(); us != end-first-10*minute {
		t.Errorf("%d µs are deleted after ten minutes came again, want %d", us, end-first-10*minute)
	}
}

func TestCondemnTellsOnlyWhatIsGone(t *testing.T) {
	l := open(t)
	ctx, s, other := t.Context(), newStream(), newStream()
	put := func(on Segment) Segment {
		on.ID, on.Bytes = l.NextSegment(), 10
		_, err := l.CloseSegment(ctx, on, nil)
		must(t, err)
		return on
	}
	const sec = 1_000_000
	a := put(Segment{Stream: s, Run: 1, StartUs: 0 + 1, EndUs: 60 * sec})
	b := put(Segment{Stream: s, Run: 1, StartUs: 60*sec + 400, EndUs: 120 * sec})
	c := put(Segment{Stream: s, Run: 1, StartUs: 120 * sec, EndUs: 180 * sec})
	put(Segment{Stream: s, Run: 2, StartUs: 100 * sec, EndUs: 130 * sec}) // the clock was set back
	d := put(Segment{Stream: other, Run: 1, StartUs: 60 * sec, EndUs: 120 * sec})
	must(t, l.Condemn(ctx, []Segment{c, a, d, b, {ID: 999}}, wire.DeletedByPerson))
	var got []string
	for _, f := range bodies[wire.TrimFact](t, l, 1, wire.KindTrim) {
		if f.Reason != wire.DeletedByPerson {
			t.Errorf("reason %q", f.Reason)
		}
		name := "s"
		if f.Stream == other {
			name = "other"
		}
		got = append(got, name+itoa(f.StartUs/sec)+"-"+itoa(f.EndUs/sec))
	}
	if want := "s0-100 s130-180 other60-120"; strings.Join(got, " ") != want {
		t.Errorf("told %q, want %q", strings.Join(got, " "), want)
	}
	ranges, err := l.Coverage(ctx, s, 0, 1e12)
	must(t, err)
	if want := "gap[1,100000000) video[100000000,130000000) gap[130000000,180000000) "; describe(ranges) != want {
		t.Errorf("Coverage = %s, want %s", describe(ranges), want)
	}
	for _, r := range ranges {
		if r.Deleted() == r.Recorded || r.Deleted() && (r.Gap.Reason != wire.DeletedByPerson || r.Gap.Detail != "A person deleted it.") {
			t.Errorf("range %+v with the gap %+v", r, r.Gap)
		}
	}
	garbage, err := l.Garbage(ctx)
	must(t, err)
	if len(garbage) != 4 {
		t.Errorf("Garbage = %+v, want 4", garbage)
	}
	if n, err := l.Bytes(ctx); err != nil || n != 10 {
		t.Errorf("Bytes = %d, %v; want 10", n, err)
	}
	if due, err := l.Within(ctx, s, 0, 130*sec, 10); err != nil || len(due) != 1 {
		t.Errorf("Within = %+v, %v; want the one of run 2", due, err)
	}
}

package ledger

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// What is restored at once is what closing one segment after the other makes, coverage included, and the cloud is told
// all of it.
func TestRestore(t *testing.T) {
	one, all := open(t), open(t)
	a, b := newStream(), newStream()
	var list []Segment
	for n := range int64(900) {
		s := Segment{ID: uint64(n + 1), Volume: "v", Stream: a, Run: 1 + n/300, StartUs: 1 + n*60_000_000, Bytes: 7, Parts: 60}
		if n%3 == 0 {
			s.Stream = b
		}
		if n%50 == 49 {
			s.Origin = "nvr"
		}
		s.EndUs = s.StartUs + 120_000_000 // each reaches over the next
		list = append(list, s)
		_, err := one.CloseSegment(t.Context(), s, nil)
		must(t, err)
	}
	r := Restored{
		Runs:     []Run{{ID: 4, WallUs: 1, LastMonoUs: 5, EndedBy: wire.Unknown}, {ID: 9, WallUs: 7, LastMonoUs: 5, EndedBy: wire.Unknown}},
		Segments: list,
		Gaps:     []Gap{{Stream: a, Run: 9, StartUs: 1 << 50, EndUs: 1<<50 + 5, Reason: wire.Unknown}},
		Trims:    []wire.TrimFact{{Stream: b, StartUs: 1, EndUs: 2, Reason: wire.Lost}},
	}
	must(t, all.Restore(t.Context(), r))
	must(t, all.RestoreEnds(t.Context()))
	sound(t, all.path)
	for _, stream := range []id.Stream{a, b} {
		x, err := one.Coverage(t.Context(), stream, 0, 1<<45)
		must(t, err)
		y, err := all.Coverage(t.Context(), stream, 0, 1<<45)
		must(t, err)
		if !slices.Equal(x, y) {
			t.Errorf("coverage one by one %+v, at once %+v", x, y)
		}
	}
	told := map[wire.FactKind]int{}
	for _, list := range facts(t, all) {
		for _, f := range list {
			told[f.Kind]++
		}
	}
	if told[wire.KindCoverage] != 900 || told[wire.KindRun] != 2 || told[wire.KindGap] != 1 || told[wire.KindTrim] != 1 {
		t.Errorf("the cloud is told %v", told)
	}
	run, prev, err := all.BeginRun(t.Context(), RunStart{BootID: "b", WallUs: 99})
	if err != nil || run.ID != 10 || prev == nil || prev.ID != 9 {
		t.Errorf("the next run is %+v behind %+v, %v", run, prev, err)
	}
	stats, err := all.StreamStats(t.Context())
	if err != nil || stats[a].ClosedUs != list[898].EndUs {
		t.Errorf("the stream ends at %d, %v", stats[a].ClosedUs, err)
	}
}

// BenchmarkRestore restores 20,000 segments of 80 cameras at once.
func BenchmarkRestore(b *testing.B) {
	l, err := Open(context.Background(), filepath.Join(b.TempDir(), "ledger.db"), slog.New(slog.DiscardHandler))
	must(b, err)
	var list []Segment
	for range 80 {
		s := newStream()
		for n := range int64(250) {
			list = append(list, Segment{Volume: "v", Stream: s, Run: 1, StartUs: 1 + n*60_000_000, EndUs: 1 + (n+1)*60_000_000, Bytes: 7, Parts: 60})
		}
	}
	for b.Loop() {
		for i := range list {
			list[i].ID = l.NextSegment()
			list[i].StartUs += 250 * 60_000_000
			list[i].EndUs += 250 * 60_000_000
		}
		must(b, l.Restore(b.Context(), Restored{Segments: list}))
	}
	must(b, l.Close())
}

// TestSalvageGone takes over what an old ledger says was deleted, as far as it can be read, under the numbers that the new one has
// for its streams.
func TestSalvageGone(t *testing.T) {
	old, l := open(t), open(t)
	a, b := newStream(), newStream()
	ctx := t.Context()
	for n, s := range []id.Stream{a, b, b} {
		start := int64(1 + n*60_000_000)
		one := Segment{ID: uint64(n + 1), Volume: "v", Stream: s, Run: 1, StartUs: start, EndUs: start + 60_000_000, Bytes: 7}
		_, err := old.CloseSegment(ctx, one, nil)
		must(t, err)
		must(t, old.Condemn(ctx, []Segment{one}, []wire.Reason{wire.Expired, wire.DeletedByPerson, wire.Lost}[n]))
	}
	_, err := l.CloseSegment(ctx, Segment{ID: 1, Volume: "v", Stream: b, Run: 1, StartUs: 1, EndUs: 2_000_000, Bytes: 7}, nil) // has the first number here
	must(t, err)
	covered := func(l *Ledger, s id.Stream) []Range {
		t.Helper()
		out, err := l.Coverage(ctx, s, 3_000_000, 1<<40)
		must(t, err)
		for i := range out {
			gap := *out[i].Gap
			if out[i].Gap = nil; !slices.Contains([]wire.Reason{wire.Expired, wire.DeletedByPerson, wire.Lost}, gap.Reason) {
				t.Errorf("%+v", gap)
			}
			out[i].Origin = string(gap.Reason) // to compare it
		}
		return out
	}
	if whole, err := l.SalvageGone(ctx, old.path); err != nil || !whole {
		t.Errorf("whole %v, %v", whole, err)
	}
	for _, s := range []id.Stream{a, b} {
		if want, got := covered(old, s), covered(l, s); !slices.Equal(want, got) || len(got) == 0 {
			t.Errorf("the account says %+v, it said %+v", got, want)
		}
	}
	if whole, err := l.SalvageGone(ctx, unpack(t, "v1.db.gz")); err != nil || !whole {
		t.Errorf("a ledger from before: whole %v, %v", whole, err)
	}
	must(t, old.write(ctx, "harm", func(tx *tx) error { return tx.exec(`UPDATE gone SET reason = 'nonsense' WHERE id = 2`) }))
	if whole, err := l.SalvageGone(ctx, old.path); err != nil || whole {
		t.Errorf("a ledger that is broken: whole %v, %v", whole, err)
	}
	if whole, err := l.SalvageGone(ctx, filepath.Join(t.TempDir(), "none.db")); err != nil || whole {
		t.Errorf("no ledger: whole %v, %v", whole, err)
	}
}

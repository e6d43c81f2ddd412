package coverage_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/coverage"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

const s = int64(1_000_000)

type rig struct {
	t   *testing.T
	d   *store.DB
	src coverage.Source
	cam id.Camera
}

func newRig(t *testing.T, d *store.DB) *rig {
	return &rig{t, d, coverage.Source{Org: id.New[id.Org](), Agent: id.New[id.Agent](), Epoch: "e1", Queue: 1}, id.New[id.Camera]()}
}

func (r *rig) word(from, to int64, origin string, gone wire.Reason) coverage.Word {
	return coverage.Word{Stream: id.Stream{Camera: r.cam, Kind: id.Main}, StartUs: from * s, EndUs: to * s, Origin: origin, Gone: gone}
}

func (r *rig) write(words ...coverage.Word) {
	r.t.Helper()
	err := r.d.Tx(r.t.Context(), func(q store.Querier) error { return coverage.Write(r.t.Context(), q, r.src.Org, words) })
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) gaps(words ...coverage.GapWord) {
	r.t.Helper()
	err := r.d.Tx(r.t.Context(), func(q store.Querier) error { return coverage.WriteGaps(r.t.Context(), q, r.src, words) })
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) gap(seq, gap, from, to int64, reason wire.Reason) coverage.GapWord {
	return coverage.GapWord{Seq: seq, GapFact: wire.GapFact{
		ID: gap, Stream: id.Stream{Camera: r.cam, Kind: id.Main}, StartUs: from * s, EndUs: to * s, Reason: reason,
	}}
}

// want checks what the store says of [from, to) seconds, as "0-10 rec, 10-12 unreachable".
func (r *rig) want(from, to int64, text string) {
	r.t.Helper()
	list, err := coverage.Coverage(r.t.Context(), r.d.Read(), store.Org(r.src.Org), r.cam, id.Main, from*s, to*s)
	if err != nil {
		r.t.Fatal(err)
	}
	var parts []string
	for _, x := range list {
		what := "rec" + x.Origin
		if !x.Recorded {
			what = string(x.Gap.Reason)
		}
		parts = append(parts, fmt.Sprintf("%g-%g %s", float64(x.StartUs)/1e6, float64(x.EndUs)/1e6, what))
	}
	if got := strings.Join(parts, ", "); got != text {
		r.t.Fatalf("coverage of %d-%d = %q, want %q", from, to, got, text)
	}
}

func TestCoverage(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		for name, test := range map[string]func(*testing.T, *store.DB){
			"spans merge and trims cut": testSpans,
			"many streams in one write": testManyStreams,
			"gaps and their order":      testGaps,
			"gaps of two ledgers":       testTwoLedgers,
			"sweep":                     testSweep,
		} {
			t.Run(name, func(t *testing.T) { test(t, d) })
		}
	})
}

func testSpans(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	r.want(0, 100, "")
	r.write(r.word(0, 60, "", ""), r.word(120, 180, "", ""))
	r.want(0, 200, "0-60 rec, 120-180 rec")
	r.write(r.word(60, 120, "", ""), r.word(60, 120, "", "")) // twice
	r.want(0, 200, "0-180 rec")
	r.write(r.word(0, 60, "", wire.Expired))
	r.want(0, 200, "0-60 expired, 60-180 rec")
	r.write(r.word(60, 70, "", wire.Expired), r.word(100, 110, "", wire.Lost))
	r.want(0, 200, "0-70 expired, 70-100 rec, 100-110 lost, 110-180 rec")
	r.want(65, 105, "65-70 expired, 70-100 rec, 100-105 lost")
	r.want(105, 105, "")
	// What was fetched fills what is lost and not what the agent has.
	r.write(r.word(90, 120, "nvr", ""))
	r.want(0, 200, "0-70 expired, 70-100 rec, 100-110 recnvr, 110-180 rec")
	r.write(r.word(95, 115, "", ""))
	r.want(0, 200, "0-70 expired, 70-180 rec")
	if list, err := coverage.Coverage(t.Context(), d.Read(), store.Org(id.New[id.Org]()), r.cam, id.Main, 0, 200*s); err != nil ||
		len(list) != 0 {
		t.Fatalf("another tenant sees %v, %v", list, err)
	}
}

func testManyStreams(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	var words []coverage.Word
	cams := make([]id.Camera, 130) // more than one statement takes
	for i := range cams {
		cams[i] = id.New[id.Camera]()
	}
	for minute := range int64(3) {
		for _, c := range cams {
			r.cam = c
			words = append(words, r.word(minute*60, minute*60+60, "", ""))
		}
	}
	r.write(words...)
	r.write(words[130:]...)
	for _, c := range cams {
		r.cam = c
		r.want(0, 200, "0-180 rec")
	}
}

func testGaps(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	r.write(r.word(0, 60, "", ""))
	r.gaps(r.gap(2, 1, 60, 0, wire.Unreachable))
	r.want(0, 100, "0-60 rec, 60-100 unreachable")
	r.gaps(r.gap(5, 1, 60, 90, wire.Unreachable), r.gap(6, 2, 90, 0, wire.AuthFailed))
	r.gaps(r.gap(2, 1, 60, 0, wire.Unreachable)) // again, late
	r.want(0, 120, "0-60 rec, 60-90 unreachable, 90-120 auth_failed")
	// An older queue comes later: the newer word stands.
	r.src.Queue = 0
	r.gaps(r.gap(99, 1, 60, 0, wire.Stalled))
	r.want(0, 120, "0-60 rec, 60-90 unreachable, 90-120 auth_failed")
	r.src.Queue = 2
	r.gaps(r.gap(1, 1, 60, 60, wire.Stalled)) // the gap is no more
	r.want(0, 120, "0-60 rec, 90-120 auth_failed")
	// Recording that goes on ends an open gap that nobody closed.
	r.write(r.word(100, 110, "", ""))
	r.want(0, 120, "0-60 rec, 90-100 auth_failed, 100-110 rec")
}

func testTwoLedgers(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	r.gaps(r.gap(1, 500, 10, 0, wire.Unreachable)) // an agent that was replaced and never closed it
	r.src.Agent, r.src.Epoch = id.New[id.Agent](), "e2"
	r.gaps(r.gap(1, 1, 50, 60, wire.AwaitKeyFrame))
	r.write(r.word(60, 70, "", ""))
	r.gaps(r.gap(1, 2, 70, 80, wire.Stalled))
	r.want(0, 100, "10-50 unreachable, 50-60 await_keyframe, 60-70 rec, 70-80 stalled")
}

func TestOpenGapEndsNow(t *testing.T) {
	r := newRig(t, db.SQLite(t))
	before := time.Now().UnixMicro()
	r.gaps(r.gap(1, 1, before/s-100, 0, wire.Unreachable))
	list, err := coverage.Coverage(t.Context(), r.d.Read(), store.Org(r.src.Org), r.cam, id.Main, before-200*s, before+1000*s)
	after := time.Now().UnixMicro()
	if err != nil || len(list) != 1 || list[0].EndUs < before || list[0].EndUs > after {
		t.Fatalf("coverage %+v, %v", list, err)
	}
}

func TestTooMany(t *testing.T) {
	d := db.SQLite(t)
	r := newRig(t, d)
	words := make([]coverage.Word, 20001)
	for i := range words {
		words[i] = coverage.Word{Stream: id.Stream{Camera: r.cam, Kind: id.Main}, StartUs: int64(i) * 5000, EndUs: int64(i)*5000 + 2000}
	}
	r.write(words...)
	_, err := coverage.Coverage(t.Context(), d.Read(), store.Org(r.src.Org), r.cam, id.Main, 0, 1000*s)
	if !errors.Is(err, coverage.ErrTooMany) {
		t.Fatalf("Coverage = %v, want ErrTooMany", err)
	}
}

func testSweep(t *testing.T, d *store.DB) {
	r := newRig(t, d)
	r.write(r.word(0, 60, "", ""), r.word(60, 90, "", wire.Expired), r.word(100, 110, "", wire.Lost))
	r.gaps(r.gap(1, 1, 90, 95, wire.Stalled), r.gap(2, 2, 110, 0, wire.Stalled))
	err := d.Tx(t.Context(), func(q store.Querier) error {
		return coverage.Sweep(t.Context(), q, store.System(store.UseSweep), r.cam, 100*s)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.want(0, 120, "0-60 rec, 100-110 lost, 110-120 stalled")
}

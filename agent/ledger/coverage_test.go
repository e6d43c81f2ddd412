package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// cell is the grain of the reference timelines, in microseconds: far above the tolerance.
const (
	cell  = 1_000_000
	cells = 400
)

// site is a site of one camera, with the wall timeline painted cell by cell.
type site struct {
	l        *Ledger
	stream   id.Stream
	run      int64
	offset   int64 // wall cell of the run's zero
	mono     int64 // cell on the run's timeline
	segments []Segment
	deleted  []Segment
	gaps     []Gap
	overlaps bool // ranges of the wall clock may overlap
}

// wall returns the present wall cell.
func (s *site) wall() int64 { return s.offset + s.mono }

func (s *site) record(t *rapid.T) {
	n := rapid.Int64Range(1, 20).Draw(t, "length")
	g := Segment{
		ID: s.l.NextSegment(), Stream: s.stream, Run: s.run, MonoUs: s.mono * cell, Bytes: n,
		StartUs: s.wall()*cell + rapid.Int64Range(0, 600).Draw(t, "rounding"), EndUs: (s.wall() + n) * cell,
	}
	_, err := s.l.CloseSegment(context.Background(), g, nil)
	must(t, err)
	s.segments = append(s.segments, g)
	s.mono += n
}

func (s *site) fill(t *rapid.T) {
	from, n := rapid.Int64Range(1, max(s.wall(), 2)).Draw(t, "from"), rapid.Int64Range(1, 20).Draw(t, "length")
	g := Segment{
		ID: s.l.NextSegment(), Stream: s.stream, Run: s.run, Bytes: n, StartUs: from * cell, EndUs: (from + n) * cell,
		Origin: rapid.SampledFrom([]string{"nvr", "card"}).Draw(t, "origin"),
	}
	_, err := s.l.CloseSegment(context.Background(), g, nil)
	must(t, err)
	s.segments = append(s.segments, g)
}

func (s *site) miss(t *rapid.T) {
	n := rapid.Int64Range(1, 20).Draw(t, "length")
	g := Gap{Stream: s.stream, Run: s.run, StartUs: s.wall() * cell, EndUs: (s.wall() + n) * cell, Reason: wire.Stalled}
	var err error
	if rapid.Bool().Draw(t, "whole") {
		g.ID, err = s.l.BeginGap(context.Background(), g)
	} else {
		open := g
		open.EndUs = 0
		if g.ID, err = s.l.BeginGap(context.Background(), open); err == nil {
			err = s.l.EndGap(context.Background(), g.ID, g.EndUs)
		}
	}
	must(t, err)
	s.gaps = append(s.gaps, g)
	s.mono += n
}

// step begins a run whose wall clock may be back or ahead.
func (s *site) step(t *rapid.T) {
	s.run++
	back := int64(0)
	if s.overlaps {
		back = -60
	}
	s.offset, s.mono = max(s.wall()+rapid.Int64Range(back, 30).Draw(t, "step"), 1), 0
}

func (s *site) condemn(t *rapid.T) {
	if len(s.segments) == 0 {
		return
	}
	n := rapid.IntRange(1, len(s.segments)).Draw(t, "how many")
	from := rapid.IntRange(0, len(s.segments)-n).Draw(t, "from")
	must(t, s.l.Condemn(context.Background(), s.segments[from:from+n], wire.Expired))
	s.deleted = append(s.deleted, s.segments[from:from+n]...)
	s.segments = append(append([]Segment{}, s.segments[:from]...), s.segments[from+n:]...)
}

func (s *site) openQueue(t *rapid.T) {
	_, err := s.l.OpenQueue(context.Background())
	must(t, err)
}

// paint returns what each cell should show: own video, fetched video, the ID of a gap, that it was deleted, or
// nothing.
func (s *site) paint() (out [cells * 10]string) {
	fill := func(startUs, endUs int64, text string) {
		for c := startUs / cell; c < endUs/cell; c++ {
			out[c] = text
		}
	}
	for _, g := range s.deleted {
		fill(g.StartUs, g.EndUs, "deleted")
	}
	for _, g := range s.gaps {
		fill(g.StartUs, g.EndUs, "gap "+itoa(g.ID))
	}
	for _, own := range []bool{false, true} {
		for _, g := range s.segments {
			if own == (g.Origin == "") {
				fill(g.StartUs, g.EndUs, fmt.Sprint("video ", own))
			}
		}
	}
	return out
}

func (s *site) check(t *rapid.T) {
	want := s.paint()
	from := rapid.Int64Range(0, cells).Draw(t, "from")
	to := from + rapid.Int64Range(1, cells).Draw(t, "length")
	ranges, err := s.l.Coverage(context.Background(), s.stream, from*cell, to*cell)
	must(t, err)
	end := from * cell
	got := map[int64]string{}
	for _, r := range ranges {
		if r.StartUs < end || r.EndUs <= r.StartUs || r.EndUs > to*cell || (r.Gap != nil) == r.Recorded {
			t.Fatalf("range %+v after %d in [%d, %d)", r, end, from*cell, to*cell)
		}
		end = r.EndUs
		for c := from; c < to; c++ {
			if mid := c*cell + cell/2; mid >= r.StartUs && mid < r.EndUs {
				got[c] = fmt.Sprint("video ", r.Origin == "")
				if r.Gap != nil {
					got[c] = "gap " + itoa(r.Gap.ID)
				}
				if r.Deleted() {
					got[c] = "deleted"
				}
			}
		}
	}
	for c := from; c < to; c++ {
		if got[c] != want[c] {
			t.Fatalf("cell %d shows %q, want %q\n%s", c, got[c], want[c], describe(ranges))
		}
	}
	s.checkSegments(t, from*cell, to*cell)
}

func (s *site) checkSegments(t *rapid.T, fromUs, toUs int64) {
	got, err := s.l.Segments(context.Background(), s.stream, fromUs, toUs)
	must(t, err)
	found := map[uint64]bool{}
	for _, g := range got {
		found[g.ID] = true
	}
	for _, g := range s.segments {
		if overlaps := g.StartUs < toUs && g.EndUs > fromUs; overlaps != found[g.ID] {
			t.Fatalf("segment %d of [%d, %d) found: %v", g.ID, g.StartUs, g.EndUs, found[g.ID])
		}
	}
}

// cloud replays the outbox as a cloud would that drains the live queue before the backlog, and compares
// the video that it believes in with the video that the site holds.
func (s *site) cloud(t *rapid.T) {
	var believed [cells * 10]bool
	ended := map[int64]int64{}
	all := facts(t, s.l)
	queues, err := s.l.Queues(context.Background())
	must(t, err)
	for _, q := range queues {
		for _, f := range all[q.Queue] {
			var c wire.CoverageFact // has the times of a trim too
			must(t, json.Unmarshal(f.Body, &c))
			if f.Kind != wire.KindGap && c.EndUs <= c.StartUs {
				t.Fatalf("the %s fact %s holds nothing", f.Kind, f.Body)
			}
			for n := c.StartUs / cell; n < c.EndUs/cell && f.Kind != wire.KindGap; n++ {
				believed[n] = f.Kind == wire.KindCoverage
			}
			if f.Kind == wire.KindGap {
				var g wire.GapFact
				must(t, json.Unmarshal(f.Body, &g))
				ended[g.ID] = g.EndUs
			}
		}
	}
	for c, text := range s.paint() {
		video := text == "video true" || text == "video false"
		if believed[c] != video {
			t.Fatalf("cell %d: the cloud believes in video: %v, the site shows %q", c, believed[c], text)
		}
	}
	for _, g := range s.gaps {
		if ended[g.ID] != g.EndUs {
			t.Fatalf("the cloud has gap %d end at %d, want %d", g.ID, ended[g.ID], g.EndUs)
		}
	}
}

// TestCoverageModel records, loses, fetches and deletes at random. The cloud's picture is exact when wall
// times do not overlap, in whatever order it drains the queues; and when they do, as long as there is one
// queue: a range that is told in an older queue to be gone may have been recorded anew in a later one.
func TestCoverageModel(t *testing.T) {
	for _, overlaps := range []bool{false, true} {
		t.Run(fmt.Sprint("overlaps ", overlaps), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { drive(t, overlaps) })
		})
	}
}

func drive(t *rapid.T, overlaps bool) {
	dir, err := os.MkdirTemp("", "holdfast-ledger-*")
	must(t, err)
	defer func() { _ = os.RemoveAll(dir) }()
	s := &site{
		l: quick(t, openAt(t, filepath.Join(dir, "ledger.db"))), stream: newStream(), run: 1, offset: 1, overlaps: overlaps,
	}
	defer func() {
		must(t, s.l.Close())
		sound(t, s.l.path)
	}()
	bounded := func(fn func(*rapid.T)) func(*rapid.T) {
		return func(t *rapid.T) {
			if s.wall() < cells*9 {
				fn(t)
			}
		}
	}
	actions := map[string]func(*rapid.T){
		"record": bounded(s.record), "record more": bounded(s.record), "miss": bounded(s.miss),
		"step": s.step, "condemn": s.condemn, "": s.check,
	}
	if overlaps {
		actions["fill"] = bounded(s.fill)
	} else {
		actions["open queue"] = s.openQueue
	}
	t.Repeat(actions)
	s.cloud(t)
}

// TestLongRanges looks for what began long before the range that is asked for.
func TestLongRanges(t *testing.T) {
	l := quick(t, open(t))
	ctx, s, hour := t.Context(), newStream(), int64(3600*1_000_000)
	_, err := l.CloseSegment(ctx, Segment{ID: l.NextSegment(), Stream: s, StartUs: hour, EndUs: 20 * hour, Bytes: 1}, nil)
	must(t, err)
	_, err = l.BeginGap(ctx, Gap{Stream: s, StartUs: 20 * hour, EndUs: 40 * hour, Reason: wire.Unreachable})
	must(t, err)
	for i := range int64(20 * 60) { // twenty hours of segments of a minute
		at := 40*hour + i*hour/60
		_, err = l.CloseSegment(ctx, Segment{ID: l.NextSegment(), Stream: s, StartUs: at, EndUs: at + hour/60, Bytes: 1}, nil)
		must(t, err)
	}
	_, err = l.BeginGap(ctx, Gap{Stream: s, StartUs: 60 * hour, Reason: wire.Stalled})
	must(t, err)
	for at, want := range map[int64]string{
		0: "", 1: "video", 19: "video", 20: "gap", 39: "gap", 40: "video", 59: "video", 60: "gap", 500: "gap",
	} {
		got, err := l.Coverage(ctx, s, at*hour+1000, at*hour+2000)
		must(t, err)
		if want != "" {
			want += fmt.Sprintf("[%d,%d) ", at*hour+1000, at*hour+2000)
		}
		if describe(got) != want {
			t.Errorf("at hour %d: %q, want %q", at, describe(got), want)
		}
		segments, err := l.Segments(ctx, s, at*hour+1000, at*hour+2000)
		must(t, err)
		if wantOne := at >= 1 && at < 20 || at >= 40 && at < 60; wantOne != (len(segments) == 1) {
			t.Errorf("at hour %d: %d segments", at, len(segments))
		}
	}
	if got, err := l.Coverage(ctx, s, 0, 60*hour); err != nil || len(got) != 3 {
		t.Errorf("Coverage = %s, %v; want three ranges", describe(got), err)
	}
	var spans int
	must(t, errors.Join(l.read.QueryRowContext(ctx, `SELECT count(*) FROM span`).Scan(&spans)))
	if spans != 1+4 {
		t.Errorf("%d spans, want one long one and four of up to six hours", spans)
	}
}

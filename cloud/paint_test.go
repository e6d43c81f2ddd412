package cloud

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast/cloud/api"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/coverage"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

func states(p painter) string {
	s := ""
	for _, r := range p.ranges {
		s += r.State[:1]
	}
	return s
}

// TestAGapInAClipStaysAGap: that a clip was stored does not make video of what the site never recorded.
func TestAGapInAClipStaysAGap(t *testing.T) {
	list := []coverage.Range{
		{StartUs: 0, EndUs: 20, Gap: &coverage.Gap{Reason: wire.Connecting}},
		{StartUs: 20, EndUs: 40, Recorded: true},
		{StartUs: 40, EndUs: 50, Gap: &coverage.Gap{Reason: wire.Stalled}},
		{StartUs: 50, EndUs: 100, Recorded: true},
	}
	p := painter{from: 0, to: 100}
	p.known(list, 100)
	p.clip(clips.Clip{ID: "c", CutStartUs: 10, CutEndUs: 70, Gaps: []wire.GapFact{{StartUs: 40, EndUs: 50}, {StartUs: 5, EndUs: 20}}})
	if got := states(p); got != "gcgcs" || p.ranges[0].EndUs != 20 || p.ranges[1].EndUs != 40 || p.ranges[3].StartUs != 50 || p.ranges[3].EndUs != 70 {
		t.Fatalf("states %s, %+v", got, p.ranges)
	}
	if p.ranges[1].Text != "" {
		t.Errorf("text %q", p.ranges[1].Text)
	}
	p.clip(clips.Clip{ID: "d", Stream: id.Main, CutStream: id.Sub, CutStartUs: 80, CutEndUs: 90})
	if r := p.ranges[len(p.ranges)-2]; r.Clip != "d" || !strings.Contains(r.Text, "small stream") {
		t.Errorf("a clip of the small stream: %+v", r)
	}
}

func TestWhatIsNotReportedIsInFlightOrUnknown(t *testing.T) {
	gap := &coverage.Gap{Reason: wire.Stalled}
	list := []coverage.Range{{StartUs: 10, EndUs: 20, Recorded: true}, {StartUs: 20, EndUs: 30, Gap: gap}, {StartUs: 40, EndUs: 50, Recorded: true}}
	p := painter{from: 0, to: 100}
	p.known(list, 60)
	if got := states(p); got != "usgusiu" {
		t.Fatalf("states %s, want unknown, site, gap, unknown, site, in flight, unknown", got)
	}
	if r := p.ranges[5]; r.StartUs != 50 || r.EndUs != 60 {
		t.Fatalf("in flight is [%d, %d), want [50, 60)", r.StartUs, r.EndUs)
	}
	p.paint(api.Range{StartUs: 15, EndUs: 25, State: "cloud", Clip: "c"})
	if got := states(p); got != "uscgusiu" {
		t.Fatalf("states %s after painting a clip", got)
	}
	p.known(nil, 60)
	if got := states(p); got != "iu" {
		t.Fatalf("states %s with nothing reported", got)
	}
}

func TestBeforeTheCameraNothingIsUnknown(t *testing.T) {
	list := []coverage.Range{{StartUs: 50, EndUs: 60, Recorded: true}}
	p := painter{from: 0, to: 100}
	p.known(list, 0)
	p.before(40)
	if got := states(p); got != "gusu" || p.ranges[0].EndUs != 40 || p.ranges[0].Reason != string(wire.NotConfigured) {
		t.Fatalf("states %s, %+v", got, p.ranges)
	}
	p.known(list, 0)
	p.before(55) // its clock was slow: what is recorded is recorded
	if got := states(p); got != "gsu" || p.ranges[0].EndUs != 50 {
		t.Fatalf("states %s, %+v", got, p.ranges)
	}
	p.known(nil, 0)
	p.before(500)
	if got := states(p); got != "g" {
		t.Fatalf("states %s, %+v", got, p.ranges)
	}
}

// TestRangesCoverTheQuestion checks that whatever is painted, the ranges cover the question without a hole or
// an overlap.
func TestRangesCoverTheQuestion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := painter{from: 100, to: 200}
		var list []coverage.Range
		for at := int64(90); at < 210; {
			length := rapid.Int64Range(1, 30).Draw(t, "length")
			if rapid.Bool().Draw(t, "known") {
				start, end := max(at, p.from), min(at+length, p.to)
				if end > start {
					list = append(list, coverage.Range{StartUs: start, EndUs: end, Recorded: true})
				}
			}
			at += length
		}
		p.known(list, rapid.Int64Range(0, 300).Draw(t, "durable"))
		p.before(rapid.Int64Range(0, 300).Draw(t, "first seen"))
		for range rapid.IntRange(0, 5).Draw(t, "clips") {
			start := rapid.Int64Range(50, 250).Draw(t, "start")
			p.paint(api.Range{StartUs: start, EndUs: start + rapid.Int64Range(0, 80).Draw(t, "size"), State: "cloud"})
		}
		at := p.from
		for _, r := range p.ranges {
			if r.StartUs != at || r.EndUs <= r.StartUs {
				t.Fatalf("range [%d, %d) after %d in %+v", r.StartUs, r.EndUs, at, p.ranges)
			}
			at = r.EndUs
		}
		if at != p.to {
			t.Fatalf("the ranges end at %d, want %d", at, p.to)
		}
	})
}

package coverage

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestPutIsLikePaint lays pieces over each other on a board of whole milliseconds and compares with painting each
// millisecond by itself.
func TestPutIsLikePaint(t *testing.T) {
	const ms, width = 1000, 60
	natures := []piece{{}, {origin: "nvr"}, {gone: "expired"}}
	rapid.Check(t, func(t *rapid.T) {
		var ps pieces
		var paint [width]int // 0: nothing, else index of the nature + 1
		for range rapid.IntRange(1, 25).Draw(t, "words") {
			a := rapid.IntRange(0, width-2).Draw(t, "start")
			b := rapid.IntRange(a+2, min(a+20, width)).Draw(t, "end")
			n := rapid.IntRange(0, len(natures)-1).Draw(t, "nature")
			// Two milliseconds apart is more than the slack, so joining changes nothing that is painted.
			a, b = a&^1, b&^1
			p := natures[n]
			p.start, p.end = int64(a)*2*ms, int64(b)*2*ms
			ps = ps.put(p)
			for i := a; i < b; i++ {
				paint[i] = n + 1
			}
			check(t, ps)
		}
		for i := range paint {
			at := int64(i)*2*ms + 1
			if got := natureAt(ps, at, natures); got != paint[i] {
				t.Fatalf("at %d: nature %d, want %d in %v", at, got, paint[i], ps)
			}
		}
	})
}

func natureAt(ps pieces, at int64, natures []piece) int {
	for _, p := range ps {
		if p.start <= at && at < p.end {
			for i, n := range natures {
				if p.alike(n) {
					return i + 1
				}
			}
		}
	}
	return 0
}

func check(t interface{ Fatalf(string, ...any) }, ps pieces) {
	for i, p := range ps {
		if p.start >= p.end {
			t.Fatalf("empty piece in %v", ps)
		}
		if i == 0 {
			continue
		}
		if last := ps[i-1]; last.end > p.start || last.alike(p) && p.start-last.end <= slackUs {
			t.Fatalf("pieces overlap or are not joined: %v", ps)
		}
	}
}

// TestPutStaysDisjoint uses arbitrary microseconds, where the slack matters.
func TestPutStaysDisjoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ps pieces
		for range rapid.IntRange(1, 40).Draw(t, "words") {
			p := piece{start: rapid.Int64Range(0, 9000).Draw(t, "start"), origin: rapid.SampledFrom([]string{"", "nvr"}).Draw(t, "o")}
			p.end = p.start + rapid.Int64Range(0, 3000).Draw(t, "length")
			ps = ps.put(p)
			for i := 1; i < len(ps); i++ {
				if ps[i-1].end > ps[i].start || ps[i].start >= ps[i].end {
					t.Fatalf("after %v: %v", p, ps)
				}
			}
		}
	})
}

func TestPutJoinsWithinAMillisecond(t *testing.T) {
	ps := pieces{}.put(piece{start: 0, end: 1000}).put(piece{start: 2000, end: 3000}).put(piece{start: 4001, end: 5000})
	if got := fmt.Sprint(ps); got != "[{0 3000  } {4001 5000  }]" {
		t.Fatal(got)
	}
}

func TestDiff(t *testing.T) {
	old := pieces{{start: 0, end: 10}, {start: 20, end: 30}, {start: 40, end: 50}}
	gone, changed := pieces{{start: 0, end: 35}, {start: 40, end: 50}, {start: 60, end: 70}}.diff(old)
	if fmt.Sprint(gone, changed) != "[20] [{0 35  } {60 70  }]" {
		t.Fatal(gone, changed)
	}
}

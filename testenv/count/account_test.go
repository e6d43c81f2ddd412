package count

import (
	"maps"
	"slices"
	"testing"

	"holdfast/agent/ledger"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/house"
)

// tally is what became of a camera's frames.
type tally struct{ sent, kept, inGap int }

// account: recorded plus declared gaps is wall time, and every frame sent lies in one of the two. It returns the
// numbers by the cameras' keys.
func account(t *testing.T, s *house.Site, books []book, logs map[string][]fakecam.Sent, end int64) map[string]tally {
	t.Helper()
	out := map[string]tally{}
	for _, b := range books {
		gaps := int64(0)
		for i, r := range b.ranges {
			if i > 0 && r.StartUs != b.ranges[i-1].EndUs {
				t.Errorf("%s: nothing is declared from %d to %d (%d µs)", b.key, b.ranges[i-1].EndUs, r.StartUs, r.StartUs-b.ranges[i-1].EndUs)
			}
			if !r.Recorded {
				gaps += r.EndUs - r.StartUs
			}
		}
		if last := b.ranges[len(b.ranges)-1].EndUs; last < end {
			t.Errorf("%s: the account ends %d ms before the agent was told to stop", b.key, (end-last)/1000)
		}
		onDisk := stamps(t, s, b)
		first := slices.Min(slices.Collect(maps.Keys(onDisk)))
		var n tally
		for _, f := range logs[b.key] {
			if f.AtUs < b.from || f.AtUs > end {
				continue
			}
			// By the camera's clock it was before the first picture, with which the account begins: at that start nothing
			// tells how late the picture came.
			if b.ranges[0].Recorded && f.Frame < first && f.AtUs < b.from+slack {
				continue
			}
			n.sent++
			switch {
			case onDisk[f.Frame] == 1:
				n.kept++
			case onDisk[f.Frame] > 1:
				t.Errorf("%s: frame %d is on disk %d times", b.key, f.Frame, onDisk[f.Frame])
			case declared(b.ranges, f.AtUs):
				n.inGap++
			default:
				t.Errorf("%s: frame %d, sent %d ms after the start, is neither on disk nor in a gap; the nearest is %d ms away",
					b.key, f.Frame, (f.AtUs-b.from)/1000, away(b.ranges, f.AtUs)/1000)
			}
		}
		t.Logf("%s: %d frames sent, %d on disk, %d in gaps; gaps %.2f s in all", b.key, n.sent, n.kept, n.inGap, float64(gaps)/1e6)
		out[b.key] = n
	}
	return out
}

// away returns how far the nearest gap is from a moment.
func away(ranges []ledger.Range, atUs int64) int64 {
	far := int64(1 << 62)
	for _, r := range ranges {
		if !r.Recorded {
			far = min(far, max(r.StartUs-atUs, atUs-r.EndUs, 0))
		}
	}
	return far
}

// declared reports whether a moment lies in a declared gap, or within the slack of one.
func declared(ranges []ledger.Range, atUs int64) bool {
	for _, r := range ranges {
		if !r.Recorded && atUs >= r.StartUs-slack && atUs < r.EndUs+slack {
			return true
		}
	}
	return false
}

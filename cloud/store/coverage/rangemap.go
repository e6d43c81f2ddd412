package coverage

import (
	"slices"
	"sort"
)

// slackUs is how far apart two ranges of one nature may be and still be one: less than a frame.
const slackUs = 1000

// piece is a range with its nature. An empty nature is one, too.
type piece struct {
	start, end   int64
	origin, gone string
}

func (p piece) alike(o piece) bool { return p.origin == o.origin && p.gone == o.gone }

// pieces are disjoint, sorted ranges in which alike neighbours are more than slackUs apart.
type pieces []piece

// put lays p over what is there: it replaces what it overlaps and joins its alike neighbours. Of what it cuts
// through, the ends stay.
func (ps pieces) put(p piece) pieces {
	if p.start >= p.end {
		return ps
	}
	from := sort.Search(len(ps), func(i int) bool { return ps[i].end >= p.start-slackUs })
	to := from
	for ; to < len(ps) && ps[to].start <= p.end+slackUs; to++ {
		if old := ps[to]; old.alike(p) {
			p.start, p.end = min(p.start, old.start), max(p.end, old.end)
		}
	}
	var before, after []piece
	for _, old := range ps[from:to] {
		if old.start < p.start {
			before = append(before, piece{old.start, min(old.end, p.start), old.origin, old.gone})
		}
		if old.end > p.end {
			after = append(after, piece{max(old.start, p.end), old.end, old.origin, old.gone})
		}
	}
	return slices.Replace(ps, from, to, slices.Concat(before, []piece{p}, after)...)
}

// without returns the parts of p in which the agent has not recorded itself, in order.
func (ps pieces) without(p piece) []piece {
	var out []piece
	from := sort.Search(len(ps), func(i int) bool { return ps[i].end > p.start })
	for _, own := range ps[from:] {
		if own.start >= p.end {
			break
		}
		if own.origin != "" || own.gone != "" {
			continue
		}
		if own.start > p.start {
			out = append(out, piece{p.start, own.start, p.origin, p.gone})
		}
		p.start = max(p.start, own.end)
	}
	if p.start < p.end {
		out = append(out, p)
	}
	return out
}

// diff returns the pieces of old whose start is no longer one, and those of ps that are new or changed.
func (ps pieces) diff(old pieces) (gone []int64, changed []piece) {
	was := make(map[int64]piece, len(old))
	for _, p := range old {
		was[p.start] = p
	}
	for _, p := range ps {
		if was[p.start] != p {
			changed = append(changed, p)
		}
		delete(was, p.start)
	}
	for _, p := range old {
		if _, left := was[p.start]; left {
			gone = append(gone, p.start)
		}
	}
	return gone, changed
}

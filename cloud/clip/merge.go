package clip

import (
	"slices"

	"holdfast/cloud/store/clips"
	"holdfast/shared/wire"
)

// span is a time range [from, to), microseconds since 1970.
type span struct{ from, to int64 }

func (s span) long() int64 { return s.to - s.from }

// overlaps reports whether two ranges share time; touches, whether they share it or meet.
func (s span) overlaps(o span) bool { return s.from < o.to && o.from < s.to }
func (s span) touches(o span) bool  { return s.from <= o.to && o.from <= s.to }

func (s span) hull(o span) span { return span{min(s.from, o.from), max(s.to, o.to)} }

// without returns what is left of s, in order.
func (s span) without(taken []span) []span {
	left := []span{s}
	for _, t := range taken {
		var next []span
		for _, l := range left {
			if !l.overlaps(t) {
				next = append(next, l)
				continue
			}
			if l.from < t.from {
				next = append(next, span{l.from, t.from})
			}
			if t.to < l.to {
				next = append(next, span{t.to, l.to})
			}
		}
		left = next
	}
	return left
}

func rangeOf(c clips.Clip) span { return span{c.StartUs, c.EndUs} }

// merger lays a new range over the clips that there are: a rule's clips of one stream never send the same moment twice.
type merger struct {
	clips  []clips.Clip // that overlap or touch the range
	limit  int64        // length up to which clips are widened
	gone   map[int]int  // of clips: those that another one has swallowed, which is the value
	shows  []int        // of clips: those that hold some of the range
	fresh  []span       // what needs a clip of its own
	ranges []span       // of clips, as they are now
}

// open reports whether a clip may be widened: it is a rule's, and nobody has begun to cut it.
func open(c clips.Clip) bool { return c.State == wire.ClipWanted && c.Person == "" }

func merge(want span, around []clips.Clip, limit int64) *merger {
	m := &merger{clips: around, limit: limit, gone: map[int]int{}}
	var fixed []span
	for i, c := range around {
		m.ranges = append(m.ranges, rangeOf(c))
		if !open(c) && rangeOf(c).overlaps(want) {
			fixed, m.shows = append(fixed, rangeOf(c)), append(m.shows, i)
		}
	}
	for _, rest := range want.without(fixed) {
		m.place(rest)
	}
	slices.Sort(m.shows)
	m.shows = slices.Compact(m.shows)
	m.shows = slices.DeleteFunc(m.shows, m.isGone)
	return m
}

// place widens the first open clip that meets a range until it holds it and every further open clip that meets it; where
// that would be too long, what no clip holds becomes clips of their own.
func (m *merger) place(rest span) {
	first, hull := -1, rest
	var meet []int
	for i := range m.clips {
		if !open(m.clips[i]) || m.isGone(i) || !m.ranges[i].touches(rest) {
			continue
		}
		if first < 0 {
			first = i
		}
		meet, hull = append(meet, i), hull.hull(m.ranges[i])
	}
	if first >= 0 && hull.long() <= m.limit {
		m.ranges[first] = hull
		m.shows = append(m.shows, first)
		for _, i := range meet[1:] {
			m.gone[i] = first
		}
		return
	}
	var taken []span
	for _, i := range meet {
		if m.ranges[i].overlaps(rest) {
			m.shows, taken = append(m.shows, i), append(taken, m.ranges[i])
		}
	}
	for _, left := range rest.without(taken) {
		for left.long() > m.limit {
			m.fresh = append(m.fresh, span{left.from, left.from + m.limit})
			left.from += m.limit
		}
		m.fresh = append(m.fresh, left)
	}
}

func (m *merger) isGone(i int) bool {
	_, gone := m.gone[i]
	return gone
}

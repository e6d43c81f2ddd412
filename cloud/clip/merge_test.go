package clip

import (
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast/cloud/store/clips"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

func at(from, to int64, state wire.ClipState) clips.Clip {
	return clips.Clip{ID: id.New[id.Clip](), StartUs: from, EndUs: to, State: state}
}

func TestMerge(t *testing.T) {
	person := at(10, 20, wire.ClipWanted)
	person.Person = "per-x"
	for name, try := range map[string]struct {
		around []clips.Clip
		want   span
		limit  int64
		ranges []span // of the clips, swallowed ones left out
		shows  []int
		fresh  []span
	}{
		"alone":                    {nil, span{10, 20}, 100, nil, nil, []span{{10, 20}}},
		"widens what overlaps":     {[]clips.Clip{at(5, 12, wire.ClipWanted)}, span{10, 20}, 100, []span{{5, 20}}, []int{0}, nil},
		"widens what meets":        {[]clips.Clip{at(5, 10, wire.ClipWanted)}, span{10, 20}, 100, []span{{5, 20}}, []int{0}, nil},
		"lies inside":              {[]clips.Clip{at(5, 30, wire.ClipWanted)}, span{10, 20}, 100, []span{{5, 30}}, []int{0}, nil},
		"lies inside of a cut one": {[]clips.Clip{at(5, 30, wire.ClipStored)}, span{10, 20}, 100, []span{{5, 30}}, []int{0}, nil},
		"joins two":                {[]clips.Clip{at(0, 10, wire.ClipWanted), at(20, 30, wire.ClipWanted)}, span{9, 21}, 100, []span{{0, 30}}, []int{0}, nil},
		"goes round a cut one": {
			[]clips.Clip{at(12, 15, wire.ClipQueued)},
			span{10, 20},
			100,
			[]span{{12, 15}},
			[]int{0},
			[]span{{10, 12}, {15, 20}},
		},
		"leaves a person's alone": {[]clips.Clip{person}, span{15, 30}, 100, []span{{10, 20}}, []int{0}, []span{{20, 30}}},
		"goes on behind one that is long enough": {
			[]clips.Clip{at(0, 95, wire.ClipWanted)}, span{90, 110}, 100, []span{{0, 95}}, []int{0}, []span{{95, 110}},
		},
		"is itself too long": {nil, span{0, 250}, 100, nil, nil, []span{{0, 100}, {100, 200}, {200, 250}}},
	} {
		m := merge(try.want, try.around, try.limit)
		var ranges []span
		for i, r := range m.ranges {
			if !m.isGone(i) {
				ranges = append(ranges, r)
			}
		}
		if !slices.Equal(ranges, try.ranges) || !slices.Equal(m.shows, try.shows) || !slices.Equal(m.fresh, try.fresh) {
			t.Errorf("%s: ranges %v shown by %v, new %v; want %v by %v, new %v", name, ranges, m.shows, m.fresh, try.ranges, try.shows, try.fresh)
		}
	}
}

// TestMergeModel: whatever comes in whatever order, every wanted moment is in exactly one of the clips that rules made.
func TestMergeModel(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var have []clips.Clip
		var wanted [400]bool
		for range 12 {
			from := r.Int64N(300)
			want := span{from, from + 1 + r.Int64N(80)}
			for i := want.from; i < want.to; i++ {
				wanted[i] = true
			}
			var around []clips.Clip
			for _, c := range have {
				if rangeOf(c).touches(want) {
					around = append(around, c)
				}
			}
			m := merge(want, around, 60+r.Int64N(60))
			for i, c := range around {
				at := slices.IndexFunc(have, func(h clips.Clip) bool { return h.ID == c.ID })
				if m.isGone(i) {
					have = slices.Delete(have, at, at+1)
					continue
				}
				have[at].StartUs, have[at].EndUs = m.ranges[i].from, m.ranges[i].to
			}
			for _, s := range m.fresh {
				have = append(have, at(s.from, s.to, wire.ClipWanted))
			}
			if len(have) > 0 && r.IntN(3) == 0 {
				have[r.IntN(len(have))].State = wire.ClipStored
			}
			slices.SortFunc(have, func(a, b clips.Clip) int { return int(a.StartUs - b.StartUs) })
		}
		var sent [400]int
		for _, c := range have {
			for i := c.StartUs; i < c.EndUs; i++ {
				sent[i]++
			}
		}
		for i := range wanted {
			if n := sent[i]; n > 1 || (n == 1) != wanted[i] {
				t.Fatalf("seed %d: moment %d is wanted %v and in %d clips: %v", seed, i, wanted[i], n, have)
			}
		}
	}
}

package cloud

import (
	"cmp"
	"slices"

	"holdfast/cloud/api"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/coverage"
	"holdfast/shared/wire"
)

// painter lays ranges over each other: what is painted later covers what is below.
type painter struct {
	from, to int64
	ranges   []api.Range // sorted, disjoint, covering [from, to)
}

// known begins with what the site reported. What it did not report is in flight up to where its heartbeats say
// that video is durable, and unknown beyond.
func (p *painter) known(list []coverage.Range, durableUs int64) {
	p.ranges = nil
	at := p.from
	fill := func(until int64) {
		if edge := min(durableUs, until); edge > at && (len(list) == 0 || at >= list[len(list)-1].EndUs) {
			p.ranges = append(p.ranges, api.Range{StartUs: at, EndUs: edge, State: "in_flight"})
			at = edge
		}
		if until > at {
			p.ranges = append(p.ranges, api.Range{StartUs: at, EndUs: until, State: "unknown"})
			at = until
		}
	}
	for _, k := range list {
		fill(max(k.StartUs, at))
		if k.EndUs <= at {
			continue
		}
		r := api.Range{StartUs: at, EndUs: k.EndUs, State: "site"}
		switch {
		case !k.Recorded:
			r.State = "gap"
			r.Reason, r.Text = string(k.Gap.Reason), k.Gap.Detail
		case k.Origin != "":
			r.Text = "Filled afterwards from the " + k.Origin + "."
		}
		p.ranges = append(p.ranges, r)
		at = k.EndUs
	}
	fill(p.to)
}

// clip paints what a stored clip holds: its gaps stay what they are.
func (p *painter) clip(c clips.Clip) {
	gaps := slices.Clone(c.Gaps)
	slices.SortFunc(gaps, func(a, b wire.GapFact) int { return cmp.Compare(a.StartUs, b.StartUs) })
	at, text := c.CutStartUs, ""
	if c.SteppedDown() {
		text = "Of the small stream: the line was too slow for the main one."
	}
	for _, g := range append(gaps, wire.GapFact{StartUs: c.CutEndUs, EndUs: c.CutEndUs}) {
		if g.StartUs > at {
			p.paint(api.Range{StartUs: at, EndUs: min(g.StartUs, c.CutEndUs), State: "cloud", Clip: string(c.ID), Text: text})
		}
		at = max(at, g.EndUs)
	}
}

// before declares what is unknown before the camera was first seen: there can be no video of it.
func (p *painter) before(firstUs int64) {
	for i := range p.ranges {
		r := &p.ranges[i]
		if r.State != "unknown" || r.StartUs >= firstUs {
			return
		}
		if r.EndUs > firstUs {
			rest := *r
			rest.StartUs, r.EndUs = firstUs, firstUs
			p.ranges = slices.Insert(p.ranges, i+1, rest)
			r = &p.ranges[i]
		}
		r.State, r.Reason, r.Text = "gap", string(wire.NotConfigured), "The camera was not set up yet."
	}
}

// paint lays one range on top.
func (p *painter) paint(top api.Range) {
	top.StartUs, top.EndUs = max(top.StartUs, p.from), min(top.EndUs, p.to)
	if top.EndUs <= top.StartUs {
		return
	}
	out := make([]api.Range, 0, len(p.ranges)+2)
	placed := false
	for _, r := range p.ranges {
		if r.EndUs <= top.StartUs || r.StartUs >= top.EndUs {
			if r.StartUs >= top.EndUs && !placed {
				out, placed = append(out, top), true
			}
			out = append(out, r)
			continue
		}
		if r.StartUs < top.StartUs {
			left := r
			left.EndUs = top.StartUs
			out = append(out, left)
		}
		if !placed {
			out, placed = append(out, top), true
		}
		if r.EndUs > top.EndUs {
			right := r
			right.StartUs = top.EndUs
			out = append(out, right)
		}
	}
	if !placed {
		out = append(out, top)
	}
	p.ranges = out
}

package record

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/evidence"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// history is what the files tell of one stream.
type history struct {
	video   []stretch // merged
	gaps    []ledger.Gap
	deleted []ledger.Range // by the ledger before this one
}

// stretch is a range of wall time.
type stretch struct{ fromUs, toUs int64 }

// rebuildHole is the longest time between two ranges of which nothing need be said: less than a frame.
const rebuildHole = 1000

// note adds a segment, and what its seal says of the time before it.
func (r *rebuild) note(s ledger.Segment, gaps []evidence.Gap) {
	h := r.streams[s.Stream]
	if h == nil {
		h = &history{}
		r.streams[s.Stream] = h
	}
	if n := len(h.video); n > 0 && s.StartUs >= h.video[n-1].fromUs && s.StartUs <= h.video[n-1].toUs+rebuildHole {
		h.video[n-1].toUs = max(h.video[n-1].toUs, s.EndUs)
	} else {
		h.video = append(h.video, stretch{s.StartUs, s.EndUs})
	}
	for _, g := range gaps {
		if g.ToUs <= g.FromUs {
			continue
		}
		reason := wire.Reason(g.Reason)
		if !slices.Contains(wire.Reasons(), reason) {
			reason = wire.Unknown
		}
		h.gaps = append(h.gaps, ledger.Gap{Stream: s.Stream, Run: s.Run, StartUs: g.FromUs, EndUs: g.ToUs, Reason: reason})
	}
	r.out.Segments++
	r.out.Bytes += s.Bytes
	if s.Origin != "" {
		return // footage from elsewhere says nothing of when the agent ran
	}
	run := r.runs[s.Run]
	if run == nil {
		run = &ledger.Run{ID: s.Run, WallUs: s.StartUs - s.MonoUs, EndedBy: wire.Unknown}
		r.runs[s.Run] = run
	}
	run.WallUs = min(run.WallUs, s.StartUs-s.MonoUs)
	run.LastMonoUs = max(run.LastMonoUs, s.MonoUs+s.EndUs-s.StartUs)
}

// account writes runs, gaps, and what the cloud must unlearn.
func (r *rebuild) account(ctx context.Context) error {
	out := ledger.Restored{}
	for _, n := range slices.Sorted(maps.Keys(r.runs)) {
		out.Runs = append(out.Runs, *r.runs[n])
	}
	r.out.Runs = len(out.Runs)
	for _, s := range r.Streams {
		if r.streams[s] == nil {
			r.streams[s] = &history{}
		}
	}
	now := time.Now().UnixMicro()
	endUs := int64(0) // of all video
	for _, h := range r.streams {
		for _, v := range h.video {
			endUs = max(endUs, v.toUs)
		}
	}
	byName := func(a, b id.Stream) int { return cmp.Compare(a.String(), b.String()) }
	for _, s := range slices.SortedFunc(maps.Keys(r.streams), byName) {
		h := r.streams[s]
		if err := r.deletions(ctx, s, h, max(now, endUs)); err != nil {
			return err
		}
		out.Trims = append(out.Trims, h.trims(s, max(now, endUs))...)
		out.Gaps = append(out.Gaps, r.missing(s, h, endUs)...)
		for _, v := range h.video {
			r.out.Recorded += time.Duration(v.toUs-v.fromUs) * time.Microsecond
		}
	}
	if err := r.Ledger.Restore(ctx, out); err != nil {
		return err
	}
	return r.Ledger.RestoreEnds(ctx)
}

// deletions reads what the ledger knows to be deleted.
func (r *rebuild) deletions(ctx context.Context, s id.Stream, h *history, nowUs int64) error {
	ranges, err := r.Ledger.Coverage(ctx, s, 1, nowUs)
	for _, x := range ranges {
		if x.Deleted() {
			h.deleted = append(h.deleted, x)
			r.out.Deleted += time.Duration(x.EndUs-x.StartUs) * time.Microsecond
		}
	}
	return err
}

// known returns the time of which there is video, or the word that it was deleted.
func (h *history) known() []stretch {
	out := slices.Clone(h.video)
	for _, d := range h.deleted {
		out = append(out, stretch{d.StartUs, d.EndUs})
	}
	return out
}

// trims says for a stream what of all time up to nowUs is in no file: what was deleted; and of the rest, what lies before the
// oldest one has expired, so far as anything was ever there.
func (h *history) trims(s id.Stream, nowUs int64) (out []wire.TrimFact) {
	for _, d := range h.deleted {
		out = append(out, wire.TrimFact{Stream: s, StartUs: d.StartUs, EndUs: d.EndUs, Reason: d.Gap.Reason})
	}
	oldest := int64(0)
	if len(h.video) > 0 {
		oldest = h.first()
	}
	for _, hole := range between(h.known(), 1, nowUs) {
		if hole.toUs-hole.fromUs <= rebuildHole {
			continue
		}
		reason := wire.Lost
		if hole.toUs <= oldest {
			reason = wire.Expired
		}
		out = append(out, wire.TrimFact{Stream: s, StartUs: hole.fromUs, EndUs: hole.toUs, Reason: reason})
	}
	return out
}

// first is where the oldest video begins; there must be some.
func (h *history) first() int64 {
	return slices.MinFunc(h.video, func(a, b stretch) int { return cmp.Compare(a.fromUs, b.fromUs) }).fromUs
}

// missing returns the gaps of a stream: the signed ones, then those of which nothing is known, from its oldest video to
// the end of all video.
func (r *rebuild) missing(s id.Stream, h *history, endUs int64) (out []ledger.Gap) {
	if len(h.video) == 0 {
		return nil
	}
	slices.SortStableFunc(h.gaps, func(a, b ledger.Gap) int { return cmp.Compare(a.StartUs, b.StartUs) })
	h.snap()
	known := h.known()
	for _, g := range h.gaps {
		known = append(known, stretch{g.StartUs, g.EndUs})
		r.out.Gaps += time.Duration(g.EndUs-g.StartUs) * time.Microsecond
	}
	newest := slices.Max(append(slices.Collect(maps.Keys(r.runs)), 0))
	for _, hole := range between(known, h.first(), endUs) {
		if hole.toUs-hole.fromUs <= rebuildHole {
			continue
		}
		out = append(out, ledger.Gap{
			Stream: s, Run: newest, StartUs: hole.fromUs, EndUs: hole.toUs, Reason: wire.Unknown,
			Detail: "The ledger was rebuilt from the media files, and they do not tell why there is no video here.",
		})
		r.out.Gaps += time.Duration(hole.toUs-hole.fromUs) * time.Microsecond
		r.out.Unknown += time.Duration(hole.toUs-hole.fromUs) * time.Microsecond
	}
	return append(out, h.gaps...)
}

// snap moves the edges of gaps onto those of the video beside them: a segment's end is rounded in its file.
func (h *history) snap() {
	var starts, ends []int64
	for _, v := range h.video {
		starts, ends = append(starts, v.fromUs), append(ends, v.toUs)
	}
	slices.Sort(starts)
	slices.Sort(ends)
	for i := range h.gaps {
		g := &h.gaps[i]
		g.StartUs = min(nearest(ends, g.StartUs), g.EndUs)
		g.EndUs = max(nearest(starts, g.EndUs), g.StartUs)
	}
}

// nearest returns the value of a sorted list that is within a rounding error of us, else us.
func nearest(list []int64, us int64) int64 {
	i, _ := slices.BinarySearch(list, us-rebuildHole)
	if i < len(list) && list[i] <= us+rebuildHole {
		return list[i]
	}
	return us
}

// between returns what of [fromUs, toUs) is in none of the ranges, in order.
func between(ranges []stretch, fromUs, toUs int64) (out []stretch) {
	ranges = slices.Clone(ranges)
	slices.SortFunc(ranges, func(a, b stretch) int { return cmp.Compare(a.fromUs, b.fromUs) })
	at := fromUs
	for _, r := range ranges {
		if until := min(r.fromUs, toUs); until > at {
			out = append(out, stretch{at, until})
		}
		at = max(at, r.toUs)
	}
	if at < toUs {
		out = append(out, stretch{at, toUs})
	}
	return out
}

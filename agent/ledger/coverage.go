package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"holdfast/shared/id"
)

// Range is one piece of a stream's coverage: recorded video, or a declared gap.
type Range struct {
	StartUs  int64
	EndUs    int64
	Recorded bool
	Gap      *Gap   // set when not recorded, whole: it may reach beyond the range
	Origin   string // of recorded video; empty: recorded by the agent
}

// Deleted says that the range was recorded and has been deleted since: its gap tells why and has no ID.
func (r Range) Deleted() bool { return r.Gap != nil && r.Gap.ID == 0 }

// coverageQuery finds the spans (kind 0), open segments (0) and gaps (1) that overlap [?3, ?4) of stream
// (?1, ?2), and what was deleted (2). Rows longer than six hours are looked up apart, so that no lookup reads further back
// than that.
const coverageQuery = `
SELECT 0, start_us, end_us, origin, 0, 0, '', '' FROM stream s JOIN span x ON x.stream = s.id
	WHERE camera = ?1 AND s.kind = ?2 AND start_us >= ?3 - 21600000000 AND start_us < ?4 AND end_us > ?3
	AND end_us - start_us <= 21600000000
UNION ALL SELECT 0, start_us, end_us, origin, 0, 0, '', '' FROM stream s JOIN span x INDEXED BY span_long ON x.stream = s.id
	WHERE camera = ?1 AND s.kind = ?2 AND end_us - start_us > 21600000000 AND start_us < ?4 AND end_us > ?3
UNION ALL SELECT 0, start_us, x.durable_us, '', 0, 0, '', '' FROM stream s JOIN open_segment x ON x.stream = s.id
	WHERE camera = ?1 AND s.kind = ?2 AND start_us < ?4 AND x.durable_us > ?3 AND x.durable_us > start_us
UNION ALL SELECT 1, start_us, end_us, '', x.id, run, reason, detail FROM stream s JOIN gap x ON x.stream = s.id
	WHERE camera = ?1 AND s.kind = ?2 AND start_us >= ?3 - 21600000000 AND start_us < ?4 AND end_us > ?3
	AND end_us - start_us <= 21600000000
UNION ALL SELECT 1, start_us, end_us, '', x.id, run, reason, detail FROM stream s JOIN gap x INDEXED BY gap_long ON x.stream = s.id
	WHERE camera = ?1 AND s.kind = ?2 AND end_us - start_us > 21600000000 AND start_us < ?4 AND end_us > ?3
UNION ALL SELECT 1, start_us, end_us, '', x.id, run, reason, detail FROM stream s JOIN gap x INDEXED BY gap_open ON x.stream = s.id
	WHERE camera = ?1 AND s.kind = ?2 AND end_us = 0 AND start_us < ?4
UNION ALL SELECT 2, start_us, end_us, '', 0, 0, reason, '' FROM stream s JOIN gone x ON x.stream = s.id
	WHERE camera = ?1 AND s.kind = ?2 AND start_us >= ?3 - 21600000000 AND start_us < ?4 AND end_us > ?3`

// Coverage returns what is known of [fromUs, toUs) of a stream: ranges in order that do not overlap, cut to
// the bounds. Where ranges overlap on the wall clock (after a backward step, or in a gap that was filled
// later), video wins over a gap, the agent's own over fetched video, the newer gap over the older, and every gap over the word
// that video was deleted. A gap that lasts reaches to toUs, so toUs should not lie in the future. What is in no range is
// unknown.
func (l *Ledger) Coverage(ctx context.Context, stream id.Stream, fromUs, toUs int64) ([]Range, error) {
	rows, err := l.coverage.QueryContext(ctx, stream.Camera, stream.Kind, fromUs, toUs)
	layers, err := list(rows, err, func(rows *sql.Rows) (y layer, err error) {
		g := Gap{Stream: stream}
		err = rows.Scan(&y.class, &y.StartUs, &y.EndUs, &y.Origin, &g.ID, &g.Run, &g.Reason, &g.Detail)
		y.Recorded = y.class == 0
		switch {
		case y.Recorded && y.Origin != "":
			y.class = 1
		case !y.Recorded:
			y.class++ // a gap is behind fetched video
			g.StartUs, g.EndUs = y.StartUs, y.EndUs
			y.Gap = &g
		}
		if y.Deleted() {
			g.Detail = goneDetail(g.Reason)
		} else if !y.Recorded && y.EndUs == 0 {
			y.EndUs = toUs
		}
		y.StartUs, y.EndUs = max(y.StartUs, fromUs), min(y.EndUs, toUs)
		return y, err
	})
	if err != nil {
		return nil, explain("read coverage", err)
	}
	return flatten(layers), nil
}

// layer is a range that may overlap others; the lowest class wins.
type layer struct {
	Range
	class int
}

// flatten sweeps over the layers' edges and keeps the best layer between each two.
func flatten(layers []layer) []Range {
	slices.SortStableFunc(layers, func(a, b layer) int { return cmp.Compare(a.StartUs, b.StartUs) })
	edges := make([]int64, 0, 2*len(layers))
	for _, y := range layers {
		edges = append(edges, y.StartUs, y.EndUs)
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	var out []Range
	var active []layer
	for i := 0; i+1 < len(edges); i++ {
		at := edges[i]
		for len(layers) > 0 && layers[0].StartUs <= at {
			active = append(active, layers[0])
			layers = layers[1:]
		}
		active = slices.DeleteFunc(active, func(y layer) bool { return y.EndUs <= at })
		if len(active) == 0 {
			continue
		}
		best := slices.MinFunc(active, func(a, b layer) int {
			if c := cmp.Compare(a.class, b.class); c != 0 || a.Gap == nil {
				return c
			}
			return cmp.Compare(b.Gap.ID, a.Gap.ID)
		}).Range
		best.StartUs, best.EndUs = at, edges[i+1]
		out = extend(out, best)
	}
	return out
}

// extend appends next, or lengthens the last range when next is more of the same.
func extend(out []Range, next Range) []Range {
	if n := len(out); n > 0 {
		last := &out[n-1]
		hole := next.StartUs - last.EndUs
		same := last.Recorded == next.Recorded && last.Gap == next.Gap && last.Origin == next.Origin
		if same && (hole == 0 || last.Recorded && hole <= toleranceUs) {
			last.EndUs = next.EndUs
			return out
		}
	}
	return append(out, next)
}

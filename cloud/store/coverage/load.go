package coverage

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
)

// maxWindows is how many windows one statement reads.
const maxWindows = 100

// loadSpans reads the spans that touch the windows, by stream and sorted. Spans are disjoint, so besides those
// that begin in a window only the last one before it can reach into it.
func loadSpans(ctx context.Context, q store.Querier, list []window) (map[id.Stream]pieces, error) {
	known := map[id.Stream]pieces{}
	for part := range slices.Chunk(list, maxWindows) {
		args := make([]any, 0, 5*len(part))
		for i, w := range part {
			args = append(args, i, w.stream.Camera, w.stream.Kind, w.lo, w.hi)
		}
		values := bulk.Placeholders(len(part), 5, []string{"BIGINT", "TEXT", "TEXT", "BIGINT", "BIGINT"})
		// CROSS JOIN keeps SQLite from reading the spans first.
		rows, err := q.QueryContext(ctx, `WITH w (n, camera, stream, lo, hi) AS (`+values+`)
			SELECT w.n, s.start_us, s.end_us, s.origin, s.gone FROM w CROSS JOIN span s
			WHERE s.camera = w.camera AND s.stream = w.stream AND s.start_us <= w.hi AND s.start_us >= COALESCE(
				(SELECT max(p.start_us) FROM span p WHERE p.camera = w.camera AND p.stream = w.stream AND p.start_us <= w.lo), w.lo)`,
			args...)
		_, err = bulk.Collect(rows, err, "spans", func(rows *sql.Rows) (none struct{}, err error) {
			var n int
			var p piece
			err = rows.Scan(&n, &p.start, &p.end, &p.origin, &p.gone)
			if err == nil {
				known[part[n].stream] = append(known[part[n].stream], p)
			}
			return none, err
		})
		if err != nil {
			return nil, err
		}
	}
	for stream, ps := range known {
		slices.SortFunc(ps, func(a, b piece) int { return cmp.Compare(a.start, b.start) })
		// A long span may reach into several windows.
		known[stream] = slices.Compact(ps)
	}
	return known, nil
}

package coverage

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// restated is the queue of what a restatement says of gaps: every word of an ordinary queue comes after it.
const restated = -1

// Recorded returns what lies recorded in [fromUs, toUs) of each stream, in canonical form. The caller knows the streams
// as the site's own.
func Recorded(ctx context.Context, q store.Querier, streams []id.Stream, fromUs, toUs int64) (map[id.Stream][]wire.Covered, error) {
	list := make([]window, 0, len(streams))
	for _, s := range streams {
		list = append(list, window{stream: s, lo: fromUs - 2*slackUs, hi: toUs + 2*slackUs})
	}
	known, err := loadSpans(ctx, q, list)
	if err != nil {
		return nil, err
	}
	out := make(map[id.Stream][]wire.Covered, len(known))
	for stream, ps := range known {
		var ranges []wire.Covered
		for _, p := range ps {
			if p.gone == "" {
				ranges = append(ranges, wire.Covered{StartUs: p.start, EndUs: p.end, Origin: p.origin})
			}
		}
		if ranges = wire.Canon(ranges, fromUs, toUs); len(ranges) > 0 {
			out[stream] = ranges
		}
	}
	return out, nil
}

// GapsOf calls each for the gaps of the streams that begin in [fromUs, toUs).
func GapsOf(ctx context.Context, q store.Querier, scope store.Scope, streams []id.Stream, fromUs, toUs int64, each func(wire.GapFact)) error {
	for part := range slices.Chunk(streams, maxWindows) {
		args := []any{scope.Filter(), fromUs, toUs}
		values := ""
		for i, s := range part {
			if i > 0 {
				values += ", "
			}
			values += fmt.Sprintf("(CAST($%d AS TEXT), CAST($%d AS TEXT))", len(args)+1, len(args)+2)
			args = append(args, s.Camera, s.Kind)
		}
		// CROSS JOIN keeps SQLite from reading the gaps first.
		rows, err := q.QueryContext(ctx, `WITH w (camera, stream) AS (VALUES `+values+`)
			SELECT g.id, g.camera, g.stream, g.run, g.start_us, g.end_us, g.reason, g.detail FROM w CROSS JOIN gap g
			WHERE ($1 = '*' OR g.org = $1) AND g.camera = w.camera AND g.stream = w.stream
				AND g.start_us >= $2 AND g.start_us < $3`, args...)
		_, err = bulk.Collect(rows, err, "gaps of a day", func(rows *sql.Rows) (none struct{}, err error) {
			var g wire.GapFact
			err = rows.Scan(&g.ID, &g.Stream.Camera, &g.Stream.Kind, &g.Run, &g.StartUs, &g.EndUs, &g.Reason, &g.Detail)
			if g.EndUs == Lasts {
				g.EndUs = 0
			}
			if err == nil {
				each(g)
			}
			return none, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Restate makes [fromUs, toUs) of a stream hold what the site says: of what was recorded here and is not there, what
// lies before firstUs is expired and the rest lost. What was removed already stays so.
func Restate(ctx context.Context, q store.Querier, org id.Org, stream id.Stream, fromUs, toUs, firstUs int64, ranges []wire.Covered) error {
	known, err := loadSpans(ctx, q, []window{{stream: stream, lo: fromUs - slackUs, hi: toUs + slackUs}})
	if err != nil {
		return err
	}
	old := known[stream]
	now := slices.Clone(old)
	for _, p := range old {
		start, end := max(p.start, fromUs), min(p.end, toUs)
		if p.gone != "" || start >= end {
			continue
		}
		edge := min(max(firstUs, start), end)
		now = now.put(piece{start, edge, "", string(wire.Expired)})
		now = now.put(piece{edge, end, "", string(wire.Lost)})
	}
	for _, r := range ranges {
		now = now.put(piece{r.StartUs, r.EndUs, r.Origin, ""})
	}
	var c change
	c.note(stream, old, now)
	return c.save(ctx, q, org)
}

// RestateGaps makes the gaps of a stream that begin in [fromUs, toUs) those that the site says, whatever ledger they were
// told by. Later words of an ordinary queue stand above them.
func RestateGaps(ctx context.Context, q store.Querier, src Source, stream id.Stream, fromUs, toUs, seq int64, gaps []wire.GapFact) error {
	_, err := q.ExecContext(ctx, `DELETE FROM gap WHERE org = $1 AND camera = $2 AND stream = $3 AND start_us >= $4 AND start_us < $5`,
		src.Org, stream.Camera, stream.Kind, fromUs, toUs)
	if err != nil {
		return fmt.Errorf("restate gaps: %w", err)
	}
	rows := bulk.New(13, len(gaps))
	seen := map[int64]bool{}
	for _, g := range gaps {
		if seen[g.ID] {
			continue // one statement can't touch a row twice in PostgreSQL
		}
		seen[g.ID] = true
		end := g.EndUs
		if end == 0 {
			end = Lasts
		}
		rows.Add(src.Org, stream.Camera, stream.Kind, src.Agent, src.Epoch, g.ID, g.Run, g.StartUs, end, string(g.Reason), g.Detail,
			restated, seq)
	}
	err = rows.Exec(ctx, q, `INSERT INTO gap
			(org, camera, stream, agent, epoch, id, run, start_us, end_us, reason, detail, queue, seq)`,
		`ON CONFLICT (agent, epoch, id) DO UPDATE SET camera = excluded.camera, stream = excluded.stream,
			run = excluded.run, start_us = excluded.start_us, end_us = excluded.end_us, reason = excluded.reason,
			detail = excluded.detail, queue = excluded.queue, seq = excluded.seq`)
	if err != nil {
		return fmt.Errorf("restate gaps: %w", err)
	}
	return nil
}

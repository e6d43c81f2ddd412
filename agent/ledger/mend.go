package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// untold lists segments and gaps that the cloud can't have heard of: their fact is not acked, and not in the outbox.
func untold(ctx context.Context, db *sql.DB) ([]string, error) {
	return texts(ctx, db, `SELECT format('%s %d waits in queue %d as number %d, where no such fact is', what, x.id, x.queue, x.seq) FROM (
			SELECT 'segment' AS what, id, queue, seq, 'coverage' AS kind FROM segment
			UNION ALL SELECT 'gap', id, queue, seq, 'gap' FROM gap) x
		JOIN queue q ON q.id = x.queue AND x.seq > q.acked AND x.seq <= q.last
		LEFT JOIN outbox o ON o.queue = x.queue AND o.seq = x.seq WHERE o.kind IS NOT x.kind LIMIT ?`, maxFindings)
}

// Mend restores in a ledger what follows from its segments, and has the cloud told of segments that it can't have heard
// of. It returns a sentence for each thing that it did. What media files alone can tell, only a rebuild brings back.
func (l *Ledger) Mend(ctx context.Context) (done []string, err error) {
	err = l.write(ctx, "mend ledger", func(t *tx) error {
		done = nil
		n, err := t.count(`UPDATE stream SET bytes = (SELECT coalesce(sum(bytes), 0) FROM segment WHERE stream = stream.id)
			WHERE bytes <> (SELECT coalesce(sum(bytes), 0) FROM segment WHERE stream = stream.id)`)
		if err != nil {
			return err
		}
		if n > 0 {
			done = append(done, fmt.Sprintf("the bytes of %d streams were added up anew", n))
		}
		volumes, err := t.addUp()
		done = append(done, volumes...)
		if err != nil {
			return err
		}
		spans, err := t.merge()
		if err != nil {
			return err
		}
		told, err := t.retell()
		done = append(done, append(spans, told...)...)
		return err
	})
	return done, err
}

// addUp counts the bytes of the volumes anew where they are not what the segments say.
func (t *tx) addUp() ([]string, error) {
	const wrong = `FROM volume v FULL JOIN (SELECT volume, sum(bytes) AS bytes FROM segment GROUP BY volume) e ON e.volume = v.id
		WHERE coalesce(v.bytes, 0) <> coalesce(e.bytes, 0)`
	rows, err := t.query(`SELECT coalesce(v.id, e.volume) ` + wrong)
	volumes, err := list(rows, err, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) })
	if err != nil || len(volumes) == 0 {
		return nil, err
	}
	for _, id := range volumes {
		if err := t.exec(`INSERT INTO volume (id, bytes) VALUES (?1, (SELECT coalesce(sum(bytes), 0) FROM segment WHERE volume = ?1))
			ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes`, id); err != nil {
			return nil, err
		}
	}
	return []string{fmt.Sprintf("the bytes of %d volumes were added up anew", len(volumes))}, nil
}

// merge makes the merged coverage anew where it is not what the segments say.
func (t *tx) merge() ([]string, error) {
	wrong, err := wrongSpansIn(t.query)
	if err != nil || len(wrong) == 0 {
		return nil, err
	}
	t.after = append(t.after, t.w.days.touchAll)
	if err := t.exec(`DELETE FROM span`); err != nil {
		return nil, err
	}
	rows, err := t.query(`SELECT stream, run, origin, start_us, end_us FROM segment ORDER BY id`)
	all, err := list(rows, err, func(rows *sql.Rows) (s span, err error) {
		return s, rows.Scan(&s.stream, &s.run, &s.origin, &s.startUs, &s.endUs)
	})
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if err := t.cover(s); err != nil {
			return nil, err
		}
	}
	return []string{fmt.Sprintf("the merged coverage was made anew from %d segments", len(all))}, nil
}

// retell adds the facts of segments that are missing in the outbox.
func (t *tx) retell() ([]string, error) {
	rows, err := t.query(`SELECT ` + segmentColumns + ` FROM segment e JOIN stream s ON s.id = e.stream JOIN queue q ON q.id = e.queue
		AND e.seq > q.acked AND e.seq <= q.last LEFT JOIN outbox o ON o.queue = e.queue AND o.seq = e.seq WHERE o.kind IS NOT 'coverage' ORDER BY e.id`)
	missing, err := list(rows, err, func(rows *sql.Rows) (s Segment, err error) {
		var root []byte
		err = rows.Scan(&s.ID, &s.Volume, &s.Stream.Camera, &s.Stream.Kind, &s.Run, &s.MonoUs, &s.StartUs, &s.EndUs, &s.Bytes, &s.Parts, &root,
			&s.Recovered, &s.Origin)
		copy(s.Root[:], root)
		return s, err
	})
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	for _, s := range missing {
		queue, seq, err := t.fact(liveQueue, wire.KindCoverage, coverageFact(s))
		if err != nil {
			return nil, err
		}
		if err := t.exec(`UPDATE segment SET queue = ?, seq = ? WHERE id = ?`, queue, seq, s.ID); err != nil {
			return nil, err
		}
	}
	return []string{fmt.Sprintf("the cloud is told of %d segments that it can't have heard of", len(missing))}, nil
}

func coverageFact(s Segment) wire.CoverageFact {
	return wire.CoverageFact{
		Stream: s.Stream, Run: s.Run, Segment: s.ID, StartUs: s.StartUs, EndUs: s.EndUs, Bytes: s.Bytes,
		Root: s.Root[:], Recovered: s.Recovered, Origin: s.Origin,
	}
}

// stretches is how merged reads a table, through whatever runs the query.
type stretches func(query string, args ...any) (*sql.Rows, error)

// wrongSpansIn compares the merged coverage with what the segments say.
func wrongSpansIn(query stretches) ([]string, error) {
	spans, err := merged(query, `span`)
	if err != nil {
		return nil, err
	}
	segments, err := merged(query, `segment`)
	if err != nil {
		return nil, err
	}
	var found []string
	for i := 0; i < max(len(spans), len(segments)) && len(found) == 0; i++ {
		switch {
		case i >= len(spans):
			found = append(found, segments[i].String()+" lies in segments, but not in the coverage")
		case i >= len(segments):
			found = append(found, spans[i].String()+" lies in the coverage, but in no segment")
		case !spans[i].near(segments[i]):
			found = append(found, fmt.Sprintf("the coverage has %v where the segments have %v", spans[i], segments[i]))
		}
	}
	return found, nil
}

// stretch is a range of a stream's coverage.
type stretch struct {
	stream         id.Stream
	run            int64
	origin         string
	startUs, endUs int64
}

func (s stretch) String() string {
	return fmt.Sprintf("[%d, %d) of %v in run %d %s", s.startUs, s.endUs, s.stream, s.run, s.origin)
}

func (s stretch) near(o stretch) bool {
	return s.stream == o.stream && s.run == o.run && s.origin == o.origin &&
		max(s.startUs-o.startUs, o.startUs-s.startUs, s.endUs-o.endUs, o.endUs-s.endUs) <= toleranceUs
}

// merged reads the ranges of a table of ranges, with those that abut or overlap as one.
func merged(query stretches, table string) ([]stretch, error) {
	rows, err := query(`SELECT camera, s.kind, run, origin, start_us, end_us FROM ` + table + ` x
		JOIN stream s ON s.id = x.stream ORDER BY camera, s.kind, run, origin, start_us, end_us`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []stretch
	for rows.Next() {
		var s stretch
		if err := rows.Scan(&s.stream.Camera, &s.stream.Kind, &s.run, &s.origin, &s.startUs, &s.endUs); err != nil {
			return nil, err
		}
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.stream == s.stream && last.run == s.run && last.origin == s.origin && s.startUs <= last.endUs+toleranceUs {
				last.endUs = max(last.endUs, s.endUs)
				continue
			}
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

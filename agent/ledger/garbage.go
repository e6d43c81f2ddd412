package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"holdfast/shared/wire"
)

// Garbage is a file whose row is gone and whose name may still be on disk.
type Garbage struct {
	ID     uint64
	Volume string
}

// Condemn takes segments out of the coverage, in one transaction: their rows become garbage, and the account keeps and the
// cloud is told which ranges are gone (those that no other segment covers) and why: expired, deleted_by_person, else
// lost. What expires before the cloud has acked that it was there is lost too. Open segments may be condemned;
// one that is unknown is left alone. The caller then unlinks the files, syncs their folders and calls
// Buried.
func (l *Ledger) Condemn(ctx context.Context, segments []Segment, reason wire.Reason) error {
	return l.Sacrifice(ctx, segments, reason, nil, "")
}

// Sacrifice is Condemn for segments that clips still need: in the same transaction these clips become lost, which
// the cloud is told with the reason why, a sentence for a person.
func (l *Ledger) Sacrifice(ctx context.Context, segments []Segment, reason wire.Reason, clips []Clip, why string) error {
	return l.write(ctx, "condemn segments", func(t *tx) error {
		for _, c := range clips {
			c.State, c.Fact.Reason, c.Fact.AtUs = wire.ClipLost, why, nowUs()
			if err := t.setClip(c, true); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		var gone []trim
		for _, s := range segments {
			g, err := t.condemn(s)
			if err != nil {
				return err
			}
			if g != nil {
				gone = append(gone, *g)
			}
		}
		return t.tellTrims(gone, reason)
	})
}

// trim is a range that was told to the cloud and is gone.
type trim struct {
	segment    Segment
	stream     int64
	queue, seq int64 // where its coverage was told
	where      int64 // the queue in which a fact comes behind that: its own while the cloud has not acked it
}

func (t *tx) condemn(s Segment) (*trim, error) {
	n, err := t.count(`INSERT INTO garbage (id, volume) SELECT id, volume FROM open_segment WHERE id = ?`, s.ID)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		return nil, t.exec(`DELETE FROM open_segment WHERE id = ?`, s.ID)
	}
	g := trim{segment: s}
	err = t.get([]any{
		&g.stream, &g.segment.Run, &g.segment.Origin, &g.segment.StartUs, &g.segment.EndUs, &g.segment.Bytes,
		&g.segment.Volume, &g.queue, &g.seq,
	},
		`DELETE FROM segment WHERE id = ? RETURNING stream, run, origin, start_us, end_us, bytes, volume, queue, seq`, s.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := t.exec(`INSERT INTO garbage (id, volume) VALUES (?, ?)`, s.ID, g.segment.Volume); err != nil {
		return nil, err
	}
	if err := t.exec(`UPDATE stream SET bytes = bytes - ? WHERE id = ?`, g.segment.Bytes, g.stream); err != nil {
		return nil, err
	}
	if err := t.exec(`UPDATE volume SET bytes = bytes - ? WHERE id = ?`, g.segment.Bytes, g.segment.Volume); err != nil {
		return nil, err
	}
	if err := t.get([]any{&g.segment.Stream.Camera, &g.segment.Stream.Kind}, `SELECT camera, kind FROM stream WHERE id = ?`, g.stream); err != nil {
		return nil, err
	}
	if g.where, err = t.behind(g.queue, g.seq); err != nil {
		return nil, err
	}
	t.touchRange(g.segment.Stream, g.segment.StartUs, g.segment.EndUs)
	return &g, t.uncover(span{
		stream: g.stream, run: g.segment.Run, origin: g.segment.Origin, startUs: g.segment.StartUs, endUs: g.segment.EndUs,
	})
}

// tellTrims tells the cloud what is gone, and keeps it in the account: abutting segments as one range, without what is still
// covered by others, and behind the rows that told of the coverage.
func (t *tx) tellTrims(gone []trim, reason wire.Reason) error {
	if reason != wire.Expired && reason != wire.DeletedByPerson {
		reason = wire.Lost
	}
	slices.SortFunc(gone, func(a, b trim) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.segment.StartUs, b.segment.StartUs))
	})
	for len(gone) > 0 {
		first, n := gone[0], 1
		end := first.segment.EndUs
		for ; n < len(gone); n++ {
			next := gone[n]
			if next.stream != first.stream || next.where != first.where || next.segment.StartUs > end+toleranceUs {
				break
			}
			end = max(end, next.segment.EndUs)
		}
		gone = gone[n:]
		left, err := t.uncovered(first.stream, first.segment.StartUs, end)
		if err != nil {
			return err
		}
		why := reason
		if why == wire.Expired && first.where != liveQueue {
			why = wire.Lost
		}
		for _, r := range left {
			if _, _, err := t.fact(first.where, wire.KindTrim, wire.TrimFact{
				Stream: first.segment.Stream, StartUs: r[0], EndUs: r[1], Reason: why,
			}); err != nil {
				return err
			}
			if err := t.gone(first.stream, r[0], r[1], why); err != nil {
				return err
			}
		}
	}
	return nil
}

// uncovered returns what of [startUs, endUs) no span of the stream covers.
func (t *tx) uncovered(stream, startUs, endUs int64) (out [][2]int64, _ error) {
	rows, err := t.query(`SELECT start_us, end_us FROM span WHERE stream = ?1 AND start_us >= ?4 AND start_us < ?3 AND end_us > ?2
		AND end_us - start_us <= 21600000000
		UNION ALL SELECT start_us, end_us FROM span INDEXED BY span_long WHERE stream = ?1 AND start_us < ?3 AND end_us > ?2
		AND end_us - start_us > 21600000000 ORDER BY 1`, stream, startUs, endUs, startUs-spanUs)
	covered, err := list(rows, err, func(rows *sql.Rows) (r [2]int64, err error) { return r, rows.Scan(&r[0], &r[1]) })
	if err != nil {
		return nil, err
	}
	at := startUs
	for _, c := range covered {
		if c[0] > at {
			out = append(out, [2]int64{at, c[0]})
		}
		at = max(at, c[1])
	}
	if at < endUs {
		out = append(out, [2]int64{at, endUs})
	}
	return out, nil
}

// Garbage returns the files that are to be unlinked, lowest ID first.
func (l *Ledger) Garbage(ctx context.Context) ([]Garbage, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT id, volume FROM garbage ORDER BY id`)
	out, err := list(rows, err, func(rows *sql.Rows) (g Garbage, err error) { return g, rows.Scan(&g.ID, &g.Volume) })
	return out, explain("read garbage", err)
}

// Buried says that the names of these files are gone from disk for good.
func (l *Ledger) Buried(ctx context.Context, segments []uint64) error {
	return l.write(ctx, "bury segments", func(t *tx) error {
		for _, s := range segments {
			if err := t.exec(`DELETE FROM garbage WHERE id = ?`, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// Lose takes segments whose files are gone out of the coverage, for good: their time becomes a gap with the reason lost.
func (l *Ledger) Lose(ctx context.Context, segments []Segment, detail string) error {
	if len(segments) == 0 {
		return nil
	}
	if err := l.Condemn(ctx, segments, wire.Lost); err != nil {
		return err
	}
	gone := make([]uint64, 0, len(segments))
	for _, s := range segments {
		gone = append(gone, s.ID)
		if s.EndUs <= s.StartUs {
			continue
		}
		g := Gap{Stream: s.Stream, Run: s.Run, StartUs: s.StartUs, EndUs: s.EndUs, Reason: wire.Lost, Detail: detail}
		if _, err := l.BeginGap(ctx, g); err != nil {
			return err
		}
	}
	return l.Buried(ctx, gone)
}

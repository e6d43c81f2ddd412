package ledger

import (
	"context"
	"database/sql"
	"errors"
	"math"

	"holdfast/shared/id"
)

// Place is a segment's place in the order in which a volume's segments were told. The zero Place comes first.
type Place struct{ Queue, Seq int64 }

// Told returns up to n closed segments of a volume behind after, in the order in which the cloud was told of them,
// which is the order of age to within the length of one segment; next is the place of the last, and equal to after
// when there is none left. With mirrored only those that the cloud has acked are returned, else only the others.
func (l *Ledger) Told(ctx context.Context, volume string, mirrored bool, after Place, n int) (out []Segment, next Place, err error) {
	pending, err := l.unacked(ctx)
	if err != nil {
		return nil, after, explain("read segments", err)
	}
	next = after
	for queue := after.Queue; len(out) < n; queue++ {
		err := l.read.QueryRowContext(ctx, `SELECT queue FROM segment WHERE volume = ? AND queue >= ? ORDER BY queue LIMIT 1`,
			volume, queue).Scan(&queue)
		if errors.Is(err, sql.ErrNoRows) {
			return out, next, nil
		}
		if err != nil {
			return nil, after, explain("read segments", err)
		}
		from, to := int64(math.MinInt64), int64(math.MaxInt64)
		if queue == after.Queue && after != (Place{}) {
			from = after.Seq
		}
		acked, waits := pending[queue]
		switch {
		case waits && mirrored:
			to = acked
		case waits:
			from = max(from, acked)
		case !mirrored:
			continue // all of it is acked
		}
		rows, err := l.read.QueryContext(ctx, `SELECT e.seq, `+segmentColumns+` FROM segment e JOIN stream s ON s.id = e.stream
			WHERE e.volume = ? AND e.queue = ? AND e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?`, volume, queue, from, to, n-len(out))
		some, err := list(rows, err, func(rows *sql.Rows) (Segment, error) {
			next.Queue = queue
			return scanSegment(rows, &next.Seq)
		})
		if err != nil {
			return nil, after, explain("read segments", err)
		}
		out = append(out, some...)
	}
	return out, next, nil
}

// unacked returns the queues with pending facts, and how far each is acked.
func (l *Ledger) unacked(ctx context.Context) (map[int64]int64, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT id, acked FROM queue WHERE acked < last`)
	type state struct{ queue, acked int64 }
	all, err := list(rows, err, func(rows *sql.Rows) (s state, err error) { return s, rows.Scan(&s.queue, &s.acked) })
	out := make(map[int64]int64, len(all))
	for _, s := range all {
		out[s.queue] = s.acked
	}
	return out, err
}

// Within returns up to n closed segments of a stream that lie whole in [fromUs, toUs), by start: those that are
// due when video is kept for a number of days.
func (l *Ledger) Within(ctx context.Context, stream id.Stream, fromUs, toUs int64, n int) ([]Segment, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT `+segmentColumns+` FROM stream s JOIN segment e ON e.stream = s.id
		WHERE s.camera = ? AND s.kind = ? AND e.start_us >= ? AND e.start_us < ?4 AND e.end_us <= ?4 ORDER BY e.start_us LIMIT ?`,
		stream.Camera, stream.Kind, fromUs, toUs, n)
	out, err := list(rows, err, plainSegment)
	return out, explain("read segments", err)
}

// Sum adds up the closed segments of a stream that lie whole in [fromUs, toUs): bytes and microseconds.
func (l *Ledger) Sum(ctx context.Context, stream id.Stream, fromUs, toUs int64) (bytes, lengthUs int64, err error) {
	err = l.read.QueryRowContext(ctx, `SELECT coalesce(sum(e.bytes), 0), coalesce(sum(e.end_us - e.start_us), 0) FROM stream s
		JOIN segment e ON e.stream = s.id WHERE s.camera = ? AND s.kind = ? AND e.start_us >= ? AND e.start_us < ?4 AND e.end_us <= ?4`,
		stream.Camera, stream.Kind, fromUs, toUs).Scan(&bytes, &lengthUs)
	return bytes, lengthUs, explain("add up segments", err)
}

// VolumeBytes returns the size of the media files on each volume, open ones included.
func (l *Ledger) VolumeBytes(ctx context.Context) (map[string]int64, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT id, sum(bytes) FROM
		(SELECT id, bytes FROM volume UNION ALL SELECT volume, bytes FROM open_segment) GROUP BY id`)
	type row struct {
		volume string
		bytes  int64
	}
	all, err := list(rows, err, func(rows *sql.Rows) (r row, err error) { return r, rows.Scan(&r.volume, &r.bytes) })
	out := make(map[string]int64, len(all))
	for _, r := range all {
		out[r.volume] = r.bytes
	}
	return out, explain("add up segments", err)
}

// Recorded returns what every stream recorded since sinceUs: the bytes of segments that began since, those that
// are still open included.
func (l *Ledger) Recorded(ctx context.Context, sinceUs int64) (map[id.Stream]int64, error) {
	type row struct {
		stream id.Stream
		bytes  int64
	}
	rows, err := l.read.QueryContext(ctx, `SELECT camera, kind,
		coalesce((SELECT sum(e.bytes) FROM segment e WHERE e.stream = s.id AND e.start_us >= ?1 AND e.origin = ''), 0) +
		coalesce((SELECT sum(o.bytes) FROM open_segment o WHERE o.stream = s.id AND o.start_us >= ?1), 0) FROM stream s`, sinceUs)
	all, err := list(rows, err, func(rows *sql.Rows) (r row, err error) {
		return r, rows.Scan(&r.stream.Camera, &r.stream.Kind, &r.bytes)
	})
	out := make(map[id.Stream]int64, len(all))
	for _, r := range all {
		out[r.stream] = r.bytes
	}
	return out, explain("add up what was recorded", err)
}

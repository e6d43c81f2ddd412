package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// OpenSegment is a segment that is being written. DurableUs and Bytes are what the newest flush round made
// safe (DurableUs is StartUs before the first); BeginSegment ignores them.
type OpenSegment struct {
	ID      uint64
	Volume  string
	Stream  id.Stream
	Run     int64
	MonoUs  int64 // start on the run's timeline
	StartUs int64

	DurableUs int64
	Bytes     int64
}

// Segment is a closed media file: [StartUs, EndUs) of a stream.
type Segment struct {
	ID        uint64
	Volume    string
	Stream    id.Stream
	Run       int64
	MonoUs    int64 // start on the run's timeline
	StartUs   int64
	EndUs     int64
	Bytes     int64
	Parts     int      // 0 for a segment that is still open
	Root      [32]byte // Merkle root over the parts
	Recovered bool     // closed at a start after a crash
	Origin    string   // empty: recorded by the agent; else where it was fetched from
}

// Durable says that a flush round made an open segment safe up to DurableUs, Bytes of it.
type Durable struct {
	ID        uint64
	DurableUs int64
	Bytes     int64
}

// StreamStat is what the site holds of a stream.
type StreamStat struct {
	FirstUs   int64 // start of the oldest video, 0 when there is none
	DurableUs int64 // end of the newest video that is safe on disk, 0 when there never was any
	ClosedUs  int64 // end of the segment that was closed last, 0 when there never was one
	Bytes     int64 // of media files, open ones included
}

// NextSegment returns a segment ID above every one that was ever used.
func (l *Ledger) NextSegment() uint64 { return l.segment.Add(1) }

// Newest returns the highest segment ID that was ever used.
func (l *Ledger) Newest() uint64 { return l.segment.Load() }

// AtLeast says that a file with this ID exists on disk; NextSegment stays above it.
func (l *Ledger) AtLeast(segment uint64) {
	for {
		have := l.segment.Load()
		if segment <= have || segment > math.MaxInt64 || l.segment.CompareAndSwap(have, segment) {
			return
		}
	}
}

// BeginSegment notes a segment whose file exists now. The gap *closesGap, if any, ends at its start.
func (l *Ledger) BeginSegment(ctx context.Context, s OpenSegment, closesGap *int64) error {
	return l.write(ctx, fmt.Sprintf("begin segment %d", s.ID), func(t *tx) error {
		stream, err := t.stream(s.Stream)
		if err != nil {
			return err
		}
		if err := t.fresh(s.ID); err != nil {
			return err
		}
		if err := t.exec(`INSERT INTO open_segment (id, volume, stream, run, mono_us, start_us, durable_us)
			VALUES (?, ?, ?, ?, ?, ?, ?)`, s.ID, s.Volume, stream, s.Run, s.MonoUs, s.StartUs, s.StartUs); err != nil {
			return err
		}
		if closesGap == nil {
			return nil
		}
		return t.endGap(*closesGap, s.StartUs)
	})
}

// fresh refuses an ID that can't be a new segment's.
func (t *tx) fresh(segment uint64) error {
	if segment == 0 || segment > math.MaxInt64 {
		return errors.New("a segment's ID lies between 1 and 2^63-1")
	}
	err := t.exists(`SELECT 1 FROM segment WHERE id = ?1 UNION ALL SELECT 1 FROM garbage WHERE id = ?1`, segment)
	if err == nil {
		return errors.New("a segment with this ID exists already")
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Flushed records one flush round in one transaction, and that the run had come to runMonoUs.
func (l *Ledger) Flushed(ctx context.Context, runMonoUs int64, round []Durable) error {
	return l.write(ctx, "record flush round", func(t *tx) error {
		for _, d := range round {
			if err := t.exec(`UPDATE open_segment SET durable_us = max(durable_us, ?), bytes = max(bytes, ?) WHERE id = ?`,
				d.DurableUs, d.Bytes, d.ID); err != nil {
				return err
			}
		}
		if err := l.settle(t); err != nil {
			return err
		}
		return t.exec(`UPDATE run SET last_mono_us = max(last_mono_us, ?) WHERE id = ? AND ended_by = ''`,
			runMonoUs, l.run.Load())
	})
}

// CloseSegment notes a finished segment: its row, its coverage, the fact for the cloud and, when gap is not
// nil, the gap that begins where it ends (gap.StartUs 0 means s.EndUs), all in one transaction. A segment
// that was never begun (a fetched or a rebuilt one) may be closed too.
func (l *Ledger) CloseSegment(ctx context.Context, s Segment, gap *Gap) (gapID int64, err error) {
	err = l.write(ctx, fmt.Sprintf("close segment %d", s.ID), func(t *tx) error {
		if s.EndUs <= s.StartUs || s.Bytes < 0 {
			return fmt.Errorf("its range [%d, %d) of %d bytes holds nothing: condemn it instead", s.StartUs, s.EndUs, s.Bytes)
		}
		if err := t.closeSegment(s); err != nil || gap == nil {
			return err
		}
		g := *gap
		if g.StartUs == 0 {
			g.StartUs = s.EndUs
		}
		gapID, err = t.beginGap(g)
		return err
	})
	return gapID, err
}

func (t *tx) closeSegment(s Segment) error {
	stream, err := t.putSegment(s)
	if err != nil {
		return err
	}
	return t.cover(span{stream: stream, run: s.Run, origin: s.Origin, startUs: s.StartUs, endUs: s.EndUs})
}

// putSegment does all of closeSegment but the merged coverage, and returns the stream's number.
func (t *tx) putSegment(s Segment) (stream int64, err error) {
	if stream, err = t.stream(s.Stream); err != nil {
		return 0, err
	}
	if err := t.fresh(s.ID); err != nil {
		return 0, err
	}
	queue, seq, err := t.fact(liveQueue, wire.KindCoverage, coverageFact(s))
	if err != nil {
		return 0, err
	}
	if err := t.exec(`INSERT INTO segment (id, volume, stream, run, mono_us, start_us, end_us, bytes, parts, root,
		recovered, origin, queue, seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.ID, s.Volume, stream, s.Run, s.MonoUs, s.StartUs, s.EndUs, s.Bytes, s.Parts, s.Root[:],
		s.Recovered, s.Origin, queue, seq); err != nil {
		return 0, err
	}
	t.touchRange(s.Stream, s.StartUs, s.EndUs)
	if err := t.exec(`DELETE FROM open_segment WHERE id = ?`, s.ID); err != nil {
		return 0, err
	}
	if err := t.exec(`INSERT INTO volume (id, bytes) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET bytes = bytes + excluded.bytes`,
		s.Volume, s.Bytes); err != nil {
		return 0, err
	}
	// What was fetched from elsewhere is about the past: it says nothing of how far recording has come.
	return stream, t.exec(`UPDATE stream SET bytes = bytes + ?, durable_us = iif(? = '', ?, durable_us) WHERE id = ?`,
		s.Bytes, s.Origin, s.EndUs, stream)
}

// OpenSegments returns the segments that were begun and not closed, oldest first.
func (l *Ledger) OpenSegments(ctx context.Context) ([]OpenSegment, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT o.id, volume, camera, kind, run, mono_us, start_us, o.durable_us, o.bytes
		FROM open_segment o JOIN stream s ON s.id = o.stream ORDER BY o.id`)
	out, err := list(rows, err, func(rows *sql.Rows) (s OpenSegment, err error) {
		return s, rows.Scan(&s.ID, &s.Volume, &s.Stream.Camera, &s.Stream.Kind, &s.Run, &s.MonoUs, &s.StartUs,
			&s.DurableUs, &s.Bytes)
	})
	return out, explain("read open segments", err)
}

const segmentColumns = `e.id, e.volume, s.camera, s.kind, e.run, e.mono_us, e.start_us, e.end_us, e.bytes, e.parts,
	e.root, e.recovered, e.origin`

// segmentsQuery finds what overlaps [?3, ?4) of stream (?1, ?2). Short and long segments are looked up apart,
// so that no lookup reads further back than ten minutes before the range.
const segmentsQuery = `
SELECT ` + segmentColumns + ` FROM stream s JOIN segment e ON e.stream = s.id
	WHERE s.camera = ?1 AND s.kind = ?2 AND e.start_us >= ?3 - 600000000 AND e.start_us < ?4 AND e.end_us > ?3
	AND e.end_us - e.start_us <= 600000000
UNION ALL SELECT ` + segmentColumns + ` FROM stream s JOIN segment e INDEXED BY segment_long ON e.stream = s.id
	WHERE s.camera = ?1 AND s.kind = ?2 AND e.end_us - e.start_us > 600000000 AND e.start_us < ?4 AND e.end_us > ?3
UNION ALL SELECT e.id, e.volume, s.camera, s.kind, e.run, e.mono_us, e.start_us, e.durable_us, e.bytes, 0,
	zeroblob(32), 0, '' FROM stream s JOIN open_segment e ON e.stream = s.id
	WHERE s.camera = ?1 AND s.kind = ?2 AND e.start_us < ?4 AND e.durable_us > ?3 AND e.durable_us > e.start_us
ORDER BY 7, 1`

// Segments returns the segments of a stream that overlap [fromUs, toUs), by start. Open ones are included
// up to what is safe on disk, with Parts 0 and no root.
func (l *Ledger) Segments(ctx context.Context, stream id.Stream, fromUs, toUs int64) ([]Segment, error) {
	rows, err := l.segments.QueryContext(ctx, stream.Camera, stream.Kind, fromUs, toUs)
	out, err := list(rows, err, plainSegment)
	return out, explain("read segments", err)
}

// Oldest returns the n closed segments that were begun first. That order is the one of their IDs, which no
// wrong clock disturbs.
func (l *Ledger) Oldest(ctx context.Context, n int) ([]Segment, error) {
	return l.SegmentsAfter(ctx, 0, n)
}

// SegmentsAfter returns the n closed segments with the lowest IDs above after.
func (l *Ledger) SegmentsAfter(ctx context.Context, after uint64, n int) ([]Segment, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT `+segmentColumns+` FROM segment e JOIN stream s ON s.id = e.stream
		WHERE e.id > ? ORDER BY e.id LIMIT ?`, after, n)
	out, err := list(rows, err, plainSegment)
	return out, explain("read segments", err)
}

// Known returns the numbers above after that any row has: of closed segments, open ones and garbage.
func (l *Ledger) Known(ctx context.Context, after uint64) (map[uint64]bool, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT id FROM segment WHERE id > ?1 UNION ALL SELECT id FROM open_segment WHERE id > ?1
		UNION ALL SELECT id FROM garbage WHERE id > ?1`, after)
	if err != nil {
		return nil, explain("read segments", err)
	}
	defer func() { _ = rows.Close() }()
	known := map[uint64]bool{}
	for rows.Next() {
		var n uint64
		if err := rows.Scan(&n); err != nil {
			return nil, explain("read segments", err)
		}
		known[n] = true
	}
	return known, explain("read segments", rows.Err())
}

func plainSegment(rows *sql.Rows) (Segment, error) { return scanSegment(rows) }

// scanSegment reads segmentColumns, behind the columns that go to first.
func scanSegment(rows *sql.Rows, first ...any) (s Segment, err error) {
	var root []byte
	err = rows.Scan(append(first, &s.ID, &s.Volume, &s.Stream.Camera, &s.Stream.Kind, &s.Run, &s.MonoUs, &s.StartUs, &s.EndUs,
		&s.Bytes, &s.Parts, &root, &s.Recovered, &s.Origin)...)
	copy(s.Root[:], root)
	return s, err
}

// Bytes returns the size of all media files that the ledger knows, open ones included.
func (l *Ledger) Bytes(ctx context.Context) (n int64, err error) {
	err = l.read.QueryRowContext(ctx, `SELECT coalesce((SELECT sum(bytes) FROM stream), 0) +
		coalesce((SELECT sum(bytes) FROM open_segment), 0)`).Scan(&n)
	return n, explain("add up segments", err)
}

// StreamStats returns what the site holds of every stream that it has ever recorded.
func (l *Ledger) StreamStats(ctx context.Context) (map[id.Stream]StreamStat, error) {
	type row struct {
		stream id.Stream
		stat   StreamStat
	}
	rows, err := l.read.QueryContext(ctx, `SELECT camera, kind,
		coalesce((SELECT min(start_us) FROM segment e WHERE e.stream = s.id),
			(SELECT min(start_us) FROM open_segment o WHERE o.stream = s.id AND o.durable_us > o.start_us), 0),
		coalesce((SELECT max(durable_us) FROM open_segment o WHERE o.stream = s.id AND o.durable_us > o.start_us), durable_us),
		bytes + coalesce((SELECT sum(bytes) FROM open_segment o WHERE o.stream = s.id), 0), s.durable_us FROM stream s`)
	all, err := list(rows, err, func(rows *sql.Rows) (r row, err error) {
		return r, rows.Scan(&r.stream.Camera, &r.stream.Kind, &r.stat.FirstUs, &r.stat.DurableUs, &r.stat.Bytes, &r.stat.ClosedUs)
	})
	out := make(map[id.Stream]StreamStat, len(all))
	for _, r := range all {
		out[r.stream] = r.stat
	}
	return out, explain("read streams", err)
}

package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"holdfast/shared/wire"
)

// Restored is a piece of an account that was read back from media files.
type Restored struct {
	Runs     []Run     // ended ones
	Segments []Segment // closed ones, lowest ID first
	Gaps     []Gap     // ended ones, their IDs are given here
	Trims    []wire.TrimFact
}

// Restore writes a piece of an account into a ledger that is being built anew, all of it in one transaction, and has
// the cloud told of everything.
func (l *Ledger) Restore(ctx context.Context, r Restored) error {
	return l.write(ctx, "restore the account", func(t *tx) error {
		for _, run := range r.Runs {
			if err := t.restoreRun(run); err != nil {
				return err
			}
		}
		for _, f := range r.Trims {
			if _, _, err := t.fact(liveQueue, wire.KindTrim, f); err != nil {
				return err
			}
		}
		if err := t.restoreSegments(r.Segments); err != nil {
			return err
		}
		for _, g := range r.Gaps {
			if _, err := t.beginGap(g); err != nil {
				return err
			}
		}
		return nil
	})
}

// restoreSegments is closeSegment for many: what abuts is merged before it goes into the coverage.
func (t *tx) restoreSegments(segments []Segment) error {
	type line struct {
		stream, run int64
		origin      string
	}
	last := map[line]*span{}
	for _, s := range segments {
		if s.EndUs <= s.StartUs {
			return fmt.Errorf("segment %d: its range [%d, %d) holds nothing", s.ID, s.StartUs, s.EndUs)
		}
		stream, err := t.putSegment(s)
		if err != nil {
			return fmt.Errorf("segment %d: %w", s.ID, err)
		}
		at := line{stream, s.Run, s.Origin}
		x := last[at]
		if x != nil && s.StartUs >= x.startUs && s.StartUs <= x.endUs+toleranceUs && max(x.endUs, s.EndUs)-x.startUs <= spanUs {
			x.endUs = max(x.endUs, s.EndUs)
			continue
		}
		if x != nil {
			if err := t.cover(*x); err != nil {
				return err
			}
		}
		last[at] = &span{stream: stream, run: s.Run, origin: s.Origin, startUs: s.StartUs, endUs: s.EndUs}
	}
	for _, x := range last {
		if err := t.cover(*x); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) restoreRun(r Run) error {
	if r.EndedBy == "" {
		return fmt.Errorf("run %d: it has no end", r.ID)
	}
	queue, seq, err := t.fact(liveQueue, wire.KindRun, runFact(r))
	if err != nil {
		return err
	}
	return t.exec(`INSERT INTO run (id, boot_id, wall_us, last_mono_us, ended_by, version, queue, seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.BootID, r.WallUs, r.LastMonoUs, r.EndedBy, r.Version, queue, seq)
}

// RestoreEnds sets how far each stream was recorded, once every segment is in.
func (l *Ledger) RestoreEnds(ctx context.Context) error {
	return l.write(ctx, "restore the streams' ends", func(t *tx) error {
		return t.exec(`UPDATE stream SET durable_us = coalesce((SELECT end_us FROM segment WHERE id =
			(SELECT last FROM (SELECT stream AS of, max(id) AS last FROM segment WHERE origin = '' GROUP BY stream) WHERE of = stream.id)), durable_us)`)
	})
}

// Salvage takes over from another ledger what the cloud has not been told of and what no media file tells: events and
// outages. It reads as far as that ledger can be read: whole is false when that was not all of it.
func (l *Ledger) Salvage(ctx context.Context, path string) (events, outages int, whole bool, err error) {
	db, err := sql.Open("sqlite", location(path)+readOnly)
	if err != nil {
		return 0, 0, false, nil // nothing of it can be read: the caller knows that it is broken
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `SELECT kind, body FROM outbox o JOIN queue q ON q.id = o.queue
		WHERE o.seq > q.acked AND kind IN (?, ?) ORDER BY added_us, o.queue, o.seq`, wire.KindEvent, wire.KindOutage)
	if err != nil {
		return 0, 0, false, nil
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var kind wire.FactKind
		var body []byte
		if rows.Scan(&kind, &body) != nil {
			return events, outages, false, nil
		}
		var event wire.EventFact
		var outage wire.OutageFact
		switch {
		case kind == wire.KindEvent && json.Unmarshal(body, &event) == nil && checkEvent(event) == nil:
			events++
			err = l.PutEvent(ctx, event)
		case kind == wire.KindOutage && json.Unmarshal(body, &outage) == nil:
			outages++
			err = l.PutOutage(ctx, outage)
		}
		if err != nil {
			return events, outages, false, err
		}
	}
	return events, outages, rows.Err() == nil, nil
}

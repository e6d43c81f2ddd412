package ledger

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// gone keeps in the account that [startUs, endUs) of a stream was recorded and is deleted.
func (t *tx) gone(stream, startUs, endUs int64, reason wire.Reason) error {
	if endUs-startUs <= toleranceUs {
		return nil // the edges of segments that abut are rounded
	}
	for startUs < endUs {
		var row, fromUs int64
		err := t.get([]any{&row, &fromUs}, `SELECT id, start_us FROM gone WHERE stream = ? AND start_us <= ? AND start_us >= ?
			AND end_us >= ? AND reason = ? ORDER BY start_us DESC LIMIT 1`, stream, startUs, startUs-spanUs+1, startUs-toleranceUs, reason)
		until := min(endUs, fromUs+spanUs)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			until = min(endUs, startUs+spanUs)
			err = t.exec(`INSERT INTO gone (stream, start_us, end_us, reason) VALUES (?, ?, ?, ?)`, stream, startUs, until, reason)
		case err == nil:
			err = t.exec(`UPDATE gone SET end_us = max(end_us, ?) WHERE id = ?`, until, row)
		}
		if err != nil {
			return err
		}
		startUs = until
	}
	return nil
}

// goneDetail says to a person why video was deleted.
func goneDetail(reason wire.Reason) string {
	switch reason {
	case wire.Expired:
		return "It was deleted: it was older than it is kept, or newer video needed the room."
	case wire.DeletedByPerson:
		return "A person deleted it."
	}
	return "It was deleted, or its file was lost, before the cloud knew that it was there."
}

// SalvageGone takes over from another ledger what was deleted and why: no media file tells that. It reads as far as that ledger
// can be read: whole is false when that was not all of it. One of a version that kept nothing of it has nothing.
func (l *Ledger) SalvageGone(ctx context.Context, path string) (whole bool, err error) {
	type row struct {
		stream         id.Stream
		startUs, endUs int64
		reason         wire.Reason
	}
	db, err := sql.Open("sqlite", location(path)+readOnly)
	if err != nil {
		return false, nil // nothing of it can be read: the caller knows that it is broken
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var keeps bool
	err = db.QueryRowContext(ctx, `SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'gone'`).Scan(&keeps)
	if err != nil || !keeps {
		return err == nil, ctx.Err()
	}
	rows, err := db.QueryContext(ctx, `SELECT camera, kind, start_us, end_us, reason FROM gone x JOIN stream s ON s.id = x.stream ORDER BY x.id`)
	if err != nil {
		return false, ctx.Err()
	}
	defer func() { _ = rows.Close() }()
	var all []row
	whole = true
	for whole && rows.Next() {
		var r row
		whole = rows.Scan(&r.stream.Camera, &r.stream.Kind, &r.startUs, &r.endUs, &r.reason) == nil
		if _, bad := id.ParseStream(r.stream.String()); bad != nil || r.endUs <= r.startUs || r.endUs-r.startUs > spanUs || !slices.Contains(wire.Reasons(), r.reason) {
			whole = false
			break
		}
		all = append(all, r)
	}
	whole = whole && rows.Err() == nil
	return whole, l.write(ctx, "restore what was deleted", func(t *tx) error {
		for _, r := range all {
			stream, err := t.stream(r.stream)
			if err == nil {
				err = t.gone(stream, r.startUs, r.endUs, r.reason)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

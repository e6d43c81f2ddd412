package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Limits of an event.
const (
	maxKind = 64
	maxText = 4 << 10
	maxData = 8 << 10
)

// PutEvent stores an event and its outbox row; it is durable when PutEvent returns. An event whose ID is
// known already is left as it is.
func (l *Ledger) PutEvent(ctx context.Context, e wire.EventFact) error {
	if err := checkEvent(e); err != nil {
		return fmt.Errorf("store event: %w", err)
	}
	return l.write(ctx, "store event", func(t *tx) error {
		n, err := t.count(`INSERT INTO event (id, camera, kind, source, at_us, end_us, text, data)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			e.ID, e.Camera, e.Kind, e.Source, e.AtUs, e.EndUs, e.Text, string(e.Data))
		if err != nil || n == 0 {
			return err
		}
		t.touch(wire.DayItem{Day: e.AtUs / wire.DayUs, Stream: id.Stream{Camera: e.Camera}, Kind: wire.KindEvent})
		where := liveQueue
		if urgentEvent(e.Kind) {
			where = urgentQueue
		}
		_, _, err = t.fact(where, wire.KindEvent, e)
		return err
	})
}

// checkEvent refuses what the cloud would put aside.
func checkEvent(e wire.EventFact) error {
	var errs []error
	when := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	_, err := id.Parse[id.Event](string(e.ID))
	when(err != nil, "its ID is not one: %w", err)
	when(!word(e.Kind), "its kind %.80q is not 1 to %d lower-case letters, digits and underscores", e.Kind, maxKind)
	when(!word(e.Source), "its source %.80q is not 1 to %d lower-case letters, digits and underscores", e.Source, maxKind)
	when(e.AtUs <= 0 || e.EndUs != 0 && e.EndUs < e.AtUs, "its time %d to %d is none", e.AtUs, e.EndUs)
	when(len(e.Text) > maxText, "its text has more than %d bytes", maxText)
	when(len(e.Data) > maxData, "its data has more than %d bytes", maxData)
	when(len(e.Data) > 0 && (e.Data[0] != '{' || !json.Valid(e.Data)), "its data is not a JSON object")
	return errors.Join(errs...)
}

func word(s string) bool {
	return s != "" && len(s) <= maxKind && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// urgentEvent reports whether an event of this kind is an alarm.
func urgentEvent(kind string) bool {
	return strings.HasPrefix(kind, "alarm") || strings.HasPrefix(kind, "tamper") || strings.HasPrefix(kind, "panic") ||
		kind == "disk_failed"
}

// Events returns the events that happened in [fromUs, toUs), newest first, at most limit.
func (l *Ledger) Events(ctx context.Context, fromUs, toUs int64, limit int) ([]wire.EventFact, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT id, camera, kind, source, at_us, end_us, text, data FROM event
		WHERE at_us >= ? AND at_us < ? ORDER BY at_us DESC, seq DESC LIMIT ?`, fromUs, toUs, limit)
	out, err := list(rows, err, func(rows *sql.Rows) (e wire.EventFact, err error) {
		var data string
		err = rows.Scan(&e.ID, &e.Camera, &e.Kind, &e.Source, &e.AtUs, &e.EndUs, &e.Text, &data)
		if data != "" {
			e.Data = json.RawMessage(data)
		}
		return e, err
	})
	return out, explain("read events", err)
}

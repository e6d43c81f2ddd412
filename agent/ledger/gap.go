package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// maxDetail bounds a gap's words for a person, in bytes.
const maxDetail = 1000

// Gap is a range of a stream without video. EndUs 0 means that it lasts.
type Gap struct {
	ID      int64
	Stream  id.Stream
	Run     int64
	StartUs int64
	EndUs   int64
	Reason  wire.Reason
	Detail  string // for a person: what happened and what to do
}

// BeginGap notes a gap and returns its ID. A gap whose EndUs is set already is whole.
func (l *Ledger) BeginGap(ctx context.Context, g Gap) (gap int64, err error) {
	err = l.write(ctx, "begin gap", func(t *tx) error {
		gap, err = t.beginGap(g)
		return err
	})
	return gap, err
}

// EndGap ends a gap. Ending it again changes nothing.
func (l *Ledger) EndGap(ctx context.Context, gap, endUs int64) error {
	return l.write(ctx, fmt.Sprintf("end gap %d", gap), func(t *tx) error { return t.endGap(gap, endUs) })
}

// SplitGap ends a gap at atUs and begins one there with another reason, whose ID it returns.
func (l *Ledger) SplitGap(ctx context.Context, gap, atUs int64, reason wire.Reason, detail string) (next int64, err error) {
	err = l.write(ctx, fmt.Sprintf("split gap %d", gap), func(t *tx) error {
		old, _, _, err := t.gap(gap)
		if err != nil {
			return err
		}
		if old.EndUs != 0 {
			return errors.New("it has ended already")
		}
		if err := t.endGap(gap, atUs); err != nil {
			return err
		}
		next, err = t.beginGap(Gap{
			Stream: old.Stream, Run: old.Run, StartUs: max(atUs, old.StartUs), Reason: reason, Detail: detail,
		})
		return err
	})
	return next, err
}

// OpenGaps returns the gaps that last, oldest first.
func (l *Ledger) OpenGaps(ctx context.Context) ([]Gap, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT g.id, camera, kind, run, start_us, end_us, reason, detail
		FROM gap g JOIN stream s ON s.id = g.stream WHERE end_us = 0 ORDER BY g.id`)
	out, err := list(rows, err, func(rows *sql.Rows) (g Gap, err error) {
		return g, rows.Scan(&g.ID, &g.Stream.Camera, &g.Stream.Kind, &g.Run, &g.StartUs, &g.EndUs, &g.Reason, &g.Detail)
	})
	return out, explain("read open gaps", err)
}

func (t *tx) beginGap(g Gap) (int64, error) {
	stream, err := t.stream(g.Stream)
	if err != nil {
		return 0, err
	}
	if g.EndUs != 0 && g.EndUs < g.StartUs {
		return 0, fmt.Errorf("the gap ends at %d, before it begins at %d", g.EndUs, g.StartUs)
	}
	if g.Reason == "" {
		g.Reason = wire.Unknown
	}
	g.Detail = cut(g.Detail, maxDetail)
	if err := t.get([]any{&g.ID}, `INSERT INTO gap (stream, run, start_us, end_us, reason, detail)
		VALUES (?, ?, ?, ?, ?, ?) RETURNING id`, stream, g.Run, g.StartUs, g.EndUs, g.Reason, g.Detail); err != nil {
		return 0, err
	}
	queue, seq, err := t.fact(liveQueue, wire.KindGap, gapFact(g))
	if err != nil {
		return 0, err
	}
	t.touchGap(g)
	return g.ID, t.exec(`UPDATE gap SET queue = ?, seq = ? WHERE id = ?`, queue, seq, g.ID)
}

func (t *tx) endGap(gap, endUs int64) error {
	g, queue, seq, err := t.gap(gap)
	if err != nil || g.EndUs != 0 {
		return err
	}
	// The end is told behind the beginning, for a later queue may overtake an older one.
	where, err := t.behind(queue, seq)
	if err != nil {
		return err
	}
	g.EndUs = max(endUs, g.StartUs)
	if err := t.exec(`UPDATE gap SET end_us = ? WHERE id = ?`, g.EndUs, gap); err != nil {
		return err
	}
	t.touchGap(g)
	_, _, err = t.fact(where, wire.KindGap, gapFact(g))
	return err
}

func (t *tx) touchGap(g Gap) {
	t.touch(wire.DayItem{Day: g.StartUs / wire.DayUs, Stream: g.Stream, Kind: wire.KindGap})
}

// gap reads a gap and where its beginning was told.
func (t *tx) gap(gap int64) (g Gap, queue, seq int64, err error) {
	err = t.get([]any{&g.ID, &g.Stream.Camera, &g.Stream.Kind, &g.Run, &g.StartUs, &g.EndUs, &g.Reason, &g.Detail, &queue, &seq},
		`SELECT g.id, camera, kind, run, start_us, end_us, reason, detail, queue, seq
		FROM gap g JOIN stream s ON s.id = g.stream WHERE g.id = ?`, gap)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return g, queue, seq, err
}

func gapFact(g Gap) wire.GapFact {
	return wire.GapFact{
		ID: g.ID, Stream: g.Stream, Run: g.Run, StartUs: g.StartUs, EndUs: g.EndUs, Reason: g.Reason, Detail: g.Detail,
	}
}

// cut shortens a text to n bytes without breaking a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// A condition that flaps is told at most flapLimit times in flapWindow; then only where it has come to is
// told, once the window is over.
const (
	flapLimit  = 20
	flapWindow = 10 * time.Minute
)

// conditionKey names a condition.
type conditionKey struct {
	name   string
	camera id.Camera
	kind   string
}

// damper counts the changes of each condition. Only the leading writer touches it.
type damper struct {
	flaps map[conditionKey]*flap
	held  int // flaps with a change that was held back
}

type flap struct {
	since time.Time
	told  int
	held  *wire.ConditionFact // newest change that was not told
	count int                 // changes that were not told
}

// PutCondition records a change of a condition. A repeated state with the same reason is no change.
func (l *Ledger) PutCondition(ctx context.Context, c wire.ConditionFact) error {
	if c.Name == "" || c.State == "" {
		return errors.New("record condition: it has no name or no state")
	}
	return l.write(ctx, "record condition "+c.Name, func(t *tx) error {
		if l.damper.flaps == nil {
			l.damper.flaps = map[conditionKey]*flap{}
		}
		k := conditionKey{c.Name, c.Camera, c.Kind}
		f := l.damper.flaps[k]
		if f == nil || time.Since(f.since) > flapWindow && f.held == nil {
			f = &flap{since: time.Now()}
			l.damper.flaps[k] = f
		}
		if f.told >= flapLimit {
			if f.held == nil {
				l.damper.held++
			}
			f.held, f.count = &c, f.count+1
			return nil
		}
		told, err := t.condition(c)
		if told {
			f.told++
		}
		return err
	})
}

// settle tells where conditions that flapped have come to, once their window is over.
func (l *Ledger) settle(t *tx) error {
	if l.damper.held == 0 {
		return nil
	}
	for k, f := range l.damper.flaps {
		if f.held == nil || time.Since(f.since) <= flapWindow {
			continue
		}
		c := *f.held
		c.Text = fmt.Sprintf("%s (changed %d times in between)", c.Text, f.count)
		if _, err := t.condition(c); err != nil {
			return err
		}
		l.damper.held--
		delete(l.damper.flaps, k)
	}
	return nil
}

// condition stores c unless it is the present state already, and reports whether it did.
func (t *tx) condition(c wire.ConditionFact) (bool, error) {
	var old wire.ConditionFact
	err := t.get([]any{&old.State, &old.Reason}, `SELECT state, reason FROM condition
		WHERE name = ? AND camera = ? AND kind = ? ORDER BY seq DESC LIMIT 1`, c.Name, c.Camera, c.Kind)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	if err == nil && old.State == c.State && old.Reason == c.Reason {
		return false, nil
	}
	c.Text = cut(c.Text, maxText)
	if err := t.exec(`INSERT INTO condition (name, camera, kind, state, reason, text, since_us) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		c.Name, c.Camera, c.Kind, c.State, c.Reason, c.Text, c.SinceUs); err != nil {
		return false, err
	}
	where := liveQueue
	if c.State == wire.Failing || old.State == wire.Failing {
		where = urgentQueue
	}
	_, _, err = t.fact(where, wire.KindCondition, c)
	return true, err
}

// Conditions returns the changes of conditions since sinceUs, newest first, at most limit.
func (l *Ledger) Conditions(ctx context.Context, sinceUs int64, limit int) ([]wire.ConditionFact, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT name, camera, kind, state, reason, text, since_us FROM condition
		WHERE since_us >= ? ORDER BY seq DESC LIMIT ?`, sinceUs, limit)
	out, err := list(rows, err, func(rows *sql.Rows) (c wire.ConditionFact, err error) {
		return c, rows.Scan(&c.Name, &c.Camera, &c.Kind, &c.State, &c.Reason, &c.Text, &c.SinceUs)
	})
	return out, explain("read conditions", err)
}

// PutOutage records a time without a session with the cloud. The same one twice is one.
func (l *Ledger) PutOutage(ctx context.Context, o wire.OutageFact) error {
	o.Text = cut(o.Text, maxText)
	return l.write(ctx, "record outage", func(t *tx) error {
		n, err := t.count(`INSERT INTO outage (start_us, end_us, text) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
			o.StartUs, o.EndUs, o.Text)
		if err != nil || n == 0 {
			return err
		}
		_, _, err = t.fact(urgentQueue, wire.KindOutage, o)
		return err
	})
}

// Outages returns the outages that ended after sinceUs, newest first, at most limit.
func (l *Ledger) Outages(ctx context.Context, sinceUs int64, limit int) ([]wire.OutageFact, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT start_us, end_us, text FROM outage WHERE end_us >= ?
		ORDER BY seq DESC LIMIT ?`, sinceUs, limit)
	out, err := list(rows, err, func(rows *sql.Rows) (o wire.OutageFact, err error) {
		return o, rows.Scan(&o.StartUs, &o.EndUs, &o.Text)
	})
	return out, explain("read outages", err)
}

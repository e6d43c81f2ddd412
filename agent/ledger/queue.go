package ledger

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"holdfast/shared/wire"
)

// purgeRows bounds what one transaction of a purge removes, so that recording does not wait for it.
const purgeRows = 5000

// listedMarks is how many marks the cloud names at most, those of the newest queues.
const listedMarks = 4096

// keepHistory bounds the rows of each table that only tells what was; it counts rows, for a wrong clock
// must not make anything old.
const keepHistory = 500_000

// maxQueues bounds the queues with pending rows, for a line that opens sessions and carries nothing.
const maxQueues = 64

// OpenQueue is called when a session has opened, and returns the live queue: a fresh one when the present
// one holds pending facts, which then are backlog (and as long as fewer than 64 queues wait).
func (l *Ledger) OpenQueue(ctx context.Context) (queue int64, err error) {
	err = l.write(ctx, "open queue", func(t *tx) error {
		var pending bool
		if err := t.get([]any{&queue, &pending}, `SELECT id, acked < last FROM queue ORDER BY id DESC LIMIT 1`); err != nil {
			return err
		}
		var waiting int
		if err := t.get([]any{&waiting}, `SELECT count(*) FROM queue WHERE acked < last`); err != nil {
			return err
		}
		if !pending || waiting >= maxQueues {
			return nil
		}
		queue++
		return t.exec(`INSERT INTO queue (id) VALUES (?)`, queue)
	})
	return queue, err
}

// Acked marks everything in a queue up to seq as applied by the cloud. An ack of another epoch, and one that
// comes again or late, changes nothing; one above what Pending has ever handed out is refused with ErrAhead.
func (l *Ledger) Acked(ctx context.Context, epoch string, queue, seq int64) error {
	return l.write(ctx, fmt.Sprintf("mark queue %d up to %d", queue, seq), func(t *tx) error {
		var present string
		if err := t.get([]any{&present}, `SELECT value FROM meta WHERE name = 'epoch'`); err != nil || present != epoch {
			return err
		}
		return t.acked(queue, seq)
	})
}

func (t *tx) acked(queue, seq int64) error {
	var sent, acked int64
	err := t.get([]any{&sent, &acked}, `SELECT sent, acked FROM queue WHERE id = ?`, queue)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return t.checkGone(queue)
	case err != nil:
		return err
	case seq > sent:
		return ErrAhead
	case seq <= acked:
		return nil
	}
	if err := t.exec(`UPDATE queue SET acked = ? WHERE id = ?`, seq, queue); err != nil {
		return err
	}
	return t.exec(`INSERT INTO ack (queue, seq, at_us) VALUES (?, ?, ?)`, queue, seq, nowUs())
}

// checkGone tells a queue that was purged from one that never was.
func (t *tx) checkGone(queue int64) error {
	var newest int64
	if err := t.get([]any{&newest}, `SELECT max(id) FROM queue`); err != nil {
		return err
	}
	if queue > newest || queue < 0 {
		return ErrAhead
	}
	return nil
}

// Reconcile brings the outbox in line with what the cloud says it has of this epoch; a queue that the cloud
// does not name has the mark 0, unless the list is so long that the cloud has cut it. Marks above what is acked
// are lost acks. Marks below come from a cloud that was restored from a backup: the rows after them become
// pending again. Where some of those rows are no longer kept, and where a mark lies above everything that this
// ledger ever sent, the numbers of the two can't be brought together: a new epoch begins.
func (l *Ledger) Reconcile(ctx context.Context, marks []wire.Mark) error {
	return l.write(ctx, "reconcile outbox", func(t *tx) error {
		rows, err := t.query(`SELECT id, acked, coalesce((SELECT min(seq) - 1 FROM outbox WHERE queue = q.id), last) FROM queue q`)
		type state struct{ queue, acked, gone int64 }
		queues, err := list(rows, err, func(rows *sql.Rows) (s state, err error) {
			return s, rows.Scan(&s.queue, &s.acked, &s.gone)
		})
		if err != nil {
			return err
		}
		has := make(map[int64]int64, len(marks))
		for _, m := range marks {
			if err := t.acked(m.Queue, m.Seq); errors.Is(err, ErrAhead) {
				return t.newEpoch(l)
			} else if err != nil {
				return err
			}
			has[m.Queue] = m.Seq
		}
		for _, q := range queues {
			mark, named := has[q.queue]
			switch {
			case mark >= q.acked, !named && len(marks) >= listedMarks:
			case mark < q.gone:
				return t.newEpoch(l)
			default:
				if err := t.rewind(q.queue, mark); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// rewind makes the rows of a queue after mark pending again.
func (t *tx) rewind(queue, mark int64) error {
	t.facts = true
	if err := t.setMeta(AccordMeta, ""); err != nil {
		return err
	}
	if err := t.exec(`UPDATE queue SET acked = ? WHERE id = ?`, mark, queue); err != nil {
		return err
	}
	if err := t.exec(`DELETE FROM ack WHERE queue = ? AND seq >= ?`, queue, mark); err != nil {
		return err
	}
	if mark == 0 {
		return nil
	}
	// The ack that is undone may have covered rows on both sides of the mark.
	return t.exec(`INSERT INTO ack (queue, seq, at_us) VALUES (?, ?, ?)`, queue, mark, nowUs())
}

// NewEpoch is for a ledger that is an older copy of itself: it gets a new epoch, and every row that is kept
// becomes pending again under it, numbered from 1.
func (l *Ledger) NewEpoch(ctx context.Context) (string, error) {
	err := l.write(ctx, "begin a new epoch", func(t *tx) error { return t.newEpoch(l) })
	return l.Epoch(), err
}

func (t *tx) newEpoch(l *Ledger) error {
	epoch := rand.Text()
	if err := t.setMeta("epoch", epoch); err != nil {
		return err
	}
	t.facts = true
	t.after = append(t.after, func() {
		l.log.Warn("the outbox begins a new epoch: the cloud and this ledger no longer agree on what was sent",
			"old", l.Epoch(), "new", epoch)
		l.epoch.Store(&epoch)
	})
	return t.renumber()
}

// renumber counts every queue's rows from 1 again and makes them pending.
func (t *tx) renumber() error {
	type first struct{ queue, seq, rows int64 }
	rows, err := t.query(`SELECT q.id, coalesce(min(seq), 1), count(seq) FROM queue q LEFT JOIN outbox o ON o.queue = q.id GROUP BY q.id`)
	all, err := list(rows, err, func(rows *sql.Rows) (f first, err error) { return f, rows.Scan(&f.queue, &f.seq, &f.rows) })
	if err != nil {
		return err
	}
	for _, f := range all {
		// By way of negative numbers, so that no row meets another's seq on the way.
		if err := t.exec(`UPDATE outbox SET seq = ? - seq WHERE queue = ?`, f.seq-1, f.queue); err != nil {
			return err
		}
		if err := t.exec(`UPDATE outbox SET seq = -seq WHERE queue = ?`, f.queue); err != nil {
			return err
		}
		if err := t.exec(`UPDATE queue SET acked = 0, sent = 0, last = ? WHERE id = ?`, f.rows, f.queue); err != nil {
			return err
		}
		if err := t.refer(f.queue, f.seq-1); err != nil {
			return err
		}
	}
	return t.exec(`DELETE FROM ack`)
}

// refer has what was told in a queue name its new numbers; rows that are no longer kept get numbers below 1, which
// are always acked.
func (t *tx) refer(queue, by int64) error {
	if by == 0 {
		return nil
	}
	for _, statement := range []string{
		`UPDATE segment SET seq = seq - ? WHERE queue = ?`,
		`UPDATE gap SET seq = seq - ? WHERE queue = ?`,
		`UPDATE run SET seq = seq - ? WHERE queue = ?`,
	} {
		if err := t.exec(statement, by, queue); err != nil {
			return err
		}
	}
	return nil
}

// Purge removes outbox rows that were acked before olderThan, queues that are empty then, and what exceeds
// the bounds of history; it returns the number of outbox rows. It works in small transactions.
func (l *Ledger) Purge(ctx context.Context, olderThan time.Time) (total int64, err error) {
	for n := int64(1); n > 0; {
		n = 0
		if err := l.write(ctx, "purge outbox", func(t *tx) (err error) {
			n, err = t.purgeOutbox(olderThan.UnixMicro())
			return err
		}); err != nil {
			return total, err
		}
		total += n
	}
	return total, l.trimHistory(ctx)
}

func (t *tx) purgeOutbox(beforeUs int64) (total int64, _ error) {
	type due struct{ queue, first, seq int64 }
	rows, err := t.query(`SELECT queue, coalesce((SELECT min(seq) FROM outbox o WHERE o.queue = ack.queue), 0), max(seq)
		FROM ack WHERE at_us < ? GROUP BY queue`, beforeUs)
	all, err := list(rows, err, func(rows *sql.Rows) (d due, err error) { return d, rows.Scan(&d.queue, &d.first, &d.seq) })
	if err != nil {
		return 0, err
	}
	for _, d := range all {
		upTo := d.seq
		if d.first > 0 {
			upTo = min(upTo, d.first+purgeRows-total-1)
		}
		n, err := t.count(`DELETE FROM outbox WHERE queue = ? AND seq <= ?`, d.queue, upTo)
		if err != nil {
			return total, err
		}
		if err := t.exec(`DELETE FROM ack WHERE queue = ? AND seq <= ?`, d.queue, upTo); err != nil {
			return total, err
		}
		if total += n; total >= purgeRows {
			return total, nil
		}
	}
	return total, t.exec(`DELETE FROM queue WHERE id > 0 AND id < (SELECT max(id) FROM queue) AND acked = last
		AND NOT EXISTS (SELECT 1 FROM outbox WHERE queue = queue.id)`)
}

// trimHistory keeps the tables that only tell what was from growing without end.
func (l *Ledger) trimHistory(ctx context.Context) error {
	for _, statement := range []string{
		`DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE seq <= (SELECT max(seq) FROM event) - ? ORDER BY seq LIMIT ?)`,
		`DELETE FROM condition WHERE seq IN (SELECT seq FROM condition WHERE seq <= (SELECT max(seq) FROM condition) - ? ORDER BY seq LIMIT ?)`,
		`DELETE FROM outage WHERE seq IN (SELECT seq FROM outage WHERE seq <= (SELECT max(seq) FROM outage) - ? ORDER BY seq LIMIT ?)`,
		`DELETE FROM gap WHERE id IN (SELECT id FROM gap WHERE id <= (SELECT max(id) FROM gap) - ? ORDER BY id LIMIT ?) AND end_us <> 0`,
		`DELETE FROM gone WHERE id IN (SELECT id FROM gone WHERE id <= (SELECT max(id) FROM gone) - ? ORDER BY id LIMIT ?)`,
		`DELETE FROM run WHERE id IN (SELECT id FROM run WHERE id <= (SELECT max(id) FROM run) - ? ORDER BY id LIMIT ?) AND ended_by <> ''`,
	} {
		for n := int64(purgeRows); n == purgeRows; {
			err := l.write(ctx, "trim history", func(t *tx) (err error) {
				n, err = t.count(statement, l.history, purgeRows)
				if n > 0 {
					t.after = append(t.after, t.w.days.touchAll)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

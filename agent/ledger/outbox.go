package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"holdfast/shared/wire"
)

// urgentQueue is the number of the urgent queue; liveQueue stands for whichever is the newest.
const (
	urgentQueue int64 = 0
	liveQueue   int64 = -1
)

// factOverhead is what a fact needs in a batch beside its body, in bytes.
const factOverhead = 64

// Queue is the state of one queue of the outbox.
type Queue struct {
	Queue    int64
	Lane     wire.Lane
	Acked    int64 // the cloud has everything up to here
	First    int64 // lowest seq that is pending; Last+1 when none is
	Last     int64 // highest seq given
	Rows     int64 // pending
	OldestUs int64 // when the first pending row was added; 0 when none is
}

// fact adds an outbox row to a queue and returns where it lies.
func (t *tx) fact(queue int64, kind wire.FactKind, body any) (inQueue, seq int64, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, 0, fmt.Errorf("encode %s fact: %w", kind, err)
	}
	if len(text) > wire.MaxFactBytes {
		return 0, 0, fmt.Errorf("the %s fact has %d bytes, at most %d are allowed", kind, len(text), wire.MaxFactBytes)
	}
	if queue == liveQueue {
		err = t.get([]any{&queue, &seq}, `UPDATE queue SET last = last + 1 WHERE id = (SELECT max(id) FROM queue)
			RETURNING id, last`)
	} else {
		err = t.get([]any{&queue, &seq}, `UPDATE queue SET last = last + 1 WHERE id = ? RETURNING id, last`, queue)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("number %s fact: %w", kind, err)
	}
	t.facts = true
	return queue, seq, t.exec(`INSERT INTO outbox (queue, seq, kind, body, added_us) VALUES (?, ?, ?, ?, ?)`,
		queue, seq, kind, string(text), nowUs())
}

// behind returns the queue in which a fact can't overtake the row (queue, seq): that row's own while it is
// pending, for queues drain side by side; else the live one.
func (t *tx) behind(queue, seq int64) (int64, error) {
	var pending bool
	if err := t.get([]any{&pending}, `SELECT EXISTS (SELECT 1 FROM queue WHERE id = ? AND acked < ?)`, queue, seq); err != nil {
		return 0, err
	}
	if pending {
		return queue, nil
	}
	return liveQueue, nil
}

// Pending returns unacked facts of a queue in order from above the seq after on, with the epoch that numbers them: at
// most limit, and at most maxBytes together unless the first alone is larger. The ledger remembers that they may be on
// their way. The batch's lane is the caller's to set.
func (l *Ledger) Pending(ctx context.Context, queue, after int64, limit, maxBytes int) (wire.Batch, error) {
	batch, sent, err := l.pending(ctx, queue, after, limit, maxBytes)
	if n := len(batch.Facts); err != nil || n == 0 || batch.Facts[n-1].Seq <= sent {
		return batch, explain("read outbox", err)
	}
	err = l.write(ctx, "mark facts as sent", func(t *tx) error {
		return t.exec(`UPDATE queue SET sent = last WHERE id = ? AND EXISTS (SELECT 1 FROM meta WHERE name = 'epoch' AND value = ?)`,
			queue, batch.Epoch)
	})
	return batch, err
}

func (l *Ledger) pending(ctx context.Context, queue, after int64, limit, maxBytes int) (batch wire.Batch, sent int64, err error) {
	rows, err := l.read.QueryContext(ctx, `SELECT seq, kind, body, sent, (SELECT value FROM meta WHERE name = 'epoch')
		FROM queue q JOIN outbox o ON o.queue = q.id AND o.seq > max(q.acked, ?) WHERE q.id = ? ORDER BY seq LIMIT ?`, after, queue, limit)
	if err != nil {
		return batch, 0, err
	}
	defer func() { _ = rows.Close() }()
	batch.Queue = queue
	for size := 0; rows.Next(); {
		var f wire.Fact
		var body string
		if err := rows.Scan(&f.Seq, &f.Kind, &body, &sent, &batch.Epoch); err != nil {
			return batch, 0, err
		}
		size += len(body) + factOverhead
		if len(batch.Facts) > 0 && size > maxBytes {
			break
		}
		f.Body = json.RawMessage(body)
		batch.Facts = append(batch.Facts, f)
	}
	return batch, sent, rows.Err()
}

// Queues returns the urgent queue, the live one, and every other that holds pending rows, oldest first.
func (l *Ledger) Queues(ctx context.Context) ([]Queue, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT id, acked, last, coalesce((SELECT added_us FROM outbox
			WHERE queue = q.id AND seq = q.acked + 1), 0), id = (SELECT max(id) FROM queue)
		FROM queue q WHERE id = 0 OR acked < last OR id = (SELECT max(id) FROM queue) ORDER BY id <> 0, id <> (SELECT max(id) FROM queue), id`)
	out, err := list(rows, err, func(rows *sql.Rows) (q Queue, err error) {
		var live bool
		err = rows.Scan(&q.Queue, &q.Acked, &q.Last, &q.OldestUs, &live)
		q.First, q.Rows, q.Lane = q.Acked+1, q.Last-q.Acked, wire.Backlog
		switch {
		case q.Queue == urgentQueue:
			q.Lane = wire.Urgent
		case live:
			q.Lane = wire.Live
		}
		return q, err
	})
	return out, explain("read queues", err)
}

// QueueState returns what waits at the site for the line.
func (l *Ledger) QueueState(ctx context.Context) (s wire.QueueState, err error) {
	err = l.read.QueryRowContext(ctx, `SELECT coalesce(sum(last - acked), 0),
		coalesce(min((SELECT added_us FROM outbox WHERE queue = q.id AND seq = q.acked + 1)), 0) FROM queue q`).Scan(&s.Facts, &s.OldestUs)
	if err == nil {
		err = l.read.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(max(bytes - sent, 0)), 0),
			coalesce(min(json_extract(wish, '$.start_us')), 0) FROM clip WHERE state IN (?, ?, ?, ?)`, wire.ClipWanted, wire.ClipCutting, wire.ClipQueued, wire.ClipUploading).
			Scan(&s.Clips, &s.ClipBytes, &s.OldestClipUs)
	}
	return s, explain("read queue state", err)
}

// FactBytes returns about how many bytes the facts have that wait for the line, before they are packed: of each queue the
// next hundred are measured.
func (l *Ledger) FactBytes(ctx context.Context) (n int64, err error) {
	err = l.read.QueryRowContext(ctx, `SELECT coalesce(cast(sum((last - acked) * (SELECT avg(length(body)) FROM
		(SELECT body FROM outbox WHERE queue = q.id AND seq > q.acked ORDER BY seq LIMIT 100))) AS INTEGER), 0)
		FROM queue q WHERE acked < last`).Scan(&n)
	return n, explain("measure queue", err)
}

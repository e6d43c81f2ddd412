package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/backoff"
	"holdfast/shared/wire"
)

// logEvery is the pause between two log lines about the same trouble.
const logEvery = time.Minute

// lane drains the queues of one lane.
type lane struct {
	*Outbox
	name  wire.Lane
	retry *backoff.Timer
	limit int       // facts in the next batch: halved by an error, doubled by a success
	said  time.Time // when an error was last logged
	quiet int       // errors since then
}

// drain sends the facts of one lane, the oldest queue first, until ctx ends.
func (o *Outbox) drain(ctx context.Context, name wire.Lane) {
	l := lane{
		Outbox: o, name: name, limit: o.cfg.BatchFacts,
		retry: backoff.New(backoff.Policy{Min: o.cfg.RetryMin, Cap: o.cfg.RetryCap}),
	}
	for ctx.Err() == nil {
		appended := o.ledger.Appended()
		queue, rows, err := l.pick(ctx)
		if err == nil && rows == 0 {
			select {
			case <-appended:
			case <-ctx.Done():
			}
			continue
		}
		if err == nil {
			l.linger(ctx, rows)
			err = l.send(ctx, queue)
		}
		if err != nil && ctx.Err() == nil {
			l.failed(ctx, err)
		}
	}
}

// pick returns the queue that is next, and how many of its facts wait.
func (l *lane) pick(ctx context.Context) (queue, rows int64, err error) {
	queues, err := l.ledger.Queues(ctx)
	for _, q := range queues {
		if q.Lane == l.name && q.Rows > 0 {
			return q.Queue, q.Rows, nil
		}
	}
	return 0, 0, err
}

// linger lets live facts gather, for a batch costs the cloud a transaction however small it is.
func (l *lane) linger(ctx context.Context, rows int64) {
	if l.name != wire.Live || rows >= int64(l.limit) || l.cfg.Linger <= 0 {
		return
	}
	timer := time.NewTimer(l.cfg.Linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// send sends one batch of a queue and marks what the cloud acked.
func (l *lane) send(ctx context.Context, queue int64) error {
	batch, err := l.ledger.Pending(ctx, queue, l.limit, l.cfg.BatchBytes)
	if err != nil || len(batch.Facts) == 0 {
		return err
	}
	batch.Lane = l.name
	within, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	ack, err := l.sender.SendBatch(within, batch)
	if err != nil {
		return fmt.Errorf("send %d facts of queue %d: %w", len(batch.Facts), queue, err)
	}
	first := batch.Facts[0].Seq
	if ack.Queue != queue || ack.Seq < first {
		return fmt.Errorf("the cloud acked queue %d up to %d for a batch of queue %d from %d on", ack.Queue, ack.Seq, queue, first)
	}
	// The session may have ended meanwhile: the ack holds all the same.
	err = l.ledger.Acked(context.WithoutCancel(ctx), batch.Epoch, queue, ack.Seq)
	if errors.Is(err, ledger.ErrAhead) {
		_, err = l.ledger.NewEpoch(context.WithoutCancel(ctx))
	}
	if err != nil {
		return err
	}
	l.succeeded(ack)
	l.tally.add(time.Now(), ack.Seq-first+1)
	return nil
}

func (l *lane) succeeded(ack wire.Ack) {
	l.retry.Reset()
	l.limit = min(2*l.limit, l.cfg.BatchFacts)
	l.setFault("")
	if n := len(ack.Parked); n > 0 {
		l.parked.Add(int64(n))
		l.log.Warn("the cloud put facts aside: it could not apply them", "queue", ack.Queue, "count", n, "first_seq", ack.Parked[0])
	}
	if !l.said.IsZero() {
		l.log.Info("facts reach the cloud again", "lane", l.name)
		l.said, l.quiet = time.Time{}, 0
	}
}

// failed waits before the next try. An error never costs a fact: it is sent until the cloud has it.
func (l *lane) failed(ctx context.Context, err error) {
	l.limit = max(l.limit/2, 1)
	l.setFault(err.Error())
	l.quiet++
	if time.Since(l.said) >= logEvery {
		l.log.Warn("facts do not reach the cloud", "lane", l.name, "err", err, "count", l.quiet)
		l.said, l.quiet = time.Now(), 0
	}
	var retryAfter time.Duration
	var refusal *wire.Refusal
	if errors.As(err, &refusal) {
		retryAfter = refusal.Retry()
	}
	_ = l.retry.Wait(ctx, retryAfter) // the caller sees the end of ctx
}

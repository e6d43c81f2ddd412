package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/agent/ledger"
	"holdfast/shared/backoff"
	"holdfast/shared/wire"
)

// logEvery is the pause between two log lines about the same trouble.
const logEvery = time.Minute

// window is how many batches of a lane may be on their way at once: the line carries the next one while the cloud
// applies one and its ack comes back.
const window = 4

// lane drains the queues of one lane.
type lane struct {
	*Outbox
	name  wire.Lane
	retry *backoff.Timer
	said  time.Time // when an error was last logged
	quiet int       // errors since then

	mu      sync.Mutex
	limit   int  // facts in the next batch: halved by an error, doubled by a success
	flights int  // batches at once: one after an error, one more with each success
	alone   bool // one batch at a time: the cloud wants it so
}

// drain sends the facts of one lane, the oldest queue first, until ctx ends.
func (o *Outbox) drain(ctx context.Context, name wire.Lane) {
	l := lane{
		Outbox: o, name: name, limit: o.cfg.BatchFacts, flights: window,
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
			err = l.stream(ctx, queue)
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
	limit, _ := l.pacing()
	if l.name != wire.Live || rows >= int64(limit) || l.cfg.Linger <= 0 {
		return
	}
	timer := time.NewTimer(l.cfg.Linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// stream sends the facts of a queue in batches, a few of them on their way at once, until it has none left or one
// fails. The cloud applies them in order, whatever order they come in.
func (l *lane) stream(ctx context.Context, queue int64) error {
	_, flights := l.pacing()
	flying, within := errgroup.WithContext(ctx)
	flying.SetLimit(flights)
	var epoch string
	for after := int64(0); within.Err() == nil; {
		limit, more := l.pacing()
		if more > flights {
			break // more may be on their way than this group was made for
		}
		batch, err := l.ledger.Pending(within, queue, after, limit, l.cfg.BatchBytes)
		if n := len(batch.Facts); err != nil || n == 0 || after > 0 && (batch.Epoch != epoch || batch.Facts[0].Seq != after+1) {
			// Numbered anew meanwhile: it begins again when what is on its way has arrived.
			return errors.Join(short(flying.Wait()), ignoreEnd(within, err))
		}
		batch.Lane = l.name
		epoch, after = batch.Epoch, batch.Facts[len(batch.Facts)-1].Seq
		flying.Go(func() error { return l.send(within, batch) })
		if limit > len(batch.Facts) && l.name == wire.Live {
			break // all there was: what comes meanwhile gathers
		}
	}
	return short(flying.Wait())
}

// errShort ends a stream whose batch was not acked to its end: what follows it can't be applied yet.
var errShort = errors.New("the cloud acked a part of a batch")

func short(err error) error {
	if errors.Is(err, errShort) {
		return nil
	}
	return err
}

// ignoreEnd leaves out an error that only says that ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (l *lane) pacing() (limit, flights int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit, l.flights
}

// send sends one batch and marks what the cloud acked.
func (l *lane) send(ctx context.Context, batch wire.Batch) error {
	within, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	ack, err := l.sender.SendBatch(within, batch)
	if err != nil {
		return fmt.Errorf("send %d facts of queue %d: %w", len(batch.Facts), batch.Queue, err)
	}
	first, last := batch.Facts[0].Seq, batch.Facts[len(batch.Facts)-1].Seq
	if ack.Queue != batch.Queue || ack.Seq < first {
		return fmt.Errorf("the cloud acked queue %d up to %d for a batch of queue %d from %d on", ack.Queue, ack.Seq, batch.Queue, first)
	}
	// The session may have ended meanwhile: the ack holds all the same.
	err = l.ledger.Acked(context.WithoutCancel(ctx), batch.Epoch, batch.Queue, ack.Seq)
	if errors.Is(err, ledger.ErrAhead) {
		_, err = l.ledger.NewEpoch(context.WithoutCancel(ctx))
	}
	if err != nil {
		return err
	}
	l.succeeded(ack)
	l.tally.add(time.Now(), min(ack.Seq, last)-first+1)
	if ack.Seq < last {
		return errShort
	}
	return nil
}

func (l *lane) succeeded(ack wire.Ack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retry.Reset()
	l.limit = min(2*l.limit, l.cfg.BatchFacts)
	if !l.alone {
		l.flights = min(l.flights+1, window)
	}
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
	var refusal *wire.Refusal
	refused := errors.As(err, &refusal)
	l.mu.Lock()
	// A cloud of an earlier version refuses a batch that overtakes the one before it.
	l.alone = l.alone || refused && refusal.Code == wire.RefusedConflict && l.flights > 1
	l.limit, l.flights = max(l.limit/2, 1), 1
	l.mu.Unlock()
	l.setFault(err.Error())
	l.quiet++
	if time.Since(l.said) >= logEvery {
		l.log.Warn("facts do not reach the cloud", "lane", l.name, "err", err, "count", l.quiet)
		l.said, l.quiet = time.Now(), 0
	}
	var retryAfter time.Duration
	if refused {
		retryAfter = refusal.Retry()
	}
	_ = l.retry.Wait(ctx, retryAfter) // the caller sees the end of ctx
}

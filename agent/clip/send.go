package clip

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/backoff"
	"holdfast/shared/wire"
)

// partBytes is the smallest part that S3 takes; on a narrow line a small part is little to send again.
const partBytes = 5 << 20

// sendAll uploads what is queued, oldest order first, and tries again after a failure.
func (r *Room) sendAll(ctx context.Context) {
	wait := backoff.New(backoff.Policy{Min: time.Second, Cap: 30 * time.Second})
	for ctx.Err() == nil {
		pause := time.Minute
		if err := r.sendQueued(ctx); err != nil && ctx.Err() == nil {
			pause = wait.Next(0)
			r.Log.Warn("upload clip; it goes on later", "error", err, "in", pause.Round(time.Millisecond))
		} else {
			wait.Reset()
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.toSend:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (r *Room) sendQueued(ctx context.Context) error {
	queued, err := r.Ledger.Clips(ctx, wire.ClipQueued, wire.ClipUploading)
	if err != nil {
		return err
	}
	for _, c := range queued {
		err := r.send(ctx, c)
		switch {
		case errors.Is(err, ErrGone):
			err = r.Drop(ctx, c.Order.Clip)
		case errors.Is(err, os.ErrNotExist):
			// The cut file is gone, the order is not: cut it again.
			c.State = wire.ClipWanted
			err = r.settle(ctx, c)
			nudge(r.toCut)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// send uploads one clip and forgets it when the cloud has stored it.
func (r *Room) send(ctx context.Context, c ledger.Clip) error {
	f, err := os.Open(r.path(c.Order.Clip))
	if err != nil {
		return fmt.Errorf("open cut clip: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	begin, err := announce(f, c)
	if err != nil {
		return err
	}
	plan, err := r.Sender.Begin(ctx, c.Order.Clip, begin)
	if err != nil {
		return fmt.Errorf("begin upload: %w", err)
	}
	if !plan.Stored {
		if err := r.sendParts(ctx, c, f, begin, plan); err != nil {
			return err
		}
		if err := r.Sender.Complete(ctx, c.Order.Clip, wire.ClipComplete{}); err != nil {
			return fmt.Errorf("complete upload: %w", err)
		}
	}
	r.Log.Info("clip is in the cloud", "clip", c.Order.Clip, "bytes", c.Bytes)
	return r.Drop(ctx, c.Order.Clip)
}

func (r *Room) sendParts(ctx context.Context, c ledger.Clip, f *os.File, begin wire.ClipBegin, plan wire.ClipPlan) error {
	missing := int64(0)
	for _, p := range plan.Parts {
		if p.Number < 1 || p.Number > len(begin.Parts) {
			return fmt.Errorf("the cloud asks for part %d of %d", p.Number, len(begin.Parts))
		}
		_, size := span(begin, p.Number)
		missing += size
	}
	c.State = wire.ClipUploading
	for _, p := range plan.Parts {
		c.Fact.Sent = c.Bytes - missing
		if err := r.settle(ctx, c); err != nil {
			return err
		}
		at, size := span(begin, p.Number)
		if err := r.Sender.Put(ctx, p, io.NewSectionReader(f, at, size), size, begin.Parts[p.Number-1]); err != nil {
			return fmt.Errorf("send part %d: %w", p.Number, err)
		}
		missing -= size
	}
	return nil
}

// span returns where a part lies in the file.
func span(b wire.ClipBegin, number int) (at, size int64) {
	at = int64(number-1) * b.PartBytes
	return at, min(b.PartBytes, b.Bytes-at)
}

// announce sums the parts of a cut clip and checks that the file is still what was cut.
func announce(f *os.File, c ledger.Clip) (wire.ClipBegin, error) {
	b := wire.ClipBegin{Bytes: c.Bytes, SHA256: c.SHA256, PartBytes: partBytes}
	whole := sha256.New()
	for at := int64(0); at < c.Bytes; at += partBytes {
		part := sha256.New()
		if _, err := io.CopyN(io.MultiWriter(part, whole), f, min(partBytes, c.Bytes-at)); err != nil {
			return b, fmt.Errorf("read cut clip (%w): %w", os.ErrNotExist, err)
		}
		b.Parts = append(b.Parts, part.Sum(nil))
	}
	if string(whole.Sum(nil)) != string(c.SHA256) {
		return b, fmt.Errorf("the cut clip changed on the disk: %w", os.ErrNotExist)
	}
	return b, nil
}

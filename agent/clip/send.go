package clip

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"holdfast/agent/ledger"
	"holdfast/agent/pace"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// errSpoilt says that the file of a cut clip is gone or is not what was cut.
var errSpoilt = errors.New("the cut clip was damaged on the disk")

const (
	maxFailures  = 3               // uploads that may fail in one round: then it is the line, not the clip
	progressStep = 2 * time.Second // between two words about an upload's progress
)

// sendAll uploads what is queued and tries again after a failure.
func (r *Room) sendAll(ctx context.Context) {
	policy := r.cfg.Retry
	if policy.Min == 0 {
		policy = backoff.Policy{Min: time.Second, Cap: 30 * time.Second}
	}
	wait := backoff.New(policy)
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

// sendQueued uploads clips, oldest video first, but those that have failed last: one that can't be sent does not hold
// up the others.
func (r *Room) sendQueued(ctx context.Context) error {
	queued, err := r.Ledger.Clips(ctx, wire.ClipQueued, wire.ClipUploading)
	if err != nil {
		return err
	}
	slices.SortStableFunc(queued, func(a, b ledger.Clip) int {
		return cmp.Or(cmp.Compare(r.failed[a.Order.Clip], r.failed[b.Order.Clip]), cmp.Compare(a.Order.StartUs, b.Order.StartUs))
	})
	var errs []error
	for _, c := range queued {
		clip := c.Order.Clip
		err := r.send(ctx, c)
		switch {
		case err == nil, errors.Is(err, ErrGone), errors.Is(err, ledger.ErrNotFound):
			delete(r.failed, clip)
			err = r.Drop(ctx, clip)
		case errors.Is(err, errSpoilt):
			r.Log.Warn("a cut clip can't be used: it is cut again", "clip", clip, "error", err)
			err = r.recut(ctx, c)
		}
		if err == nil {
			continue
		}
		r.failed[clip]++
		errs = append(errs, fmt.Errorf("clip %s: %w", clip, err))
		if len(errs) >= maxFailures || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// recut has a clip cut again whose file is gone or damaged.
func (r *Room) recut(ctx context.Context, c ledger.Clip) error {
	r.mu.Lock()
	delete(r.sums, c.Order.Clip)
	r.mu.Unlock()
	c.State, c.Fact.Sent, c.Fact.Reason = wire.ClipWanted, 0, ""
	err := r.settle(ctx, c, true)
	nudge(r.toCut)
	return err
}

// send uploads one clip; nil means that the cloud has stored it.
func (r *Room) send(ctx context.Context, c ledger.Clip) error {
	// In this way Windows too lets the file be removed while it is open.
	f, err := os.OpenInRoot(r.cfg.Dir, fileOf(c.Order.Clip))
	if err != nil {
		return fmt.Errorf("open cut clip: %w: %w", err, errSpoilt)
	}
	defer func() { _ = f.Close() }() // read only
	begin, err := r.announced(f, c)
	if err != nil {
		return err
	}
	// Retention takes the oldest video first: its clip goes before the others that want the line now.
	ctx = pace.By(ctx, time.UnixMicro(c.Order.StartUs))
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
	return nil
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
	var said time.Time
	for _, p := range plan.Parts {
		c.Fact.Sent = max(c.Bytes-missing, 0)
		news := time.Since(said) > progressStep
		if err := r.settle(ctx, c, news); err != nil {
			return err
		}
		if news {
			said = time.Now()
		}
		at, size := span(begin, p.Number)
		body, sum := io.NewSectionReader(f, at, size), begin.Parts[p.Number-1]
		if err := check(body, sum); err != nil {
			return fmt.Errorf("read part %d: %w", p.Number, err)
		}
		if err := r.Sender.Put(ctx, p, body, size, sum); err != nil {
			return fmt.Errorf("send part %d: %w", p.Number, err)
		}
		missing -= size
	}
	return nil
}

// check compares a part with its sum and rewinds it.
func check(body io.ReadSeeker, sum []byte) error {
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return fmt.Errorf("%w: %w", err, errSpoilt)
	}
	if !bytes.Equal(h.Sum(nil), sum) {
		return errSpoilt
	}
	_, err := body.Seek(0, io.SeekStart)
	return err
}

// span returns where a part lies in the file.
func span(b wire.ClipBegin, number int) (at, size int64) {
	at = int64(number-1) * b.PartBytes
	return at, min(b.PartBytes, b.Bytes-at)
}

// remember keeps the sums of a cut clip, so that the file is not read for them at every try.
func (r *Room) remember(clip id.Clip, b wire.ClipBegin) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sums[clip] = b
}

// announced returns what is announced of a cut clip. The first time it reads the file for it and checks that it is
// still what was cut.
func (r *Room) announced(f *os.File, c ledger.Clip) (wire.ClipBegin, error) {
	r.mu.Lock()
	b, ok := r.sums[c.Order.Clip]
	r.mu.Unlock()
	if ok && bytes.Equal(b.SHA256, c.SHA256) {
		return b, nil
	}
	s := newSummer(c.Bytes, r.part)
	if n, err := io.Copy(s, f); err != nil || n != c.Bytes {
		return b, fmt.Errorf("read cut clip: %d of %d bytes : %w", n, c.Bytes, errors.Join(errSpoilt, err))
	}
	b = s.begin()
	if !bytes.Equal(b.SHA256, c.SHA256) {
		return b, errSpoilt
	}
	r.remember(c.Order.Clip, b)
	return b, nil
}

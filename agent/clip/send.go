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
	"strconv"
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
	maxPlans     = 1000            // in one upload: more than the longest clip needs
)

// narrow remembers whether whole parts pass the line. Where several in a row did not, pieces through the cloud go on
// where they were cut, however short a connection lives; after a while a whole part is tried again.
type narrow struct {
	failed int       // parts in a row that did not pass
	until  time.Time // pieces are asked for
}

const (
	tooMany = 3
	patient = 30 * time.Minute
)

func (n *narrow) pieces() bool { return time.Now().Before(n.until) }

// passed notes whether a whole part passed.
func (n *narrow) passed(err error) {
	if err == nil {
		*n = narrow{}
		return
	}
	if n.failed++; n.failed >= tooMany {
		*n = narrow{until: time.Now().Add(patient)}
	}
}

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

// deadline is when retention takes the recording of a clip: once it is gone, only the file that was cut is left of it.
// Without a limit of time the oldest goes first.
func (r *Room) deadline(o wire.ClipOrder) int64 {
	const open = int64(200 * 365 * 24 * time.Hour / time.Microsecond)
	if r.Keep != nil {
		if keep := r.Keep(o.Camera); keep > 0 {
			return o.StartUs + keep.Microseconds()
		}
	}
	return o.StartUs + open
}

// sendQueued uploads clips: those of a higher priority first, inside one priority those whose recording is deleted first,
// but those that have failed last: one that can't be sent does not hold up the others.
func (r *Room) sendQueued(ctx context.Context) error {
	queued, err := r.Ledger.Clips(ctx, wire.ClipQueued, wire.ClipUploading)
	if err != nil {
		return err
	}
	slices.SortStableFunc(queued, func(a, b ledger.Clip) int {
		return cmp.Or(cmp.Compare(r.failed[a.Order.Clip], r.failed[b.Order.Clip]),
			-cmp.Compare(a.Order.Priority.Known(), b.Order.Priority.Known()),
			cmp.Compare(r.deadline(a.Order), r.deadline(b.Order)), cmp.Compare(a.Order.StartUs, b.Order.StartUs))
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
	ctx = pace.By(ctx, time.UnixMicro(r.deadline(c.Order)))
	for range maxPlans {
		begin.Pieces = r.narrow.pieces()
		plan, err := r.Sender.Begin(ctx, c.Order.Clip, begin)
		if err != nil {
			return fmt.Errorf("begin upload: %w", err)
		}
		asked := time.Now()
		all := true
		if !plan.Stored {
			if all, err = r.sendParts(ctx, c, f, begin, plan, asked); err != nil {
				return err
			}
		}
		if !all || plan.More {
			continue // the links are used up or too old: there are new ones
		}
		if !plan.Stored {
			if err := r.Sender.Complete(ctx, c.Order.Clip, wire.ClipComplete{}); err != nil {
				return fmt.Errorf("complete upload: %w", err)
			}
		}
		r.Log.Info("clip is in the cloud", "clip", c.Order.Clip, "bytes", c.Bytes)
		return nil
	}
	return fmt.Errorf("the cloud asked for parts %d times without an end", maxPlans)
}

// dispatch is one clip on its way.
type dispatch struct {
	clip    ledger.Clip
	file    *os.File
	begin   wire.ClipBegin
	missing int64     // bytes, as far as is known
	said    time.Time // when people were last told
}

// sendParts sends the parts of a plan; all is false when its links became too old on the way.
func (r *Room) sendParts(ctx context.Context, c ledger.Clip, f *os.File, begin wire.ClipBegin, plan wire.ClipPlan, asked time.Time) (all bool, err error) {
	u := &dispatch{clip: c, file: f, begin: begin}
	u.clip.State = wire.ClipUploading
	for _, p := range plan.Parts {
		if p.Number < 1 || p.Number > len(begin.Parts) {
			return false, fmt.Errorf("the cloud asks for part %d of %d", p.Number, len(begin.Parts))
		}
		_, size := span(begin, p.Number)
		u.missing += size
	}
	if last := len(plan.Parts); plan.More && last > 0 {
		at, size := span(begin, plan.Parts[last-1].Number)
		u.missing += c.Bytes - at - size
	}
	for _, p := range plan.Parts {
		// Half of its time is left for the part itself.
		if valid := time.Duration(plan.ValidUs) * time.Microsecond; valid > 0 && time.Since(asked) > valid/2 {
			return false, nil
		}
		if err := r.tell(ctx, u); err != nil {
			return false, err
		}
		at, size := span(begin, p.Number)
		body, sum := io.NewSectionReader(f, at, size), begin.Parts[p.Number-1]
		if err := check(body, sum); err != nil {
			return false, fmt.Errorf("read part %d: %w", p.Number, err)
		}
		if len(p.Pieces) > 0 {
			err = r.sendPieces(ctx, u, p, at, size)
		} else if err = r.Sender.Put(ctx, p, body, size, sum); ctx.Err() == nil && !errors.Is(err, ErrGone) {
			r.narrow.passed(err)
		}
		if err != nil {
			return false, fmt.Errorf("send part %d: %w", p.Number, err)
		}
		if len(p.Pieces) == 0 {
			u.missing -= size
		}
	}
	return true, nil
}

// tell notes how far an upload has come, and says so now and then.
func (r *Room) tell(ctx context.Context, u *dispatch) error {
	u.clip.Fact.Sent = max(u.clip.Bytes-u.missing, 0)
	news := time.Since(u.said) > progressStep
	if news {
		u.said = time.Now()
	}
	return r.settle(ctx, u.clip, news)
}

// sendPieces sends the missing pieces of a part to the cloud, which puts it together.
func (r *Room) sendPieces(ctx context.Context, u *dispatch, p wire.PartPlan, at, size int64) error {
	if p.PieceBytes < 1 || p.PieceBytes > wire.MaxClipPieceBytes {
		return fmt.Errorf("the cloud asks for pieces of %d bytes", p.PieceBytes)
	}
	u.missing -= size - missingOf(p, size)
	for _, n := range p.Pieces {
		from := int64(n-1) * p.PieceBytes
		if n < 1 || from >= size {
			return fmt.Errorf("the cloud asks for piece %d of a part of %d bytes", n, size)
		}
		raw := make([]byte, min(p.PieceBytes, size-from))
		if _, err := u.file.ReadAt(raw, at+from); err != nil {
			return fmt.Errorf("read piece %d: %w: %w", n, err, errSpoilt)
		}
		if err := r.tell(ctx, u); err != nil {
			return err
		}
		sum := sha256.Sum256(raw)
		target := wire.PartPlan{Number: p.Number, URL: p.URL + "/pieces/" + strconv.Itoa(n)}
		if err := r.Sender.Put(ctx, target, bytes.NewReader(raw), int64(len(raw)), sum[:]); err != nil {
			return fmt.Errorf("send piece %d: %w", n, err)
		}
		u.missing -= int64(len(raw))
	}
	return nil
}

// missingOf is how many bytes of a part the missing pieces are.
func missingOf(p wire.PartPlan, size int64) (n int64) {
	for _, piece := range p.Pieces {
		n += max(min(p.PieceBytes, size-int64(piece-1)*p.PieceBytes), 0)
	}
	return n
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

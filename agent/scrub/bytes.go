package scrub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/backoff"
	"holdfast/shared/mp4"
)

const (
	idle   = time.Minute            // how long a round of bytes waits when there is nothing to read
	breath = 100 * time.Millisecond // between two segments, however short they are
	noted  = time.Minute            // how often it is noted how far the room has come
)

// bytes reads segments, lowest number first and from the beginning again behind the last, until a moment.
func (s *Scrubber) bytes(ctx context.Context, until time.Time) error {
	for time.Now().Before(until) {
		rows, err := s.Ledger.SegmentsAfter(ctx, s.memory.At, 20)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			if err := s.weed(ctx); err != nil {
				return err
			}
			s.memory.At = 0
			if err := backoff.Sleep(ctx, min(idle, time.Until(until))); err != nil {
				return err
			}
		}
		found := len(s.memory.Damage)
		for _, row := range rows {
			if err := errors.Join(s.look(ctx, row), backoff.Sleep(ctx, breath)); err != nil {
				return err
			}
			s.memory.At = row.ID
			if len(s.memory.Damage) != found || !time.Now().Before(until) {
				break
			}
		}
		news := len(s.memory.Damage) != found
		if news || time.Since(s.kept) > noted {
			if err := s.keep(ctx); err != nil {
				return err
			}
		}
		if news {
			s.report()
		}
	}
	return nil
}

func (s *Scrubber) keep(ctx context.Context) error {
	s.kept = time.Now()
	text, err := json.Marshal(s.memory)
	if err != nil {
		return fmt.Errorf("note how far it has come: %w", err)
	}
	return s.Ledger.SetMeta(ctx, metaName, string(text))
}

// weed forgets damage in segments that have been deleted since.
func (s *Scrubber) weed(ctx context.Context) error {
	var left []damage
	for _, d := range s.memory.Damage {
		now, err := s.Ledger.SegmentsAfter(ctx, d.Segment-1, 1)
		if err != nil {
			return err
		}
		if len(now) > 0 && now[0].ID == d.Segment {
			left = append(left, d)
		}
	}
	s.memory.Damage = left
	return nil
}

// look reads one segment and notes whether it is damaged.
func (s *Scrubber) look(ctx context.Context, row ledger.Segment) error {
	what, err := s.verify(ctx, row)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(s.memory.Damage, func(d damage) bool { return d.Segment == row.ID })
	switch {
	case what == "" && at >= 0:
		s.memory.Damage = slices.Delete(s.memory.Damage, at, at+1)
	case what != "" && at < 0:
		s.Log.Error("a segment is damaged", "segment", row.ID, "volume", row.Volume, "camera", row.Stream.Camera, "stream", row.Stream.Kind, "error", what)
		d := damage{row.ID, row.Volume, row.Stream, row.StartUs, row.EndUs, what}
		s.memory.Damage = append(s.memory.Damage[max(0, len(s.memory.Damage)-mostDamage+1):], d)
	}
	return nil
}

// verify says what is wrong with a segment's bytes, empty when nothing is or nobody can tell now.
func (s *Scrubber) verify(ctx context.Context, row ledger.Segment) (what string, _ error) {
	file, size, err := s.Disk.OpenRead(row.Volume, row.ID)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, disk.ErrAbsent) {
		return "", nil // the names tell
	}
	if err != nil {
		return fmt.Sprintf("it can't be opened: %v", err), nil
	}
	slow := &slowly{ctx: ctx, file: file, rate: s.cfg.Rate, began: time.Now()}
	rep, err := mp4.VerifySegment(slow, size)
	if err := file.Close(); err != nil {
		s.Log.Warn("close segment", "segment", row.ID, "error", err)
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		what = fmt.Sprintf("it can't be read: %v", err)
	case len(rep.Damage) > 0:
		d := rep.Damage[0]
		what = fmt.Sprintf("parts %d to %d are damaged, %s to %s UTC", d.First, d.Last, clock(d.FromUs, time.DateTime), clock(d.ToUs, time.TimeOnly))
	case rep.Parts != row.Parts || rep.Sealed && rep.Statement.Root != row.Root || rep.Sealed && !rep.Intact || size != row.Bytes:
		what = "its content is not what the ledger says"
	default:
		return "", slow.settle()
	}
	// It may have been deleted while it was read.
	now, err := s.Ledger.SegmentsAfter(ctx, row.ID-1, 1)
	if err != nil || len(now) == 0 || now[0].ID != row.ID {
		return "", err
	}
	return what, slow.settle()
}

// slowly reads a file at a bounded rate.
type slowly struct {
	ctx   context.Context
	file  io.ReaderAt
	rate  int64
	began time.Time
	bytes int64
}

// ReadAt implements io.ReaderAt; it waits when the reader is ahead of the rate.
func (r *slowly) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.file.ReadAt(p, off)
	r.bytes += int64(n)
	if slow := r.settle(); slow != nil {
		return n, slow
	}
	return n, err
}

// settle waits until what was read is within the rate.
func (r *slowly) settle() error {
	due := r.began.Add(time.Duration(float64(r.bytes) / float64(r.rate) * float64(time.Second)))
	if wait := time.Until(due); wait > 0 {
		return backoff.Sleep(r.ctx, wait)
	}
	return r.ctx.Err()
}

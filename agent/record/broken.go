package record

import (
	"context"
	"errors"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/wire"
)

// diskFailed notes that no segment could be opened, and puts off the next try.
func (s *stream) diskFailed(ctx context.Context, err error) error {
	reason, text := s.refused(err)
	return s.regap(ctx, reason, text)
}

// refused notes that the disk did not take video, and puts off the next try.
func (s *stream) refused(err error, args ...any) (reason wire.Reason, text string) {
	now := time.Now()
	wait := s.retry.Next(0)
	if errors.Is(err, disk.ErrFull) {
		wait = fullWait
	}
	s.after = now.Add(wait)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.refused.note(s.log, now, err, args...)
	return s.status.refused.reason, s.status.refused.text
}

// abandon gives a segment up whose file can't be written any more: what is safe of it stays recorded, and the
// gap begins where that ends. reason, if any, is why the segment was about to end anyway.
func (s *stream) abandon(ctx context.Context, seg *segment, why error, reason wire.Reason, text string) error {
	// What a failed write left unflushed may still be flushed; after a failed flush nothing is tried again.
	flushErr := seg.file.Flush()
	keep, endUs := seg.safe(seg.file.Durable())
	diskReason, diskText := s.refused(errors.Join(why, flushErr), "segment", seg.header.Segment, "safe_bytes", keep)
	if err := seg.file.Close(); err != nil {
		s.log.Warn("a segment's file could not be closed", "segment", seg.header.Segment, "error", err)
	}
	s.broken = true
	row := ledger.Segment{ID: seg.header.Segment, Volume: seg.file.Volume()}
	var err error
	if endUs == 0 {
		endUs = seg.header.StartUs
		err = s.rec.Ledger.Condemn(ctx, []ledger.Segment{row}, wire.DiskFailed)
	} else {
		err = s.rec.Ledger.Flushed(ctx, s.rec.Clock.Mono(), []ledger.Durable{{ID: row.ID, DurableUs: endUs, Bytes: keep}})
	}
	if err != nil {
		return err
	}
	s.endUs, s.endRun = endUs, seg.header.Run
	if err := s.regap(ctx, diskReason, diskText); err != nil {
		return err
	}
	if reason != "" {
		if err := s.regap(ctx, reason, text); err != nil {
			return err
		}
	}
	// The row stays open until the file has been cut to what is safe: mend's work, now or when the disk is back.
	s.rec.torn.Store(true)
	return nil
}

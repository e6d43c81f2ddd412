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
	wait := s.retry.Next(0)
	s.after = time.Now().Add(wait)
	s.log.Error("a segment can't be opened: nothing is recorded", "error", err, "retry", wait.Round(time.Millisecond))
	return s.regap(ctx, wire.DiskFailed, diskText(err))
}

func diskText(err error) string {
	if errors.Is(err, disk.ErrFull) {
		return "The disk for video is full. Let less be kept, or give the agent a bigger disk."
	}
	return "The disk for video can't be written: " + err.Error()
}

// abandon gives a segment up whose file can't be written any more: what is safe of it stays recorded, and the
// gap begins where that ends. reason, if any, is why the segment was about to end anyway.
func (s *stream) abandon(ctx context.Context, seg *segment, why error, reason wire.Reason, text string) error {
	// What a failed write left unflushed may still be flushed; after a failed flush nothing is tried again.
	flushErr := seg.file.Flush()
	keep, endUs := seg.safe(seg.file.Durable())
	s.log.Error("a segment can't be written any more", "segment", seg.header.Segment, "error", errors.Join(why, flushErr),
		"safe_bytes", keep)
	if err := seg.file.Close(); err != nil {
		s.log.Warn("a segment's file could not be closed", "segment", seg.header.Segment, "error", err)
	}
	s.broken = true
	s.after = time.Now().Add(s.retry.Next(0))
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
	if err := s.regap(ctx, wire.DiskFailed, diskText(why)); err != nil {
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

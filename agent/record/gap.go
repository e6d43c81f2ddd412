package record

import (
	"context"
	"time"

	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/evidence"
	"holdfast/shared/wire"
)

// keyWait is how long frames may come without a key frame before that is the fault that is named.
const keyWait = 12 * time.Second

// gapAfter describes the gap that begins where the account ends: at the last segment's end. When a run has begun
// since it reaches over that run's zero, or from there, if the clock was set back.
func (s *stream) gapAfter(reason wire.Reason, text string) ledger.Gap {
	g := ledger.Gap{Stream: s.name, Run: s.endRun, StartUs: s.endUs, Reason: reason, Detail: text}
	if run := s.rec.Clock.Run(); run != s.endRun {
		g.Run, g.StartUs = run, min(s.endUs, s.rec.Clock.WallIn(run, 0))
		if reason == "" {
			g.Reason, g.Detail = wire.ClockStep, "The system's clock was set. The video of these moments lies under the time before."
		}
	}
	return g
}

// entered notes that a gap is in force.
func (s *stream) entered(g ledger.Gap) {
	s.gap = g
	s.mu.Lock()
	defer s.mu.Unlock()
	// One thing after another may keep frames from the disk: that lasts since the first of them.
	if s.status.recording || ours(s.status.reason) != ours(g.Reason) || !ours(g.Reason) && s.status.reason != g.Reason {
		s.status.since = time.Now()
	}
	s.status.recording, s.status.reason, s.status.text = false, g.Reason, g.Detail
}

// ours says whether a gap with this reason is the recorder's own: frames come, and don't reach the disk.
func ours(r wire.Reason) bool {
	switch r {
	case wire.DiskFailed, wire.SlowDisk, wire.HeldFull, wire.AwaitKeyFrame, wire.NoKeyFrame:
		return true
	}
	return false
}

// interrupt ends the segment because no frames come, or gives the gap another reason. The last frame lasts as long
// as frames do, but not beyond the break: the next source may begin right there.
func (s *stream) interrupt(ctx context.Context, b *media.Break) error {
	s.since = time.Time{}
	s.broken = true
	if s.seg == nil {
		return s.regap(ctx, b.Reason, b.Text)
	}
	end := s.seg.heldEnd()
	if s.seg.header.Run == s.rec.Clock.Run() && b.MonoUs > s.seg.held.MonoUs {
		end = min(end, b.MonoUs)
	}
	return s.end(ctx, end, b.Reason, b.Text)
}

// regap makes sure that a gap with this reason is in force from now on.
func (s *stream) regap(ctx context.Context, reason wire.Reason, text string) error {
	if s.gap.ID != 0 && s.gap.Reason == reason {
		return nil
	}
	if s.gap.ID == 0 {
		g := s.gapAfter(reason, text)
		gapID, err := s.rec.Ledger.BeginGap(ctx, g)
		if err != nil {
			return err
		}
		g.ID = gapID
		s.entered(g)
		return nil
	}
	at := max(s.rec.Clock.Now(), s.gap.StartUs)
	next, err := s.rec.Ledger.SplitGap(ctx, s.gap.ID, at, reason, text)
	if err != nil {
		return err
	}
	s.gaps = append(s.gaps, evidence.Gap{FromUs: s.gap.StartUs, ToUs: at, Reason: string(s.gap.Reason)})
	s.entered(ledger.Gap{ID: next, Stream: s.name, Run: s.gap.Run, StartUs: at, Reason: reason, Detail: text})
	return nil
}

// awaitKey names the gap while frames come that can't be decoded yet.
func (s *stream) awaitKey(ctx context.Context, f media.Frame) error {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	switch s.gap.Reason {
	case wire.NoKeyFrame, wire.DiskFailed, wire.SlowDisk, wire.HeldFull:
		return nil // it tells more
	}
	if time.Since(s.since) > keyWait {
		return s.regap(ctx, wire.NoKeyFrame, "The camera sends pictures but has sent no key frame yet. Set its key frame interval (I-frame interval, GOP) to two seconds.")
	}
	return s.regap(ctx, wire.AwaitKeyFrame, "Recording begins at the camera's next key frame.")
}

// step moves an open gap to the run that has just begun.
func (s *stream) step(ctx context.Context) error {
	run := s.rec.Clock.Run()
	if s.gap.ID == 0 || s.gap.Run == run {
		return nil
	}
	old := s.gap
	end := max(old.StartUs, s.rec.Clock.WallIn(old.Run, s.rec.Clock.MonoIn(old.Run)))
	if err := s.rec.Ledger.EndGap(ctx, old.ID, end); err != nil {
		return err
	}
	g := ledger.Gap{
		Stream: s.name, Run: run, StartUs: min(end, s.rec.Clock.WallIn(run, 0)), Reason: old.Reason, Detail: old.Detail,
	}
	gapID, err := s.rec.Ledger.BeginGap(ctx, g)
	if err != nil {
		return err
	}
	g.ID = gapID
	s.entered(g)
	return nil
}

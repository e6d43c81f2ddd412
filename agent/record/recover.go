package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/evidence"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// limit bounds what is kept of a segment that was given up.
type limit struct {
	bytes int64 // whole parts within so many bytes
	endUs int64 // that end at or before this wall time
}

// recoverAll recovers segments, a few at once, since their payload is read and hashed.
func (r *Recorder) recoverAll(ctx context.Context, open []ledger.OpenSegment, to func(ledger.OpenSegment) limit) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, s := range open {
		group.Go(func() error { return r.recover(ctx, s, to(s)) })
	}
	return group.Wait()
}

// mend recovers segments that were given up while running, and those whose volume has come back: they keep
// what the ledger says is safe. Files on it that the ledger never heard of hold nothing that is not declared a gap.
func (r *Recorder) mend(ctx context.Context) error {
	if err := r.lookThrough(ctx); err != nil {
		return err
	}
	givenUp := r.givenUp()
	open, err := r.Ledger.OpenSegments(ctx)
	if err != nil {
		return err
	}
	open = slices.DeleteFunc(open, func(s ledger.OpenSegment) bool { return !givenUp(s.ID) })
	return r.recoverAll(ctx, open, func(s ledger.OpenSegment) limit {
		return limit{bytes: s.Bytes, endUs: s.DurableUs}
	})
}

// recover cuts a segment's file to the last whole part whose sums hold, seals it and commits it. A disk that
// can't be read or written leaves it open for later: the error is the ledger's only.
func (r *Recorder) recover(ctx context.Context, s ledger.OpenSegment, to limit) error {
	found, startUs, err := r.examine(s, to)
	s.StartUs = max(s.StartUs, startUs)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, mp4.ErrFormat):
		r.Log.Warn("an open segment holds no video", "segment", s.ID, "stream", s.Stream, "error", err)
		return r.Ledger.Condemn(ctx, []ledger.Segment{{ID: s.ID, Volume: s.Volume}}, wire.Lost)
	case err != nil:
		r.Log.Error("an open segment can't be read now", "segment", s.ID, "stream", s.Stream, "volume", s.Volume, "error", err)
		return nil
	}
	last := found.Parts[len(found.Parts)-1]
	if found.Header.Origin != "" {
		twice, err := r.covered(ctx, s.Stream, s.StartUs, last.EndUs)
		if err != nil {
			return err
		}
		if twice {
			r.Log.Warn("footage from elsewhere was fetched again meanwhile: this copy goes", "segment", s.ID, "stream", s.Stream)
			return r.Ledger.Condemn(ctx, []ledger.Segment{{ID: s.ID, Volume: s.Volume}}, wire.Lost)
		}
	}
	row := ledger.Segment{
		ID: s.ID, Volume: s.Volume, Stream: s.Stream, Run: s.Run, MonoUs: s.MonoUs, StartUs: s.StartUs,
		EndUs: max(last.EndUs, s.StartUs+1), Bytes: found.Whole, Parts: len(found.Parts),
		Root: root(found.Header, found.Parts), Recovered: true, Origin: found.Header.Origin,
	}
	if row.Bytes, err = r.settle(ctx, s, found); err != nil {
		r.Log.Error("an open segment can't be cut to what holds", "segment", s.ID, "stream", s.Stream, "error", err)
		return nil
	}
	r.Log.Info("segment recovered", "segment", s.ID, "stream", s.Stream, "parts", row.Parts, "seconds", float64(row.EndUs-row.StartUs)/1e6)
	_, err = r.Ledger.CloseSegment(ctx, row, nil)
	return err
}

// covered says whether more of a range is recorded already than clocks that are corrected explain.
func (r *Recorder) covered(ctx context.Context, stream id.Stream, fromUs, toUs int64) (bool, error) {
	ranges, err := r.Ledger.Coverage(ctx, stream, fromUs, toUs)
	length := int64(0)
	for _, g := range ranges {
		if g.Recorded {
			length += g.EndUs - g.StartUs
		}
	}
	return length > mp4.JoinToleranceUs, err
}

// examine reads a segment's file and returns what is to be kept of it, and where a segment that was fetched begins behind
// the pictures for decoding alone, 0 for others; the error wraps mp4.ErrFormat when nothing is to be kept.
func (r *Recorder) examine(s ledger.OpenSegment, to limit) (found mp4.Recovery, startUs int64, err error) {
	file, size, err := r.Disk.OpenRead(s.Volume, s.ID)
	if err != nil {
		return found, 0, err
	}
	found, err = mp4.Recover(file, min(size, max(to.bytes, 0)))
	lead := 0
	if err == nil && found.Header.Origin != "" {
		lead, startUs, err = mp4.Leads(file, size)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return found, 0, err
	}
	for n := len(found.Parts); n > 0 && found.Parts[n-1].EndUs > to.endUs; n-- {
		found.Whole, found.Sealed = found.InitSize, false
		found.Parts = found.Parts[:n-1]
		for _, p := range found.Parts {
			found.Whole += p.Bytes
		}
	}
	if len(found.Parts) <= lead {
		return found, 0, fmt.Errorf("no whole part: %w", mp4.ErrFormat)
	}
	return found, startUs, nil
}

// settle cuts a file, seals it as recovered unless it was sealed, and makes all of it durable; it returns the file's
// size then. A disk without room for the seal leaves the segment without one. What was not known to be durable is
// written again: nobody can tell what became of the last flush of the process that was writing.
func (r *Recorder) settle(ctx context.Context, s ledger.OpenSegment, found mp4.Recovery) (size int64, err error) {
	file, err := r.Disk.Reopen(s.Volume, s.ID, found.Whole)
	if err != nil {
		return 0, err
	}
	if !found.Sealed {
		if file, err = r.seal(ctx, s, found, file); err != nil {
			return 0, err
		}
	}
	err = file.Rewrite(min(s.Bytes, found.Whole))
	if err == nil {
		err = file.Flush()
	}
	return file.Size(), errors.Join(err, file.Close())
}

// seal appends the seal to a file that was cut. Without room for it the file is cut once more, and returned open again.
func (r *Recorder) seal(ctx context.Context, s ledger.OpenSegment, found mp4.Recovery, file *disk.File) (*disk.File, error) {
	seal, err := r.sealOf(ctx, s, found, file)
	if err == nil {
		_, err = file.Write(seal)
	}
	if err == nil {
		return file, nil
	}
	r.Log.Warn("a recovered segment stays without a seal", "segment", s.ID, "error", err)
	if err := file.Close(); err != nil {
		return nil, err
	}
	return r.Disk.Reopen(s.Volume, s.ID, found.Whole)
}

func (r *Recorder) sealOf(ctx context.Context, s ledger.OpenSegment, found mp4.Recovery, file *disk.File) ([]byte, error) {
	init := make([]byte, found.InitSize)
	if _, err := file.ReadAt(init, 0); err != nil {
		return nil, fmt.Errorf("read segment's opening: %w", err)
	}
	st := mp4.NewStatement(found.Header, init, found.Parts)
	st.Recovered = true
	st.Previous = r.lastDigest(ctx, s.Stream, s.StartUs)
	var err error
	if st.Gaps, err = r.gapsBefore(ctx, s); err != nil {
		return nil, err
	}
	signed, err := evidence.Sign(st, r.cfg.Key)
	if err != nil {
		return nil, err
	}
	return mp4.AppendSeal(nil, mp4.Seal{
		Signed: signed, InitSize: found.InitSize, Video: found.Header.VideoTrack(), Parts: found.Parts,
	}), nil
}

// gapsBefore returns the gaps between a segment and the one before it, which it would have told had it been closed.
func (r *Recorder) gapsBefore(ctx context.Context, s ledger.OpenSegment) ([]evidence.Gap, error) {
	stats, err := r.Ledger.StreamStats(ctx)
	if err != nil {
		return nil, err
	}
	return gapsIn(ctx, r.Ledger, s.Stream, stats[s.Stream].ClosedUs, s.StartUs)
}

// gapsIn returns the newest gaps of a range, as many as a seal tells.
func gapsIn(ctx context.Context, l *ledger.Ledger, name id.Stream, fromUs, toUs int64) (out []evidence.Gap, _ error) {
	if fromUs >= toUs {
		return nil, nil
	}
	ranges, err := l.Coverage(ctx, name, fromUs, toUs)
	for _, g := range ranges {
		if !g.Recorded {
			out = append(out, evidence.Gap{FromUs: g.StartUs, ToUs: g.EndUs, Reason: string(g.Gap.Reason)})
		}
	}
	return out[max(0, len(out)-evidence.MaxGaps):], err
}

// BootID names the host's present start, so that a run can tell a crash of the agent from a host that was off.
func BootID() string {
	if text, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		return string(text[:max(len(text)-1, 0)])
	}
	return bootByUptime()
}

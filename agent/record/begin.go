package record

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// Begin begins the run: the clock, the account of what the run before left, and an open gap for every recorded
// stream. It must return before cameras are pulled. Its steps:
//
//  1. The run's row; runs without an end get one.
//  2. Files that the ledger does not know: with whole parts they are taken in as open segments, else removed.
//  3. Open segments: cut to the last whole part whose sums hold, sealed, committed as recovered. What holds
//     nothing becomes garbage. One whose volume is not here stays open until it is.
//  4. Open gaps of the run before end where that run ended.
//  5. For each recorded stream a gap from the end of what is known to this run's zero, with the reason for
//     which the run before ended (not_configured when the stream was not recorded then).
//  6. For each recorded stream an open gap from this run's zero on.
func (r *Recorder) Begin(ctx context.Context) error {
	now := time.Now()
	run, prev, err := r.Ledger.BeginRun(ctx, ledger.RunStart{BootID: r.cfg.BootID, WallUs: now.UnixMicro(), Version: r.cfg.Version})
	if err != nil {
		return fmt.Errorf("begin recording: %w", err)
	}
	r.Clock.BeginAt(run.ID, now, run.WallUs)
	b := beginning{Recorder: r, run: run, prev: prev, gaps: map[id.Stream]ledger.Gap{}, open: map[id.Stream]ledger.OpenSegment{}}
	for _, step := range []func(context.Context) error{b.strays, b.segments, b.endGaps, b.account} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("begin recording: %w", err)
		}
	}
	return nil
}

// beginning is the state of Begin.
type beginning struct {
	*Recorder
	run  ledger.Run
	prev *ledger.Run
	gaps map[id.Stream]ledger.Gap         // open, from earlier runs
	open map[id.Stream]ledger.OpenSegment // the newest of each stream, before it was recovered
}

// recentFolders and recentRows say how far back Begin looks for files that the ledger does not know. A file is
// unknown only between its creation and the next commit, so it is among the newest; Check looks everywhere.
const (
	recentFolders = 2
	recentRows    = 20_000
)

// strays deals with files that were created and never came into the ledger.
func (b *beginning) strays(ctx context.Context) error {
	next := b.Ledger.NextSegment()
	known, err := b.Ledger.Known(ctx, next-min(next, recentRows))
	if err != nil {
		return err
	}
	var unknown []disk.Found
	err = b.Disk.Scan(recentFolders, func(f disk.Found) error {
		b.Ledger.AtLeast(f.Segment)
		if !known[f.Segment] && f.Segment >= next-min(next, recentRows) {
			unknown = append(unknown, f)
		}
		return nil
	})
	if err != nil {
		b.Log.Error("the volumes can't be looked through for left-over files", "error", err)
	}
	for _, f := range unknown {
		if err := b.adopt(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// adopt takes a file that the ledger does not know in as an open segment, or removes it when it holds nothing.
func (r *Recorder) adopt(ctx context.Context, f disk.Found) error {
	h, parts, err := r.peek(f)
	switch {
	case err != nil && !errors.Is(err, mp4.ErrFormat):
		r.Log.Error("a left-over file can't be read", "segment", f.Segment, "volume", f.Volume, "error", err)
		return nil
	case err != nil || !parts:
		_, err := r.Disk.Remove(f.Volume, f.Segment)
		if err != nil {
			r.Log.Error("an empty left-over file can't be removed", "segment", f.Segment, "volume", f.Volume, "error", err)
		}
		return nil
	}
	r.Log.Warn("a file that the ledger did not know is taken in", "segment", f.Segment, "camera", h.Camera, "stream", h.Stream)
	return r.Ledger.BeginSegment(ctx, ledger.OpenSegment{
		ID: f.Segment, Volume: f.Volume, Stream: id.Stream{Camera: id.Camera(h.Camera), Kind: id.StreamKind(h.Stream)},
		Run: h.Run, MonoUs: h.MonoUs, StartUs: h.StartUs,
	}, nil)
}

// peek reads a file's header and says whether at least one part follows.
func (r *Recorder) peek(f disk.Found) (h mp4.Header, parts bool, err error) {
	file, size, err := r.Disk.OpenRead(f.Volume, f.Segment)
	if err != nil {
		return h, false, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	h, at, err := mp4.ReadHeader(file, size)
	if err != nil {
		return h, false, err
	}
	if _, parseErr := id.ParseStream(h.Camera + "/" + h.Stream); parseErr != nil || h.Segment != f.Segment {
		return h, false, fmt.Errorf("the file is not what its name says: %w", mp4.ErrFormat)
	}
	_, err = mp4.ReadPart(file, size, at, h)
	return h, err == nil, err
}

// segments recovers what was open. A gap that lasts says that the stream's segment had been given up before it.
func (b *beginning) segments(ctx context.Context) error {
	gaps, err := b.Ledger.OpenGaps(ctx)
	if err != nil {
		return err
	}
	for _, g := range gaps {
		b.gaps[g.Stream] = g
	}
	open, err := b.Ledger.OpenSegments(ctx)
	if err != nil {
		return err
	}
	for _, s := range open {
		b.open[s.Stream] = s
	}
	return b.recoverAll(ctx, open, func(s ledger.OpenSegment) limit {
		l := limit{bytes: math.MaxInt64, endUs: math.MaxInt64}
		if g, ok := b.gaps[s.Stream]; ok && g.Run == s.Run {
			l.endUs = g.StartUs
		}
		if b.prev != nil && s.Run < b.prev.ID && s.Bytes > 0 {
			l.bytes = s.Bytes // what came after it was declared a gap when that run had ended
		}
		return l
	})
}

// endGaps ends the gaps of the run before where it ended.
func (b *beginning) endGaps(ctx context.Context) error {
	for _, g := range b.gaps {
		if err := b.Ledger.EndGap(ctx, g.ID, b.gapEnd(g)); err != nil {
			return err
		}
	}
	return nil
}

func (b *beginning) gapEnd(g ledger.Gap) int64 {
	zero := b.run.WallUs
	if b.prev == nil || g.Reason == b.prev.EndedBy {
		return max(zero, g.StartUs) // it tells of the time in between already
	}
	return max(g.StartUs, min(b.prev.WallUs+b.prev.LastMonoUs, zero))
}

// account declares what lies between the end of what is known and this run, and opens the gaps that the first
// key frames will close.
func (b *beginning) account(ctx context.Context) error {
	stats, err := b.Ledger.StreamStats(ctx)
	if err != nil {
		return err
	}
	for _, s := range b.streams {
		gap, err := b.between(ctx, s.name, stats[s.name])
		if err != nil {
			return err
		}
		if gap.StartUs > 0 && gap.StartUs < b.run.WallUs {
			if _, err := b.Ledger.BeginGap(ctx, gap); err != nil {
				return err
			}
		}
		if s.gaps, err = gapsIn(ctx, b.Ledger, s.name, stats[s.name].DurableUs, b.run.WallUs); err != nil {
			return err
		}
		g := ledger.Gap{Stream: s.name, Run: b.run.ID, StartUs: b.run.WallUs, Reason: wire.Connecting}
		if g.ID, err = b.Ledger.BeginGap(ctx, g); err != nil {
			return err
		}
		s.entered(g)
		s.broken, s.endUs, s.endRun = true, b.run.WallUs, b.run.ID
		s.status.durableUs = stats[s.name].DurableUs
		s.last = b.lastDigest(ctx, s.name, stats[s.name].DurableUs)
	}
	return nil
}

// between describes the time from the end of what is known of a stream to this run's zero; its StartUs is 0
// when nothing is known.
func (b *beginning) between(ctx context.Context, name id.Stream, stat ledger.StreamStat) (ledger.Gap, error) {
	g := ledger.Gap{Stream: name, Run: b.run.ID, EndUs: b.run.WallUs, Reason: wire.NotConfigured}
	ranges, err := b.Ledger.Coverage(ctx, name, max(stat.DurableUs-1, 0), b.run.WallUs)
	if err != nil || b.prev == nil {
		return g, err
	}
	if len(ranges) == 0 {
		// A run so short that what it left has no length.
		if gap, ok := b.gaps[name]; ok {
			ranges = []ledger.Range{{EndUs: b.gapEnd(gap), Gap: &gap}}
		} else if open, ok := b.open[name]; ok {
			ranges = []ledger.Range{{EndUs: open.StartUs, Gap: &ledger.Gap{Run: open.Run}}}
		} else {
			return g, nil
		}
	}
	last := ranges[len(ranges)-1]
	g.StartUs = last.EndUs
	var run int64 // of what is known last
	if last.Recorded {
		newest, err := b.Ledger.Segments(ctx, name, stat.DurableUs-1, stat.DurableUs)
		if err != nil {
			return g, err
		}
		if len(newest) > 0 {
			run = newest[len(newest)-1].Run
		}
	} else {
		run = last.Gap.Run
	}
	if run == b.prev.ID {
		g.Run, g.Reason = run, b.prev.EndedBy
	}
	return g, nil
}

// lastDigest returns the digest of the newest sealed segment of a stream, to which the next one refers; zero
// when there is none or it can't be read.
func (r *Recorder) lastDigest(ctx context.Context, name id.Stream, durableUs int64) (digest [32]byte) {
	if durableUs == 0 {
		return digest
	}
	segments, err := r.Ledger.Segments(ctx, name, durableUs-1, durableUs)
	if err != nil || len(segments) == 0 {
		return digest
	}
	s := segments[len(segments)-1]
	file, size, err := r.Disk.OpenRead(s.Volume, s.ID)
	if err != nil {
		return digest
	}
	signed, _, _, err := mp4.ReadSeal(file, size)
	if err := errors.Join(err, file.Close()); err != nil {
		return digest
	}
	return signed.Digest()
}

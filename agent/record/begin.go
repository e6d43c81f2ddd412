package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
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
//  2. Volumes that were restored from an image: what they lack is declared lost.
//  3. Files that the ledger does not know: with whole parts they are taken in as open segments, else removed.
//  4. Open segments: cut to the last whole part whose sums hold, sealed, committed as recovered. What holds
//     nothing becomes garbage. One whose volume is not here stays open until it is.
//  5. Open gaps of the run before end where that run ended.
//  6. For each recorded stream a gap from the end of what is known to this run's zero, with the reason for
//     which the run before ended (not_configured when the stream was not recorded then). What was recorded is
//     noted by the last start that came so far: starts that were cut short say nothing of it.
//  7. For each recorded stream an open gap from this run's zero on.
func (r *Recorder) Begin(ctx context.Context) error {
	now := time.Now()
	run, prev, err := r.Ledger.BeginRun(ctx, ledger.RunStart{BootID: r.cfg.BootID, WallUs: now.UnixMicro(), Version: r.cfg.Version})
	if err != nil {
		return fmt.Errorf("begin recording: %w", err)
	}
	r.Clock.BeginAt(run.ID, now, run.WallUs)
	b := beginning{Recorder: r, run: run, prev: prev, gaps: map[id.Stream]ledger.Gap{}}
	if err := b.remember(ctx); err != nil {
		return fmt.Errorf("begin recording: %w", err)
	}
	for _, step := range []func(context.Context) error{b.compare, b.strays, b.segments, b.endGaps, b.account} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("begin recording: %w", err)
		}
	}
	return nil
}

// beginning is the state of Begin.
type beginning struct {
	*Recorder
	run    ledger.Run
	prev   *ledger.Run              // begun before, perhaps no further than that
	before begun                    // the last one whose account was opened
	gaps   map[id.Stream]ledger.Gap // open, from earlier runs
}

// begun is kept in the ledger: what the newest run that opened its account records.
type begun struct {
	Run     int64    `json:"run"`
	WallUs  int64    `json:"wall_us"` // of its zero
	Streams []string `json:"streams"`
}

const metaBegun = "record_begun"

func (b *beginning) remember(ctx context.Context) error {
	text, err := b.Ledger.Meta(ctx, metaBegun)
	if err != nil || text == "" {
		return err
	}
	return json.Unmarshal([]byte(text), &b.before)
}

func (b *beginning) note(ctx context.Context) error {
	now := begun{Run: b.run.ID, WallUs: b.run.WallUs}
	for _, s := range b.streams {
		now.Streams = append(now.Streams, s.name.String())
	}
	text, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("note what is recorded: %w", err)
	}
	return b.Ledger.SetMeta(ctx, metaBegun, string(text))
}

// recentFolders and recentRows say how far back Begin looks for files that the ledger does not know. A file is
// unknown only between its creation and the next commit, so it is among the newest; Check looks everywhere.
const (
	recentFolders = 2
	recentRows    = 20_000
)

// strays deals with files that were created and never came into the ledger.
func (b *beginning) strays(ctx context.Context) error {
	b.first = b.Ledger.NextSegment()
	return b.lookThrough(ctx)
}

// lookThrough deals with files of earlier runs that the ledger does not know, on volumes that are here and were not
// looked through in this run: those that were away at the start come later. The number of such a file may be higher than
// all that the ledger has heard of.
func (r *Recorder) lookThrough(ctx context.Context) error {
	fresh := map[string]bool{}
	for _, v := range r.Disk.Volumes() {
		if v.Err == nil && !r.looked[v.ID] {
			fresh[v.ID] = true
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	oldest := r.first - min(r.first, recentRows)
	known, err := r.Ledger.Known(ctx, oldest)
	if err != nil {
		return err
	}
	var unknown []disk.Found
	err = r.Disk.Scan(recentFolders, func(f disk.Found) error {
		r.Ledger.AtLeast(f.Segment)
		if fresh[f.Volume] && !known[f.Segment] && f.Segment >= oldest && !f.New {
			unknown = append(unknown, f)
		}
		return nil
	})
	if err != nil {
		r.Log.Error("the volumes can't be looked through for left-over files", "error", err)
		return nil
	}
	for _, f := range unknown {
		if err := r.adopt(ctx, f); err != nil {
			return err
		}
	}
	for name := range fresh {
		r.looked[name] = true
		r.Disk.Settled(name)
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
	return b.recoverAll(ctx, open, func(s ledger.OpenSegment) limit {
		l := limit{bytes: math.MaxInt64, endUs: math.MaxInt64}
		if g, ok := b.gaps[s.Stream]; ok && g.Run == s.Run {
			l.endUs = g.StartUs
		}
		if s.Run < b.before.Run && s.Bytes > 0 {
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
	if err := b.note(ctx); err != nil {
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
	if b.prev == nil {
		return g, nil
	}
	if slices.Contains(b.before.Streams, name.String()) {
		g.Run, g.Reason = b.before.Run, b.prev.EndedBy
		g.StartUs = max(b.before.WallUs, stat.DurableUs) // what that run left may have no length, or be deleted
	}
	ranges, err := b.Ledger.Coverage(ctx, name, max(stat.DurableUs-1, 0), b.run.WallUs)
	if err == nil && len(ranges) > 0 {
		g.StartUs = ranges[len(ranges)-1].EndUs
	}
	return g, err
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

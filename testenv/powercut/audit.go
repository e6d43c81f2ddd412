package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
)

// audit is what the books of a chain say about its cuts.
type audit struct {
	cuts     int
	tails    []time.Duration // of every camera at every steady cut
	starts   []time.Duration // from the start of the agent's program to the first recorded frame of its last camera
	frames   int             // sent before a cut
	kept     int             // of them on disk
	inGaps   int             // of them inside a declared gap
	holes    []string        // moments of which nothing is said, and frames that are nowhere
	broken   []string        // promises that the agent made before a cut and did not keep
	segments int             // decoded
	starved  time.Duration   // the longest that a machine did not get to run before a cut

	enrolments int
}

// add takes another account into this one.
func (a *audit) add(b *audit) {
	a.cuts, a.frames, a.kept, a.inGaps, a.segments = a.cuts+b.cuts, a.frames+b.frames, a.kept+b.kept, a.inGaps+b.inGaps, a.segments+b.segments
	a.tails, a.starts = append(a.tails, b.tails...), append(a.starts, b.starts...)
	a.starved = max(a.starved, b.starved)
	a.holes, a.broken = append(a.holes, b.holes...), append(a.broken, b.broken...)
}

// audit holds the agent's books against what the cameras sent and what the agent had said before each cut.
func (c *chain) audit(ctx context.Context) (*audit, error) {
	a := &audit{cuts: len(c.cuts)}
	quiet := slog.New(slog.DiscardHandler)
	l, err := ledger.Open(ctx, filepath.Join(c.share(), "data", "ledger.db"), quiet)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = l.Close() }()
	stamps, err := c.stamps()
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	ids, err := cameraIDs(filepath.Join(c.share(), "data", "cameras.json"))
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	for i := range c.load.Cameras {
		stream := id.Stream{Camera: ids[cameraName(i)], Kind: id.Main}
		until := time.Now()
		if c.clocks {
			until = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		ranges, err := l.Coverage(ctx, stream, 1, until.UnixMicro())
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		b := book{chain: c, audit: a, camera: i, ranges: ranges, onDisk: stamps}
		b.check()
	}
	a.startTimes(c)
	if err := c.committed(ctx, a, l); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := c.events(ctx, a, l); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := c.decode(ctx, a); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return a, nil
}

// key names a frame over all starts.
type key struct {
	camera uint32 // with the boot in it
	number uint64
}

// kept is a frame on disk.
type kept struct {
	times   int
	sentUs  int64
	wallUs  int64 // when the agent says that it was
	untilUs int64 // and until when
}

// book is the account of one camera.
type book struct {
	*chain
	*audit
	camera int
	ranges []ledger.Range
	onDisk map[key]kept
}

func (b *book) hole(format string, args ...any) {
	b.holes = append(b.holes, fmt.Sprintf("%s %s: ", b.name, cameraName(b.camera))+fmt.Sprintf(format, args...))
}

func (b *book) check() {
	if len(b.ranges) == 0 {
		b.hole("the books are empty")
		return
	}
	if b.clocks {
		b.byNumber()
		return
	}
	at := b.ranges[0].StartUs
	for _, r := range b.ranges {
		if r.StartUs > at {
			b.hole("nothing is declared for %d µs from %s on (start %d)", r.StartUs-at, clock(at), b.bootAt(at)+1)
		}
		at = max(at, r.EndUs)
	}
	if stop := b.boots[len(b.boots)-1].cutUs; at < stop {
		b.hole("the account ends %d ms before the agent was told to stop", (stop-at)/1000)
	}
	for _, boot := range b.boots {
		b.sentFrames(boot)
		b.promises(boot)
	}
}

// sentFrames finds every frame that was sent before a cut on disk or in a declared gap, and measures what the cut cost.
func (b *book) sentFrames(boot *boot) {
	camera := uint32(boot.number*perBoot + b.camera + 1)
	interval := int64(1e6 / b.load.FPS)
	// A cut costs nothing of the time before a camera recorded: that is a gap of its own, and startLimit bounds it.
	first, safe := b.ranges[0].StartUs, max(boot.startUs, boot.waited[cameraName(b.camera)])
	for _, f := range boot.sent[camera] {
		on := b.onDisk[key{camera, f.number}]
		if on.times > 0 {
			safe = max(safe, on.sentUs+interval)
		}
		// What was before the books by the camera's clock is, too: at the very first start nothing tells how late it was sent.
		if f.atUs < first || f.atUs > boot.cutUs || on.times == 0 && b.wall(boot, camera, f) < first {
			continue
		}
		b.frames++
		switch {
		case on.times == 1:
			b.kept++
		case on.times > 1:
			b.hole("frame %d of start %d is on disk %d times", f.number, boot.number+1, on.times)
		case b.lossless && f.atUs > boot.readyUs && f.atUs < boot.cutUs-1_000_000: // the newest were on their way at the end
			b.hole("frame %d of start %d, sent at %s, is lost", f.number, boot.number+1, clock(f.atUs))
		case b.declared(b.wall(boot, camera, f), boot.lateness(f.atUs)):
			b.inGaps++
		default:
			b.hole("frame %d of start %d, sent at %s, is neither on disk nor in a gap", f.number, boot.number+1, clock(f.atUs))
		}
	}
	if boot.cut.from == steady && !b.deletes {
		tail := max(0, time.Duration(boot.cutUs-safe)*time.Microsecond)
		b.tails = append(b.tails, tail)
		starved := boot.starved(boot.cutUs-4_000_000, boot.cutUs)
		b.starved = max(b.starved, starved)
		if limit := tailLimit + starved + time.Duration(boot.lateness(boot.cutUs))*time.Microsecond; tail > limit {
			b.broken = append(b.broken, fmt.Sprintf("%s %s, start %d: the cut cost %.2f s, allowed are %.2f; %s", b.name, cameraName(b.camera),
				boot.number+1, tail.Seconds(), limit.Seconds(), boot.lastWords(cameraName(b.camera))))
		}
	}
}

// byNumber looks for every frame between the first and the last on disk, whatever the clock said.
func (b *book) byNumber() {
	for _, boot := range b.boots {
		camera := uint32(boot.number*perBoot + b.camera + 1)
		first, last := uint64(math.MaxUint64), uint64(0)
		for k := range b.onDisk {
			if k.camera == camera {
				first, last = min(first, k.number), max(last, k.number)
			}
		}
		for _, f := range boot.sent[camera] {
			if f.number < first || f.number > last {
				continue
			}
			b.frames++
			switch n := b.onDisk[key{camera, f.number}].times; {
			case n == 1:
				b.kept++
			case n == 0 && b.declared(b.wall(boot, camera, f), boot.lateness(f.atUs)):
				b.inGaps++
			default:
				b.hole("frame %d of start %d is on disk %d times, and in no gap", f.number, boot.number+1, n)
			}
		}
	}
}

// wall returns when the agent would say that a frame was, going by the nearest one on disk and the camera's own clock:
// on a loaded machine the time of sending may be far behind it.
func (b *book) wall(boot *boot, camera uint32, f frame) int64 {
	best, distance := f.atUs, uint64(math.MaxUint64)
	for _, other := range boot.sent[camera] {
		on, ok := b.onDisk[key{camera, other.number}]
		if d := max(other.number, f.number) - min(other.number, f.number); ok && d < distance {
			best, distance = on.wallUs+int64(int32(f.rtp-other.rtp))*100/9, d
			if other.number < f.number {
				best += on.untilUs - on.wallUs - int64(1e6/b.load.FPS)
			}
		}
	}
	return best
}

// declared says whether a moment lies in a declared gap, or so little before one.
func (b *book) declared(atUs, late int64) bool {
	const slack = 20_000 // rates are rounded, and clocks slewed
	for _, r := range b.ranges {
		if !r.Recorded && atUs >= r.StartUs-slack-late && atUs < r.EndUs+slack {
			return true
		}
	}
	return false
}

func (c *chain) bootAt(us int64) int {
	for i, b := range c.boots {
		if us < b.cutUs {
			return i
		}
	}
	return len(c.boots) - 1
}

// startTimes measures how long each start took until the last camera was recorded again.
func (a *audit) startTimes(c *chain) {
	for _, b := range c.boots {
		if b.readyUs > 0 {
			took := time.Duration(b.readyUs-b.startUs) * time.Microsecond
			a.starts = append(a.starts, took)
			if limit := startLimit + b.starved(b.startUs, b.readyUs); took > limit {
				a.broken = append(a.broken, fmt.Sprintf("%s, start %d: it took %.1f s until all cameras were recorded, allowed are %.1f", c.name,
					b.number+1, took.Seconds(), limit.Seconds()))
			}
		}
	}
}

// committed holds what the ledger had committed before each cut against what it says at the end.
func (c *chain) committed(ctx context.Context, a *audit, last *ledger.Ledger) error {
	closed, err := last.SegmentsAfter(ctx, 0, math.MaxInt32)
	if err != nil {
		return err
	}
	ends := map[uint64]int64{}
	for _, s := range closed {
		ends[s.ID] = s.EndUs
	}
	for _, b := range c.boots {
		if _, err := os.Stat(filepath.Join(b.before, "ledger.db")); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		l, err := ledger.Open(ctx, filepath.Join(b.before, "ledger.db"), slog.New(slog.DiscardHandler))
		if err != nil {
			a.broken = append(a.broken, fmt.Sprintf("%s: the ledger before start %d can't be opened: %v", c.name, b.number+1, err))
			continue
		}
		open, err := l.OpenSegments(ctx)
		sealed, err2 := l.SegmentsAfter(ctx, 0, math.MaxInt32)
		if err := errors.Join(err, err2, l.Close()); err != nil {
			return err
		}
		want := map[uint64]int64{}
		for _, s := range open {
			if s.DurableUs > s.StartUs {
				want[s.ID] = s.DurableUs
			}
		}
		for _, s := range sealed {
			if s.Volume != pastVolume {
				want[s.ID] = s.EndUs
			}
		}
		for segment, us := range want {
			if have, ok := ends[segment]; !c.deletes && (!ok || have < us) {
				a.broken = append(a.broken, fmt.Sprintf("%s: before start %d segment %d was safe up to %s, and ends at %s", c.name, b.number+1, segment, clock(us), clock(have)))
			}
		}
	}
	return nil
}

// events looks for every event that the agent had acked.
func (c *chain) events(ctx context.Context, a *audit, l *ledger.Ledger) error {
	all, err := l.Events(ctx, 1, time.Now().UnixMicro(), math.MaxInt32)
	if err != nil {
		return err
	}
	have := map[string]int{}
	for _, e := range all {
		have[e.Text]++
	}
	for _, b := range c.boots {
		for _, text := range b.events {
			if have[text] != 1 {
				a.broken = append(a.broken, fmt.Sprintf("%s: the event %q of start %d was acked and is there %d times", c.name, text, b.number+1, have[text]))
			}
		}
	}
	return nil
}

func clock(us int64) string { return time.UnixMicro(us).UTC().Format("15:04:05.000") }

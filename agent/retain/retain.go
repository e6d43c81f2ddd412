// Package retain is the room that deletes: video that is older than it may be kept, and the oldest video of all
// cameras when a volume has no room left.
//
// It promises that deleted video leaves a fact for the cloud, that a crash in the middle of a deletion leaves
// nothing behind (row, garbage row, unlink, folder flushed, garbage row dropped), that what is pinned or being
// written is never deleted, and that a clock that leaps ahead does not empty the disk: deletion by age waits a
// day first. It never deletes anything that is not a segment, and nothing because of the network.
package retain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config says what may be deleted.
type Config struct {
	// Keep is how long video of a stream is kept at most; without an entry it is kept until the room is needed.
	Keep  map[id.Stream]time.Duration
	Every time.Duration // between two sweeps; 0 means ten seconds
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	var errs []error
	for s, keep := range c.Keep {
		if keep < 0 {
			errs = append(errs, fmt.Errorf("keep of %v: want 0 or more, not %v", s, keep))
		}
	}
	if c.Every < 0 {
		errs = append(errs, fmt.Errorf("retain.every: want 0 or more, not %v", c.Every))
	}
	return errors.Join(errs...)
}

// Floors is what the sweeper stands on. Board may be nil.
type Floors struct {
	Ledger *ledger.Ledger
	Disk   *disk.Disk
	Clock  *media.Clock
	Board  *health.Board
	Log    *slog.Logger
}

// Sweeper deletes.
type Sweeper struct {
	cfg Config
	Floors

	mu     sync.Mutex
	wished map[id.Camera]time.Duration // shorter than Keep, from the portal

	leapt time.Time // since when the clock has been ahead of what is believed; zero when it is not
}

// New prepares a sweeper.
func New(cfg Config, on Floors) (*Sweeper, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure retention: %w", err)
	}
	if cfg.Every == 0 {
		cfg.Every = 10 * time.Second
	}
	return &Sweeper{cfg: cfg, Floors: on, wished: map[id.Camera]time.Duration{}}, nil
}

// Apply sets what the portal wishes. A wish may shorten what the site allows, not lengthen it.
func (s *Sweeper) Apply(desire []wire.CameraDesire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.wished)
	for _, d := range desire {
		if d.KeepUs > 0 {
			s.wished[d.Camera] = time.Duration(d.KeepUs) * time.Microsecond
		}
	}
}

// keep returns how long video of a stream may be kept, 0 for as long as there is room.
func (s *Sweeper) keep(stream id.Stream) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	site, wish := s.cfg.Keep[stream], s.wished[stream.Camera]
	if site == 0 || wish != 0 && wish < site {
		return wish
	}
	return site
}

// Run sweeps until ctx ends. It returns an error only when the ledger fails.
func (s *Sweeper) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	for {
		err := s.Sweep(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("delete old video: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep deletes once what is due: left-over garbage, video that is too old, and video that must make room.
func (s *Sweeper) Sweep(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.bury, s.byAge, s.byRoom} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// batch is how many segments are deleted in one transaction.
const batch = 200

// bury unlinks what the ledger calls garbage. What can't be unlinked now stays garbage.
func (s *Sweeper) bury(ctx context.Context) error {
	garbage, err := s.Ledger.Garbage(ctx)
	if err != nil {
		return err
	}
	byVolume := map[string][]uint64{}
	for _, g := range garbage {
		byVolume[g.Volume] = append(byVolume[g.Volume], g.ID)
	}
	for _, volume := range slices.Sorted(maps.Keys(byVolume)) {
		for segments := range slices.Chunk(byVolume[volume], batch) {
			gone, err := s.Disk.Remove(volume, segments...)
			if err != nil {
				s.Log.Warn("some files can't be deleted now", "volume", volume, "error", err)
			}
			if len(gone) == 0 {
				break
			}
			if err := s.Ledger.Buried(ctx, gone); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes segments that are in the ledger.
func (s *Sweeper) remove(ctx context.Context, segments []ledger.Segment, reason wire.Reason) error {
	if len(segments) == 0 {
		return nil
	}
	if err := s.Ledger.Condemn(ctx, segments, reason); err != nil {
		return err
	}
	return s.bury(ctx)
}

// byAge deletes what is older than its stream allows.
func (s *Sweeper) byAge(ctx context.Context) error {
	now, err := s.believed(ctx)
	if err != nil || now == 0 {
		return err
	}
	stats, err := s.Ledger.StreamStats(ctx)
	if err != nil {
		return err
	}
	for _, stream := range slices.SortedFunc(maps.Keys(stats), func(a, b id.Stream) int { return cmp.Compare(a.String(), b.String()) }) {
		keep := s.keep(stream)
		if keep == 0 {
			continue
		}
		for {
			old, err := s.Ledger.EndedBefore(ctx, stream, now-keep.Microseconds(), batch)
			if err != nil {
				return err
			}
			free := s.unpinned(old)
			if err := s.remove(ctx, free, wire.Expired); err != nil {
				return err
			}
			// What is pinned comes first the next time too: what lies behind it waits for the pin.
			if len(old) < batch || len(free) < len(old) {
				break
			}
		}
	}
	return nil
}

func (s *Sweeper) unpinned(segments []ledger.Segment) []ledger.Segment {
	return slices.DeleteFunc(slices.Clone(segments), func(g ledger.Segment) bool { return s.Disk.Pinned(g.Stream, g.StartUs, g.EndUs) })
}

const (
	metaNow  = "retain_now_us" // the newest wall time that was believed
	leap     = 25 * time.Hour
	patience = 24 * time.Hour
)

// believed returns the wall time by which age is counted, or 0 while that is in doubt: a clock that is more
// than a day ahead of where it was is believed after it has said so for a day.
func (s *Sweeper) believed(ctx context.Context) (int64, error) {
	text, err := s.Ledger.Meta(ctx, metaNow)
	if err != nil {
		return 0, err
	}
	now := s.Clock.Now()
	last, err := strconv.ParseInt(text, 10, 64)
	ahead := time.Duration(now-last) * time.Microsecond
	if err == nil && ahead > leap {
		if s.leapt.IsZero() {
			s.leapt = time.Now()
			s.Log.Warn("the clock is far ahead of where it was: deletion by age waits a day", "ahead", ahead)
		}
		if time.Since(s.leapt) < patience {
			return 0, nil
		}
	}
	s.leapt = time.Time{}
	// One write a minute is enough for a limit of a day.
	if err == nil && ahead >= 0 && ahead < time.Minute {
		return now, nil
	}
	return now, s.Ledger.SetMeta(ctx, metaNow, strconv.FormatInt(now, 10))
}

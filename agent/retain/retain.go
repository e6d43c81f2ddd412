// Package retain is the room that decides what goes and what stays: it deletes video that is older than it may be
// kept, what a camera has above its share, and the oldest of all cameras when a volume has no room left; and it
// keeps the holds, ranges that nothing may delete.
//
// It promises that a full disk is a normal state: deletion begins when the disk asks for room, first what the cloud
// knows of, then what it does not, then what clips still need (they become lost), never what is held. Deleted video
// leaves a fact for the cloud, and a crash in the middle leaves nothing behind (row, garbage row, unlink, folder
// flushed, garbage row dropped). A limit that was made stricter waits a day, a clock that leaps ahead deletes
// nothing for a day, and deletion that frees no room stops. It never deletes anything because of the network.
package retain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
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
	Limits  map[id.Camera]Limit // of the site; a camera without an entry has none
	Every   time.Duration       // between two sweeps that nobody asked for; 0 means ten seconds
	Ballast int64               // bytes kept for the ledger beside it; 0 means none
}

// Limit is how much video of a camera is kept, of both streams together; 0 means as long as there is room.
type Limit struct {
	Keep  time.Duration
	Bytes int64 // at most so many
	Share int   // and at most so many hundredths of what the volumes may take
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	var errs []error
	for cam, l := range c.Limits {
		if l.Keep < 0 || l.Bytes < 0 || l.Share < 0 || l.Share > 100 {
			errs = append(errs, fmt.Errorf("limits of %v: want times and sizes of 0 or more, and a share of 0 to 100, not %+v", cam, l))
		}
	}
	if c.Every < 0 || c.Ballast < 0 {
		errs = append(errs, errors.New("retain: every and ballast want 0 or more"))
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
	holds *Holds
	asked chan struct{}

	deleting sync.Mutex // from the choice of what goes to the row that is gone: a hold is kept from its beginning on

	mu      sync.Mutex
	wished  map[id.Camera]Limit // stricter than the site's, from the portal
	account account             // what is kept, newly counted once a minute
	limits  limits              // in force, and waiting; of the cameras' the sweeping goroutine's alone

	leapt  time.Time            // since when the clock has been ahead of what is believed; zero when it is not
	guards map[string]*guard    // by volume
	fronts map[string]heldFront // by volume
	quiet  map[string]time.Time // when something was last said
}

// New prepares a sweeper. holds are the holds of the site.
func New(cfg Config, holds *Holds, on Floors) (*Sweeper, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure retention: %w", err)
	}
	if cfg.Every == 0 {
		cfg.Every = 10 * time.Second
	}
	s := &Sweeper{
		cfg: cfg, Floors: on, holds: holds, asked: make(chan struct{}, 1), wished: map[id.Camera]Limit{},
		guards: map[string]*guard{}, fronts: map[string]heldFront{}, quiet: map[string]time.Time{},
	}
	on.Disk.OnLow(s.Ask)
	return s, nil
}

// Apply sets the limits that the portal wishes. A wish may be stricter than the site's limit, not looser.
func (s *Sweeper) Apply(desire []wire.CameraDesire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.wished)
	for _, d := range desire {
		s.wished[d.Camera] = Limit{Keep: wire.Micros(max(d.KeepUs, 0)), Share: min(max(d.SharePct, 0), 100)}
	}
}

// Ask has room made at once instead of with the next sweep; it does not wait.
func (s *Sweeper) Ask() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// Run sweeps until ctx ends. It returns an error only when the ledger fails.
func (s *Sweeper) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	sweep := s.Sweep
	for {
		err := sweep(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("delete old video: %w", err)
		}
		select {
		case <-s.asked:
			sweep = s.urgent
		case <-tick.C:
			sweep = s.Sweep
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep deletes once what is due: left-over garbage, video that is too old or too much, and video that must make
// room.
func (s *Sweeper) Sweep(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.bury, s.weighHolds, s.settle, s.byRoom, s.byAge, s.byShare, s.count, s.ballast} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// urgent makes room without the rest of a sweep, and counts anew what a hold has changed.
func (s *Sweeper) urgent(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.weighHolds, s.byRoom, s.count} {
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
			if err != nil && s.may("bury "+volume) {
				s.Log.Warn("some files can't be deleted now", "volume", volume, "files", len(byVolume[volume]), "error", err)
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

// may says whether something that comes again and again may be said now: once a minute.
func (s *Sweeper) may(what string) bool {
	now := time.Now()
	if last, said := s.quiet[what]; said && now.Sub(last) < time.Minute {
		return false
	}
	s.quiet[what] = now
	return true
}

// remove deletes those of the segments that nothing keeps, and returns them.
func (s *Sweeper) remove(ctx context.Context, segments []ledger.Segment, keep func(ledger.Segment) bool) ([]ledger.Segment, error) {
	s.deleting.Lock()
	chosen := slices.DeleteFunc(slices.Clone(segments), func(g ledger.Segment) bool { return s.kept(g) || keep(g) })
	var err error
	if len(chosen) > 0 {
		err = s.Ledger.Condemn(ctx, chosen, wire.Expired)
	}
	s.deleting.Unlock()
	if err != nil || len(chosen) == 0 {
		return nil, err
	}
	return chosen, s.bury(ctx)
}

// kept says whether a segment is held, or somebody reads it.
func (s *Sweeper) kept(g ledger.Segment) bool {
	return s.holds.Cover(g.Stream.Camera, g.StartUs, g.EndUs) || s.Disk.Pinned(g.Stream, g.StartUs, g.EndUs)
}

// needs are the clips that are not cut yet, whose video they still need.
type needs []ledger.Clip

func (s *Sweeper) needs(ctx context.Context) (needs, error) {
	return s.Ledger.Clips(ctx, wire.ClipWanted, wire.ClipCutting)
}

// of returns the clips that need a segment.
func (n needs) of(g ledger.Segment) (out []ledger.Clip) {
	for _, c := range n {
		if o := c.Order; c.Source() == g.Stream && o.StartUs < g.EndUs && g.StartUs < o.EndUs {
			out = append(out, c)
		}
	}
	return out
}

func (n needs) any(g ledger.Segment) bool { return len(n.of(g)) > 0 }

// ballast keeps the room beside the ledger, and says when it is gone.
func (s *Sweeper) ballast(context.Context) error {
	if s.cfg.Ballast == 0 {
		return nil
	}
	here, err := s.Ledger.KeepBallast(s.cfg.Ballast)
	if err != nil && s.may("ballast") {
		s.Log.Warn("keep room for the ledger", "error", err)
	}
	if s.Board == nil {
		return nil
	}
	c := health.Condition{Name: "ledger", State: wire.OK}
	if !here {
		c.State, c.Reason = wire.Failing, wire.DiskFailed
		c.Text = "The disk that holds the agent's data folder is full: its last reserve is in use. Delete something there, or move the folder to a bigger disk."
	}
	s.Board.Set(c)
	return nil
}

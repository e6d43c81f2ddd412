// Package disk is the floor on which video files stand: volumes with an identity, files named by segment
// number, flush rounds, free space, and pins.
//
// It promises that every path is made of numbers alone and stays inside its volume, that nothing is written to
// a folder that is not the volume it was (an unmounted disk, another disk at the same place), that all files
// of a volume are flushed together twice a second, and that a file whose flush has failed is never flushed
// again. A volume that can't be used is said so and looked at again; the others go on.
// It knows no codecs and no database, and it never decides what is deleted.
package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/agent/health"
	"holdfast/shared/wire"
)

// Errors that callers branch on; they come wrapped.
var (
	ErrNoVolume = errors.New("no volume can take video now")
	ErrFull     = errors.New("the volume is full")
	ErrHeld     = fmt.Errorf("%w of video that must be kept", ErrFull)
	ErrFailed   = errors.New("the file has failed before")
	ErrAbsent   = errors.New("the volume is not here")
)

// Config names the volumes.
type Config struct {
	Volumes []Volume
	// State is the file in which the agent remembers which volumes are its own; it belongs on the disk of the
	// ledger, not on a volume.
	State string
	Flush time.Duration // between two flush rounds of a volume; 0 means half a second
	Look  time.Duration // between two looks at free space and identity; 0 means five seconds
	Rest  time.Duration // how long a volume gets no new file after a failure; 0 means ten seconds
	Fault Fault         // nil outside tests
	FS    FS            // nil outside tests: the system's
	// ReadOnly is for who only looks, perhaps beside a running agent: no volume is begun, no name is made or
	// flushed, nothing is remembered. Create on a volume must be off.
	ReadOnly bool
}

// Volume is one folder for video, usually the mount point of a disk.
type Volume struct {
	Path string
	// Create allows to begin a new volume in a folder that this agent has never used and that holds no video
	// yet. A folder that was a volume and has lost its identity is refused all the same.
	Create bool
	Free   int64 // bytes that stay free; 0 means the larger of 2 GB and 5 % of the volume
	Max    int64 // bytes of video at most; 0 means what Free leaves
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	var errs []error
	if c.State == "" {
		errs = append(errs, errors.New("disk.state: is empty: name the file that remembers the volumes"))
	}
	if len(c.Volumes) == 0 {
		errs = append(errs, errors.New("volumes: is empty: name a folder for video"))
	}
	seen := map[string]bool{}
	for i, v := range c.Volumes {
		if !filepath.IsAbs(v.Path) {
			errs = append(errs, fmt.Errorf("volumes[%d].path: want an absolute path, not %q", i, v.Path))
		}
		if seen[filepath.Clean(v.Path)] {
			errs = append(errs, fmt.Errorf("volumes[%d].path: %s is listed twice", i, v.Path))
		}
		seen[filepath.Clean(v.Path)] = true
		if v.Free < 0 || v.Max < 0 {
			errs = append(errs, fmt.Errorf("volumes[%d]: free and max want sizes of 0 or more", i))
		}
	}
	return errors.Join(errs...)
}

// Op names an operation on a file, for the fault hook.
type Op string

// The operations that a Fault can fail.
const (
	OpMount  Op = "mount"
	OpCreate Op = "create"
	OpWrite  Op = "write"
	OpFlush  Op = "flush"
	OpFolder Op = "folder" // making a folder's names durable
	OpRead   Op = "read"   // opening a file to read it
	OpRemove Op = "remove"
)

// Fault is asked before each operation; an error fails the operation in its place. Segment is 0 where there is
// none.
type Fault func(op Op, segment uint64) error

// Disk holds the volumes. Safe for concurrent use.
type Disk struct {
	cfg     Config
	board   *health.Board
	log     *slog.Logger
	volumes []*volume
	pins    pins
	memory  sync.Mutex // held while cfg.State is rewritten

	mu      sync.Mutex
	flushed func(Round)
	low     func()
	owners  map[string]*volume // by ID: which of the paths is used for it
}

// Open looks at the volumes. One that can't be used is not an error: it is said on the board under "disk" and
// looked at again while Run runs. board may be nil.
func Open(cfg Config, board *health.Board, log *slog.Logger) (*Disk, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open disk: %w", err)
	}
	if cfg.Flush == 0 {
		cfg.Flush = time.Second / 2 // a part of one second, this, and the round itself: what a power cut costs
	}
	if cfg.Look == 0 {
		cfg.Look = 5 * time.Second
	}
	if cfg.Rest == 0 {
		cfg.Rest = 10 * time.Second
	}
	if cfg.FS == nil {
		cfg.FS = osFS{}
	}
	d := &Disk{cfg: cfg, board: board, log: log, owners: map[string]*volume{}}
	for _, v := range cfg.Volumes {
		d.volumes = append(d.volumes, &volume{cfg: v, disk: d, files: map[*File]struct{}{}})
	}
	d.look()
	return d, nil
}

// OnFlushed sets the function that hears of each flush round, from one goroutine per volume. It must be called
// before Run, at most once.
func (d *Disk) OnFlushed(fn func(Round)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flushed = fn
}

// Run flushes and looks after the volumes until ctx ends, then flushes once more.
func (d *Disk) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, v := range d.volumes {
		group.Go(func() error {
			v.run(ctx)
			return nil
		})
	}
	group.Go(func() error {
		tick := time.NewTicker(d.cfg.Look)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.look()
			case <-ctx.Done():
				return nil
			}
		}
	})
	return group.Wait()
}

// Close lets go of the volumes. Files that are open stay usable.
func (d *Disk) Close() error {
	var errs []error
	for _, v := range d.volumes {
		errs = append(errs, v.unmount())
	}
	return errors.Join(errs...)
}

// patience is how long a disk may take to answer before it counts as one that does not.
const patience = 5 * time.Second

// look has every volume looked at and tells the board. One that does not answer is waited for once, and then has its
// state when it has it.
func (d *Disk) look() {
	for _, v := range d.volumes {
		done, began := v.beginLook()
		wait := time.NewTimer(patience - time.Since(began))
		select {
		case <-done:
		case <-wait.C:
		}
		wait.Stop()
	}
	var faults []string
	for _, v := range d.volumes {
		err := v.trouble()
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", v.cfg.Path, err))
		}
		v.report(err)
	}
	if d.board == nil {
		return
	}
	c := health.Condition{Name: "disk", State: wire.OK}
	if len(faults) > 0 {
		c.State, c.Reason, c.Text = wire.Failing, wire.DiskFailed, strings.Join(faults, "; ")
	}
	d.board.Set(c)
}

// claim makes v the one that is used for a volume's ID, unless another one is: the path of that one is returned.
func (d *Disk) claim(name string, v *volume) (other string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if owner := d.owners[name]; owner != nil && owner != v {
		return owner.cfg.Path, false
	}
	d.owners[name] = v
	return "", true
}

// disclaim says that v is no volume for now.
func (d *Disk) disclaim(v *volume) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.owners, func(_ string, owner *volume) bool { return owner == v })
}

// Status describes one volume.
type Status struct {
	ID      string // empty while the volume has never been seen
	Path    string
	Err     error // why it can't be used now
	Total   int64 // bytes of the file system
	Free    int64 // bytes free
	Reserve int64 // bytes that shall stay free: the configured ones, or what is written in ten seconds
	Names   int64 // files that must go so that some names stay free; 0 where there is no lack of them
	Older   bool  // its files are from before what the ledger knows: see Compared
	Refused bool  // the system found no room lately, whatever was measured
	Max     int64 // bytes of video at most; 0 without such a bound
	Round   time.Duration
	Slowest time.Duration // longest flush round since the start
}

// Volumes returns the state of every volume, in the order of the configuration.
func (d *Disk) Volumes() []Status {
	out := make([]Status, 0, len(d.volumes))
	for _, v := range d.volumes {
		out = append(out, v.status())
	}
	return out
}

// Space returns the sums over the volumes that can be used: bytes in all and bytes free.
func (d *Disk) Space() (total, free int64) {
	for _, s := range d.Volumes() {
		if s.ID != "" && s.Err == nil {
			total += s.Total
			free += s.Free
		}
	}
	return total, free
}

// volume returns the mounted volume with that ID.
func (d *Disk) volume(name string) (*volume, error) {
	for _, v := range d.volumes {
		if v.is(name) {
			return v, nil
		}
	}
	return nil, fmt.Errorf("volume %s: %w", name, ErrAbsent)
}

func (d *Disk) fault(op Op, segment uint64) error {
	if d.cfg.Fault == nil {
		return nil
	}
	return d.cfg.Fault(op, segment)
}

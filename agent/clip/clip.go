// Package clip is the agent's room of clips: it cuts wanted ranges out of segments and uploads them by parts.
//
// It owns a clip's life at the site: wanted, cutting, queued, uploading, gone. It promises that a clip is cut
// exactly (by edit list, from whole parts, so that it verifies without the original), that it is safe from
// retention once it is cut, that an upload goes on by part after any interruption, and that nothing is
// substituted silently: a range without video is unavailable, and the nearest video is named; only where a person
// wished it, a clip that the line can't carry in time is cut from the sub stream, and says so. It tells beforehand
// which clips retention will take before they can be sent. It never re-encodes video; G.711 sound becomes Opus, since
// browsers do not play G.711 in MP4.
package clip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config says where cut clips wait.
type Config struct {
	Dir  string        // folder for cut clips, made if missing
	Late time.Duration // how long after its end a clip is cut at the earliest, so that its last part is durable; 0 means 4 s
	// Seal is how long after its end a clip waits for the segments that it is cut from to be closed and signed.
	// A clip of an open segment shows the same, but nobody can verify it. 0 means not at all.
	Seal  time.Duration
	Free  int64          // bytes that a cut leaves free on the disk of Dir; 0 means 512 MiB
	Retry backoff.Policy // waits after a cut or an upload that failed; Min 0 means 2 s to 5 min and 1 s to 30 s
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("clip.dir: is missing"))
	}
	if c.Late < 0 || c.Seal < 0 || c.Free < 0 {
		errs = append(errs, errors.New("clip: times and sizes want 0 or more"))
	}
	return errors.Join(errs...)
}

// maxClip is the longest clip that is cut.
const maxClip = 6 * time.Hour

// ErrGone is what a Sender returns for a clip that the cloud does not want any more.
var ErrGone = errors.New("the cloud does not want the clip any more")

// Sender is how a clip reaches the cloud.
type Sender interface {
	// Begin announces a cut clip and returns which parts are missing. It fails with ErrGone.
	Begin(ctx context.Context, clip id.Clip, b wire.ClipBegin) (wire.ClipPlan, error)
	// Put sends one part: size bytes of body, with the SHA-256 that was announced.
	Put(ctx context.Context, p wire.PartPlan, body io.ReadSeeker, size int64, sum []byte) error
	// Complete says that every part was sent; nil means that the cloud has verified and stored the clip.
	Complete(ctx context.Context, clip id.Clip, c wire.ClipComplete) error
}

// File is an open segment.
type File interface {
	io.ReaderAt
	io.Closer
}

// Deps are what the room stands on.
type Deps struct {
	Ledger *ledger.Ledger
	Sender Sender
	// Open opens a segment and returns its present size in bytes.
	Open func(volume string, segment uint64) (File, int64, error)
	// Now returns the present wall time on the run's timeline, microseconds since 1970.
	Now func() int64
	// Camera reports whether the site has this camera.
	Camera func(id.Camera) bool
	// Keep returns how long video of a camera is kept, 0 when that is not known; nil means that for all.
	Keep func(id.Camera) time.Duration
	Log  *slog.Logger

	// Board gets the condition "clips", which fails before a chosen clip is lost; nil: nothing is foreseen. Then these are
	// needed, too: Line returns what the line carries for clips, bytes per second, and false while nobody knows; Rate what a
	// stream brings that is recorded, bytes per second, else 0; Name the name of a camera.
	Board *health.Board
	Line  func() (float64, bool)
	Rate  func(id.Stream) float64
	Name  func(id.Camera) string
}

// Room cuts and uploads, one clip at a time each.
type Room struct {
	Deps
	cfg    Config
	part   int64 // bytes of each part but the last
	toCut  chan struct{}
	toSend chan struct{}
	again  map[id.Clip]*retry // cuts that failed; the cutting goroutine's alone
	failed map[id.Clip]int    // uploads that failed, and how often; the sending goroutine's alone
	narrow narrow             // the sending goroutine's alone

	toForesee chan struct{}

	mu     sync.Mutex
	sums   map[id.Clip]wire.ClipBegin // of cut clips whose parts have been summed
	down   map[id.Camera]bool         // cameras whose clips may be cut from the sub stream
	small  map[id.Clip]bool           // clips that are to be; nil: nobody has worked it out yet
	losses []Loss                     // that are foretold
}

// New makes the folder for cut clips and returns the room.
func New(cfg Config, deps Deps) (*Room, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure clips: %w", err)
	}
	if cfg.Late == 0 {
		cfg.Late = 4 * time.Second
	}
	if cfg.Free == 0 {
		cfg.Free = 512 << 20
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for clips: %w", err)
	}
	return &Room{
		Deps: deps, cfg: cfg, part: partBytes, toCut: make(chan struct{}, 1), toSend: make(chan struct{}, 1), toForesee: make(chan struct{}, 1),
		again: map[id.Clip]*retry{}, failed: map[id.Clip]int{}, sums: map[id.Clip]wire.ClipBegin{},
	}, nil
}

// Order takes a wish of the cloud. A known one may change its range, until it is being cut, and its priority; one that
// has come to nothing is said again. The error is a *wire.Failure when the wish is at fault.
func (r *Room) Order(ctx context.Context, o wire.ClipOrder) error {
	if err := r.check(o); err != nil {
		return err
	}
	fresh, err := r.Ledger.PutClip(ctx, o)
	if err != nil {
		return err
	}
	nudge(r.toCut)
	if !fresh {
		return r.repeat(ctx, o.Clip)
	}
	return nil
}

func (r *Room) check(o wire.ClipOrder) error {
	const day = int64(24 * time.Hour / time.Microsecond)
	_, err := id.Parse[id.Clip](string(o.Clip))
	switch {
	case err != nil:
		return wire.Fail(wire.FailedRefused, "The order names no clip: %v.", err)
	case o.Stream != id.Main && o.Stream != id.Sub:
		return wire.Fail(wire.FailedRefused, "A camera has no stream %q.", o.Stream)
	case o.StartUs <= 0 || o.EndUs <= o.StartUs:
		return wire.Fail(wire.FailedRefused, "A clip ends after it begins.")
	case o.EndUs-o.StartUs > maxClip.Microseconds():
		return wire.Fail(wire.FailedRefused, "A clip may be %d hours long at most. Ask for several.", int(maxClip.Hours()))
	case o.EndUs > r.Now()+day:
		return wire.Fail(wire.FailedRefused, "The clip ends more than a day in the future, by the site's clock.")
	}
	return nil
}

// repeat tells the cloud again what became of a clip that has come to nothing: it would not ask if it knew.
func (r *Room) repeat(ctx context.Context, clip id.Clip) error {
	ended, err := r.Ledger.Clips(ctx, wire.ClipUnavailable, wire.ClipLost)
	if err != nil {
		return err
	}
	for _, c := range ended {
		if c.Order.Clip == clip {
			return r.settle(ctx, c, true)
		}
	}
	return nil
}

// Drop forgets a clip that is no longer wanted.
func (r *Room) Drop(ctx context.Context, clip id.Clip) error {
	if _, err := id.Parse[id.Clip](string(clip)); err != nil {
		return wire.Fail(wire.FailedRefused, "The order names no clip: %v.", err)
	}
	r.mu.Lock()
	delete(r.sums, clip)
	r.mu.Unlock()
	return errors.Join(r.Ledger.DropClip(ctx, clip), remove(r.path(clip)))
}

// Opened says that the cloud can be reached: uploads go on at once.
func (r *Room) Opened() { nudge(r.toSend) }

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func fileOf(clip id.Clip) string { return string(clip) + ".mp4" }

func (r *Room) path(clip id.Clip) string { return filepath.Join(r.cfg.Dir, fileOf(clip)) }

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove cut clip: %w", err)
	}
	return nil
}

// settle writes a clip's state, and tells the cloud when announce is set. The error wraps ledger.ErrNotFound when the
// clip was dropped meanwhile.
func (r *Room) settle(ctx context.Context, c ledger.Clip, announce bool) error {
	c.Fact.AtUs = r.Now()
	return r.Ledger.SetClip(ctx, c, announce)
}

// Run cuts and uploads until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	if err := r.tidy(ctx); err != nil {
		return err
	}
	var sending sync.WaitGroup
	sending.Go(func() { r.sendAll(ctx) })
	sending.Go(func() { r.watch(ctx) })
	r.cutAll(ctx)
	sending.Wait()
	return nil
}

// tidy removes files that no clip in the ledger owns: what a crash left behind.
func (r *Room) tidy(ctx context.Context) error {
	known, err := r.Ledger.Clips(ctx, wire.ClipQueued, wire.ClipUploading)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, c := range known {
		keep[fileOf(c.Order.Clip)] = true
	}
	entries, err := os.ReadDir(r.cfg.Dir)
	if err != nil {
		r.Log.Warn("look through the folder of clips", "error", err)
	}
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		if err := remove(filepath.Join(r.cfg.Dir, e.Name())); err != nil {
			r.Log.Warn("tidy the folder of clips", "error", err)
		}
	}
	return nil
}

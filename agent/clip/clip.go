// Package clip is the agent's room of clips: it cuts wanted ranges out of segments and uploads them by parts.
//
// It owns a clip's life at the site: wanted, cutting, queued, uploading, gone. It promises that a clip is cut
// exactly (by edit list, from whole parts, so that it verifies without the original), that it is safe from
// retention once it is cut, that an upload goes on by part after any interruption, and that nothing is
// substituted: a range without video is unavailable, and the nearest video is named. It never re-encodes video;
// G.711 sound becomes Opus, since browsers do not play G.711 in MP4.
package clip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config says where cut clips wait.
type Config struct {
	Dir  string        // folder for cut clips, made if missing
	Late time.Duration // how long after its end a clip is cut, so that its last part is durable; 0 means 4 s
}

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
	Log    *slog.Logger
}

// Room cuts and uploads, one clip at a time each.
type Room struct {
	Deps
	cfg    Config
	toCut  chan struct{}
	toSend chan struct{}
}

// New makes the folder for cut clips and returns the room.
func New(cfg Config, deps Deps) (*Room, error) {
	if cfg.Late == 0 {
		cfg.Late = 4 * time.Second
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for clips: %w", err)
	}
	return &Room{Deps: deps, cfg: cfg, toCut: make(chan struct{}, 1), toSend: make(chan struct{}, 1)}, nil
}

// Order takes a wish of the cloud; a known one changes nothing.
func (r *Room) Order(ctx context.Context, o wire.ClipOrder) error {
	if _, err := id.Parse[id.Clip](string(o.Clip)); err != nil {
		return err
	}
	if o.EndUs-o.StartUs > (6 * time.Hour).Microseconds() {
		return errors.New("a clip may be 6 hours long at most")
	}
	if _, err := r.Ledger.PutClip(ctx, o); err != nil {
		return err
	}
	nudge(r.toCut)
	return nil
}

// Drop forgets a clip that is no longer wanted.
func (r *Room) Drop(ctx context.Context, clip id.Clip) error {
	if _, err := id.Parse[id.Clip](string(clip)); err != nil {
		return err
	}
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

func (r *Room) path(clip id.Clip) string { return filepath.Join(r.cfg.Dir, string(clip)+".mp4") }

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove cut clip: %w", err)
	}
	return nil
}

// Run cuts and uploads until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	if err := r.tidy(ctx); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.sendAll(ctx)
	}()
	r.cutAll(ctx)
	<-done
	return nil
}

// tidy removes files that no clip in the ledger owns: what a crash left behind.
func (r *Room) tidy(ctx context.Context) error {
	known, err := r.Ledger.Clips(ctx)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, c := range known {
		if c.State == wire.ClipQueued || c.State == wire.ClipUploading {
			keep[filepath.Base(r.path(c.Order.Clip))] = true
		}
	}
	entries, err := os.ReadDir(r.cfg.Dir)
	if err != nil {
		return fmt.Errorf("read folder of clips: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !keep[e.Name()] {
			errs = append(errs, remove(filepath.Join(r.cfg.Dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// cutAll cuts what is wanted, each when its end is durable.
func (r *Room) cutAll(ctx context.Context) {
	for ctx.Err() == nil {
		wait := r.cutDue(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-r.toCut:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// cutDue cuts every clip whose time has come and returns how long to wait for the next.
func (r *Room) cutDue(ctx context.Context) time.Duration {
	wanted, err := r.Ledger.Clips(ctx, wire.ClipWanted, wire.ClipCutting)
	if err != nil {
		if ctx.Err() == nil {
			r.Log.Error("read wanted clips", "error", err)
		}
		return 10 * time.Second
	}
	wait := time.Minute
	for _, c := range wanted {
		ready := time.Duration(c.Order.EndUs-r.Now())*time.Microsecond + r.cfg.Late
		if ready > 0 {
			wait = min(wait, ready)
			continue
		}
		if err := r.cut(ctx, c); err != nil && ctx.Err() == nil {
			r.Log.Error("cut clip; it is tried again", "clip", c.Order.Clip, "error", err)
			wait = min(wait, 10*time.Second)
		}
	}
	return wait
}

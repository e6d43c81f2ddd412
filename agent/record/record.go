// Package record is the room in which frames become files: it takes the frames of every recorded stream from
// its media.Hub, writes them as segments of fragmented MP4 (FORMAT.md), and keeps the ledger's account of
// every moment.
//
// It owns the run: its beginning, its clock and its end. It promises that from the run's beginning on each
// recorded stream is at every moment either inside a segment or inside a gap with a reason; that a segment
// ends exactly where the next one begins; that what a crash or a failing disk left is cut to what holds,
// sealed and declared; and that it never waits for the network. A slow disk makes it drop whole groups of
// pictures, which is declared too. It never re-encodes and never deletes video.
package record

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// Config says what is recorded, and how.
type Config struct {
	Site    id.Site
	Hubs    []*media.Hub       // of the streams that are recorded
	Key     ed25519.PrivateKey // the site's evidence key: every closed segment is signed with it
	BootID  string             // of the host's start, see BootID
	Version string             // of the agent

	Segment  time.Duration // a segment ends at the first key frame after so long; 0 means 60 seconds
	MaxBytes int64         // and never grows beyond this; 0 means 256 MiB
	Part     time.Duration // length of a part at most; 0 means one second
	Queue    int64         // bytes of frames that may wait for a slow disk, all streams together; 0 means 256 MiB
	Retry    backoff.Policy

	// EndedBy says why the run ends when Run's context does; nil means agent_stopped.
	EndedBy func() wire.Reason
	// Offset returns the measured error of the site's clock (microseconds to add to it), and whether it was
	// ever measured; nil means never.
	Offset func() (us int64, known bool)
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Key) != ed25519.PrivateKeySize {
		fault("record.key: the site's evidence key is missing")
	}
	if c.Segment < 0 || c.Part < 0 || c.MaxBytes < 0 || c.Queue < 0 {
		fault("record: lengths and sizes want 0 or more")
	}
	if c.MaxBytes > math.MaxInt32 {
		fault("record.max_bytes: want at most 2 GiB")
	}
	seen := map[id.Stream]bool{}
	for i, h := range c.Hubs {
		if h == nil || seen[h.Stream()] {
			fault("record.hubs[%d]: is missing, or another one has its stream", i)
			continue
		}
		seen[h.Stream()] = true
	}
	return errors.Join(errs...)
}

func (c *Config) fill() {
	if c.Segment == 0 {
		c.Segment = time.Minute
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 256 << 20
	}
	if c.Part == 0 {
		c.Part = time.Second
	}
	if c.Queue == 0 {
		c.Queue = 256 << 20
	}
	if c.Retry.Min == 0 {
		c.Retry = backoff.Policy{Min: time.Second, Cap: 30 * time.Second}
	}
	if c.EndedBy == nil {
		c.EndedBy = func() wire.Reason { return wire.AgentStopped }
	}
	if c.Offset == nil {
		c.Offset = func() (int64, bool) { return 0, false }
	}
}

// Floors is what the recorder stands on. Board may be nil.
type Floors struct {
	Ledger *ledger.Ledger
	Disk   *disk.Disk
	Clock  *media.Clock
	Board  *health.Board
	Log    *slog.Logger
}

// Recorder records the streams of a site. Begin first, then Run.
type Recorder struct {
	cfg Config
	Floors
	streams []*stream
	byName  map[id.Stream]*stream
	fatal   chan error
	first   uint64          // numbers of segments below it are from before this run
	looked  map[string]bool // volumes on which files were looked for that the ledger does not know
	torn    atomic.Bool     // a segment was given up and waits to be mended
	buffers buffers

	mu   sync.Mutex
	open map[uint64]*segment // being written now
	top  uint64              // highest that was ever in open
}

// New prepares a recorder.
func New(cfg Config, on Floors) (*Recorder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure recorder: %w", err)
	}
	cfg.fill()
	r := &Recorder{
		cfg: cfg, Floors: on, byName: map[id.Stream]*stream{}, open: map[uint64]*segment{}, fatal: make(chan error, 1),
		looked: map[string]bool{},
	}
	for _, h := range cfg.Hubs {
		s := newStream(r, h)
		r.streams = append(r.streams, s)
		r.byName[h.Stream()] = s
	}
	on.Disk.OnFlushed(r.flushed)
	return r, nil
}

// Run records until ctx ends; then it closes the segments and ends the run. It returns an error only when the
// ledger fails, which is the whole agent's failure. The disk and the ledger must outlive it.
func (r *Recorder) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range r.streams {
		defer s.attach()()
		group.Go(func() error { return s.run(ctx) })
	}
	group.Go(func() error { return r.rouse(ctx) })
	group.Go(func() error { return r.tend(ctx) })
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, r.Ledger.EndRun(end, r.Clock.Run(), r.Clock.Mono(), r.cfg.EndedBy()))
}

// rouse tells the streams that stand still: one ticker for all of them, since few ever do.
func (r *Recorder) rouse(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Part / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for _, s := range r.streams {
			if s.reader.Still() {
				select {
				case s.still <- struct{}{}:
				default:
				}
			}
		}
	}
}

// tend does what comes round: health every second, signs of life, the clock and left-over segments more
// seldom.
func (r *Recorder) tend(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	swollen := false
	for n := 1; ; n++ {
		select {
		case err := <-r.fatal:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		r.review()
		swollen = r.shrink(swollen)
		var err error
		switch {
		case n%60 == 30 || r.torn.Swap(false):
			err = r.mend(ctx)
		case n%10 == 0:
			err = r.mindClock(ctx)
		case n%5 == 0:
			// Flush rounds say how far the run has come; without recording nobody else does.
			err = r.Ledger.Flushed(ctx, r.Clock.Mono(), nil)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("tend recording: %w", err)
		}
	}
}

// shrink gives memory back as soon as the frames that a slow disk kept waiting are written: left alone, the
// collector would let as much again come together first. It returns whether many wait now.
func (r *Recorder) shrink(swollen bool) bool {
	waiting := int64(0)
	for _, s := range r.streams {
		waiting += int64(s.reader.Waiting())
	}
	if waiting > r.cfg.Queue/2 {
		return true
	}
	if swollen {
		debug.FreeOSMemory()
	}
	return false
}

// flushed hears of a flush round: it moves the durable end of each segment in the ledger.
func (r *Recorder) flushed(round disk.Round) {
	var out []ledger.Durable
	var segments []*segment
	r.mu.Lock()
	for _, f := range round.Files {
		if s := r.open[f.Segment]; s != nil {
			if whole, us := s.safe(f.Bytes); whole > 0 {
				out, segments = append(out, ledger.Durable{ID: f.Segment, DurableUs: us, Bytes: whole}), append(segments, s)
			}
		}
		if f.Err != nil {
			r.Log.Error("a segment could not be flushed: it ends at what is safe", "segment", f.Segment, "error", f.Err)
		}
	}
	r.mu.Unlock()
	if err := r.Ledger.Flushed(context.Background(), r.Clock.Mono(), out); err != nil {
		select {
		case r.fatal <- err:
		default:
		}
		return
	}
	for i, s := range segments {
		s.noted.Store(out[i].DurableUs)
	}
}

func (r *Recorder) opened(s *segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[s.header.Segment] = s
	r.top = max(r.top, s.header.Segment)
}

func (r *Recorder) closed(s *segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, s.header.Segment)
}

// givenUp returns which of the ledger's open segments nobody is writing. It must be asked for before the ledger
// is, so that a segment that is closed in between is not taken for one that was given up.
func (r *Recorder) givenUp() func(segment uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	writing, top := maps.Clone(r.open), r.top
	return func(segment uint64) bool { return writing[segment] == nil && (top == 0 || segment <= top) }
}

// codecName names the tracks for a log line.
func codecName(tracks []mp4.Track) string {
	out := ""
	for i := range tracks {
		if i > 0 {
			out += ","
		}
		out += tracks[i].MIME()
	}
	return out
}

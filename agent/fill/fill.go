// Package fill is the room that closes declared gaps with footage from elsewhere: the recorder's own archive, a
// camera's memory card. The hall gives it the sources that each stream has.
//
// It promises that fetched video is marked with its origin for ever and sealed like recorded video, that nothing from
// outside the gap comes in, that no moment comes in twice, that recording goes first, and that a gap says which sources
// were asked and what they answered. What came before a fetch was cut off is kept, and the rest is asked for again. It
// never invents footage, and never touches what was recorded.
package fill

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// ErrNothing is what a Source answers when it holds no video of the range; another try is of no use.
var ErrNothing = errors.New("the source has no video of that time")

// ErrBusy is what a Source answers when it has no session to spare; another try in some minutes may find one.
var ErrBusy = errors.New("the source is busy")

// Source is a place where footage of a stream lies besides the agent's own.
type Source interface {
	// Fetch hands footage of [fromUs, toUs) wall time to take, in decoding order, from the key frame at or before fromUs
	// on if there is one. wallUs is when a frame was captured, by the site's clock; guessed says that this is not known
	// and that the first frame was taken to be of fromUs. When take returns an error, Fetch ends and returns it. Other
	// errors are sentences for a person, which wrap ErrNothing or ErrBusy where that is what they mean.
	Fetch(ctx context.Context, fromUs, toUs int64, take func(f media.Frame, wallUs int64, guessed bool) error) error
}

// Offer is one source of a stream.
type Offer struct {
	Name   string        // of the place, for people, as the footage's origin: "recorder", "card"
	Keep   time.Duration // how far back it goes; 0 means as far as gaps are looked at
	Source Source
}

// Config says whose gaps are filled, from where, and how.
type Config struct {
	Site   id.Site
	Key    ed25519.PrivateKey // the site's evidence key
	Offset func() (us int64, known bool)
	Offers map[id.Stream][]Offer // whose gaps are offered, to whom, in order

	Back   time.Duration // how far back gaps are looked at; 0 means three days, or as far as a source goes
	Every  time.Duration // between two rounds; 0 means one minute
	Settle time.Duration // so long after its end a gap is offered first; 0 means 15 s
	Retry  time.Duration // until a source that failed is asked again for the same gap, and ever longer; 0 means 30 minutes
	Piece  time.Duration // of footage that is fetched at once; 0 means ten minutes
}

func (c *Config) fill() {
	whenZero := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if c.Back == 0 {
		for _, offers := range c.Offers {
			for _, o := range offers {
				c.Back = max(c.Back, o.Keep)
			}
		}
	}
	whenZero(&c.Back, 72*time.Hour)
	whenZero(&c.Every, time.Minute)
	whenZero(&c.Settle, 15*time.Second)
	whenZero(&c.Retry, 30*time.Minute)
	whenZero(&c.Piece, 10*time.Minute)
	if c.Offset == nil {
		c.Offset = func() (int64, bool) { return 0, false }
	}
}

// Floors is what the room stands on.
type Floors struct {
	Ledger *ledger.Ledger
	Disk   *disk.Disk
	Clock  *media.Clock
	Log    *slog.Logger
}

// Filler offers gaps to sources.
type Filler struct {
	cfg Config
	Floors

	recalled bool // what earlier runs kept; Round's alone
	mu       sync.Mutex
	tries    map[int64]*try // by gap
	outlooks map[id.Stream]outlook
	now      *Fetch // nil while nothing is fetched
	today    day
}

// New prepares a Filler. Without offers it only says so.
func New(cfg Config, on Floors) *Filler {
	cfg.fill()
	return &Filler{cfg: cfg, Floors: on, tries: map[int64]*try{}, outlooks: map[id.Stream]outlook{}}
}

// Run offers gaps until ctx ends. It returns an error only when the ledger fails.
func (f *Filler) Run(ctx context.Context) error {
	if len(f.cfg.Offers) == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(f.cfg.Every)
	defer tick.Stop()
	for {
		err := f.Round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("fill gaps: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Round offers every gap that is due once. The error is the ledger's.
func (f *Filler) Round(ctx context.Context) error {
	if err := f.recall(ctx); err != nil {
		return err
	}
	now := f.Clock.Now()
	seen := map[int64]bool{}
	streams := slices.SortedFunc(maps.Keys(f.cfg.Offers), func(a, b id.Stream) int { return strings.Compare(a.String(), b.String()) })
	for _, stream := range streams {
		ranges, err := f.Ledger.Coverage(ctx, stream, now-f.cfg.Back.Microseconds(), now)
		if err != nil {
			return err
		}
		for _, r := range ranges {
			if r.Gap != nil && !r.Deleted() {
				seen[r.Gap.ID] = true
			}
		}
		holes := f.holes(ranges)
		f.look(stream, holes)
		for _, h := range holes {
			if f.due(h.gaps, len(f.cfg.Offers[stream])) {
				if err := f.offer(ctx, stream, h); err != nil {
					return err
				}
				if ranges, err = f.Ledger.Coverage(ctx, stream, now-f.cfg.Back.Microseconds(), now); err != nil {
					return err
				}
				f.look(stream, f.holes(ranges))
			}
		}
	}
	return f.forget(ctx, seen)
}

// hole is what one or more gaps that follow one another lack.
type hole struct {
	gaps []int64
	runs []run
}

// run is a range without a break.
type run struct {
	fromUs, toUs int64
	reason       wire.Reason
}

// leastUs is the shortest run that is worth a session.
const leastUs = 1_000_000

// holes joins what can be filled of a coverage: a camera that comes back leaves several gaps with different reasons, which
// are fetched as one.
func (f *Filler) holes(ranges []ledger.Range) (out []hole) {
	var h *hole
	end := int64(0)
	for _, r := range ranges {
		if r.Gap == nil || !f.fillable(r) {
			continue
		}
		joins := h != nil && (r.StartUs == end || slices.Contains(h.gaps, r.Gap.ID))
		if !joins {
			out = append(out, hole{})
			h = &out[len(out)-1]
		}
		if !slices.Contains(h.gaps, r.Gap.ID) {
			h.gaps = append(h.gaps, r.Gap.ID)
		}
		if n := len(h.runs); n > 0 && r.StartUs == end {
			h.runs[n-1].toUs = r.EndUs
		} else {
			h.runs = append(h.runs, run{r.StartUs, r.EndUs, r.Gap.Reason})
		}
		end = r.EndUs
	}
	for i := range out {
		out[i].runs = slices.DeleteFunc(out[i].runs, func(r run) bool { return r.toUs-r.fromUs < leastUs })
	}
	return slices.DeleteFunc(out, func(h hole) bool { return len(h.runs) == 0 })
}

// fillable says whether footage of a range may exist and is wanted: the gap has ended for a while, and nobody chose it; what
// the agent itself deleted is not fetched again.
func (f *Filler) fillable(r ledger.Range) bool {
	if r.Deleted() || r.Gap.EndUs == 0 || r.Gap.EndUs > f.Clock.Now()-f.cfg.Settle.Microseconds() {
		return false
	}
	switch r.Gap.Reason {
	case wire.NotConfigured, wire.Disabled, wire.Schedule, wire.Expired, wire.DeletedByPerson, wire.ClockStep:
		return false
	}
	return true
}

// offer asks the sources of a stream, in order, for what a hole lacks until nothing is lacking.
func (f *Filler) offer(ctx context.Context, stream id.Stream, h hole) error {
	for _, o := range f.cfg.Offers[stream] {
		if f.isFinal(h.gaps, o.Name) {
			continue
		}
		v, err := f.ask(ctx, stream, o, h.runs)
		if err != nil {
			return err
		}
		f.note(h.gaps, o.Name, v)
		f.Log.Info("a gap was offered", "stream", stream, "source", o.Name, "wanted", float64(v.wanted)/1e6, "got", float64(v.got)/1e6, "answer", v.err)
		if v.got == 0 {
			continue
		}
		if h.runs, err = f.left(ctx, stream, h); err != nil {
			return err
		}
		if len(h.runs) == 0 {
			break
		}
	}
	return f.keep(ctx)
}

// ask asks one source for all runs of a hole. The error is the ledger's, or that of ctx.
func (f *Filler) ask(ctx context.Context, stream id.Stream, o Offer, runs []run) (v verdict, err error) {
	for _, r := range runs {
		v.wanted += r.toUs - r.fromUs
		r.fromUs = max(r.fromUs, f.oldest(o))
		if r.toUs-r.fromUs < leastUs {
			continue
		}
		v.asked = true
		f.progress(&Fetch{Stream: stream, Source: o.Name, StartUs: r.fromUs, EndUs: r.toUs})
		var got int64
		got, v.err = f.fetch(ctx, stream, o, r)
		f.progress(nil)
		v.got += got
		if v.err != nil && !errors.Is(v.err, ErrNothing) {
			break
		}
	}
	var broken *ledgerError
	switch {
	case errors.As(v.err, &broken):
		return v, broken.err
	case ctx.Err() != nil:
		return v, ctx.Err()
	}
	return v, nil
}

// oldest is how far back a source goes.
func (f *Filler) oldest(o Offer) int64 {
	keep := o.Keep
	if keep == 0 {
		keep = f.cfg.Back
	}
	return f.Clock.Now() - keep.Microseconds()
}

// left returns what a hole still lacks.
func (f *Filler) left(ctx context.Context, stream id.Stream, h hole) (out []run, err error) {
	ranges, err := f.Ledger.Coverage(ctx, stream, h.runs[0].fromUs, h.runs[len(h.runs)-1].toUs)
	for _, more := range f.holes(ranges) {
		out = append(out, more.runs...)
	}
	return out, err
}

// ledgerError marks an error that is the agent's, not the source's.
type ledgerError struct{ err error }

func (e *ledgerError) Error() string { return e.err.Error() }

// fetch takes footage of a run in, piece by piece with the source let go in between, and returns how many
// microseconds of it came. What came before an error is kept.
func (f *Filler) fetch(ctx context.Context, stream id.Stream, o Offer, want run) (got int64, err error) {
	nothing := fmt.Errorf("it sent nothing that can be decoded: %w", ErrNothing)
	for at := want.fromUs; at < want.toUs; {
		t := f.newIntake(ctx, stream, o.Name, run{at, want.toUs, want.reason})
		t.pauseUs = at + f.cfg.Piece.Microseconds()
		err := o.Source.Fetch(ctx, at-marginUs, min(t.pauseUs+keyUs, want.toUs)+marginUs, t.take)
		reached, ours := t.finish()
		got += t.got
		if errors.Is(err, errEnough) {
			err = nil
		}
		switch {
		case ours != nil:
			return got, ours
		case errors.Is(err, ErrNothing):
			nothing = err
		case err == nil && t.guessed && !t.clear:
			return got, errTimeless
		case err != nil:
			return got, err
		}
		at = max(reached, t.pauseUs)
		if reached >= t.pauseUs-keyUs && reached > t.fromUs {
			at = reached
		}
	}
	if got > 0 {
		nothing = nil
	}
	return got, nothing
}

const (
	// marginUs is what is fetched besides, on both sides: clocks differ, and devices begin at key frames.
	marginUs = 2_000_000
	// keyUs is within what time a key frame comes, for a piece to end at.
	keyUs = 15_000_000
)

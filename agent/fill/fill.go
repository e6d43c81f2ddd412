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
}

// New prepares a Filler. Without offers it only says so.
func New(cfg Config, on Floors) *Filler {
	cfg.fill()
	return &Filler{cfg: cfg, Floors: on, tries: map[int64]*try{}}
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
		gaps := map[int64][]ledger.Range{}
		var order []int64
		for _, r := range ranges {
			if r.Gap == nil {
				continue
			}
			seen[r.Gap.ID] = true
			if !f.fillable(r, now) || !f.due(r.Gap.ID, len(f.cfg.Offers[stream])) {
				continue
			}
			if len(gaps[r.Gap.ID]) == 0 {
				order = append(order, r.Gap.ID)
			}
			gaps[r.Gap.ID] = append(gaps[r.Gap.ID], r)
		}
		for _, gap := range order {
			if err := f.offer(ctx, stream, gap, gaps[gap]); err != nil {
				return err
			}
		}
	}
	return f.forget(ctx, seen)
}

// fillable says whether footage of a range may exist and is wanted: the gap has ended, is longer than a blink,
// and nobody chose it.
func (f *Filler) fillable(r ledger.Range, now int64) bool {
	if r.Gap.EndUs == 0 || r.EndUs-r.StartUs < 1_000_000 || r.Gap.EndUs > now-f.cfg.Settle.Microseconds() {
		return false
	}
	switch r.Gap.Reason {
	case wire.NotConfigured, wire.Disabled, wire.Schedule, wire.Expired, wire.DeletedByPerson, wire.ClockStep:
		return false
	}
	return true
}

// offer asks the sources of a stream, in order, for what a gap lacks until nothing is lacking.
func (f *Filler) offer(ctx context.Context, stream id.Stream, gap int64, lacks []ledger.Range) error {
	t := f.try(gap)
	for _, o := range f.cfg.Offers[stream] {
		if t.isFinal(o.Name) {
			continue
		}
		wanted, got := length(lacks), int64(0)
		err := error(nil)
		asked := false
		for _, r := range lacks {
			from := max(r.StartUs, f.oldest(o))
			if r.EndUs-from < 1_000_000 {
				continue
			}
			asked = true
			var n int64
			n, err = f.fetch(ctx, stream, o, from, r.EndUs, string(r.Gap.Reason))
			got += n
			if err != nil && !errors.Is(err, ErrNothing) {
				break
			}
		}
		var broken *ledgerError
		switch {
		case errors.As(err, &broken):
			return broken.err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		f.note(t, o.Name, verdict{asked: asked, wanted: wanted, got: got, err: err})
		f.Log.Info("a gap was offered", "stream", stream, "source", o.Name, "wanted", float64(wanted)/1e6, "got", float64(got)/1e6, "answer", err)
		if got > 0 {
			if lacks, err = f.left(ctx, stream, gap, lacks); err != nil {
				return err
			}
		}
		if len(lacks) == 0 {
			break
		}
	}
	return f.keep(ctx)
}

// oldest is how far back a source goes.
func (f *Filler) oldest(o Offer) int64 {
	keep := o.Keep
	if keep == 0 {
		keep = f.cfg.Back
	}
	return f.Clock.Now() - keep.Microseconds()
}

// left returns what a gap still lacks.
func (f *Filler) left(ctx context.Context, stream id.Stream, gap int64, lacked []ledger.Range) (out []ledger.Range, err error) {
	ranges, err := f.Ledger.Coverage(ctx, stream, lacked[0].StartUs, lacked[len(lacked)-1].EndUs)
	for _, r := range ranges {
		if r.Gap != nil && r.Gap.ID == gap && r.EndUs-r.StartUs >= 1_000_000 {
			out = append(out, r)
		}
	}
	return out, err
}

func length(ranges []ledger.Range) (us int64) {
	for _, r := range ranges {
		us += r.EndUs - r.StartUs
	}
	return us
}

// ledgerError marks an error that is the agent's, not the source's.
type ledgerError struct{ err error }

func (e *ledgerError) Error() string { return e.err.Error() }

// fetch takes footage of [fromUs, toUs) in, piece by piece with the source let go in between, and returns how many
// microseconds of it came. What came before an error is kept.
func (f *Filler) fetch(ctx context.Context, stream id.Stream, o Offer, fromUs, toUs int64, reason string) (got int64, err error) {
	nothing := fmt.Errorf("it sent nothing that can be decoded: %w", ErrNothing)
	for at := fromUs; at < toUs; {
		t := f.newIntake(ctx, stream, o.Name, at, toUs, reason)
		t.pauseUs = at + f.cfg.Piece.Microseconds()
		err := o.Source.Fetch(ctx, at-marginUs, min(t.pauseUs+keyUs, toUs)+marginUs, t.take)
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

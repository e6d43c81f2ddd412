// Package fill is the room that closes declared gaps with footage from elsewhere: the recorder's own archive, a
// camera's memory card. The hall gives it the sources that the site has.
//
// It promises that fetched video is marked with its origin for ever, that it is checked part by part before it
// is committed, that nothing outside the gap comes in, and that a gap that stays open says which sources were
// asked and what they answered. It never invents footage, and never touches what was recorded.
package fill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// ErrNothing is what a Source answers when it holds no video of the range; another try is of no use.
var ErrNothing = errors.New("the source has no video of that time")

// Want is a range of a stream that has no video.
type Want struct {
	Stream       id.Stream
	FromUs, ToUs int64  // wall time
	Segment      uint64 // the number that the footage's segment must have
}

// Source is a place where footage of the site's cameras lies besides the agent's own.
type Source interface {
	// Fetch writes one whole segment in Holdfast's format (shared/mp4) with footage of want to w. Its header
	// names want's segment and stream and an Origin, and each of its parts overlaps the range. The error wraps
	// ErrNothing when there is no footage.
	Fetch(ctx context.Context, want Want, w io.Writer) error
}

// Config bounds the room.
type Config struct {
	Streams []id.Stream       // whose gaps are offered
	Sources map[string]Source // by name, for people
	Back    time.Duration     // how far back gaps are looked at; 0 means three days
	Every   time.Duration     // between two rounds; 0 means one minute
	Retry   time.Duration     // until a source that failed is asked again for the same gap; 0 means 30 minutes
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

	mu    sync.Mutex
	tries map[int64]*try // by gap
}

// try is what became of one gap.
type try struct {
	at     time.Time
	final  map[string]bool // sources that have nothing
	answer string
}

// New prepares a Filler. Without sources it only says so.
func New(cfg Config, on Floors) *Filler {
	if cfg.Back == 0 {
		cfg.Back = 72 * time.Hour
	}
	if cfg.Every == 0 {
		cfg.Every = time.Minute
	}
	if cfg.Retry == 0 {
		cfg.Retry = 30 * time.Minute
	}
	return &Filler{cfg: cfg, Floors: on, tries: map[int64]*try{}}
}

// Run offers gaps until ctx ends. It returns an error only when the ledger fails.
func (f *Filler) Run(ctx context.Context) error {
	if len(f.cfg.Sources) == 0 {
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

// Round offers every gap that is due once.
func (f *Filler) Round(ctx context.Context) error {
	now := f.Clock.Now()
	seen := map[int64]bool{}
	for _, stream := range f.cfg.Streams {
		ranges, err := f.Ledger.Coverage(ctx, stream, now-f.cfg.Back.Microseconds(), now)
		if err != nil {
			return err
		}
		for _, r := range ranges {
			if r.Gap == nil {
				continue
			}
			seen[r.Gap.ID] = true
			if !fillable(r) || !f.due(r.Gap.ID) {
				continue
			}
			if err := f.offer(ctx, stream, r); err != nil {
				return err
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for gap := range f.tries {
		if !seen[gap] {
			delete(f.tries, gap) // filled, or too long ago
		}
	}
	return nil
}

// fillable says whether footage of a range may exist and is wanted: the gap has ended, is longer than a blink,
// and nobody chose it.
func fillable(r ledger.Range) bool {
	if r.Gap.EndUs == 0 || r.EndUs-r.StartUs < 1_000_000 {
		return false
	}
	switch r.Gap.Reason {
	case wire.NotConfigured, wire.Disabled, wire.Schedule, wire.Expired, wire.DeletedByPerson, wire.ClockStep:
		return false
	}
	return true
}

func (f *Filler) due(gap int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tries[gap]
	return t == nil || len(t.final) < len(f.cfg.Sources) && time.Since(t.at) >= f.cfg.Retry
}

// Answer says for a gap, in words, which sources were asked and why none filled it; empty when it was not
// offered yet.
func (f *Filler) Answer(gap int64) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.cfg.Sources) == 0 {
		return "There is no other source of footage at this site."
	}
	if t := f.tries[gap]; t != nil {
		return t.answer
	}
	return ""
}

// offer asks the sources for a range, in the order of their names, until one has it.
func (f *Filler) offer(ctx context.Context, stream id.Stream, r ledger.Range) error {
	f.mu.Lock()
	t := f.tries[r.Gap.ID]
	if t == nil {
		t = &try{final: map[string]bool{}}
		f.tries[r.Gap.ID] = t
	}
	f.mu.Unlock()
	answer := ""
	for _, name := range sortedNames(f.cfg.Sources) {
		if t.final[name] {
			answer += fmt.Sprintf("%s: %v. ", name, ErrNothing)
			continue
		}
		filled, err := f.fetch(ctx, f.cfg.Sources[name], Want{
			Stream: stream, FromUs: r.StartUs, ToUs: r.EndUs, Segment: f.Ledger.NextSegment(),
		})
		var broken *ledgerError
		switch {
		case errors.As(err, &broken):
			return broken.err
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			answer += fmt.Sprintf("%s: gave %.0f of %.0f seconds. ", name, float64(filled)/1e6, float64(r.EndUs-r.StartUs)/1e6)
			f.Log.Info("a gap was filled", "stream", stream, "source", name, "seconds", float64(filled)/1e6)
		default:
			answer += fmt.Sprintf("%s: %v. ", name, err)
			f.Log.Info("a gap could not be filled", "stream", stream, "source", name, "error", err)
		}
		if err == nil || errors.Is(err, ErrNothing) {
			f.mu.Lock()
			t.final[name] = true
			f.mu.Unlock()
		}
		if err == nil {
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t.at, t.answer = time.Now(), answer
	return nil
}

// ledgerError marks an error that is the agent's, not the source's.
type ledgerError struct{ err error }

func (e *ledgerError) Error() string { return e.err.Error() }

// fetch takes footage in as a segment of its own and returns how many microseconds of it came.
func (f *Filler) fetch(ctx context.Context, from Source, want Want) (int64, error) {
	file, err := f.Disk.Create(want.Segment)
	if err != nil {
		return 0, err
	}
	open := ledger.OpenSegment{ID: want.Segment, Volume: file.Volume(), Stream: want.Stream, Run: f.Clock.Run(), StartUs: want.FromUs}
	row, err := f.receive(ctx, from, want, file)
	err = errors.Join(err, file.Close())
	if err != nil {
		// The row makes garbage of the file, so that a crash in between leaves nothing.
		if ledgerErr := errors.Join(f.Ledger.BeginSegment(ctx, open, nil),
			f.Ledger.Condemn(ctx, []ledger.Segment{{ID: want.Segment, Volume: open.Volume}}, wire.Lost)); ledgerErr != nil {
			return 0, &ledgerError{ledgerErr}
		}
		return 0, err
	}
	if _, err := f.Ledger.CloseSegment(ctx, row, nil); err != nil {
		return 0, &ledgerError{err}
	}
	return row.EndUs - row.StartUs, nil
}

// receive has the source write the file, checks all of it and makes it durable.
func (f *Filler) receive(ctx context.Context, from Source, want Want, file *disk.File) (ledger.Segment, error) {
	if err := from.Fetch(ctx, want, file); err != nil {
		return ledger.Segment{}, err
	}
	found, err := mp4.Recover(file, file.Size())
	if err != nil {
		return ledger.Segment{}, fmt.Errorf("check footage: %w", err)
	}
	h := found.Header
	switch {
	case found.Whole != file.Size() || len(found.Parts) == 0:
		return ledger.Segment{}, errors.New("check footage: it is damaged or incomplete")
	case h.Origin == "":
		return ledger.Segment{}, errors.New("check footage: it does not say where it comes from")
	case h.Segment != want.Segment || h.Camera != string(want.Stream.Camera) || h.Stream != string(want.Stream.Kind):
		return ledger.Segment{}, errors.New("check footage: it is of another camera")
	}
	first, last := found.Parts[0].StartUs, found.Parts[len(found.Parts)-1].EndUs
	if outside := func(p mp4.PartSum) bool { return p.EndUs <= want.FromUs || p.StartUs >= want.ToUs }; slices.ContainsFunc(found.Parts, outside) || last <= first {
		return ledger.Segment{}, fmt.Errorf("check footage: it is of another time (%d to %d, wanted %d to %d)", first, last, want.FromUs, want.ToUs)
	}
	if err := file.Flush(); err != nil {
		return ledger.Segment{}, err
	}
	return ledger.Segment{
		ID: want.Segment, Volume: file.Volume(), Stream: want.Stream, Run: h.Run, MonoUs: h.MonoUs,
		StartUs: max(first, want.FromUs), EndUs: min(last, want.ToUs), Bytes: file.Size(), Parts: len(found.Parts),
		Root: mp4.NewStatement(h, nil, found.Parts).Root, Origin: h.Origin,
	}, nil
}

func sortedNames(sources map[string]Source) []string {
	names := make([]string, 0, len(sources))
	for n := range sources {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

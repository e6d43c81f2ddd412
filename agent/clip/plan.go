package clip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
)

// Export is a range of a stream that a person wants as files.
type Export struct {
	Stream       id.Stream
	FromUs, ToUs int64 // wall time
	Audio        bool
	// Apart is the longest time without video that stays inside one file, where the picture stands still. 0 means
	// ten seconds.
	Apart time.Duration
}

// longest is how much one file of an export shows at most.
const longest = 6 * time.Hour

// Plan is an export whose segments are open: retention can't take them away any more. Close it.
type Plan struct {
	Export
	Pieces []Piece // one file each, in order; none when there is no video

	ledger *ledger.Ledger
	log    *slog.Logger
	from   assembly // holds every open segment
	shown  []extent // of the files written
}

// Piece is what goes into one file: [FromUs, ToUs) from segments that follow one another with one codec and one size of
// picture.
type Piece struct {
	FromUs, ToUs int64
	sources      []Source
}

// extent is a range of wall time.
type extent struct{ fromUs, toUs int64 }

// NewPlan opens the segments of a range and parts them into pieces. A new piece begins behind a gap longer than Apart,
// where codec or size of the picture change, where the site's clock was set back (both times are told), and after six
// hours. open is as in Deps.
func NewPlan(ctx context.Context, l *ledger.Ledger, open func(volume string, segment uint64) (File, int64, error), e Export, log *slog.Logger) (*Plan, error) {
	if e.ToUs <= e.FromUs {
		return nil, fmt.Errorf("plan export of [%d, %d): it ends before it begins", e.FromUs, e.ToUs)
	}
	if e.Apart == 0 {
		e.Apart = 10 * time.Second
	}
	p := &Plan{Export: e, ledger: l, log: log, from: assembly{log: log}}
	segments, err := l.Segments(ctx, e.Stream, e.FromUs, e.ToUs)
	if err != nil {
		return nil, err
	}
	for _, s := range segments {
		err := ctx.Err()
		if err == nil {
			err = p.from.open(open, s)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("plan export: %w", err), p.Close())
		}
	}
	for _, row := range rows(p.from.sources) {
		p.Pieces = append(p.Pieces, e.part(row)...)
	}
	return p, nil
}

// Close lets go of the segments.
func (p *Plan) Close() error {
	var errs []error
	for _, s := range p.from.sources {
		errs = append(errs, s.File.Close())
	}
	p.from.sources = nil
	return errors.Join(errs...)
}

// rows lays segments, which are sorted by their beginning, into rows without overlap. There is one row, unless the clock
// was set back or footage from elsewhere overlaps what the agent recorded.
func rows(sources []Source) (out [][]Source) {
	for _, s := range sources {
		best := -1
		for i, row := range out {
			last := row[len(row)-1]
			if s.StartUs < last.EndUs-mp4.MaxOverlapUs {
				continue
			}
			if best < 0 || last.Run == s.Run {
				best = i
			}
		}
		if best < 0 {
			out = append(out, []Source{s})
		} else {
			out[best] = append(out[best], s)
		}
	}
	return out
}

// part parts a row into pieces.
func (e *Export) part(row []Source) (out []Piece) {
	var last *Piece
	for _, s := range row {
		if last != nil {
			before := last.sources[len(last.sources)-1]
			hole := time.Duration(s.StartUs-before.EndUs) * time.Microsecond
			length := time.Duration(s.EndUs-last.FromUs) * time.Microsecond
			if hole <= e.Apart && length <= longest && !changed(&before.Header, &s.Header) {
				last.sources = append(last.sources, s)
				last.ToUs = min(max(last.ToUs, s.EndUs), e.ToUs)
				continue
			}
			last.ToUs = min(last.ToUs, s.StartUs)
		}
		out = append(out, Piece{FromUs: max(s.StartUs, e.FromUs), ToUs: min(s.EndUs, e.ToUs), sources: []Source{s}})
		last = &out[len(out)-1]
	}
	return out
}

// changed says whether players want b in a file of its own behind a.
func changed(a, b *mp4.Header) bool {
	if i, k := a.VideoTrack(), b.VideoTrack(); i >= 0 && k >= 0 {
		x, y := &a.Tracks[i], &b.Tracks[k]
		if x.Codec != y.Codec || x.Width != y.Width || x.Height != y.Height {
			return true
		}
	}
	i, k := a.AudioTrack(), b.AudioTrack()
	return i >= 0 && k >= 0 && a.Tracks[i].Codec != b.Tracks[k].Codec
}

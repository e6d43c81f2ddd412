package live

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
)

// errBegin says that there is no earlier video at the site.
var errBegin = errors.New("no earlier video at the site")

// place is a recorded picture: its segment and its wall time. Without a segment it is just a moment.
type place struct {
	seg  ledger.Segment
	atUs int64
}

// hole is a time without video, longer than gapUs, that a search has crossed; zero when there was none.
type hole struct{ fromUs, toUs int64 }

// mark is a picture in a segment's sample tables.
type mark struct {
	atUs int64
	key  bool
}

// finder finds pictures backwards in time by the sample tables of segments; it reads no pictures. It remembers the segment
// that it looked into last.
type finder struct {
	footage Footage
	stream  id.Stream
	log     *slog.Logger
	seg     ledger.Segment
	marks   []mark // of seg, in decoding order
}

func newFinder(footage Footage, stream id.Stream, log *slog.Logger) *finder {
	return &finder{footage: footage, stream: stream, log: log}
}

// before returns the last picture before a place that fits, and the first hole on the way to it; errBegin when there is
// none.
func (f *finder) before(ctx context.Context, from place, fits func(mark) bool) (place, hole, error) {
	var crossed hole
	at := from
	for {
		seg, err := f.pick(ctx, at)
		if err != nil {
			return place{}, hole{}, err
		}
		if at.seg.ID != 0 && at.seg.ID != seg.ID && crossed == (hole{}) && at.seg.StartUs-seg.EndUs > gapUs {
			crossed = hole{seg.EndUs, at.seg.StartUs}
		}
		if err := f.index(seg); err != nil {
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, mp4.ErrFormat) {
				return place{}, hole{}, err
			}
			f.log.Debug("pass over a segment", "error", err) // retention was faster, or the file is damaged
			f.marks = nil
		}
		for i := len(f.marks) - 1; i >= 0; i-- {
			if m := f.marks[i]; m.atUs < from.atUs && fits(m) {
				return place{seg, m.atUs}, crossed, nil
			}
		}
		at = place{seg, min(at.atUs, seg.StartUs)}
	}
}

// pick returns the segment that holds what lies right before a place. The ranges of two runs may overlap after a step of
// the clock: then the run of the place goes on.
func (f *finder) pick(ctx context.Context, at place) (ledger.Segment, error) {
	if at.seg.ID != 0 && at.seg.StartUs < at.atUs {
		return at.seg, nil
	}
	for to, reach := at.atUs, lookAhead; to > 0; reach *= 4 {
		segs, err := f.footage.Segments(ctx, f.stream, max(to-reach, 0), to)
		if err != nil {
			return ledger.Segment{}, fmt.Errorf("look for earlier video: %w", err)
		}
		var best ledger.Segment
		for _, s := range segs {
			if s.StartUs >= at.atUs {
				continue
			}
			if s.Run == at.seg.Run && s.EndUs >= at.atUs-mp4.JoinToleranceUs {
				return s, nil
			}
			if best.ID == 0 || min(s.EndUs, at.atUs) > min(best.EndUs, at.atUs) {
				best = s
			}
		}
		if best.ID != 0 {
			return best, nil
		}
		to -= reach
	}
	return ledger.Segment{}, errBegin
}

// index lists the pictures of a segment but those for decoding alone.
func (f *finder) index(seg ledger.Segment) error {
	if f.seg.ID == seg.ID && f.seg.Bytes >= seg.Bytes && f.marks != nil {
		return nil
	}
	f.seg, f.marks = seg, nil
	release := f.footage.Pin(f.stream, seg.StartUs, seg.EndUs, pinFor)
	defer release()
	file, size, err := f.footage.Open(seg.Volume, seg.ID)
	if err != nil {
		return fmt.Errorf("open segment %d: %w", seg.ID, err)
	}
	if seg.Bytes > 0 {
		size = min(size, seg.Bytes)
	}
	return errors.Join(f.list(file, size), file.Close())
}

func (f *finder) list(file File, size int64) error {
	header, _, err := mp4.ReadHeader(file, size)
	if err != nil {
		return fmt.Errorf("read segment %d: %w", f.seg.ID, err)
	}
	video := header.VideoTrack()
	for part, err := range mp4.Parts(file, size) {
		if err != nil {
			return fmt.Errorf("read segment %d: %w", f.seg.ID, err)
		}
		if part.Lead(&header) {
			continue
		}
		zeroUs := part.Sum.StartUs - part.Sum.MediaUs
		for _, s := range part.Samples {
			if s.Track == video {
				atUs := zeroUs + (s.DTS+int64(s.CTS))*1_000_000/int64(header.Tracks[video].Timescale)
				f.marks = append(f.marks, mark{atUs, s.Key})
			}
		}
	}
	return nil
}

package fill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
)

// print is the sum over the slices of a picture: the same picture has the same one, wherever it was kept.
type print [sha256.Size]byte

func printOf(codec mp4.Codec, units [][]byte) print {
	h := sha256.New()
	for _, u := range units {
		if mp4.Slice(codec, u) {
			_, _ = h.Write(u)
		}
	}
	return print(h.Sum(nil))
}

// alike is how many pictures in a row must be the recorded ones: of a still scene one may look like another.
const alike = 3

// seam is what was recorded right before and right behind a range. Where the source has the same pictures, they say to
// the frame where its footage joins, however wrong its clock is.
type seam struct {
	before []print // the last ones, at most alike
	lastUs int64   // when the last of them was
	behind *print  // the key frame with which recording went on
	toUs   int64

	seen []print // pictures of the source, the newest last
}

// seamOf reads the neighbours of a range. What can't be read only makes the seam less exact.
func (f *Filler) seamOf(ctx context.Context, stream id.Stream, fromUs, toUs int64) seam {
	s := seam{toUs: toUs}
	segments, err := f.Ledger.Segments(ctx, stream, fromUs-mp4.JoinToleranceUs, toUs+mp4.JoinToleranceUs)
	for _, seg := range segments {
		var more error
		switch {
		case abs(seg.EndUs-fromUs) < mp4.JoinToleranceUs:
			more = f.read(seg, s.ending)
		case abs(seg.StartUs-toUs) < mp4.JoinToleranceUs:
			more = f.read(seg, s.beginning)
		}
		err = errors.Join(err, more)
	}
	if err != nil {
		f.Log.Warn("the recording around a gap can't be compared with footage from elsewhere", "stream", stream, "error", err)
	}
	return s
}

// read shows the pictures of a segment's part to look, from the first part on when first, until look has seen enough.
func (f *Filler) read(seg ledger.Segment, look func(h *mp4.Header, parts []mp4.Part, file mp4File) error) (err error) {
	file, size, err := f.Disk.OpenRead(seg.Volume, seg.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if seg.Bytes > 0 {
		size = min(size, seg.Bytes)
	}
	h, _, err := mp4.ReadHeader(file, size)
	if err != nil {
		return err
	}
	var parts []mp4.Part
	for p, err := range mp4.Parts(file, size) {
		if err != nil {
			break // what is whole is enough
		}
		parts = append(parts, p)
	}
	return look(&h, parts, file)
}

// mp4File is what the format reads.
type mp4File interface {
	ReadAt(p []byte, off int64) (int, error)
}

// ending takes the last pictures of a segment.
func (s *seam) ending(h *mp4.Header, parts []mp4.Part, file mp4File) error {
	for i := len(parts) - 1; i >= 0 && len(s.before) < alike; i-- {
		samples, err := mp4.ReadSamples(file, parts[i])
		if err != nil {
			return err
		}
		for k := len(samples) - 1; k >= 0 && len(s.before) < alike; k-- {
			x := &samples[k]
			track := &h.Tracks[x.Track]
			if !track.Codec.IsVideo() {
				continue
			}
			if len(s.before) == 0 {
				s.lastUs = parts[i].Sum.StartUs - parts[i].Sum.MediaUs + scale(x.DTS, 1e6, int64(track.Timescale))
			}
			s.before = append(s.before, printOf(track.Codec, x.Units))
		}
	}
	slices.Reverse(s.before)
	return nil
}

// beginning takes the first picture of a segment.
func (s *seam) beginning(h *mp4.Header, parts []mp4.Part, file mp4File) error {
	if len(parts) == 0 {
		return nil
	}
	samples, err := mp4.ReadSamples(file, parts[0])
	for i := range samples {
		if codec := h.Tracks[samples[i].Track].Codec; codec.IsVideo() {
			if samples[i].Key {
				p := printOf(codec, samples[i].Units)
				s.behind = &p
			}
			break
		}
	}
	return err
}

// meets says whether a picture of the source is the last one that was recorded before the range.
func (s *seam) meets(x *shot) bool {
	if len(s.before) == 0 {
		return false
	}
	s.seen = append(s.seen, printOf(x.Params.Tracks[x.Track].Codec, x.Units))
	s.seen = s.seen[max(0, len(s.seen)-len(s.before)):]
	return slices.EqualFunc(s.seen, s.before, func(a, b print) bool { return bytes.Equal(a[:], b[:]) })
}

// over says whether a picture is the one with which recording went on.
func (s *seam) over(x *shot) bool {
	return s.behind != nil && x.Key && abs(x.wallUs-s.toUs) < marginUs && printOf(x.Params.Tracks[x.Track].Codec, x.Units) == *s.behind
}

// patience is how far into the range the pictures from before it are looked for.
func (s *seam) patience() int64 {
	if len(s.before) == 0 {
		return 0
	}
	return marginUs
}

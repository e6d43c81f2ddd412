package mp4

import (
	"bytes"
	"io"
	"slices"
)

// Lead says whether a part, at the front of a segment that was fetched from elsewhere, holds only pictures from before the
// time that it fills: others need them to be decoded, and nobody is to see them. They last one tick of the clock each
// (agent/record/FORMAT.md, footage from elsewhere).
func (p *Part) Lead(h *Header) bool {
	return h.Origin != "" && p.Sum.VideoSamples > 0 &&
		!slices.ContainsFunc(p.Samples, func(s SampleInfo) bool { return s.Track != p.video || s.Duration != 1 })
}

// Leads returns how many parts at the front of a segment are such leads, and the wall time at which the part behind them
// begins, 0 when there is none. The error is that of Parts.
func Leads(r io.ReaderAt, size int64) (n int, startUs int64, err error) {
	h, _, err := ReadHeader(r, size)
	if err != nil {
		return 0, 0, err
	}
	for p, err := range Parts(r, size) {
		if err != nil {
			return 0, 0, err
		}
		if !p.Lead(&h) {
			return n, p.Sum.StartUs, nil
		}
		n++
	}
	return n, 0, nil
}

// SamePicture says whether two access units hold the same coded picture, whatever lies beside it: parameter sets and
// messages differ between two places that keep the same stream.
func SamePicture(c Codec, a, b [][]byte) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	other := func(unit []byte) bool { return !Slice(c, unit) }
	a, b = slices.DeleteFunc(a, other), slices.DeleteFunc(b, other)
	return len(a) > 0 && slices.EqualFunc(a, b, bytes.Equal)
}

// Slice says whether a NAL unit holds a part of the picture (ITU-T H.264 table 7-1, H.265 table 7-1).
func Slice(c Codec, unit []byte) bool {
	switch {
	case len(unit) < 2:
		return false
	case c == H265:
		return unit[0]>>1&0x3f < 32
	}
	t := unit[0] & 0x1f
	return t >= 1 && t <= 5
}

// afterLead leaves out the lead of a fetched segment, which others lie before, when the clip shows it already: when it
// ends with the picture that the part before ends with, decoding goes on from there. Where it can't be told, the lead
// stays.
func (w *ClipWriter) afterLead(src *clipSource, parts []clipPart) []clipPart {
	n := 0
	for n < len(parts) && parts[n].Lead(&src.header) {
		n++
	}
	switch n {
	case 0:
		return parts
	case len(parts):
		return nil // the clip ends before what they are for
	}
	before := &w.parts[len(w.parts)-1]
	a, b := before.source.header.VideoTrack(), src.header.VideoTrack()
	if a < 0 || !before.source.header.Tracks[a].Equal(&src.header.Tracks[b]) {
		return parts
	}
	shown, lead := before.lastPicture(), parts[n-1].lastPicture()
	if shown == nil || !SamePicture(src.header.Tracks[b].Codec, shown, lead) {
		return parts
	}
	return parts[n:]
}

// lastPicture returns the units of the part's last picture, nil when there is none or it can't be read.
func (c *clipPart) lastPicture() [][]byte {
	n := int(c.Sum.VideoSamples)
	if n == 0 {
		return nil
	}
	s := &c.Samples[n-1]
	b := make([]byte, s.Size)
	if readFull(c.source.r, s.Offset, b) != nil {
		return nil
	}
	units, err := splitUnits(b)
	if err != nil {
		return nil
	}
	return units
}

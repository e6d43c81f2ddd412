package mp4

import "fmt"

// Film writes MP4 for a player that gets it piece by piece while it is made (W3C Media Source Extensions, ISO BMFF byte
// stream format): opening boxes, then fragments of as little as one sample. It has none of the boxes and sums of a segment,
// since nobody keeps it. Not safe for concurrent use.
type Film struct{ parts PartBuilder }

// NewFilm returns a Film of one video track and at most one audio track, and the opening boxes that a player needs first.
func NewFilm(tracks []Track) (*Film, []byte, error) {
	h := Header{Tracks: tracks}
	f := &Film{PartBuilder{video: h.track(true), audio: h.track(false)}}
	if n := len(tracks); f.parts.video < 0 || n > 2 || n == 2 && f.parts.audio < 0 {
		return nil, nil, fmt.Errorf("open a film of %d tracks: %w", n, ErrFormat)
	}
	for i := range tracks {
		if err := tracks[i].Validate(); err != nil {
			return nil, nil, fmt.Errorf("open a film: %w", err)
		}
		f.parts.tracks = append(f.parts.tracks, builderTrack{codec: tracks[i].Codec, timescale: tracks[i].Timescale})
	}
	f.parts.Reset(1, 0, 0)
	var w writer
	w.close(w.opening(0, tracks))
	return f, w.b, nil
}

// Add takes a sample into the fragment that Append writes next. It fails as PartBuilder.Add does.
func (f *Film) Add(s Sample) error { return f.parts.Add(s) }

// Append appends the fragment of what was added since the last one to dst, and begins the next; nothing, if nothing was.
func (f *Film) Append(dst []byte) []byte {
	b := &f.parts
	if b.empty {
		return dst
	}
	w := writer{b: dst}
	b.appendMoof(&w, b.moofSize())
	mdat := w.open("mdat")
	for _, track := range [...]int{b.video, b.audio} {
		if track < 0 {
			continue
		}
		t := &b.tracks[track]
		for i := range t.samples {
			w.b = t.appendSample(w.b, i)
		}
	}
	w.close(mdat)
	b.Reset(b.seq+1, 0, 0)
	return w.b
}

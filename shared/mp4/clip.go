package mp4

import (
	"errors"
	"fmt"
	"io"

	"holdfast/shared/evidence"
)

// JoinToleranceUs is how far a segment may begin behind the end of the one before it and still be joined to it
// seamlessly: clocks are corrected while recording. A larger distance is a gap.
const JoinToleranceUs = 200_000

// MaxOverlapUs is how far a segment may reach back before the end of the one before it. It is then shown that much later than
// it was recorded.
const MaxOverlapUs = 2_000_000

// MaxClipUs is the longest range of one clip: twelve hours.
const MaxClipUs = 12 * 3600 * 1_000_000

// ClipConfig says which range a clip shows, on the timeline that Place lays the parts on.
type ClipConfig struct {
	FromUs, ToUs int64 // presentation begins at FromUs and ends at ToUs, exactly
	// Place gives the time of a part's first DTS on the clip's timeline; nil takes the part's wall time StartUs.
	Place func(*PartSum) int64
	// DropAudio leaves the audio of the segments out; it may be replaced by SetAudio.
	DropAudio bool
}

// ClipWriter makes a progressive MP4 (index first) out of whole parts of one or more segments, without re-encoding.
// It reads only headers and sample tables; the payload is read when the Clip is.
type ClipWriter struct {
	cfg      ClipConfig
	sources  []*clipSource
	parts    []clipPart
	video    []Track // sample entries
	audio    []Track
	endUs    int64 // on the clip's timeline: where what was added ends
	replaced []Sample
}

// clipSource is one segment that a clip takes parts from.
type clipSource struct {
	r            io.ReaderAt
	header       Header
	init         []byte
	signed       evidence.Signed
	leaves       [][32]byte // nil when the segment has no seal
	video, audio int        // index of the sample entry, -1 when there is none
	delay        int64      // CTS of the first key frame taken from it
}

type clipPart struct {
	Part
	source *clipSource
	atUs   int64 // on the clip's timeline
}

// NewClipWriter returns a writer of one clip.
func NewClipWriter(cfg ClipConfig) (*ClipWriter, error) {
	if length := cfg.ToUs - cfg.FromUs; length <= 0 || length > MaxClipUs {
		return nil, fmt.Errorf("clip of [%d, %d) µs: it must be longer than nothing and no longer than 12 hours", cfg.FromUs, cfg.ToUs)
	}
	if cfg.Place == nil {
		cfg.Place = func(p *PartSum) int64 { return p.StartUs }
	}
	return &ClipWriter{cfg: cfg}, nil
}

// AddSegment takes the parts of a segment that the range needs: those that overlap it and, before the first, back to
// the part with the key frame that decoding must begin at. Segments are added in order of time; r must stay readable
// while the Clip is in use. A segment outside the range adds nothing. The error wraps ErrCodec when the codec of a
// track differs from the one before (changed parameters of one codec are fine), ErrOrder when the segment lies before
// what was added; the writer is then as it was.
func (w *ClipWriter) AddSegment(r io.ReaderAt, size int64) error {
	src := &clipSource{r: r, video: -1, audio: -1}
	var err error
	if src.init, err = readInit(r, size); err == nil {
		src.header, err = parseInit(src.init)
	}
	if err != nil {
		return fmt.Errorf("add segment to clip: %w", err)
	}
	parts, err := w.pick(src, size)
	if err != nil {
		return fmt.Errorf("add segment %d to clip: %w", src.header.Segment, err)
	}
	if len(parts) == 0 {
		return nil
	}
	if err := w.addEntries(src); err != nil {
		return fmt.Errorf("add segment %d to clip: %w", src.header.Segment, err)
	}
	if err := src.readLeaves(r, size, parts); err != nil {
		return fmt.Errorf("add segment %d to clip: %w", src.header.Segment, err)
	}
	src.delay = firstDelay(parts)
	w.sources = append(w.sources, src)
	w.parts = append(w.parts, parts...)
	last := &parts[len(parts)-1]
	w.endUs = last.atUs + last.Sum.EndUs - last.Sum.StartUs
	return nil
}

// pick returns the parts of a segment that the range needs.
func (w *ClipWriter) pick(src *clipSource, size int64) ([]clipPart, error) {
	var parts []clipPart
	overlap, key := false, 0
	for p, err := range Parts(src.r, size) {
		if err != nil {
			return nil, err
		}
		c := clipPart{Part: p, source: src, atUs: w.cfg.Place(&p.Sum)}
		if c.atUs >= w.cfg.ToUs {
			break
		}
		if len(w.parts) > 0 && len(parts) == 0 && c.atUs < w.endUs-MaxOverlapUs {
			return nil, fmt.Errorf("it begins %d µs before the end of the segment before it: %w", w.endUs-c.atUs, ErrOrder)
		}
		overlap = overlap || c.atUs+p.Sum.EndUs-p.Sum.StartUs > w.cfg.FromUs
		for _, s := range p.Samples {
			if s.Key && s.Track == p.video && c.presentedUs(&s) <= w.cfg.FromUs {
				key = len(parts)
			}
		}
		parts = append(parts, c)
	}
	if !overlap {
		return nil, nil
	}
	if len(w.parts) > 0 { // what came before shows until here
		return w.afterLead(src, parts), nil
	}
	return parts[key:], nil
}

func firstDelay(parts []clipPart) int64 {
	for i := range parts {
		for _, s := range parts[i].Samples {
			if s.Key && s.Track == parts[i].video {
				return int64(s.CTS)
			}
		}
	}
	return 0
}

// presentedUs returns when a sample of the part is shown, on the clip's timeline.
func (c *clipPart) presentedUs(s *SampleInfo) int64 {
	scale := c.source.header.Tracks[s.Track].Timescale
	return c.atUs + toUs(s.DTS+int64(s.CTS), scale) - c.Sum.MediaUs
}

// addEntries finds or makes the sample entries of a source's tracks.
func (w *ClipWriter) addEntries(src *clipSource) error {
	video, audio := w.video, w.audio
	for i := range src.header.Tracks {
		t := &src.header.Tracks[i]
		list, at := &video, &src.video
		if !t.Codec.IsVideo() {
			list, at = &audio, &src.audio
			if w.cfg.DropAudio || w.replaced != nil {
				continue
			}
		}
		if len(*list) > 0 && (*list)[0].Codec != t.Codec {
			return fmt.Errorf("%v after %v: %w", t.Codec, (*list)[0].Codec, ErrCodec)
		}
		*at = -1
		for j := range *list {
			if (*list)[j].Equal(t) {
				*at = j
			}
		}
		if *at < 0 {
			if len(*list) >= maxEntries {
				return fmt.Errorf("more than %d changes of %v parameters: %w", maxEntries, t.Codec, ErrCodec)
			}
			*at = len(*list)
			*list = append((*list)[:*at:*at], *t)
		}
	}
	w.video, w.audio = video, audio
	return nil
}

// maxEntries bounds the sample entries of one track of a clip.
const maxEntries = 255

// readLeaves keeps the source's seal if it covers all the parts.
func (src *clipSource) readLeaves(r io.ReaderAt, size int64, parts []clipPart) error {
	signed, leaves, _, err := ReadSeal(r, size)
	if errors.Is(err, ErrNoSeal) || errors.Is(err, ErrFormat) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range parts {
		seq := int(parts[i].Sum.Seq)
		if seq > len(leaves) || leaves[seq-1] != parts[i].Sum.Leaf() {
			return nil // altered: the clip will say that it is not sealed
		}
	}
	src.signed, src.leaves = signed, leaves
	return nil
}

// SetAudio gives the clip an audio track of its own in place of what the segments hold (G.711 turned into Opus, say).
// DTS counts from FromUs in t's timescale, may be negative for pre-roll, and must grow; Track is ignored.
func (w *ClipWriter) SetAudio(t Track, samples []Sample) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("set audio of clip: %w", err)
	}
	if t.Codec.IsVideo() {
		return fmt.Errorf("set audio of clip: %v is no audio: %w", t.Codec, ErrCodec)
	}
	for i := range samples {
		if i > 0 && samples[i].DTS <= samples[i-1].DTS || samples[i].DTS < -maxMedia || samples[i].DTS > maxMedia {
			return fmt.Errorf("set audio of clip: sample %d at %d: %w", i, samples[i].DTS, ErrOrder)
		}
	}
	w.audio, w.replaced = []Track{t}, samples
	for _, src := range w.sources {
		src.audio = -1
	}
	return nil
}

// ClipGap is a range of the clip's timeline without samples: the picture before it stands still.
type ClipGap struct{ FromUs, ToUs int64 }

// Clip is a finished clip, readable at any offset as often as needed, for upload in parts without a temporary file.
type Clip struct {
	FromUs, ToUs int64
	PreRollUs    int64 // material before FromUs that is in the file but not shown
	Gaps         []ClipGap
	Sealed       bool // every part in it is covered by a seal

	pieces pieces
}

// Size returns the bytes of the clip.
func (c *Clip) Size() int64 { return c.pieces.size }

// ReadAt implements io.ReaderAt. A segment that was changed or cut meanwhile gives an error.
func (c *Clip) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read clip at %d: %w", off, ErrFormat)
	}
	return c.pieces.readAt(p, off)
}

// WriteTo implements io.WriterTo: it writes the whole clip.
func (c *Clip) WriteTo(w io.Writer) (int64, error) {
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.NewSectionReader(c, 0, c.Size()), make([]byte, 256<<10))
	if err != nil {
		return n, fmt.Errorf("write clip: %w", err)
	}
	return n, nil
}

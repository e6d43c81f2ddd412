package mp4

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"slices"
	"time"
)

// Sample is one access unit of video, or one frame of audio.
type Sample struct {
	Track    int    // index into Header.Tracks
	DTS      int64  // media time since the segment's media time 0, in the track's timescale; never negative
	CTS      int32  // presentation time minus DTS; 0 without B-frames
	Duration uint32 // to the next sample's DTS; inside a part the next sample's DTS wins over this
	Key      bool   // decoding can begin here (video)
	// Units are the NAL units of a video access unit, bare (they are written with a four-byte length each),
	// or the pieces of one audio frame, written one after the other.
	Units [][]byte
}

// maxMedia bounds media times, so that sums of them never overflow.
const maxMedia = 1 << 52

// PartBuilder collects the samples of one part after another. Not safe for concurrent use.
//
//	b, err := NewPartBuilder(h)
//	for each part: b.Reset(seq, startUs, monoUs); b.Add(sample)...; bytes, sum := b.AppendTo(nil); write bytes
//
// It holds on to the samples' units and puts the bytes of a part together only when they are asked for, so that many
// builders can share one buffer.
type PartBuilder struct {
	segment uint64
	run     int64
	tracks  []builderTrack // as in the header
	video   int            // index of the video track, or -1
	audio   int

	seq             uint32
	startUs, monoUs int64
	mediaUs         int64 // first DTS on the media timeline
	empty           bool
	keySample       int32
	keyTime         int64

	boxes   []byte
	hash    hash.Hash
	scratch [sha256.Size]byte
}

type builderTrack struct {
	codec     Codec
	timescale uint32
	samples   []builderSample
	bytes     int // payload
	sum       [sha256.Size]byte
	first     int64 // DTS
	last      int64
	reordered bool // some CTS is not 0
}

type builderSample struct {
	units          [][]byte
	duration, size uint32
	cts            int32
	key            bool
}

// NewPartBuilder returns a builder for the parts of the segment that h opens.
func NewPartBuilder(h Header) (*PartBuilder, error) {
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("build parts: %w", err)
	}
	b := &PartBuilder{segment: h.Segment, run: h.Run, video: h.track(true), audio: h.track(false), hash: sha256.New()}
	for _, t := range h.Tracks {
		b.tracks = append(b.tracks, builderTrack{codec: t.Codec, timescale: t.Timescale})
	}
	b.Reset(1, h.StartUs, h.MonoUs)
	return b, nil
}

// Reset begins part number seq (1 is the first of a segment). startUs (wall) and monoUs (on the run's timeline) are the
// times at which the DTS of the first sample to be added falls. What was collected before is dropped.
func (b *PartBuilder) Reset(seq uint32, startUs, monoUs int64) {
	b.seq, b.startUs, b.monoUs = seq, startUs, monoUs
	b.mediaUs, b.empty = 0, true
	b.keySample, b.keyTime = -1, 0
	for i := range b.tracks {
		t := &b.tracks[i]
		clear(t.samples) // lets go of the units
		t.samples, t.bytes, t.reordered = t.samples[:0], 0, false
	}
}

// Add takes s into the part; nobody may change its Units before the next Reset. Inside a part samples follow one
// another: what comes after a gap must begin a new part, and the Duration of the sample before must not bridge the
// gap. Add fails, leaving the part as it was, with ErrOrder when a track's DTS does not grow, and with ErrTooLarge
// when the part must be ended first.
func (b *PartBuilder) Add(s Sample) error {
	size, err := b.check(&s)
	if err != nil {
		return fmt.Errorf("add sample to part %d: %w", b.seq, err)
	}
	t := &b.tracks[s.Track]
	if n := len(t.samples); n > 0 {
		t.samples[n-1].duration = uint32(s.DTS - t.last)
	} else {
		t.first = s.DTS
	}
	t.last = s.DTS
	if s.Key && b.keySample < 0 && t.codec.IsVideo() {
		b.keySample, b.keyTime = int32(len(t.samples)), s.DTS+int64(s.CTS)
	}
	t.reordered = t.reordered || s.CTS != 0
	t.samples = append(t.samples, builderSample{units: s.Units, duration: s.Duration, size: uint32(size), cts: s.CTS, key: s.Key})
	t.bytes += size
	if b.empty {
		b.empty = false
		b.mediaUs = toUs(s.DTS, t.timescale)
	}
	return nil
}

// check returns the bytes that s takes.
func (b *PartBuilder) check(s *Sample) (size int, err error) {
	if s.Track < 0 || s.Track >= len(b.tracks) {
		return 0, fmt.Errorf("track %d of %d: %w", s.Track, len(b.tracks), ErrFormat)
	}
	t := &b.tracks[s.Track]
	for _, unit := range s.Units {
		size += len(unit)
		if t.codec.IsVideo() && len(unit) > 0 {
			size += 4
		}
		if size > MaxPart {
			return 0, fmt.Errorf("sample of over %d bytes: %w", MaxPart, ErrTooLarge)
		}
	}
	if size == 0 {
		return 0, fmt.Errorf("sample without bytes: %w", ErrFormat)
	}
	if s.DTS < 0 || s.DTS > maxMedia {
		return 0, fmt.Errorf("DTS %d: %w", s.DTS, ErrOrder)
	}
	n := len(t.samples)
	if n > 0 && s.DTS <= t.last {
		return 0, fmt.Errorf("DTS %d after %d: %w", s.DTS, t.last, ErrOrder)
	}
	if n > 0 && s.DTS-t.last > math.MaxUint32 || n >= MaxSamples || b.Size()+size > MaxPart-MaxMoof-partBoxSize-boxHead {
		return 0, fmt.Errorf("%d samples, %d bytes: %w", n, b.Size(), ErrTooLarge)
	}
	return size, nil
}

// Empty says whether nothing was added since Reset.
func (b *PartBuilder) Empty() bool { return b.empty }

// Size returns the payload bytes collected since Reset.
func (b *PartBuilder) Size() int { return b.payload(b.video) + b.payload(b.audio) }

func (b *PartBuilder) payload(track int) int {
	if track < 0 {
		return 0
	}
	return b.tracks[track].bytes
}

// Duration returns the time from the first sample's DTS to the latest end of a sample.
func (b *PartBuilder) Duration() time.Duration {
	return time.Duration(b.lengthUs()) * time.Microsecond
}

func (b *PartBuilder) lengthUs() (us int64) {
	for i := range b.tracks {
		if t := &b.tracks[i]; len(t.samples) > 0 {
			end := t.last + int64(t.samples[len(t.samples)-1].duration)
			us = max(us, toUs(end, t.timescale)-b.mediaUs)
		}
	}
	return us
}

// AppendTo appends the part's bytes, to be written in one piece, to dst, and returns its sum. An empty part has no
// bytes. The part stays as it is: more samples may be added.
func (b *PartBuilder) AppendTo(dst []byte) ([]byte, PartSum) {
	if b.empty {
		return dst, PartSum{}
	}
	moofSize := b.moofSize()
	w := writer{b: append(b.boxes[:0], make([]byte, partBoxSize)...)}
	b.appendMoof(&w, moofSize)
	moof := w.b[partBoxSize:]
	at := w.open("mdat")
	binary.BigEndian.PutUint32(w.b[at:], uint32(boxHead+b.Size()))
	b.boxes = w.b

	begin, boxes := len(dst), len(w.b)
	dst = slices.Grow(dst, boxes+b.Size())[:begin+boxes]
	for _, track := range [...]int{b.video, b.audio} {
		if track >= 0 {
			dst = b.appendPayload(dst, &b.tracks[track])
		}
	}
	b.hash.Reset()
	b.hash.Write(moof)
	sum := b.describe()
	sum.Bytes = int64(len(dst) - begin)
	sum.Moof = b.digest()
	sum.appendBox(w.b[:0])
	copy(dst[begin:], w.b[:boxes])
	return dst, sum
}

// appendPayload copies the samples of a track and sums them on the way, while the cache still holds them.
func (b *PartBuilder) appendPayload(dst []byte, t *builderTrack) []byte {
	b.hash.Reset()
	for i := range t.samples {
		from := len(dst)
		dst = t.appendSample(dst, i)
		b.hash.Write(dst[from:])
	}
	t.sum = b.digest()
	return dst
}

func (t *builderTrack) appendSample(dst []byte, i int) []byte {
	for _, unit := range t.samples[i].units {
		if t.codec.IsVideo() {
			if len(unit) == 0 {
				continue // players stumble over empty units
			}
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(unit)))
		}
		dst = append(dst, unit...)
	}
	return dst
}

// digest goes through a field of b, since what goes through the interface would else be allocated for each part.
func (b *PartBuilder) digest() [sha256.Size]byte {
	b.hash.Sum(b.scratch[:0])
	return b.scratch
}

// describe returns the sum of what was collected, without the sizes and sums of the boxes.
func (b *PartBuilder) describe() PartSum {
	sum := PartSum{
		Segment: b.segment, Run: b.run, Seq: b.seq,
		StartUs: b.startUs, EndUs: b.startUs + b.lengthUs(), MonoUs: b.monoUs, MediaUs: b.mediaUs,
		Key: b.keySample == 0, KeySample: b.keySample, KeyTime: b.keyTime,
		VideoBytes: uint32(b.payload(b.video)), AudioBytes: uint32(b.payload(b.audio)),
		Video: sha256.Sum256(nil), Audio: sha256.Sum256(nil),
	}
	if b.video >= 0 {
		sum.VideoSamples = uint32(len(b.tracks[b.video].samples))
		sum.Video = b.tracks[b.video].sum
	}
	if b.audio >= 0 {
		sum.AudioSamples = uint32(len(b.tracks[b.audio].samples))
		sum.Audio = b.tracks[b.audio].sum
	}
	return sum
}

// Sizes of the boxes of a moof (ISO/IEC 14496-12 section 8.8).
const (
	mfhdSize = 16
	tfhdSize = 20
	tfdtSize = 20
	trunSize = 20 // without samples
)

// Flags of tfhd and trun, and of samples in them (ISO/IEC 14496-12 sections 8.8.7, 8.8.8 and 8.8.3).
const (
	tfhdFlags     = 0x020020 // offsets count from the moof; default flags of samples
	trunOffset    = 0x000001
	trunDuration  = 0x000100
	trunSampleLen = 0x000200
	trunFlags     = 0x000400
	trunCTS       = 0x000800
	sampleKey     = 0x02000000
	sampleDelta   = 0x01010000
)

func (t *builderTrack) trunLayout() (flags uint32, width int) {
	switch {
	case !t.codec.IsVideo():
		return trunOffset | trunDuration | trunSampleLen, 8
	case t.reordered:
		return trunOffset | trunDuration | trunSampleLen | trunFlags | trunCTS, 16
	default:
		return trunOffset | trunDuration | trunSampleLen | trunFlags, 12
	}
}

func (b *PartBuilder) moofSize() int {
	size := boxHead + mfhdSize
	for i := range b.tracks {
		if t := &b.tracks[i]; len(t.samples) > 0 {
			_, width := t.trunLayout()
			size += boxHead + tfhdSize + tfdtSize + trunSize + width*len(t.samples)
		}
	}
	return size
}

func (b *PartBuilder) appendMoof(w *writer, size int) {
	moof := w.open("moof")
	at := w.openFull("mfhd", 0, 0)
	w.u32(b.seq)
	w.close(at)
	for _, i := range [...]int{b.video, b.audio} {
		if i < 0 || len(b.tracks[i].samples) == 0 {
			continue
		}
		t := &b.tracks[i]
		traf := w.open("traf")
		at = w.openFull("tfhd", 0, tfhdFlags)
		w.u32(uint32(i + 1))
		w.u32(sampleKey)
		w.close(at)
		at = w.openFull("tfdt", 1, 0)
		w.i64(t.first)
		w.close(at)
		offset := size + boxHead
		if i == b.audio {
			offset += b.payload(b.video)
		}
		t.appendTrun(w, offset)
		w.close(traf)
	}
	w.close(moof)
}

func (t *builderTrack) appendTrun(w *writer, offset int) {
	flags, _ := t.trunLayout()
	at := w.openFull("trun", 1, flags)
	w.u32(uint32(len(t.samples)))
	w.u32(uint32(offset))
	for i := range t.samples {
		s := &t.samples[i]
		w.u32(s.duration)
		w.u32(s.size)
		if flags&trunFlags != 0 {
			if s.key {
				w.u32(sampleKey)
			} else {
				w.u32(sampleDelta)
			}
		}
		if flags&trunCTS != 0 {
			w.u32(uint32(s.cts))
		}
	}
	w.close(at)
}

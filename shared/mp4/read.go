package mp4

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
)

// SampleInfo says where one sample lies in a segment file.
type SampleInfo struct {
	Track    int
	DTS      int64 // as in Sample
	CTS      int32
	Duration uint32
	Key      bool
	Offset   int64 // in the file
	Size     uint32
}

// Part is one part of a segment file: where it lies and which samples it has, video first, each track in DTS order.
type Part struct {
	Offset, Size int64
	Sum          PartSum
	Samples      []SampleInfo

	video int // index of the video track, -1 when there is none
}

// Parts yields the parts of a segment of size bytes in order. It checks part headers and sample tables, not payloads
// (Recover and VerifySegment do). A torn or damaged tail, or the seal, ends the sequence without an error, so that a
// segment can be read while it is written; an unreadable header or a failing disk yields one error and ends it.
func Parts(r io.ReaderAt, size int64) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		h, off, err := ReadHeader(r, size)
		if err != nil {
			yield(Part{}, err)
			return
		}
		for seq := uint32(1); seq <= MaxParts; seq++ {
			p, err := ReadPart(r, size, off, h)
			if errors.Is(err, ErrFormat) || err == nil && p.Sum.Seq != seq {
				return
			}
			if !yield(p, err) || err != nil {
				return
			}
			off += p.Size
		}
	}
}

// firstRead is what ReadPart reads at first: enough for the boxes of nearly every part.
const firstRead = 4096

// ReadPart reads the part at offset off of a segment with header h. The error wraps ErrFormat when no whole part with
// a sound header and sample table begins there (yet). The part after it begins at Offset+Size.
func ReadPart(r io.ReaderAt, size, off int64, h Header) (Part, error) {
	p, err := readPart(r, size, off, &h)
	if err != nil {
		return Part{}, fmt.Errorf("read part at %d: %w", off, err)
	}
	return p, nil
}

func readPart(r io.ReaderAt, size, off int64, h *Header) (Part, error) {
	b, err := readAt(r, size, off, int(min(firstRead, max(size-off, partBoxSize))))
	if err != nil {
		return Part{}, err
	}
	sum, err := parsePartBox(b[:partBoxSize])
	if err != nil {
		return Part{}, err
	}
	if sum.Segment != h.Segment || sum.Run != h.Run {
		return Part{}, fmt.Errorf("part of segment %d, run %d in segment %d, run %d: %w",
			sum.Segment, sum.Run, h.Segment, h.Run, ErrFormat)
	}
	if sum.Bytes > size-off {
		return Part{}, fmt.Errorf("part of %d bytes, only %d there: %w", sum.Bytes, size-off, ErrFormat)
	}
	if end := partBoxSize + sum.moofSize() + boxHead; end > len(b) {
		if b, err = readAt(r, size, off, end); err != nil {
			return Part{}, err
		}
	}
	moof, mdat := b[partBoxSize:partBoxSize+sum.moofSize()], b[partBoxSize+sum.moofSize():]
	if binary.BigEndian.Uint32(mdat) != boxHead+sum.VideoBytes+sum.AudioBytes || string(mdat[4:8]) != "mdat" {
		return Part{}, fmt.Errorf("mdat does not fit the part header: %w", ErrFormat)
	}
	samples, err := parseMoof(moof, &sum, h, off+partBoxSize)
	if err != nil {
		return Part{}, err
	}
	return Part{Offset: off, Size: sum.Bytes, Sum: sum, Samples: samples, video: h.track(true)}, nil
}

// parseMoof checks a moof box against the part's sum and returns its samples. at is where the moof begins in the file.
func parseMoof(moof []byte, sum *PartSum, h *Header, at int64) ([]SampleInfo, error) {
	if sha256.Sum256(moof) != sum.Moof {
		return nil, fmt.Errorf("sum of the sample table does not hold: %w", ErrFormat)
	}
	r := reader{b: moof}
	typ, body := r.box()
	if typ != cc("moof") || r.short || len(r.b) > 0 {
		return nil, fmt.Errorf("box %q where moof was expected: %w", typ, ErrFormat)
	}
	m := moofParser{h: h, at: at, data: at + int64(len(moof)) + boxHead}
	m.samples = make([]SampleInfo, 0, min(len(moof)/8, int(sum.VideoSamples+sum.AudioSamples)))
	err := children(body, func(typ fourcc, body []byte) error {
		switch typ {
		case cc("mfhd"):
			if r := (reader{b: body}); r.uint(8) != uint64(sum.Seq) {
				return fmt.Errorf("not number %d: %w", sum.Seq, ErrFormat)
			}
			return nil
		case cc("traf"):
			return m.traf(body)
		}
		return fmt.Errorf("unexpected: %w", ErrFormat)
	})
	if err != nil {
		return nil, err
	}
	if m.counts != [2]uint32{sum.VideoSamples, sum.AudioSamples} || m.bytes != [2]int64{int64(sum.VideoBytes), int64(sum.AudioBytes)} {
		return nil, fmt.Errorf("sample table and part header count differently: %w", ErrFormat)
	}
	return m.samples, nil
}

// moofParser reads the trafs of one moof: at most one of video and one of audio, in this order, each with one run of
// samples that follow one another in the mdat.
type moofParser struct {
	h       *Header
	at      int64 // of the moof in the file
	data    int64 // where the next run must begin
	samples []SampleInfo
	counts  [2]uint32 // video, audio
	bytes   [2]int64
}

func (m *moofParser) traf(body []byte) error {
	r := reader{b: body}
	typ, box := r.box()
	head := reader{b: box}
	flags, id, deflt := head.u32(), head.u32(), head.u32()
	if typ != cc("tfhd") || flags != tfhdFlags || head.short || id < 1 || id > uint32(len(m.h.Tracks)) || deflt != sampleKey {
		return fmt.Errorf("track fragment header: %w", ErrFormat)
	}
	track := int(id - 1)
	kind := 1
	if m.h.Tracks[track].Codec.IsVideo() {
		kind = 0
	}
	if m.counts[kind] > 0 || m.counts[1] > 0 {
		return fmt.Errorf("second run of a track: %w", ErrFormat)
	}
	typ, box = r.box()
	head = reader{b: box}
	version, dts := head.u32(), head.i64()
	if typ != cc("tfdt") || version != 1<<24 || head.short || dts < 0 || dts > maxMedia {
		return fmt.Errorf("decode time: %w", ErrFormat)
	}
	typ, box = r.box()
	if typ != cc("trun") || r.short || len(r.b) > 0 {
		return fmt.Errorf("run of samples: %w", ErrFormat)
	}
	return m.trun(box, track, kind, dts)
}

func (m *moofParser) trun(body []byte, track, kind int, dts int64) error {
	r := reader{b: body}
	head := r.u32()
	flags := head & 0xffffff
	width := 8
	if flags&trunFlags != 0 {
		width += 4
	}
	if flags&trunCTS != 0 {
		width += 4
	}
	const must = trunOffset | trunDuration | trunSampleLen
	if head>>24 != 1 || flags&must != must || flags&^(must|trunFlags|trunCTS) != 0 {
		return fmt.Errorf("flags %#x: %w", flags, ErrFormat)
	}
	n := r.u32()
	offset := m.at + int64(int32(r.u32()))
	if r.short || n == 0 || n > MaxSamples || int(n)*width != len(r.b) || offset != m.data {
		return fmt.Errorf("%d samples in %d bytes: %w", n, len(body), ErrFormat)
	}
	for range n {
		s := SampleInfo{Track: track, DTS: dts, Duration: r.u32(), Size: r.u32(), Offset: m.data}
		if flags&trunFlags != 0 {
			s.Key = r.u32() == sampleKey
		}
		if flags&trunCTS != 0 {
			s.CTS = int32(r.u32())
		}
		m.samples = append(m.samples, s)
		dts += int64(s.Duration)
		m.data += int64(s.Size)
		m.bytes[kind] += int64(s.Size)
	}
	m.counts[kind] = n
	return nil
}

// ReadSamples reads the samples of a part with their bytes, in the order of p.Samples. Units share one new buffer.
func ReadSamples(r io.ReaderAt, p Part) ([]Sample, error) {
	if len(p.Samples) == 0 {
		return nil, nil
	}
	from, total := p.Samples[0].Offset, int64(p.Sum.VideoBytes)+int64(p.Sum.AudioBytes)
	if total > MaxPart {
		return nil, fmt.Errorf("read samples: part of %d bytes: %w", total, ErrTooLarge)
	}
	buf := make([]byte, total)
	if err := readFull(r, from, buf); err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	samples := make([]Sample, len(p.Samples))
	for i, info := range p.Samples {
		at := info.Offset - from
		if at < 0 || at+int64(info.Size) > total {
			return nil, fmt.Errorf("read samples: sample outside its part: %w", ErrFormat)
		}
		data := buf[at : at+int64(info.Size) : at+int64(info.Size)]
		s := Sample{Track: info.Track, DTS: info.DTS, CTS: info.CTS, Duration: info.Duration, Key: info.Key}
		if info.Track == p.video {
			var err error
			if s.Units, err = splitUnits(data); err != nil {
				return nil, fmt.Errorf("read samples: sample %d: %w", i, err)
			}
		} else {
			s.Units = [][]byte{data}
		}
		samples[i] = s
	}
	return samples, nil
}

// splitUnits cuts a video sample into its NAL units, each behind a length of four bytes.
func splitUnits(data []byte) ([][]byte, error) {
	n := 0
	for r := (reader{b: data}); len(r.b) > 0; n++ {
		if r.block(); r.short {
			return nil, fmt.Errorf("NAL unit longer than its sample: %w", ErrFormat)
		}
	}
	units := make([][]byte, 0, n)
	for r := (reader{b: data}); len(r.b) > 0; {
		units = append(units, r.block())
	}
	return units, nil
}

// CheckPart reads the payload of p and compares it with p.Sum; the error wraps ErrFormat when it does not hold.
func CheckPart(r io.ReaderAt, p Part) error {
	c := checker{r: r}
	if err := c.check(&p); err != nil {
		return fmt.Errorf("check part %d: %w", p.Sum.Seq, err)
	}
	return nil
}

// readSize is how much is read at once where a payload is gone through.
const readSize = 256 << 10

// checker compares payloads with sums, part after part, through one buffer.
type checker struct {
	r   io.ReaderAt
	buf []byte
	sum hash.Hash
}

func (c *checker) check(p *Part) error {
	at := p.Offset + partBoxSize + int64(p.Sum.moofSize()) + boxHead
	if err := c.hash(at, int64(p.Sum.VideoBytes), p.Sum.Video); err != nil {
		return fmt.Errorf("video: %w", err)
	}
	if err := c.hash(at+int64(p.Sum.VideoBytes), int64(p.Sum.AudioBytes), p.Sum.Audio); err != nil {
		return fmt.Errorf("audio: %w", err)
	}
	return nil
}

// hash reads n bytes at off and compares their SHA-256 with want.
func (c *checker) hash(off, n int64, want [32]byte) error {
	if c.sum == nil {
		c.sum = sha256.New()
	}
	if want := min(n, readSize); int64(len(c.buf)) < want {
		c.buf = make([]byte, want)
	}
	c.sum.Reset()
	for n > 0 {
		b := c.buf[:min(n, int64(len(c.buf)))]
		if err := readFull(c.r, off, b); err != nil {
			return err
		}
		c.sum.Write(b)
		off, n = off+int64(len(b)), n-int64(len(b))
	}
	var got [sha256.Size]byte
	if c.sum.Sum(got[:0]); got != want {
		return fmt.Errorf("sum of the payload does not hold: %w", ErrFormat)
	}
	return nil
}

package mp4

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

func TestSegmentPlaysEverywhereFfmpegDoes(t *testing.T) {
	for _, c := range []struct{ video, audio string }{
		{"h265b", ""}, {"h264", "aac2"}, {"h264b", "opus"}, {"h264", "pcmu"}, {"h264", "pcma"}, {"h265", "aac"},
	} {
		t.Run(c.video+c.audio, func(t *testing.T) {
			t.Parallel()
			m := encoded(t, c.video, c.audio, 12, "testsrc2")
			pub, key := testKey()
			rec := record(t, header(1, m.tracks, t0), m.samples, 1_000_000, key)
			file := save(t, rec.file)
			ffmpegSilent(t, file)
			p := ffprobe(t, file)
			if got := p.Streams[0].Frames; got != strconv.Itoa(12*fps) {
				t.Errorf("%s frames of video, want %d", got, 12*fps)
			}
			if len(p.Streams) != len(m.tracks) {
				t.Errorf("%d streams, want %d", len(p.Streams), len(m.tracks))
			}
			if c.audio != "" {
				checkAudioLength(t, &m, file)
			}
			rep, err := VerifySegment(bytes.NewReader(rec.file), int64(len(rec.file)), pub)
			if err != nil || !rep.OK || rep.Parts != len(rec.parts) {
				t.Errorf("verify: %v, %+v", err, rep)
			}
		})
	}
}

// checkAudioLength compares the decoded sound with what went in.
func checkAudioLength(t *testing.T, m *material, file string) {
	t.Helper()
	var want float64
	for _, s := range m.samples {
		if s.Track == 1 {
			want += float64(s.Duration) / float64(m.tracks[1].Timescale)
		}
	}
	got, err := decodedSeconds(file)
	if err != nil {
		t.Fatal(err)
	}
	if got < want-0.07 || got > want+0.07 {
		t.Errorf("%.3f s of sound, want %.3f", got, want)
	}
}

func TestSegmentReadsBackAsWritten(t *testing.T) {
	m := encoded(t, "h264b", "aac", 12, "testsrc2")
	h := header(77, m.tracks, t0)
	h.Origin, h.Discontinuity, h.Base = "nvr", true, []int64{123456789, -5}
	_, key := testKey()
	rec := record(t, h, m.samples, 1_000_000, key)
	r, size := rec.reader()
	got, initSize, err := ReadHeader(r, size)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, h) || initSize != int64(len(rec.init)) {
		t.Fatalf("header %+v of %d bytes, want %+v of %d", got, initSize, h, len(rec.init))
	}
	var samples []Sample
	off, n := initSize, 0
	for p, err := range Parts(r, size) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Offset != off || p.Sum != rec.parts[n] {
			t.Fatalf("part %d at %d is %+v, want %+v at %d", n, p.Offset, p.Sum, rec.parts[n], off)
		}
		if err := CheckPart(r, p); err != nil {
			t.Fatal(err)
		}
		more, err := ReadSamples(r, p)
		if err != nil {
			t.Fatal(err)
		}
		checkSum(t, &h, &p)
		samples = append(samples, more...)
		off, n = off+p.Size, n+1
	}
	if n != len(rec.parts) {
		t.Fatalf("%d parts, want %d", n, len(rec.parts))
	}
	for track := range m.tracks {
		of := func(all []Sample) []Sample {
			return slices.DeleteFunc(slices.Clone(all), func(s Sample) bool { return s.Track != track })
		}
		if track == 1 { // audio frames are always key frames in a file
			for i := range m.samples {
				m.samples[i].Key = m.samples[i].Key && m.samples[i].Track == 0
			}
		}
		if want := of(m.samples); !reflect.DeepEqual(of(samples), want) {
			t.Fatalf("track %d does not read back", track)
		}
	}
}

// checkSum compares what a part says about itself with its samples.
func checkSum(t *testing.T, h *Header, p *Part) {
	t.Helper()
	first := p.Samples[0]
	if want := h.StartUs + p.Sum.MediaUs; p.Sum.StartUs != want || p.Sum.MonoUs-p.Sum.StartUs != h.MonoUs-h.StartUs {
		t.Errorf("part %d begins at %d wall, %d mono, want %d wall", p.Sum.Seq, p.Sum.StartUs, p.Sum.MonoUs, want)
	}
	last := p.Samples[p.Sum.VideoSamples-1]
	end := h.StartUs + toUs(last.DTS+int64(last.Duration), h.Tracks[0].Timescale)
	if p.Sum.EndUs < end || p.Sum.EndUs > end+70_000 {
		t.Errorf("part %d ends at %d, its video at %d", p.Sum.Seq, p.Sum.EndUs, end)
	}
	if p.Sum.Key != first.Key {
		t.Errorf("part %d: key %v", p.Sum.Seq, p.Sum.Key)
	}
	if k := p.Sum.KeySample; k >= 0 && p.Sum.KeyTime != p.Samples[k].DTS+int64(p.Samples[k].CTS) {
		t.Errorf("part %d: key frame at %d, its sample at %d", p.Sum.Seq, p.Sum.KeyTime, p.Samples[k].DTS)
	}
}

func small(t testing.TB, key bool) recorded {
	m := encoded(t, "h264b", "opus", 1, "color")
	_, private := testKey()
	if !key {
		private = nil
	}
	return record(t, header(5, m.tracks, t0), m.samples, 250_000, private)
}

func TestTornTailAtEveryByte(t *testing.T) {
	rec := small(t, true)
	if len(rec.parts) < 3 {
		t.Fatalf("only %d parts", len(rec.parts))
	}
	for size := range len(rec.file) + 1 {
		r := bytes.NewReader(rec.file[:size])
		got, err := Recover(r, int64(size))
		if size < len(rec.init) {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("the first %d bytes, less than the header, give %v", size, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("the first %d bytes: %v", size, err)
		}
		want, n := len(rec.init), 0
		for n < len(rec.ends) && rec.ends[n] <= size {
			want = rec.ends[n]
			n++
		}
		if sealed := size == len(rec.file); sealed != got.Sealed {
			t.Fatalf("the first %d of %d bytes: sealed %v", size, len(rec.file), got.Sealed)
		} else if sealed {
			want = size
		}
		if got.Whole != int64(want) || !slices.Equal(got.Parts, rec.parts[:n]) {
			t.Fatalf("the first %d bytes: keep %d with %d parts, want %d with %d", size, got.Whole, len(got.Parts), want, n)
		}
	}
}

func TestRecoveredSegmentSealsAndPlays(t *testing.T) {
	rec := small(t, false)
	torn := rec.file[:rec.ends[len(rec.ends)-2]+100]
	got, err := Recover(bytes.NewReader(torn), int64(len(torn)))
	if err != nil {
		t.Fatal(err)
	}
	pub, key := testKey()
	again := recorded{header: got.Header, init: torn[:got.InitSize], file: torn[:got.Whole:got.Whole], parts: got.Parts}
	again.seal(t, key)
	r, size := again.reader()
	rep, err := VerifySegment(r, size, pub)
	if err != nil || !rep.OK || rep.Parts != len(rec.parts)-1 {
		t.Fatalf("verify: %v, %+v", err, rep)
	}
	ffmpegSilent(t, save(t, again.file))
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	rec := small(t, true)
	pub, _ := testKey()
	for i := 0; i < len(rec.file); i++ {
		if i > rec.ends[0] && i < rec.ends[len(rec.ends)-1] {
			i += 4 // the parts are all alike
		}
		bad := bytes.Clone(rec.file)
		bad[i] ^= 1 << (i % 8)
		r, size := bytes.NewReader(bad), int64(len(bad))
		if rep, err := VerifySegment(r, size, pub); err == nil && rep.OK {
			t.Fatalf("bit flipped in byte %d of %d: verified", i, size)
		}
		got, err := Recover(r, size)
		if i < len(rec.init) {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("bit flipped in byte %d of the header: %v", i, err)
			}
			continue
		}
		part := slices.IndexFunc(rec.ends, func(end int) bool { return i < end })
		if part >= 0 && (err != nil || len(got.Parts) != part || got.Sealed) {
			t.Fatalf("bit flipped in byte %d of part %d: %d parts kept, %v", i, part, len(got.Parts), err)
		}
	}
}

func TestVerifyNamesTheBadParts(t *testing.T) {
	rec := small(t, true)
	pub, _ := testKey()
	n := uint32(len(rec.parts))
	begin := func(part uint32) int { // from 1
		if part == 1 {
			return len(rec.init)
		}
		return rec.ends[part-2]
	}
	end := func(part uint32) int { return rec.ends[part-1] }
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		bad    []uint32
	}{
		"payload":       {func(b []byte) []byte { b[end(2)-1] ^= 4; return b }, []uint32{2}},
		"part header":   {func(b []byte) []byte { b[begin(2)+40] ^= 4; return b }, []uint32{2}},
		"first bytes":   {func(b []byte) []byte { b[begin(1)+1] ^= 4; return b }, []uint32{1}},
		"last part":     {func(b []byte) []byte { b[end(n)-3] ^= 4; return b }, []uint32{n}},
		"part cut out":  {func(b []byte) []byte { return slices.Delete(b, begin(2), end(2)) }, []uint32{2}},
		"two parts bad": {func(b []byte) []byte { b[end(1)-1] ^= 4; b[end(3)-1] ^= 4; return b }, []uint32{1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			bad := c.change(bytes.Clone(rec.file))
			rep, err := VerifySegment(bytes.NewReader(bad), int64(len(bad)), pub)
			if err != nil {
				t.Fatal(err)
			}
			if rep.OK || !slices.Equal(rep.BadParts, c.bad) || rep.Parts != int(n)-len(c.bad) || !rep.Signed {
				t.Fatalf("%+v", rep)
			}
		})
	}
}

func TestVerifyRefusesSwappedAndForeignParts(t *testing.T) {
	rec := small(t, true)
	pub, _ := testKey()
	m := encoded(t, "h264b", "opus", 1, "color")
	h := header(5, m.tracks, t0+1)
	forged := record(t, h, m.samples, 250_000, nil)
	tail := rec.file[rec.ends[len(rec.ends)-1]:]

	swapped := slices.Concat(rec.file[:rec.ends[0]], rec.file[rec.ends[1]:rec.ends[2]], rec.file[rec.ends[0]:rec.ends[1]], rec.file[rec.ends[2]:])
	doubled := slices.Concat(rec.file[:rec.ends[0]], rec.file[len(rec.init):])
	other := slices.Concat(rec.init, forged.file[len(forged.init):], tail)
	for name, bad := range map[string][]byte{"swapped": swapped, "doubled": doubled, "other times": other} {
		rep, err := VerifySegment(bytes.NewReader(bad), int64(len(bad)), pub)
		if err != nil || rep.OK || len(rep.Problems) == 0 {
			t.Errorf("%s: %v, %+v", name, err, rep)
		}
	}
	rep, err := VerifySegment(bytes.NewReader(rec.file), int64(len(rec.file)))
	if err != nil || rep.OK || rep.Signed || rep.Parts != len(rec.parts) {
		t.Errorf("without a key: %v, %+v", err, rep)
	}
	open := small(t, false)
	r, size := open.reader()
	if rep, err = VerifySegment(r, size, pub); err != nil || rep.OK || rep.Sealed || rep.Parts != len(open.parts) {
		t.Errorf("open segment: %v, %+v", err, rep)
	}
}

func TestSealIsFoundFromTheEnd(t *testing.T) {
	rec := small(t, true)
	r, size := rec.reader()
	_, leaves, off, err := ReadSeal(r, size)
	if err != nil || off != int64(rec.ends[len(rec.ends)-1]) || len(leaves) != len(rec.parts) || leaves[1] != rec.parts[1].Leaf() {
		t.Fatalf("seal at %d with %d leaves: %v", off, len(leaves), err)
	}
	for size := range len(rec.file) {
		if _, _, _, err := ReadSeal(bytes.NewReader(rec.file[:size]), int64(size)); !errors.Is(err, ErrNoSeal) && !errors.Is(err, ErrFormat) {
			t.Fatalf("the first %d bytes have a seal: %v", size, err)
		}
	}
}

func TestBuilderRefusals(t *testing.T) {
	m := encoded(t, "h264", "aac", 12, "testsrc2")
	b, err := NewPartBuilder(header(1, m.tracks, t0))
	if err != nil {
		t.Fatal(err)
	}
	if part, sum := b.AppendTo(nil); part != nil || sum != (PartSum{}) {
		t.Fatal("an empty part has bytes")
	}
	unit := [][]byte{{0x65, 1, 2, 3}}
	if err := b.Add(Sample{DTS: 100, Units: unit, Key: true, Duration: 50}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		s    Sample
		want error
	}{
		"same DTS":     {Sample{DTS: 100, Units: unit}, ErrOrder},
		"negative DTS": {Sample{Track: 1, DTS: -1, Units: unit}, ErrOrder},
		"no track":     {Sample{Track: 2, DTS: 1, Units: unit}, ErrFormat},
		"no bytes":     {Sample{DTS: 200, Units: [][]byte{{}}}, ErrFormat},
		"too far":      {Sample{DTS: 1 << 40, Units: unit}, ErrTooLarge},
		"too large":    {Sample{DTS: 200, Units: [][]byte{make([]byte, MaxPart)}}, ErrTooLarge},
	} {
		if err := b.Add(c.s); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	one, sum := b.AppendTo(nil)
	first := bytes.Clone(one)
	if sum.VideoSamples != 1 || b.Size() != 8 || b.Duration().Microseconds() != 555 {
		t.Fatalf("refused samples left a trace: %+v, %d bytes, %v", sum, b.Size(), b.Duration())
	}
	if again, _ := b.AppendTo([]byte("x")); !bytes.Equal(again[1:], first) {
		t.Fatal("a part that is put together twice differs")
	}
	if err := b.Add(Sample{Track: 1, DTS: 7, Units: unit}); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(Sample{DTS: 150, Units: [][]byte{{0x41}, {}, {0x41, 2}}}); err != nil {
		t.Fatal(err)
	}
	part, _ := b.AppendTo(nil)
	h := header(1, m.tracks, t0)
	p, err := ReadPart(bytes.NewReader(part), int64(len(part)), 0, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckPart(bytes.NewReader(part), p); err != nil {
		t.Fatal(err)
	}
	samples, err := ReadSamples(bytes.NewReader(part), p)
	if err != nil || len(samples) != 3 || len(samples[1].Units) != 2 || samples[0].Duration != 50 {
		t.Fatalf("%v, %+v", err, samples)
	}
}

func TestBuilderGrowsWithoutHarm(t *testing.T) {
	m := encoded(t, "h264", "aac", 12, "testsrc2")
	h := header(1, m.tracks, t0)
	b, err := NewPartBuilder(h)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint32(1); seq <= 3; seq++ {
		b.Reset(seq, t0, 0)
		for i := range 3000 {
			unit := [][]byte{bytes.Repeat([]byte{byte(i)}, 1+i%50)}
			if err := errors.Join(b.Add(Sample{DTS: int64(i), CTS: 1, Units: unit}), b.Add(Sample{Track: 1, DTS: int64(i), Units: unit})); err != nil {
				t.Fatal(err)
			}
			if i%700 == 0 {
				b.AppendTo(nil)
			}
		}
		part, _ := b.AppendTo(nil)
		p, err := ReadPart(bytes.NewReader(part), int64(len(part)), 0, h)
		if err != nil || len(p.Samples) != 6000 {
			t.Fatal(err)
		}
		if err := CheckPart(bytes.NewReader(part), p); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHeaderRefusals(t *testing.T) {
	m := encoded(t, "h264", "aac", 12, "testsrc2")
	good := header(1, m.tracks, t0)
	for name, change := range map[string]func(h *Header){
		"no tracks":   func(h *Header) { h.Tracks, h.Base = nil, nil },
		"two videos":  func(h *Header) { h.Tracks, h.Base = append(h.Tracks, h.Tracks[0]), make([]int64, 3) },
		"long text":   func(h *Header) { h.Camera = string(make([]byte, 256)) },
		"no base":     func(h *Header) { h.Base = nil },
		"no SPS":      func(h *Header) { h.Tracks[0].SPS = nil },
		"wrong PPS":   func(h *Header) { h.Tracks[0].PPS = h.Tracks[0].SPS },
		"no size":     func(h *Header) { h.Tracks[0].Width = 0 },
		"no scale":    func(h *Header) { h.Tracks[0].Timescale = 0 },
		"no ASC":      func(h *Header) { h.Tracks[1].ASC = nil },
		"no channels": func(h *Header) { h.Tracks[1].Channels = 0 },
		"no codec":    func(h *Header) { h.Tracks[1].Codec = 0 },
	} {
		h := good
		h.Tracks = slices.Clone(good.Tracks)
		change(&h)
		if _, err := AppendInit(nil, h); err == nil {
			t.Errorf("%s: written", name)
		}
		if _, err := NewPartBuilder(h); err == nil {
			t.Errorf("%s: built", name)
		}
	}
}

func TestMIME(t *testing.T) {
	for codec, want := range map[string]string{"aac": "mp4a.40.2", "opus": "opus", "pcmu": "ulaw", "pcma": "alaw"} {
		m := encoded(t, "h264", codec, 12, "testsrc2")
		if got := m.tracks[1].MIME(); got != want {
			t.Errorf("%s: %q, want %q", codec, got, want)
		}
		if want := fmt.Sprintf("avc1.%x", m.tracks[0].SPS[1:4]); m.tracks[0].MIME() != want {
			t.Errorf("%q, want %q", m.tracks[0].MIME(), want)
		}
	}
	m := encoded(t, "h265", "", 12, "testsrc2")
	if got, want := m.tracks[0].MIME(), "hvc1.1.6.L30.90"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// Main 10, high tier: ISO/IEC 14496-15 annex E.3.
	if got := mimeH265([12]byte{0x22, 0x20, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 153}); got != "hvc1.2.4.H153.b0" {
		t.Errorf("%q", got)
	}
	if got := (&Track{Codec: H264}).MIME(); got != "" {
		t.Errorf("an invalid track is %q", got)
	}
}

package mp4

import (
	"bytes"
	"io"
	"testing"
)

// second is one second of a 2 Mbit/s camera with sound: 25 pictures, one of them a key frame, and 50 audio frames.
func second() (Header, []Sample) {
	key := bytes.Repeat([]byte{0x65}, 60_000)
	delta := bytes.Repeat([]byte{0x41}, 7_900)
	sound := bytes.Repeat([]byte{0xd5}, 160)
	var samples []Sample
	for i := range 25 {
		s := Sample{DTS: int64(i) * 3600, Duration: 3600, Key: i == 0, Units: [][]byte{delta}}
		if i == 0 {
			s.Units = [][]byte{key[:30], key[:5], key}
		}
		samples = append(samples, s)
		for k := range 2 {
			samples = append(samples, Sample{Track: 1, DTS: int64(2*i+k) * 160, Duration: 160, Units: [][]byte{sound}})
		}
	}
	tracks := []Track{
		{Codec: H264, Timescale: 90000, SPS: []byte{0x67, 0x64, 0, 0x1f, 0xac}, PPS: []byte{0x68, 0xee, 1}, Width: 1920, Height: 1080},
		{Codec: PCMA, Timescale: 8000, SampleRate: 8000, Channels: 1},
	}
	return header(1, tracks, t0), samples
}

func buildPart(tb testing.TB, b *PartBuilder, samples []Sample, seq uint32, into []byte) []byte {
	b.Reset(seq, t0, 0)
	for i := range samples {
		if err := b.Add(samples[i]); err != nil {
			tb.Fatal(err)
		}
	}
	part, _ := b.AppendTo(into)
	return part
}

func TestBuilderAllocatesNothing(t *testing.T) {
	h, samples := second()
	b, err := NewPartBuilder(h)
	if err != nil {
		t.Fatal(err)
	}
	buf := buildPart(t, b, samples, 1, nil)
	if n := testing.AllocsPerRun(20, func() { buildPart(t, b, samples, 3, buf[:0]) }); n != 0 {
		t.Fatalf("%v allocations for a part", n)
	}
}

// One operation is one second of one stream: 64 streams need 64 operations a second.
func BenchmarkPartBuilder(b *testing.B) {
	h, samples := second()
	builder, err := NewPartBuilder(h)
	if err != nil {
		b.Fatal(err)
	}
	buf := buildPart(b, builder, samples, 1, nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	seq := uint32(0)
	for b.Loop() {
		seq++
		buildPart(b, builder, samples, seq, buf[:0])
	}
}

func minute(tb testing.TB) recorded {
	h, samples := second()
	rec := recorded{header: h}
	var err error
	if rec.init, err = AppendInit(nil, h); err != nil {
		tb.Fatal(err)
	}
	rec.file = bytes.Clone(rec.init)
	b, err := NewPartBuilder(h)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range 60 {
		b.Reset(uint32(i+1), t0+int64(i)*1e6, int64(i)*1e6)
		for _, s := range samples {
			s.DTS += int64(i) * int64(h.Tracks[s.Track].Timescale)
			if err := b.Add(s); err != nil {
				tb.Fatal(err)
			}
		}
		part, sum := b.AppendTo(nil)
		rec.file = append(rec.file, part...)
		rec.parts = append(rec.parts, sum)
	}
	_, key := testKey()
	rec.seal(tb, key)
	return rec
}

func BenchmarkRecover(b *testing.B) {
	rec := minute(b)
	b.SetBytes(int64(len(rec.file)))
	for b.Loop() {
		r, size := rec.reader()
		if got, err := Recover(r, size); err != nil || !got.Sealed {
			b.Fatal(err)
		}
	}
}

func BenchmarkParts(b *testing.B) {
	rec := minute(b)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range Parts(bytes.NewReader(rec.file), int64(len(rec.file))) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 60 {
			b.Fatal(n)
		}
	}
}

func BenchmarkClip(b *testing.B) {
	rec := minute(b)
	b.SetBytes(int64(len(rec.file)))
	b.ReportAllocs()
	for b.Loop() {
		w, err := NewClipWriter(ClipConfig{FromUs: t0 + 500_000, ToUs: t0 + 59_500_000})
		if err != nil {
			b.Fatal(err)
		}
		r, size := rec.reader()
		if err := w.AddSegment(r, size); err != nil {
			b.Fatal(err)
		}
		clip, err := w.Finish()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := clip.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	rec := minute(b)
	_, key := testKey()
	for b.Loop() {
		one := recorded{header: rec.header, init: rec.init, parts: rec.parts}
		one.seal(b, key)
	}
}

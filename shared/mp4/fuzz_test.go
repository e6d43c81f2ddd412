package mp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// Checksums keep a fuzzer out, so each target also tries its input with the checksums made right.

// fix sets the checksums of the opening and of each of our boxes that is where the sizes say.
func fix(b []byte) []byte {
	b = bytes.Clone(b)
	for off, n := 0, 0; off+uuidHead+4 <= len(b) && n < 1000; n++ {
		size := int(binary.BigEndian.Uint32(b[off:]))
		if size < boxHead || size > len(b)-off {
			break
		}
		end := off + size
		switch {
		case string(b[off+4:off+8]) == "moov" && size > 12:
			binary.BigEndian.PutUint32(b[end-4:], checksum(b[:end-4]))
		case string(b[off+4:off+8]) == "uuid" && size > uuidHead+4:
			binary.BigEndian.PutUint32(b[end-4:], checksum(b[off:end-4]))
		}
		off = end
	}
	return b
}

func FuzzHeader(f *testing.F) {
	rec := minute(f)
	f.Add(rec.init)
	f.Add(rec.init[:100])
	h, _ := second()
	h.Tracks[0] = Track{
		Codec: H265, Timescale: 90000, VPS: []byte{0x40, 1, 2}, Width: 640, Height: 480,
		SPS: append([]byte{0x42, 1, 1}, make([]byte, 20)...), PPS: []byte{0x44, 1, 2},
	}
	h.Tracks[1] = Track{Codec: AAC, Timescale: 16000, ASC: []byte{0x14, 0x08}, SampleRate: 16000, Channels: 1}
	init, err := AppendInit(nil, h)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(init)
	f.Fuzz(func(t *testing.T, b []byte) {
		b = fix(b)
		h, n, err := ReadHeader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		// What was taken can be written, and reads the same.
		again, err := AppendInit(nil, h)
		if err != nil {
			t.Fatalf("%+v: %v", h, err)
		}
		h2, _, err := ReadHeader(bytes.NewReader(again), int64(len(again)))
		if err != nil || n > int64(len(b)) {
			t.Fatal(err)
		}
		for i := range h.Tracks {
			if !h.Tracks[i].Equal(&h2.Tracks[i]) || h.Tracks[i].MIME() == "" {
				t.Fatalf("%+v reads as %+v", h.Tracks[i], h2.Tracks[i])
			}
		}
	})
}

func FuzzParts(f *testing.F) {
	h, samples := second()
	for i := range samples {
		samples[i].Units = [][]byte{samples[i].Units[0][:3]}
	}
	_, key := testKey()
	rec := record(f, h, samples, 300_000, key)
	f.Add(rec.file)
	f.Add(rec.file[:len(rec.file)-200])
	f.Add(rec.file[:rec.ends[1]+50])
	pub, _ := testKey()
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, fix(b)} {
			r, size := bytes.NewReader(b), int64(len(b))
			whole := int64(0)
			for p, err := range Parts(r, size) {
				if err != nil {
					if !errors.Is(err, ErrFormat) {
						t.Fatal(err)
					}
					break
				}
				if p.Offset < whole || p.Offset+p.Size > size {
					t.Fatalf("part at %d of %d bytes in a file of %d", p.Offset, p.Size, size)
				}
				whole = p.Offset + p.Size
				if _, err := ReadSamples(r, p); err != nil && !errors.Is(err, ErrFormat) {
					t.Fatal(err)
				}
			}
			rec, err := Recover(r, size)
			if err == nil && (rec.Whole > size || !rec.Sealed && rec.Whole > max(whole, rec.InitSize)) {
				t.Fatalf("keep %d of %d bytes, parts end at %d", rec.Whole, size, whole)
			}
			if rep, err := VerifySegment(r, size, pub); err == nil && rep.OK && !rec.Sealed {
				t.Fatal("verified what is not whole")
			}
			addToClip(b)
		}
	})
}

// addToClip cuts a clip out of anything.
func addToClip(b []byte) {
	w, err := NewClipWriter(ClipConfig{FromUs: t0 + 100_000, ToUs: t0 + 900_000})
	if err != nil || w.AddSegment(bytes.NewReader(b), int64(len(b))) != nil {
		return
	}
	if clip, err := w.Finish(); err == nil {
		_, _ = clip.ReadAt(make([]byte, clip.Size()), 0)
	}
}

func FuzzClip(f *testing.F) {
	h, samples := second()
	for i := range samples {
		samples[i].Units = [][]byte{samples[i].Units[0][:3]}
		samples[i].CTS = int32(i%3) * 3600
	}
	_, key := testKey()
	first := record(f, h, samples, 300_000, key)
	h.Segment, h.StartUs = 2, t0+1_500_000
	second := record(f, h, samples, 300_000, key)
	_, b := makeClip(f, ClipConfig{FromUs: t0 + 200_000, ToUs: t0 + 2_100_000}, []recorded{first, second})
	f.Add(b)
	_, b = makeClip(f, ClipConfig{FromUs: t0 + 200_000, ToUs: t0 + 800_000, DropAudio: true}, []recorded{first})
	f.Add(b)
	pub, _ := testKey()
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, fixClip(b)} {
			rep, err := VerifyClip(bytes.NewReader(b), int64(len(b)), pub)
			if err != nil && !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			if rep.OK && (err != nil || len(rep.Problems) > 0 || rep.Parts == 0) {
				t.Fatalf("%v, %+v", err, rep)
			}
		}
	})
}

// fixClip sets the checksum of the evidence box, wherever it is.
func fixClip(b []byte) []byte {
	b = bytes.Clone(b)
	at := bytes.LastIndex(b, []byte("uuid"+uuidClip)) - 4
	if at < 0 {
		return b
	}
	if size := int(binary.BigEndian.Uint32(b[at:])); size > uuidHead+8 && size <= len(b)-at {
		binary.BigEndian.PutUint32(b[at+size-4:], checksum(b[at:at+size-4]))
	}
	return b
}

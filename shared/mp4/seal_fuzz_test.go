package mp4

import (
	"bytes"
	"encoding/binary"
	"testing"

	"holdfast/shared/evidence"
)

// FuzzSeal reads anything as the end of a segment. What is taken is the one way to write it.
func FuzzSeal(f *testing.F) {
	_, key := testKey()
	h, samples := second()
	for i := range samples {
		samples[i].Units = [][]byte{samples[i].Units[0][:3]}
	}
	rec := record(f, h, samples, 300_000, key)
	_, _, at, err := ReadSeal(bytes.NewReader(rec.file), int64(len(rec.file)))
	if err != nil {
		f.Fatal(err)
	}
	end := rec.file[at:]
	f.Add(end)
	f.Add(end[:len(end)/2])
	pub, _ := testKey()
	f.Fuzz(func(t *testing.T, b []byte) {
		fixed := bytes.Clone(b)
		if len(b) >= 4 {
			if n := int(binary.BigEndian.Uint32(b)); n >= 28 && n <= len(b) {
				binary.BigEndian.PutUint32(fixed[n-8:], uint32(n))
				binary.BigEndian.PutUint32(fixed[n-4:], checksum(fixed[:n-4]))
			}
		}
		for _, b := range [][]byte{b, fixed} {
			signed, leaves, off, err := ReadSeal(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				continue
			}
			if off < 0 || off > int64(len(b)) || len(leaves)*32 > len(b) {
				t.Fatalf("a seal at %d with %d leaves in %d bytes", off, len(leaves), len(b))
			}
			if st, err := evidence.Verify(signed, pub); err == nil && len(st.Site) > MaxText {
				t.Fatal("a statement beyond its limits was signed")
			}
		}
	})
}

// FuzzUnits takes samples apart as they lie in a file.
func FuzzUnits(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 9})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		units, err := splitUnits(b)
		if err != nil {
			return
		}
		n := 0
		for _, u := range units {
			n += 4 + len(u)
		}
		if n != len(b) {
			t.Fatalf("%d of %d bytes came out", n, len(b))
		}
	})
}

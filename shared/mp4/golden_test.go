package mp4

import (
	"bytes"
	"os"
	"testing"
)

// goldenSegment is a segment made of bytes that owe nothing to an encoder.
func goldenSegment(tb testing.TB, id uint64, startUs int64) recorded {
	h, samples := second()
	for i := range samples {
		samples[i].Units = [][]byte{{byte(i), 1, 2}, {3, byte(i)}}
		samples[i].CTS = int32(i%3) * 3600
	}
	h.Segment, h.StartUs = id, startUs
	_, key := testKey()
	return record(tb, h, samples, 300_000, key)
}

// Files of version 1 must read for ever: a change that breaks this test needs a new version, not new golden files.
func TestVersion1IsFrozen(t *testing.T) {
	first, second := goldenSegment(t, 1, t0), goldenSegment(t, 2, t0+1_500_000)
	_, clip := makeClip(t, ClipConfig{FromUs: t0 + 200_000, ToUs: t0 + 2_100_000}, []recorded{first, second})
	pub, _ := testKey()
	for name, got := range map[string][]byte{"testdata/v1-segment.mp4": first.file, "testdata/v1-clip.mp4": clip} {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is written in another way now", name)
		}
	}
	segment, err := os.ReadFile("testdata/v1-segment.mp4")
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := VerifySegment(bytes.NewReader(segment), int64(len(segment)), pub); err != nil || !rep.OK || rep.Parts != 4 {
		t.Errorf("%v, %+v", err, rep)
	}
	old, err := os.ReadFile("testdata/v1-clip.mp4")
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := VerifyClip(bytes.NewReader(old), int64(len(old)), pub); err != nil || !rep.OK || rep.Parts != 7 || len(rep.Gaps) != 1 {
		t.Errorf("%v, %+v", err, rep)
	}
}

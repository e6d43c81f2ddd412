package g711

import (
	"bytes"
	"testing"

	"github.com/thesyncim/gopus"
)

// TestTables has known values of ITU-T G.711: the largest amplitudes, and what stands for silence.
func TestTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		law   Law
		coded byte
		want  int16
	}{
		{Mu, 0x00, -32124},
		{Mu, 0x80, 32124},
		{Mu, 0xff, 0},
		{Mu, 0x7f, 0},
		{A, 0xd5, 8},
		{A, 0x55, -8},
		{A, 0xaa, 32256},
		{A, 0x2a, -32256},
	} {
		if got := c.law.Sample(c.coded); got != c.want {
			t.Errorf("law %d: %#02x is %d, want %d", c.law, c.coded, got, c.want)
		}
	}
}

// TestFramesOfAnyPieces gives an Encoder sound in pieces of all sizes: the frames are those of the whole, and what is left is
// filled up at the end.
func TestFramesOfAnyPieces(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{8000, 16000, 24000, 48000} {
		if !Takes(rate) {
			t.Errorf("%d Hz is not taken", rate)
		}
		coded := make([]byte, rate+rate/PerSecond/2)
		for i := range coded {
			coded[i] = byte(i * 7)
		}
		whole := encoded(t, rate, coded, len(coded))
		if len(whole) != PerSecond+1 {
			t.Fatalf("%d Hz: %d frames of a second and half a frame", rate, len(whole))
		}
		for _, piece := range []int{1, rate/PerSecond - 1, rate / PerSecond, 3*rate/PerSecond + 1} {
			got := encoded(t, rate, coded, piece)
			if !bytes.Equal(bytes.Join(got, nil), bytes.Join(whole, nil)) {
				t.Errorf("%d Hz: pieces of %d bytes give other frames", rate, piece)
			}
		}
		dec, err := gopus.NewDecoder(gopus.DefaultDecoderConfig(Clock, 1))
		if err != nil {
			t.Fatal(err)
		}
		for i, frame := range whole {
			if n, err := dec.DecodeInt16(frame, make([]int16, 5760)); err != nil || n != FrameTicks {
				t.Fatalf("%d Hz: frame %d lasts %d units, %v", rate, i, n, err)
			}
		}
	}
	if _, err := NewEncoder(11025); err == nil || Takes(11025) {
		t.Error("an Encoder takes 11025 Hz, which Opus doesn't have")
	}
}

// encoded turns sound into frames, a piece after the other.
func encoded(t *testing.T, rate int, coded []byte, piece int) (all [][]byte) {
	t.Helper()
	e, err := NewEncoder(rate)
	if err != nil {
		t.Fatal(err)
	}
	if l := e.Lookahead(); l < 0 || l > FrameTicks {
		t.Errorf("%d Hz: sound comes out %d units later", rate, l)
	}
	for len(coded) > 0 {
		n := min(piece, len(coded))
		frames, err := e.Add(coded[:n], Mu)
		if err != nil {
			t.Fatal(err)
		}
		all, coded = append(all, frames...), coded[n:]
	}
	if e.Waiting() == 0 {
		t.Errorf("%d Hz: no sound waits for its frame", rate)
	}
	frames, err := e.Flush()
	if err != nil || e.Waiting() != 0 {
		t.Errorf("%d Hz: %d samples wait after the end, %v", rate, e.Waiting(), err)
	}
	return append(all, frames...)
}

package clip

import (
	"math"
	"testing"

	"github.com/thesyncim/gopus"

	"holdfast/shared/g711"
)

// encode is the reverse of a decoder by search: slow, and right by construction.
func encode(value int16, law g711.Law) byte {
	best, distance := byte(0), 1<<20
	for b := range 256 {
		if d := int(math.Abs(float64(value) - float64(law.Sample(byte(b))))); d < distance {
			best, distance = byte(b), d
		}
	}
	return best
}

// TestToneSurvives sends a 440 Hz tone through G.711 and Opus and looks for it on the other side.
func TestToneSurvives(t *testing.T) {
	t.Parallel()
	const rate, seconds, hz = 8000, 2, 440
	for name, law := range map[string]g711.Law{"mu-law": g711.Mu, "A-law": g711.A} {
		s := newSound(1_000_000, 4_000_000)
		s.rate = rate
		for frame := range seconds * 50 {
			coded := make([]byte, rate/50)
			for i := range coded {
				x := float64(frame*len(coded)+i) / rate
				coded[i] = encode(int16(8000*math.Sin(2*math.Pi*hz*x)), law)
			}
			s.append(1_000_000+int64(frame)*20_000, coded, law)
		}
		track, samples, err := s.finish()
		if err != nil || s.runs != 1 || len(samples) != seconds*50 || track.Timescale != 48000 {
			t.Fatalf("%s: %d samples in %d runs, %v", name, len(samples), s.runs, err)
		}
		dec, err := gopus.NewDecoder(gopus.DefaultDecoderConfig(48000, 1))
		if err != nil {
			t.Fatal(err)
		}
		var pcm []int16
		buf := make([]int16, 5760)
		for _, sample := range samples {
			n, err := dec.DecodeInt16(sample.Units[0], buf)
			if err != nil || n != 960 {
				t.Fatalf("%s: decoded %d samples, %v; want 960", name, n, err)
			}
			pcm = append(pcm, buf[:n]...)
		}
		if p, other := power(pcm[48000:], 440), power(pcm[48000:], 1000); p < 100*other || p < 1e6 {
			t.Fatalf("%s: power %.0f at 440 Hz, %.0f at 1000 Hz", name, p, other)
		}
	}
}

// power is the signal's power at one frequency (Goertzel's algorithm).
func power(pcm []int16, hz float64) float64 {
	k := 2 * math.Cos(2*math.Pi*hz/48000)
	var a, b float64
	for _, x := range pcm {
		a, b = float64(x)+k*a-b, a
	}
	return (a*a + b*b - k*a*b) / float64(len(pcm))
}

func TestGapsInSoundStayGaps(t *testing.T) {
	s := newSound(0, 10_000_000)
	s.rate = 8000
	s.append(0, make([]byte, 8000), g711.Mu)
	s.append(1_000_000, make([]byte, 8000), g711.Mu)
	s.append(5_000_000, make([]byte, 8000), g711.Mu)
	_, samples, err := s.finish()
	if err != nil || s.runs != 2 {
		t.Fatalf("%d runs, %v; want 2", s.runs, err)
	}
	last := samples[0]
	jumps := 0
	for _, sample := range samples[1:] {
		if sample.DTS <= last.DTS {
			t.Fatalf("time runs backwards: %d after %d", sample.DTS, last.DTS)
		}
		if sample.DTS != last.DTS+int64(last.Duration) {
			jumps++
			if gap := sample.DTS - last.DTS; gap < 3*48000 || gap > 3*48000+2*960 {
				t.Fatalf("the gap is %d units, want about 3 s", gap)
			}
		}
		last = sample
	}
	if jumps != 1 {
		t.Fatalf("%d jumps, want 1", jumps)
	}
}

// TestClocksThatDiffer has a camera whose sound runs fast or slow against the site's clock: frames come a little nearer
// together or further apart than they last. Nothing may pile up, run backwards or be lost for good.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	const nowUs = 1_800_000_000_000_000
	for _, ppm := range []int64{-2000, 2000} {
		s := newSound(nowUs, nowUs+120_000_000)
		s.rate = 8000
		for frame := range int64(2 * 60 * 50) {
			s.append(nowUs+frame*20_000*(1_000_000+ppm)/1_000_000, make([]byte, 160), g711.Mu)
		}
		_, samples, err := s.finish()
		if err != nil {
			t.Fatal(err)
		}
		want := int64(120_000_000) * (1_000_000 + ppm) / 1_000_000 * 48 / 1000
		last := samples[len(samples)-1].DTS
		if off := last - want; off < -48*100 || off > 48*100 {
			t.Errorf("%d ppm: the last of two minutes is %d ms from its place", ppm, off/48)
		}
		for i := 1; i < len(samples); i++ {
			if step := samples[i].DTS - samples[i-1].DTS; step < 960 || step > 960+48*90 {
				t.Fatalf("%d ppm: sample %d is %d units after the one before", ppm, i, step)
			}
		}
		if s.runs < 2 || s.runs > 12 {
			t.Errorf("%d ppm: %d runs in two minutes", ppm, s.runs)
		}
	}
}

package mp4

import (
	"bytes"
	"slices"
	"testing"
)

// filled makes a segment of what was fetched from fromUs on, with the pictures since the key frame at keyUs in front of
// it, as the room that fills gaps writes it: one tick of the clock each, in parts of their own.
func filled(t testing.TB, segment uint64, m material, keyUs, fromUs, untilUs int64) recorded {
	t.Helper()
	_, key := testKey()
	lead := slices.DeleteFunc(m.cut(keyUs, fromUs), func(s Sample) bool { return s.Track != 0 })
	ticks := int64(len(lead))
	rate := int64(m.tracks[0].Timescale)
	h := header(segment, m.tracks, t0+fromUs-ticks*1_000_000/rate)
	h.Origin = "card"
	var samples []Sample
	for i, s := range lead {
		s.DTS, s.Duration = int64(i), 1
		samples = append(samples, s)
	}
	for _, s := range m.cut(fromUs, untilUs) {
		s.DTS += fromUsExact(ticks*1_000_000/rate, m.tracks[s.Track].Timescale)
		if s.Track == 0 {
			s.DTS += ticks - fromUsExact(ticks*1_000_000/rate, uint32(rate))
		}
		samples = append(samples, s)
	}
	rec := recorded{header: h}
	var err error
	if rec.init, err = AppendInit(nil, h); err != nil {
		t.Fatal(err)
	}
	rec.file = bytes.Clone(rec.init)
	b, err := NewPartBuilder(h)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range samples {
		if i == 0 || i == len(lead) || i > len(lead) && b.Duration().Microseconds() >= second1 {
			if !b.Empty() {
				part, sum := b.AppendTo(nil)
				rec.file, rec.parts = append(rec.file, part...), append(rec.parts, sum)
			}
			us := toUs(s.DTS, m.tracks[s.Track].Timescale)
			b.Reset(uint32(len(rec.parts)+1), h.StartUs+us, h.MonoUs+us)
		}
		if err := b.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	part, sum := b.AppendTo(nil)
	rec.file, rec.parts = append(rec.file, part...), append(rec.parts, sum)
	rec.seal(t, key)
	return rec
}

// TestClipOverFilledFootage: what was fetched begins with pictures for decoding alone, which the clip must not show again.
func TestClipOverFilledFootage(t *testing.T) {
	for _, video := range []string{"h264", "h265"} {
		for name, c := range map[string]struct{ from, to int64 }{
			"across":                {3 * second1, 10 * second1},
			"from inside":           {6*second1 + 200_000, 9 * second1},
			"from its beginning":    {5*second1 + 400_000, 9 * second1},
			"from the group":        {4*second1 + 80_000, 7 * second1},
			"to inside":             {4*second1 + 520_000, 5*second1 + 600_000},
			"to right behind":       {2 * second1, 5*second1 + 440_000},
			"one picture":           {5*second1 + 400_000, 5*second1 + 440_000},
			"to where it begins":    {3 * second1, 5*second1 + 400_000},
			"the picture before it": {5*second1 + 360_000, 5*second1 + 480_000},
		} {
			t.Run(video+", "+name, func(t *testing.T) {
				t.Parallel()
				m := encoded(t, video, "aac", 12, "testsrc2")
				segments := recording(t, m, [2]int64{0, 4})
				_, key := testKey()
				segments = append(segments,
					record(t, header(2, m.tracks, t0+4*second1), m.cut(4*second1, 5*second1+400_000), second1, key),
					filled(t, 3, m, 4*second1, 5*second1+400_000, 8*second1),
					record(t, header(4, m.tracks, t0+8*second1), m.cut(8*second1, 12*second1), second1, key))
				clip, b := makeClip(t, ClipConfig{FromUs: t0 + c.from + m.delay(), ToUs: t0 + c.to + m.delay()}, segments)
				sums, times := pictures(t, save(t, b))
				if want := allPictures(t, m)[c.from*fps/second1 : c.to*fps/second1]; !slices.Equal(sums, want) {
					t.Errorf("%d pictures, want these %d", len(sums), len(want))
				}
				for i, at := range times {
					if at < float64(i)/fps-0.001 || at > float64(i)/fps+0.001 {
						t.Fatalf("picture %d at %v s", i, at)
					}
				}
				if len(clip.Gaps) > 0 || !clip.Sealed {
					t.Errorf("gaps %v, sealed %v", clip.Gaps, clip.Sealed)
				}
				verified(t, b, clip)
			})
		}
	}
}

// TestClipKeepsALeadThatNothingGoesBefore: where the recording before is another one, decoding needs the lead.
func TestClipKeepsALeadThatNothingGoesBefore(t *testing.T) {
	m := encoded(t, "h264", "", 12, "testsrc2")
	_, key := testKey()
	segments := []recorded{
		record(t, header(2, m.tracks, t0+4*second1), m.cut(4*second1, 5*second1), second1, key),
		filled(t, 3, m, 4*second1, 5*second1+400_000, 8*second1),
	}
	clip, b := makeClip(t, ClipConfig{FromUs: t0 + 4*second1, ToUs: t0 + 8*second1}, segments)
	sums, _ := pictures(t, save(t, b))
	all := allPictures(t, m)
	if want := all[5*fps+10 : 8*fps]; !slices.Equal(sums[len(sums)-len(want):], want) || !slices.Equal(sums[:fps], all[4*fps:5*fps]) {
		t.Errorf("%d pictures are not those that were recorded and fetched", len(sums))
	}
	verified(t, b, clip)
}

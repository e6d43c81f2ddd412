package mp4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const second1 = 1_000_000

// recording is what a recorder leaves of one stream: segments of some seconds each. ranges are [from, to) of media time.
func recording(t testing.TB, m material, ranges ...[2]int64) []recorded {
	t.Helper()
	_, key := testKey()
	var out []recorded
	for i, r := range ranges {
		out = append(out, record(t, header(uint64(i+1), m.tracks, t0+r[0]*second1), m.cut(r[0]*second1, r[1]*second1), second1, key))
	}
	return out
}

func makeClip(t testing.TB, cfg ClipConfig, segments []recorded) (*Clip, []byte) {
	t.Helper()
	w, err := NewClipWriter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		r, size := segments[i].reader()
		if err := w.AddSegment(r, size); err != nil {
			t.Fatal(err)
		}
	}
	return finish(t, w)
}

func finish(t testing.TB, w *ClipWriter) (*Clip, []byte) {
	t.Helper()
	clip, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := clip.WriteTo(&b); err != nil || n != clip.Size() || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, clip.Size(), err)
	}
	return clip, b.Bytes()
}

// pictures decodes the video of a file and returns a sum of each picture shown and when it is shown.
func pictures(t testing.TB, file string) (sums []string, times []float64) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command("ffmpeg", "-v", "error", "-xerror", "-copyts", "-i", file, "-map", "0:v", "-fps_mode", "passthrough",
		"-enc_time_base", "1:90000", "-f", "framemd5", "-")
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Fatalf("ffmpeg: %v: %s", err, &said)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if strings.HasPrefix(line, "#") || len(f) != 6 {
			continue
		}
		pts, err := strconv.ParseInt(strings.TrimSpace(f[2]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sums, times = append(sums, strings.TrimSpace(f[5])), append(times, float64(pts)/90000)
	}
	return sums, times
}

// allPictures decodes the whole material, as one segment without beginning or end in between.
func allPictures(t testing.TB, m material) []string {
	t.Helper()
	made, _ := cache.LoadOrStore(&m.samples[0], sync.OnceValue(func() []string {
		rec := record(t, header(1, m.tracks, t0), m.samples, second1, nil)
		sums, _ := pictures(t, save(t, rec.file))
		return sums
	}))
	return made.(func() []string)()
}

func near(a, b float64) bool { return math.Abs(a-b) < 0.00002 }

func seconds(t testing.TB, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// delay is how long after its DTS 0 the first picture is shown.
func (m *material) delay() int64 {
	for _, s := range m.samples {
		if s.Track == 0 {
			return toUs(int64(s.CTS), m.tracks[0].Timescale)
		}
	}
	return 0
}

func TestClipShowsExactlyItsRange(t *testing.T) {
	for _, c := range []struct{ video, audio string }{
		{"h265", "aac"}, {"h265b", ""}, {"h264", "aac"}, {"h264b", "opus"}, {"h264", "pcma"},
	} {
		t.Run(c.video+c.audio, func(t *testing.T) {
			t.Parallel()
			m := encoded(t, c.video, c.audio, 12, "testsrc2")
			segments := recording(t, m, [2]int64{0, 4}, [2]int64{4, 8}, [2]int64{8, 12})
			from := t0 + 5*second1 + m.delay()
			clip, b := makeClip(t, ClipConfig{FromUs: from, ToUs: from + 4_600_000}, segments)
			file := save(t, b)
			p := ffprobe(t, file)
			if s, d := seconds(t, p.Format.Start), seconds(t, p.Format.Duration); s != 0 || d != 4.6 {
				t.Errorf("ffprobe: begins at %v, lasts %v", s, d)
			}
			sums, times := pictures(t, file)
			want := allPictures(t, m)[5*fps : 5*fps+115]
			if !slices.Equal(sums, want) {
				t.Errorf("%d pictures, want these %d", len(sums), len(want))
			}
			for i, at := range times {
				if !near(at, float64(i)/fps) {
					t.Fatalf("picture %d at %v s", i, at)
				}
			}
			if clip.PreRollUs != 1_000_000 || len(clip.Gaps) > 0 || !clip.Sealed {
				t.Errorf("pre-roll %d µs, gaps %v, sealed %v", clip.PreRollUs, clip.Gaps, clip.Sealed)
			}
			if c.audio != "" {
				if s, err := decodedSeconds(file); err != nil || s < 4.5 || s > 4.7 {
					t.Errorf("%v s of sound: %v", s, err)
				}
			}
			verified(t, b, clip)
		})
	}
}

func verified(t testing.TB, b []byte, clip *Clip) ClipReport {
	t.Helper()
	pub, _ := testKey()
	rep, err := VerifyClip(bytes.NewReader(b), int64(len(b)), pub)
	if err != nil || !rep.OK || rep.FromUs != clip.FromUs || rep.ToUs != clip.ToUs || rep.Parts == 0 ||
		!slices.Equal(rep.Gaps, clip.Gaps) || rep.PreRollUs != clip.PreRollUs || rep.ShiftUs > 20 || rep.ShiftUs < -20 {
		t.Fatalf("verify: %v, %+v", err, rep)
	}
	return rep
}

func TestClipInsideOneGroupOfPictures(t *testing.T) {
	m := encoded(t, "h264", "aac", 12, "testsrc2")
	segments := recording(t, m, [2]int64{0, 12})
	// Neither end falls on a picture: the one that is on the screen at the beginning is a few milliseconds old.
	clip, b := makeClip(t, ClipConfig{FromUs: t0 + 5_013_000, ToUs: t0 + 5_130_000}, segments)
	file := save(t, b)
	ffmpegSilent(t, file)
	if d := seconds(t, ffprobe(t, file).Format.Duration); d != 0.117 {
		t.Errorf("lasts %v s", d)
	}
	verified(t, b, clip)
	if clip.PreRollUs != 1_013_000 {
		t.Errorf("pre-roll of %d µs", clip.PreRollUs)
	}
	if limit := int64(2 * len(segments[0].file) / 12 * 2); clip.Size() > limit {
		t.Errorf("clip of %d bytes for two parts", clip.Size())
	}
}

func TestClipOverGaps(t *testing.T) {
	for _, audio := range []string{"aac", "aac2", "opus", "pcmu"} {
		t.Run("audio"+audio, func(t *testing.T) {
			t.Parallel()
			m := encoded(t, "h264", audio, 12, "testsrc2")
			segments := recording(t, m, [2]int64{0, 4}, [2]int64{6, 10})
			clip, b := makeClip(t, ClipConfig{FromUs: t0 + 3*second1, ToUs: t0 + 8*second1}, segments)
			file := save(t, b)
			sums, times := pictures(t, file)
			all := allPictures(t, m)
			if want := slices.Concat(all[3*fps:4*fps], all[6*fps:8*fps]); !slices.Equal(sums, want) {
				t.Fatalf("%d pictures, want these %d", len(sums), len(want))
			}
			if !near(times[fps-1], 0.96) || !near(times[fps], 3) || !near(times[len(times)-1], 4.96) {
				t.Errorf("times %v", times)
			}
			if want := []ClipGap{{t0 + 4*second1, t0 + 6*second1}}; !slices.Equal(clip.Gaps, want) {
				t.Errorf("gaps %v, want %v", clip.Gaps, want)
			}
			if d := seconds(t, ffprobe(t, file).Format.Duration); d != 5 {
				t.Errorf("lasts %v s", d)
			}
			if audio != "" {
				checkSilent(t, file, 1.2, 2.8)
			}
			verified(t, b, clip)
		})
	}
}

// checkSilent wants sound that is loud before and after a range, and silent inside.
func checkSilent(t *testing.T, file string, from, to float64) {
	t.Helper()
	if s, err := decodedSeconds(file); err != nil || s < 4.9 || s > 5.1 {
		t.Errorf("%v s of sound: %v", s, err)
	}
	before, inside, after := loudest(t, file, 0.2, 0.8), loudest(t, file, from, to), loudest(t, file, 3.5, 4.5)
	if before < 1000 || inside > 100 || after < 1000 {
		t.Errorf("loudest before %d, in the gap %d, after %d", before, inside, after)
	}
}

// loudest decodes the sound of a file and returns the largest sample in a range of seconds.
func loudest(t *testing.T, file string, from, to float64) (most int) {
	t.Helper()
	pcm, err := decodedSound(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := int(from*8000) * 2; i+1 < int(to*8000)*2 && i+1 < len(pcm); i += 2 {
		most = max(most, int(math.Abs(float64(int16(uint16(pcm[i])|uint16(pcm[i+1])<<8)))))
	}
	return most
}

func TestClipThatBeginsOrEndsInAGap(t *testing.T) {
	m := encoded(t, "h264", "aac", 12, "testsrc2")
	segments := recording(t, m, [2]int64{0, 4}, [2]int64{6, 10})
	clip, b := makeClip(t, ClipConfig{FromUs: t0 + 5*second1, ToUs: t0 + 11*second1}, segments)
	file := save(t, b)
	ffmpegSilent(t, file)
	sums, times := pictures(t, file)
	if len(sums) != 4*fps || !near(times[0], 1) {
		t.Errorf("%d pictures from %v s", len(sums), times[0])
	}
	if d := seconds(t, ffprobe(t, file).Format.Duration); d != 6 {
		t.Errorf("lasts %v s", d)
	}
	if want := []ClipGap{{t0 + 5*second1, t0 + 6*second1}, {t0 + 10*second1, t0 + 11*second1}}; !slices.Equal(clip.Gaps, want) {
		t.Errorf("gaps %v, want %v", clip.Gaps, want)
	}
	verified(t, b, clip)
}

func TestClipOverAGapInsideASegment(t *testing.T) {
	m := encoded(t, "h264", "aac", 12, "testsrc2")
	_, key := testKey()
	lost := slices.DeleteFunc(m.cut(0, 12*second1), func(s Sample) bool {
		us := toUs(s.DTS, m.tracks[s.Track].Timescale)
		return us >= 3*second1 && us < 6*second1
	})
	rec := record(t, header(1, m.tracks, t0), lost, second1/2, key)
	clip, b := makeClip(t, ClipConfig{FromUs: t0 + 2*second1, ToUs: t0 + 8*second1}, []recorded{rec})
	_, times := pictures(t, save(t, b))
	if len(times) != 3*fps || !near(times[fps], 4) {
		t.Errorf("%d pictures: %v", len(times), times)
	}
	if want := []ClipGap{{t0 + 3*second1, t0 + 6*second1}}; !slices.Equal(clip.Gaps, want) {
		t.Errorf("gaps %v, want %v", clip.Gaps, want)
	}
	verified(t, b, clip)
}

func TestClipJoinsOverClockCorrections(t *testing.T) {
	m := encoded(t, "h264", "aac", 12, "testsrc2")
	segments := recording(t, m, [2]int64{0, 4})
	_, key := testKey()
	for i, skew := range []int64{30_000, -25_000} { // the clock was set forward, then back
		at := int64(4 + 4*i)
		segments = append(segments, record(t, header(uint64(i+2), m.tracks, t0+at*second1+skew),
			m.cut(at*second1, (at+4)*second1), second1, key))
	}
	clip, b := makeClip(t, ClipConfig{FromUs: t0, ToUs: t0 + 12*second1}, segments)
	file := save(t, b)
	ffmpegSilent(t, file)
	_, times := pictures(t, file)
	for i, at := range times {
		if !near(at, float64(i)/fps) {
			t.Fatalf("picture %d at %v s", i, at)
		}
	}
	if len(times) != 12*fps || len(clip.Gaps) > 0 {
		t.Errorf("%d pictures, gaps %v", len(times), clip.Gaps)
	}
	verified(t, b, clip)
}

func TestClipOverOverlappingSegments(t *testing.T) {
	m := encoded(t, "h264", "aac", 12, "testsrc2")
	_, key := testKey()
	segments := recording(t, m, [2]int64{0, 4})
	segments = append(segments, record(t, header(2, m.tracks, t0+3*second1), m.cut(4*second1, 8*second1), second1, key))
	clip, b := makeClip(t, ClipConfig{FromUs: t0 + second1, ToUs: t0 + 7*second1}, segments)
	sums, _ := pictures(t, save(t, b))
	if want := allPictures(t, m)[fps : 7*fps]; !slices.Equal(sums, want) {
		t.Errorf("%d pictures, want these %d", len(sums), len(want))
	}
	ffmpegSilent(t, save(t, b))
	verified(t, b, clip)
}

func TestClipOverChangedParameters(t *testing.T) {
	a, b := encoded(t, "h264", "aac", 12, "testsrc2"), encoded(t, "h264b", "aac", 12, "testsrc")
	_, key := testKey()
	segments := []recorded{
		record(t, header(1, a.tracks, t0), a.cut(0, 4*second1), second1, key),
		record(t, header(2, b.tracks, t0+4*second1-b.delay()), b.cut(0, 4*second1), second1, key),
		record(t, header(3, a.tracks, t0+8*second1), a.cut(8*second1, 12*second1), second1, key),
	}
	clip, file := makeClip(t, ClipConfig{FromUs: t0 + 3*second1, ToUs: t0 + 10*second1}, segments)
	name := save(t, file)
	ffmpegSilent(t, name)
	sums, _ := pictures(t, name)
	first, second := allPictures(t, a), allPictures(t, b)
	want := slices.Concat(first[3*fps:4*fps], second[:4*fps], first[8*fps:10*fps])
	if !slices.Equal(sums, want) {
		t.Errorf("%d pictures, want these %d", len(sums), len(want))
	}
	verified(t, file, clip)
}

func TestClipRefusesAnotherCodec(t *testing.T) {
	a, b := encoded(t, "h264", "aac", 12, "testsrc2"), encoded(t, "h265", "aac", 12, "testsrc2")
	c := encoded(t, "h264", "opus", 12, "testsrc2")
	_, key := testKey()
	first := record(t, header(1, a.tracks, t0), a.cut(0, 4*second1), second1, key)
	w, err := NewClipWriter(ClipConfig{FromUs: t0, ToUs: t0 + 8*second1})
	if err != nil {
		t.Fatal(err)
	}
	add := func(w *ClipWriter, rec recorded) error {
		r, size := rec.reader()
		return w.AddSegment(r, size)
	}
	if err := add(w, first); err != nil {
		t.Fatal(err)
	}
	if err := add(w, record(t, header(2, b.tracks, t0+4*second1), b.cut(0, 4*second1), second1, key)); !errors.Is(err, ErrCodec) {
		t.Errorf("H.265 after H.264: %v", err)
	}
	other := record(t, header(2, c.tracks, t0+4*second1), c.cut(0, 4*second1), second1, key)
	if err := add(w, other); !errors.Is(err, ErrCodec) {
		t.Errorf("Opus after AAC: %v", err)
	}
	if err := add(w, record(t, header(9, a.tracks, t0+second1), a.cut(0, second1), second1, key)); !errors.Is(err, ErrOrder) {
		t.Errorf("the same time again: %v", err)
	}
	clip, file := finish(t, w)
	verified(t, file, clip)
	if want := []ClipGap{{t0 + 4*second1, t0 + 8*second1}}; !slices.Equal(clip.Gaps, want) {
		t.Errorf("refused segments left a trace: gaps %v", clip.Gaps)
	}

	silent, err := NewClipWriter(ClipConfig{FromUs: t0, ToUs: t0 + 8*second1, DropAudio: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(add(silent, first), add(silent, other)); err != nil {
		t.Fatal(err)
	}
	clip, file = finish(t, silent)
	ffmpegSilent(t, save(t, file))
	if rep := verified(t, file, clip); rep.Audio != AudioNone {
		t.Errorf("audio %q", rep.Audio)
	}
}

func TestClipWithReplacedAudio(t *testing.T) {
	m, other := encoded(t, "h264", "pcma", 12, "testsrc2"), encoded(t, "h264", "opus", 12, "testsrc2")
	segments := recording(t, m, [2]int64{0, 6}, [2]int64{6, 12})
	w, err := NewClipWriter(ClipConfig{FromUs: t0 + 3*second1, ToUs: t0 + 9*second1, DropAudio: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		r, size := segments[i].reader()
		if err := w.AddSegment(r, size); err != nil {
			t.Fatal(err)
		}
	}
	var sound []Sample
	for _, s := range other.samples {
		if s.Track == 1 && (s.DTS < 4*48000 || s.DTS > 6*48000) { // from 1.2 to 2.8 s into the clip there is none
			s.DTS -= 3 * 48000
			sound = append(sound, s)
		}
	}
	if err := w.SetAudio(other.tracks[0], nil); !errors.Is(err, ErrCodec) {
		t.Errorf("video as audio: %v", err)
	}
	if err := w.SetAudio(other.tracks[1], []Sample{sound[1], sound[0]}); !errors.Is(err, ErrOrder) {
		t.Errorf("audio backwards: %v", err)
	}
	if err := w.SetAudio(other.tracks[1], sound); err != nil {
		t.Fatal(err)
	}
	clip, b := finish(t, w)
	file := save(t, b)
	ffmpegSilent(t, file)
	p := ffprobe(t, file)
	if p.Streams[1].CodecName != "opus" || seconds(t, p.Format.Duration) != 6 || seconds(t, p.Format.Start) != 0 {
		t.Errorf("%+v", p.Format)
	}
	if s, err := decodedSeconds(file); err != nil || s < 5.9 || s > 6.1 {
		t.Errorf("%v s of sound: %v", s, err)
	}
	if got := loudest(t, file, 1.2, 2.8); got > 100 {
		t.Errorf("sound where there was none: %d", got)
	}
	if rep := verified(t, b, clip); rep.Audio != AudioReplaced {
		t.Errorf("audio %q", rep.Audio)
	}
}

func TestClipOnAnotherTimeline(t *testing.T) {
	m := encoded(t, "h264", "", 12, "testsrc2")
	segments := recording(t, m, [2]int64{0, 4}, [2]int64{4, 8})
	clip, b := makeClip(t, ClipConfig{FromUs: 7 * second1, ToUs: 11 * second1, Place: func(p *PartSum) int64 { return p.MonoUs }}, segments)
	sums, _ := pictures(t, save(t, b))
	if want := allPictures(t, m)[2*fps : 6*fps]; !slices.Equal(sums, want) {
		t.Errorf("%d pictures, want these %d", len(sums), len(want))
	}
	pub, _ := testKey()
	rep, err := VerifyClip(bytes.NewReader(b), clip.Size(), pub)
	if err != nil || !rep.OK || rep.ShiftUs != 5*second1-t0 {
		t.Errorf("%v, %+v", err, rep)
	}
}

func TestClipOfNothing(t *testing.T) {
	m := encoded(t, "h264", "aac", 12, "testsrc2")
	segments := recording(t, m, [2]int64{0, 4}, [2]int64{6, 10})
	w, err := NewClipWriter(ClipConfig{FromUs: t0 + 4_200_000, ToUs: t0 + 5_500_000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		r, size := segments[i].reader()
		if err := w.AddSegment(r, size); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(); !errors.Is(err, ErrNoVideo) {
		t.Errorf("clip of a gap: %v", err)
	}
	for _, c := range []ClipConfig{{FromUs: 5, ToUs: 5}, {FromUs: 5, ToUs: 4}, {ToUs: MaxClipUs + 1}} {
		if _, err := NewClipWriter(c); err == nil {
			t.Errorf("clip of [%d, %d) is allowed", c.FromUs, c.ToUs)
		}
	}
}

func TestClipOfAnOpenSegmentSaysSo(t *testing.T) {
	m := encoded(t, "h264", "", 12, "testsrc2")
	rec := record(t, header(1, m.tracks, t0), m.cut(0, 4*second1), second1, nil)
	clip, b := makeClip(t, ClipConfig{FromUs: t0 + second1, ToUs: t0 + 3*second1}, []recorded{rec})
	pub, _ := testKey()
	rep, err := VerifyClip(bytes.NewReader(b), clip.Size(), pub)
	if clip.Sealed || err != nil || rep.OK || rep.Parts != 0 || len(rep.Problems) != 1 {
		t.Errorf("sealed %v, %v, %+v", clip.Sealed, err, rep)
	}
	ffmpegSilent(t, save(t, b))
}

func TestClipReadsAtAnyOffset(t *testing.T) {
	m := encoded(t, "h264", "aac", 12, "testsrc2")
	segments := recording(t, m, [2]int64{0, 4}, [2]int64{6, 10})
	clip, b := makeClip(t, ClipConfig{FromUs: t0 + 3*second1, ToUs: t0 + 8*second1}, segments)
	for off := int64(0); off < clip.Size(); off += 997 {
		got := make([]byte, 1500)
		n, err := clip.ReadAt(got, off)
		want := b[off:min(off+1500, clip.Size())]
		if !bytes.Equal(got[:n], want) || (err != nil) != (len(want) < 1500) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("at %d: %d bytes, %v", off, n, err)
		}
	}
	if _, err := clip.ReadAt(make([]byte, 1), clip.Size()); !errors.Is(err, io.EOF) {
		t.Fatalf("behind the end: %v", err)
	}
}

// shortClip is small enough to be changed in each byte.
func shortClip(t testing.TB) []byte {
	m := encoded(t, "h264b", "opus", 4, "color")
	segments := recording(t, m, [2]int64{0, 2}, [2]int64{3, 4})
	_, b := makeClip(t, ClipConfig{FromUs: t0 + 1_500_000, ToUs: t0 + 3_300_000}, segments)
	return b
}

func TestEveryFlippedBitOfAClipIsFound(t *testing.T) {
	b := shortClip(t)
	pub, _ := testKey()
	if rep, err := VerifyClip(bytes.NewReader(b), int64(len(b)), pub); err != nil || !rep.OK {
		t.Fatalf("%v, %+v", err, rep)
	}
	moov, mdat, _, err := findClipBoxes(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	tables := bytes.Index(moov, []byte("ctts")) + int(mdat.off) - 16 - len(moov)
	missed := 0
	for i := 0; i < len(b); i++ {
		if int64(i) > mdat.off && int64(i) < mdat.off+mdat.n-100 || int64(i) > mdat.off+mdat.n+100 && i < len(b)-20 {
			i += 10 // the payload is all alike, and the evidence has a checksum of its own
		}
		bad := bytes.Clone(b)
		bad[i] ^= 1 << (i % 8)
		rep, err := VerifyClip(bytes.NewReader(bad), int64(len(bad)), pub)
		if err == nil && rep.OK {
			if int64(i) >= mdat.off || i >= tables && i < tables+200 {
				t.Fatalf("bit flipped in byte %d of %d: verified", i, len(b))
			}
			missed++ // boxes around the tables say nothing about what is shown, and gaps are known to JoinToleranceUs
		}
	}
	if missed > 800 {
		t.Errorf("%d changes were not found", missed)
	}
}

func TestVerifyClipFindsForgery(t *testing.T) {
	m := encoded(t, "h264", "", 12, "testsrc2")
	segments := recording(t, m, [2]int64{0, 4}, [2]int64{4, 8}, [2]int64{8, 12})
	pub, _ := testKey()
	forge := func(name string, change func(l *layout, c *Clip)) {
		t.Run(name, func(t *testing.T) {
			w, err := NewClipWriter(ClipConfig{FromUs: t0 + 3*second1, ToUs: t0 + 10*second1})
			if err != nil {
				t.Fatal(err)
			}
			for i := range segments {
				r, size := segments[i].reader()
				if err := w.AddSegment(r, size); err != nil {
					t.Fatal(err)
				}
			}
			l := w.newLayout()
			for i := range w.parts {
				l.add(&w.parts[i])
			}
			if err := l.trim(); err != nil {
				t.Fatal(err)
			}
			c := &Clip{FromUs: w.cfg.FromUs, ToUs: w.cfg.ToUs, PreRollUs: 1 * second1}
			change(l, c)
			if err := l.assemble(c); err != nil {
				t.Fatal(err)
			}
			rep, err := VerifyClip(c, c.Size(), pub)
			if err != nil || rep.OK != (name == "nothing") || rep.OK != (len(rep.Problems) == 0) {
				t.Fatalf("%v, %+v", err, rep)
			}
		})
	}
	forge("nothing", func(l *layout, c *Clip) {})
	forge("picture left out", func(l *layout, c *Clip) {
		l.video.samples[59].duration *= 2
		l.video.samples = slices.Delete(l.video.samples, 60, 61)
	})
	forge("pictures swapped", func(l *layout, c *Clip) {
		a, b := &l.video.samples[60], &l.video.samples[61]
		a.off, b.off, a.size, b.size = b.off, a.off, b.size, a.size
	})
	forge("slow motion", func(l *layout, c *Clip) {
		for i := range l.video.samples[:150] {
			l.video.samples[i].duration++
		}
	})
	forge("a segment later", func(l *layout, c *Clip) { l.video.samples[24].duration += 90000 })
	forge("end hidden", func(l *layout, c *Clip) { l.video.samples = l.video.samples[:180] })
	forge("beginning hidden", func(l *layout, c *Clip) { l.video.samples = l.video.samples[50:] })
	forge("pre-roll unsaid", func(l *layout, c *Clip) { c.PreRollUs = 0 })
	forge("parts left out", func(l *layout, c *Clip) { l.proofs = slices.Delete(l.proofs, 3, 4) })
	forge("another time claimed", func(l *layout, c *Clip) { l.proofs[1].part.Sum.StartUs += 5; l.proofs[1].video[0].off++ })
}

func TestVerifyClipNeedsTheKey(t *testing.T) {
	b := shortClip(t)
	rep, err := VerifyClip(bytes.NewReader(b), int64(len(b)))
	if err != nil || rep.OK || rep.Parts != 0 || len(rep.Statements) != 2 || rep.Statements[0].Camera != "cam_b" {
		t.Fatalf("%v, %+v", err, rep)
	}
	if _, err := VerifyClip(bytes.NewReader(b), int64(len(b)-10)); !errors.Is(err, ErrFormat) {
		t.Fatalf("cut clip: %v", err)
	}
	foreign := bytes.Clone(b)
	copy(foreign[bytes.LastIndex(foreign, []byte(uuidClip)):], make([]byte, 16))
	if rep, err = VerifyClip(bytes.NewReader(foreign), int64(len(foreign))); err != nil || rep.OK || len(rep.Problems) != 1 {
		t.Fatalf("clip without evidence: %v, %+v", err, rep)
	}
}

func ExampleVerifyClip() {
	_, err := VerifyClip(strings.NewReader("not a clip, and shorter than it says"), 1000)
	fmt.Println(errors.Is(err, ErrFormat))
	// Output: true
}

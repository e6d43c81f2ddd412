package scenes_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/g711"

	"holdfast/shared/mp4"
	"holdfast/testenv/scenes"
)

// want is what the package promises of each loop.
type want struct {
	codec   mp4.Codec
	gop     time.Duration
	bframes bool
	audio   mp4.Codec // 0: none
}

func wanted() map[string]want {
	s := time.Second
	return map[string]want{
		"carpark/main": {mp4.H264, 2 * s, false, 0}, "carpark/sub": {mp4.H264, 2 * s, false, 0},
		"shop/main": {mp4.H264, 1 * s, false, mp4.AAC}, "shop/sub": {mp4.H264, 1 * s, false, mp4.AAC},
		"corridor/main": {mp4.H264, 10 * s, false, mp4.PCMU}, "corridor/sub": {mp4.H264, 10 * s, false, mp4.PCMU},
		"dock/main": {mp4.H264, 2 * s, false, mp4.PCMA}, "dock/sub": {mp4.H264, 2 * s, false, mp4.PCMA},
		"carpark-night/main": {mp4.H265, 2 * s, false, 0}, "carpark-night/sub": {mp4.H264, 2 * s, false, 0},
		"checkout/main": {mp4.H264, 2 * s, true, mp4.PCMU}, "checkout/sub": {mp4.H264, 1 * s, false, mp4.PCMU},
	}
}

func load(t *testing.T, name string) *scenes.Loop {
	t.Helper()
	l, err := scenes.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLoopsAreWhatTheySay(t *testing.T) {
	all := wanted()
	if got := scenes.All(); len(got) != len(all) {
		t.Fatalf("%d loops, want %d: %v", len(got), len(all), got)
	}
	for _, name := range scenes.All() {
		l, w := load(t, name), all[name]
		size := [2]int{1280, 720}
		if strings.HasSuffix(name, "/sub") {
			size = [2]int{640, 360}
		}
		if l.Video.Codec != w.codec || l.GOP != w.gop || l.BFrames != w.bframes || l.FPS != 15 || [2]int{l.Video.Width, l.Video.Height} != size {
			t.Errorf("%s: %v %dx%d, %d fps, key frame every %v, B-frames %v; want %+v", name,
				l.Video.Codec, l.Video.Width, l.Video.Height, l.FPS, l.GOP, l.BFrames, w)
		}
		if err := l.Video.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if w.audio == 0 && l.Audio != nil || w.audio != 0 && (l.Audio == nil || l.Audio.Codec != w.audio) {
			t.Errorf("%s: sound %+v, want %v", name, l.Audio, w.audio)
		}
		if l.Duration()%l.GOP != 0 || l.Duration() < 10*time.Second || l.Duration() > 20*time.Second {
			t.Errorf("%s: %v long with a key frame every %v", name, l.Duration(), l.GOP)
		}
		follows(t, l)
	}
}

// follows checks that the end of a loop leads to its beginning: each picture is shown once, in whole steps.
func follows(t *testing.T, l *scenes.Loop) {
	t.Helper()
	step := l.Ticks / int64(len(l.Units))
	shown := map[int64]bool{}
	for i, u := range l.Units {
		if u.DTS != int64(i)*step || u.PTS < u.DTS || (u.PTS-u.DTS)%step != 0 {
			t.Errorf("%s: frame %d is sent at %d and shown at %d, steps are %d", l.Name, i, u.DTS, u.PTS, step)
		}
		at := (u.PTS - l.Units[0].PTS + l.Ticks) % l.Ticks
		if shown[at] {
			t.Errorf("%s: two frames are shown at %d", l.Name, at)
		}
		shown[at] = true
		for _, n := range u.NALUs {
			typ := n[0] & 0x1f
			if l.Video.Codec == mp4.H265 {
				typ = n[0] >> 1 & 0x3f
			}
			if l.Video.Codec == mp4.H264 && (typ < 1 || typ > 5) || l.Video.Codec == mp4.H265 && typ > 21 {
				t.Errorf("%s: frame %d holds a NAL unit of type %d: only slices belong there", l.Name, i, typ)
			}
		}
	}
}

func TestAllLoopsAreSmall(t *testing.T) {
	files, err := os.ReadDir("loops")
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	if sum > 8<<20 {
		t.Fatalf("the loops take %d bytes, more than 8 MiB", sum)
	}
}

// ffmpeg runs it over data and returns what it prints to standard output; any complaint fails the test.
func ffmpeg(t *testing.T, data []byte, args ...string) []byte {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "ffmpeg", append([]string{"-v", "warning", "-xerror"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil || said.Len() > 0 {
		t.Fatalf("ffmpeg %v: %v: %s", args, err, said.String())
	}
	return out.Bytes()
}

// annexB is the first units of the loop as a raw stream; beyond its end it begins again.
func annexB(l *scenes.Loop, units int) []byte {
	var b []byte
	nal := func(n []byte) { b = append(append(b, 0, 0, 0, 1), n...) }
	for i := range units {
		u := l.Units[i%len(l.Units)]
		if u.Key {
			for _, set := range [][]byte{l.Video.VPS, l.Video.SPS, l.Video.PPS} {
				if set != nil {
					nal(set)
				}
			}
		}
		for _, n := range u.NALUs {
			nal(n)
		}
	}
	return b
}

// TestLoopsDecode decodes each loop and, over its joint, its first group of pictures again. It wants every frame,
// each one unlike the one before, and the same pictures the second time.
func TestLoopsDecode(t *testing.T) {
	for _, name := range scenes.All() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := load(t, name)
			units := len(l.Units) + int(l.GOP.Seconds())*l.FPS
			format := "h264"
			if l.Video.Codec == mp4.H265 {
				format = "hevc"
			}
			sums := ffmpeg(t, annexB(l, units), "-f", format, "-r", "15", "-i", "-", "-f", "framehash", "-hash", "adler32", "-")
			var hashes []string
			for line := range strings.Lines(string(sums)) {
				if !strings.HasPrefix(line, "#") {
					fields := strings.Split(strings.TrimSpace(line), ",")
					hashes = append(hashes, strings.TrimSpace(fields[len(fields)-1]))
				}
			}
			if len(hashes) != units {
				t.Fatalf("%d frames came out of %d", len(hashes), units)
			}
			for i := 1; i < len(hashes); i++ {
				if hashes[i] == hashes[i-1] {
					t.Errorf("frame %d looks like frame %d: nothing moves", i, i-1)
				}
				if i >= len(l.Units) && hashes[i] != hashes[i-len(l.Units)] {
					t.Errorf("frame %d differs in the second round: the groups of pictures are not closed", i-len(l.Units))
				}
			}
		})
	}
}

// TestJointIsSmooth compares the step over the joint with the other steps: nobody may jump.
func TestJointIsSmooth(t *testing.T) {
	for _, name := range scenes.All() {
		if !strings.HasSuffix(name, "/sub") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := load(t, name)
			const w, h = 160, 90
			raw := ffmpeg(t, annexB(l, len(l.Units)), "-f", "h264", "-r", "15", "-i", "-", "-vf", "scale=160:90:flags=area",
				"-pix_fmt", "gray", "-f", "rawvideo", "-")
			n := len(raw) / (w * h)
			frame := func(i int) []byte { return raw[i%n*w*h:][:w*h] }
			// The clock in the corner does jump; the step is looked for below it.
			step := func(i int) (moved int) {
				a, b := frame(i)[12*w:], frame(i + 1)[12*w:]
				for k := range a {
					if d := int(a[k]) - int(b[k]); d > 24 || d < -24 {
						moved++
					}
				}
				return moved
			}
			most := 0
			for i := range n - 1 {
				most = max(most, step(i))
			}
			if joint := step(n - 1); joint > most {
				t.Fatalf("%d points change over the joint, %d at most within the loop", joint, most)
			}
		})
	}
}

// TestSound wants a quiet sound, not silence, whose end meets its beginning.
func TestSound(t *testing.T) {
	for _, name := range []string{"shop/sub", "corridor/sub", "dock/sub"} {
		l := load(t, name)
		if err := l.Audio.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Duration(int64(len(l.Sound))*l.SoundTicks) * time.Second / time.Duration(l.Audio.SampleRate); d != 8*time.Second {
			t.Errorf("%s: %v of sound, want 8 s", name, d)
		}
		pcm := decodeSound(t, l)
		var sum, rough, joint float64
		for i, v := range pcm {
			next := pcm[(i+1)%len(pcm)]
			sum += float64(v) * float64(v)
			if step := float64(next-v) * float64(next-v); i == len(pcm)-1 {
				joint = step
			} else {
				rough = max(rough, step)
			}
		}
		if level := sum / float64(len(pcm)); level < 50*50 || level > 3000*3000 {
			t.Errorf("%s: the sound's mean square is %.0f: silence or noise", name, level)
		}
		if l.Audio.Codec != mp4.AAC && joint > rough {
			t.Errorf("%s: the sound clicks at its joint", name)
		}
	}
}

func decodeSound(t *testing.T, l *scenes.Loop) []int32 {
	t.Helper()
	var lpcm []byte
	switch l.Audio.Codec {
	case mp4.PCMU:
		var law g711.Mulaw
		law.Unmarshal(bytes.Join(l.Sound, nil))
		lpcm = law
	case mp4.PCMA:
		var law g711.Alaw
		law.Unmarshal(bytes.Join(l.Sound, nil))
		lpcm = law
	default:
		raw, err := os.ReadFile(filepath.Join("loops", "room.aac"))
		if err != nil {
			t.Fatal(err)
		}
		lpcm = ffmpeg(t, raw, "-f", "aac", "-i", "-", "-f", "s16be", "-")
	}
	pcm := make([]int32, len(lpcm)/2)
	for i := range pcm {
		pcm[i] = int32(int16(uint16(lpcm[2*i])<<8 | uint16(lpcm[2*i+1])))
	}
	return pcm
}

func TestHeavy(t *testing.T) {
	dir := t.TempDir()
	const kbit = 2000
	l, err := scenes.Heavy(t.Context(), dir, kbit)
	if err != nil {
		t.Fatal(err)
	}
	if rate := l.Bitrate() / 1000; rate < kbit*85/100 || rate > kbit*115/100 || l.Video.Width != 1920 || l.GOP != 2*time.Second {
		t.Errorf("%d kbit/s, %d wide, a key frame every %v", rate, l.Video.Width, l.GOP)
	}
	again, err := scenes.Heavy(t.Context(), dir, kbit)
	if err != nil || !bytes.Equal(again.Units[1].NALUs[0], l.Units[1].NALUs[0]) {
		t.Errorf("the second call gave another loop, %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "heavy-"+strconv.Itoa(1500)+".mp4"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []int{1500, 10} {
		if _, err := scenes.Heavy(t.Context(), dir, bad); err == nil {
			t.Errorf("%d kbit/s: no complaint", bad)
		}
	}
}

func TestUnknownLoop(t *testing.T) {
	if _, err := scenes.Load("attic/main"); err == nil || !strings.Contains(err.Error(), "carpark/main") {
		t.Errorf("want an error that names the loops, got %v", err)
	}
}

func Example() {
	for _, c := range scenes.Cameras() {
		fmt.Println(c.Main, c.Sub)
	}
	// Output:
	// carpark/main carpark/sub
	// shop/main shop/sub
	// corridor/main corridor/sub
	// dock/main dock/sub
	// carpark-night/main carpark-night/sub
	// checkout/main checkout/sub
}

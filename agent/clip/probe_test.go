package clip

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/fakecam"
)

// film is what ffprobe makes of a clip.
type film struct {
	t        *testing.T
	bytes    []byte
	duration float64 // of the whole, seconds
	codecs   []string
	decoded  int             // pictures that a player shows
	stamps   []fakecam.Stamp // of the pictures that are shown, in the order of showing
	preroll  int             // pictures that are in the file and not shown
}

// probe has ffprobe decode a clip, and reads the cameras' stamps out of it.
func probe(t *testing.T, clip []byte) film {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, clip, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-count_frames", "-of", "json", "-show_entries",
		"format=duration:stream=codec_name,codec_type,nb_read_frames:packet=codec_type,pts_time,flags,pos,size", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("ffprobe: %v %s", err, &stderr)
	}
	var found struct {
		Format  struct{ Duration string }
		Streams []struct {
			CodecName string `json:"codec_name"`
			CodecType string `json:"codec_type"`
			Frames    string `json:"nb_read_frames"`
		}
		Packets []packet
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	f := film{t: t, bytes: clip, duration: number(t, found.Format.Duration)}
	h265 := false
	for _, s := range found.Streams {
		f.codecs = append(f.codecs, s.CodecName)
		if s.CodecType == "video" {
			f.decoded = int(number(t, s.Frames))
			h265 = s.CodecName == "hevc"
		}
	}
	found.Packets = slices.DeleteFunc(found.Packets, func(p packet) bool { return p.CodecType != "video" })
	slices.SortStableFunc(found.Packets, func(a, b packet) int { return int(1e6 * (number(t, a.PTS) - number(t, b.PTS))) })
	for _, p := range found.Packets {
		if strings.Contains(p.Flags, "D") { // before the edit list's beginning
			f.preroll++
			continue
		}
		at, size := int(number(t, p.Pos)), int(number(t, p.Size))
		stamp, ok := fakecam.FindStamp(units(clip[at:at+size]), h265)
		if !ok {
			t.Errorf("the picture at %s s has no stamp", p.PTS)
		}
		f.stamps = append(f.stamps, stamp)
	}
	return f
}

type packet struct {
	CodecType string `json:"codec_type"`
	PTS       string `json:"pts_time"`
	Flags     string
	Pos, Size string
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// units takes a sample apart.
func units(sample []byte) (out [][]byte) {
	for len(sample) >= 4 {
		n := int(binary.BigEndian.Uint32(sample))
		out = append(out, sample[4:4+n])
		sample = sample[4+n:]
	}
	return out
}

const frameUs = 66_667

// assertExact checks that a clip shows [fromUs, toUs): every frame the camera sent in it, once, and nothing else.
func (f *film) assertExact(fromUs, toUs int64) {
	f.t.Helper()
	f.assertRange(fromUs, toUs, 150_000) // the camera itself sends late on a busy machine
	for i := 1; i < len(f.stamps); i++ {
		if f.stamps[i].Frame != f.stamps[i-1].Frame+1 {
			f.t.Errorf("frame %d follows frame %d", f.stamps[i].Frame, f.stamps[i-1].Frame)
		}
	}
}

// assertRange checks the clip's length and its ends; slackUs is how far the time of a frame may be from when the camera
// sent it.
func (f *film) assertRange(fromUs, toUs, slackUs int64) {
	f.t.Helper()
	if want := float64(toUs-fromUs) / 1e6; f.duration < want-0.05 || f.duration > want+0.05 {
		f.t.Errorf("the clip lasts %.3f s, want %.3f", f.duration, want)
	}
	if want := int((toUs - fromUs) / frameUs); f.decoded < want-1 || f.decoded > want+2 {
		f.t.Errorf("a player shows %d pictures, want %d", f.decoded, want)
	}
	if first := f.stamps[0].SentUs; first < fromUs-frameUs-slackUs || first > fromUs+slackUs {
		f.t.Errorf("the first picture was sent %d ms after the beginning", (first-fromUs)/1000)
	}
	if last := f.stamps[len(f.stamps)-1].SentUs; last > toUs+slackUs || last < toUs-frameUs-slackUs {
		f.t.Errorf("the last picture was sent %d ms before the end", (toUs-last)/1000)
	}
}

// assertVerifies checks that the clip proves itself with the site's key.
func (f *film) assertVerifies(s *site, audio string) mp4.ClipReport {
	f.t.Helper()
	report, err := mp4.VerifyClip(bytes.NewReader(f.bytes), int64(len(f.bytes)), s.key)
	if err != nil || !report.OK || report.Audio != audio {
		f.t.Errorf("the clip does not verify (audio %q, want %q): %v %v", report.Audio, audio, err, report.Problems)
	}
	return report
}

// assertProves checks without decoding that a clip of a camera with G.711 is whole, and the range that was ordered.
func assertProves(t *testing.T, s *site, clip []byte, o wire.ClipOrder) {
	t.Helper()
	f := film{t: t, bytes: clip}
	if report := f.assertVerifies(s, mp4.AudioReplaced); report.FromUs != o.StartUs || report.ToUs != o.EndUs {
		t.Errorf("the clip is of [%d, %d), ordered was %+v", report.FromUs, report.ToUs, o)
	}
}

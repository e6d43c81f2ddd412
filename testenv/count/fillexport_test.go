package count

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/wire"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/house"
)

// exported is what the export command prints, as far as it is looked at here.
type exported struct {
	Files []struct {
		Path   string `json:"path"`
		Sealed bool   `json:"sealed"`
	} `json:"files"`
	Gaps []wire.GapFact `json:"gaps"`
}

// exportsAreExact exports each camera's recording, from inside what was recorded before the filled time to inside what
// was recorded behind it: every frame is in the file once, it decodes without a word, and it verifies.
func exportsAreExact(t *testing.T, s *house.Site, books []book) {
	t.Helper()
	for _, b := range books {
		segments := b.segments
		for len(segments) > 0 && segments[0].Origin != "" { // the time before the agent began is on the card too
			segments = segments[1:]
		}
		if !slices.ContainsFunc(segments, func(s ledger.Segment) bool { return s.Origin != "" }) || segments[len(segments)-1].Origin != "" {
			t.Fatalf("%s: nothing is filled between what is recorded", b.key)
		}
		first, last := segments[0], segments[len(segments)-1]
		at := func(us int64) string { return time.UnixMicro(us).UTC().Format("2006-01-02T15:04:05.000000Z") }
		out, err := s.Run(t.Context(), "export", "--camera", b.key, "--from", at(first.StartUs+1_500_000), "--to", at(last.EndUs-1_500_000),
			"-o", filepath.Join(t.TempDir(), b.key+".mp4"), "--json")
		if err != nil {
			t.Fatalf("export: %v\n%s", err, out)
		}
		var e exported
		if err := json.Unmarshal([]byte(out), &e); err != nil || len(e.Files) != 1 || !e.Files[0].Sealed || len(e.Gaps) > 0 {
			t.Fatalf("%s: the export is told as %s, %v", b.key, out, err)
		}
		path := e.Files[0].Path
		numbers := framesOf(t, path)
		for i := range numbers {
			if i > 0 && numbers[i] != numbers[i-1]+1 {
				t.Errorf("%s: frame %d follows frame %d in the export", b.key, numbers[i], numbers[i-1])
			}
		}
		if least := int(5 * (last.EndUs - first.StartUs - 3_000_000) / 1e6); len(numbers) < least {
			t.Errorf("%s: %d frames are in the export, want %d at least", b.key, len(numbers), least)
		}
		if said, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "warning", "-xerror", "-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-").CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("%s: ffmpeg says of the export: %v %s", b.key, err, said)
		}
		said, err := s.Run(t.Context(), "verify", path)
		if err != nil || !strings.Contains(said, "HOLDS") || !strings.Contains(said, " was not recorded from the camera but fetched from: card") {
			t.Errorf("verify the export of %s: %v\n%s", b.key, err, said)
		}
	}
}

// framesOf returns the numbers of the frames in a file, in the order of decoding, what is there before its beginning
// included.
func framesOf(t *testing.T, path string) (out []uint64) {
	t.Helper()
	codec, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=codec_name", "-of", "csv=p=0", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	h265 := strings.TrimSpace(string(codec)) == "hevc"
	format := map[bool]string{false: "h264", true: "hevc"}[h265]
	raw, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-ignore_editlist", "1", "-i", path, "-map", "0:v", "-c", "copy", "-f", format, "-").Output()
	if err != nil {
		t.Fatal(fmt.Errorf("take the video out of %s: %w", path, err))
	}
	for _, nal := range bytes.Split(raw, []byte{0, 0, 1}) {
		if s, ok := fakecam.ParseStamp(bytes.TrimRight(nal, "\x00"), h265); ok {
			out = append(out, s.Frame)
		}
	}
	return out
}

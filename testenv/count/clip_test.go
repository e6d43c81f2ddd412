package count

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/api"
	"holdfast/testenv/db"
	"holdfast/testenv/house"
	"holdfast/testenv/s3"
)

// TestClipOverAll follows a clip through the whole system with PostgreSQL for rows and S3 for bytes: ordered while
// the line is down, cut and sent when it is back, straight to the bucket, and played exactly as long as asked.
func TestClipOverAll(t *testing.T) {
	t.Parallel()
	bucket := s3.Start(t)
	h := house.New(t, house.Setup{
		Database: db.Postgres(t), Clips: bucket.URL("clips"),
		Env:      []string{"AWS_ACCESS_KEY_ID=" + s3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3.SecretKey},
		Branches: []house.BranchPlan{{Name: "Clips", Cameras: []house.CameraPlan{{Key: "dock", Name: "Dock", Place: "dock"}}}},
	})
	s := h.Sites[0]
	if err := s.Recording(t.Context(), 1, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	ids, err := s.CameraIDs()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	await(t, "twelve seconds of video", func(context.Context) (bool, error) { return time.Since(begun) > 12*time.Second, nil })
	s.Line.Cut()
	from := begun.Add(2 * time.Second).UnixMicro()
	var c api.Clip
	if err := h.Owner.Post(t.Context(), "/clips", map[string]any{
		"camera": ids["dock"], "start_us": from, "end_us": from + 7_300_000, "title": "Over all",
	}, &c); err != nil {
		t.Fatal(err)
	}
	if err := s.Line.Restore(); err != nil {
		t.Fatal(err)
	}
	await(t, "the clip is stored", func(ctx context.Context) (bool, error) {
		err := h.Owner.Get(ctx, "/clips/"+c.ID, &c)
		return c.State == "stored" && c.CutEndUs > 0, err
	})
	if c.CutStartUs != c.StartUs || c.CutEndUs != c.EndUs || len(c.Gaps) != 0 || c.Codec == "" {
		t.Errorf("the clip is told as %+v", c)
	}
	path := download(t, h, c)
	for entry, want := range map[string]float64{"format=duration": 7.3, "stream=start_time": 0} {
		if got := probe(t, path, entry); math.Abs(got-want) > 0.05 {
			t.Errorf("%s is %v s, want %v", entry, got, want)
		}
	}
	out, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", path).Output()
	if err != nil || !strings.Contains(string(out), "h264") || !strings.Contains(string(out), "opus") {
		t.Errorf("the clip has the streams %q, %v; want H.264 and Opus", out, err)
	}
}

func await(t *testing.T, what string, ask func(context.Context) (bool, error)) {
	t.Helper()
	if err := house.Until(t.Context(), 60*time.Second, what, ask); err != nil {
		t.Fatal(err)
	}
}

// download fetches the clip through the cloud, as the portal does.
func download(t *testing.T, h *house.House, c api.Clip) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/api/v1/clips/%s/media?download=1", h.URL, c.ID), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.Owner.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || int64(len(body)) != c.Bytes {
		t.Fatalf("download: %s, %d of %d bytes, %v", resp.Status, len(body), c.Bytes, err)
	}
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// probe asks ffprobe for one number of the file's picture.
func probe(t *testing.T, path, entry string) float64 {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", entry, "-of", "csv=p=0", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(strings.Split(strings.TrimSpace(string(out)), "\n")[0]), 64)
	if err != nil {
		t.Fatalf("ffprobe says %q of %s", out, entry)
	}
	return n
}

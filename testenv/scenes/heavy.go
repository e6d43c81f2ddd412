package scenes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Heavy returns eight seconds of the car park for load tests: 1920x1080 H.264, 15 frames a second, a key frame every
// 2 s, and on average kbit kilobits a second (a tenth more or less). ffmpeg makes it once, in seconds, out of
// the committed loop scaled up with sensor noise: the bits are picture, not padding. It is kept in dir, which
// is made if need be.
func Heavy(ctx context.Context, dir string, kbit int) (*Loop, error) {
	if kbit < 1000 || kbit > 20000 {
		return nil, fmt.Errorf("make heavy loop: %d kbit/s is out of range, ask for 1000 to 20000", kbit)
	}
	path := filepath.Join(dir, fmt.Sprintf("heavy-%d.mp4", kbit))
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeHeavy(ctx, path, kbit); err == nil {
			raw, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make heavy loop: %w", err)
	}
	l, err := parse(fmt.Sprintf("heavy/%d", kbit), raw)
	if err != nil {
		return nil, fmt.Errorf("load heavy loop (delete %s to make it anew): %w", path, err)
	}
	return l, nil
}

func makeHeavy(ctx context.Context, path string, kbit int) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	source, err := File("carpark/main")
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(path), "heavy-*.part")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(part.Name()) }()
	if err := part.Close(); err != nil {
		return err
	}
	rate := fmt.Sprintf("%dk", kbit)
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-y", "-i", "-", "-t", "8", "-an",
		"-vf", "scale=1920:1080:flags=bilinear,noise=c0s=22:c0f=t", "-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "high",
		"-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-g", "30", "-keyint_min", "30", "-sc_threshold", "0", "-bf", "0",
		"-bsf:v", "filter_units=remove_types=6", "-video_track_timescale", "90000", "-movflags", "+faststart", "-f", "mp4", part.Name())
	cmd.Stdin = strings.NewReader(string(source))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run ffmpeg (is it installed?): %w: %s", err, out)
	}
	return os.Rename(part.Name(), path)
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/shared/mp4"
	"holdfast/testenv/fakecam"
)

// files returns the paths of all segments.
func (c *chain) files() (out []string, err error) {
	err = filepath.WalkDir(filepath.Join(c.share(), "video"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".mp4") {
			out = append(out, path)
		}
		return err
	})
	return out, err
}

// stamps counts the frames on disk.
func (c *chain) stamps() (map[key]kept, error) {
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	out := map[key]kept{}
	for _, path := range files {
		if err := stampsOf(path, out); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return out, nil
}

func stampsOf(path string, out map[key]kept) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header, _, err := mp4.ReadHeader(f, info.Size())
	if err != nil {
		return err
	}
	for part, err := range mp4.Parts(f, info.Size()) {
		if err != nil {
			return err
		}
		samples, err := mp4.ReadSamples(f, part)
		if err != nil {
			return err
		}
		for _, s := range samples {
			stamp, ok := fakecam.FindStamp(s.Units, false)
			if !ok {
				continue
			}
			// The part's own times: while a machine lags, the agent's reckoning goes faster than the camera's clock.
			rate := int64(header.Tracks[s.Track].Timescale)
			wallUs := part.Sum.StartUs + s.DTS*1e6/rate - part.Sum.MediaUs
			untilUs := wallUs + int64(s.Duration)*1e6/rate
			if s.DTS == samples[len(samples)-1].DTS {
				untilUs = part.Sum.EndUs
			}
			k := key{stamp.Camera, stamp.Frame}
			out[k] = kept{times: out[k].times + 1, sentUs: stamp.SentUs, wallUs: wallUs, untilUs: untilUs}
		}
	}
	return nil
}

// decode decodes every file, many in one process.
func (c *chain) decode(ctx context.Context, a *audit) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	for some := range slices.Chunk(files, 32) {
		args := []string{"-v", "error", "-nostdin"}
		for _, path := range some {
			args = append(args, "-i", path)
		}
		for i := range some {
			args = append(args, "-map", fmt.Sprintf("%d:v", i), "-f", "null", "-")
		}
		out, err := exec.CommandContext(ctx, "ffmpeg", args...).CombinedOutput()
		if err != nil || len(bytes.TrimSpace(out)) > 0 {
			a.broken = append(a.broken, fmt.Sprintf("%s: not all files decode cleanly: %v %s", c.name, err, out))
		}
		a.segments += len(some)
	}
	return nil
}

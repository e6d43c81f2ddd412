package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"holdfast/testenv/scenes/stage"
)

// recipe is how one loop is encoded.
type recipe struct {
	scene, stream string
	gop           int // seconds
	crf           int
	h265          bool
	bframes       int
}

func recipes() []recipe {
	return []recipe{
		{scene: "carpark", stream: "main", gop: 2, crf: 29},
		{scene: "carpark", stream: "sub", gop: 2, crf: 31},
		{scene: "shop", stream: "main", gop: 1, crf: 32},
		{scene: "shop", stream: "sub", gop: 1, crf: 34},
		{scene: "corridor", stream: "main", gop: 10, crf: 28},
		{scene: "corridor", stream: "sub", gop: 10, crf: 28},
		{scene: "dock", stream: "main", gop: 2, crf: 28},
		{scene: "dock", stream: "sub", gop: 2, crf: 31},
		{scene: "carpark-night", stream: "main", gop: 2, crf: 31, h265: true},
		{scene: "carpark-night", stream: "sub", gop: 2, crf: 29},
		{scene: "checkout", stream: "main", gop: 2, crf: 29, bframes: 2},
		{scene: "checkout", stream: "sub", gop: 1, crf: 31},
	}
}

// encode makes a scene's loops from its masters. Every GOP is closed and of equal length, so that a loop can
// follow itself; SEI is left out, so that the only SEI on the wire is the stamp of fakecam.
func encode(ctx context.Context, scene stage.Scene, work, out string) error {
	for _, r := range recipes() {
		if r.scene != scene.Name {
			continue
		}
		args := append([]string{"-v", "error", "-y", "-i", masterPath(work, scene, r.stream), "-an", "-map_metadata", "-1"}, r.codec()...)
		args = append(args, "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
			"-fflags", "+bitexact", "-video_track_timescale", "90000", "-movflags", "+faststart", "-f", "mp4",
			filepath.Join(out, r.scene+"-"+r.stream+".mp4"))
		if err := ffmpeg(ctx, nil, args...); err != nil {
			return err
		}
	}
	return nil
}

func (r recipe) codec() []string {
	keys := r.gop * rate
	if r.h265 {
		params := fmt.Sprintf("keyint=%d:min-keyint=%d:scenecut=0:open-gop=0:bframes=0:info=0:repeat-headers=0:log-level=error", keys, keys)
		return []string{
			"-c:v", "libx265", "-preset", "slow", "-crf", fmt.Sprint(r.crf), "-x265-params", params, "-tag:v", "hvc1",
			"-bsf:v", "filter_units=remove_types=39-40",
		}
	}
	profile := "high"
	if r.stream == "sub" {
		profile = "main"
	}
	params := fmt.Sprintf("keyint=%d:min-keyint=%d:scenecut=0:open-gop=0:bframes=%d:b-adapt=0:threads=1", keys, keys, r.bframes)
	return []string{
		"-c:v", "libx264", "-preset", "veryslow", "-profile:v", profile, "-crf", fmt.Sprint(r.crf), "-x264-params", params,
		"-bsf:v", "filter_units=remove_types=6",
	}
}

// ffmpeg runs it with in as its input; what it writes to standard output is thrown away.
func ffmpeg(ctx context.Context, in []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, "ffmpeg", args...)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stdout = os.Stdout
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run ffmpeg: %w: %s", err, said.String())
	}
	return nil
}

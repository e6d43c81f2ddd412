package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"holdfast/testenv/scenes/render"
	"holdfast/testenv/scenes/stage"
)

const (
	wide, high = 1280, 720
	rate       = 15 // frames a second
)

// studio draws the frames of one scene.
type studio struct {
	scene stage.Scene
	plate *render.Plate
}

func newStudio(scene stage.Scene) *studio {
	return &studio{scene, render.NewPlate(scene.Set, wide, high, render.Quality{Shade: 4, Around: 14})}
}

// frame returns frame n as RGB: at full size, and halved for the sub-stream.
func (s *studio) frame(n int) (main, sub []byte) {
	t := float64(n) / rate
	main = s.scene.Set.Sensor.Develop(s.plate.Frame(s.scene.Cast(t)), wide, high, n)
	sub = render.Halve(main, wide, high)
	s.label(main, wide, high, t, 3)
	s.label(sub, wide/2, high/2, t, 2)
	return main, sub
}

// label burns the time in the loop and the camera's name in.
func (s *studio) label(rgb []byte, w, h int, t float64, scale int) {
	edge := 8 * scale
	render.Write(rgb, w, fmt.Sprintf("%02d:%04.1f", int(t)/60, t-float64(int(t)/60*60)), edge, edge, scale)
	render.Write(rgb, w, s.scene.Title, edge, h-edge-render.TextHeight(scale), scale)
}

// master draws the scene into two lossless files, unless they are there already.
func master(ctx context.Context, scene stage.Scene, work string) error {
	names := [2]string{masterPath(work, scene, "main"), masterPath(work, scene, "sub")}
	if exists(names[0]) && exists(names[1]) {
		return nil
	}
	var pipes [2]*recorder
	for i, name := range names {
		r, err := record(ctx, name+".part", wide>>i, high>>i)
		if err != nil {
			return err
		}
		pipes[i] = r
	}
	s := newStudio(scene)
	for n := range scene.Seconds * rate {
		main, sub := s.frame(n)
		for i, rgb := range [2][]byte{main, sub} {
			if _, err := pipes[i].in.Write(rgb); err != nil {
				return fmt.Errorf("write frame %d: %w: %s", n, err, pipes[i].said.String())
			}
		}
	}
	for i, name := range names {
		if err := pipes[i].close(); err != nil {
			return err
		}
		if err := os.Rename(name+".part", name); err != nil {
			return fmt.Errorf("keep master: %w", err)
		}
	}
	return nil
}

func masterPath(work string, scene stage.Scene, stream string) string {
	return filepath.Join(work, scene.Name+"-"+stream+".nut")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// recorder is an ffmpeg that takes raw frames and keeps them without loss.
type recorder struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said bytes.Buffer
}

func record(ctx context.Context, path string, w, h int) (*recorder, error) {
	r := &recorder{cmd: exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-y",
		"-f", "rawvideo", "-pix_fmt", "rgb24", "-s", fmt.Sprintf("%dx%d", w, h), "-r", fmt.Sprint(rate), "-i", "-",
		"-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-c:v", "ffv1", "-f", "nut", path)}
	r.cmd.Stderr = &r.said
	in, err := r.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open pipe to ffmpeg: %w", err)
	}
	r.in = in
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start ffmpeg (is it installed?): %w", err)
	}
	return r, nil
}

func (r *recorder) close() error {
	if err := r.in.Close(); err != nil {
		return fmt.Errorf("close pipe to ffmpeg: %w", err)
	}
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("run ffmpeg: %w: %s", err, r.said.String())
	}
	return nil
}

func writeStill(scene stage.Scene, t float64, path string) error {
	rgb, _ := newStudio(scene).frame(int(t * rate))
	img := image.NewRGBA(image.Rect(0, 0, wide, high))
	for i := range wide * high {
		img.SetRGBA(i%wide, i/wide, color.RGBA{rgb[i*3], rgb[i*3+1], rgb[i*3+2], 255})
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		return fmt.Errorf("encode still: %w", err)
	}
	return os.WriteFile(path, buf.Bytes(), 0o644)
}

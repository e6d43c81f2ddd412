// Command draw makes the loops of package scenes: it draws every scene, hands the frames to ffmpeg, and makes
// the room sounds.
//
//	go run holdfast/testenv/scenes/cmd/draw -out testenv/scenes/loops -work /tmp/scenes
//
// Drawing takes minutes; the lossless masters stay in the work folder and are drawn again only when they are
// missing, so that an encoder setting can be changed without drawing anew. -still writes one PNG and stops.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"holdfast/testenv/scenes/stage"
)

func main() {
	out := flag.String("out", "testenv/scenes/loops", "folder for the loops")
	work := flag.String("work", filepath.Join(os.TempDir(), "holdfast-scenes"), "folder for the lossless masters")
	only := flag.String("scene", "", "make this scene alone")
	still := flag.Float64("still", -1, "write a PNG of this second of -scene into the work folder, and stop")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, *work, *only, *still); err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, work, only string, still float64) error {
	for _, dir := range []string{out, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	if still >= 0 {
		scene, err := stage.Find(only)
		if err != nil {
			return err
		}
		return writeStill(scene, still, filepath.Join(work, scene.Name+".png"))
	}
	for _, scene := range stage.All() {
		if only != "" && only != scene.Name {
			continue
		}
		if err := master(ctx, scene, work); err != nil {
			return fmt.Errorf("draw %s: %w", scene.Name, err)
		}
		if err := encode(ctx, scene, work, out); err != nil {
			return fmt.Errorf("encode %s: %w", scene.Name, err)
		}
	}
	if only != "" {
		return nil
	}
	return sounds(ctx, out)
}

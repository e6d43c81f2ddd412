package real

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/api"
	"holdfast/testenv/house"
	"holdfast/testenv/scenes"
	"holdfast/testenv/smalldisk"
)

// TestAChosenClipOutlivesItsVideo has a clip wanted, the line cut before it has passed, and a disk that is too small for
// as long as the line stays away. A clip that was cut meanwhile arrives though its video is gone. Of one that takes more
// than the disk holds the portal is told that it is lost, and why. The accounts of all moments are not compared: the
// disk stays full, and what the site has changes while one looks.
func TestAChosenClipOutlivesItsVideo(t *testing.T) {
	if !*long {
		t.Skip("it takes the minutes in which a disk is recorded full: run it with -long")
	}
	t.Run("cut", func(t *testing.T) {
		b, video := cramped(t, false)
		b.site.Line.Cap(20_000) // for minutes of upload
		clip := b.choose(time.Now().UnixMicro(), 4*time.Second)
		b.until(time.Minute, "the clip is on its way", func(ctx context.Context) (bool, error) {
			var c api.Clip
			err := b.house.Owner.Get(ctx, "/clips/"+clip, &c)
			return c.State == "uploading", err
		})
		first := oldest(t, video)
		b.away(video, first)
		if _, err := os.Stat(first); err == nil {
			t.Errorf("the video of the clip is still there: that tests nothing")
		}
		b.restore()
		b.stored(clip)
		b.inOrder(time.Minute)
		b.sound()
	})
	t.Run("lost", func(t *testing.T) {
		b, video := cramped(t, true)
		clip := b.choose(time.Now().UnixMicro(), 10*time.Minute) // of which the disk holds one
		b.until(30*time.Second, "the site knows of the clip", func(ctx context.Context) (bool, error) {
			status, err := b.site.Status(ctx)
			queue, _ := status["queue"].(map[string]any)
			return queue["clips"] == 1.0, err
		})
		b.away(video, oldest(t, video))
		b.restore()
		var c api.Clip
		b.until(time.Minute, "the portal says that the clip is lost", func(ctx context.Context) (bool, error) {
			err := b.house.Owner.Get(ctx, "/clips/"+clip, &c)
			return c.State == "lost", err
		})
		if !strings.Contains(c.Reason, "disk was full") {
			t.Errorf("the clip is lost because %q", c.Reason)
		}
		b.inOrder(time.Minute)
		b.sound()
	})
}

// away cuts the line until the oldest file of the video is deleted.
func (b *branch) away(video, first string) {
	b.Helper()
	b.site.Line.Cut()
	b.ring(5)
	b.until(4*time.Minute, "the oldest video is deleted", func(context.Context) (bool, error) {
		return oldest(b.T, video) > first, b.site.Agent.Alive()
	})
}

// cramped starts a site of one camera whose disk holds about a minute of video: the whole site's disk, or the video's
// alone.
func cramped(t *testing.T, whole bool) (b *branch, video string) {
	t.Helper()
	plan := heavy(t)[0]
	dir := t.TempDir()
	data := filepath.Join(dir, "site-1", "data")
	video = filepath.Join(dir, "disk")
	if whole {
		smalldisk.MountAt(t, smalldisk.Bytes(180<<20), data) // the ledger keeps 64 MiB of it for bad days
		video = filepath.Join(data, "video")
	} else {
		smalldisk.MountAt(t, smalldisk.Bytes(116<<20), video)
	}
	plan.YAML = fmt.Sprintf("volumes: [{path: %q, free: 40MB}]\n", video)
	return open(t, house.Setup{Dir: dir, Branches: []house.BranchPlan{plan}}), video
}

// heavy is a site with a camera of 8 Mbit/s.
func heavy(t *testing.T) []house.BranchPlan {
	t.Helper()
	loop, err := scenes.Heavy(t.Context(), filepath.Join(os.TempDir(), "holdfast-loops"), 8000)
	if err != nil {
		t.Fatal(err)
	}
	return []house.BranchPlan{{Name: "Heavy", Cameras: []house.CameraPlan{{Key: "dock", Name: "Dock", Loop: loop}}}}
}

// oldest returns the path of the oldest video file.
func oldest(t *testing.T, dir string) string {
	t.Helper()
	first := "~"
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".mp4") {
			first = min(first, path)
		}
		return nil // what is gone went meanwhile
	})
	if err != nil {
		t.Fatal(err)
	}
	return first
}

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

// TestAChosenClipOutlivesItsVideo has a clip wanted, the line cut, and the disk with the video too small for as long as
// the line stays away. A clip that was cut meanwhile arrives though its video is gone; where the whole site is on that
// disk and the clip found no room, the portal is told that it is lost, and why.
func TestAChosenClipOutlivesItsVideo(t *testing.T) {
	if !*long {
		t.Skip("it takes the minutes in which a disk is recorded full: run it with -long")
	}
	for name, whole := range map[string]bool{"cut": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			b, video := cramped(t, whole)
			from := time.Now().UnixMicro()
			b.during(4 * time.Second)
			clip := b.choose(from, 3*time.Second)
			first := oldest(t, video)
			b.taken(clip)
			b.site.Line.Cut()
			b.until(4*time.Minute, "the video of the clip is deleted", func(context.Context) (bool, error) {
				return oldest(t, video) > first, b.site.Agent.Alive()
			})
			b.ring(1)
			b.restore()
			if !whole {
				b.stored(clip)
				b.settled(60 * time.Second)
				return
			}
			var c api.Clip
			b.until(time.Minute, "the portal says that the clip is lost", func(ctx context.Context) (bool, error) {
				err := b.house.Owner.Get(ctx, "/clips/"+clip, &c)
				return c.State == "lost", err
			})
			if !strings.Contains(c.Reason, "disk was full") {
				t.Errorf("the clip is lost because %q", c.Reason)
			}
			b.settled(60 * time.Second)
		})
	}
}

// cramped starts a site of one camera whose disk holds about a minute of video: the whole site's disk, or the video's
// alone.
func cramped(t *testing.T, whole bool) (b *branch, video string) {
	t.Helper()
	loop, err := scenes.Heavy(t.Context(), filepath.Join(os.TempDir(), "holdfast-loops"), 8000)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "site-1", "data")
	video = filepath.Join(dir, "disk")
	if whole {
		smalldisk.MountAt(t, smalldisk.Bytes(200<<20), data) // the ledger keeps 64 MiB of it for bad days
		video = filepath.Join(data, "video")
	} else {
		smalldisk.MountAt(t, smalldisk.Bytes(136<<20), video)
	}
	return open(t, house.Setup{Dir: dir, Branches: []house.BranchPlan{{
		Name: "Cramped", YAML: fmt.Sprintf("volumes: [{path: %q, free: 40MB}]\n", video),
		Cameras: []house.CameraPlan{{Key: "dock", Name: "Dock", Loop: loop}},
	}}}), video
}

// taken waits until the site has taken the order of a clip and has tried to cut it.
func (b *branch) taken(clip string) {
	b.Helper()
	b.until(time.Minute, "the site has tried to cut the clip", func(ctx context.Context) (bool, error) {
		var c api.Clip
		err := b.house.Owner.Get(ctx, "/clips/"+clip, &c)
		return c.State != "wanted" || c.Reason != "", err
	})
}

// oldest returns the name of the oldest video file.
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

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"holdfast/testenv/house"
)

// sizes measures the programs as they are released, and what a browser loads before the first page shows.
func (b *bench) sizes(ctx context.Context) error {
	for name, pkg := range map[string]string{"agent_binary": "./agent/cmd/holdfast-agent", "cloud_binary": "./cloud/cmd/holdfast-cloud"} {
		out, err := b.build(ctx, name, pkg)
		if err != nil {
			return err
		}
		info, err := os.Stat(out)
		if err != nil {
			return err
		}
		say(name, float64(info.Size())/1e6, "MB")
	}
	return b.firstPage()
}

// firstPage sums index.html and every script and style that it names, each packed by gzip.
func (b *bench) firstPage() error {
	dist := os.DirFS(filepath.Join(house.Root(), "cloud", "portal", "dist"))
	index, err := fs.ReadFile(dist, "index.html")
	if err != nil {
		return fmt.Errorf("the portal is not built (make portal): %w", err)
	}
	total := packed(index)
	for _, m := range regexp.MustCompile(`(?:src|href)="/?(assets/[^"]+\.(?:js|css))"`).FindAllSubmatch(index, -1) {
		text, err := fs.ReadFile(dist, string(m[1]))
		if err != nil {
			return err
		}
		total += packed(text)
	}
	say("portal_first_page_gz", float64(total)/1e3, "kB")
	return nil
}

func packed(text []byte) int {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(text)
	if err != nil || z.Close() != nil {
		return 0 // a buffer never fails
	}
	return out.Len()
}

// live measures, in a real browser, the time from a click on a camera to its first decoded frame.
func (b *bench) live(ctx context.Context) error {
	h, err := house.Start(ctx, house.Setup{Dir: filepath.Join(b.dir, "live"), Branches: []house.BranchPlan{{Name: "Bench", Cameras: []house.CameraPlan{
		{Key: "car-park", Name: "Car park", Place: "carpark"}, {Key: "dock", Name: "Dock", Place: "dock"},
	}}}})
	if h != nil {
		defer func() { _ = h.Close() }()
	}
	if err != nil {
		return err
	}
	if err := h.Sites[0].Recording(ctx, 2, 60*time.Second); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "node", filepath.Join(house.Root(), "testenv", "e2e", "clicks.mjs"))
	cmd.Env = append(os.Environ(), "PORTAL="+h.URL, "OWNER="+house.OwnerEmail, "PASSWORD="+house.OwnerPassword, "CLICKS=20")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("click: %w\n%s", err, text)
	}
	var out map[string]struct{ P50, P95 float64 }
	if err := json.Unmarshal(text, &out); err != nil {
		return fmt.Errorf("read clicks: %w: %s", err, text)
	}
	for _, f := range []struct{ name, what string }{
		{"first_frame", "ms from the press to the first picture, the change of the page in it"},
		{"asked", "ms from the press until the site is asked"},
		{"answered", "ms from the press until the site has answered"},
		{"page", "ms from the press until the camera's page is there"},
		{"latency", "ms from a picture's arrival at the site to the screen, a second later"},
	} {
		say("live_"+f.name+"_p50", out[f.name].P50, f.what)
		say("live_"+f.name+"_p95", out[f.name].P95, f.what)
	}
	return nil
}

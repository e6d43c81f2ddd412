package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

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

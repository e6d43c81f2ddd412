package smoke

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The same sources give the same bytes, wherever the tree lies, however old its files are and whoever builds.
func TestDistIsReproducible(t *testing.T) {
	wanted(t, "debian")
	targets := []string{"VERSION=v1.2.3-rc1", "SOURCE_DATE_EPOCH=1790000000", "TARGETS=linux/" + runtime.GOARCH + " windows/amd64", "CLOUD_TARGETS=linux/" + runtime.GOARCH}
	here, there := t.TempDir(), t.TempDir()
	one, other := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "another tree")
	// Every file of the second tree is as old as the copy, and the umask is another.
	const copied = `mkdir "$2" && tar c -C "$1" --exclude=node_modules --exclude=.git --exclude=./dist . | tar x$3 -C "$2"`
	must(t, nil, "sh", "-ec", copied, "sh", ".", one)
	must(t, nil, "sh", "-ec", "umask 027 && "+copied, "sh", one, other, "m")
	must(t, append(targets, "DIST="+here), "sh", "-ec", `cd "$1" && installer/dist.sh`, "sh", one)
	must(t, append(targets, "DIST="+there, "TZ=Asia/Tokyo", "LANG=de_DE.UTF-8"), "sh", "-ec", `cd "$1" && umask 077 && installer/dist.sh`, "sh", other)

	first, err := os.ReadFile(filepath.Join(here, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(there, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Errorf("two builds differ:\n%s\n%s", first, second)
	}
	contains(t, string(first), "holdfast-agent-linux-"+runtime.GOARCH+"\n", "holdfast-agent-windows-amd64.exe\n", "holdfast-agent-copyright.txt\n",
		"holdfast-cloud-linux-"+runtime.GOARCH+"\n", "holdfast-agent_1.2.3~rc1_", "holdfast-cloud_1.2.3~rc1_")
	must(t, nil, "sh", "-ec", `cd "$1" && sha256sum --strict --quiet -c SHA256SUMS`, "sh", here)

	contains(t, must(t, nil, filepath.Join(here, "holdfast-agent-linux-"+runtime.GOARCH), "version"), "holdfast-agent v1.2.3-rc1 (linux/")
	contains(t, must(t, nil, filepath.Join(here, "holdfast-cloud-linux-"+runtime.GOARCH), "version"), "holdfast-cloud v1.2.3-rc1 (linux/")
	for _, name := range []string{"holdfast-agent", "holdfast-cloud"} {
		file := deb(t, here, name)
		if got := must(t, nil, "dpkg-deb", "-f", file, "Package", "Version", "Architecture"); got !=
			"Package: "+name+"\nVersion: 1.2.3~rc1\nArchitecture: "+runtime.GOARCH+"\n" {
			t.Error(got)
		}
		for line := range strings.Lines(must(t, nil, "dpkg-deb", "-c", file)) {
			if f := strings.Fields(line); f[1] != "root/root" || strings.ContainsAny(f[0][1:], "sStT") || f[0][8] == 'w' || f[0][5] == 'w' {
				t.Errorf("owner or permissions: %s", line)
			}
		}
	}
}

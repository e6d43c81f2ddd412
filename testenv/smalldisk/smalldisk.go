// Package smalldisk gives a test a real file system that is soon full: a memory file system of so many bytes, or an
// ext4 in a file that can hold only so many files.
//
// It mounts for the length of the test and unmounts at its end. It needs root and Linux; without them the test is
// skipped with the reason, never passed.
package smalldisk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Kind is what the file system holds.
type Kind struct {
	options string   // of tmpfs
	mkfs    []string // of ext4, instead
	bytes   int64
}

// Bytes is a memory file system of so many bytes.
func Bytes(n int64) Kind { return Kind{options: fmt.Sprintf("size=%d", n)} }

// Files is an ext4 of so many bytes that can hold about so many files.
func Files(bytes int64, files int) Kind {
	return Kind{bytes: bytes, mkfs: []string{"-N", fmt.Sprint(files)}}
}

// Mount mounts a file system for the length of the test and returns its folder.
func Mount(t testing.TB, k Kind) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	MountAt(t, k, dir)
	return dir
}

// MountAt is Mount at a folder, which is made.
func MountAt(t testing.TB, k Kind, dir string) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("a small file system can only be mounted by root on Linux")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if k.mkfs == nil {
		run(t, "mount", "-t", "tmpfs", "-o", k.options, "tmpfs", dir)
	} else {
		image := filepath.Join(t.TempDir(), "image")
		f, err := os.Create(image)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(k.bytes); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		run(t, "mkfs.ext4", append(append([]string{"-q", "-m", "0"}, k.mkfs...), image)...)
		run(t, "mount", "-o", "loop", image, dir)
	}
	t.Cleanup(func() {
		if text, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, text)
			run(t, "umount", "-l", dir)
		}
	})
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	text, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Skipf("%s: %v: %s", name, err, text)
	}
}

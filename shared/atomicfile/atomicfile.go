// Package atomicfile replaces a small file as a whole: after a crash or a power cut the file has either its
// old content or its new content, never a part of either.
//
// Identities, keys and small state go through it. Not for video: nothing hot is ever renamed.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Write writes data to path with the given permissions: a temporary file beside it, fsync, rename, fsync of
// the folder (not on Windows, which has no such call). On Windows the rename is retried for two seconds,
// because a virus scanner may hold the old file open.
func Write(path string, data []byte, perm os.FileMode) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("create temporary file beside %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(f.Name())))
		}
	}()
	if err := fill(f, data, perm); err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	if err := rename(f.Name(), path); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return SyncDir(dir)
}

func fill(f *os.File, data []byte, perm os.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func rename(from, to string) error {
	err := os.Rename(from, to)
	if runtime.GOOS != "windows" {
		return err
	}
	for end := time.Now().Add(2 * time.Second); err != nil && time.Now().Before(end); err = os.Rename(from, to) {
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// SyncDir makes created, renamed and removed names in dir durable (fsync of the folder); nothing on Windows.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder to sync it: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

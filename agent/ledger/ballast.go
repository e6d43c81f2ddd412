package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/shirou/gopsutil/v4/disk"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"holdfast/shared/atomicfile"
)

// The ballast is a file of zeros beside the ledger. When the disk that holds both is full the ballast goes, and
// the commit that failed is made in its place: what is to be told of the full disk can be told.

// ballastOf names the ballast of a ledger.
func ballastOf(path string) string { return path + ".ballast" }

// KeepBallast makes the ballast when there is none and the disk has four times its room. size is in bytes, and no
// more than a sixteenth of the disk is taken. here says whether the ballast lies there now; without it the next
// full disk is the ledger's failure.
func (l *Ledger) KeepBallast(size int64) (here bool, err error) {
	path := ballastOf(l.path)
	if _, err := os.Stat(path); err == nil {
		return true, nil
	}
	space, err := disk.Usage(filepath.Dir(path))
	if err != nil {
		return false, fmt.Errorf("measure the ledger's disk: %w", err)
	}
	size = min(size, int64(space.Total/16))
	if size <= 0 || int64(space.Free) < 4*size {
		return false, nil
	}
	if err := fill(path, size); err != nil {
		return false, fmt.Errorf("make the ledger's ballast: %w", err)
	}
	return true, nil
}

// fill writes a file of zeros: a hole would not take the room that it is to keep.
func fill(path string, size int64) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	block := bytes.Repeat([]byte{0}, 1<<20)
	for left := size; left > 0 && err == nil; left -= int64(len(block)) {
		_, err = f.Write(block[:min(left, int64(len(block)))])
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	return errors.Join(os.Rename(path+".new", path), atomicfile.SyncDir(filepath.Dir(path)))
}

// dropBallast gives the ballast's room back and says whether there was one.
func dropBallast(path string) bool {
	// The half of one that a crash left behind takes room too.
	half := os.Remove(ballastOf(path) + ".new")
	whole := os.Remove(ballastOf(path))
	return half == nil || whole == nil
}

// noRoom says whether an error of the engine may come from a full disk. Where it only may, the ballast is given
// all the same: a second try costs nothing.
func noRoom(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
			return true
		}
		return false
	}
	return errors.Is(err, syscall.ENOSPC)
}

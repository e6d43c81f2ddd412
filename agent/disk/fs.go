package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"

	usage "github.com/shirou/gopsutil/v4/disk"

	"holdfast/shared/atomicfile"
)

// FS is the file system that volumes stand on: the system's own, or in tests one that loses power and fails
// where it is told to. Its errors wrap those of io/fs.
type FS interface {
	// OpenRoot opens a folder. Names inside it lead nowhere else.
	OpenRoot(path string) (Root, error)
	MkdirAll(path string) error
	// Replace writes a small file as a whole and durably: after a power cut it has its old content or its new.
	Replace(path string, data []byte, perm fs.FileMode) error
	// Usage measures the file system at path.
	Usage(path string) (Usage, error)
}

// Usage is the room on a file system: bytes, and names where it can hold only so many.
type Usage struct {
	Total, Free      int64
	Names, FreeNames int64
}

// Root is an open folder; names are relative to it and have slashes.
type Root interface {
	Create(name string) (Handle, error) // fails when there is such a file
	Open(name string) (Handle, error)   // to read
	Reopen(name string) (Handle, error) // to read and write
	Mkdir(name string) error
	Remove(name string) error
	Rename(from, to string) error // not durable before both folders are flushed
	Size(name string) (int64, error)
	Names(folder string) ([]string, error)
	Sync(folder string) error // makes the names in a folder durable
	Same(other Root) bool     // says whether both are one folder of one file system
	Close() error
}

// Handle is an open file.
type Handle interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error // makes bytes and size durable
}

// osFS is the system's file system.
type osFS struct{}

func (osFS) OpenRoot(path string) (Root, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return osRoot{root}, nil
}

func (osFS) MkdirAll(path string) error { return os.MkdirAll(path, 0o750) }

func (osFS) Replace(path string, data []byte, perm fs.FileMode) error {
	return atomicfile.Write(path, data, perm)
}

func (osFS) Usage(path string) (Usage, error) {
	u, err := usage.Usage(path)
	if err != nil {
		return Usage{}, err
	}
	return Usage{Total: int64(u.Total), Free: int64(u.Free), Names: int64(u.InodesTotal), FreeNames: int64(u.InodesFree)}, nil
}

type osRoot struct{ root *os.Root }

func (r osRoot) open(name string, flag int, perm fs.FileMode) (Handle, error) {
	f, err := r.root.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (r osRoot) Create(name string) (Handle, error) {
	return r.open(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
}
func (r osRoot) Open(name string) (Handle, error)   { return r.open(name, os.O_RDONLY, 0) }
func (r osRoot) Reopen(name string) (Handle, error) { return r.open(name, os.O_RDWR, 0) }
func (r osRoot) Mkdir(name string) error            { return r.root.Mkdir(name, 0o750) }
func (r osRoot) Remove(name string) error           { return r.root.Remove(name) }
func (r osRoot) Rename(from, to string) error       { return r.root.Rename(from, to) }
func (r osRoot) Close() error                       { return r.root.Close() }

func (r osRoot) Size(name string) (int64, error) {
	info, err := r.root.Lstat(name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (r osRoot) Names(folder string) ([]string, error) {
	f, err := r.root.Open(folder)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// Sync does nothing on Windows, which has no such call.
func (r osRoot) Sync(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := r.root.Open(path.Clean(folder))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (r osRoot) Same(other Root) bool {
	o, ok := other.(osRoot)
	if !ok {
		return false
	}
	a, errA := r.root.Stat(".")
	b, errB := o.root.Stat(".")
	return errA == nil && errB == nil && os.SameFile(a, b)
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Sync() error { return datasync(f.File) }

// maxSmall bounds the small files that are read as a whole.
const maxSmall = 1 << 20

// readSmall reads a small file.
func readSmall(root Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err == nil && size > maxSmall {
		err = fmt.Errorf("%s has %d bytes, which is too much for what it is", name, size)
	}
	var text []byte
	if err == nil {
		text = make([]byte, size)
		var n int
		if n, err = f.ReadAt(text, 0); errors.Is(err, io.EOF) {
			err = nil // it was cut meanwhile
		}
		text = text[:n]
	}
	return text, errors.Join(err, f.Close())
}

// readSmallAt reads the small file at a path.
func readSmallAt(sys FS, file string) ([]byte, error) {
	root, err := sys.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	text, err := readSmall(root, filepath.Base(file))
	return text, errors.Join(err, root.Close())
}

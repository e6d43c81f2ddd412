package crashfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"holdfast/agent/disk"
)

// folder holds names as the system shows them and as the platter has them; a value is a *folder or an *inode.
type folder struct {
	now, safe map[string]any
}

func newFolder() *folder { return &folder{now: map[string]any{}, safe: map[string]any{}} }

func (d *folder) walk(at string, fn func(name string, f *inode)) {
	for name, e := range d.now {
		switch e := e.(type) {
		case *folder:
			e.walk(path.Join(at, name), fn)
		case *inode:
			fn(path.Join(at, name), e)
		}
	}
}

// sub returns the folder that names lead to.
func (d *folder) sub(names []string) (*folder, error) {
	for _, name := range names {
		switch e := d.now[name].(type) {
		case *folder:
			d = e
		case nil:
			return nil, fs.ErrNotExist
		default:
			return nil, syscall.ENOTDIR
		}
	}
	return d, nil
}

// parent returns the folder in which a name lies, and the last part of the name.
func (d *folder) parent(name string) (*folder, string, error) {
	names := clean(name)
	if len(names) == 0 {
		return nil, "", fs.ErrInvalid
	}
	in, err := d.sub(names[:len(names)-1])
	return in, names[len(names)-1], err
}

// OpenRoot implements disk.FS.
func (s *FS) OpenRoot(name string) (disk.Root, error) {
	r := &root{fs: s, path: name}
	err := s.do("open-root", name, plain(func() (err error) {
		r.dir, err = s.root.sub(clean(name))
		return err
	}))
	if err != nil {
		return nil, err
	}
	return r, nil
}

// MkdirAll implements disk.FS; the folders that it makes are durable, as a person or an installer left them.
func (s *FS) MkdirAll(name string) error {
	return s.do("mkdir-all", name, plain(func() error {
		d := s.root
		for _, n := range clean(name) {
			if d.now[n] == nil {
				f := newFolder()
				d.now[n], d.safe[n] = f, f
			}
			next, ok := d.now[n].(*folder)
			if !ok {
				return syscall.ENOTDIR
			}
			d = next
		}
		return nil
	}))
}

// Usage implements disk.FS.
func (s *FS) Usage(name string) (u disk.Usage, err error) {
	err = s.do("usage", name, plain(func() error {
		u.Total = s.capacity()
		u.Free = u.Total - s.used
		return nil
	}))
	return u, err
}

func (s *FS) capacity() int64 {
	if s.Capacity > 0 {
		return s.Capacity
	}
	return 1e12
}

// Replace implements disk.FS with the steps of shared/atomicfile: a temporary file, written and flushed, takes the
// name, then the folder is flushed. Each step is an operation.
func (s *FS) Replace(name string, data []byte, _ fs.FileMode) (err error) {
	temp := path.Join(path.Dir(name), "."+path.Base(name)+".new")
	var in *folder
	var base string
	f := newInode()
	if err := s.do("replace-create", temp, plain(func() (err error) {
		if in, base, err = s.root.parent(name); err == nil {
			in.now["."+base+".new"] = f
		}
		return err
	})); err != nil {
		return err
	}
	steps := []struct {
		kind string
		fn   func(error) error
	}{
		{"replace-write", func(failed error) error { return s.write(f, data, 0, failed) }},
		{"replace-sync", func(failed error) error { return s.sync(f, temp, failed) }},
		{"replace-rename", plain(func() error {
			if old, ok := in.now[base].(*inode); ok {
				s.used -= int64(len(old.now))
			}
			delete(in.now, "."+base+".new")
			in.now[base] = f
			return nil
		})},
		{"replace-folder", plain(func() error { in.sync(); return nil })},
	}
	for i, step := range steps {
		if err = s.do(step.kind, temp, step.fn); err == nil {
			continue
		}
		if i < 3 {
			_ = s.do("remove", temp, plain(func() error {
				s.used -= int64(len(f.now))
				delete(in.now, "."+base+".new")
				return nil
			}))
		}
		return err
	}
	return nil
}

func (d *folder) sync() {
	clear(d.safe)
	for name, e := range d.now {
		d.safe[name] = e
	}
}

// write writes to a file as far as the disk has room and failed allows.
func (s *FS) write(f *inode, p []byte, off int64, failed error) error {
	var short *Short
	if errors.As(failed, &short) {
		p, failed = p[:min(short.Bytes, len(p))], short.Err
	} else if failed != nil {
		return failed
	}
	grow := max(0, off+int64(len(p))-int64(len(f.now)))
	if room := s.capacity() - s.used; grow > room {
		p, failed = p[:max(0, int64(len(p))-(grow-room))], syscall.ENOSPC
		grow = max(0, off+int64(len(p))-int64(len(f.now)))
	}
	if len(p) > 0 {
		f.write(p, off)
		s.used += grow
	}
	if failed != nil {
		return &wrote{len(p), failed}
	}
	return nil
}

// wrote is how far a write came that failed.
type wrote struct {
	n   int
	err error
}

func (w *wrote) Error() string { return w.err.Error() }
func (w *wrote) Unwrap() error { return w.err }

func (s *FS) sync(f *inode, name string, failed error) error {
	if len(f.lost) > 0 {
		s.offence = append(s.offence, fmt.Sprintf("%s is flushed again although a flush has failed and lost some of it", name))
	}
	switch {
	case failed != nil:
		f.failSync(s.chance)
	case !s.Lying:
		f.sync()
	}
	return failed
}

package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"syscall"

	"holdfast/agent/disk"
)

// root implements disk.Root.
type root struct {
	fs   *FS
	path string
	dir  *folder
}

func (r *root) at(name string) string { return path.Join(r.path, name) }

func (r *root) do(kind, name string, fn func() error) error {
	return r.fs.do(kind, r.at(name), plain(fn))
}

func (r *root) open(kind, name string, fn func(in *folder, base string) (*inode, error)) (disk.Handle, error) {
	h := &handle{fs: r.fs, name: r.at(name)}
	err := r.do(kind, name, func() error {
		in, base, err := r.dir.parent(name)
		if err == nil {
			h.f, err = fn(in, base)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (r *root) Create(name string) (disk.Handle, error) {
	return r.open("create", name, func(in *folder, base string) (*inode, error) {
		if in.now[base] != nil {
			return nil, fs.ErrExist
		}
		f := newInode()
		in.now[base] = f
		return f, nil
	})
}

func (r *root) Open(name string) (disk.Handle, error)   { return r.open("open", name, lookup) }
func (r *root) Reopen(name string) (disk.Handle, error) { return r.open("reopen", name, lookup) }

func lookup(in *folder, base string) (*inode, error) {
	switch f := in.now[base].(type) {
	case *inode:
		return f, nil
	case nil:
		return nil, fs.ErrNotExist
	}
	return nil, syscall.EISDIR
}

func (r *root) Mkdir(name string) error {
	return r.do("mkdir", name, func() error {
		in, base, err := r.dir.parent(name)
		if err != nil {
			return err
		}
		if in.now[base] != nil {
			return fs.ErrExist
		}
		in.now[base] = newFolder()
		return nil
	})
}

func (r *root) Remove(name string) error {
	return r.do("remove", name, func() error {
		in, base, err := r.dir.parent(name)
		if err != nil {
			return err
		}
		switch e := in.now[base].(type) {
		case nil:
			return fs.ErrNotExist
		case *folder:
			if len(e.now) > 0 {
				return syscall.ENOTEMPTY
			}
		case *inode:
			r.fs.used -= int64(len(e.now))
		}
		delete(in.now, base)
		return nil
	})
}

func (r *root) Rename(from, to string) error {
	return r.do("rename", from, func() error {
		in, base, err := r.dir.parent(from)
		if err != nil {
			return err
		}
		target, name, err := r.dir.parent(to)
		switch {
		case err != nil:
			return err
		case in.now[base] == nil:
			return fs.ErrNotExist
		case target.now[name] != nil:
			return fs.ErrExist // nobody means to overwrite
		}
		target.now[name] = in.now[base]
		delete(in.now, base)
		return nil
	})
}

func (r *root) Size(name string) (size int64, err error) {
	err = r.do("stat", name, func() error {
		in, base, err := r.dir.parent(name)
		if err != nil {
			return err
		}
		switch e := in.now[base].(type) {
		case nil:
			return fs.ErrNotExist
		case *inode:
			size = int64(len(e.now))
		}
		return nil
	})
	return size, err
}

func (r *root) Names(name string) (names []string, err error) {
	err = r.do("list", name, func() error {
		d, err := r.dir.sub(clean(name))
		if err != nil {
			return err
		}
		for n := range d.now {
			names = append(names, n)
		}
		return nil
	})
	return names, err
}

func (r *root) Sync(name string) error {
	return r.do("sync-folder", name, func() error {
		d, err := r.dir.sub(clean(name))
		if err == nil {
			d.sync()
		}
		return err
	})
}

func (r *root) Same(other disk.Root) bool {
	o, ok := other.(*root)
	return ok && r.do("same", ".", func() error { return nil }) == nil && r.dir == o.dir
}

func (r *root) Close() error { return r.do("close-root", ".", func() error { return nil }) }

// handle implements disk.Handle.
type handle struct {
	fs   *FS
	name string
	f    *inode
}

func (h *handle) ReadAt(p []byte, off int64) (n int, err error) {
	err = h.fs.do("read", h.name, plain(func() error {
		if off < int64(len(h.f.now)) {
			n = copy(p, h.f.now[off:])
		}
		return nil
	}))
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	n := len(p)
	err := h.fs.do("write", h.name, func(failed error) error {
		err := h.fs.write(h.f, p, off, failed)
		var w *wrote
		if errors.As(err, &w) {
			n, err = w.n, w.err
		} else if err != nil {
			n = 0
		}
		return err
	})
	return n, err
}

func (h *handle) Size() (size int64, err error) {
	err = h.fs.do("fstat", h.name, plain(func() error { size = int64(len(h.f.now)); return nil }))
	return size, err
}

func (h *handle) Truncate(size int64) error {
	return h.fs.do("truncate", h.name, plain(func() error {
		h.fs.used += size - int64(len(h.f.now))
		h.f.truncate(size)
		return nil
	}))
}

func (h *handle) Sync() error {
	return h.fs.do("sync", h.name, func(failed error) error { return h.fs.sync(h.f, h.name, failed) })
}

func (h *handle) Close() error {
	return h.fs.do("close", h.name, plain(func() error { return nil }))
}

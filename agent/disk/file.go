package disk

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// File is the file of one segment while it is written: it only grows. Write, Flush and Close are for one
// goroutine; the flush rounds work beside it.
type File struct {
	volume  *volume
	name    string // the volume's ID
	segment uint64
	file    Handle

	flush sync.Mutex // held while the kernel flushes: two flushes at once would share one error between them

	mu      sync.Mutex
	size    int64 // written
	durable int64 // survives a power cut
	stopped error // a write failed: nothing more is written, but what was written may be flushed
	failed  error // a flush failed
	closed  bool
}

// Create makes the file of a segment on the first volume that can take it; its name is durable when Create
// returns. The error wraps ErrNoVolume and says of each volume why not.
func (d *Disk) Create(segment uint64) (*File, error) {
	errs := []error{ErrNoVolume}
	slow := func(v *volume) int {
		if v.slow() {
			return 1
		}
		return 0
	}
	// One that does not answer comes last: it would keep the camera's frames waiting.
	order := slices.SortedStableFunc(slices.Values(d.volumes), func(a, b *volume) int { return cmp.Compare(slow(a), slow(b)) })
	for _, v := range order {
		f, err := v.create(segment)
		if err == nil {
			return f, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", v.cfg.Path, err))
	}
	return nil, fmt.Errorf("create segment %d: %w", segment, errors.Join(errs...))
}

func (v *volume) create(segment uint64) (*File, error) {
	root, err := v.usable()
	if err != nil {
		return nil, err
	}
	f, err := v.createIn(root, segment)
	if err != nil {
		return nil, v.failed(err)
	}
	v.created()
	return v.adopt(f, segment, 0), nil
}

func (v *volume) createIn(root Root, segment uint64) (Handle, error) {
	if err := v.disk.fault(OpCreate, segment); err != nil {
		return nil, err
	}
	if err := v.makeFolder(root, segment); err != nil {
		return nil, err
	}
	v.note(segment)
	f, err := root.Create(pathOf(segment))
	if err != nil {
		return nil, err
	}
	if err := v.syncFolder(root, folderOf(segment), segment); err != nil {
		return nil, errors.Join(err, f.Close(), v.discard(root, segment))
	}
	return f, nil
}

// note remembers that a file is of this run, until files of earlier ones are dealt with.
func (v *volume) note(segment uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.settled {
		return
	}
	if v.made == nil {
		v.made = map[uint64]bool{}
	}
	v.made[segment] = true
}

// Settled says that the files which earlier runs left on a volume are dealt with: Found.New is of no use from now on.
func (d *Disk) Settled(volume string) {
	if v, err := d.volume(volume); err == nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.settled, v.made = true, nil
	}
}

// adopt takes an open file of so many bytes, none of which is known to be durable, into the flush rounds.
func (v *volume) adopt(f Handle, segment uint64, size int64) *File {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := &File{volume: v, name: v.id, segment: segment, file: f, size: size}
	v.files[out] = struct{}{}
	return out
}

// Reopen opens the file of a segment to go on writing behind its first size bytes; what lies behind them is
// cut off.
func (d *Disk) Reopen(volume string, segment uint64, size int64) (*File, error) {
	v, err := d.volume(volume)
	if err != nil {
		return nil, fmt.Errorf("reopen segment %d: %w", segment, err)
	}
	root, err := v.opened()
	if err == nil {
		err = d.fault(OpCreate, segment)
	}
	if err != nil {
		return nil, fmt.Errorf("reopen segment %d: %w", segment, err)
	}
	f, err := root.Reopen(pathOf(segment))
	if err != nil {
		return nil, fmt.Errorf("reopen segment %d: %w", segment, err)
	}
	have, err := f.Size()
	if err == nil && have < size {
		err = fmt.Errorf("it has %d bytes, %d expected", have, size)
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reopen segment %d: %w", segment, err), f.Close())
	}
	return v.adopt(f, segment, size), nil // the cut itself is not durable yet
}

// Segment returns the number of the segment.
func (f *File) Segment() uint64 { return f.segment }

// Volume returns the ID of the volume that the file is on.
func (f *File) Volume() string { return f.name }

// Size returns the bytes written.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Durable returns how many of the bytes survive a power cut.
func (f *File) Durable() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.durable
}

// Write appends p in one call of the system. After an error nothing more is written.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	size, failed := f.size, errors.Join(f.stopped, f.failed)
	f.mu.Unlock()
	if failed != nil {
		return 0, fmt.Errorf("write segment %d: %w", f.segment, failed)
	}
	err := f.volume.disk.fault(OpWrite, f.segment)
	if err == nil {
		err = f.volume.writable()
	}
	n := 0
	if err == nil {
		n, err = f.file.WriteAt(p, size)
	}
	f.mu.Lock()
	f.size += int64(n)
	f.mu.Unlock()
	f.volume.took(int64(n))
	if err != nil {
		return n, f.fail(&f.stopped, fmt.Errorf("write segment %d: %w", f.segment, err))
	}
	return n, nil
}

// Rewrite writes the bytes from that offset on once more. A flush that failed, perhaps of another process, may have
// lost them while the system calls them flushed; written again, the next flush does bring them to the disk. It begins
// at the page in which that offset lies, for pages are lost as a whole.
func (f *File) Rewrite(from int64) error {
	const page = 64 << 10 // the largest there are
	from -= from % page
	size := f.Size()
	chunk := make([]byte, min(max(size-from, 0), 1<<20))
	for at := from; at < size; at += int64(len(chunk)) {
		chunk = chunk[:min(int64(len(chunk)), size-at)]
		if _, err := f.file.ReadAt(chunk, at); err != nil {
			return fmt.Errorf("rewrite segment %d: %w", f.segment, err)
		}
		if err := f.volume.disk.fault(OpWrite, f.segment); err != nil {
			return f.fail(&f.stopped, fmt.Errorf("rewrite segment %d: %w", f.segment, err))
		}
		if _, err := f.file.WriteAt(chunk, at); err != nil {
			return f.fail(&f.stopped, fmt.Errorf("rewrite segment %d: %w", f.segment, err))
		}
	}
	return nil
}

// Flush makes everything written durable, outside the rounds. After an error the file is never flushed again.
func (f *File) Flush() error {
	f.flush.Lock()
	defer f.flush.Unlock()
	f.mu.Lock()
	size, durable, failed := f.size, f.durable, f.failed
	f.mu.Unlock()
	if failed != nil {
		return fmt.Errorf("flush segment %d: %w", f.segment, failed)
	}
	if size == durable {
		return nil
	}
	err := f.volume.disk.fault(OpFlush, f.segment)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		return f.fail(&f.failed, fmt.Errorf("flush segment %d: %w", f.segment, err))
	}
	f.mu.Lock()
	f.durable = size
	f.mu.Unlock()
	return nil
}

// fail marks the file. After a failed flush that is for good: the kernel may have dropped what it could not
// write, and would call the next flush a success.
func (f *File) fail(mark *error, err error) error {
	f.mu.Lock()
	*mark = fmt.Errorf("%w: %w", ErrFailed, err)
	f.mu.Unlock()
	return f.volume.failed(err)
}

// Close takes the file out of the rounds and closes it, without flushing. Safe to call twice.
func (f *File) Close() error {
	f.volume.mu.Lock()
	delete(f.volume.files, f)
	f.volume.mu.Unlock()
	f.mu.Lock()
	closed := f.closed
	f.closed = true
	f.mu.Unlock()
	if closed {
		return nil
	}
	return f.file.Close()
}

// ReadAt reads what was written, flushed or not.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.file.ReadAt(p, off) }

// Reader is a segment's file, open for reading.
type Reader interface {
	io.ReaderAt
	io.Closer
}

// OpenRead opens the file of a segment for reading and returns its present size in bytes.
func (d *Disk) OpenRead(volume string, segment uint64) (Reader, int64, error) {
	v, err := d.volume(volume)
	if err != nil {
		return nil, 0, fmt.Errorf("read segment %d: %w", segment, err)
	}
	root, err := v.opened()
	if err == nil {
		err = d.fault(OpRead, segment)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read segment %d: %w", segment, err)
	}
	f, err := root.Open(pathOf(segment))
	if err != nil {
		return nil, 0, fmt.Errorf("read segment %d: %w", segment, err)
	}
	size, err := f.Size()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("read segment %d: %w", segment, err), f.Close())
	}
	return f, size, nil
}

// Size returns the bytes of a segment's file; the error wraps fs.ErrNotExist when there is none, ErrAbsent
// when its volume is not here.
func (d *Disk) Size(volume string, segment uint64) (int64, error) {
	v, err := d.volume(volume)
	if err != nil {
		return 0, fmt.Errorf("look at segment %d: %w", segment, err)
	}
	root, err := v.opened()
	if err != nil {
		return 0, fmt.Errorf("look at segment %d: %w", segment, err)
	}
	size, err := root.Size(pathOf(segment))
	if err != nil {
		return 0, fmt.Errorf("look at segment %d: %w", segment, err)
	}
	return size, nil
}

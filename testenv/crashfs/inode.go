package crashfs

import (
	"maps"
	"slices"
)

const block = 4096

// inode is one file.
type inode struct {
	now, safe []byte
	dirty     map[int]bool // blocks written since the last Sync
	lost      map[int]bool // blocks that a failed Sync has dropped and nobody has written again
}

func newInode() *inode { return &inode{dirty: map[int]bool{}, lost: map[int]bool{}} }

func (f *inode) write(p []byte, off int64) {
	if end := int(off) + len(p); end > len(f.now) {
		f.now = append(f.now, make([]byte, end-len(f.now))...)
	}
	copy(f.now[off:], p)
	for b := int(off) / block; b <= (int(off)+len(p)-1)/block; b++ {
		f.dirty[b] = true
		delete(f.lost, b)
	}
}

// truncate writes the block in which the new end lies anew, as a kernel does to have zeros behind the end.
func (f *inode) truncate(size int64) {
	if int(size) < len(f.now) {
		f.now = f.now[:size:size]
		if b := int(size) / block; int(size)%block != 0 {
			f.dirty[b] = true
			delete(f.lost, b)
		}
	} else {
		f.now = append(f.now, make([]byte, int(size)-len(f.now))...)
	}
	for b := range f.dirty {
		if b*block >= len(f.now) {
			delete(f.dirty, b)
		}
	}
	for b := range f.lost {
		if b*block >= len(f.now) {
			delete(f.lost, b)
		}
	}
}

// settle brings a block to the platter.
func (f *inode) settle(b int) {
	from, to := b*block, min((b+1)*block, len(f.now))
	if to > len(f.safe) {
		f.safe = append(f.safe, make([]byte, to-len(f.safe))...)
	}
	copy(f.safe[from:to], f.now[from:to])
}

func (f *inode) sync() {
	for b := range f.dirty {
		f.settle(b)
	}
	clear(f.dirty)
	switch size := len(f.now); {
	case len(f.safe) > size:
		f.safe = f.safe[:size:size]
	case len(f.safe) < size:
		f.safe = append(f.safe, make([]byte, size-len(f.safe))...)
	}
}

// failSync drops some blocks and calls all of them clean.
func (f *inode) failSync(chance func(int) int) {
	for _, b := range slices.Sorted(maps.Keys(f.dirty)) {
		if chance(2) == 0 {
			f.settle(b)
		} else {
			f.lost[b] = true
		}
	}
	clear(f.dirty)
}

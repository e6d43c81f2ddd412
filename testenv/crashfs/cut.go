package crashfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns what the platter has after a power cut now, with about keep per cent of what was not flushed. It is
// whole and flushed: nothing of it can be lost by the next cut.
func (s *FS) Crash(chance *rand.Rand, keep int) *FS {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := cut{chance: chance, keep: keep, files: map[*inode]*inode{}, folders: map[*folder]*folder{}}
	return s.after(c.folder(s.root))
}

// Kill returns what another process finds after this one was killed now: all that was written, as far from the platter
// as it was.
func (s *FS) Kill() *FS {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.after(s.root)
}

func (s *FS) after(root *folder) *FS {
	n := New(s.chance)
	n.Capacity, n.Lying, n.root = s.Capacity, s.Lying, root
	n.root.walk("", func(_ string, f *inode) { n.used += int64(len(f.now)) })
	return n
}

type cut struct {
	chance  *rand.Rand
	keep    int
	files   map[*inode]*inode
	folders map[*folder]*folder
}

func (c *cut) lucky() bool { return c.chance.IntN(100) < c.keep }

func (c *cut) folder(d *folder) *folder {
	if out, ok := c.folders[d]; ok {
		return out
	}
	out := newFolder()
	c.folders[d] = out
	names := map[string]bool{}
	for n := range d.now {
		names[n] = true
	}
	for n := range d.safe {
		names[n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		e := d.safe[n]
		if d.now[n] != e && c.lucky() {
			e = d.now[n]
		}
		switch e := e.(type) {
		case *folder:
			out.now[n] = c.folder(e)
		case *inode:
			out.now[n] = c.file(e)
		}
	}
	out.sync()
	return out
}

func (c *cut) file(f *inode) *inode {
	if out, ok := c.files[f]; ok {
		return out
	}
	size := len(f.safe)
	if len(f.now) != size && c.lucky() {
		// The new size, or any between the two.
		if size = len(f.now); c.chance.IntN(3) == 0 {
			size = min(len(f.now), len(f.safe)) + c.chance.IntN(max(len(f.now), len(f.safe))-min(len(f.now), len(f.safe)))
		}
	}
	out := newInode()
	out.now = make([]byte, size)
	copy(out.now, f.safe)
	for _, b := range slices.Sorted(maps.Keys(f.dirty)) {
		if !c.lucky() || b*block >= size {
			continue
		}
		to := min((b+1)*block, len(f.now), size)
		if c.chance.IntN(4) == 0 { // torn between two sectors
			to = min(to, b*block+512*c.chance.IntN(block/512))
		}
		if from := b * block; from < to {
			copy(out.now[from:to], f.now[from:to])
		}
	}
	out.safe = append([]byte(nil), out.now...)
	c.files[f] = out
	return out
}

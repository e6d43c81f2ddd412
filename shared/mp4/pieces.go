package mp4

import (
	"io"
	"slices"
)

// piece is a run of a clip's bytes: from memory, or from a segment.
type piece struct {
	at  int64 // in the clip
	n   int64
	mem []byte // nil: n bytes of src at off; shorter than n: over and over
	src *clipSource
	off int64
}

// pieces are the bytes of a clip in order, without holes.
type pieces struct {
	list []piece
	size int64
}

// memory takes b, which must not change any more.
func (p *pieces) memory(b []byte) {
	if len(b) == 0 {
		return
	}
	if k := len(p.list) - 1; k >= 0 && p.list[k].mem != nil && int64(len(p.list[k].mem)) == p.list[k].n {
		p.list[k].mem = append(p.list[k].mem, b...)
		p.list[k].n += int64(len(b))
	} else {
		p.list = append(p.list, piece{at: p.size, n: int64(len(b)), mem: slices.Clip(b)})
	}
	p.size += int64(len(b))
}

// repeat takes b, which must not change any more, count times.
func (p *pieces) repeat(b []byte, count int) {
	if n := int64(len(b)) * int64(count); n > 0 {
		p.list = append(p.list, piece{at: p.size, n: n, mem: b})
		p.size += n
	}
}

// copy takes n bytes of src at off, and joins them to the piece before when they continue it.
func (p *pieces) copy(src *clipSource, off, n int64) {
	if n == 0 {
		return
	}
	if k := len(p.list) - 1; k >= 0 && p.list[k].mem == nil && p.list[k].src == src && p.list[k].off+p.list[k].n == off {
		p.list[k].n += n
	} else {
		p.list = append(p.list, piece{at: p.size, n: n, src: src, off: off})
	}
	p.size += n
}

func (p *pieces) readAt(b []byte, off int64) (n int, err error) {
	i, found := slices.BinarySearchFunc(p.list, off, func(x piece, off int64) int {
		if x.at+x.n <= off {
			return -1
		}
		if x.at > off {
			return 1
		}
		return 0
	})
	for found && i < len(p.list) && n < len(b) {
		x := &p.list[i]
		from := off + int64(n) - x.at
		part := b[n:min(int64(len(b)), int64(n)+x.n-from)]
		if x.mem != nil {
			for done := 0; done < len(part); {
				done += copy(part[done:], x.mem[(from+int64(done))%int64(len(x.mem)):])
			}
		} else if err := readFull(x.src.r, x.off+from, part); err != nil {
			return n, err
		}
		n += len(part)
		i++
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

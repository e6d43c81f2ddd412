package mp4

import (
	"errors"
	"fmt"
	"io"
)

// Recovery is what Recover found of a segment.
type Recovery struct {
	Header   Header
	InitSize int64
	Whole    int64     // bytes to keep: up to the end of the last whole part, or of the whole file when it is sealed
	Parts    []PartSum // the parts within Whole
	Sealed   bool      // the segment was closed and is whole: there is nothing to do
}

// Recover finds what a crash left of a segment that was being written. It reads the whole file and keeps every part
// up to the first one that is torn or whose sums do not hold; what lies behind is to be cut off, after which the
// segment can be sealed. The error wraps ErrFormat when not even the header is whole: there is nothing to keep.
func Recover(r io.ReaderAt, size int64) (Recovery, error) {
	h, init, err := ReadHeader(r, size)
	if err != nil {
		return Recovery{}, fmt.Errorf("recover segment: %w", err)
	}
	rec := Recovery{Header: h, InitSize: init, Whole: init}
	c := checker{r: r}
	for p, err := range Parts(r, size) {
		if err == nil {
			err = c.check(&p)
		}
		if errors.Is(err, ErrFormat) {
			break
		}
		if err != nil {
			return Recovery{}, fmt.Errorf("recover segment: %w", err)
		}
		rec.Whole = p.Offset + p.Size
		rec.Parts = append(rec.Parts, p.Sum)
	}
	_, leaves, at, err := ReadSeal(r, size)
	switch {
	case err == nil && at == rec.Whole && len(leaves) == len(rec.Parts):
		rec.Whole, rec.Sealed = size, true
	case err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrNoSeal):
		return Recovery{}, fmt.Errorf("recover segment: %w", err)
	}
	return rec, nil
}

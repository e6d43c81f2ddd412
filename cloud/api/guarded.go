package api

import (
	"errors"
	"io"
	"time"
)

// guarded is a file that stops being readable when the right to it ends: the right is read again every so
// often while a download goes on.
type guarded struct {
	io.ReadSeeker
	every time.Duration
	last  time.Time
	still func() error
}

// Read reads while the right lasts.
func (g *guarded) Read(p []byte) (int, error) {
	if time.Since(g.last) >= g.every {
		if err := g.still(); err != nil {
			return 0, joined(errors.New("the right to this file ended"), err)
		}
		g.last = time.Now()
	}
	return g.ReadSeeker.Read(p)
}

func joined(errs ...error) error { return errors.Join(errs...) }

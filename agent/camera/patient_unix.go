//go:build unix

package camera

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// trier reads from a connection without waiting.
type trier struct {
	raw syscall.RawConn
	do  func(fd uintptr) bool // made once: each call would allocate it
	b   []byte
	n   int
	err error
}

func newTrier(raw syscall.RawConn) *trier {
	t := &trier{raw: raw}
	t.do = func(fd uintptr) bool {
		for {
			if t.n, t.err = syscall.Read(int(fd), t.b); !errors.Is(t.err, syscall.EINTR) {
				return true
			}
		}
	}
	return t
}

// read returns what is there; ok is false when nothing is.
func (t *trier) read(b []byte) (n int, ok bool, err error) {
	t.b = b
	err = t.raw.Read(t.do)
	t.b = nil
	switch {
	case err != nil:
		return 0, true, err
	case errors.Is(t.err, syscall.EAGAIN):
		return 0, false, nil
	case t.err != nil:
		return 0, true, os.NewSyscallError("read", t.err)
	case t.n == 0:
		return 0, true, io.EOF
	}
	return t.n, true, nil
}

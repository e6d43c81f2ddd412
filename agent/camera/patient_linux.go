package camera

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// trier reads from a connection without waiting.
type trier struct {
	raw   syscall.RawConn
	do    func(fd uintptr) bool // made once: each call would allocate it
	b     []byte
	n     int
	err   error
	quiet bool
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

// hush asks the system not to wake this process for each packet that comes (socket(7), SO_RCVLOWAT), or to do so
// again. It is a wish: without it the same happens at a higher price.
func (t *trier) hush(quiet bool) {
	if t.quiet == quiet {
		return
	}
	t.quiet = quiet
	least := 1
	if quiet {
		least = receiveBuffer / 4
	}
	_ = t.raw.Control(func(fd uintptr) {
		t.err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, least)
	})
}

package disk

import (
	"errors"
	"os"
	"syscall"
)

// datasync flushes a file's bytes and its size, without its times (fdatasync).
func datasync(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var flushErr error
	err = conn.Control(func(fd uintptr) {
		for {
			flushErr = syscall.Fdatasync(int(fd))
			if !errors.Is(flushErr, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, flushErr)
}

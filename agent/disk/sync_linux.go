package disk

import (
	"errors"
	"os"
	"syscall"
)

// datasync flushes a file's bytes and its size, without its times (fdatasync). A file system that was made read-only
// under an open file may take its writes and call the flush a success, although nothing reaches the disk: that is an
// error here.
func datasync(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var flushErr error
	err = conn.Control(func(fd uintptr) {
		flushErr = again(func() error { return syscall.Fdatasync(int(fd)) })
		var fs syscall.Statfs_t
		if flushErr == nil && again(func() error { return syscall.Fstatfs(int(fd), &fs) }) == nil && fs.Flags&stReadOnly != 0 {
			flushErr = syscall.EROFS
		}
	})
	return errors.Join(err, flushErr)
}

const stReadOnly = 1 // ST_RDONLY of statfs(2)

// again repeats a call that a signal interrupts.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

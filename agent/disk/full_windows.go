package disk

import (
	"errors"
	"syscall"
)

// What Windows says when there is no room (winerror.h).
const (
	errorHandleDiskFull syscall.Errno = 39
	errorDiskFull       syscall.Errno = 112
	errorDiskQuota      syscall.Errno = 1295
)

// isFull says whether the system found no room: of bytes, or within a user's quota.
func isFull(err error) bool {
	return errors.Is(err, errorDiskFull) || errors.Is(err, errorHandleDiskFull) || errors.Is(err, errorDiskQuota) ||
		errors.Is(err, syscall.ENOSPC)
}

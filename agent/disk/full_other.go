//go:build !windows

package disk

import (
	"errors"
	"syscall"
)

// isFull says whether the system found no room: of bytes, of names, or within a user's quota.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

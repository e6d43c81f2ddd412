//go:build !windows

package uplink

import "syscall"

// What the system calls a refused and a reset connection.
const (
	errRefused = syscall.ECONNREFUSED
	errReset   = syscall.ECONNRESET
)

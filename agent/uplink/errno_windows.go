package uplink

import "syscall"

// What the system calls a refused and a reset connection: WSAECONNREFUSED and WSAECONNRESET of winsock2.h. The
// names in package syscall stand for invented numbers on Windows.
const (
	errRefused = syscall.Errno(10061)
	errReset   = syscall.Errno(10054)
)

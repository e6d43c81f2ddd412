package pace

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes the system may hold back that are not on their way yet.
const unsent = 32 << 10

// keepUnsentLow bounds the bytes that wait in the system, not those that are on their way: a long line stays full
// (tcp(7), TCP_NOTSENT_LOWAT).
func keepUnsentLow(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	})
	return errors.Join(err, set)
}

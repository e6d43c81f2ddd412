//go:build !linux

package pace

import "net"

// sendBuffer fits a line of 20 Mbit/s with 300 ms.
const sendBuffer = 1 << 20

// keepUnsentLow bounds the send buffer: what waits and what is on its way can't be told apart here.
func keepUnsentLow(c *net.TCPConn) error { return c.SetWriteBuffer(sendBuffer) }

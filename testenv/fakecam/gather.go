package fakecam

import (
	"net"
	"sync"
	"time"
)

// gathered is a connection that joins small writes: where a call of the system is dear, a packet of its own for each
// would cost more than all that the packets are sent for.
type gathered struct {
	net.Conn
	wait time.Duration

	mu      sync.Mutex
	waiting []byte
	timer   *time.Timer
	err     error // of the write before
}

const gatherBytes = 256 << 10 // leave at once

// Write implements net.Conn; what it returns is the outcome of the write before.
func (g *gathered) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	if len(g.waiting) == 0 {
		if g.timer == nil {
			g.timer = time.AfterFunc(g.wait, g.leave)
		} else {
			g.timer.Reset(g.wait)
		}
	}
	g.waiting = append(g.waiting, b...)
	if len(g.waiting) >= gatherBytes {
		g.flush()
	}
	return len(b), nil
}

func (g *gathered) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flush()
}

// flush runs with mu held.
func (g *gathered) flush() {
	if len(g.waiting) > 0 && g.err == nil {
		_, g.err = g.Conn.Write(g.waiting)
	}
	g.waiting = g.waiting[:0]
}

// Close sends what waits and closes the connection.
func (g *gathered) Close() error {
	g.mu.Lock()
	_ = g.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // a client that does not read has lost the rest
	g.flush()
	g.mu.Unlock()
	return g.Conn.Close()
}

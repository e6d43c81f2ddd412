package camera

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of one connection, far above what any camera needs and far below what would hurt the agent.
const (
	setupTime  = 30 * time.Second // from connecting to the first picture
	setupBytes = 4 << 20          // within that time
	maxRate    = 25 << 20         // bytes a second, over floodSpan
	floodSpan  = 4 * time.Second
	maxDials   = 4 // connections of one session: a device may point to another address, but not for ever
	farewell   = 500 * time.Millisecond
)

// Faults of a connection that the RTSP library does not look for.
var (
	errEndless = errors.New("the answers of the device have no end")
	errFlood   = errors.New("more data than a camera sends")
	errCircles = errors.New("the device points from address to address")
	errSilent  = errors.New("the device does not go on")
)

// line is the connection to a device, with limits on time and size that the RTSP library lacks: each read must
// bring something, setting up must come to an end, and no camera may drown the agent.
type line struct {
	net.Conn
	silence time.Duration // longest wait for the next byte
	apart   bool          // pictures take another way: once set up the device may be silent here

	playing atomic.Bool // set up: frames may come
	torn    atomic.Bool // TEARDOWN is on its way
	closing atomic.Bool
	once    sync.Once
	fault   atomic.Pointer[error]

	// The reader's alone.
	began  time.Time
	bytes  int64
	window time.Time
	inside int64 // bytes since window
}

func newLine(c net.Conn, silence time.Duration, apart bool) *line {
	now := time.Now()
	return &line{Conn: c, silence: silence, apart: apart, began: now, window: now}
}

// Read implements net.Conn.
func (l *line) Read(b []byte) (int, error) {
	if l.closing.Load() {
		return 0, net.ErrClosed
	}
	now := time.Now()
	playing := l.playing.Load()
	until := now.Add(l.silence)
	if end := l.began.Add(setupTime); !playing && end.Before(until) {
		until = end
	}
	if playing && l.apart {
		until = time.Time{}
	}
	if err := l.SetReadDeadline(until); err != nil {
		return 0, err
	}
	n, err := l.Conn.Read(b)
	l.bytes += int64(n)
	var slow net.Error
	switch {
	case errors.As(err, &slow) && slow.Timeout() && !playing && time.Since(l.began) >= setupTime:
		return n, l.broke(errEndless)
	case errors.As(err, &slow) && slow.Timeout():
		return n, l.broke(fmt.Errorf("%w: nothing for %v", errSilent, l.silence))
	case !playing && l.bytes > setupBytes:
		return n, l.broke(errEndless)
	}
	if l.inside += int64(n); l.inside > maxRate*int64(floodSpan/time.Second) {
		if now.Sub(l.window) < floodSpan {
			return n, l.broke(errFlood)
		}
		l.window, l.inside = now, 0
	}
	return n, err
}

// broke notes why the connection is given up: what the library makes of it later hides the cause.
func (l *line) broke(err error) error {
	l.fault.CompareAndSwap(nil, &err)
	return err
}

// cause returns why the connection was given up, nil when it was not.
func (l *line) cause() error {
	if l == nil {
		return nil
	}
	if p := l.fault.Load(); p != nil {
		return *p
	}
	return nil
}

// abort makes every read fail from now on.
func (l *line) abort() {
	l.closing.Store(true)
	_ = l.SetReadDeadline(time.Unix(1, 0)) // it fails only when the connection is closed
}

// Close implements net.Conn. After a TEARDOWN it lets the device hear it: to close while frames still come in
// would reset the connection, and some devices forget then what they had not read yet.
func (l *line) Close() (err error) {
	l.once.Do(func() {
		l.closing.Store(true)
		if half, ok := l.Conn.(interface{ CloseWrite() error }); ok && l.torn.Load() && half.CloseWrite() == nil {
			if l.SetReadDeadline(time.Now().Add(farewell)) == nil {
				_, _ = io.CopyN(io.Discard, l.Conn, setupBytes)
			}
		}
		err = l.Conn.Close()
	})
	return err
}

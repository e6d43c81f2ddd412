package camera

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// beat is how often a patient connection is looked at. All of them are at the same moments, so that the machine
	// is woken once for all.
	beat = 50 * time.Millisecond
	// gush is so much for one beat that more is on its way: a large key frame. For a while nothing waits then, since
	// a camera whose connection is full drops pictures.
	gush     = 96 << 10
	gushTime = 100 * time.Millisecond
	// idleBeats is after how many beats without a byte it is cheaper to be woken by the next one.
	idleBeats = 4
	// receiveBuffer is asked of the system, so that a beat's worth fits into it from the beginning.
	receiveBuffer = 512 << 10
)

// patient is a connection that is read a few times a second instead of packet by packet, while nobody is in a hurry:
// being woken costs more than reading. One goroutine reads, and at the end the one that closes.
type patient struct {
	net.Conn
	calm func() bool // nobody is in a hurry

	mu    sync.Mutex
	try   *trier    // reads what is there; nil where the system can't do that
	hurry time.Time // no waiting until then
	bytes int       // since the last beat
	more  bool      // than fitted into the last read
}

func newPatient(c net.Conn, calm func() bool) *patient {
	p := &patient{Conn: c, calm: calm}
	if buffered, ok := c.(interface{ SetReadBuffer(bytes int) error }); ok {
		_ = buffered.SetReadBuffer(receiveBuffer) // with less it works too
	}
	if raw, ok := c.(syscall.Conn); ok {
		if control, err := raw.SyscallConn(); err == nil {
			p.try = newTrier(control)
		}
	}
	return p
}

// Read implements net.Conn.
func (p *patient) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.get(b)
	p.bytes += n
	p.more = n == len(b)
	if p.bytes >= gush {
		p.hurry = time.Now().Add(gushTime)
	}
	return n, err
}

func (p *patient) get(b []byte) (int, error) {
	calm := p.calm() && (p.hurry.IsZero() || time.Now().After(p.hurry))
	if calm && p.bytes > 0 && !p.more {
		p.await()
	}
	if p.try == nil {
		return p.Conn.Read(b)
	}
	for range idleBeats {
		if !calm {
			break
		}
		p.try.hush(true)
		if n, ok, err := p.try.read(b); ok {
			return n, err
		}
		p.await()
		calm = p.calm()
	}
	p.bytes = 0
	p.try.hush(false)
	return p.Conn.Read(b)
}

// await sleeps to the next beat.
func (p *patient) await() {
	time.Sleep(beat - time.Duration(time.Now().UnixNano())%beat)
	p.bytes, p.hurry = 0, time.Time{}
}

// CloseWrite ends the sending side alone, where the connection can do that.
func (p *patient) CloseWrite() error {
	if half, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

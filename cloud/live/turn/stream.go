package turn

import (
	"net"
	"sync"
	"time"
)

// Bounds of connections that carry TURN.
const (
	mostConns = 2000
	// Until a client has said something, and later: a client renews its relay within ten minutes.
	firstRead = 10 * time.Second
	laterRead = 11 * time.Minute
)

// stream is a listener of what comes in on a port of its own and of connections that are handed in.
type stream struct {
	own   net.Listener
	conns chan net.Conn
	done  chan struct{}
	over  chan struct{} // closed when run has ended
	once  sync.Once
	slots chan struct{}

	mu   sync.Mutex
	open map[*timed]bool // nil once the stream is closed
}

func newStream(own net.Listener) *stream {
	return &stream{
		own: own, conns: make(chan net.Conn), done: make(chan struct{}), over: make(chan struct{}), slots: make(chan struct{}, mostConns),
		open: map[*timed]bool{},
	}
}

// run accepts on the port of its own until it is closed.
func (s *stream) run() {
	defer close(s.over)
	for {
		conn, err := s.own.Accept()
		if err != nil {
			select {
			case <-s.done:
				return
			case <-time.After(100 * time.Millisecond): // no file descriptor is free, for example
				continue
			}
		}
		s.put(conn)
	}
}

// wait returns when run has ended.
func (s *stream) wait() { <-s.over }

// put hands a connection in; it is closed when there are too many.
func (s *stream) put(conn net.Conn) {
	select {
	case s.slots <- struct{}{}:
	default:
		_ = conn.Close() // there are too many: the client tries another way in
		return
	}
	t := &timed{Conn: conn}
	t.free = sync.OnceFunc(func() { s.forget(t) })
	if !s.keep(t) {
		_ = t.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(firstRead)) // the read tells
	select {
	case s.conns <- t:
	case <-s.done:
		_ = t.Close()
	}
}

func (s *stream) keep(t *timed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return false
	}
	s.open[t] = true
	return true
}

func (s *stream) forget(t *timed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
	<-s.slots
}

// Accept implements net.Listener.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close ends the listener and every connection that it gave.
func (s *stream) Close() (err error) {
	s.once.Do(func() {
		close(s.done)
		err = s.own.Close()
		s.mu.Lock()
		open := s.open
		s.open = nil
		s.mu.Unlock()
		for t := range open {
			_ = t.Conn.Close() // its reader lets go of it
		}
	})
	return err
}

// Addr implements net.Listener.
func (s *stream) Addr() net.Addr { return s.own.Addr() }

// timed is a connection that ends when its client says nothing for too long.
type timed struct {
	net.Conn
	free func()
}

// Read reads, and gives the client its time anew.
func (t *timed) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 {
		_ = t.SetReadDeadline(time.Now().Add(laterRead)) // the next read tells
	}
	return n, err
}

// Close implements net.Conn.
func (t *timed) Close() error {
	t.free()
	return t.Conn.Close()
}

package turn

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// handshake is how long a client has for TLS and for its first byte.
const handshake = 10 * time.Second

// Split is the listener of an HTTPS server that shares its port with TURN over TLS: what a client says first tells them
// apart, for a STUN message begins with two zero bits (RFC 7983 section 7) and no HTTP request does.
type Split struct {
	net.Listener
	config *tls.Config
	server *Server
	conns  chan net.Conn
	failed chan error
	done   chan struct{}
	once   sync.Once
}

// Share makes one of a TCP listener. Run must follow.
func (s *Server) Share(l net.Listener, config *tls.Config) *Split {
	return &Split{
		Listener: l, config: config, server: s, conns: make(chan net.Conn), failed: make(chan error, 1), done: make(chan struct{}),
	}
}

// Run accepts until the listener is closed; it then returns nil. Who has not said by then what it wants is sent away.
func (s *Split) Run() error {
	var sorting sync.WaitGroup
	defer sorting.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		conn, err := s.Listener.Accept()
		if err == nil {
			sorting.Go(func() { s.sort(ctx, tls.Server(conn, s.config)) })
			continue
		}
		select {
		case <-s.done:
			return nil
		case s.failed <- err: // the HTTP server knows which errors pass
		}
	}
}

// sort ends TLS and hands the connection to whom it is for. A client that offers HTTP in its handshake is not asked to
// say more.
func (s *Split) sort(ctx context.Context, conn *tls.Conn) {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	if conn.HandshakeContext(ctx) != nil {
		_ = conn.Close() // not a client of ours
		return
	}
	if conn.ConnectionState().NegotiatedProtocol != "" {
		s.hand(conn)
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() })
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil || !stop() {
		_ = conn.Close()
		return
	}
	whole := &begun{Conn: conn, rest: io.MultiReader(bytes.NewReader(first), conn)}
	if first[0] < 4 {
		s.server.Serve(whole)
		return
	}
	s.hand(whole)
}

func (s *Split) hand(conn net.Conn) {
	select {
	case s.conns <- conn:
	case <-s.done:
		_ = conn.Close()
	}
}

// Accept returns the next connection that is for HTTP.
func (s *Split) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case err := <-s.failed:
		return nil, err
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close closes the listener.
func (s *Split) Close() (err error) {
	s.once.Do(func() {
		close(s.done)
		err = s.Listener.Close()
	})
	return err
}

// begun is a connection of which something was read already.
type begun struct {
	*tls.Conn
	rest io.Reader
}

// Read implements net.Conn.
func (b *begun) Read(p []byte) (int, error) { return b.rest.Read(p) }

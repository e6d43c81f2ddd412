package fakecam

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
)

// door brings the connections of several ports to one RTSP server.
type door struct {
	gather time.Duration
	conns  chan net.Conn
	done   chan struct{}

	mu      sync.Mutex
	ports   []*port
	serving bool
	closed  bool
	wg      sync.WaitGroup
}

func newDoor(gather time.Duration) *door {
	return &door{gather: gather, conns: make(chan net.Conn), done: make(chan struct{})}
}

// port is one listening address; camera is nil for the shared one.
type port struct {
	door   *door
	camera *Camera
	secure *tls.Config // nil without TLS
	addr   *net.TCPAddr
	ln     net.Listener // nil while shut
}

func (p *port) address() string { return p.addr.String() }

// open binds a port; connections wait in the system until serve.
func (d *door) open(listen string, camera *Camera, secure *tls.Config) (*port, error) {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", listen, err)
	}
	p := &port{door: d, camera: camera, secure: secure, addr: ln.Addr().(*net.TCPAddr), ln: ln}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ports = append(d.ports, p)
	return p, nil
}

// serve begins to accept.
func (d *door) serve() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.serving = true
	for _, p := range d.ports {
		if p.ln != nil {
			d.accept(p, p.ln)
		}
	}
}

// accept runs with d.mu held.
func (d *door) accept(p *port, ln net.Listener) {
	if d.closed {
		return
	}
	d.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wrapped := &conn{Conn: c, raw: c}
			if d.gather > 0 {
				wrapped.Conn = &gathered{Conn: c, wait: d.gather}
			}
			if p.secure != nil {
				wrapped.Conn = tls.Server(c, p.secure)
			}
			if p.camera != nil {
				p.camera.adopt(wrapped)
			}
			select {
			case d.conns <- wrapped:
			case <-d.done:
				_ = c.Close()
				return
			}
		}
	})
}

// shut makes the port refuse connections.
func (p *port) shut() {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	if p.ln != nil {
		_ = p.ln.Close()
		p.ln = nil
	}
}

// reopen makes the port accept again, at the same address.
func (p *port) reopen() error {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	if p.ln != nil || p.door.closed {
		return nil
	}
	ln, err := net.Listen("tcp", p.addr.String())
	if err != nil {
		return fmt.Errorf("listen on %s again: %w", p.addr, err)
	}
	p.ln = ln
	if p.door.serving {
		p.door.accept(p, ln)
	}
	return nil
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (d *door) Addr() net.Addr { return d.ports[0].addr }

// Close implements net.Listener: it frees all ports. Safe to call twice.
func (d *door) Close() error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.done)
	}
	for _, p := range d.ports {
		if p.ln != nil {
			_ = p.ln.Close()
			p.ln = nil
		}
	}
	d.mu.Unlock()
	d.wg.Wait()
	return nil
}

// conn is a client's connection, which knows the camera that it turned out to be for.
type conn struct {
	net.Conn          // with TLS, if the port has it
	raw      net.Conn // without
	camera   atomic.Pointer[Camera]
	asked    *base.Request // the request that is being answered; the server's goroutine alone
	mum      atomic.Bool   // the next answer is swallowed
}

// Write swallows what a silent camera would say.
func (c *conn) Write(b []byte) (int, error) {
	if cam := c.camera.Load(); cam != nil && cam.silent.Load() {
		return len(b), nil
	}
	if bytes.HasPrefix(b, []byte("RTSP/")) && c.mum.CompareAndSwap(true, false) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if cam := c.camera.Load(); cam != nil {
		cam.disown(c)
	}
	return c.Conn.Close()
}

// reset closes the connection as a camera does that loses power: without a word.
func (c *conn) reset() {
	abort(c.raw)
	_ = c.Close()
}

func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// udpPair is an even port for RTP and the odd one above it for RTCP.
type udpPair struct {
	mu        sync.Mutex
	rtp, rtcp net.PacketConn
	taken     [2]bool
}

// bindPair finds a free pair at the host of listen.
func bindPair(listen string) (*udpPair, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("read address %q: %w", listen, err)
	}
	for range 200 {
		rtp, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, fmt.Errorf("bind UDP: %w", err)
		}
		n := rtp.LocalAddr().(*net.UDPAddr).Port
		if n%2 == 0 {
			rtcp, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(n+1)))
			if err == nil {
				return &udpPair{rtp: rtp, rtcp: rtcp}, nil
			}
		}
		_ = rtp.Close()
	}
	return nil, fmt.Errorf("bind UDP: no free pair of ports at %s", host)
}

// take hands the bound sockets to the RTSP server, which asks for them by address.
func (p *udpPair) take(_, address string) (net.PacketConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range [2]net.PacketConn{p.rtp, p.rtcp} {
		if c.LocalAddr().String() == address && !p.taken[i] {
			p.taken[i] = true
			return c, nil
		}
	}
	return nil, fmt.Errorf("bind UDP %s: not one of the cameras' ports", address)
}

func (p *udpPair) close() {
	_ = p.rtp.Close()
	_ = p.rtcp.Close()
}

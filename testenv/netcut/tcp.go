package netcut

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy passes TCP connections on to a target.
type Proxy struct {
	*link
	target string // empty: the client names it with CONNECT
	addr   string

	mu       sync.Mutex
	ln       net.Listener // nil while connections are refused
	pairs    map[*pair]struct{}
	accepted int64
	running  bool
	ended    bool
	wg       sync.WaitGroup
}

// New binds listen ("127.0.0.1:0" say), so that Addr is known; Run passes connections on to target. Whoever
// does not go on to Run must Close.
func New(listen, target string) (*Proxy, error) {
	if _, _, err := net.SplitHostPort(target); err != nil {
		return nil, fmt.Errorf("make proxy: read target: %w", err)
	}
	return bind(listen, target)
}

// NewConnect is New for an HTTP proxy: the client says with CONNECT where it wants to go.
func NewConnect(listen string) (*Proxy, error) { return bind(listen, "") }

func bind(listen, target string) (*Proxy, error) {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("make proxy: %w", err)
	}
	return &Proxy{link: newLink(), target: target, addr: ln.Addr().String(), ln: ln, pairs: map[*pair]struct{}{}}, nil
}

// Addr is where clients connect to.
func (p *Proxy) Addr() string { return p.addr }

// Run passes connections on until ctx ends; then it cuts them all and returns nil. It is called once.
func (p *Proxy) Run(ctx context.Context) error {
	p.mu.Lock()
	p.running = true
	if p.ln != nil {
		p.accept(p.ln)
	}
	p.mu.Unlock()
	<-ctx.Done()
	p.Close()
	return nil
}

// Close frees the port and cuts everything, for good.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.Cut()
	p.wg.Wait()
}

// Aim has connections that come from now on passed to another target; established ones stay where they are.
func (p *Proxy) Aim(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Refuse turns new connections away; established ones stay.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln != nil {
		_ = p.ln.Close()
		p.ln = nil
	}
}

// Drop resets every established connection; new ones are welcome.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.cut()
	}
}

// Forget passes nothing more on of the connections that are established, and tells neither end, as a router does that was
// started anew and has forgotten them; new ones are welcome. It lasts until they are cut.
func (p *Proxy) Forget() {
	p.mu.Lock()
	for c := range p.pairs {
		c.forgotten.Store(true)
	}
	p.mu.Unlock()
	p.set(func() {}) // wakes what waits for the line
}

// Cut resets every established connection and refuses new ones, as a pulled cable with an honest router does.
func (p *Proxy) Cut() {
	p.Refuse()
	p.Drop()
}

// Restore ends every fault. It fails when somebody else took the port meanwhile.
func (p *Proxy) Restore() error {
	p.heal()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln != nil || p.ended {
		return nil
	}
	ln, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("restore proxy: %w", err)
	}
	p.ln = ln
	if p.running {
		p.accept(ln)
	}
	return nil
}

// Stats returns the counters.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	s := Stats{Open: len(p.pairs), Accepted: p.accepted}
	p.mu.Unlock()
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	s.Up, s.Down = p.up.bytes, p.down.bytes
	return s
}

// readBuffer is what the system takes in of a connection before the line has carried it. Left to itself it would grow to
// megabytes, half a minute of a narrow line: no modem has so much.
const readBuffer = 32 << 10

// accept runs with p.mu held.
func (p *Proxy) accept(ln net.Listener) {
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(readBuffer)
			}
			p.take(ln, c)
		}
	})
}

// take starts to serve a connection, unless the port has been closed meanwhile.
func (p *Proxy) take(ln net.Listener, c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := &pair{link: p.link, client: c, done: make(chan struct{})}
	if p.ln != ln {
		one.cut()
		return
	}
	p.accepted++
	p.pairs[one] = struct{}{}
	target := p.target
	p.wg.Go(func() {
		one.serve(target)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pairs, one)
	})
}

// pair is a client's connection and ours to the target.
type pair struct {
	link   *link
	client net.Conn
	in     *bufio.Reader // of the client, once it has spoken HTTP

	forgotten atomic.Bool // nothing passes any more, and no end is told

	mu     sync.Mutex
	server net.Conn // nil until dialled
	done   chan struct{}
	over   bool
}

const dialTimeout = 10 * time.Second

func (c *pair) serve(target string) {
	defer c.cut()
	if !c.link.open(c.done) {
		return
	}
	if target == "" {
		var ok bool
		if target, ok = c.greet(); !ok {
			return
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), dialTimeout)
	defer stop()
	unhook := afterDone(c.done, stop)
	defer unhook()
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		c.say("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	c.mu.Lock()
	c.server = server
	over := c.over
	c.mu.Unlock()
	if over {
		_ = server.Close()
		return
	}
	c.say("HTTP/1.1 200 Connection established\r\n\r\n")
	var wg sync.WaitGroup
	wg.Go(func() { c.pump(c.source(), server, &c.link.up) })
	wg.Go(func() { c.pump(server, c.client, &c.link.down) })
	wg.Wait()
	c.close()
}

// afterDone calls stop when done closes, until the returned function is called.
func afterDone(done <-chan struct{}, stop func()) func() {
	gone := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			stop()
		case <-gone:
		}
	}()
	return func() { close(gone); <-ended }
}

// greet reads the client's CONNECT request.
func (c *pair) greet() (target string, ok bool) {
	c.in = bufio.NewReader(c.client)
	r, err := http.ReadRequest(c.in)
	if err != nil {
		return "", false
	}
	if _, _, err := net.SplitHostPort(r.Host); r.Method != http.MethodConnect || err != nil {
		c.say("HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		c.close()
		return "", false
	}
	return r.Host, true
}

// say answers a client that speaks HTTP; one that does not hears nothing.
func (c *pair) say(text string) {
	if c.in != nil {
		// If the client is gone, the pump or the close that follows finds out.
		_, _ = c.client.Write([]byte(text))
	}
}

// source is what the client sends: after its CONNECT request if it made one.
func (c *pair) source() io.Reader {
	if c.in != nil {
		return c.in
	}
	return c.client
}

// piece is some bytes on their way.
type piece struct {
	data []byte
	due  time.Time
}

// pump moves bytes one way until the source ends, and then ends the sink; on a fault it cuts both.
func (c *pair) pump(from io.Reader, to net.Conn, at *lane) {
	queue := make(chan piece, 64)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer close(queue)
		for {
			buf := make([]byte, c.link.piece())
			n, err := from.Read(buf)
			if n > 0 {
				select {
				case queue <- piece{buf[:n], c.link.due(time.Now())}:
				case <-c.done:
					return
				}
			}
			if err != nil {
				if !orderly(err) && !c.forgotten.Load() {
					c.cut()
				}
				return
			}
		}
	})
	for q := range queue {
		if !c.pass(at, len(q.data), q.due) {
			c.cut()
			return
		}
		if _, err := to.Write(q.data); err != nil {
			c.cut()
			return
		}
	}
	// An end of stream takes as long as data does.
	if c.pass(at, 0, c.link.due(time.Now())) {
		if t, ok := to.(*net.TCPConn); ok {
			_ = t.CloseWrite() // fails only when the connection is gone already
		}
	}
}

// pass waits until n bytes have passed the link, which those of a forgotten connection never do; false when the
// connection is cut first.
func (c *pair) pass(at *lane, n int, due time.Time) bool {
	if !c.forgotten.Load() && !c.link.pass(c.done, at, n, due) {
		return false
	}
	if c.forgotten.Load() {
		<-c.done
		return false
	}
	return true
}

func orderly(err error) bool { return errors.Is(err, io.EOF) }

// close ends both connections in good order.
func (c *pair) close() { c.end(false) }

// cut resets both connections.
func (c *pair) cut() { c.end(true) }

func (c *pair) end(reset bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.over = true
	close(c.done)
	for _, n := range [2]net.Conn{c.client, c.server} {
		if t, ok := n.(*net.TCPConn); ok {
			if reset {
				_ = t.SetLinger(0) // makes Close send a reset; harmless if it is closed
			}
			_ = t.Close()
		}
	}
}

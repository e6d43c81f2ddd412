package pace

import (
	"context"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// mss is what one packet carries at the usual MTU of 1,500 bytes with TCP timestamps, and headers is what TCP and IP
// (half of the sites have IPv6) add to it.
const (
	mss     = 1440
	headers = 62
)

// OnWire returns how many bytes n bytes of a TCP connection are on the line, by estimate.
func OnWire(n int) int { return n + (n+mss-1)/mss*headers }

// Conn is a connection whose written bytes ask the budget.
type Conn struct {
	net.Conn
	pace   *Pace
	ctx    context.Context // a net.Conn has no other way to be told that a wait is over
	cancel context.CancelFunc

	mu      sync.Mutex
	flow    *Flow
	asked   bool  // a request is on its way
	whole   bool  // and all of it was written
	fresh   bool  // and the connection was new when it began
	carried int64 // bytes
}

// Conn returns c with every written byte asking the budget first, as class until a request says otherwise. Closing
// the connection ends the wait. Of a TCP connection it bounds what the system holds back unsent, so that an urgent
// byte is not stuck behind that, and so that the gauge sees the line.
func (p *Pace) Conn(class Class, c net.Conn) *Conn {
	KeepUnsentLow(c)
	ctx, cancel := context.WithCancel(context.Background())
	flow := p.Flow(class, time.Time{})
	flow.kept = true
	return &Conn{Conn: c, pace: p, ctx: ctx, cancel: cancel, flow: flow}
}

type dueKey struct{}

// By returns ctx for what should have gone by due: inside its class it goes before what is due later.
func By(ctx context.Context, due time.Time) context.Context {
	return context.WithValue(ctx, dueKey{}, due)
}

// Request returns ctx for an HTTP request of a user of a class: on a Conn its bytes ask as that one, due as By has it,
// and its answer tells the gauge that they have arrived.
func (p *Pace) Request(ctx context.Context, class Class) context.Context {
	due, _ := ctx.Value(dueKey{}).(time.Time)
	flow := p.Flow(class, due)
	flow.kept = true
	var mu sync.Mutex
	var conn *Conn // that has the request now
	current := func() *Conn {
		mu.Lock()
		defer mu.Unlock()
		return conn
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			mu.Lock()
			defer mu.Unlock()
			if conn = paced(i.Conn); conn != nil {
				conn.ask(flow)
			}
		},
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			if c := current(); c != nil && i.Err == nil {
				c.wrote()
			}
		},
		GotFirstResponseByte: func() {
			if c := current(); c != nil {
				c.answered()
			}
		},
	})
}

// paced finds the Conn under the layers of TLS; nil without one.
func paced(c net.Conn) *Conn {
	for {
		switch in := c.(type) {
		case *Conn:
			return in
		case interface{ NetConn() net.Conn }:
			c = in.NetConn()
		default:
			return nil
		}
	}
}

func (c *Conn) ask(f *Flow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked {
		c.pace.measure(func(g *gauge, now time.Time) { g.ask(now) })
	}
	c.flow, c.asked, c.whole, c.fresh = f, true, false, c.carried < freshBytes
}

func (c *Conn) wrote() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole = true
}

func (c *Conn) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked {
		return
	}
	c.asked = false
	c.pace.measure(func(g *gauge, now time.Time) { g.answered(now, c.whole, c.fresh) })
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	flow := c.flow
	c.mu.Unlock()
	done := 0
	for done < len(b) {
		part := b[done:min(len(b), done+c.pace.payload())]
		asked := time.Now()
		if err := flow.Take(c.ctx, OnWire(len(part))); err != nil {
			return done, net.ErrClosed
		}
		begun := time.Now()
		n, err := c.Conn.Write(part)
		c.pace.measure(func(g *gauge, now time.Time) {
			g.held += begun.Sub(asked)
			g.wrote(OnWire(n), begun, now)
		})
		done += n
		if err != nil {
			return done, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.carried += int64(done)
	return done, nil
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.cancel()
	c.mu.Lock()
	c.whole = false
	c.mu.Unlock()
	c.answered()
	return c.Conn.Close()
}

// KeepUnsentLow bounds what the system holds back unsent on a TCP connection, where it can.
func KeepUnsentLow(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = keepUnsentLow(tcp) // without it the connection works all the same
	}
}

func (p *Pace) measure(do func(*gauge, time.Time)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do(&p.gauge, time.Now())
}

// payload is what of a piece is payload, so that a piece with its headers is granted at once.
func (p *Pace) payload() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.piece() * mss / (mss + 2*headers)
}

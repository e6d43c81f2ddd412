package pace

import (
	"context"
	"io"
	"net"
)

// Reader returns r with every byte asking the budget before it is handed out: for bodies on their way to the
// cloud. ctx ends the wait.
func (p *Pace) Reader(ctx context.Context, class Class, r io.Reader) io.Reader {
	return &reader{ctx: ctx, pace: p, class: class, r: r}
}

type reader struct {
	ctx   context.Context // an io.Reader has no other way to be told
	pace  *Pace
	class Class
	r     io.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	if len(b) > quantum {
		b = b[:quantum]
	}
	n, err := r.r.Read(b)
	if n == 0 {
		return 0, err
	}
	if wait := r.pace.Take(r.ctx, r.class, n); wait != nil {
		return 0, wait
	}
	return n, err
}

// Conn returns c with every written byte asking the budget first. Closing the connection or the end of ctx ends
// the wait.
func (p *Pace) Conn(ctx context.Context, class Class, c net.Conn) net.Conn {
	ctx, cancel := context.WithCancel(ctx)
	return &conn{Conn: c, ctx: ctx, cancel: cancel, pace: p, class: class}
}

type conn struct {
	net.Conn
	ctx    context.Context // a net.Conn has no other way to be told
	cancel context.CancelFunc
	pace   *Pace
	class  Class
}

func (c *conn) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		part := b[done:min(len(b), done+quantum)]
		if err := c.pace.Take(c.ctx, c.class, len(part)); err != nil {
			return done, net.ErrClosed
		}
		n, err := c.Conn.Write(part)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (c *conn) Close() error {
	c.cancel()
	return c.Conn.Close()
}

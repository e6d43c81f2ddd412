package camera

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"holdfast/shared/wire"
)

// watch waits for the end.
func (r *replay) watch(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- r.client.Wait() }()
	stall := r.archive.owner.cfg.Stall
	tick := time.NewTicker(min(time.Second, stall/4))
	defer tick.Stop()
	begun := time.Since(r.began)
	for {
		select {
		case err := <-r.broken:
			return r.verdict(err)
		case err := <-ended:
			select {
			case err := <-r.broken: // it said goodbye first
				return r.verdict(err)
			default:
			}
			return r.verdict(fmt.Errorf("%w: %w", errEarly, err))
		case <-tick.C:
			if time.Since(r.began)-max(begun, time.Duration(r.heard.Load())) > stall/2 {
				return r.verdict(errStalled)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// nearEndUs is how much before the end of the range footage may end and be all there is: devices end at whole groups.
const nearEndUs = 1_000_000

// verdict says what the end of a replay means for what came.
func (r *replay) verdict(err error) error {
	r.lock.Lock()
	shown := r.shown
	r.over = true
	r.lock.Unlock()
	host := r.archive.cfg.Source.address.Host
	say := func(format string, args ...any) error {
		return &told{failure{wire.Unreachable, fmt.Sprintf(format, args...), 0}, err}
	}
	switch {
	case errors.Is(err, errDone) && shown < r.fromUs:
		return &told{failure{text: host + " has no video of that time."}, ErrNoFootage}
	case errors.Is(err, errDone), errors.Is(err, errEarly) && shown >= r.toUs-nearEndUs, errors.Is(err, errStalled) && shown >= r.toUs-nearEndUs:
		return errDone
	case errors.Is(err, errLive):
		return say("%s plays live pictures whatever time it is asked for. Check archive in holdfast.yaml: it wants the address of the recordings.", host)
	case errors.Is(err, errEarly) && shown == 0:
		return say("%s hung up before it sent any footage; the agent asks again.", host)
	case errors.Is(err, errEarly):
		return say("%s hung up %d seconds before the end; the agent asks again.", host, (r.toUs-shown)/1e6)
	case errors.Is(err, errStalled) && shown == 0:
		return say("%s accepts the range and sends no footage; the agent asks again.", host)
	case errors.Is(err, errStalled):
		return say("%s fell silent %d seconds before the end; the agent asks again.", host, (r.toUs-shown)/1e6)
	}
	return err
}

// paced is a connection that is read no faster than a rate, so that recording keeps the network and the device.
type paced struct {
	net.Conn
	rate int64 // bytes a second

	mu   sync.Mutex // who closes the connection reads what is left
	owed time.Duration
	last time.Time
}

// Read implements net.Conn.
func (p *paced) Read(b []byte) (int, error) {
	if owed := p.owes(0); owed > 50*time.Millisecond {
		time.Sleep(min(owed, 500*time.Millisecond))
	}
	n, err := p.Conn.Read(b[:min(len(b), 64<<10)])
	p.owes(n)
	return n, err
}

// owes returns how long the line is to rest, after n more bytes.
func (p *paced) owes(n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.owed = max(p.owed-now.Sub(p.last), 0) + time.Duration(float64(n)/float64(p.rate)*float64(time.Second))
	p.last = now
	return p.owed
}

package camera

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/shared/wire"
)

// class is what a session is for, the most important first.
type class int

const (
	recording class = iota
	watching        // a sub-stream that somebody looks at
	proving         // whether a camera that failed is well again
	filling         // gaps, from a recorder's archive
)

// How a device that has refused a session is asked again: one stream asks for all, and ever more seldom.
const (
	firstPause = 10 * time.Second
	longPause  = time.Minute
	careful    = 10 * time.Minute // after the last refusal
)

// budget shares the sessions of each device among all that want some. A limit is known from the configuration,
// or learnt when the device refuses.
type budget struct {
	mu   sync.Mutex
	rows map[string]*device
}

// device is one recorder, or one camera.
type device struct {
	limit   int // from the configuration; 0 when there is none
	peak    int // sessions that ran at once lately
	low     int // refusals in a row while fewer ran
	learnt  int // sessions that may run after it refused one
	refused time.Time
	pause   time.Duration
	held    []*slot
	waiting []*claim // in the order in which they are served
	changed chan struct{}
}

// slot is the right to one session.
type slot struct {
	budget  *budget
	device  *device
	class   class
	seen    int           // sessions that ran when this one was asked for
	settled bool          // the device has granted the session
	evicted chan struct{} // closed when it must end for a more important one
	told    bool          // evicted is closed
}

// claim is somebody who waits. Who was refused last time waits behind who was not: the device may have refused him
// for a reason of his own.
type claim struct {
	class  class
	humble bool
}

func (c *claim) before(o *claim) bool {
	return c.class < o.class || c.class == o.class && !c.humble && o.humble
}

func newBudget(limits map[string]int) *budget {
	b := &budget{rows: map[string]*device{}}
	for host, n := range limits {
		b.row(host).limit = n
	}
	return b
}

// row returns a device; the caller holds the lock, or has the budget alone.
func (b *budget) row(host string) *device {
	d := b.rows[host]
	if d == nil {
		d = &device{changed: make(chan struct{})}
		b.rows[host] = d
	}
	return d
}

func (d *device) announce() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// room returns how many sessions may run at once now, and when that may be more without anybody's doing.
func (d *device) room(now time.Time) (n int, again time.Time) {
	n = 1 << 30
	if d.limit > 0 {
		n = d.limit
	}
	switch settled := d.settled(); {
	case d.refused.IsZero() || now.Sub(d.refused) > careful:
	case now.Sub(d.refused) < d.pause:
		n, again = min(n, d.learnt), d.refused.Add(d.pause)
	default:
		n = min(n, settled+1) // one asks for all
	}
	return n, again
}

func (d *device) settled() (n int) {
	for _, s := range d.held {
		if s.settled {
			n++
		}
	}
	return n
}

// take waits until the device has a session to spare. humble says that it refused this one last time. refused hears
// why it must wait. A recording that finds no session ends a less important one.
func (b *budget) take(ctx context.Context, host string, c class, humble bool, refused func(failure)) (*slot, error) {
	b.mu.Lock()
	d := b.row(host)
	me := &claim{c, humble}
	at := slices.IndexFunc(d.waiting, me.before)
	if at < 0 {
		at = len(d.waiting)
	}
	d.waiting = slices.Insert(d.waiting, at, me)
	defer func() {
		d.waiting = slices.DeleteFunc(d.waiting, func(o *claim) bool { return o == me })
		d.announce()
		b.mu.Unlock()
	}()
	for {
		n, again := d.room(time.Now())
		if len(d.held) < n && d.waiting[0] == me {
			s := &slot{budget: b, device: d, class: c, seen: d.settled(), evicted: make(chan struct{})}
			d.held = append(d.held, s)
			return s, nil
		}
		if c == recording {
			d.evict()
		}
		changed, text := d.changed, d.inWords(host)
		b.mu.Unlock()
		refused(failure{reason: wire.SessionLimit, text: text})
		err := await(ctx, changed, again)
		b.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// await returns when changed is closed or a moment has come; the zero moment never comes.
func await(ctx context.Context, changed <-chan struct{}, at time.Time) error {
	var due <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-changed:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// evict ends the least important session, unless one is ending already or all of them record.
func (d *device) evict() {
	var last *slot
	for _, s := range d.held {
		if s.told {
			return
		}
		if s.class > recording && (last == nil || s.class >= last.class) {
			last = s
		}
	}
	if last != nil {
		last.told = true
		close(last.evicted)
	}
}

func (d *device) inWords(host string) string {
	if d.limit > 0 && len(d.held) >= d.limit {
		return fmt.Sprintf("%s has %d sessions, by holdfast.yaml, and all are in use. Recording goes first; raise  sessions  of this recorder if it allows more.", host, d.limit)
	}
	return fmt.Sprintf("%s takes no more viewers: it refused another session while %d ran here. Close other programs that watch it, or raise its limit.", host, d.settled())
}

// grant notes that the device has granted the session.
func (s *slot) grant() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	d := s.device
	s.settled, d.pause, d.low = true, 0, 0
	d.peak = max(d.peak, d.settled())
	d.announce()
}

// refuse notes that the device has no session to spare.
func (s *slot) refuse() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	d := s.device
	// One refusal below the peak may be the channel's own; two in a row are the device's.
	switch n := max(d.settled(), s.seen); {
	case n >= d.peak:
		d.peak, d.low = n, 0
	case d.low == 0:
		d.low++
	default:
		d.peak--
	}
	d.learnt, d.refused = d.peak, time.Now()
	d.pause = min(max(2*d.pause, firstPause), longPause)
}

// release gives the session back.
func (s *slot) release() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.device.held = slices.DeleteFunc(s.device.held, func(o *slot) bool { return o == s })
	s.device.announce()
}

// errEvicted says that a session gave way to a more important one.
var errEvicted = fmt.Errorf("the session gave way to a recording")

// Backfill waits for a session of a device that nothing more important wants, to fetch what is missing from it.
// The returned context ends when the session must be given back; release gives it back. host is as in the
// sources' addresses.
func (c *Cameras) Backfill(ctx context.Context, host string) (session context.Context, release func(), err error) {
	s, err := c.budget.take(ctx, host, filling, false, func(failure) {})
	if err != nil {
		return nil, nil, err
	}
	session, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(session, s.release)
	go func() {
		select {
		case <-s.evicted:
			cancel(errEvicted)
		case <-session.Done():
		}
	}()
	return session, func() {
		if stop() {
			s.release()
		}
		cancel(context.Canceled)
	}, nil
}

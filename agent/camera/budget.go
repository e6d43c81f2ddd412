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
	speaking        // to somebody who stands before a camera
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

// claim is somebody who waits.
type claim struct {
	class class
	nth   int // what refuse returned for him last; 0 when the device refused him nothing
}

// fresh says that the device has not refused this one: it may ask once.
func (c *claim) fresh() bool { return c.nth == 0 && c.class < filling }

// before says who is served first when both could be. Who was refused waits behind who was not: the device may have had
// a reason of its own.
func (c *claim) before(o *claim) bool {
	return c.class < o.class || c.class == o.class && c.nth == 0 && o.nth != 0
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

// room returns how many sessions may run at once for a claim, and when that may be more without anybody's doing.
// Who was not refused yet asks once, whatever others were told, so that a camera that loses its session gets it back at
// once although one that never had any keeps being refused.
func (d *device) room(c *claim, now time.Time) (n int, again time.Time) {
	n = 1 << 30
	if d.limit > 0 {
		n = d.limit
	}
	switch settled := d.settled(); {
	case c.fresh() && d.yields(c.class) == nil:
	case d.refused.IsZero() || now.Sub(d.refused) > careful:
	case now.Sub(d.refused) < d.pause:
		n, again = min(n, d.learnt), d.refused.Add(d.pause)
	default:
		n = min(n, settled+1) // one asks for all
	}
	return n, again
}

// next returns the first of those who wait that could have a session now, nil when none could.
func (d *device) next(now time.Time) *claim {
	for _, c := range d.waiting {
		if n, _ := d.room(c, now); len(d.held) < n {
			return c
		}
	}
	return nil
}

func (d *device) settled() (n int) {
	for _, s := range d.held {
		if s.settled {
			n++
		}
	}
	return n
}

// take waits until the device has a session to spare. nth is what refuse returned when the device refused the last one
// for this source, else 0. refused hears why it must wait. Who finds no session ends one that yields to him.
func (b *budget) take(ctx context.Context, host string, c class, nth int, refused func(failure)) (*slot, error) {
	b.mu.Lock()
	d := b.row(host)
	me := &claim{c, nth}
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
		n, again := d.room(me, time.Now())
		if len(d.held) < n && d.next(time.Now()) == me {
			s := &slot{budget: b, device: d, class: c, seen: d.settled(), evicted: make(chan struct{})}
			d.held = append(d.held, s)
			return s, nil
		}
		if len(d.held) <= n && (nth == 0 || d.settled() < nth) {
			d.evict(c)
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

// evict ends the least important session that yields to one of class c, unless one is ending already.
func (d *device) evict(c class) {
	if s := d.yields(c); s != nil && !slices.ContainsFunc(d.held, func(s *slot) bool { return s.told }) {
		s.told = true
		close(s.evicted)
	}
}

// yields returns the least important session that could end, or is ending, for one of class c, nil when there is none. To a
// recording all others yield; to everybody what fills gaps, for gaps have time.
func (d *device) yields(c class) (last *slot) {
	least := filling
	if c == recording {
		least = recording + 1
	}
	for _, s := range d.held {
		if s.class >= least && s.class > c && (last == nil || s.class >= last.class) {
			last = s
		}
	}
	return last
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
	s.settled, d.pause = true, 0
	d.peak = max(d.peak, d.settled())
	d.announce()
}

// refusedItself says that a device has a reason of its own to refuse this one, whatever sessions it has to spare.
const refusedItself = -1

// refuse notes that the device has no session to spare, and returns which one it would have been. last is what it
// returned before: a device that refuses the n-th session, and a lower one later, does not do so for lack of room.
func (s *slot) refuse(last int) (nth int) {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	d := s.device
	d.peak = max(d.settled(), d.peak-1)
	d.learnt, d.refused = d.peak, time.Now()
	d.pause = min(max(2*d.pause, firstPause), longPause)
	if nth = min(s.seen, d.settled()) + 1; last == refusedItself || nth < last {
		return refusedItself
	}
	return nth
}

// release gives the session back.
func (s *slot) release() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.device.held = slices.DeleteFunc(s.device.held, func(o *slot) bool { return o == s })
	s.device.announce()
}

// errEvicted says that a session gave way to a more important one.
var errEvicted = fmt.Errorf("the session gave way to a more important one")

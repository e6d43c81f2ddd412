// Package pace is the site's bandwidth budget: every byte that an agent sends towards the WAN asks it first.
//
// It owns one token bucket, a queue of waiters for each class, the week's caps (Plan) and the measured line. What is
// more urgent goes first; a sixteenth of the bytes goes to the class that has waited longest, so that nothing
// starves; control has a reserve of its own, so that a heartbeat never waits. Inside a class the earliest
// deadline goes first, and users without one share evenly. It never blocks recording: only what sends waits here.
//
// What is asked for is what the line carries: payload, TLS, and TCP or UDP and IP headers. Not asked for are ICE
// checks, DTLS and control channels of live sessions (below 2 kbit/s each) and the TCP acknowledgements of downloads.
package pace

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Class says how urgent bytes are.
type Class int

// Classes, most urgent first.
const (
	Control Class = iota // session frames: heartbeats, replies
	Live                 // live and recorded video for a viewer
	Urgent               // facts of the urgent and the live lane
	Clips                // clips on their way to the cloud
	Backlog              // facts that waited for the line
	Stills               // single pictures
	classes
)

// String returns the class's name.
func (c Class) String() string {
	if c < 0 || c >= classes {
		return fmt.Sprintf("class %d", int(c))
	}
	return [classes]string{"control", "live", "urgent", "clips", "backlog", "stills"}[c]
}

const (
	maxPiece     = 16 << 10 // bytes granted at once
	minPiece     = 1400
	pieceTime    = 20 * time.Millisecond // a piece is what the budget allows in so long, inside these bounds
	fairShare    = 16                    // one byte in so many goes to the class that has waited longest
	burstTime    = 100 * time.Millisecond
	reserveShare = 8        // one byte in so many is kept for control
	reserveBytes = 32 << 10 // and so much of it may go at once
	minReserve   = 2 << 10  // bytes a second
)

// Pace is the budget. Safe for concurrent use.
type Pace struct {
	mu      sync.Mutex
	plan    Plan
	wish    *Week // the portal's; nil without
	cap     int64 // bytes per second; 0: unlimited
	why     Why
	tokens  float64 // bytes that may go now; below zero after a grant, until the time has passed
	reserve float64 // likewise, for control alone
	filled  time.Time
	queues  [classes]queue
	waiting int // waiters in all queues
	debt    int // bytes granted by rank since the last ones by age
	asked   uint64
	timer   *time.Timer
	own     [classes]Flow // of those who bring none
	meters  [classes]meter
	gauge   gauge
	probe   probe
}

// New returns a budget under a plan. Run keeps it up to date; without Run the plan of this moment stays in force.
func New(plan Plan) *Pace {
	p := &Pace{plan: plan, filled: time.Now()}
	for c := range classes {
		p.own[c] = Flow{pace: p, class: c}
	}
	p.decide(p.filled)
	return p
}

// Take waits until n bytes of a class may go, or until ctx ends, whose error it then returns.
func (p *Pace) Take(ctx context.Context, class Class, n int) error { return p.own[class].Take(ctx, n) }

// Spend notes n bytes of a class that go without waiting; what comes after them waits the longer.
func (p *Pace) Spend(class Class, n int) { p.own[class].Spend(n) }

// Flow is one user of a class: a viewer, an upload.
type Flow struct {
	pace  *Pace
	class Class
	dueUs int64 // 0: whenever its turn comes
	kept  bool  // a Conn tells the gauge itself

	// Under pace's lock.
	finish int64 // bytes of the class's own count up to which it has asked
	taken  int64
}

// Flow returns a new user of a class. Those with an earlier due go first; a zero due goes after all others, and such
// flows share evenly.
func (p *Pace) Flow(class Class, due time.Time) *Flow {
	f := &Flow{pace: p, class: class}
	if !due.IsZero() {
		f.dueUs = due.UnixMicro()
	}
	return f
}

// Taken returns how many bytes the flow was granted.
func (f *Flow) Taken() int64 {
	f.pace.mu.Lock()
	defer f.pace.mu.Unlock()
	return f.taken
}

// Take waits until n bytes may go, or until ctx ends, whose error it then returns.
func (f *Flow) Take(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := f.ask(n)
	if w == nil {
		return nil
	}
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		p := f.pace
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.queues[f.class].leave(w) {
			p.waiting--
		}
		return ctx.Err()
	}
}

// Spend notes n bytes that go without waiting.
func (f *Flow) Spend(n int) {
	p := f.pace
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill(time.Now())
	p.queues[f.class].stamp(f, n)
	p.charge(f, n)
}

// ask takes what may go at once, and returns a waiter for the rest; nil when nothing is left. A waiter gets its bytes
// piece by piece but is woken up once: while it was on its way to ask again, less urgent ones would get its turn.
func (f *Flow) ask(n int) *waiter {
	p := f.pace
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.refill(now)
	for n > 0 {
		part := min(n, p.piece())
		if !p.free(f.class, part) {
			break
		}
		p.queues[f.class].stamp(f, part)
		p.charge(f, part)
		n -= part
	}
	if n <= 0 {
		return nil
	}
	p.asked++
	w := &waiter{flow: f, n: n, seq: p.asked, ready: make(chan struct{})}
	p.queues[f.class].join(w, now)
	p.waiting++
	p.grant(now)
	return w
}

// free says whether bytes may go at once, before anybody who waits.
func (p *Pace) free(class Class, n int) bool {
	return p.waiting == 0 && p.open() || class == Control && p.reserve >= float64(n)
}

func (p *Pace) open() bool { return p.cap == 0 || p.probe.lifted || p.tokens > 0 }

// piece is how many bytes are granted at once: on a narrow line a large request must not hold up a small one.
func (p *Pace) piece() int {
	if p.cap == 0 {
		return maxPiece
	}
	return int(min(max(p.cap*int64(pieceTime)/int64(time.Second), minPiece), maxPiece))
}

func (p *Pace) refill(now time.Time) {
	passed, rate := max(now.Sub(p.filled), 0).Seconds(), float64(p.cap)
	p.filled = now
	p.tokens = min(p.tokens+passed*rate, max(rate*burstTime.Seconds(), minPiece))
	p.reserve = min(p.reserve+passed*max(rate/reserveShare, minReserve), reserveBytes)
}

// charge takes bytes out of the bucket; it may overdraw it: what follows waits until that is paid back.
func (p *Pace) charge(f *Flow, n int) {
	if p.cap > 0 && !p.probe.lifted {
		p.tokens -= float64(n)
	}
	if f.class == Control {
		p.reserve = max(p.reserve-float64(n), 0)
	}
	f.taken += int64(n)
	p.meters[f.class].add(p.filled, n)
	if !f.kept {
		p.gauge.moved += int64(n)
	}
}

// grant serves waiters while there are tokens, and sets the timer for the next one.
func (p *Pace) grant(now time.Time) {
	for p.waiting > 0 && p.open() {
		p.charge(p.next(now))
	}
	if p.waiting == 0 {
		return
	}
	wait := time.Duration(-p.tokens/float64(p.cap)*float64(time.Second)) + time.Millisecond
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.tick)
		return
	}
	p.timer.Reset(wait)
}

func (p *Pace) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.refill(now)
	p.grant(now)
}

// next returns whose turn it is, by rank and now and then by age, and how much of it. Control always goes first.
func (p *Pace) next(now time.Time) (*Flow, int) {
	best, turn := classes, p.debt >= (fairShare-1)*p.piece()
	for c := range classes {
		q := &p.queues[c]
		if len(q.line) > 0 && (best == classes || turn && best != Control && q.since.Before(p.queues[best].since)) {
			best = c
		}
	}
	w, n := p.queues[best].serve(now, p.piece())
	if w.n == 0 {
		p.waiting--
		close(w.ready)
	}
	switch {
	case best == Control:
	case turn:
		p.debt = 0
	default:
		p.debt += n
	}
	return w.flow, n
}

// Rate returns the measured rate of a class in bytes per second, over the last five to six seconds.
func (p *Pace) Rate(class Class) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.meters[class].rate(time.Now())
}

// Total returns the measured rate of all classes in bytes per second.
func (p *Pace) Total() float64 {
	sum := 0.0
	for c := range classes {
		sum += p.Rate(c)
	}
	return sum
}

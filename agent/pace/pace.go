// Package pace is the site's bandwidth budget: every byte that an agent sends towards the cloud asks it first.
//
// It owns one token bucket and a line of waiters for each class. What is more urgent goes first, but a sixteenth
// of the bytes goes to whoever has waited longest, so that nothing starves. It never blocks recording: only
// what sends waits here.
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
	quantum   = 16 << 10 // bytes granted at once, so that a large request does not hold up a small one
	fairShare = 16       // one byte in so many goes to the longest waiter, whatever its class
	burstTime = 250 * time.Millisecond
)

type waiter struct {
	class Class
	n     int
	since time.Time
	ready chan struct{}
}

// Pace is the budget. Safe for concurrent use.
type Pace struct {
	mu      sync.Mutex
	cap     int64   // bytes per second; 0: unlimited
	tokens  float64 // bytes that may go now; below zero after a grant, until the time has passed
	filled  time.Time
	waiting [classes][]*waiter
	timer   *time.Timer
	debt    int // bytes granted by rank since the last one by age
	meters  [classes]meter
}

// New returns a budget of limit bytes per second; 0 is unlimited.
func New(limit int64) *Pace {
	return &Pace{cap: max(limit, 0), filled: time.Now()}
}

// SetLimit changes the budget to limit bytes per second, also for those who wait now; 0 is unlimited.
func (p *Pace) SetLimit(limit int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill(time.Now())
	p.cap = max(limit, 0)
	p.tokens = min(p.tokens, p.burst())
	p.grant()
}

// Limit returns the budget in bytes per second; 0 is unlimited.
func (p *Pace) Limit() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cap
}

// Take waits until n bytes of a class may go, or until ctx ends, whose error it then returns.
func (p *Pace) Take(ctx context.Context, class Class, n int) error {
	for n > 0 {
		part := min(n, quantum)
		if err := p.take(ctx, class, part); err != nil {
			return err
		}
		n -= part
	}
	return ctx.Err()
}

func (p *Pace) take(ctx context.Context, class Class, n int) error {
	w := &waiter{class: class, n: n, since: time.Now(), ready: make(chan struct{})}
	p.mu.Lock()
	p.waiting[class] = append(p.waiting[class], w)
	p.refill(w.since)
	p.grant()
	p.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	default:
	}
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		p.leave(w)
		return ctx.Err()
	}
}

func (p *Pace) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := p.waiting[w.class]
	for i := range line {
		if line[i] == w {
			p.waiting[w.class] = append(line[:i], line[i+1:]...)
			return
		}
	}
}

func (p *Pace) burst() float64 {
	return max(float64(p.cap)*burstTime.Seconds(), 1)
}

func (p *Pace) refill(now time.Time) {
	p.tokens = min(p.tokens+now.Sub(p.filled).Seconds()*float64(p.cap), p.burst())
	p.filled = now
}

// grant serves waiters while there are tokens, and sets the timer for the next one. The last grant may overdraw
// the bucket: what follows waits until that is paid back.
func (p *Pace) grant() {
	for p.cap == 0 || p.tokens > 0 {
		w := p.next()
		if w == nil {
			return
		}
		if p.cap > 0 {
			p.tokens -= float64(w.n)
		}
		p.meters[w.class].add(p.filled, w.n)
		close(w.ready)
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
	p.refill(time.Now())
	p.grant()
}

// next takes the next waiter out of its line: by rank, and now and then by age.
func (p *Pace) next() *waiter {
	best := classes
	for c := range classes {
		line := p.waiting[c]
		if len(line) == 0 {
			continue
		}
		if best == classes || (p.debt >= (fairShare-1)*quantum && line[0].since.Before(p.waiting[best][0].since)) {
			best = c
		}
	}
	if best == classes {
		return nil
	}
	w := p.waiting[best][0]
	p.waiting[best] = p.waiting[best][1:]
	if p.debt >= (fairShare-1)*quantum {
		p.debt = 0
	} else {
		p.debt += w.n
	}
	return w
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

// Waiting returns how many bytes of all classes wait now.
func (p *Pace) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, line := range p.waiting {
		for _, w := range line {
			n += w.n
		}
	}
	return n
}

const slots = 6

// meter counts bytes by the second, for the last few seconds.
type meter struct {
	second [slots]int64 // Unix seconds
	bytes  [slots]int
}

func (m *meter) add(now time.Time, n int) {
	s := now.Unix()
	i := s % slots
	if m.second[i] != s {
		m.second[i], m.bytes[i] = s, 0
	}
	m.bytes[i] += n
}

func (m *meter) rate(now time.Time) float64 {
	sum, s := 0, now.Unix()
	for i := range m.second {
		if s-m.second[i] < slots {
			sum += m.bytes[i]
		}
	}
	part := float64(now.Nanosecond()) / 1e9
	return float64(sum) / (slots - 1 + part)
}

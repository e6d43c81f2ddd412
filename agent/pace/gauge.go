package pace

import (
	"context"
	"time"
)

// Line is what the uplink carries, measured on real traffic.
type Line struct {
	Rate float64   `json:"rate"` // bytes per second; 0: not known
	At   time.Time `json:"at"`   // of the last measurement
}

// The gauge has two ways. Both count only while the line held the senders up, not the budget, and neither counts what
// the buffers on the way have merely swallowed.
//
// By writes: a connection whose kernel buffer is full accepts bytes as fast as the line carries them off; the rate is
// counted from one write that had to wait to another.
//
// By answers: an answer says that its whole request has arrived. What was sent between a moment at which nothing was
// on its way and the next such moment took that time, less one round trip.
const (
	waited     = 4 * time.Millisecond // a write that took so long waited for the line
	pauseMost  = time.Second          // between two such writes of one stretch
	busyLeast  = 0.7                  // part of a stretch in which a writer waits for the line
	settling   = 2 * time.Second      // at the beginning of a stretch nothing is counted: buffers and TCP find their size
	countLeast = 3 * time.Second
	countBytes = 1 << 20 // so many are enough, if it took countLeast
	countMost  = 8 * time.Second

	answersLeast = 1500 * time.Millisecond // of answered requests make a sample
	answersMost  = 8                       // so many do in any case
	answerBytes  = 32 << 10                // requests with less say little about the line
	freshBytes   = 512 << 10               // so much a new connection carries until TCP has found its speed,
	freshMost    = 5 * time.Second         // which no longer matters where a request takes so long
	budgetMost   = 0.1                     // part of the time that the budget may hold the senders up
)

type mark struct {
	at    time.Time
	moved int64
}

// gauge measures the line.
type gauge struct {
	line  Line
	rtt   time.Duration // shortest of late; 0: not known
	moved int64         // bytes that the kernel took, of all classes

	// By writes.
	begun   time.Time     // of the stretch
	from    mark          // where counting begins; zero while the stretch settles
	last    mark          // the latest write that waited
	blocked time.Duration // for so long a writer waited since from

	// By answers.
	open    int           // requests on their way
	first   mark          // when there was none
	held    time.Duration // for so long the budget held them up since first
	spoilt  bool          // this time says nothing
	sum     int64         // bytes that were answered for
	took    time.Duration // and how long they took
	answers int
}

// wrote notes a write of n bytes to a connection.
func (g *gauge) wrote(n int, begun, ended time.Time) {
	before := g.moved
	g.moved += int64(n)
	if ended.Sub(begun) < waited {
		return
	}
	if begun.Sub(g.last.at) > pauseMost {
		g.begun, g.from = ended, mark{}
	}
	since := begun // several connections may wait at once: that counts once
	if since.Before(g.last.at) {
		since = g.last.at
	}
	g.blocked += max(ended.Sub(since), 0)
	g.last = mark{ended, before}
	if g.from.at.IsZero() {
		if ended.Sub(g.begun) >= settling {
			g.from, g.blocked = g.last, 0
		}
		return
	}
	g.count()
}

// count ends a stretch that is long enough, or begins it anew where it says nothing about the line.
func (g *gauge) count() {
	took, bytes := g.last.at.Sub(g.from.at), g.last.moved-g.from.moved
	if took < countLeast || (bytes < countBytes && took < countMost) {
		return
	}
	if float64(g.blocked) >= busyLeast*float64(took) {
		g.learn(float64(bytes)/took.Seconds(), g.last.at)
	}
	g.from, g.blocked = g.last, 0
}

// ask notes that a request begins.
func (g *gauge) ask(now time.Time) {
	if g.open == 0 {
		g.anew(now)
	}
	g.open++
}

// anew forgets how the requests that are on their way began: until now the budget held them up, and so hardly
// anything of them waits behind the line.
func (g *gauge) anew(now time.Time) { g.first, g.held, g.spoilt = mark{now, g.moved}, 0, false }

// answered notes that a request has arrived; not whole says that this one is not known to have. fresh says that its
// connection was new.
func (g *gauge) answered(now time.Time, whole, fresh bool) {
	g.open--
	took, bytes := now.Sub(g.first.at), g.moved-g.first.moved
	g.spoilt = g.spoilt || !whole || (fresh && took < freshMost) || float64(g.held) > budgetMost*float64(took)
	if g.open > 0 || g.spoilt || bytes < answerBytes {
		return
	}
	g.sum += bytes
	g.took += max(took-g.rtt, time.Millisecond)
	if g.answers++; g.took < answersLeast && g.answers < answersMost {
		return
	}
	g.learn(float64(g.sum)/g.took.Seconds(), now)
	g.sum, g.took, g.answers = 0, 0, 0
}

// learn takes a sample over. TCP uses a line rather too little than too much: what is above counts for more.
func (g *gauge) learn(rate float64, at time.Time) {
	weight := 0.4
	switch {
	case g.line.Rate == 0:
		weight = 1
	case rate > g.line.Rate:
		weight = 0.6
	}
	g.line = Line{Rate: g.line.Rate + weight*(rate-g.line.Rate), At: at}
}

// RoundTrip tells the budget of a measured round trip to the cloud. The shortest of late counts: a longer one has
// waited on the way.
func (p *Pace) RoundTrip(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := &p.gauge; g.rtt == 0 || d < g.rtt {
		g.rtt = d
	} else {
		g.rtt += (d - g.rtt) / 64 // the way may have changed
	}
}

// A share needs the line's rate, but below the cap it never shows. So now and then, while much waits, the cap is
// lifted for some seconds.
const (
	probeMost   = 15 * time.Second
	probeEvery  = 10 * time.Minute // when the line is known
	probeFirst  = time.Minute      // after one in vain; doubled each time
	probeHunger = 3                // looks in a row that found bytes waiting
)

// probe is the state of the lifting of the cap.
type probe struct {
	lifted bool
	begun  time.Time
	ended  time.Time
	moved  int64 // at the last look
	hunger int
	vain   int // in a row
}

// Run keeps the cap up to date by the clock and the measured line, until ctx ends.
func (p *Pace) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			p.look(now)
		}
	}
}

func (p *Pace) look(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill(now)
	if p.probe.lifted {
		p.lower(now)
	} else if p.due(now) {
		p.probe.lifted, p.probe.begun = true, now
		p.gauge.anew(now)
		p.grant(now)
	}
	p.probe.moved = p.gauge.moved
	p.decide(now)
}

// due says whether the cap should be lifted now.
func (p *Pace) due(now time.Time) bool {
	r := &p.probe
	if len(p.queues[Clips].line)+len(p.queues[Backlog].line) == 0 || !p.shared(now) {
		r.hunger = 0
		return false
	}
	pause := probeEvery
	if p.gauge.line.Rate == 0 {
		pause = min(probeFirst<<min(r.vain, 4), probeEvery)
	}
	r.hunger++
	return r.hunger >= probeHunger && (r.ended.IsZero() || now.Sub(r.ended) >= pause)
}

// shared says whether the cap in force depends on the line's rate, or would if it were known.
func (p *Pace) shared(now time.Time) bool {
	return p.plan.Week.at(now, p.plan.Zone).Share > 0 || p.wish != nil && p.wish.at(now, p.plan.Zone).Share > 0
}

// lower ends the lifting when the line was measured, when that takes too long, or when nothing moves any more.
func (p *Pace) lower(now time.Time) {
	r := &p.probe
	known := p.gauge.line.At.After(r.begun)
	if !known && now.Sub(r.begun) < probeMost && (p.gauge.open > 0 || p.gauge.moved != r.moved) {
		return
	}
	if r.vain++; known {
		r.vain = 0
	}
	r.lifted, r.ended, r.hunger, p.tokens = false, now, 0, 0
}

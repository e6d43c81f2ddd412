package live

import (
	"math"
	"sync"
	"time"

	"holdfast/shared/rtc"
)

// step is how much of a camera a viewer gets when the line has no room for more. Each step costs less than the one
// before it.
type step int

const (
	whole  step = iota // the stream that the tile wants
	small              // the sub-stream
	keys               // key frames alone, at most one every keysEvery, without sound
	stills             // a picture every stillEvery
	steps
)

const (
	keysEvery  = 2 * time.Second
	stillEvery = 10 * time.Second
)

// want is what a viewer could get, at which price.
type want struct {
	cost  [steps]float64 // bytes per second; 0: there is no such step
	limit float64        // what the viewer's own line carries, bytes per second; +Inf when not known
	line  *path          // that line, which views of one connection share; nil: nobody else's
}

// below returns the next step down, the same when there is none.
func (w want) below(s step) step {
	for next := s + 1; next < steps; next++ {
		if w.cost[next] > 0 {
			return next
		}
	}
	return s
}

// above returns the next step up, the same when there is none.
func (w want) above(s step) step {
	for next := s - 1; next >= whole; next-- {
		if w.cost[next] > 0 {
			return next
		}
	}
	return s
}

// share divides the room among the viewers: nobody gets a step as long as somebody could have one that is below it.
// Where the room is not enough for all on one step, those who came first have it. Everybody gets the lowest step
// whatever it costs: a viewer gets less, never nothing.
func share(room float64, wants []want) []step {
	got := make([]step, len(wants))
	used := 0.0
	lines := map[*path]float64{} // used of each
	for i, w := range wants {
		for next := w.below(whole); next != got[i]; next = w.below(next) {
			got[i] = next
		}
		used += w.cost[got[i]]
		lines[w.line] += w.cost[got[i]]
	}
	for level := stills - 1; level >= whole; level-- {
		for i, w := range wants {
			next := w.above(got[i])
			more := w.cost[next] - w.cost[got[i]]
			line := w.cost[next]
			if w.line != nil {
				line = lines[w.line] + more
			}
			if next >= level && used+more <= room && line <= w.limit {
				got[i] = next
				used += more
				lines[w.line] += more
			}
		}
	}
	return got
}

// A step down comes when it must, but not more often than this; a step up only after there was room for it so long,
// and the longer the more often one did not last.
type tempo struct{ downEvery, upAfter time.Duration }

// calm is the tempo for people.
func calm() tempo { return tempo{downEvery: 5 * time.Second, upAfter: 15 * time.Second} }

const (
	upMost   = 4               // doublings of upAfter
	upLasts  = time.Minute     // a step up that holds so long was right
	upRoom   = 0.9             // a step up must fit into this part of the room
	askEvery = 1 * time.Second // how often the budget is looked at
)

// ladder is where a viewer stands.
type ladder struct {
	now   step
	moved time.Time // the last step
	up    bool      // it was one up
	vain  int       // steps up in a row that did not last
	roomy time.Time // since when there has been room for more; zero: there is none
}

// move returns the step to be on: fair is what the viewer should have, easy what would also fit with some room to
// spare.
func (l *ladder) move(now time.Time, t tempo, w want, fair, easy step) step {
	if easy >= l.now {
		l.roomy = time.Time{}
	} else if l.roomy.IsZero() {
		l.roomy = now
	}
	if l.up && now.Sub(l.moved) >= upLasts {
		l.vain = 0
	}
	pause := t.upAfter << min(l.vain, upMost)
	switch {
	case w.cost[l.now] == 0, fair > l.now && now.Sub(l.moved) >= t.downEvery:
		if l.up && now.Sub(l.moved) < upLasts {
			l.vain++
		}
		l.now, l.moved, l.up = w.below(l.now), now, false
	case !l.roomy.IsZero() && now.Sub(l.roomy) >= pause && now.Sub(l.moved) >= pause:
		l.now, l.moved, l.up = w.above(l.now), now, true
	}
	return l.now
}

// path is what is known of a viewer's own line, from its reports, from what did not get through and from bursts. It belongs to
// the connection: what one view has learnt, the next one begins with.
type path struct {
	mu     sync.Mutex
	limit  float64       // bytes per second, of all views together; +Inf while nothing speaks against it
	raised time.Time     // when a good report last raised it
	rtt    time.Duration // the shortest; 0: not known
}

// raiseEvery is how often good reports may raise a limit, however many views there are that report.
const raiseEvery = 700 * time.Millisecond

// report takes a view's report over: how its line is by that, and the shortest round trip that it knows of, while rate bytes per
// second were sent to all views.
func (p *path) report(h rtc.Health, loss float64, shortest time.Duration, rate float64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rtt == 0 || shortest > 0 && shortest < p.rtt {
		p.rtt = shortest
	}
	switch {
	case h == rtc.Lossy:
		p.limit = min(p.limit, rate*(1-loss/2))
	case h == rtc.Late:
		p.limit = min(p.limit, rate*0.85)
	case h == rtc.Well && now.Sub(p.raised) >= raiseEvery:
		p.limit, p.raised = max(p.limit*1.05, p.limit+2000), now
	}
}

// squeeze notes that more than rate bytes per second do not get through.
func (p *path) squeeze(rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = min(p.limit, rate)
}

// ease forgets a limit that is far above anything that is wanted.
func (p *path) ease(most float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit > 2*most {
		p.limit = math.Inf(1)
	}
}

// forget begins anew, for another path.
func (p *path) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit, p.rtt = math.Inf(1), 0
}

// known returns the limit and the shortest round trip.
func (p *path) known() (limit float64, rtt time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit, p.rtt
}

// cost is what one stream costs, measured.
type cost struct {
	all   float64 // bytes per second
	keys  float64 // of key frames alone
	every float64 // seconds from key frame to key frame
}

// guess is a stream of which only the rate is known.
func guess(rate float64) cost { return cost{all: rate, keys: rate / 3, every: 2} }

// spaced is the price of key frames with at least so much time between two of them.
func (c cost) spaced(d time.Duration) float64 { return c.keys * c.every / max(c.every, d.Seconds()) }

// shown is the price of key frames so far apart, or of all pictures where that is 0.
func (c cost) shown(apart time.Duration) float64 {
	if apart == 0 {
		return c.all
	}
	return c.spaced(apart)
}

// tally measures a stream's cost from its frames.
type tally struct {
	begun    time.Time
	all      int
	keyBytes int
	keyCount int
}

// tallyFor is how long frames are counted before they count.
const tallyFor = 4 * time.Second

// add counts a frame, and returns a new cost now and then. A stretch ends with a key frame: else a long group of
// pictures would look cheap.
func (t *tally) add(now time.Time, bytes int, key bool) (cost, bool) {
	if t.begun.IsZero() {
		if !key {
			return cost{}, false
		}
		t.begun = now
	}
	took := now.Sub(t.begun)
	if key && took >= tallyFor && t.keyCount > 0 {
		s := took.Seconds()
		c := cost{all: rtc.OnWire * float64(t.all) / s, keys: rtc.OnWire * float64(t.keyBytes) / s, every: s / float64(t.keyCount)}
		*t = tally{begun: now, all: bytes, keyBytes: bytes, keyCount: 1}
		return c, true
	}
	t.all += bytes
	if key {
		t.keyBytes += bytes
		t.keyCount++
	}
	return cost{}, false
}

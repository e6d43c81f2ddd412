package fill

import (
	"cmp"
	"slices"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// State is what filling does at one moment.
type State struct {
	Sources   bool    // some stream has a source besides the agent
	Waiting   int     // gaps that will be offered, or offered again; what is fetched now included
	WaitingUs int64   // that they lack
	Now       *Fetch  // nil while nothing is fetched
	TodayUs   int64   // of footage that came in since midnight, by this machine's clock
	GivenUp   int     // gaps of which no source has more
	Given     []Given // the newest of them, at most 20
}

// Fetch is what is being fetched.
type Fetch struct {
	Stream  id.Stream
	Source  string
	StartUs int64 // of what is wanted, wall time
	EndUs   int64
	Percent int // of it that has come
}

// Given is a gap that stays.
type Given struct {
	Stream  id.Stream
	StartUs int64
	EndUs   int64
	Reason  wire.Reason // of the gap
	Text    string      // what the sources answered
}

const mostGiven = 20

// outlook is what the last look at a stream's gaps found.
type outlook struct {
	waiting   int
	waitingUs int64
	given     []Given
}

// day counts what came in on one day.
type day struct {
	Name   string `json:"name"` // as 2006-01-02, by the machine's clock
	CameUs int64  `json:"came_us"`
}

// State returns what filling does now.
func (f *Filler) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := State{Sources: len(f.cfg.Offers) > 0, Given: []Given{}}
	for _, o := range f.outlooks {
		s.Waiting, s.WaitingUs, s.GivenUp = s.Waiting+o.waiting, s.WaitingUs+o.waitingUs, s.GivenUp+len(o.given)
		s.Given = append(s.Given, o.given...)
	}
	slices.SortFunc(s.Given, func(a, b Given) int { return cmp.Compare(b.StartUs, a.StartUs) })
	s.Given = s.Given[:min(len(s.Given), mostGiven)]
	if f.today.Name == f.dayName() {
		s.TodayUs = f.today.CameUs
	}
	if f.now != nil {
		now := *f.now
		s.Now = &now
	}
	return s
}

func (f *Filler) dayName() string { return time.UnixMicro(f.Clock.Now()).Format(time.DateOnly) }

// came notes that so much footage is committed.
func (f *Filler) came(us int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name := f.dayName(); f.today.Name != name {
		f.today = day{Name: name}
	}
	f.today.CameUs += us
}

// look notes what a stream lacks.
func (f *Filler) look(stream id.Stream, holes []hole) {
	o := outlook{}
	for _, h := range holes {
		if f.over(h.gaps, f.cfg.Offers[stream]) {
			for _, r := range h.runs {
				o.given = append(o.given, Given{stream, r.fromUs, r.toUs, r.reason, f.Answer(h.gaps[0])})
			}
			continue
		}
		o.waiting++
		for _, r := range h.runs {
			o.waitingUs += r.toUs - r.fromUs
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outlooks[stream] = o
}

// over says whether no source has more of some gaps.
func (f *Filler) over(gaps []int64, offers []Offer) bool {
	return !slices.ContainsFunc(offers, func(o Offer) bool { return !f.isFinal(gaps, o.Name) })
}

// progress notes how far a fetch has come; nil ends it.
func (f *Filler) progress(now *Fetch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = now
}

// reached notes that footage up to a moment is here.
func (f *Filler) reached(atUs int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.now; n != nil {
		n.Percent = int(min(max((atUs-n.StartUs)*100/(n.EndUs-n.StartUs), 0), 100))
	}
}

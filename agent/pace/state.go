package pace

import (
	"fmt"
	"strings"
	"time"
)

// State is the budget as people see it.
type State struct {
	Cap     int64        `json:"cap"` // bytes per second in force; 0: none
	Why     Why          `json:"why"`
	Line    Line         `json:"line"`
	Probing bool         `json:"probing"` // the cap is lifted for some seconds, to measure the line
	Classes []ClassState `json:"classes"` // most urgent first
}

// ClassState is one class of State.
type ClassState struct {
	Class    string  `json:"class"`
	Rate     float64 `json:"rate"`      // bytes per second now
	Waiting  int     `json:"waiting"`   // requests that wait for their turn
	Bytes    int     `json:"bytes"`     // of those
	WaitedUs int64   `json:"waited_us"` // since the class was served last, while something waits
	Taken    int64   `json:"taken"`     // since the start
}

// State returns what the budget does at this moment.
func (p *Pace) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	s := State{Cap: p.cap, Why: p.why, Line: p.gauge.line, Probing: p.probe.lifted}
	for c := range classes {
		q := &p.queues[c]
		one := ClassState{
			Class: c.String(), Rate: p.meters[c].rate(now), Waiting: len(q.line), Bytes: q.bytes(), Taken: p.meters[c].total,
		}
		if len(q.line) > 0 {
			one.WaitedUs = now.Sub(q.since).Microseconds()
		}
		s.Classes = append(s.Classes, one)
	}
	return s
}

// String says the state in one line for a person.
func (s State) String() string {
	var b strings.Builder
	sum := 0.0
	var now, waits []string
	for _, c := range s.Classes {
		sum += c.Rate
		if c.Rate >= 1 {
			now = append(now, c.Class+" "+Words(int64(c.Rate)))
		}
		if c.Waiting > 0 {
			waits = append(waits, c.Class)
		}
	}
	fmt.Fprintf(&b, "%s up", Words(int64(sum)))
	if len(now) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(now, ", "))
	}
	fmt.Fprintf(&b, ". %s", s.Why.Text)
	if len(waits) > 0 {
		fmt.Fprintf(&b, " Waiting: %s.", strings.Join(waits, ", "))
	}
	if s.Probing {
		b.WriteString(" For some seconds the cap is lifted, to measure the line.")
	}
	return b.String()
}

// liveShare is the part of the budget that live view plans with: a sixteenth goes to whoever waits, and key frames
// come in bursts.
const liveShare = 0.85

// Room returns how many bytes per second live view may plan with; false when neither a cap nor the line bounds it.
func (p *Pace) Room() (float64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rate := p.gauge.line.Rate
	if p.cap > 0 && (rate == 0 || float64(p.cap) < rate) {
		rate = float64(p.cap)
	}
	return rate * liveShare, rate > 0
}

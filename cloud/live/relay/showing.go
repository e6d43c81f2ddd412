package relay

import (
	"context"
	"sync"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// audience is whoever gets a pull's stream, and hears what the site says of it. Its methods do not block.
type audience interface {
	wake()
	turn()
	step() step
	tell(n rtc.Note)
	// position tells which picture came from the camera when, by this machine's clock.
	position(n rtc.Note, bornUs int64, now time.Time)
	// part ends it, with a last word if there is one.
	part(text string)
}

// showing is what a viewer gets of a camera, on whatever that is shown: from which stream, and how much of it.
type showing struct {
	relay  *Relay
	agent  id.Agent
	id     id.Session
	view   wire.LiveView
	asked  want
	over   chan struct{}
	once   sync.Once
	more   chan struct{} // there is something to send
	turned chan struct{} // there is another step, or another pull to take it from

	mu    sync.Mutex
	line  line
	noSub bool
	last  string // the word to part with
	// What the viewer sees of a moment of the stream, while it is at the live edge.
	anchored bool
	in, out  uint32 // RTP times that belong together

	// Only the goroutine that shows touches these.
	main *pull // the one that was asked for; a share of it is held
	pull *pull // that is shown: main, or the sub-stream's
}

func newShowing(r *Relay, agent id.Agent, view wire.LiveView) showing {
	return showing{
		relay: r, agent: agent, id: view.Session, view: view, asked: wantOf(agent, view), over: make(chan struct{}), more: make(chan struct{}, 1), turned: make(chan struct{}, 1),
	}
}

func (s *showing) end() { s.once.Do(func() { close(s.over) }) }

func (s *showing) part(text string) {
	s.mu.Lock()
	s.last = text
	s.mu.Unlock()
	s.end()
}

// parting is the word to part with.
func (s *showing) parting() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *showing) wake() { nudge(s.more) }

func (s *showing) turn() { nudge(s.turned) }

func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (s *showing) step() step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line.now
}

// can says whether there is a step for the viewer; mu is held.
func (s *showing) can(to step) bool { return to != small || !s.noSub }

func (s *showing) anchor(is bool, in, out uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.anchored, s.in, s.out = is, in, out
}

// placed turns a position at the site into the viewer's; false while there is none.
func (s *showing) placed(n rtc.Note, bornUs int64, now time.Time) (rtc.Note, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n.RTP, n.SentUs, n.AgeUs = s.out+n.RTP-s.in, now.UnixMicro(), max(now.UnixMicro()-bornUs, 0)
	return n, s.anchored
}

// change goes over to the stream of the present step.
func (s *showing) change(ctx context.Context) {
	s.inherit()
	s.mu.Lock()
	now, can := s.line.now, !s.noSub
	s.mu.Unlock()
	to := s.main
	if now > whole && can {
		if s.pull != s.main {
			return // it is the small stream already
		}
		if to = s.sub(ctx); to == nil {
			s.mu.Lock()
			s.noSub = true
			if s.line.now == small {
				s.line.now = keys
			}
			s.mu.Unlock()
			return
		}
	}
	if s.pull != s.main && s.pull != to {
		s.pull.leave()
	}
	s.pull = to
}

// inherit goes over to the pulls that have taken the place of those that are shown.
func (s *showing) inherit() {
	same := s.pull == s.main
	s.main = s.main.succeeded()
	if same {
		s.pull = s.main
	} else {
		s.pull = s.pull.succeeded()
	}
}

// sub takes a share of the sub-stream, nil when there is none that could stand in.
func (s *showing) sub(ctx context.Context) *pull {
	main := s.main.answer()
	if main.Stream == id.Sub || s.view.FromUs > 0 { // a recording's steps are the site's
		return nil
	}
	view := s.view
	view.Stream, view.Width = id.Sub, 0
	p, err := s.relay.take(ctx, s.agent, view)
	if err != nil {
		return nil
	}
	got := p.answer()
	is, _ := codecOf(got.Codec)
	if was, _ := codecOf(main.Codec); got.Stream != id.Sub || is != was && !s.view.Film {
		p.leave()
		return nil
	}
	return p
}

// lost ends a showing whose pull has ended; or has it go on with the stream that was asked for.
func (s *showing) lost() {
	if s.pull == s.main {
		s.part("The site has ended the view. Open it again.")
		return
	}
	s.mu.Lock()
	s.noSub = true
	s.mu.Unlock()
	s.pull.leave()
	s.pull = s.main
}

// leave gives all shares back.
func (s *showing) leave() {
	if s.pull != s.main {
		s.pull.leave()
	}
	s.main.leave()
}

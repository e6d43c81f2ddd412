package relay

import (
	"context"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// A newcomer is brought to the live edge in a burst: at the pace, and with the time for its first picture, that an agent
// gives to one.
const (
	burstBytes = 32 << 10
	burstPause = 3 * time.Millisecond
	firstAlone = 60 * time.Millisecond
	videoClock = 90_000
	// mendEvery bounds how often a viewer that has lost the picture is sent the group of pictures again.
	mendEvery  = 2 * time.Second
	stillEvery = 10 * time.Second
)

// leg shows one camera on a slot of a viewer's connection.
type leg struct {
	viewer *viewer
	slot   *slot
	id     id.Session
	view   wire.LiveView
	over   chan struct{}
	once   sync.Once
	more   chan struct{} // there is something to send
	turned chan struct{} // there is another step

	mu    sync.Mutex
	line  line
	noSub bool
	last  string // the word to part with
	// What the viewer sees of a moment of the stream, while it is at the live edge.
	anchored bool
	in, out  uint32 // RTP times that belong together

	// Only run's goroutine touches these.
	main *pull // the one that was asked for; a share of it is held
	pull *pull // that is shown: main, or the sub-stream's
}

func newLeg(v *viewer, s *slot, view wire.LiveView, p *pull) *leg {
	return &leg{
		viewer: v, slot: s, id: view.Session, view: view, main: p, pull: p, over: make(chan struct{}), more: make(chan struct{}, 1),
		turned: make(chan struct{}, 1),
	}
}

func (l *leg) end() { l.once.Do(func() { close(l.over) }) }

// part ends the leg with a word to its viewer.
func (l *leg) part(text string) {
	l.mu.Lock()
	l.last = text
	l.mu.Unlock()
	l.end()
}

func (l *leg) wake() { nudge(l.more) }

func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (l *leg) tell(n rtc.Note) { l.slot.Control.Tell(n) }

func (l *leg) step() step {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.line.now
}

// heard takes the viewer's report about its pictures.
func (l *leg) heard(r rtcp.ReceptionReport, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line.report(r, now, func(s step) bool { return s != small || !l.noSub }) {
		nudge(l.turned)
	}
}

// position tells the viewer which picture came from the camera when, by this machine's clock.
func (l *leg) position(n rtc.Note, bornUs int64, now time.Time) {
	l.mu.Lock()
	anchored, in, out := l.anchored, l.in, l.out
	l.mu.Unlock()
	if !anchored {
		return
	}
	n.RTP, n.SentUs, n.AgeUs = out+n.RTP-in, now.UnixMicro(), max(now.UnixMicro()-bornUs, 0)
	l.tell(n)
}

// run blocks for the life of the leg.
func (l *leg) run(ctx context.Context) {
	defer l.end()
	defer func() { l.main.leave() }()
	ctx, cancel := within(ctx, l.over, l.viewer.over)
	defer cancel()
	for _, ready := range []<-chan struct{}{l.viewer.Connected(), l.slot.Video.Bound()} {
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
	}
	leave, err := l.slot.Enter(ctx)
	if err != nil {
		return
	}
	defer leave()
	for ctx.Err() == nil {
		l.follow(ctx)
		if ctx.Err() == nil {
			l.change(ctx)
		}
	}
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	if last != "" {
		l.slot.Control.Part(context.WithoutCancel(ctx), rtc.Note{Type: "end", Text: last})
	}
	if l.pull != l.main {
		l.pull.leave()
	}
}

// change goes over to the stream of the present step.
func (l *leg) change(ctx context.Context) {
	l.mu.Lock()
	now, can := l.line.now, !l.noSub
	l.mu.Unlock()
	to := l.main
	if now > whole && can {
		if l.pull != l.main {
			return // it is the small stream already
		}
		if to = l.sub(ctx); to == nil {
			l.mu.Lock()
			l.noSub = true
			if l.line.now == small {
				l.line.now = keys
			}
			l.mu.Unlock()
			return
		}
	}
	if l.pull != l.main && l.pull != to {
		l.pull.leave()
	}
	l.pull = to
}

// sub takes a share of the sub-stream, nil when there is none that could stand in.
func (l *leg) sub(ctx context.Context) *pull {
	main := l.main.answer()
	if main.Stream == id.Sub {
		return nil
	}
	view := l.view
	view.Stream, view.Width = id.Sub, 0
	p, err := l.viewer.relay.take(ctx, l.viewer.agent, view)
	if err != nil {
		return nil
	}
	got := p.answer()
	is, _ := codecOf(got.Codec)
	if was, _ := codecOf(main.Codec); got.Stream != id.Sub || is != was {
		p.leave()
		return nil
	}
	return p
}

// lost ends a leg whose pull has ended; or has it go on with the stream that was asked for.
func (l *leg) lost() {
	if l.pull == l.main {
		l.part("The site has ended the view. Open it again.")
		return
	}
	l.mu.Lock()
	l.noSub = true
	l.mu.Unlock()
	l.pull.leave()
	l.pull = l.main
}

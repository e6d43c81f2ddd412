package relay

import (
	"context"
	"time"

	"github.com/pion/rtcp"

	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

const (
	videoClock = 90_000
	// mendEvery bounds how often a viewer that has lost the picture is sent the group of pictures again.
	mendEvery  = 2 * time.Second
	stillEvery = 10 * time.Second
)

// leg shows one camera on a slot of a viewer's connection.
type leg struct {
	showing
	viewer *viewer
	slot   *slot
}

func newLeg(v *viewer, s *slot, view wire.LiveView, p *pull) *leg {
	l := &leg{showing: newShowing(v.relay, v.agent, view), viewer: v, slot: s}
	l.main, l.pull = p, p
	return l
}

func (l *leg) tell(n rtc.Note) { l.slot.Control.Tell(n) }

// heard takes the viewer's report about its pictures.
func (l *leg) heard(r rtcp.ReceptionReport, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line.report(r, now, l.can) {
		l.turn()
	}
}

func (l *leg) position(n rtc.Note, bornUs int64, now time.Time) {
	if n, ok := l.placed(n, bornUs, now); ok {
		l.tell(n)
	}
}

// run blocks for the life of the leg.
func (l *leg) run(ctx context.Context) {
	defer l.end()
	defer l.leave()
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
	if last := l.parting(); last != "" {
		l.slot.Control.Part(context.WithoutCancel(ctx), rtc.Note{Type: "end", Text: last})
	}
}

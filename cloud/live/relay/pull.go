package relay

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// pull is one stream that is taken from a site, for all who watch it.
type pull struct {
	relay *Relay
	want  want
	log   *slog.Logger
	ready chan struct{} // closed when the agent has answered, or not

	mu      sync.Mutex
	err     error // why there is nothing; for those who wait for ready
	twin    *pull // that brings the same stream already; for those who wait for ready
	got     wire.LiveAnswer
	others  map[want]wire.LiveAnswer // to those who wanted something else
	shares  int                      // legs, and requests that will be legs
	idle    time.Time                // since when there are none
	over    bool                     // nobody takes a share any more
	ended   string                   // the agent's last word, when it ended the view by itself
	legs    map[audience]bool
	heir    *pull // that brings the same and more, and takes its place
	pieces  []piece
	first   uint64 // number of pieces[0]
	frame   uint64 // of the first piece of the newest frame
	key     uint64 // of the first piece of the newest key frame, if hasKey
	hasKey  bool
	spoilt  bool // the beginning of the newest frame is lost
	long    bool // the newest group is: newcomers wait for the next key frame
	bytes   int  // since the key frame
	fresh   bool // the next piece begins a stretch
	begged  time.Time
	clock   offset
	state   string
	note    rtc.Note   // what the agent says of how much it sends
	seat    *seat      // where it comes in; nil while it does not
	session id.Session // at the agent
}

// take returns the pull for a view, and books a share of it that leave gives back. It waits for the agent's answer.
func (r *Relay) take(ctx context.Context, agent id.Agent, view wire.LiveView) (*pull, error) {
	w := wantOf(agent, view)
	for {
		p, err := r.share(w)
		if err != nil {
			return nil, err
		}
		select {
		case <-p.ready:
		case <-ctx.Done():
			p.leave()
			return nil, ctx.Err()
		}
		p.mu.Lock()
		err, twin := p.err, p.twin
		p.mu.Unlock()
		if err == nil && twin == nil {
			return p, nil
		}
		p.leave()
		if err != nil {
			return nil, err
		}
		if twin.share() {
			return twin, nil
		}
	}
}

// share books a share of the pull for what is wanted, and makes one if there is none.
func (r *Relay) share(w want) (*pull, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.pulls[w]; p != nil && p.share() {
		return p, nil
	}
	if r.spawn == nil {
		return nil, errClosed()
	}
	p := &pull{relay: r, want: w, log: r.log.With("camera", w.camera), ready: make(chan struct{}), legs: map[audience]bool{}, others: map[want]wire.LiveAnswer{}, shares: 1}
	r.pulls[w] = p
	r.spawn(p.run)
	return p, nil
}

// forget takes a pull out.
func (r *Relay) forget(p *pull) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.pulls, func(_ want, other *pull) bool { return other == p })
	maps.DeleteFunc(r.streams, func(_ source, other *pull) bool { return other == p })
}

// share books a share, unless the pull is on its way out.
func (p *pull) share() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.shares++
	}
	return !p.over
}

// leave gives a share back.
func (p *pull) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares--
	p.idle = time.Now()
}

// at is the pull's session at the agent.
func (p *pull) at() id.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session
}

func (p *pull) answer() wire.LiveAnswer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got
}

// run brings the stream here until nobody wants it any more.
func (p *pull) run(ctx context.Context) {
	defer p.gone()
	retry := backoff.New(backoff.Policy{Min: time.Second, Cap: 15 * time.Second})
	for tries := 0; ; tries++ {
		lost, err := p.begin(ctx)
		if err == nil {
			if tries > 0 {
				p.say("")
			}
			begun := time.Now()
			p.watch(ctx, lost)
			if p.finish() || p.want.alone != "" { // where a recording goes on, its viewer alone knows
				return
			}
			if time.Since(begun) > time.Minute {
				retry.Reset()
			}
			err = wire.Fail(wire.FailedGone, "The site's line was cut.")
		}
		if tries == 0 && !p.known() {
			p.fail(err)
			return
		}
		p.say(words(err) + " It is tried again.")
		if retry.Wait(ctx, 0) != nil || p.done() {
			return
		}
	}
}

// begin asks the agent for the stream; the channel is closed when what brings it has ended.
func (p *pull) begin(ctx context.Context) (lost <-chan struct{}, err error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	seat, err := p.relay.seat(ctx, p.want.agent)
	if err != nil {
		return nil, err
	}
	order := p.want.order()
	order.Connection, order.Slot = seat.link.id, seat.index
	p.mu.Lock()
	p.seat, p.session, p.fresh, p.hasKey, p.long, p.clock = seat, order.Session, true, false, false, offset{}
	if p.note != (rtc.Note{}) { // of the line before
		p.note = rtc.Note{}
		for l := range p.legs {
			l.tell(p.noting(l.step()))
		}
	}
	p.mu.Unlock()
	seat.pull.Store(p) // the first picture may come before the answer
	var got wire.LiveAnswer
	err = p.relay.deps.Ask(ctx, p.want.agent, wire.CmdLiveView, order, &got)
	if err == nil {
		err = seat.link.there(ctx)
	}
	if err != nil {
		p.finish()
		return nil, err
	}
	if p.known() {
		p.mu.Lock()
		p.got = got
		p.mu.Unlock()
		p.relay.renew(p)
		return seat.link.over, nil
	}
	twin := p.relay.claim(p, got)
	p.mu.Lock()
	p.got, p.twin, p.over = got, twin, twin != nil
	p.mu.Unlock()
	close(p.ready)
	return seat.link.over, nil
}

// known says whether the agent has shown the stream before.
func (p *pull) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got.Stream != ""
}

// fail ends a pull that never came about.
func (p *pull) fail(err error) {
	p.mu.Lock()
	p.err, p.over = err, true
	p.mu.Unlock()
	close(p.ready)
}

// watch waits until nobody wants the stream, the agent ends it, or what brings it is lost.
func (p *pull) watch(ctx context.Context, lost <-chan struct{}) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for n := 0; !p.done(); n++ {
		if n%askTime == 0 {
			p.ask(rtc.Op{Type: "ping", AtUs: time.Now().UnixMicro()})
		}
		select {
		case <-ctx.Done():
			return
		case <-lost:
			return
		case <-look.C:
			p.mu.Lock()
			p.beg()
			p.mu.Unlock()
		}
	}
}

// done says whether the pull is over, by now because nobody has wanted it for long.
func (p *pull) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = p.over || p.shares == 0 && (time.Since(p.idle) > p.relay.cfg.Linger || p.heir != nil || p.want.alone != "")
	return p.over
}

const (
	askFor  = 15 * time.Second // an agent has so long to answer
	askTime = 5                // seconds between two questions for its clock
)

// finish gives the seat back, and says whether the pull is over.
func (p *pull) finish() bool {
	p.mu.Lock()
	seat, session, over := p.seat, p.session, p.over
	p.seat = nil
	p.mu.Unlock()
	if seat != nil {
		seat.free(p, session)
	}
	return over
}

// gone takes the pull out of the relay, and ends those who still have a share of it.
func (p *pull) gone() {
	p.finish()
	p.relay.forget(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for l := range p.legs {
		l.part(p.ended)
	}
}

// ask says something to the agent.
func (p *pull) ask(o rtc.Op) {
	p.mu.Lock()
	seat := p.seat
	p.mu.Unlock()
	if seat != nil {
		seat.say(o)
	}
}

// noted is what a viewer on a step is told of how much it gets.
func (p *pull) noted(now step) rtc.Note {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.noting(now)
}

// noting is noted; mu is held.
func (p *pull) noting(now step) rtc.Note {
	return rtc.Note{Type: "note", Text: joined(now.said(), p.note.Text), Every: max(now.apart().Microseconds(), p.note.Every)}
}

// join has a leg woken up when there is something to send, and tells it how things are.
func (p *pull) join(l audience) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	p.legs[l] = true
	if p.heir != nil {
		l.turn()
	}
	if p.state != "" {
		l.tell(rtc.Note{Type: "state", Text: p.state})
	}
	if n := p.noting(l.step()); n.Text != "" {
		l.tell(n)
	}
	return true
}

func (p *pull) quitting(l audience) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.legs, l)
}

// say tells all legs why there is no picture; empty when there is one again.
func (p *pull) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = text
	for l := range p.legs {
		l.tell(rtc.Note{Type: "state", Text: text})
	}
}

// hear takes the agent's word and passes on what concerns the viewers.
func (p *pull) hear(n rtc.Note) {
	if p.want.alone != "" && n.Type != "pong" {
		p.pass(n)
		return
	}
	if n.Type == "position" {
		p.position(n, time.Now())
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n.Type {
	case "pong":
		p.clock.hear(n, time.Now())
	case "state":
		p.state = n.Text
		for l := range p.legs {
			l.tell(n)
		}
	case "note":
		p.note = n
		for l := range p.legs {
			l.tell(p.noting(l.step()))
		}
	case "end":
		p.ended = n.Text
		if n.Text == "" {
			p.ended = "The site has ended the view."
		}
		p.over = true
	}
}

// pass passes on what the agent says of a recording.
func (p *pull) pass(n rtc.Note) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n.Type == "note" {
		p.note = n // for whoever joins later
	}
	for l := range p.legs {
		l.tell(n)
	}
}

// position tells every viewer how old a picture is. It comes every second: the pictures do not wait for it.
func (p *pull) position(n rtc.Note, now time.Time) {
	p.mu.Lock()
	born, ok := p.clock.here(n.SentUs - n.AgeUs)
	legs := slices.Collect(maps.Keys(p.legs))
	p.mu.Unlock()
	if !ok || n.SentUs <= 0 {
		return
	}
	for _, l := range legs {
		l.position(n, born, now)
	}
}

func joined(a, b string) string {
	if a != "" && b != "" {
		return a + " " + b
	}
	return a + b
}

package relay

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"

	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// want names what may share a pull: whoever wants the same of the same camera.
type want struct {
	agent  id.Agent
	camera id.Camera
	stream id.StreamKind // empty: by the width
	narrow bool
	h265   bool
}

// narrowWidth is the widest tile, in device pixels, that counts as narrow: such share a stream.
const narrowWidth = 800

func wantOf(agent id.Agent, view wire.LiveView) want {
	w := want{agent: agent, camera: view.Camera, stream: view.Stream, h265: slices.Contains(view.Codecs, "h265")}
	w.narrow = view.Stream == "" && view.Width > 0 && view.Width <= narrowWidth
	return w
}

// order is what the agent is asked for.
func (w want) order() wire.LiveView {
	view := wire.LiveView{Session: id.New[id.Session](), Camera: w.camera, Stream: w.stream, Codecs: []string{"h264"}}
	if w.h265 {
		view.Codecs = append(view.Codecs, "h265")
	}
	if w.narrow {
		view.Width = narrowWidth
	}
	return view
}

// piece is one RTP packet of a pull, in order.
type piece struct {
	payload []byte
	codec   mp4.Codec
	stamp   uint32 // RTP time
	end     bool   // of a frame: the marker
	torn    bool   // something before it is lost for good
	key     bool   // the frame that it is the first one of is a key frame
	fresh   bool   // the first one of a stretch whose RTP time has nothing to do with that before
	came    time.Time
}

// Bounds of what is kept of a stream: the newest group of pictures, for newcomers, and what the slowest leg may still
// have to send of the one before.
const (
	groupMost = 16 << 20 // bytes; of a longer group newcomers get nothing before the next key frame
	behind    = 512      // packets
)

// pull is one stream that is taken from a site, for all who watch it.
type pull struct {
	relay *Relay
	want  want
	log   *slog.Logger
	ready chan struct{} // closed when the agent has answered, or not

	mu      sync.Mutex
	err     error // why there is nothing; for those who wait for ready
	got     wire.LiveAnswer
	shares  int       // legs, and requests that will be legs
	idle    time.Time // since when there are none
	over    bool      // nobody takes a share any more
	ended   string    // the agent's last word, when it ended the view by itself
	legs    map[*leg]bool
	pieces  []piece
	first   uint64 // number of pieces[0]
	frame   uint64 // of the first piece of the newest frame
	key     uint64 // of the first piece of the newest key frame, if hasKey
	hasKey  bool
	spoilt  bool // the beginning of the newest frame is lost
	bytes   int  // since the key frame
	fresh   bool // the next piece begins a stretch
	begged  time.Time
	clock   offset
	state   string
	note    string
	seat    *seat      // where it comes in; nil while it does not
	session id.Session // at the agent
}

// take returns the pull for a view, and books a share of it that leave gives back. It waits for the agent's answer.
func (r *Relay) take(ctx context.Context, agent id.Agent, view wire.LiveView) (*pull, error) {
	w := wantOf(agent, view)
	r.mu.Lock()
	p := r.pulls[w]
	if p == nil || !p.share() {
		p = &pull{
			relay: r, want: w, log: r.log.With("camera", w.camera), ready: make(chan struct{}), legs: map[*leg]bool{}, shares: 1,
		}
		if !r.begin(p.run) {
			r.mu.Unlock()
			return nil, errClosed()
		}
		r.pulls[w] = p
	}
	r.mu.Unlock()
	select {
	case <-p.ready:
	case <-ctx.Done():
		p.leave()
		return nil, ctx.Err()
	}
	p.mu.Lock()
	err := p.err
	p.mu.Unlock()
	if err != nil {
		p.leave()
		return nil, err
	}
	return p, nil
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

// unused says whether nobody has wanted the pull for so long, and if so lets nobody have it any more.
func (p *pull) unused(linger time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = p.over || p.shares == 0 && (p.err != nil || time.Since(p.idle) > linger)
	return p.over
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
			if p.finish() {
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
		if retry.Wait(ctx, 0) != nil || p.unused(p.relay.cfg.Linger) {
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
	p.seat, p.session, p.fresh, p.hasKey, p.clock = seat, order.Session, true, false, offset{}
	p.mu.Unlock()
	seat.pull.Store(p) // the first picture may come before the answer
	var got wire.LiveAnswer
	if err := p.relay.deps.Ask(ctx, p.want.agent, wire.CmdLiveView, order, &got); err != nil {
		p.finish()
		return nil, err
	}
	p.mu.Lock()
	known := p.got.Stream != ""
	p.got = got
	p.mu.Unlock()
	if !known {
		close(p.ready)
	}
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
	for n := 0; ; n++ {
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
			ended := p.ended != ""
			p.beg()
			p.mu.Unlock()
			if ended || p.unused(p.relay.cfg.Linger) {
				return
			}
		}
	}
}

const (
	askFor  = 15 * time.Second // an agent has so long to answer
	askTime = 5                // seconds between two questions for its clock
)

// finish gives the seat back, and says whether the pull is over.
func (p *pull) finish() bool {
	p.mu.Lock()
	seat, session := p.seat, p.session
	p.seat = nil
	over := p.over || p.ended != ""
	p.over = over
	p.mu.Unlock()
	if seat != nil {
		seat.free(p, session)
	}
	return over
}

// gone takes the pull out of the relay, and ends those who still have a share of it.
func (p *pull) gone() {
	p.finish()
	p.relay.mu.Lock()
	if p.relay.pulls[p.want] == p {
		delete(p.relay.pulls, p.want)
	}
	p.relay.mu.Unlock()
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

// put takes a packet of the site, in order.
func (p *pull) put(pkt *rtp.Packet, codec mp4.Codec, torn bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := piece{payload: pkt.Payload, codec: codec, stamp: pkt.Timestamp, end: pkt.Marker, torn: torn, fresh: p.fresh, came: time.Now()}
	at := p.first + uint64(len(p.pieces))
	if codec.IsVideo() {
		p.fresh = false
		p.place(&one, at)
	}
	p.pieces = append(p.pieces, one)
	if p.bytes += len(one.payload); p.bytes > groupMost {
		p.hasKey = false
		p.trim()
	}
	if one.end || !codec.IsVideo() || at%8 == 0 {
		for l := range p.legs {
			l.wake()
		}
	}
}

// place finds out whether a piece of a picture, which will have number at, begins a frame and whether that is a key frame;
// mu is held.
func (p *pull) place(one *piece, at uint64) {
	if p.frame < p.first || p.frame >= at || one.torn || one.fresh || p.pieces[p.frame-p.first].stamp != one.stamp {
		p.frame, p.spoilt = at, false
	}
	key, opens := isKey(one.codec, one.payload)
	if one.torn {
		p.hasKey, p.spoilt = false, !opens // the beginning of the frame may be lost too
		p.beg()
	}
	if !key || p.spoilt || p.hasKey && p.key == p.frame {
		return
	}
	if p.frame == at {
		one.key = true
	} else {
		p.pieces[p.frame-p.first].key = true
	}
	p.key, p.hasKey, p.bytes = p.frame, true, 0
	p.trim()
}

// trim drops what no newcomer and no leg needs; mu is held.
func (p *pull) trim() {
	end := p.first + uint64(len(p.pieces))
	keep := max(end, behind) - behind
	if p.hasKey {
		keep = min(keep, max(p.key, behind)-behind)
	}
	if keep > p.first {
		p.pieces = slices.Clone(p.pieces[min(keep-p.first, uint64(len(p.pieces))):])
		p.first = keep
	}
}

// beg asks the agent to begin the picture anew when there is no key frame to begin with, but not often, and not when it is
// about to begin anyway; mu is held.
func (p *pull) beg() {
	if p.hasKey || p.seat == nil || p.fresh || time.Since(p.begged) < 2*time.Second {
		return
	}
	p.begged = time.Now()
	p.seat.beg()
}

// newest returns the number of the first piece of the newest key frame; without one it asks the site, and returns that of
// the next piece to come.
func (p *pull) newest() (from uint64, key bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beg()
	if !p.hasKey {
		return p.first + uint64(len(p.pieces)), false
	}
	return p.key, true
}

// noted is what the agent says of the stream.
func (p *pull) noted() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.note
}

// next appends the pieces from a number on to into, and returns the number that follows. lost says that some are no
// longer there: then it begins with the newest.
func (p *pull) next(from uint64, into []piece) (out []piece, to uint64, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := p.first + uint64(len(p.pieces))
	if from < p.first {
		return into, end, true
	}
	n := min(end-from, 64)
	i := from - p.first
	return append(into, p.pieces[i:i+n]...), from + n, false
}

// join has a leg woken up when there is something to send, and tells it how things are.
func (p *pull) join(l *leg) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	p.legs[l] = true
	if p.state != "" {
		l.tell(rtc.Note{Type: "state", Text: p.state})
	}
	l.tell(rtc.Note{Type: "note", Text: joined(l.step().said(), p.note)})
	return true
}

func (p *pull) quitting(l *leg) {
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
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n.Type {
	case "pong":
		p.clock.hear(n, now)
	case "position":
		if born, ok := p.clock.here(n.SentUs - n.AgeUs); ok && n.SentUs > 0 {
			for l := range p.legs {
				l.position(n, born, now)
			}
		}
	case "state":
		p.state = n.Text
		for l := range p.legs {
			l.tell(n)
		}
	case "note":
		p.note = n.Text
		for l := range p.legs {
			l.tell(rtc.Note{Type: "note", Text: joined(l.step().said(), n.Text)})
		}
	case "end":
		p.ended = n.Text
		if n.Text == "" {
			p.ended = "The site has ended the view."
		}
		p.over = true
	}
}

func joined(a, b string) string {
	if a != "" && b != "" {
		return a + " " + b
	}
	return a + b
}

// offset is how far the agent's clock is ahead of this one, by the quickest of the latest answers.
type offset struct {
	known []answered
}

type answered struct{ tripUs, aheadUs int64 }

const answersKept = 8

func (o *offset) hear(n rtc.Note, now time.Time) {
	trip := now.UnixMicro() - n.AtUs
	if trip < 0 || trip > time.Minute.Microseconds() {
		return
	}
	o.known = append(o.known, answered{trip, n.SentUs - (now.UnixMicro() - trip/2)})
	if len(o.known) > answersKept {
		o.known = o.known[1:]
	}
}

// here turns a moment of the agent's clock into one of this machine's.
func (o *offset) here(us int64) (int64, bool) {
	if len(o.known) == 0 {
		return 0, false
	}
	best := slices.MinFunc(o.known, func(a, b answered) int { return int(a.tripUs - b.tripUs) })
	return us - best.aheadUs, true
}

package live

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// costs are what streams cost, as the sessions that show them have measured it.
type costs struct {
	mu sync.Mutex
	by map[id.Stream]cost
}

func (c *costs) of(s id.Stream) (cost, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, known := c.by[s]
	return one, known
}

func (c *costs) set(s id.Stream, one cost) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[s] = one
}

// view is what the room and a session know of what its viewer can get. The room moves it, the session follows.
type view struct {
	number uint64        // in the order in which viewers came
	turned chan struct{} // there is another step

	mu     sync.Mutex
	shows  bool // the viewer sees something
	ladder ladder
	line   rtc.Reports
	noSub  bool          // the sub-stream can't stand in
	times  float64       // as fast as life: 1 at the live edge
	apart  time.Duration // key frames alone, so far apart in the recording; 0: all pictures
	sent   int64         // bytes of pictures at the last report
	at     time.Time
	waited int64   // nanoseconds that frames had waited for the budget and the line at the last look
	waits  float64 // the part of the time that they wait, of late
	lagged time.Time
}

// now returns the step that the viewer is on.
func (v *view) now() step {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ladder.now
}

// change does something under the lock.
func (v *view) change(do func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	do()
}

// heard takes over a viewer's report about one of its streams.
func (s *session) heard(r rtcp.ReceptionReport) {
	now, sent, w := time.Now(), s.Video.Sent(), s.room.want(s, nil)
	others, _ := s.room.others(s, nil)
	s.view.change(func() {
		v := &s.view
		took := now.Sub(v.at).Seconds()
		if !v.at.IsZero() && s.toll.outside.Load() {
			// What is sent again is no part of what the step needs.
			rate := others + min(rtc.OnWire*float64(sent-v.sent)/max(took, 0.1), w.cost[v.ladder.now])
			loss := rtc.Loss(r)
			health := v.line.Judge(loss, rtc.RoundTrip(r, now))
			s.peer.path.report(health, loss, v.line.Shortest(), rate, now)
		}
		v.sent, v.at = sent, now
	})
}

// others is what the other views cost on the steps that they are on, bytes per second: those of a session's own connection, and
// all that ask the budget.
func (r *Room) others(s *session, rates map[id.Stream]float64) (line, all float64) {
	for _, o := range r.viewers() {
		if o == s {
			continue
		}
		c := r.want(o, rates).cost[o.view.now()]
		all += c
		if o.peer == s.peer {
			line += c
		}
	}
	return line, all
}

// balance moves the viewers up and down until ctx ends.
func (r *Room) balance(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			r.weigh(now, nil)
			r.gather(now)
		}
	}
}

// weigh divides the room anew. A viewer that has just come gets its step at once.
func (r *Room) weigh(now time.Time, fresh *session) {
	viewers := r.viewers()
	if len(viewers) == 0 {
		return
	}
	rates := r.rates()
	wants := make([]want, len(viewers))
	most := map[*path]float64{}
	for i, s := range viewers {
		wants[i] = r.want(s, rates)
		most[wants[i].line] += wants[i].cost[whole]
	}
	for line, all := range most {
		line.ease(all)
	}
	room, bounded := r.budget.Room()
	if !bounded {
		room = math.Inf(1)
	}
	fair, easy := share(room, wants), share(room*upRoom, wants)
	for i, s := range viewers {
		v, moved := &s.view, false
		v.change(func() {
			before, waited := v.ladder.now, s.waits.Load()
			v.waits += 0.3 * (min(float64(waited-v.waited)/float64(askEvery), 1) - v.waits)
			v.waited = waited
			if s == fresh {
				v.ladder = ladder{now: fair[i], moved: now}
			} else if fresh == nil {
				v.ladder.move(now, r.tempo, wants[i], fair[i], easy[i])
			}
			moved = v.ladder.now != before
		})
		if !moved {
			continue
		}
		v.turn()
	}
}

// rates are how many bytes per second the streams that are pulled now bring, as far as that is known.
func (r *Room) rates() map[id.Stream]float64 {
	if r.footage.Rates == nil {
		return nil
	}
	return r.footage.Rates()
}

// turn wakes the session up.
func (v *view) turn() {
	select {
	case v.turned <- struct{}{}:
	default:
	}
}

// viewers returns the sessions that ask the budget: the relay's first, then the others, each in the order in which they came.
func (r *Room) viewers() []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*session
	for _, s := range r.sessions {
		s.view.change(func() {
			switch v := &s.view; {
			case v.shows && s.toll.outside.Load():
				out = append(out, s)
			case v.ladder.now > whole: // it has come inside
				v.ladder = ladder{}
				v.turn()
			}
		})
	}
	// What the relay takes is for many: whoever has not gone over to it yet gets what is left.
	slices.SortFunc(out, func(a, b *session) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.view.number, b.view.number))
	})
	return out
}

// rank puts the relay's sessions first.
func (s *session) rank() int {
	if s.peer.relay == wire.RelaySelf {
		return 0
	}
	return 1
}

// want says what a viewer's steps cost.
func (r *Room) want(s *session, rates map[id.Stream]float64) (w want) {
	main := r.costOf(s.pick.stream, rates)
	s.view.change(func() {
		v := &s.view
		sparse := main
		w.cost[whole] = main.shown(v.apart) * v.times
		if sub, ok := s.sub(); ok {
			sparse = r.costOf(sub, rates)
			w.cost[small] = sparse.shown(v.apart) * v.times
		}
		w.cost[keys] = sparse.spaced(max(keysEvery, v.apart)) * v.times
		w.cost[stills] = sparse.spaced(stillEvery) * v.times
	})
	w.line = &s.peer.path
	w.limit, _ = w.line.known()
	return w
}

// costOf is what a stream costs: as measured, else by the rate at which it comes in, else by what is usual.
func (r *Room) costOf(stream id.Stream, rates map[id.Stream]float64) cost {
	c, known := r.costs.of(stream)
	switch {
	case known:
		return c
	case rates[stream] > 0:
		return guess(rtc.OnWire * rates[stream])
	case stream.Kind == id.Sub:
		return guess(512_000 / 8)
	default:
		return guess(4_000_000 / 8)
	}
}

// sub returns the sub-stream that can stand in for the viewer's stream, under the view's lock.
func (s *session) sub() (id.Stream, bool) {
	stream := id.Stream{Camera: s.pick.stream.Camera, Kind: id.Sub}
	if s.view.noSub || s.pick.stream.Kind == id.Sub || s.room.footage.Hub(stream) == nil {
		return id.Stream{}, false
	}
	return stream, true
}

// stream returns the stream to show now.
func (s *session) stream() id.Stream {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	if sub, ok := s.sub(); ok && s.view.ladder.now > whole {
		return sub
	}
	return s.pick.stream
}

// standIn returns the sub-stream that can stand in for the viewer's stream, which it returns where there is none.
func (s *session) standIn() id.Stream {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	if sub, ok := s.sub(); ok {
		return sub
	}
	return s.pick.stream
}

// spare is what the viewer's line and the site's budget carry beside what others cost there, bytes per second: a tenth of that
// at least. +Inf while nothing is known.
func (r *Room) spare(s *session, line, all float64) float64 {
	limit := s.peer.carries()
	spare := max(limit-line, limit/10)
	if room, bounded := r.budget.Room(); bounded {
		spare = min(spare, max(room-all, room/10))
	}
	return spare
}

// withoutSub notes that the sub-stream can't stand in: it is coded in another way, or it is not there.
func (s *session) withoutSub() { s.view.change(func() { s.view.noSub = true }) }

// lagged notes that frames came too late. When it was the budget or the line that they waited for, the step is too dear.
func (s *session) lagged() {
	w, now := s.room.want(s, nil), time.Now()
	others, _ := s.room.others(s, nil)
	s.view.change(func() {
		v := &s.view
		carries, cost := s.peer.carries(), others+w.cost[v.ladder.now]
		// What the step before has left behind is no fault of this one.
		if (v.waits > 0.5 || carries < cost) && now.Sub(v.lagged) >= s.room.tempo.downEvery && now.Sub(v.ladder.moved) >= s.room.tempo.downEvery {
			s.peer.path.squeeze(min(cost*0.85, carries))
			v.lagged = now
		}
	})
}

// said is what a viewer is told on each step.
func (s *session) said(now step) string {
	const why = "The line has no room for more at this moment: "
	switch now {
	case whole:
		return ""
	case small:
		return why + "you see the small stream."
	case keys:
		return why + "you see single pictures, without sound."
	default:
		return why + "you see a picture every ten seconds."
	}
}

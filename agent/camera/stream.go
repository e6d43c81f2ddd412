package camera

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// stream is one stream of a camera, the places that it can be drawn from, and its hub.
type stream struct {
	owner  *Cameras
	id     id.Stream
	taps   []*tap // in the order of the configuration
	always bool   // pulled whether or not somebody watches
	sound  bool
	hub    *media.Hub
	log    *slog.Logger

	mu      sync.Mutex
	active  *session    // whose frames go to the hub
	told    wire.Reason // the reason last said in the hub, empty while frames come
	toldBy  *tap        // whose reason that is
	pulling bool
	since   time.Time // when pulling began, or the last frame came
	fail    failure   // why there are no frames, empty when that is not known yet
	failing bool      // said so on the board
	meter   meter
	floorUs int64 // nothing is placed before it
	floorOf int64 // the run of floorUs
	state   wire.StreamState
	health  vitals

	aheadUntil time.Time     // it is pulled without readers until then
	ahead      chan struct{} // that has changed
}

func newStream(c *Cameras, name id.Stream, sources []Source, always, sound bool) *stream {
	s := &stream{
		owner: c, id: name, always: always, sound: sound, hub: media.NewHub(name),
		log: c.log.With("camera", name.Camera, "stream", name.Kind), ahead: make(chan struct{}, 1),
		state: wire.StreamState{Kind: name.Kind, Record: always, State: wire.StateUnknown},
	}
	for i, source := range sources {
		s.taps = append(s.taps, s.newTap(i, source))
	}
	return s
}

// run pulls the stream whenever it is wanted, until ctx ends.
func (s *stream) run(ctx context.Context) error {
	// Not all cameras at once: behind them is often one recorder.
	if err := backoff.Sleep(ctx, rand.N(time.Second)); err != nil {
		return err
	}
	if !s.always {
		s.inquire(ctx)
	}
	for {
		if err := s.wanted(ctx); err != nil {
			return err
		}
		if err := s.pull(ctx); err != nil {
			return err
		}
	}
}

// wanted returns when the stream is to be pulled.
func (s *stream) wanted(ctx context.Context) error {
	for {
		off, switched := s.owner.off(s.id.Camera)
		readers, attached := s.hub.Readers()
		early, _ := s.early()
		switch {
		case off:
			s.rest(wire.Disabled, "Recording of this camera is switched off in the portal.")
		case s.always || readers > 0 || early > 0:
			s.mu.Lock()
			if !s.pulling {
				s.pulling, s.since, s.fail = true, time.Now(), failure{}
			}
			if s.told == wire.Disabled {
				s.tell(wire.Connecting, "")
			}
			s.mu.Unlock()
			return nil
		default:
			s.rest(wire.Connecting, "This stream is fetched from the camera when somebody watches it.")
		}
		select {
		case <-switched:
		case <-attached:
		case <-s.ahead:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unwanted returns when the stream is no longer to be pulled, or ctx ends.
func (s *stream) unwanted(ctx context.Context) {
	var idle time.Time // since when nobody reads it
	for {
		off, switched := s.owner.off(s.id.Camera)
		if off {
			return
		}
		readers, attached := s.hub.Readers()
		changed := s.owner.budget.changes(s.taps[0].source.device())
		early, gives := s.early()
		var over <-chan time.Time
		switch {
		case s.always || readers > 0:
			idle = time.Time{}
		case gives:
			return
		default:
			if idle.IsZero() {
				idle = time.Now()
			}
			over = time.After(max(time.Until(idle.Add(s.owner.cfg.Linger)), early))
		}
		select {
		case <-over:
			return
		case <-switched:
		case <-attached:
		case <-s.ahead:
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// inquire asks for the stream's description once, so that its codec is known before anybody watches it.
func (s *stream) inquire(ctx context.Context) {
	p := &proof{} // its trouble is nobody's yet
	a := &attempt{tap: s.taps[0], session: newSession(s, s.taps[0]), began: time.Now()}
	a.session.ask, a.session.proof = true, p
	if a.err = s.attempt(ctx, a); a.err == nil || ctx.Err() != nil {
		return
	}
	f := s.conclude(a)
	s.log.Info("the stream's description could not be read", "reason", f.reason, "error", a.err)
}

// down tells readers and people that there are no frames, and why: t is whose trouble it is. The word of the
// source that was in use when the frames stopped holds, and later that of the preferred one: what ails the others
// comes and goes with every try.
func (s *stream) down(t *tap, f failure, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told != "" && s.told != wire.Connecting && s.toldBy != nil && s.toldBy != t && t.rank > 0 {
		return
	}
	if s.fail.text != f.text {
		s.log.Warn("no frames from the camera", "source", t.String(), "reason", f.reason, "text", f.text, "error", err)
	}
	s.fail, s.toldBy = f, t
	s.tell(f.reason, f.text)
}

// tell says a new reason in the hub; the same one again would only cut one gap into many. The caller holds the
// lock, so that frames and breaks keep their order.
func (s *stream) tell(reason wire.Reason, text string) {
	if s.told == reason {
		return
	}
	s.told = reason
	s.hub.Down(media.Break{Reason: reason, Text: text, MonoUs: s.owner.clock.Mono()})
}

// rest marks the stream as not pulled, on purpose.
func (s *stream) rest(reason wire.Reason, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulling, s.failing, s.fail = false, false, failure{}
	s.active = nil
	s.meter.reset()
	s.state.State, s.state.Reason, s.state.Text = wire.StateUnknown, reason, text
	s.state.FPS, s.state.Kbps = 0, 0
	s.forget()
	s.tell(reason, text)
}

// frame hands a frame of a session on, if that is the one whose frames count.
func (s *stream) frame(p *session, f media.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active != p && !s.takeOver(p, &f) {
		return
	}
	if f.Params.Run != s.floorOf {
		s.floorOf = f.Params.Run
	} else if f.MonoUs < s.floorUs && f.Track == 0 {
		return // the source before has come further
	}
	if f.Track == 0 {
		s.floorUs = f.MonoUs + 1
	}
	s.hub.Write(f)
	s.told, s.toldBy = "", nil
	s.meter.add(f.Track == 0, f.Bytes)
	if f.Track == 0 {
		now := time.Now()
		s.since, s.fail = now, failure{}
		s.health.still.add(&f, now)
	}
	if f.Key && f.Track == 0 {
		s.health.keys.add(s.since)
		s.describe(f.Params)
	}
}

// floor returns the earliest moment for frames of a new session.
func (s *stream) floor() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.floorOf != s.owner.clock.Run() {
		return 0
	}
	return s.floorUs
}

// describe notes what the stream is made of; the caller holds the lock.
func (s *stream) describe(p *media.Params) {
	v := p.Video()
	s.state.Codec, s.state.Width, s.state.Height, s.state.BFrames = v.MIME(), v.Width, v.Height, p.BFrames
	s.state.Audio = ""
	if a := p.Audio(); a != nil {
		s.state.Audio = a.MIME()
	}
}

func (s *stream) snapshot() wire.StreamState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// silence returns for how long no video frame has come.
func (s *stream) silence() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.since)
}

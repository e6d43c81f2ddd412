package camera

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"holdfast/agent/health"
	"holdfast/agent/media"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// stream is one source and its hub.
type stream struct {
	owner  *Cameras
	id     id.Stream
	source Source
	always bool // pulled whether or not somebody watches
	sound  bool
	hub    *media.Hub
	log    *slog.Logger
	dial   dialer

	// Only run's goroutine, or the session that it waits for, touches these.
	digest  bool // the device has asked for digest authentication before
	known   sets // parameter sets of the last session
	bframes bool
	floorUs int64
	floorOf int64 // the run of floorUs

	mu      sync.Mutex
	told    wire.Reason // the reason last said in the hub, empty while frames come
	pulling bool
	since   time.Time // when pulling began, or the last frame came
	fail    failure   // why there are no frames, empty when that is not known yet
	failing bool      // said so on the board
	meter   meter
	state   wire.StreamState
}

func newStream(c *Cameras, name id.Stream, source Source, always, sound bool) *stream {
	return &stream{
		owner: c, id: name, source: source, always: always, sound: sound, hub: media.NewHub(name),
		log:   c.log.With("camera", name.Camera, "stream", name.Kind),
		dial:  dialer{host: source.address.Hostname(), networks: c.cfg.Networks},
		state: wire.StreamState{Kind: name.Kind, Record: always, State: wire.StateUnknown},
	}
}

// run pulls the stream whenever it is wanted, until ctx ends.
func (s *stream) run(ctx context.Context) error {
	// Not all cameras at once: behind them is often one recorder.
	if err := wait(ctx, rand.N(time.Second)); err != nil {
		return err
	}
	if !s.always {
		s.learn(ctx)
	}
	retry := backoff.New(s.owner.cfg.Retry)
	for {
		if err := s.wanted(ctx); err != nil {
			return err
		}
		refused := func(f failure) { s.down(f, nil) }
		if err := s.owner.gate.await(ctx, s.source.account(), refused); err != nil {
			return err
		}
		began := time.Now()
		err := s.pull(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errUnwanted):
			retry.Reset()
			continue
		}
		if time.Since(began) > 30*time.Second {
			retry.Reset()
			continue // a session that worked: cameras drop one now and then, the next try is at once
		}
		s.mu.Lock()
		floor := s.fail.wait
		s.mu.Unlock()
		if err := retry.Wait(ctx, floor); err != nil {
			return err
		}
	}
}

// wanted returns when the stream is to be pulled.
func (s *stream) wanted(ctx context.Context) error {
	for {
		off, switched := s.owner.off(s.id.Camera)
		readers, attached := s.hub.Readers()
		switch {
		case off:
			s.rest(wire.Disabled, "Recording of this camera is switched off in the portal.")
		case s.always || readers > 0:
			s.mu.Lock()
			if !s.pulling {
				s.pulling, s.since, s.fail = true, time.Now(), failure{}
			}
			again := s.told == wire.Disabled
			s.mu.Unlock()
			if again {
				s.tell(wire.Connecting, "")
			}
			return nil
		default:
			s.rest(wire.Connecting, "This stream is fetched from the camera when somebody watches it.")
		}
		select {
		case <-switched:
		case <-attached:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unwanted returns when the stream is no longer to be pulled, or ctx ends.
func (s *stream) unwanted(ctx context.Context) {
	for {
		off, switched := s.owner.off(s.id.Camera)
		if off {
			return
		}
		readers, attached := s.hub.Readers()
		linger := time.NewTimer(s.owner.cfg.Linger)
		if s.always || readers > 0 {
			linger.Stop()
		}
		select {
		case <-linger.C:
			return
		case <-switched:
		case <-attached:
		case <-ctx.Done():
		}
		linger.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// pull runs one session to its end and says what became of it.
func (s *stream) pull(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	gone := false
	watch.Go(func() {
		s.unwanted(ctx)
		gone = ctx.Err() == nil
		cancel()
	})
	p := newSession(s)
	err := p.run(ctx)
	cancel()
	watch.Wait()
	if gone {
		return errUnwanted
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	s.down(s.ended(p, err), err)
	return err
}

// ended says why a session ended and tells those who wait for the account.
func (s *stream) ended(p *session, err error) failure {
	f := classify(err, s.source, p.setup)
	if f.reason == wire.AuthFailed {
		s.owner.gate.fail(s.source.account(), f)
	}
	return f
}

// learn asks for the stream's description once, so that its codec is known before anybody watches it.
func (s *stream) learn(ctx context.Context) {
	if err := s.owner.gate.await(ctx, s.source.account(), func(failure) {}); err != nil {
		return
	}
	p := newSession(s)
	p.ask = true
	err := p.run(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	f := s.ended(p, err)
	s.log.Info("the stream's description could not be read", "reason", f.reason, "error", err)
}

// down tells readers and people that there are no frames.
func (s *stream) down(f failure, err error) {
	s.mu.Lock()
	same := s.fail.text == f.text
	s.fail = f
	s.mu.Unlock()
	if !same {
		s.log.Warn("no frames from the camera", "reason", f.reason, "text", f.text, "error", err)
	}
	s.tell(f.reason, f.text)
}

// tell says a new reason in the hub; the same one again would only cut one gap into many.
func (s *stream) tell(reason wire.Reason, text string) {
	s.mu.Lock()
	same := s.told == reason
	s.told = reason
	s.mu.Unlock()
	if same {
		return
	}
	s.hub.Down(media.Break{Reason: reason, Text: text, MonoUs: s.owner.clock.Mono()})
}

// rest marks the stream as not pulled, on purpose.
func (s *stream) rest(reason wire.Reason, text string) {
	s.mu.Lock()
	s.pulling, s.failing, s.fail = false, false, failure{}
	s.meter.reset()
	s.state.State, s.state.Reason, s.state.Text = wire.StateUnknown, reason, text
	s.state.FPS, s.state.Kbps = 0, 0
	s.mu.Unlock()
	if s.owner.board != nil {
		s.owner.board.Drop("stream", s.id.Camera, string(s.id.Kind))
	}
	s.tell(reason, text)
}

// frame hands a frame of the present session on.
func (s *stream) frame(f media.Frame) {
	s.floorUs, s.floorOf = f.MonoUs+1, f.Params.Run
	s.hub.Write(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = ""
	s.meter.add(f.Track == 0, f.Bytes)
	if f.Track == 0 {
		s.since, s.fail = time.Now(), failure{}
	}
	if f.Key && f.Track == 0 {
		s.describe(f.Params)
	}
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

// quiet is how long a stream may be without frames before it is called failing: a dropped session that comes
// back at once is a gap, but no alarm.
const quiet = 5 * time.Second

// review measures the stream and sets its condition; it is called once a second.
func (s *stream) review() {
	s.mu.Lock()
	s.state.FPS, s.state.Kbps = s.meter.tick()
	if !s.pulling {
		s.mu.Unlock()
		return
	}
	silent := time.Since(s.since)
	c := health.Condition{Name: "stream", Camera: s.id.Camera, Kind: string(s.id.Kind), State: wire.OK}
	switch {
	case silent < quiet && s.state.FPS > 0:
	case silent < quiet || s.fail.reason == "" && silent < 2*quiet:
		s.mu.Unlock()
		return
	case s.fail.reason != "":
		c.State, c.Reason, c.Text = wire.Failing, s.fail.reason, s.fail.text
	default:
		c.State, c.Reason = wire.Failing, wire.Connecting
		c.Text = fmt.Sprintf("%s has sent no pictures yet. Check its power, its cable and its address.", s.source.address.Host)
	}
	recovered := s.failing && c.State == wire.OK
	s.failing = c.State == wire.Failing
	s.state.State, s.state.Reason, s.state.Text = c.State, c.Reason, c.Text
	s.mu.Unlock()
	if recovered {
		s.log.Info("frames come again")
	}
	if s.owner.board != nil {
		s.owner.board.Set(c)
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

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// meter measures the last five seconds.
type meter struct {
	frames, bytes [5]int
	at, filled    int
	now           [2]int // frames, bytes of the second that runs
}

func (m *meter) reset() { *m = meter{} }

func (m *meter) add(video bool, bytes int) {
	if video {
		m.now[0]++
	}
	m.now[1] += bytes
}

// tick ends a second and returns frames and kilobits a second.
func (m *meter) tick() (fps, kbps float64) {
	m.frames[m.at], m.bytes[m.at] = m.now[0], m.now[1]
	m.at, m.filled, m.now = (m.at+1)%len(m.frames), min(m.filled+1, len(m.frames)), [2]int{}
	frames, bytes := 0, 0
	for i := range m.frames {
		frames += m.frames[i]
		bytes += m.bytes[i]
	}
	return float64(frames) / float64(m.filled), float64(bytes) * 8 / 1000 / float64(m.filled)
}

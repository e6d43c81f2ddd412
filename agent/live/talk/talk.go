// Package talk lets one person at a time speak through a camera's loudspeaker, over a connection of that person's own: it
// is the same whether the pictures come from the site or from the cloud's relay, and watching knows nothing of it.
//
// It owns who speaks where and since when, and the buffer that makes an even stream of what a network brings. It promises
// that a second person is told who speaks, that nobody keeps a loudspeaker who is not heard any more, that what is late is
// left out and makes nothing else late, and that nothing is left of a talk when it ends. It never touches what is recorded,
// and turns no codec into another.
package talk

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// Speaker is the loudspeaker of a camera; the camera room has it.
type Speaker interface {
	// Codec returns what it takes: mp4.PCMU or mp4.PCMA at 8 kHz. An error is a sentence for a person.
	Codec(ctx context.Context) (mp4.Codec, error)
	// Speak plays what voice returns, 160 bytes for every 20 ms, until ctx ends; ready is called once, when the device takes
	// it. Nothing is left of it at the device when it returns; nil after the end of ctx, else a sentence for a person.
	Speak(ctx context.Context, ready func(), voice func() []byte) error
}

// Config bounds a talk; zero values are sound ones.
type Config struct {
	Connect time.Duration // for the network path; 0 means 12 s
	Quiet   time.Duration // without a packet from the browser, which sends silence too: it is gone; 0 means 15 s
	Longest time.Duration // of one talk; 0 means 5 min
}

// Deps are what the room needs of others.
type Deps struct {
	Speaker func(id.Camera) Speaker // nil where the site lets nobody speak
	// Setup returns what a connection is made with that ends with ctx; the error is a *wire.Failure.
	Setup func(ctx context.Context, servers []wire.ICEServer) (rtc.Setup, error)
	Ended func() // told after each talk; may be nil
	Log   *slog.Logger
}

// Room knows who speaks.
type Room struct {
	cfg  Config
	deps Deps

	mu    sync.Mutex
	open  bool // Run runs
	talks map[id.Camera]*talk
	going sync.WaitGroup
}

// New returns the Room; nobody speaks before Run.
func New(cfg Config, deps Deps) *Room {
	if cfg.Connect == 0 {
		cfg.Connect = 12 * time.Second
	}
	if cfg.Quiet == 0 {
		cfg.Quiet = 15 * time.Second
	}
	if cfg.Longest == 0 {
		cfg.Longest = 5 * time.Minute
	}
	return &Room{cfg: cfg, deps: deps, talks: map[id.Camera]*talk{}}
}

// Run lets people speak until ctx ends, and returns when all talks have ended.
func (r *Room) Run(ctx context.Context) {
	r.mu.Lock()
	r.open = true
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.open = false
	for _, t := range r.talks {
		t.end()
	}
	r.mu.Unlock()
	r.going.Wait()
}

// Ask says whether one can speak at a camera, and who does.
func (r *Room) Ask(ctx context.Context, camera id.Camera) wire.TalkState {
	s := r.deps.Speaker(camera)
	if s == nil {
		return wire.TalkState{Text: notHere}
	}
	var out wire.TalkState
	codec, err := s.Codec(ctx)
	if err != nil {
		out.Text = err.Error()
	} else {
		out.Codec = codecWord(codec)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.talks[camera]; t != nil && t.live() {
		out.By, out.ForUs = t.by, time.Since(t.since).Microseconds()
	}
	return out
}

const notHere = "Nobody can speak through this camera: the site's holdfast.yaml does not allow it (talk: true)."

func codecWord(c mp4.Codec) string {
	if c == mp4.PCMA {
		return "pcma"
	}
	return "pcmu"
}

// Offer makes a connection over which a person speaks, and returns the answer once the device listens. The error is a
// *wire.Failure when the person should read it.
func (r *Room) Offer(ctx context.Context, offer wire.TalkOffer) (wire.LiveAnswer, error) {
	s := r.deps.Speaker(offer.Camera)
	if s == nil {
		return wire.LiveAnswer{}, wire.Fail(wire.FailedRefused, notHere)
	}
	t, life, err := r.take(ctx, offer)
	if err != nil {
		return wire.LiveAnswer{}, err
	}
	sdp, err := t.begin(ctx, life, s, offer)
	if err != nil {
		t.end()
		return wire.LiveAnswer{}, err
	}
	return wire.LiveAnswer{SDP: sdp}, nil
}

// farewell is how long somebody waits for a talk that is ending.
const farewell = 3 * time.Second

// take makes a camera's loudspeaker one person's, for the length of life.
func (r *Room) take(ctx context.Context, offer wire.TalkOffer) (t *talk, life context.Context, err error) {
	late := time.NewTimer(farewell)
	defer late.Stop()
	for {
		var before *talk
		if t, life, before, err = r.enter(offer); before == nil || before.live() {
			return t, life, err
		}
		select {
		case <-before.over: // it is only tidied up after
		case <-late.C:
			return nil, nil, err
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// enter notes who speaks, unless somebody else does, who is before.
func (r *Room) enter(offer wire.TalkOffer) (t *talk, life context.Context, before *talk, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = r.talks[offer.Camera]
	switch {
	case !r.open:
		return nil, nil, nil, wire.Fail(wire.FailedBusy, "The site's agent is starting or stopping. Try again in a moment.")
	case offer.Session == "" || r.find(offer.Session) != nil:
		return nil, nil, nil, wire.Fail(wire.FailedRefused, "To speak needs a session of its own.")
	case before != nil:
		return nil, nil, before, wire.Fail(wire.FailedTaken, "%s is speaking.", before.by)
	}
	t, life = newTalk(r, offer)
	r.talks[offer.Camera] = t
	r.going.Go(func() { t.run(life) })
	return t, life, nil, nil
}

// find returns a talk by its session; r.mu is held.
func (r *Room) find(session id.Session) *talk {
	for _, t := range r.talks {
		if t.id == session {
			return t
		}
	}
	return nil
}

// Paths is rtc.Peer.Paths of a talk's connection; mine says whether there is such a talk.
func (r *Room) Paths(ctx context.Context, told wire.LivePaths) (theirs wire.LivePaths, mine bool, err error) {
	r.mu.Lock()
	t := r.find(told.Session)
	r.mu.Unlock()
	if t == nil {
		return wire.LivePaths{}, false, nil
	}
	ear := t.ear.Load()
	if ear == nil {
		return wire.LivePaths{}, true, wire.Fail(wire.FailedGone, "The connection to the site has ended: make a new one.")
	}
	theirs.Session = told.Session
	theirs.Fragment, theirs.Anew, err = ear.Paths(ctx, told.Fragment)
	return theirs, true, err
}

// Close ends a talk; an unknown one is no error.
func (r *Room) Close(session id.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.find(session); t != nil {
		t.end()
	}
}

// Open returns the talks that go on, in any order.
func (r *Room) Open() []id.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []id.Session
	for t := range maps.Values(r.talks) {
		out = append(out, t.id)
	}
	slices.Sort(out)
	return out
}

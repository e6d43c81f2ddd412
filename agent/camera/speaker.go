package camera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

const (
	speakerKnown = 10 * time.Minute // what a device said of its loudspeaker holds for so long
	speakerAgain = time.Minute      // and that it has none, or could not be asked, for so long
	speakerWait  = 4 * time.Second  // for the turn, for leave to use the account, and for a session
)

// What keeps a person from speaking through a device.
var (
	errNoSpeaker    = errors.New("no back channel offered")
	errOtherSpeaker = errors.New("the back channel wants another codec")
	errHungUp       = errors.New("the device ended the session")
	errDeafSpeaker  = errors.New("the device takes no more packets")
)

// Speaker is the loudspeaker of a camera, reached by the back channel of ONVIF (Streaming Specification section 5.3): a
// session of its own, which is there only while somebody speaks and gives way to recording. Its methods may be called at
// any time, from any goroutine.
type Speaker struct {
	owner *Cameras
	cam   id.Camera
	taps  []*tap        // where the camera is reached, in order; the visits change them, one after the other
	turn  chan struct{} // holds one element while somebody asks or speaks

	mu    sync.Mutex
	known hearing
	why   error // of known: there is none
	until time.Time
}

// hearing is how a device takes speech.
type hearing struct {
	tap   *tap
	plain bool // it refuses what ONVIF requires to be said, and offers its loudspeaker without
	codec mp4.Codec
}

func (c *Cameras) newSpeaker(cam id.Camera, sources []Source) *Speaker {
	s := &Speaker{owner: c, cam: cam, turn: make(chan struct{}, 1)}
	for i, source := range sources {
		t := &tap{
			rank: i, source: source, dial: dialer{host: source.address.Hostname(), networks: c.cfg.Networks, lookup: c.lookup},
			name: "login." + string(cam) + "." + source.device(),
		}
		t.digest = c.cfg.Recall != nil && c.cfg.Recall(t.name) == digestKnown
		s.taps = append(s.taps, t)
	}
	return s
}

// Speaker returns the loudspeaker of a camera, nil where the site lets nobody speak.
func (c *Cameras) Speaker(cam id.Camera) *Speaker { return c.speakers[cam] }

// Codec returns what the loudspeaker takes, mp4.PCMU or mp4.PCMA at 8 kHz. The device is asked when that is not known, or
// was learnt long ago. An error is a sentence for a person.
func (s *Speaker) Codec(ctx context.Context) (mp4.Codec, error) {
	if s.owner.Off(s.cam) {
		return 0, switchedOff()
	}
	if v, fresh, err := s.recall(); fresh {
		return v.codec, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	v, err := s.find(ctx)
	return v.codec, err
}

// Speak opens a session with the device and sends it what voice returns, 160 bytes in the loudspeaker's codec for every
// 20 ms, until ctx ends, and 300 ms more, so that no word is cut off. ready is called once, when the device takes sound.
// The session is torn down when Speak returns: nil after the end of ctx, else a sentence for a person.
func (s *Speaker) Speak(ctx context.Context, ready func(), voice func() []byte) error {
	if s.owner.Off(s.cam) {
		return switchedOff()
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	found, err := s.find(ctx)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	if err = s.speak(ctx, found, ready, voice); ctx.Err() != nil {
		return nil
	}
	err = s.inWords(found.tap, err)
	s.keep(hearing{}, err) // whoever tries next asks the device anew
	return err
}

// speak holds a session of the device while it is spoken to.
func (s *Speaker) speak(ctx context.Context, found hearing, ready func(), voice func() []byte) error {
	t := found.tap
	var why failure
	wait, cancel := context.WithTimeout(ctx, speakerWait)
	defer cancel()
	slot, err := s.owner.budget.take(wait, t.source.device(), speaking, t.nth, func(f failure) { why = f })
	if err != nil {
		return &told{failure: why, err: errors.Join(err, ErrBusy)}
	}
	defer slot.release()
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	go s.watch(life, slot, end)
	early := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) }) // before the device takes sound there is nothing to end well
	defer early()
	v := newVisit(s, t, found.plain)
	v.say = func() error {
		if v.codec != found.codec {
			return &told{failure{text: "The camera's loudspeaker has just been set to another codec. Try again."}, nil}
		}
		if err := v.begin(slot); err != nil {
			return err
		}
		if !early() {
			return context.Cause(ctx)
		}
		s.keep(found, nil)
		ready()
		return v.utter(ctx, life, voice)
	}
	err = s.visit(life, v)
	if noSession(err, v.setup.Load()) {
		t.nth = slot.refuse(t.nth)
	} else if err == nil {
		t.nth = 0
	}
	return err
}

// switchedOff says that nobody may speak through a camera that is switched off.
func switchedOff() error {
	return &told{failure: failure{text: wire.SwitchedOff}}
}

// watch ends a session that must give way, or whose camera is switched off.
func (s *Speaker) watch(life context.Context, slot *slot, end context.CancelCauseFunc) {
	for life.Err() == nil {
		off, switched := s.owner.off(s.cam)
		if off {
			end(switchedOff())
			return
		}
		select {
		case <-slot.evicted:
			end(errEvicted)
		case <-switched:
		case <-life.Done():
		}
	}
}

// enter waits for the turn.
func (s *Speaker) enter(ctx context.Context) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, speakerWait)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, &told{failure{text: "The camera's loudspeaker is being used by somebody else. Try again in a moment."}, ErrBusy}
	}
}

func (s *Speaker) recall() (v hearing, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known, time.Now().Before(s.until), s.why
}

// keep notes what was found.
func (s *Speaker) keep(v hearing, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.why, s.until = v, why, time.Now().Add(speakerKnown)
	switch {
	case errors.Is(why, errNoSpeaker), errors.Is(why, errOtherSpeaker):
		s.until = time.Now().Add(speakerAgain)
	case why != nil:
		s.until = time.Time{} // the next one may have more luck
	}
}

// find asks the camera's sources one after the other; whoever calls it has the turn.
func (s *Speaker) find(ctx context.Context) (hearing, error) {
	if v, fresh, err := s.recall(); fresh {
		return v, err
	}
	var why error
	for _, t := range s.taps {
		v, err := s.ask(ctx, t)
		if err == nil {
			s.keep(v, nil)
			return v, nil
		}
		if ctx.Err() != nil {
			return hearing{}, ctx.Err()
		}
		// What can be changed is worth more than that another device has nothing.
		if err = s.inWords(t, err); why == nil || errors.Is(err, errOtherSpeaker) {
			why = err
		}
	}
	s.keep(hearing{}, why)
	return hearing{}, why
}

// ask asks a device for its loudspeaker: as ONVIF has it, and without its word where that is refused.
func (s *Speaker) ask(ctx context.Context, t *tap) (hearing, error) {
	v := newVisit(s, t, false)
	err := s.visit(ctx, v)
	if refusesRequire(err) {
		v = newVisit(s, t, true)
		err = s.visit(ctx, v)
	}
	return hearing{tap: t, plain: v.plain, codec: v.codec}, err
}

// refusesRequire says whether a device does not take a DESCRIBE with a Require header (RFC 2326 section 12.32). The right
// answer is 551; some have others, or hang up.
func refusesRequire(err error) bool {
	var status liberrors.ErrClientBadStatusCode
	if !errors.As(err, &status) {
		return errors.Is(err, io.EOF)
	}
	switch status.Code {
	case base.StatusOptionNotSupported, base.StatusBadRequest, base.StatusMethodNotAllowed, base.StatusNotAcceptable,
		base.StatusParameterNotUnderstood, base.StatusInternalServerError, base.StatusNotImplemented:
		return true
	}
	return false
}

// visit lets a conversation have its turn with the device's account.
func (s *Speaker) visit(ctx context.Context, v *visit) error {
	t := v.tap
	var why failure
	wait, cancel := context.WithTimeout(ctx, speakerWait)
	defer cancel()
	try, err := s.owner.gate.await(wait, t.source.account(), t.heard, func(f failure) { why = f })
	switch {
	case err != nil && why.text == "":
		text := t.source.address.Host + " is just being connected to for its recording, which goes first. Try again in a moment."
		return &told{failure{text: text}, errors.Join(err, ErrBusy)}
	case err != nil:
		return &told{failure: why, err: err}
	}
	defer func() { try.leave(failure{}) }()
	err = v.run(ctx, try)
	switch {
	case v.accepted:
		t.heard = accepted
	case unauthorized(err):
		try.fail(classify(err, t.source, false))
		if t.heard != accepted {
			t.heard = denied
		}
	}
	return err
}

// inWords turns an error into one whose text a person understands.
func (s *Speaker) inWords(t *tap, err error) error {
	host := t.source.address.Host
	say := func(kind error, format string, args ...any) error {
		return &told{failure{text: fmt.Sprintf(format, args...)}, errors.Join(kind, err)}
	}
	var status liberrors.ErrClientBadStatusCode
	var have *told
	switch {
	case errors.As(err, &have) && have.text != "":
		return have
	case errors.Is(err, errNoSpeaker):
		return say(nil, "%s offers no loudspeaker to the agent. If the camera has one, switch two-way audio on in its settings.", host)
	case errors.Is(err, ErrBusy):
		return say(ErrBusy, "%s has no session to spare for speaking now: recording goes first. Try again in a moment.", host)
	case errors.Is(err, errEvicted):
		return say(ErrBusy, "%s was needed for recording, which goes first. Try again in a moment.", host)
	case errors.Is(err, errDeafSpeaker):
		return say(nil, "%s does not take what is said any more. If this stays, restart the camera.", host)
	case errors.Is(err, errHungUp):
		return say(nil, "%s has ended the session in which it was spoken to. Try again; if this stays, update the camera's software.", host)
	case errors.As(err, &status) && noRoom(status.Code, true):
		return say(ErrBusy, "%s takes no further session (%d): recording has what it grants. Raise its limit of viewers, or close other programs that watch it.", host, status.Code)
	case errors.As(err, &status) && status.Code == base.StatusUnsupportedTransport:
		return say(nil, "%s takes speech over UDP alone, which the agent does not send. Allow RTP over RTSP (TCP) in the camera.", host)
	}
	return say(nil, "%s", classify(err, t.source, false).text)
}

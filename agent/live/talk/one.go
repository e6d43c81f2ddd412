package talk

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// talk is one person's, from the press of a button to its release.
type talk struct {
	room   *Room
	id     id.Session
	camera id.Camera
	by     string
	since  time.Time
	log    *slog.Logger
	end    context.CancelFunc
	ended  <-chan struct{} // closed when the talk is over, and is only tidied up after
	over   chan struct{}   // closed when nothing is left of it
	ear    atomic.Pointer[rtc.Ear]
	voice  voice
	begun  chan Speaker // holds who listens, once the connection is made; closed when that is tried no more
	opened chan error   // nil once the device takes sound
}

// newTalk returns a talk that lives as long as life, and ends that.
func newTalk(r *Room, offer wire.TalkOffer) (t *talk, life context.Context) {
	by := wire.CleanText(offer.By, wire.MaxNameRunes)
	if by == "" {
		by = "Somebody"
	}
	life, end := context.WithCancel(context.Background()) // Room.Run ends it
	t = &talk{
		room: r, id: offer.Session, camera: offer.Camera, by: by, since: time.Now(), end: end, ended: life.Done(), over: make(chan struct{}),
		begun: make(chan Speaker, 1), opened: make(chan error, 1),
		log: r.deps.Log.With("talk", offer.Session, "camera", offer.Camera, "by", by),
	}
	return t, life
}

// live says whether the person may still speak.
func (t *talk) live() bool {
	select {
	case <-t.ended:
		return false
	default:
		return true
	}
}

// begin makes the connection, which lasts as long as life, and opens the device meanwhile.
func (t *talk) begin(ctx, life context.Context, s Speaker, offer wire.TalkOffer) (sdp string, err error) {
	defer close(t.begun)
	codec, err := s.Codec(ctx)
	if err != nil {
		return "", wire.Fail(wire.FailedRefused, "%s", err)
	}
	setup, err := t.room.deps.Setup(life, offer.ICE)
	if err != nil {
		return "", err
	}
	t.voice.silence = silenceOf(codec)
	ear, err := rtc.NewEar(offer.SDP, codec, setup, t.voice.put, t.end)
	if err != nil {
		return "", err
	}
	t.ear.Store(ear)
	t.begun <- s
	if sdp, err = ear.Answer(ctx, offer.SDP, offer.Trickle); err == nil {
		select {
		case err = <-t.opened:
			return sdp, err
		case <-t.ended:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	select {
	case why := <-t.opened: // a device that can't be opened ends the connection, also one that is still being answered
		if why != nil {
			return "", why
		}
	default:
	}
	if !t.live() {
		return "", wire.Fail(wire.FailedGone, "The connection to the site has ended: make a new one.")
	}
	return "", err
}

// run blocks for the life of the talk.
func (t *talk) run(ctx context.Context) {
	defer close(t.over)
	defer func() {
		t.end()
		if ear := t.ear.Load(); ear != nil {
			ear.Close()
		}
		t.room.mu.Lock()
		delete(t.room.talks, t.camera)
		t.room.mu.Unlock()
		if t.room.deps.Ended != nil {
			t.room.deps.Ended()
		}
	}()
	s, made := <-t.begun
	if !made {
		return
	}
	t.log.Info("somebody speaks through a camera")
	why := t.speak(ctx, s)
	t.log.Info("the talk ends", "lasted", time.Since(t.since).Round(time.Millisecond), "cause", why, "voice", t.voice.tally())
	if why != nil && ctx.Err() == nil {
		t.ear.Load().Control.Part(ctx, rtc.Note{Type: "end", Text: why.Error()})
	}
}

// speak returns when the device listens no more: nil at the person's wish, else why, for the person.
func (t *talk) speak(ctx context.Context, s Speaker) error {
	speaking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		stop(t.watch(speaking))
	}()
	err := s.Speak(speaking, func() { t.opened <- nil }, t.voice.next)
	if err != nil {
		select {
		case t.opened <- wire.Fail(wire.FailedRefused, "%s", err):
		default: // it was open
		}
	} else if cause := context.Cause(speaking); !errors.Is(cause, context.Canceled) {
		err = cause
	}
	stop(nil)
	<-done
	return err
}

// watch returns why the person may speak no longer; nil when ctx ends.
func (t *talk) watch(ctx context.Context) error {
	limit, longest := time.NewTimer(t.room.cfg.Connect), time.NewTimer(t.room.cfg.Longest)
	defer limit.Stop()
	defer longest.Stop()
	select {
	case <-t.ear.Load().Connected():
	case <-limit.C:
		return wire.Fail(wire.FailedOtherwise, "No network path to the site was found. Try again, or from another network.")
	case <-ctx.Done():
		return nil
	}
	t.voice.touch()
	look := time.NewTicker(t.room.cfg.Quiet / 8)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if t.voice.quiet() > t.room.cfg.Quiet {
				return wire.Fail(wire.FailedOtherwise, "Nothing came from your microphone any more. Press again to speak.")
			}
		case <-longest.C:
			return wire.Fail(wire.FailedOtherwise, "You have spoken for %v, which is the most at a time. Press again to go on.", inWords(t.room.cfg.Longest))
		case <-ctx.Done():
			return nil
		}
	}
}

package camera

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/auth"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// speakFor speaks at the rig's camera until its loudspeaker has heard so many packets, and returns what came of it.
func (r *rig) speakFor(ctx context.Context, packets int) error {
	r.t.Helper()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	before := len(r.cam.Heard())
	part := make([]byte, 160)
	return r.room.Speaker(r.id).Speak(ctx, func() {
		go func() {
			defer stop()
			eventually.True(r.t, "speech at the camera", func() bool {
				all := r.cam.Heard()
				return len(all) > before && len(all[before].At) >= packets || ctx.Err() != nil
			})
		}()
	}, func() []byte { return part })
}

// TestLoudspeakers: each of these is asked in its own way, and can be spoken to.
func TestLoudspeakers(t *testing.T) {
	digest := []auth.VerifyMethod{auth.VerifyMethodDigestMD5}
	for name, c := range map[string]struct {
		camera fakecam.CameraConfig
		knobs  fakecam.Knobs
		codec  mp4.Codec
	}{
		"as ONVIF has it":           {fakecam.CameraConfig{Speaker: []string{"PCMU"}}, fakecam.Knobs{}, mp4.PCMU},
		"A-law":                     {fakecam.CameraConfig{Speaker: []string{"AAC", "PCMA", "PCMU"}}, fakecam.Knobs{}, mp4.PCMA},
		"with a login":              {fakecam.CameraConfig{Speaker: []string{"PCMU"}, User: "holdfast", Password: "secret", Auth: digest}, fakecam.Knobs{}, mp4.PCMU},
		"that refuse the word":      {fakecam.CameraConfig{Speaker: []string{"PCMU"}}, fakecam.Knobs{TalkRefuse: 551, TalkAlways: true}, mp4.PCMU},
		"that misunderstand it":     {fakecam.CameraConfig{Speaker: []string{"PCMU"}}, fakecam.Knobs{TalkRefuse: 400, TalkAlways: true}, mp4.PCMU},
		"beside a camera with card": {fakecam.CameraConfig{Speaker: []string{"PCMU"}, Card: time.Hour}, fakecam.Knobs{}, mp4.PCMU},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.camera.Main = "dock/sub"
			r := newRig(t, options{camera: c.camera, user: c.camera.User, pass: c.camera.Password})
			v := r.watch(id.Main)
			v.frames(1)
			r.turn(c.knobs)
			for range 2 {
				if got, err := r.room.Speaker(r.id).Codec(t.Context()); err != nil || got != c.codec {
					t.Fatalf("the loudspeaker takes %v, %v, want %v", got, err, c.codec)
				}
			}
			if n := r.cam.Tally().Describes; n > 4 { // the recording too, and with a login twice
				t.Errorf("the camera was asked %d times: an answer is to be remembered", n)
			}
			if err := r.speakFor(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
			v.frames(5)
			if got := breaks(v.so()); len(got) > 1 { // that of before the first picture
				t.Errorf("the recording broke: %v", got)
			}
			eventually.True(t, "the session to be torn down", func() bool { return r.cam.Tally().Teardowns == 1 })
			if tally := r.cam.Tally(); tally.Lost != 0 {
				t.Errorf("the camera counts %+v", tally)
			}
		})
	}
}

// TestNoLoudspeaker: why one can't speak is said in words.
func TestNoLoudspeaker(t *testing.T) {
	for name, c := range map[string]struct {
		camera fakecam.CameraConfig
		knobs  fakecam.Knobs
		limit  int
		words  string
	}{
		"none":         {fakecam.CameraConfig{Speaker: []string{}}, fakecam.Knobs{}, 0, "offers no loudspeaker"},
		"AAC":          {fakecam.CameraConfig{Speaker: []string{"AAC"}}, fakecam.Knobs{}, 0, "wants AAC, which browsers don't send"},
		"refuses all":  {fakecam.CameraConfig{Speaker: []string{"PCMU"}}, fakecam.Knobs{TalkRefuse: 551}, 0, "offers no loudspeaker"},
		"one session":  {fakecam.CameraConfig{Speaker: []string{"PCMU"}}, fakecam.Knobs{MaxSessions: 1}, 0, "takes no further session (453)"},
		"by the limit": {fakecam.CameraConfig{Speaker: []string{"PCMU"}}, fakecam.Knobs{}, 1, "all are in use"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.camera.Main = "dock/sub"
			r := newRig(t, options{camera: c.camera, adjust: func(cfg *Config) {
				if c.limit > 0 {
					cfg.Sessions = map[string]int{"127.0.0.1": c.limit}
				}
			}})
			v := r.watch(id.Main)
			v.frames(1)
			r.turn(c.knobs)
			err := r.speakFor(t.Context(), 1)
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Fatalf("got %v, want something with %q", err, c.words)
			}
			v.frames(5)
			if got := breaks(v.so()); len(got) > 1 {
				t.Errorf("the recording broke: %v", got)
			}
		})
	}
}

// TestSpeechGivesWay: a recording that has no session left takes that of somebody who speaks.
func TestSpeechGivesWay(t *testing.T) {
	t.Parallel()
	b := newBudget(map[string]int{"cam": 1})
	none := func(failure) {}
	speech, err := b.take(t.Context(), "cam", speaking, 0, none)
	if err != nil {
		t.Fatal(err)
	}
	speech.grant()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		main, err := b.take(t.Context(), "cam", recording, 0, none)
		if err != nil {
			t.Errorf("the recording gets no session: %v", err)
			return
		}
		main.release()
	})
	select {
	case <-speech.evicted:
	case <-time.After(20 * time.Second):
		t.Fatal("speech keeps its session")
	}
	speech.release()
	waiting.Wait()
}

// TestSpeechEndsWithTheCamera: a camera that loses its power, or its mind, ends a talk in words.
func TestSpeechEndsWithTheCamera(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{camera: fakecam.CameraConfig{Main: "dock/sub", Speaker: []string{"PCMU"}}})
	part := make([]byte, 160)
	err := r.room.Speaker(r.id).Speak(t.Context(), r.cam.Drop, func() []byte { return part })
	if err == nil || !strings.Contains(err.Error(), "has ended the session in which it was spoken to") {
		t.Fatalf("got %v", err)
	}
	if err := r.speakFor(t.Context(), 5); err != nil {
		t.Errorf("the next one can't speak: %v", err)
	}
}

// TestADeviceThatIsNotThere is not told as one that has no session to spare: only a wait for the agent's own recordings is that.
func TestADeviceThatIsNotThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{camera: fakecam.CameraConfig{Main: "dock/sub", Speaker: []string{"PCMU"}}})
	s := r.room.Speaker(r.id)
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}
	err := s.inWords(s.taps[0], fmt.Errorf("describe loudspeaker: %w", dial))
	if errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("it says %v", err)
	}
	account := s.taps[0].source.account()
	r.watch(id.Main).frames(1)
	r.room.gate.mu.Lock()
	row := r.room.gate.row(account)
	row.good, row.trying = false, time.Now().Add(time.Minute) // a recording tries the login
	r.room.gate.mu.Unlock()
	if _, err = s.Codec(t.Context()); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "recording") {
		t.Errorf("it says %v", err)
	}
}

// TestNobodySpeaksThroughACameraThatIsOff: it is left alone, and who speaks when it is switched off is told why it ends.
func TestNobodySpeaksThroughACameraThatIsOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{camera: fakecam.CameraConfig{Main: "dock/sub", Speaker: []string{"PCMU"}}})
	off := []wire.CameraDesire{{Camera: r.id, Disable: true}}
	const words = "switched off in the portal"
	part := make([]byte, 160)
	err := r.room.Speaker(r.id).Speak(t.Context(), func() { r.room.Apply(off) }, func() []byte { return part })
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("the talk ends with %v", err)
	}
	asked := r.cam.Tally().Describes
	if _, err = r.room.Speaker(r.id).Codec(t.Context()); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("it says %v", err)
	}
	if err = r.room.Speaker(r.id).Speak(t.Context(), func() { t.Error("it listens") }, func() []byte { return part }); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("it says %v", err)
	}
	if n := r.cam.Tally().Describes; n != asked {
		t.Errorf("the camera was asked %d times", n-asked)
	}
	r.room.Apply(nil)
	if _, err = r.room.Speaker(r.id).Codec(t.Context()); err != nil {
		t.Error(err)
	}
}

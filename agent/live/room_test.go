package live

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"holdfast/agent/media"
	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// TestASessionLeavesNothingBehind has a hundred come and go.
func TestASessionLeavesNothingBehind(t *testing.T) {
	s := newStage(t, Config{})
	before, sockets := goleak.IgnoreCurrent(), openSockets()
	for range 50 {
		mine, theirs := watch(t, s.room, s.wish()), watch(t, s.room, s.wish())
		mine.seen(1)
		theirs.seen(1)
		s.room.Close(mine.session)
		s.room.Close(mine.session)
		mine.ended()
		mine.close()
		theirs.close() // a tab that is closed says so
		eventually.True(t, "the sessions to end", func() bool { return len(s.room.Open()) == 0 })
	}
	if n, _ := s.hub.Readers(); n != 0 {
		t.Errorf("%d readers are still attached to the hub", n)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	if now := openSockets(); now > sockets {
		t.Errorf("%d sockets are open, %d before", now, sockets)
	}
}

// openSockets counts this process's, where the system tells of them as Linux does.
func openSockets() (n int) {
	const files = "/proc/self/fd"
	all, _ := os.ReadDir(files)
	for _, f := range all {
		if to, err := os.Readlink(filepath.Join(files, f.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// TestWhoCalls: the site waits for the viewer's first word of the handshake, unless the viewer waits, too.
func TestWhoCalls(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	for offered, want := range map[string]string{"actpass": "passive", "active": "passive", "passive": "active"} {
		w := s.wish()
		w.change = func(sdp string) string { return strings.ReplaceAll(sdp, "a=setup:actpass", "a=setup:"+offered) }
		v := watch(t, s.room, w)
		v.seen(3)
		if !strings.Contains(v.answer.SDP, "a=setup:"+want+"\r\n") {
			t.Errorf("to an offer of %s the answer is\n%s", offered, v.answer.SDP)
		}
	}
}

func TestAViewerThatNeverConnects(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{Path: 300 * time.Millisecond})
	v := newViewer(t, webrtc.Configuration{}, false)
	offer := s.wish().LiveOffer
	offer.Session, offer.SDP = v.session, v.offer()
	if _, err := s.room.Offer(t.Context(), offer); err != nil {
		t.Fatal(err)
	}
	if open := s.room.Open(); len(open) != 1 || open[0] != v.session {
		t.Fatalf("open sessions %v", open)
	}
	eventually.True(t, "the session to end", func() bool { return len(s.room.Open()) == 0 })
	if n, _ := s.hub.Readers(); n != 0 {
		t.Errorf("%d readers are still attached to the hub", n)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{MaxSessions: 2})
	a := watch(t, s.room, s.wish())
	a.seen(1)
	offer := s.wish().LiveOffer
	offer.Session, offer.SDP = a.session, a.pc.LocalDescription().SDP
	_, err := s.room.Offer(t.Context(), offer)
	assertFailure(t, err, wire.FailedRefused, "exists already")
	offer.Session = ""
	_, err = s.room.Offer(t.Context(), offer)
	assertFailure(t, err, wire.FailedRefused, "no session")
	watch(t, s.room, s.wish())
	_, err = try(t, s.room, s.wish())
	assertFailure(t, err, wire.FailedBusy, "Close a view")
	a.close()
	eventually.True(t, "a free place", func() bool { return len(s.room.Open()) == 1 })
	watch(t, s.room, s.wish()).seen(1)
	s.room.Close(id.New[id.Session]())

	idle, err := New(Config{}, s.room.footage, pace.New(pace.Plan{}), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, err = try(t, idle, s.wish())
	assertFailure(t, err, wire.FailedBusy, "starting or stopping")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := idle.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Port: 70000, MaxSessions: -1}, s.room.footage, pace.New(pace.Plan{}), nil, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "live.port") || !strings.Contains(err.Error(), "live.max_sessions") {
		t.Errorf("New = %v, want both faults", err)
	}
}

func TestTheCameraGoesAndComes(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	v.seen(3)
	s.do(func() {
		s.hub.Down(media.Break{Reason: wire.Unreachable, Text: "192.0.2.7 does not answer: check its cable", MonoUs: s.monoUs()})
	})
	if n := v.note("state", nil); n.Text != "192.0.2.7 does not answer: check its cable." {
		t.Errorf("note %+v", n)
	}
	if n := v.note("state", nil); n.Text != "" { // the next key frame has come
		t.Errorf("note %+v, want one that says that there is video again", n)
	}
	all := v.seen(len(v.next(5)))
	keys := 0
	for i := 1; i < len(all); i++ {
		if all[i].key {
			keys++
		}
		if all[i].Frame != all[i-1].Frame+1 && !all[i].key {
			t.Errorf("behind the hole frame %d came first, which is no key frame", all[i].Frame)
		}
	}
}

func TestTheClockSteps(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	v.seen(3)
	s.do(func() { // as the camera room does it: another run, whose timeline begins at 0, at the next key frame
		next := paramsOf(s.loop)
		next.Run = 2
		began := time.Now()
		s.params, s.monoUs = next, func() int64 { return time.Since(began).Microseconds() }
	})
	pictures := v.seen(len(v.next(20)))
	assertWhole(t, pictures)
	assertPaced(t, pictures)
}

func TestALostPictureBeginsAnew(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	v.seen(3)
	v.begAgain() // too soon
	v.until("two seconds", func() bool { return time.Since(v.pictures[0].at) > 2200*time.Millisecond })
	pictures := v.seen(1)
	assertWhole(t, pictures)
	have := len(pictures)
	v.begAgain()
	v.until("a picture again", func() bool {
		for i := have; i < len(v.pictures); i++ {
			if v.pictures[i].Frame <= v.pictures[i-1].Frame {
				if !v.pictures[i].key {
					t.Errorf("it begins anew with frame %d, which is no key frame", v.pictures[i].Frame)
				}
				return true
			}
		}
		return false
	})
	again := v.seen(1)
	if n := int(again[len(again)-1].Frame-again[0].Frame) + 1; n >= len(again) {
		t.Errorf("%d pictures of %d frames: none was sent again", len(again), n)
	}
}

func TestTheCodecChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*media.Params){
		"H.265":    func(p *media.Params) { p.Tracks[0].Codec = mp4.H265 },
		"B-frames": func(p *media.Params) { p.BFrames = true },
	} {
		s := newStage(t, Config{})
		v := watch(t, s.room, s.wish())
		v.seen(3)
		v.note("position", nil) // the channel is open
		s.do(func() {
			next := paramsOf(s.loop)
			change(next)
			s.params = next
		})
		if n := v.note("end", nil); !strings.Contains(n.Text, "Open the view again") {
			t.Errorf("%s: note %+v", name, n)
		}
		v.ended()
	}
}

// viewing is how long TestViewingHoldsOnToNothing watches at least, in the camera's time.
var viewing = flag.Duration("viewing", 0, "how much of the camera's time is watched, at least")

// TestViewingHoldsOnToNothing watches for minutes, or for -viewing, of a camera whose time goes twenty times as fast, while
// others come and go: what the room holds on to stays as it was.
func TestViewingHoldsOnToNothing(t *testing.T) {
	const (
		speed   = 20
		settles = 5 // rounds until all buffers have been full
		least   = 10
		most    = 512 << 10
	)
	s := newFastStage(t, Config{}, speed)
	stay := []*viewer{watch(t, s.room, s.wish()), watch(t, s.room, s.wish())}
	var held, running []int
	for began := time.Now(); len(held) < least || speed*time.Since(began) < *viewing; {
		for range 2 {
			t.Run("a visitor", func(t *testing.T) { // whose end lets go of all that is the test's own
				v := watch(t, s.room, s.wish())
				v.seen(20)
				s.room.Close(v.session)
				v.close()
			})
		}
		for _, v := range stay {
			v.next(250)
			v.change(func() { v.pictures, v.notes, v.sound = nil, nil, nil })
		}
		eventually.True(t, "those who went to be gone", func() bool { return len(s.room.Open()) == len(stay) })
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		held, running = append(held, int(m.HeapAlloc)), append(running, runtime.NumGoroutine())
	}
	half := settles + (len(held)-settles)/2
	early, late := slices.Max(held[settles:half]), slices.Min(held[half:])
	t.Logf("%d rounds: %d KB held, and %d KB at last; goroutines: %d, and %d", len(held), early>>10, late>>10,
		slices.Max(running[settles:half]), slices.Min(running[half:]))
	if late > early+most {
		t.Errorf("%d bytes are held where %d were: %d", late, early, held)
	}
	if slices.Min(running[half:]) > slices.Max(running[settles:half]) {
		t.Errorf("goroutines are left behind: %d", running)
	}
}

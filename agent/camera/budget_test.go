package camera

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// claimant asks a budget and remembers what became of it.
type claimant struct {
	t   *testing.T
	b   *budget
	ctx context.Context
}

func (c claimant) take(class class) *slot {
	c.t.Helper()
	s, err := c.b.take(c.ctx, "nvr", class, 0, func(failure) {})
	if err != nil {
		c.t.Fatal(err)
	}
	s.grant()
	return s
}

// later asks in the background and hands over what it got.
func (c claimant) later(class class, nth int) <-chan *slot {
	got := make(chan *slot, 1)
	go func() {
		if s, err := c.b.take(c.ctx, "nvr", class, nth, func(failure) {}); err == nil {
			got <- s
		}
	}()
	synctest.Wait()
	return got
}

func waiting(got <-chan *slot) bool {
	synctest.Wait()
	return len(got) == 0
}

func budgetTest(t *testing.T, limit int, test func(c claimant)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		limits := map[string]int{}
		if limit > 0 {
			limits["nvr"] = limit
		}
		test(claimant{t, newBudget(limits), ctx})
		cancel()
		<-time.After(time.Second) // who is asking just now hears of it afterwards
		synctest.Wait()
	})
}

func TestRecordingGoesFirst(t *testing.T) {
	budgetTest(t, 3, func(c claimant) {
		c.take(recording)
		watch, fill := c.take(watching), c.take(filling)
		more := c.later(filling, 0)
		second := c.later(recording, 0)
		if !waiting(second) || len(fill.evicted) != 0 {
			t.Error("somebody got a fourth session")
		}
		select {
		case <-fill.evicted:
		default:
			t.Error("the backfill did not have to go")
		}
		select {
		case <-watch.evicted:
			t.Error("the viewer had to go although the backfill could")
		default:
		}
		fill.release()
		if waiting(second) || !waiting(more) {
			t.Error("the session went to the wrong one")
		}
		third := c.later(recording, 0)
		select {
		case <-watch.evicted:
		default:
			t.Error("the viewer did not have to go")
		}
		watch.release()
		if waiting(third) {
			t.Error("the third recording got nothing")
		}
		fourth := c.later(recording, 0)
		if !waiting(fourth) {
			t.Error("a recording was thrown out, or the limit was broken")
		}
	})
}

func TestALimitIsLearntWithoutAStorm(t *testing.T) {
	budgetTest(t, 0, func(c claimant) {
		var held []*slot
		for range 4 {
			held = append(held, c.take(recording))
		}
		asked := 0
		var mu sync.Mutex
		for range 12 {
			go func() {
				for nth := 0; ; {
					s, err := c.b.take(c.ctx, "nvr", recording, nth, func(failure) {})
					if err != nil {
						return
					}
					<-time.After(100 * time.Millisecond)
					mu.Lock()
					asked++
					mu.Unlock()
					nth = s.refuse(nth)
					s.release()
				}
			}()
		}
		<-time.After(time.Hour)
		mu.Lock()
		n := asked
		mu.Unlock()
		// All of them once, at the beginning; then one asks for all, at last once a minute.
		if n > 12+65 || n < 40 {
			t.Errorf("the recorder was asked %d times in an hour", n)
		}
		// One that had a session and lost it gets it back at once, before those that were refused.
		held[0].release()
		again := c.later(recording, 0)
		<-time.After(200 * time.Millisecond) // one of those may be asking just now
		if waiting(again) {
			t.Error("who gave a session up has to wait behind those that were refused")
		}
	})
}

func TestAChannelThatIsRefusedForItselfHoldsNobodyBack(t *testing.T) {
	budgetTest(t, 0, func(c claimant) {
		var held []*slot
		for range 15 {
			held = append(held, c.take(recording))
		}
		go func() { // a channel without a camera: the recorder answers 500
			for nth := 0; ; {
				s, err := c.b.take(c.ctx, "nvr", recording, nth, func(failure) {})
				if err != nil {
					return
				}
				<-time.After(100 * time.Millisecond)
				nth = s.refuse(nth)
				s.release()
			}
		}()
		<-time.After(10 * time.Minute)
		for i := range held {
			held[i].release()
			back := c.later(recording, 0)
			<-time.After(200 * time.Millisecond)
			if waiting(back) {
				t.Fatalf("stream %d waits for its session", i)
			}
			held[i] = <-back
			held[i].grant()
			<-time.After(time.Second)
		}
		// Nor does it keep viewers away; one may have to go, once, to see whether that helps.
		thrown := 0
		for range 10 {
			watch := c.later(watching, 0)
			if waiting(watch) {
				t.Fatal("a viewer waits for a session that the recorder has")
			}
			viewer := <-watch
			viewer.grant()
			select {
			case <-viewer.evicted:
				thrown++
			case <-time.After(3 * time.Minute):
			}
			viewer.release()
		}
		if thrown > 1 {
			t.Errorf("%d of 10 viewers had to go for a channel that the recorder refuses anyway", thrown)
		}
	})
}

func TestSessionsOfARecorderAreShared(t *testing.T) {
	t.Parallel()
	for name, configured := range map[string]int{"by the configuration": 3, "learnt": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNVR(t, 5, fakecam.Config{MaxSessions: 3}, func(c *Config) {
				if configured > 0 {
					c.Sessions = map[string]int{"127.0.0.1": configured}
				}
			})
			n.settle(3)
			refused := n.refusals()
			if configured > 0 && refused > 0 || refused > 5 {
				t.Errorf("the recorder had to refuse %d times", refused)
			}
			limited := 0
			for _, st := range n.room.States() {
				if s := st.Streams[0]; s.State == wire.Failing && s.Reason == wire.SessionLimit {
					limited++
					if !strings.Contains(s.Text, "127.0.0.1") {
						t.Errorf("it is said as %q", s.Text)
					}
				}
			}
			if limited != 2 {
				t.Errorf("%d streams say that there is no session for them, want 2", limited)
			}
			// A session that becomes free goes to who waits.
			for i, st := range n.room.States() {
				if st.Streams[0].FPS > 0 {
					n.room.Apply([]wire.CameraDesire{{Camera: n.ids[i], Disable: true}})
					break
				}
			}
			eventually.True(t, "another camera in the place of the one that is off", func() bool { return n.flowing() == 3 })
			if more := n.refusals() - refused; more > 6 {
				t.Errorf("the recorder had to refuse %d times more", more)
			}
		})
	}
}

// TestAViewerGivesWayToARecording: the sub-stream that somebody watches ends when a recording needs its session.
func TestAViewerGivesWayToARecording(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{
		camera: fakecam.CameraConfig{Sub: "shop/sub"},
		adjust: func(c *Config) { c.Sessions = map[string]int{"127.0.0.1": 1} },
	})
	r.watch(id.Main).frames(10)
	sub := r.watch(id.Sub)
	if text := sub.broken(wire.SessionLimit); !strings.Contains(text, "sessions") {
		t.Errorf("it is said as %q", text)
	}
	r.watch(id.Main).frames(10)
}

// nvr is a recorder with several channels, and the room that records them.
type nvr struct {
	*rig
	cams []*fakecam.Camera
	ids  []id.Camera
}

// newNVR runs a house of cameras behind one address.
func newNVR(t *testing.T, channels int, house fakecam.Config, adjust func(*Config)) *nvr {
	t.Helper()
	n := &nvr{}
	for range channels - 1 {
		house.Cameras = append(house.Cameras, fakecam.CameraConfig{Main: "shop/sub"})
	}
	n.rig = newRig(t, options{house: house, camera: fakecam.CameraConfig{Main: "shop/sub"}, with: func(r *rig, c *Config) {
		n.cams = r.house.Cameras()
		c.Cameras = nil
		for _, cam := range n.cams {
			source, err := NewSource(cam.URL("main"), "", "", "")
			if err != nil {
				t.Fatal(err)
			}
			n.ids = append(n.ids, id.New[id.Camera]())
			c.Cameras = append(c.Cameras, Camera{ID: n.ids[len(n.ids)-1], Name: cam.Name(), Main: source})
		}
		if adjust != nil {
			adjust(c)
		}
	}})
	return n
}

// flowing is how many channels have pictures.
func (n *nvr) flowing() (k int) {
	for _, st := range n.room.States() {
		if s := st.Streams[0]; s.State == wire.OK && s.FPS > 0 {
			k++
		}
	}
	return k
}

// settle waits until so many channels have pictures, and all others say why not.
func (n *nvr) settle(want int) {
	n.t.Helper()
	eventually.True(n.t, "every channel to flow or to say why not", func() bool {
		failing := 0
		for _, st := range n.room.States() {
			if st.Streams[0].State == wire.Failing {
				failing++
			}
		}
		return n.flowing() == want && failing == len(n.ids)-want
	})
}

func (n *nvr) refusals() (k int) {
	for _, c := range n.cams {
		k += int(c.Tally().Refused)
	}
	return k
}

// see attaches a viewer to a channel.
func (n *nvr) see(i int) *viewer {
	was := n.id
	n.id = n.ids[i]
	defer func() { n.id = was }()
	return n.watch(id.Main)
}

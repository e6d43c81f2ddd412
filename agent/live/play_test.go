package live

import (
	"slices"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// sentUs is when the camera sent a frame of its main stream.
func (s *site) sentUs(t *testing.T, name string, frame uint64) int64 {
	t.Helper()
	log := s.cam(name).Main().Log(frame, frame)
	if len(log) != 1 {
		t.Fatalf("frame %d is %d times in the camera's log", frame, len(log))
	}
	return log[0].AtUs
}

// shownAt checks that a position is that of a frame which the viewer got, and returns its index among pictures.
func assertShown(t *testing.T, pictures []picture, atUs int64) int {
	t.Helper()
	best, off := -1, int64(1<<62)
	for i, p := range pictures {
		if d := max(p.SentUs-atUs, atUs-p.SentUs); d < off {
			best, off = i, d
		}
	}
	if off > 150_000 { // one frame is 67 ms; the camera's own sending is late on a busy machine
		t.Errorf("the frame nearest to the position %d is %d ms away", atUs, off/1000)
	}
	return best
}

// testLiveAlone asks a live view for what is recorded: it says no and goes on, for the cloud has looked at the right to watch
// live and at no other.
func testLiveAlone(t *testing.T, s *site) {
	begin := s.recorded(t, "dock", 8*time.Second) // a moment that has just been is taken for live
	v := watch(t, s.room, s.offer("dock"))
	v.seen(3)
	for _, o := range []rtc.Op{{Type: "seek", AtUs: begin}, {Type: "scrub", AtUs: begin}} {
		v.forget()
		asked := time.Now()
		v.order(o)
		v.note("note", func(n rtc.Note) bool { return n.Text == liveAlone })
		if n := v.note("position", nil); !n.Live {
			t.Errorf("after a %q it is at %+v", o.Type, n)
		}
		for _, p := range v.next(15) {
			if p.at.After(asked) && p.SentUs < begin+1_000_000 {
				t.Fatalf("a %q shows frame %d of the recording", o.Type, p.Frame)
			}
		}
	}
}

// testJustNow asks for a recording of a moment that has just been: what comes is live, and the viewer may go back all the same.
func testJustNow(t *testing.T, s *site) {
	begin := s.recorded(t, "dock", 8*time.Second)
	w := s.offer("dock")
	w.FromUs = time.Now().UnixMicro() - 1_000_000
	v := watch(t, s.room, w)
	v.note("position", func(n rtc.Note) bool { return n.Live })
	v.order(rtc.Op{Type: "seek", AtUs: begin + 1_000_000})
	v.note("position", func(n rtc.Note) bool { return !n.Live && n.AtUs < begin+3_000_000 })
}

func testPlayback(t *testing.T, s *site) {
	begin := s.recorded(t, "corridor", 6600*time.Millisecond)
	w := s.offer("corridor")
	w.FromUs = begin + 1_500_000
	v := watch(t, s.room, w)
	first := v.note("position", nil)
	if d := first.AtUs - w.FromUs; d < -1 || d > 70_000 || first.Live || first.Rate != 1 {
		t.Errorf("the first position is %d µs after what was asked for: %+v", d, first)
	}
	pictures := v.seen(50)
	assertWhole(t, pictures) // from the key frame on, and over the border of segments
	at := assertShown(t, pictures, first.AtUs)
	if at < 15 || at > 30 {
		t.Errorf("%d pictures came before the moment asked for, want 22 or so: it is 1.5 s after the key frame", at)
	}
	t.Logf("offer to first picture: %v, to the moment asked for: %v", pictures[0].at.Sub(v.asked).Round(time.Millisecond),
		pictures[at].at.Sub(v.asked).Round(time.Millisecond))
	assertPaced(t, pictures)
	if d := pictures[49].at.Sub(pictures[at].at); d < 1500*time.Millisecond || d > 3*time.Second {
		t.Errorf("%d pictures took %v", 49-at, d)
	}
	v.until("sound", func() bool { return len(v.sound) > 20 })

	v.order(rtc.Op{Type: "pause"})
	v.until("silence", func() bool { return time.Since(v.pictures[len(v.pictures)-1].at) > 400*time.Millisecond })
	v.forget()
	v.order(rtc.Op{Type: "seek", AtUs: begin + 3_000_000}) // shows that moment, and stays
	still := v.note("position", func(n rtc.Note) bool { return n.AtUs < begin+3_100_000 && n.AtUs >= begin+2_999_999 })
	v.until("silence", func() bool { return time.Since(v.pictures[len(v.pictures)-1].at) > 300*time.Millisecond })
	v.forget()
	have := len(v.seen(1))
	v.order(rtc.Op{Type: "rate", Rate: 4})
	v.order(rtc.Op{Type: "play"})
	fast := v.seen(have + 30)[have:]
	assertWhole(t, append([]picture{{key: true, Stamp: fakecam.Stamp{Frame: fast[0].Frame - 1}, rtp: fast[0].rtp - 1}}, fast...))
	if n := v.note("position", nil); n.Rate != 4 || n.AtUs < still.AtUs {
		t.Errorf("position %+v after %+v", n, still)
	}
	if d := fast[29].at.Sub(fast[0].at); d > 1200*time.Millisecond {
		t.Errorf("two seconds at rate 4 took %v", d)
	}
	v.order(rtc.Op{Type: "pause"})
	v.order(rtc.Op{Type: "rate", Rate: 16})
	v.order(rtc.Op{Type: "seek", AtUs: begin})
	v.note("position", func(n rtc.Note) bool { return n.AtUs < begin+200_000 && n.Rate == 16 })
	v.until("silence", func() bool { return time.Since(v.pictures[len(v.pictures)-1].at) > 300*time.Millisecond })
	v.forget()
	have = len(v.seen(1))
	v.order(rtc.Op{Type: "play"})
	for _, p := range v.seen(have + 1)[have : have+1] {
		if !p.key {
			t.Errorf("frame %d was sent at rate 16, and is no key frame", p.Frame)
		}
	}
	v.order(rtc.Op{Type: "rate", Rate: 1})
	v.order(rtc.Op{Type: "seek", AtUs: begin + 500_000}) // back inside the same segment
	v.note("position", func(n rtc.Note) bool { return n.AtUs < begin+600_000 })

	newest := s.cam("corridor").Main().Sent()
	v.order(rtc.Op{Type: "live"})
	live := v.note("position", func(n rtc.Note) bool { return n.Live })
	if age := time.Since(time.UnixMicro(live.AtUs)); age > 2*time.Second {
		t.Errorf("the live position is %v old", age)
	}
	v.until("the newest picture", func() bool { return v.pictures[len(v.pictures)-1].Frame >= newest })
	v.order(rtc.Op{Type: "seek", AtUs: begin})
	v.note("position", func(n rtc.Note) bool { return !n.Live && n.AtUs < begin+100_000 })
	all := v.next(1)
	all = v.seen(len(all))
	for i := 1; i < len(all); i++ {
		if int32(all[i].rtp-all[i-1].rtp) <= 0 {
			t.Errorf("RTP time goes from %d to %d at picture %d", all[i-1].rtp, all[i].rtp, i)
		}
	}
}

// testInStep is of what a viewer needs that keeps several cameras in step.
func testInStep(t *testing.T, s *site) {
	begin := s.recorded(t, "shop", 6*time.Second)
	w := s.offer("shop")
	w.FromUs, w.Width = begin+100_000, 320
	v := watch(t, s.room, w)
	n := v.note("position", func(n rtc.Note) bool { return n.Asked == w.FromUs })
	named := v.shows(n)
	if d := named.SentUs - n.AtUs; d < -100_000 || d > 100_000 {
		t.Errorf("the picture of %d is named %d", named.SentUs, n.AtUs)
	}
	if n.OffUs == nil || *n.OffUs != clockError {
		t.Errorf("position %+v, want the site's clock corrected by %d", n, clockError)
	}

	// Changes of the rate cost no time: as much of the recording goes by as of life.
	first := v.next(1)[0]
	last := first
	for i := range 20 {
		v.order(rtc.Op{Type: "rate", Rate: []float64{1.05, 0.95}[i%2]})
		last = v.next(2)[1]
	}
	if lag := last.at.Sub(first.at) - time.Duration(last.SentUs-first.SentUs)*time.Microsecond; lag > 250*time.Millisecond {
		t.Errorf("20 changes of the rate took the viewer back by %v", lag)
	}

	// After a pause the pictures of a burst are stamped close to the one that they lead to.
	v.order(rtc.Op{Type: "pause"})
	v.note("picture", nil)
	paused := time.Now()
	v.until("a pause", func() bool { return time.Since(paused) > 1500*time.Millisecond })
	have := len(v.seen(1))
	v.order(rtc.Op{Type: "seek", AtUs: begin + 2_600_000})
	named = v.shows(v.note("position", func(n rtc.Note) bool { return n.Asked == begin+2_600_000 }))
	burst := v.seen(have + 1)[have:]
	if len(burst) < 3 {
		t.Errorf("the burst has %d pictures, want some in front of the one that was asked for", len(burst))
	}
	if d := named.rtp - burst[0].rtp; d > 90*500 {
		t.Errorf("the burst of %d pictures begins %d ms before the picture that it leads to", len(burst), d/90)
	}
	v.order(rtc.Op{Type: "play"})

	// At 4 times, and what is in step with that, every picture comes.
	v.order(rtc.Op{Type: "seek", AtUs: begin})
	v.note("position", func(n rtc.Note) bool { return n.Asked == begin })
	v.order(rtc.Op{Type: "rate", Rate: 4.2})
	v.note("position", func(n rtc.Note) bool { return n.Rate == 4.2 })
	got := v.next(10)
	for i := 1; i < len(got); i++ {
		if got[i].Frame != got[i-1].Frame+1 {
			t.Errorf("frame %d follows frame %d", got[i].Frame, got[i-1].Frame)
		}
	}
}

// shows waits for the picture that a position names.
func (v *viewer) shows(n rtc.Note) (found picture) {
	v.t.Helper()
	v.until("the picture of a position", func() bool {
		i := slices.IndexFunc(v.pictures, func(p picture) bool { return p.rtp == n.RTP })
		if i >= 0 {
			found = v.pictures[i]
		}
		return i >= 0
	})
	return found
}

func testEdge(t *testing.T, s *site) {
	s.recorded(t, "night", 5300*time.Millisecond)
	w := s.offer("night")
	w.FromUs = time.Now().Add(-5100 * time.Millisecond).UnixMicro()
	v := watch(t, s.room, w)
	v.seen(5)
	v.order(rtc.Op{Type: "rate", Rate: 4})
	v.note("position", func(n rtc.Note) bool { return n.Rate == 4 })
	v.note("position", func(n rtc.Note) bool { return n.Rate == 1 }) // it has come to the end of what is recorded
	have := len(v.seen(1))
	pictures := v.seen(have + 20)
	assertWhole(t, pictures)
	if age := time.Since(time.UnixMicro(pictures[len(pictures)-1].SentUs)); age > 5*time.Second {
		t.Errorf("the newest picture is %v old", age)
	}

	// A moment that has just been is shown live.
	w.FromUs = time.Now().Add(-time.Second).UnixMicro()
	v = watch(t, s.room, w)
	v.note("position", func(n rtc.Note) bool { return n.Live })
}

func testNothingRecorded(t *testing.T, s *site) {
	w := s.offer("gone")
	w.FromUs = s.began.UnixMicro() - 3_600_000_000
	_, err := try(t, s.room, w)
	assertFailure(t, err, wire.FailedNoVideo, "no video at the site")

	// Long before the first recording: the next video there is, and why there is none before.
	begin := s.recorded(t, "shop", time.Second)
	w = s.offer("shop")
	w.FromUs, w.Width = 1, 320
	v := watch(t, s.room, w)
	if v.answer.Stream != id.Main {
		t.Errorf("answer %+v, want the stream that is recorded", v.answer)
	}
	if gap := v.note("gap", nil); gap.FromUs != 1 || gap.ToUs < begin-1 || gap.ToUs > begin+100_000 {
		t.Errorf("gap %+v, want one up to %d", gap, begin)
	}
	p := v.seen(5)
	assertWhole(t, p)
	v.order(`{"type":"seek","at_us":9223372036854775807}`)
	v.note("position", func(n rtc.Note) bool { return n.Live })
}

func testGap(t *testing.T, s *site) {
	s.recorded(t, "cut", 2*time.Second)
	s.turn(t, "cut", func(k *fakecam.Knobs) { k.Offline = true })
	lost := s.cam("cut").Main().Sent()
	cutUs := s.sentUs(t, "cut", lost)
	eventually.True(t, "a gap", func() bool { return time.Now().UnixMicro()-cutUs > 3_000_000 })
	s.turn(t, "cut", func(k *fakecam.Knobs) { k.Offline = false })
	eventually.True(t, "five seconds", func() bool { return time.Now().UnixMicro()-cutUs > 5_500_000 })
	w := s.offer("cut")
	w.FromUs = cutUs - 300_000
	v := watch(t, s.room, w)
	gap := v.note("gap", nil)
	if d := gap.FromUs - cutUs; d < -300_000 || d > 100_000 || gap.ToUs-gap.FromUs < 2_900_000 {
		t.Errorf("gap %+v, want one from %d on", gap, cutUs)
	}
	if gap.Text == "" {
		t.Errorf("gap %+v without a reason", gap)
	}
	t.Logf("gap: %s", gap.Text)
	v.until("video behind the gap", func() bool { return v.pictures[len(v.pictures)-1].SentUs > gap.ToUs+500_000 })
	pictures := v.seen(1)
	i := slices.IndexFunc(pictures, func(p picture) bool { return p.SentUs > gap.ToUs-200_000 })
	if d := pictures[i].at.Sub(pictures[i-1].at); d > 2*time.Second || !pictures[i].key {
		t.Errorf("the gap took the viewer %v; a key frame comes after it: %v", d, pictures[i].key)
	}
	s.assertGapBackwards(t, v, gap)
}

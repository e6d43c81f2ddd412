package camera

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/fakecam"
)

// film feeds a still with pictures, 15 a second, and returns when it first said that they stand still.
func film(s *still, d time.Duration, picture func(i int) media.Frame) (at time.Duration, said bool) {
	begin := time.Unix(1000, 0)
	for i := 0; ; i++ {
		now := time.Duration(i) * time.Second / 15
		if now > d {
			return 0, false
		}
		f := picture(i)
		s.add(&f, begin.Add(now))
		if s.frozen(begin.Add(now)) {
			return now, true
		}
	}
}

func shot(key bool, bytes ...byte) media.Frame {
	return media.Frame{Key: key, Units: [][]byte{bytes}}
}

func TestStill(t *testing.T) {
	for name, c := range map[string]struct {
		picture func(i int) media.Frame
		want    time.Duration // 0: never
	}{
		"a living picture":  {func(i int) media.Frame { return shot(i%30 == 0, byte(i), byte(i>>8)) }, 0},
		"one picture":       {func(int) media.Frame { return shot(true, 1, 2, 3) }, 15 * time.Second},
		"one picture, late": {func(i int) media.Frame { return shot(i%30 == 0, byte(min(i, 75)), byte(min(i, 75)>>8)) }, 20 * time.Second},
		"one group of pictures, again and again": {
			func(i int) media.Frame { return shot(i%30 == 0, byte(i%30)) }, 15 * time.Second,
		},
		"pictures without change between key frames": {func(i int) media.Frame {
			if i%30 == 0 {
				return shot(true, byte(i), byte(i>>8))
			}
			return shot(false, 7)
		}, 0},
	} {
		at, said := film(&still{}, time.Minute, c.picture)
		if said != (c.want > 0) || (at-c.want).Abs() > 2*time.Second {
			t.Errorf("%s: said %v after %v, want %v", name, said, at, c.want)
		}
	}
}

func TestKeyFramesThatStayAway(t *testing.T) {
	begin := time.Unix(1000, 0)
	for _, c := range []struct {
		distances []time.Duration
		limit     time.Duration
	}{
		{[]time.Duration{2 * time.Second, 2 * time.Second}, keyFault},
		{[]time.Duration{10 * time.Second}, 25 * time.Second},
		{[]time.Duration{2 * time.Second, time.Minute, 2 * time.Second}, 150 * time.Second},
		{nil, keyUnknown},
	} {
		var k keys
		now := begin
		k.add(now)
		for _, d := range c.distances {
			now = now.Add(d)
			k.add(now)
		}
		if k.away(now.Add(c.limit-time.Second)) || !k.away(now.Add(c.limit+time.Second)) {
			t.Errorf("after key frames %v apart the limit is not %v", c.distances, c.limit)
		}
	}
}

func TestLossIsMeasured(t *testing.T) {
	p := &session{}
	var l loss
	second := func(packets, lost uint64) (string, bool) {
		p.count.packets.Add(packets)
		p.count.lost.Add(lost)
		return l.tick(p)
	}
	second(0, 0)
	for range 20 {
		if _, faulty := second(100, 0); faulty {
			t.Fatal("faulty without loss")
		}
	}
	if _, faulty := second(100, 1); faulty {
		t.Error("one packet is enough")
	}
	for range 10 {
		second(95, 5)
	}
	if share, faulty := second(95, 5); !faulty || share != "Some in a hundred" {
		t.Errorf("a twentieth: %v, %s", faulty, share)
	}
	for range 10 {
		second(100, 0)
	}
	if _, faulty := second(100, 0); faulty {
		t.Error("faulty for ever")
	}
	if _, faulty := l.tick(&session{}); faulty {
		t.Error("a new session begins with the faults of the last one")
	}
}

func TestSurge(t *testing.T) {
	var s surge
	for i := range 60 {
		if s.tick(1000+float64(i%3)*100) > 0 {
			t.Fatal("a usual rate is a surge")
		}
	}
	if s.tick(7000) > 0 {
		t.Error("a picture with more in it is a surge")
	}
	if got := s.tick(90_000); got != 90_000 {
		t.Errorf("ninety times as much: %v", got)
	}
	if got := s.tick(80_000); got != 90_000 {
		t.Errorf("its measure changes with every second: %v", got)
	}
	if s.tick(1200) > 0 {
		t.Error("the surge has no end")
	}
}

func TestSkew(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ntp := func(at time.Time) uint64 {
		return uint64(at.Unix()+since1900)<<32 | uint64(at.Nanosecond())<<32/1e9
	}
	for _, c := range []struct {
		off   time.Duration
		words string
	}{
		{0, ""},
		{9 * time.Second, ""},
		{-9 * time.Second, ""},
		{3*time.Minute + 4*time.Second, "3m0s ahead"},
		{-2 * time.Hour, "2h0m0s behind"},
		{-time.Duration(now.Unix()) * time.Second, ""}, // counts from its start
	} {
		var k skew
		for late := range 7 {
			k.add(ntp(now.Add(c.off-time.Duration(late%3)*20*time.Millisecond)), now)
		}
		if d, known := k.offset(); known && (d-c.off).Abs() > time.Millisecond {
			t.Errorf("%v is measured as %v", c.off, d)
		}
		if got := k.inWords("h"); (got == "") != (c.words == "") || !strings.Contains(got, c.words) {
			t.Errorf("%v is said as %q", c.off, got)
		}
	}
}

func TestACameraWhoseClockIsWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{ready: func(r *rig) { r.turn(fakecam.Knobs{NTPOffsetMs: 3_600_000}) }})
	v := r.watch(id.Main)
	frames := v.frames(10)
	r.condition("camera_clock", wire.Failing, "1h0m0s ahead")
	if off := r.clock.WallIn(frames[9].Params.Run, frames[9].MonoUs) - time.Now().UnixMicro(); abs(off) > 60_000_000 {
		t.Error("recordings have the camera's time")
	}
	if st := r.room.States()[0].Streams[0]; st.State == wire.Failing {
		t.Errorf("the stream fails for it: %+v", st)
	}
}

// pipe is a line to a far side that the test plays.
func pipe(t *testing.T, silence time.Duration, apart bool) (*line, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return newLine(near, silence, apart), far
}

// drain reads until the line breaks.
func drain(l *line) (n int64, err error) {
	n, err = io.Copy(io.Discard, struct{ io.Reader }{l})
	return n, err
}

func TestALineHasLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l, _ := pipe(t, 10*time.Second, false)
		if _, err := drain(l); !errors.Is(err, errSilent) || time.Since(began) != 10*time.Second || !errors.Is(l.cause(), errSilent) {
			t.Errorf("silence gives %v after %v", err, time.Since(began))
		}
		var dripping sync.WaitGroup
		defer dripping.Wait()
		drip := func(l *line, far net.Conn, every time.Duration, bytes int) {
			dripping.Go(func() {
				for {
					if _, err := far.Write(make([]byte, bytes)); err != nil {
						return
					}
					<-time.After(every)
				}
			})
		}
		began = time.Now()
		l, far := pipe(t, 10*time.Second, false)
		drip(l, far, time.Second, 1)
		if _, err := drain(l); !errors.Is(err, errEndless) || time.Since(began) > setupTime+time.Second {
			t.Errorf("a byte a second gives %v after %v", err, time.Since(began))
		}
		_ = far.Close()
		l, far = pipe(t, 10*time.Second, false)
		drip(l, far, time.Millisecond, 64<<10)
		if n, err := drain(l); !errors.Is(err, errEndless) || n > setupBytes+64<<10 {
			t.Errorf("a long answer gives %v after %d bytes", err, n)
		}
		_ = far.Close()
		for rate, want := range map[int]error{maxRate * 3 / 2: errFlood, maxRate / 2: nil} {
			l, far = pipe(t, 10*time.Second, false)
			l.playing.Store(true)
			drip(l, far, 100*time.Millisecond, rate/10)
			enough := time.AfterFunc(20*time.Second, l.abort)
			_, err := drain(l)
			enough.Stop()
			if got := errors.Is(err, errFlood); got != (want != nil) {
				t.Errorf("%d MB/s gives %v", rate>>20, err)
			}
			_ = far.Close()
		}
	})
}

func TestALineWhosePicturesTakeAnotherWayMayBeSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, far := pipe(t, 10*time.Second, true)
		l.playing.Store(true)
		go func() {
			<-time.After(time.Hour)
			_ = far.Close()
		}()
		began := time.Now()
		if _, err := drain(l); errors.Is(err, errSilent) || time.Since(began) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

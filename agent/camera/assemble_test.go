package camera

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/mp4"
	"holdfast/testenv/scenes"
)

// bench is an assembler that is fed by hand, in a bubble of time.
type bench struct {
	t     *testing.T
	clock *media.Clock
	a     *assembler
	loop  *scenes.Loop
	out   []media.Frame
	rtp   uint32
	n     int
}

func newBench(t *testing.T, sound bool, known bool) *bench {
	t.Helper()
	loop, err := scenes.Load("carpark/sub")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, clock: media.NewClock(), loop: loop}
	b.clock.Begin(1)
	var s sets
	if known {
		s = sets{sps: loop.Video.SPS, pps: loop.Video.PPS}
	}
	b.a = newAssembler(b.clock, newVideo(codecH264(), s, false), 0, func(f media.Frame) { b.out = append(b.out, f) })
	if sound {
		b.a.addAudio(mp4.Track{Codec: mp4.PCMU, Timescale: 8000, SampleRate: 8000, Channels: 1})
	}
	return b
}

const tick = time.Second / 15

// shoot sends the next picture of the loop with more units in front of it, and lets a frame's time pass.
func (b *bench) shoot(before ...[]byte) {
	u := b.loop.Units[b.n%len(b.loop.Units)]
	b.a.pushVideo(append(slices.Clone(before), u.NALUs...), b.rtp)
	b.n++
	b.rtp += 6000
	<-time.After(tick)
}

func (b *bench) params() (out []*media.Params) {
	for _, f := range b.out {
		if len(out) == 0 || out[len(out)-1] != f.Params {
			out = append(out, f.Params)
		}
	}
	return out
}

func TestParameterSetsInTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, false, false)
		delimiter := []byte{9, 0xf0}
		for range 5 {
			b.shoot(delimiter) // a key frame without any sets can't be used
		}
		if len(b.out) > 0 {
			t.Fatal("frames came out before any parameter sets")
		}
		b.n = 0
		second := append([]byte{}, b.loop.Video.PPS...)
		second = append(second, 0x55) // another picture parameter set beside the first
		for b.n < 60 {
			if b.loop.Units[b.n].Key {
				b.shoot(delimiter, b.loop.Video.SPS, b.loop.Video.PPS, second)
			} else {
				b.shoot(delimiter)
			}
		}
		if got := b.params(); len(got) != 1 || !bytes.Equal(got[0].Video().SPS, b.loop.Video.SPS) {
			t.Fatalf("%d Params", len(got))
		}
		for i, f := range b.out {
			kinds := map[nalKind]int{}
			for _, u := range f.Units {
				kinds[kindH264(u)]++
			}
			if kinds[nalSPS] != 0 || kinds[nalDrop] != 0 {
				t.Errorf("frame %d holds units %v", i, kinds)
			}
			// The second set is not in Params: it must stay where it is.
			if want := map[bool]int{true: 1, false: 0}[f.Key]; kinds[nalPPS] != want {
				t.Errorf("frame %d holds %d picture parameter sets, want %d", i, kinds[nalPPS], want)
			}
		}
	})
}

func TestSetsThatFlipDoNotCutTheStreamToPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, false, false)
		other := bytes.Clone(b.loop.Video.PPS)
		other[len(other)-1] ^= 0x40
		for b.n < 15*60 {
			pps := b.loop.Video.PPS
			if b.n/30%2 == 1 {
				pps = other
			}
			if b.loop.Units[b.n%len(b.loop.Units)].Key {
				b.shoot(b.loop.Video.SPS, pps)
			} else {
				b.shoot()
			}
		}
		// Thirty flips in a minute; three are followed in any half minute.
		if got := len(b.params()); got < 4 || got > 9 {
			t.Errorf("%d Params in a minute of flips", got)
		}
		for i, f := range b.out {
			if !f.Key {
				continue
			}
			in := f.Params.Video().PPS
			for _, u := range f.Units {
				if kindH264(u) == nalPPS {
					in = u
				}
			}
			want := b.loop.Video.PPS
			if (i/30)%2 == 1 {
				want = other
			}
			if !bytes.Equal(in, want) {
				t.Errorf("key frame %d would be decoded with the wrong parameter set", i)
			}
		}
	})
}

func TestABurstAtTheBeginningIsFromThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, false, true)
		<-time.After(10 * time.Second)
		// A recorder sends the two seconds since the last key frame at once.
		for i := range 30 {
			b.a.pushVideo(slices.Clone(b.loop.Units[i].NALUs), uint32(i)*6000)
		}
		for i := 30; i < 60; i++ {
			<-time.After(tick)
			b.a.pushVideo(slices.Clone(b.loop.Units[i].NALUs), uint32(i)*6000)
		}
		first := int64(10_000_000) - 29*66_667
		for i, f := range b.out {
			if off := abs(f.MonoUs - first - int64(i)*66_667); off > 5000 {
				t.Fatalf("frame %d is estimated %d ms off", i, off/1000)
			}
		}
		if len(b.out) != 60 {
			t.Errorf("%d frames came out", len(b.out))
		}
	})
}

func TestNothingIsPlacedBeforeTheLastSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, false, true)
		<-time.After(10 * time.Second)
		b.a.floorUs = 9_500_000
		for i := range 30 {
			b.a.pushVideo(slices.Clone(b.loop.Units[i].NALUs), uint32(i)*6000)
		}
		<-time.After(settle + tick)
		b.a.pushVideo(slices.Clone(b.loop.Units[30].NALUs), 30*6000)
		if len(b.out) == 0 || b.out[0].MonoUs < 9_500_000 {
			t.Fatalf("the first of %d frames is at %d", len(b.out), b.out[0].MonoUs)
		}
	})
}

func TestAStepOfTheClockMovesToTheNewRunAtAKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, true, true)
		speak := func() { b.a.pushAudio([][]byte{make([]byte, 533)}, uint32(b.n)*533) }
		for b.n < 40 {
			b.shoot()
			speak()
		}
		b.clock.Begin(2)
		for b.n < 90 {
			b.shoot()
			speak()
		}
		runs := b.params()
		if len(runs) != 2 || runs[0].Run != 1 || runs[1].Run != 2 {
			t.Fatalf("runs of %d Params", len(runs))
		}
		last := map[int]media.Frame{}
		for i, f := range b.out {
			was, ok := last[f.Track]
			if ok && was.Params != f.Params && f.Track == 0 && !f.Key {
				t.Errorf("frame %d begins the new run and is no key frame", i)
			}
			if ok && was.Params == f.Params && f.MonoUs <= was.MonoUs {
				t.Errorf("frame %d of track %d runs backwards", i, f.Track)
			}
			if now := b.clock.MonoIn(f.Params.Run); f.MonoUs < 0 || f.MonoUs > now {
				t.Errorf("frame %d of track %d is at %d of a run that is at %d", i, f.Track, f.MonoUs, now)
			}
			last[f.Track] = f
		}
	})
}

func TestSoundThatRunsWildHarmsNoPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, true, true)
		wild := []uint32{0, 100, 50, 50, 4_000_000_000, 7, 1 << 31, 3, 2, 1}
		for b.n < 150 {
			b.shoot()
			b.a.pushAudio([][]byte{make([]byte, 160), nil}, wild[b.n%len(wild)]*uint32(b.n))
		}
		if len(b.params()) != 1 {
			t.Errorf("%d Params", len(b.params()))
		}
		pictures, last := 0, map[int]media.Frame{}
		for _, f := range b.out {
			if was, ok := last[f.Track]; ok && (f.DTS <= was.DTS || f.MonoUs <= was.MonoUs) {
				t.Errorf("track %d runs backwards", f.Track)
			}
			last[f.Track] = f
			if f.Track == 0 {
				pictures++
			}
		}
		if pictures != 150 {
			t.Errorf("%d pictures of 150", pictures)
		}
	})
}

// TestOrderThatCannotBeUnderstood feeds slices of which no decoding order can be computed.
func TestOrderThatCannotBeUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, false, true)
		b.shoot()
		shown := []int{3, 1, 2, 6, 4, 5}
		for i := range 300 {
			at := uint32(i/6*6+shown[i%6]) * 6000
			b.a.pushVideo([][]byte{{0x41, 0xff, 0xff, 0xff, 0xff, byte(i)}}, at)
			<-time.After(tick)
		}
		if len(b.out) != 301 {
			t.Errorf("%d frames of 301 came out", len(b.out))
		}
		for i := 1; i < len(b.out); i++ {
			if b.out[i].DTS <= b.out[i-1].DTS || b.out[i].MonoUs <= b.out[i-1].MonoUs {
				t.Errorf("frame %d runs backwards", i)
			}
		}
		// The new order is announced at the next key frame.
		b.n, b.rtp = 0, 301*6000
		b.shoot()
		if last := b.out[len(b.out)-1]; !last.Params.BFrames {
			t.Error("pictures out of order are not said to be so")
		}
	})
}

func FuzzAssembler(f *testing.F) {
	f.Add([]byte{0x67, 1, 2, 3}, []byte{0x65, 0x88}, []byte{0x41}, uint32(7), false)
	f.Add([]byte{0x40, 1, 2}, []byte{0x42, 1, 1, 1}, []byte{0x26, 1, 0xff}, uint32(1<<31), true)
	f.Fuzz(func(t *testing.T, a, b, c []byte, raw uint32, h265 bool) {
		clock := media.NewClock()
		kind := codecH264()
		if h265 {
			kind = codecH265()
		}
		out := 0
		as := newAssembler(clock, newVideo(kind, sets{}, false), 0, func(media.Frame) { out++ })
		as.addAudio(mp4.Track{Codec: mp4.Opus, Timescale: 48000, SampleRate: 48000, Channels: 2})
		for i := range uint32(4) {
			as.pushVideo([][]byte{a, b, c, nil}, raw*i)
			as.pushVideo([][]byte{c, a}, raw+i)
			as.pushAudio([][]byte{a, b}, raw*i)
		}
	})
}

package relay

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"holdfast/shared/mp4"
)

func TestOrder(t *testing.T) {
	now := time.Now()
	put := func(o *order, seq uint16, at time.Duration) (got []uint16, torn bool) {
		due, torn := o.put(&rtp.Packet{Header: rtp.Header{SequenceNumber: seq}}, now.Add(at))
		for _, p := range due {
			got = append(got, p.SequenceNumber)
		}
		return got, torn
	}
	o := newOrder()
	for _, step := range []struct {
		seq  uint16
		at   time.Duration
		want []uint16
		torn bool
	}{
		{2, 0, nil, false}, // the first one comes second
		{1, 0, []uint16{1, 2}, false},
		{30000, 0, []uint16{30000}, true}, // another sender
		{65534, 0, []uint16{65534}, true}, // and another
		{0, 0, nil, false},
		{1, 0, nil, false},
		{65535, 0, []uint16{65535, 0, 1}, false}, // over the end of the numbers
		{65535, 0, nil, false},                   // again
		{3, 0, nil, false},
		{4, missing / 2, nil, false},
		{5, missing + time.Millisecond, []uint16{3, 4, 5}, true}, // the second one does not come
		{2, missing + time.Millisecond, nil, false},              // too late
		{6, 2 * missing, []uint16{6}, false},
		{40000, 2 * missing, []uint16{40000}, true}, // another sender
	} {
		if got, torn := put(o, step.seq, step.at); !slices.Equal(got, step.want) || torn != step.torn {
			t.Errorf("packet %d at %v: %v, %v; want %v, %v", step.seq, step.at, got, torn, step.want, step.torn)
		}
	}
}

// TestOrderOfAnything puts packets in whatever order: what is due is always one more than what was before, or torn.
func TestOrderOfAnything(t *testing.T) {
	o := newOrder()
	r := rand.New(rand.NewPCG(1, 2))
	now, last, some, count := time.Now(), uint16(0), false, 0
	numbers := make([]int, 20000)
	for i := range numbers {
		numbers[i] = i
	}
	for i := range len(numbers) - 30 {
		j := i + r.IntN(30)
		numbers[i], numbers[j] = numbers[j], numbers[i]
	}
	for _, n := range numbers {
		now = now.Add(5 * time.Millisecond)
		seq := uint16(n) + 60000 // over the end of the numbers
		if r.IntN(2000) == 0 {
			continue // lost for good
		}
		due, torn := o.put(&rtp.Packet{Header: rtp.Header{SequenceNumber: seq}}, now)
		for i, p := range due {
			if some && (!torn || i > 0) && p.SequenceNumber != last+1 {
				t.Fatalf("packet %d follows %d", p.SequenceNumber, last)
			}
			last, some = p.SequenceNumber, true
			count++
		}
	}
	if count < 15000 {
		t.Errorf("only %d packets came out", count)
	}
}

func TestIsKey(t *testing.T) {
	for name, c := range map[string]struct {
		codec      mp4.Codec
		payload    []byte
		key, opens bool
	}{
		"IDR":                        {mp4.H264, []byte{0x65, 1}, true, false},
		"slice":                      {mp4.H264, []byte{0x41, 1}, false, false},
		"SPS":                        {mp4.H264, []byte{0x67, 1}, true, true},
		"delimiter and SPS together": {mp4.H264, []byte{24, 0, 2, 9, 16, 0, 2, 0x67, 1}, true, true},
		"SEI and slice together":     {mp4.H264, []byte{24, 0, 2, 6, 5, 0, 2, 0x41, 1}, false, false},
		"together, cut short":        {mp4.H264, []byte{24, 0, 9, 0x67}, false, false},
		"a piece of an IDR":          {mp4.H264, []byte{28, 0x85, 1}, true, false},
		"a piece of a slice":         {mp4.H264, []byte{28, 0x81, 1}, false, false},
		"nothing":                    {mp4.H264, nil, false, false},
		"H.265 IDR":                  {mp4.H265, []byte{19 << 1, 1, 0}, true, false},
		"H.265 CRA":                  {mp4.H265, []byte{21 << 1, 1, 0}, true, false},
		"H.265 slice":                {mp4.H265, []byte{1 << 1, 1, 0}, false, false},
		"H.265 SPS":                  {mp4.H265, []byte{33 << 1, 1, 0}, true, true},
		"H.265 together":             {mp4.H265, []byte{48 << 1, 1, 0, 2, 32 << 1, 1, 0, 2, 33 << 1, 1}, true, true},
		"a piece of an H.265 IDR":    {mp4.H265, []byte{49 << 1, 1, 0x80 | 19}, true, false},
		"sound":                      {mp4.Opus, []byte{0x65, 1, 2}, false, false},
	} {
		if key, opens := isKey(c.codec, c.payload); key != c.key || opens != c.opens {
			t.Errorf("%s: key %v, opens %v", name, key, opens)
		}
	}
}

// FuzzIsKey reads anything as the payload of a picture: what opens a key frame belongs to one.
func FuzzIsKey(f *testing.F) {
	for _, p := range [][]byte{{0x65, 1}, {24, 0, 2, 9, 16, 0, 2, 0x67, 1}, {28, 0x85, 1}, {96, 1, 0, 2, 64, 1}, {98, 1, 0x93}} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, codec := range []mp4.Codec{mp4.H264, mp4.H265} {
			if key, opens := isKey(codec, payload); opens && !key {
				t.Errorf("%v %x opens a key frame and belongs to none", codec, payload)
			}
		}
	})
}

func TestLine(t *testing.T) {
	var l line
	now := time.Now()
	all := func(step) bool { return true }
	hear := func(loss float64, every time.Duration, n int, can func(step) bool) {
		for range n {
			now = now.Add(every)
			l.report(rtcp.ReceptionReport{FractionLost: uint8(loss * 256)}, now, can)
		}
	}
	hear(0, time.Second, 10, all)
	if l.now != whole {
		t.Errorf("a line that loses nothing is at step %d", l.now)
	}
	hear(0.3, time.Second, 2, all)
	if l.now != small {
		t.Errorf("after two bad reports it is at step %d", l.now)
	}
	hear(0.3, time.Second, 30, all)
	if l.now != stills {
		t.Errorf("a line that stays bad is at step %d", l.now)
	}
	hear(0.05, time.Second, 100, all)
	if l.now != stills {
		t.Errorf("with some loss it goes up to step %d", l.now)
	}
	hear(0, time.Second, 100, func(s step) bool { return s != small })
	if l.now != whole {
		t.Errorf("a line that is well again is at step %d", l.now)
	}
	hear(0.3, time.Second, 2, func(s step) bool { return s != small })
	if l.now != keys {
		t.Errorf("without a small stream it goes to step %d", l.now)
	}
	hear(0, time.Second, 16, all)
	up := l.now
	hear(0.3, time.Second, 4, all) // that was too early
	hear(0, time.Second, 20, all)
	if up != small || l.now < keys {
		t.Errorf("it went up to %d, and after that was wrong to %d", up, l.now)
	}
}

func TestClock(t *testing.T) {
	var o offset
	if _, ok := o.here(5); ok {
		t.Error("a clock is known that nobody has told")
	}
	now := time.Now()
	const ahead = 3_600_000_000
	for trip := range 20 {
		sent := now.UnixMicro()
		now = now.Add(time.Duration(trip+1) * time.Millisecond)
		// All of the way takes longer, but the way back.
		o.hear(pong(sent, sent+int64(trip+1)*1000-500+ahead), now)
	}
	if at, ok := o.here(ahead + 100_000_000); !ok || at < 100_000_000-20_000 || at > 100_000_000+20_000 {
		t.Errorf("the far clock is %d off", at-100_000_000)
	}
	o.hear(pong(now.UnixMicro()+1e9, 0), now) // from the future
	if len(o.known) != answersKept {
		t.Errorf("%d answers are kept", len(o.known))
	}
}

// TestALongGroupIsNotAskedForAgain has a camera whose group of pictures is too long to be kept: what would bring it all again is
// not asked for, unless something of it is lost or somebody comes.
func TestALongGroupIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	p := &pull{seat: &seat{}, legs: map[audience]bool{}}
	stamp := uint32(0)
	put := func(payload []byte, torn bool) {
		stamp += 3000
		p.put(&rtp.Packet{Header: rtp.Header{Timestamp: stamp, Marker: true}, Payload: payload}, mp4.H264, torn, nil)
	}
	keyFrame, other := []byte{0x65, 0x88, 1}, make([]byte, 1<<20)
	other[0] = 0x41
	put(keyFrame, false)
	if _, key := p.newest(); !key {
		t.Fatal("there is no key frame to begin with")
	}
	for range groupMost>>20 + 2 {
		put(other, false)
	}
	if !p.begged.IsZero() {
		t.Errorf("a group that is too long is asked for again at %v", p.begged)
	}
	if _, key := p.newest(); key || p.begged.IsZero() {
		t.Errorf("a newcomer into a group that is too long: to begin with %v, asked for at %v", key, p.begged)
	}
	before := p.begged
	if p.newest(); p.begged != before {
		t.Error("each newcomer has it asked for again")
	}
	p.begged = time.Time{}
	put(other, true)
	if p.begged.IsZero() {
		t.Error("something is lost, and nobody asks for it")
	}
	put(keyFrame, false)
	if _, key := p.newest(); !key || p.long {
		t.Error("the next key frame begins no group")
	}
}

package talk

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"

	"holdfast/shared/mp4"
)

// said is the n-th packet of a stream that begins at a stamp, all of whose samples are its number.
func said(zero uint32, n int) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Timestamp: zero + uint32(n*part)}, Payload: bytes.Repeat([]byte{byte(n)}, part)}
}

const quiet = 0xff

// hear takes so many parts and returns what each was: the number of its packet, quiet, or -1 for a mixture.
func hear(v *voice, parts int) (out []int) {
	for range parts {
		p := v.next()
		one := int(p[0])
		for _, b := range p {
			if int(b) != one {
				one = -1
			}
		}
		out = append(out, one)
	}
	return out
}

func want(t *testing.T, what string, got []int, want ...int) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v", what, got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: heard %v, want %v", what, got, want)
			return
		}
	}
}

func TestVoiceBecomesEven(t *testing.T) {
	const wraps = 1<<32 - 2*part // stamps go round in the middle
	v := &voice{silence: silenceOf(mp4.PCMU)}
	want(t, "before the first word", hear(v, 2), quiet, quiet)
	for _, n := range []int{1, 3, 2, 4, 4} { // in bursts, in disorder, doubled
		v.put(said(wraps, n))
	}
	want(t, "the first words", hear(v, 5), quiet, quiet, quiet, 1, 2)
	v.put(said(wraps, 6)) // 5 is lost
	want(t, "a loss", hear(v, 4), 3, 4, quiet, 6)
	v.put(said(wraps, 5))
	want(t, "what comes too late", hear(v, 2), quiet, quiet)
	if got := v.tally(); got != (counts{packets: 7, late: 1, holes: 1}) {
		t.Errorf("counted %+v", got)
	}
}

func TestVoiceStaysInThePresent(t *testing.T) {
	v := &voice{silence: quiet}
	for n := range 30 { // a stall, and then more than half a second at once
		v.put(said(0, n))
	}
	if got := hear(v, 4); got[0] < 26 {
		t.Errorf("after a burst packet %d of 29 is heard first: the rest comes late for ever", got[0])
	}
	v.put(said(0, 30))
	hear(v, 20)
	for n := range 2 * lateMost { // the way is longer now: what comes is always late
		v.put(said(0, 31+n))
		if heard := hear(v, 1)[0]; n > lateMost+depth/part+1 && heard == quiet {
			t.Errorf("packet %d: nothing is heard although the way has been longer for a while", n)
		}
	}
	v.put(&rtp.Packet{Payload: make([]byte, longest+1)}) // no browser sends that
	if got := v.tally().packets; got != 31+2*lateMost {
		t.Errorf("%d packets counted", got)
	}
}

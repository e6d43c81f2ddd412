package live

import (
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/shared/rtc"
	"holdfast/testenv/eventually"
)

// shown waits for the answer to a word, and for the picture that it names.
func (v *viewer) shown() (picture, rtc.Note) {
	v.t.Helper()
	n := v.note("picture", nil)
	return v.named(n), n
}

// named waits for the picture that a note names; it must be the last one that came.
func (v *viewer) named(n rtc.Note) (p picture) {
	v.t.Helper()
	v.until("the picture that was named", func() bool {
		i := slices.IndexFunc(v.pictures, func(p picture) bool { return p.rtp == n.RTP })
		if i >= 0 {
			p = v.pictures[i]
		}
		return i >= 0
	})
	if d := p.SentUs - n.AtUs; d < -150_000 || d > 150_000 {
		v.t.Errorf("frame %d was sent by the camera at %d, the note says %d", p.Frame, p.SentUs, n.AtUs)
	}
	return p
}

// step orders a step and returns what it led to, with the pictures that came for it.
func (v *viewer) step(count int) (picture, rtc.Note, []picture) {
	v.t.Helper()
	have := len(v.seen(1))
	v.order(rtc.Op{Type: "step", Count: count})
	p, n := v.shown()
	return p, n, v.seen(1)[have:]
}

// assertFresh checks that pictures begin with a key frame and that none is missing up to the last.
func assertFresh(t *testing.T, came []picture, last uint64) {
	t.Helper()
	if len(came) == 0 {
		t.Fatalf("no picture came for frame %d", last)
	}
	assertWhole(t, came)
	if n := came[len(came)-1].Frame; n != last {
		t.Errorf("the last picture is frame %d, want %d", n, last)
	}
}

func testSteps(t *testing.T, s *site) {
	begin := s.recorded(t, "dock", 14*time.Second) // several segments
	w := s.offer("dock")
	w.FromUs = begin + 5_000_000
	v := watch(t, s.room, w)
	if n := v.note("position", nil); !n.Steps {
		t.Errorf("position %+v, want one that knows steps", n)
	}
	v.seen(50)
	v.order(rtc.Op{Type: "pause"})
	at, _ := v.shown()
	for _, count := range []int{1, 1, 5, 1} { // what comes next, and nothing else
		p, n, came := v.step(count)
		if p.Frame != at.Frame+uint64(count) || len(came) != count || came[0].Frame != at.Frame+1 || !n.Step {
			t.Errorf("%d on from frame %d: %d pictures up to frame %d, note %+v", count, at.Frame, len(came), p.Frame, n)
		}
		at = p
	}
	for range 75 { // over the border of a segment, whatever its length
		p, n, came := v.step(-1)
		if p.Frame != at.Frame-1 || n.Text != "" {
			t.Fatalf("one back from frame %d is frame %d, note %+v", at.Frame, p.Frame, n)
		}
		assertFresh(t, came, p.Frame)
		at = p
	}
	p, _, came := v.step(-3)
	assertFresh(t, came, at.Frame-3)
	next, _, came := v.step(1)
	if next.Frame != p.Frame+1 || len(came) != 1 {
		t.Errorf("after frame %d came %d pictures, the last is frame %d", p.Frame, len(came), next.Frame)
	}
	s.assertFirst(t, v, next.Frame)
	s.assertQuick(t, v)
	s.assertNewest(t, v)
}

// assertFirst steps back to the beginning of what is recorded, from some frame.
func (s *site) assertFirst(t *testing.T, v *viewer, from uint64) {
	t.Helper()
	var n rtc.Note
	var p picture
	for i := 0; n.Text == ""; i++ {
		if i > int(from)/rtc.MaxStep+1 {
			t.Fatalf("after %d steps of %d back from frame %d it is at frame %d", i, rtc.MaxStep, from, p.Frame)
		}
		p, n, _ = v.step(-rtc.MaxStep)
	}
	if n.Text != noOlder || !p.key {
		t.Errorf("note %+v with frame %d", n, p.Frame)
	}
	if again, n, came := v.step(-1); n.Text != noOlder || again.Frame != p.Frame || len(came) != 0 {
		t.Errorf("before the first picture, frame %d, comes frame %d with %d pictures, note %+v", p.Frame, again.Frame, len(came), n)
	}
}

// assertQuick presses the key faster than pictures come, and then plays on.
func (s *site) assertQuick(t *testing.T, v *viewer) {
	t.Helper()
	all := v.seen(1)
	at := all[len(all)-1].Frame
	const presses = 40
	for range presses {
		v.order(rtc.Op{Type: "step", Count: 1})
	}
	v.until("all presses", func() bool { return v.pictures[len(v.pictures)-1].Frame == at+presses })
	v.order(rtc.Op{Type: "play"})
	more := v.seen(len(all) + presses + 10)
	for i := len(all); i < len(more); i++ {
		if more[i].Frame != more[i-1].Frame+1 {
			t.Errorf("frame %d follows frame %d", more[i].Frame, more[i-1].Frame)
		}
	}
	// At the speed of key frames the viewer has not what the next picture is decoded from.
	v.order(rtc.Op{Type: "rate", Rate: 16})
	v.order(rtc.Op{Type: "seek", AtUs: more[0].SentUs})
	v.forget()
	v.note("position", func(n rtc.Note) bool { return n.Rate == 16 })
	v.next(1)
	v.forget()
	v.order(rtc.Op{Type: "pause"})
	p, _ := v.shown()
	on, _, came := v.step(1)
	assertFresh(t, came, p.Frame+1)
	if on.Frame != p.Frame+1 {
		t.Errorf("one on from frame %d is frame %d", p.Frame, on.Frame)
	}
	v.order(rtc.Op{Type: "rate", Rate: 1})
}

// assertNewest steps on to the end of what is recorded so far.
func (s *site) assertNewest(t *testing.T, v *viewer) {
	t.Helper()
	v.order(rtc.Op{Type: "seek", AtUs: time.Now().Add(-6 * time.Second).UnixMicro()})
	v.note("position", func(n rtc.Note) bool { return time.Since(time.UnixMicro(n.AtUs)) < 7*time.Second })
	for range 10 {
		p, n, _ := v.step(rtc.MaxStep)
		if n.Text == noNewer {
			if age := time.Since(time.UnixMicro(p.SentUs)); age > 5*time.Second {
				t.Errorf("the newest picture is %v old", age)
			}
			return
		}
	}
	t.Error("there is no newest picture")
}

func testBackwards(t *testing.T, s *site) {
	begin := s.recorded(t, "shop", 14*time.Second)
	w := s.offer("shop")
	w.FromUs = begin + 8_000_000
	v := watch(t, s.room, w)
	v.seen(5)
	v.assertTurn()
	v.order(rtc.Op{Type: "rate", Rate: 1})
	v.forget()
	v.order(rtc.Op{Type: "seek", AtUs: w.FromUs})
	v.note("position", func(n rtc.Note) bool { return n.Asked == w.FromUs })
	v.next(5)
	v.order(rtc.Op{Type: "pause"})
	from, _ := v.shown()
	have := len(v.seen(1))
	v.order(rtc.Op{Type: "rate", Rate: -4})
	v.order(rtc.Op{Type: "play"})
	for i := range 2 { // changes of the rate cost no time, however long a picture still stays
		shown := v.next(1)[0]
		v.until("some of its time", func() bool { return time.Since(shown.at) > 250*time.Millisecond })
		v.order(rtc.Op{Type: "rate", Rate: []float64{-4.1, -4}[i]})
	}
	n := v.note("stop", nil)
	if !strings.Contains(n.Text, "beginning") {
		t.Errorf("note %+v", n)
	}
	v.until("the picture at which it stops", func() bool { // the note may come before it
		return len(v.pictures) > 0 && v.pictures[len(v.pictures)-1].SentUs < n.AtUs+150_000
	})
	came := v.seen(have + 3)[have:]
	last := came[len(came)-1]
	if d := last.SentUs - begin; d > 150_000 {
		t.Errorf("it ends %d ms after the beginning", d/1000)
	}
	before := from
	gop := came[0].Frame - came[1].Frame
	for i, p := range came {
		if !p.key || p.Frame >= before.Frame {
			t.Errorf("before frame %d came frame %d, key frame: %v", before.Frame, p.Frame, p.key)
		}
		if i > 0 {
			if before.Frame-p.Frame != gop {
				t.Errorf("frame %d follows frame %d, want every %d", p.Frame, before.Frame, gop)
			}
			shown := time.Duration(p.rtp-before.rtp) * time.Second / 90_000
			lived := time.Duration(before.SentUs-p.SentUs) * time.Microsecond / 4
			if d := shown - lived; d < -60*time.Millisecond || d > 60*time.Millisecond {
				t.Errorf("frame %d is shown %v after frame %d, want %v", p.Frame, shown, before.Frame, lived)
			}
		}
		before = p
	}
	// It has paused there: what comes next is what follows.
	on, _, more := v.step(1)
	if on.Frame != last.Frame+1 || len(more) != 1 {
		t.Errorf("after the first picture, frame %d, came %d pictures up to frame %d", last.Frame, len(more), on.Frame)
	}
	v.order(rtc.Op{Type: "play"})
	rest := v.next(5)
	if rest[0].Frame != on.Frame+1 {
		t.Errorf("frame %d follows frame %d", rest[0].Frame, on.Frame)
	}
}

// assertTurn turns playback while the viewer sees what the site has sent a while ago, and wants it to go back from there on
// the viewer's screen: what is sent is as long on its way as what it sees.
func (v *viewer) assertTurn() {
	v.t.Helper()
	const late, times = 300_000, 2
	came := v.next(3)
	seen := came[len(came)-1].SentUs - late
	v.order(rtc.Op{Type: "rate", Rate: -times, AtUs: seen})
	var last, key picture
	v.until("the first key frame backwards", func() bool {
		i := slices.IndexFunc(v.pictures, func(p picture) bool { return p.SentUs < seen })
		for i >= 0 && i < len(v.pictures) && (i == 0 || v.pictures[i].SentUs > v.pictures[i-1].SentUs) {
			i++
		}
		if i > 0 && i < len(v.pictures) {
			last, key = v.pictures[i-1], v.pictures[i]
		}
		return key.key
	})
	from := seen - times*(last.SentUs-seen)
	due := time.Duration(from-key.SentUs) * time.Microsecond / times
	if after := time.Duration(key.rtp-last.rtp) * time.Second / 90_000; due < 0 || after-due < -150*time.Millisecond || after-due > 150*time.Millisecond {
		v.t.Errorf("it turned %d ms before what was sent last, and the key frame %d ms before that came after %v, want %v",
			(last.SentUs-seen)/1000, (last.SentUs-key.SentUs)/1000, after, due)
	}
}

func testScrubbing(t *testing.T, s *site) {
	begin := s.recorded(t, "dock", 14*time.Second)
	w := s.offer("dock")
	w.FromUs = begin
	v := watch(t, s.room, w)
	v.seen(3)
	v.order(rtc.Op{Type: "pause"})
	v.shown()
	scrub := func(atUs int64) (picture, []picture) {
		t.Helper()
		have := len(v.seen(1))
		v.order(rtc.Op{Type: "scrub", AtUs: atUs})
		p, _ := v.shown()
		return p, v.seen(1)[have:]
	}
	asked := time.Now()
	for _, after := range []int64{8_500_000, 1_000_000, 4_200_000, 4_210_000, 6_900_000} {
		p, came := scrub(begin + after)
		if !p.key || p.SentUs > begin+after+150_000 || len(came) > 1 {
			t.Errorf("of %d ms came frame %d of %d ms, key frame: %v, %d pictures", after/1000, p.Frame, (p.SentUs-begin)/1000, p.key, len(came))
		}
		if d := begin + after - p.SentUs; d > 4_200_000 { // its group is 4 s long
			t.Errorf("of %d ms came a picture that is %d ms before it", after/1000, d/1000)
		}
	}
	t.Logf("a moment took %v", (time.Since(asked) / 5).Round(100*time.Microsecond))
	// A pointer that moves faster than pictures come: the last moment is what is shown.
	have := len(v.seen(1))
	for i := range int64(200) {
		v.order(rtc.Op{Type: "scrub", AtUs: begin + 8_000_000 - i*40_000})
	}
	v.until("the first key frame", func() bool { return v.pictures[len(v.pictures)-1].SentUs < begin+150_000 })
	came := v.seen(have + 1)[have:]
	if len(came) > 100 {
		t.Errorf("%d pictures were sent for it", len(came))
	}
	v.forget()
	v.order(rtc.Op{Type: "seek", AtUs: begin + 3_000_000}) // let go
	n := v.note("position", nil)
	if d := n.AtUs - begin - 3_000_000; d < 0 || d > 70_000 {
		t.Errorf("it lands %d µs after the moment", d)
	}
	v.order(rtc.Op{Type: "play"})
	v.next(5)
	v.order(rtc.Op{Type: "live"})
	v.note("position", func(n rtc.Note) bool { return n.Live })
	// From the live edge, and to a moment that is no past yet.
	v.order(`{"type":"scrub","at_us":9223372036854775807}`)
	p, _ := v.shown()
	if age := time.Since(time.UnixMicro(p.SentUs)); !p.key || age > 9*time.Second {
		t.Errorf("the newest key frame is %v old, a key frame: %v", age, p.key)
	}
}

// assertGapBackwards goes over a gap that a viewer has just crossed, the other way.
func (s *site) assertGapBackwards(t *testing.T, v *viewer, gap rtc.Note) {
	t.Helper()
	same := func(n rtc.Note) bool {
		return n.Text != "" && max(n.FromUs-gap.FromUs, gap.FromUs-n.FromUs) < 300_000 && max(n.ToUs-gap.ToUs, gap.ToUs-n.ToUs) < 300_000
	}
	eventually.True(t, "the gap to be past", func() bool { return rtc.Recorded(gap.ToUs + 200_000) })
	v.forget()
	v.order(rtc.Op{Type: "scrub", AtUs: gap.FromUs + 2_500_000})
	if n := v.note("picture", nil); n.RTP != 0 || !strings.Contains(n.Text, "no video at the site of this moment. Reason") {
		t.Errorf("in the gap it says %+v", n)
	}
	v.order(rtc.Op{Type: "scrub", AtUs: gap.ToUs + 100_000})
	first, _ := v.shown()
	have := len(v.seen(1))
	v.order(rtc.Op{Type: "step", Count: -1})
	v.note("gap", same)
	p, _ := v.shown()
	assertFresh(t, v.seen(1)[have:], p.Frame)
	if p.SentUs > gap.FromUs+150_000 || !first.key {
		t.Errorf("before frame %d behind the gap comes frame %d", first.Frame, p.Frame)
	}
	v.order(rtc.Op{Type: "step", Count: 1})
	v.note("gap", same)
	on, _ := v.shown()
	if on.Frame != first.Frame {
		t.Errorf("behind the gap comes frame %d, want %d", on.Frame, first.Frame)
	}
	v.order(rtc.Op{Type: "rate", Rate: -16})
	v.order(rtc.Op{Type: "play"})
	v.note("gap", same)
	v.note("stop", nil)
}

package rtc

import (
	"slices"
	"sync"
	"testing"
)

func seekTo(atUs int64) Op { return Op{Type: "seek", AtUs: atUs} }
func stepBy(n int) Op      { return Op{Type: "step", Count: n} }

func TestTheNewestWishWins(t *testing.T) {
	pause, play := Op{Type: "pause"}, Op{Type: "play"}
	scrub := Op{Type: "scrub", AtUs: 7}
	for name, c := range map[string]struct{ said, due []Op }{
		"one after the other":          {[]Op{pause, stepBy(1), play}, []Op{pause, stepBy(1), play}},
		"moments":                      {[]Op{seekTo(1), pause, seekTo(2), scrub}, []Op{pause, scrub}},
		"a seek after scrubs":          {[]Op{scrub, scrub, seekTo(9), play}, []Op{seekTo(9), play}},
		"live":                         {[]Op{stepBy(3), seekTo(1), {Type: "live"}}, []Op{{Type: "live"}}},
		"steps add up":                 {[]Op{stepBy(1), stepBy(1), stepBy(-5)}, []Op{stepBy(-3)}},
		"steps have a bound":           {[]Op{stepBy(90), stepBy(90)}, []Op{stepBy(MaxStep)}},
		"steps from another moment":    {[]Op{seekTo(1), stepBy(1), stepBy(1)}, []Op{seekTo(1), stepBy(2)}},
		"steps that are of no use now": {[]Op{stepBy(2), scrub}, []Op{scrub}},
	} {
		var due []Op
		for _, o := range c.said {
			due = Due(due, o)
		}
		if !slices.Equal(due, c.due) {
			t.Errorf("%s: due is %+v, want %+v", name, due, c.due)
		}
	}
}

// TestAFlood has two channels of one viewer talk at once, with nobody who listens.
func TestAFlood(t *testing.T) {
	c := Control{Ops: make(chan Op, maxDue)}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for i := range 1000 {
				c.put(Op{Type: "rate", Rate: 1})
				c.put(stepBy(1 + i%2))
				c.put(Op{Type: "pause"})
			}
		})
	}
	all.Wait()
	c.put(seekTo(5))
	var last Op
	n := len(c.Ops)
	for range n {
		last = <-c.Ops
	}
	if n > maxDue || last != seekTo(5) {
		t.Errorf("%d words wait, the last is %+v", n, last)
	}
}

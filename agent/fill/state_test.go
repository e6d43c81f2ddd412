package fill

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/wire"
)

// TestFillingSaysWhatItDoes: what waits, what is fetched and how far, what came today, and what was given up and why.
func TestFillingSaysWhatItDoes(t *testing.T) {
	s := newSite(t, t.TempDir())
	defer s.close()
	s.gap(100, wire.Unreachable)
	m := &film{params: params(), to: s.now}
	var during State
	var f *Filler
	nvr := &archive{answer: func(from, to int64, take take) error {
		return m.fetch(from, to, func(x media.Frame, at int64, guessed bool) error {
			if at < s.from+50e6 {
				err := take(x, at, guessed)
				during = f.State()
				return err
			}
			return errors.New("the line was cut")
		})
	}}
	f = s.filler(nil, "nvr", nvr)
	s.round(f)
	if n := during.Now; n == nil || n.Stream != s.stream || n.Source != "nvr" || n.StartUs != s.from || n.EndUs != s.from+100e6 || n.Percent != 49 {
		t.Errorf("while it is fetched: %+v", n)
	}
	if during.Waiting != 1 || during.WaitingUs != 100e6 || !during.Sources {
		t.Errorf("while it is fetched: %+v", during)
	}
	after := f.State()
	if after.Now != nil || after.Waiting != 1 || after.WaitingUs < 49e6 || after.WaitingUs > 51e6 || after.TodayUs < 49e6 || after.TodayUs > 51e6 || after.GivenUp != 0 {
		t.Errorf("when the line was cut: %+v", after)
	}
	if again := s.filler(nil, "nvr", nvr); again.recall(t.Context()) != nil || again.State().TodayUs != after.TodayUs {
		t.Errorf("after a restart %d µs came today", again.State().TodayUs)
	}
	nvr.say(func(int64, int64, take) error { return fmt.Errorf("nothing there: %w", ErrNothing) })
	f.tries = map[int64]*try{}
	s.round(f)
	given := f.State()
	if given.Waiting != 0 || given.WaitingUs != 0 || given.GivenUp != 1 || len(given.Given) != 1 {
		t.Fatalf("when the source has nothing: %+v", given)
	}
	if g := given.Given[0]; g.Reason != wire.Unreachable || g.EndUs != s.from+100e6 || !strings.Contains(g.Text, "nvr: nothing there") {
		t.Errorf("given up: %+v", g)
	}
}

// TestWhatRetentionTookIsNotFetchedAgain: it would be deleted again, for ever.
func TestWhatRetentionTookIsNotFetchedAgain(t *testing.T) {
	s := newSite(t, t.TempDir())
	defer s.close()
	s.gap(30, wire.Unreachable)
	m := &film{params: params(), to: s.now}
	nvr := &archive{answer: m.fetch}
	f := s.filler(func(c *Config) { c.Retry = time.Nanosecond }, "nvr", nvr)
	s.round(f)
	s.round(f)
	segments, err := s.on.Ledger.Segments(t.Context(), s.stream, 0, s.now)
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	if err := s.on.Ledger.Condemn(t.Context(), segments, wire.Expired); err != nil {
		t.Fatal(err)
	}
	s.round(f)
	again := s.filler(func(c *Config) { c.Retry = time.Nanosecond }, "nvr", nvr)
	s.round(again)
	if nvr.times() != 1 {
		t.Errorf("asked %d times for what was deleted", nvr.times())
	}
	// What a disk has lost is another gap, and is wanted again.
	lost := ledger.Gap{Stream: s.stream, Run: 1, StartUs: s.from, EndUs: s.from + 30e6, Reason: wire.Lost}
	if _, err := s.on.Ledger.BeginGap(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	s.round(again)
	s.whole(s.from, s.from+30e6)
}

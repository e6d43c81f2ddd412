package pace

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"
)

const mbit = 1_000_000 / 8

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// TestHours walks through the hours of both days on which the clocks change.
func TestHours(t *testing.T) {
	zone := berlin(t)
	week := Flat(Cap{Up: 100})
	week.Set([7]bool{6: true}, 2, 3, Cap{Up: 2})            // Sunday, 02:00 to 03:00
	week.Set([7]bool{5: true}, 22, 2, Cap{Up: 22})          // Saturday 22:00 into Sunday 02:00
	week.Set([7]bool{0: true, 6: true}, 8, 24, Cap{Up: 80}) // Monday and Sunday from 08:00 on
	for day, want := range map[string]map[int64]int{
		// 02:00 to 03:00 is skipped.
		"2026-03-29": {22: 2, 2: 0, 100: 5, 80: 16},
		// 02:00 to 03:00 comes twice.
		"2026-10-25": {22: 2, 2: 2, 100: 5, 80: 16},
		"2026-11-01": {22: 2, 2: 1, 100: 5, 80: 16},
		"2026-11-02": {100: 8, 80: 16},
		"2026-11-07": {100: 22, 22: 2},
	} {
		start, err := time.ParseInLocation(time.DateOnly, day, zone)
		if err != nil {
			t.Fatal(err)
		}
		got := map[int64]int{}
		for at := start; at.Day() == start.Day(); at = at.Add(time.Hour) {
			got[week.at(at.UTC(), zone).Up]++
		}
		for up := range map[int64]bool{2: true, 22: true, 80: true, 100: true} {
			if got[up] != want[up] {
				t.Errorf("%s: the cap %d holds for %d hours, want %d", day, up, got[up], want[up])
			}
		}
	}
}

// TestTheCapFollowsTheClock lets a budget live through the change of an hour.
func TestTheCapFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it begins on Saturday, 2000-01-01, 00:00 UTC
		week := Flat(Cap{Up: 4 * mbit})
		week.Set([7]bool{5: true}, 1, 2, Cap{Up: mbit})
		p := New(Plan{Week: week, Zone: time.UTC})
		go func() { _ = p.Run(t.Context()) }()
		<-time.After(59*time.Minute + 58*time.Second)
		if s := p.State(); s.Cap != 4*mbit || s.Why.Reason != BySite {
			t.Errorf("before one o'clock: %+v", s)
		}
		<-time.After(3 * time.Second)
		if s := p.State(); s.Cap != mbit || s.Why.Reason != ByHour || !strings.Contains(s.Why.Text, "At this hour 1 Mbit/s") {
			t.Errorf("after one o'clock: %+v", s)
		}
		<-time.After(time.Hour)
		if s := p.State(); s.Cap != 4*mbit {
			t.Errorf("after two o'clock: %+v", s)
		}
	})
}

func TestResolve(t *testing.T) {
	for name, c := range map[string]struct {
		site Cap
		wish Cap
		line float64
		cap  int64
		why  Reason
	}{
		"nothing":                         {cap: 0, why: Unbounded},
		"absolute":                        {site: Cap{Up: 4 * mbit}, cap: 4 * mbit, why: BySite},
		"share":                           {site: Cap{Share: 0.6}, line: 10 * mbit, cap: 6 * mbit, why: ByShare},
		"share of an unknown line":        {site: Cap{Share: 0.6}, cap: mbit, why: Unmeasured},
		"both, the share is less":         {site: Cap{Up: 4 * mbit, Share: 0.2}, line: 10 * mbit, cap: 2 * mbit, why: ByShare},
		"both, the share is more":         {site: Cap{Up: 4 * mbit, Share: 0.9}, line: 10 * mbit, cap: 4 * mbit, why: BySite},
		"unknown, and less is allowed":    {site: Cap{Up: mbit / 2, Share: 0.9}, cap: mbit / 2, why: BySite},
		"the portal lowers":               {site: Cap{Up: 4 * mbit}, wish: Cap{Up: 2 * mbit}, cap: 2 * mbit, why: ByPortal},
		"the portal can't raise":          {site: Cap{Up: 4 * mbit}, wish: Cap{Up: 9 * mbit}, cap: 4 * mbit, why: BySite},
		"the portal alone":                {wish: Cap{Share: 0.5}, line: 10 * mbit, cap: 5 * mbit, why: ByPortal},
		"the portal would cut the line":   {wish: Cap{Up: 1}, cap: leastCap, why: ByPortal},
		"a share of a line that is a few": {site: Cap{Share: 0.1}, line: 1000, cap: leastCap, why: ByShare},
	} {
		p := New(Plan{Week: Flat(c.site)})
		p.gauge.line.Rate = c.line
		var week *Week
		if c.wish != (Cap{}) {
			w := Flat(c.wish)
			week = &w
		}
		p.Wish(week)
		if s := p.State(); s.Cap != c.cap || s.Why.Reason != c.why || s.Why.Text == "" {
			t.Errorf("%s: cap %d because of %+v, want %d because of %s", name, s.Cap, s.Why, c.cap, c.why)
		}
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[int64]string{4 * mbit: "4 Mbit/s", 32_000: "256 kbit/s", 2_345_678: "18.8 Mbit/s", 0: "0 kbit/s"} {
		if got := Words(n); got != want {
			t.Errorf("Words(%d) = %q, want %q", n, got, want)
		}
	}
	p := New(Plan{Week: Flat(Cap{Share: 0.6})})
	p.Spend(Live, 5*mbit)
	p.probe.lifted = true
	for _, want := range []string{"up (live ", "1 Mbit/s until the line was measured; then 60 %", "to measure the line"} {
		if text := p.State().String(); !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}

func TestRoom(t *testing.T) {
	p := New(Plan{})
	if _, bounded := p.Room(); bounded {
		t.Error("without cap and measured line there is a bound")
	}
	p.gauge.line.Rate = 10 * mbit
	if r, bounded := p.Room(); !bounded || r != 8.5*mbit {
		t.Errorf("Room = %v, %v", r, bounded)
	}
	p = New(capped(4 * mbit))
	if r, bounded := p.Room(); !bounded || r != 3.4*mbit {
		t.Errorf("Room = %v, %v", r, bounded)
	}
}

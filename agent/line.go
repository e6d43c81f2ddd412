package agent

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/agent/pace"
)

// Line bounds what the agent sends, all in all.
type Line struct {
	Up    Rate    `yaml:"up"`    // upload ceiling; 0: no ceiling
	Share Percent `yaml:"share"` // of the measured line; 0: no bound. With Up the smaller counts
	Zone  Zone    `yaml:"zone"`  // of Hours; empty: the machine's
	Hours []Hours `yaml:"hours"` // other ceilings at some hours; of several that fit the last counts
}

// Hours is another ceiling for some hours of the week.
type Hours struct {
	Days  Weekdays `yaml:"days"` // empty: every day
	From  *Hour    `yaml:"from"`
	To    *Hour    `yaml:"to"` // not above From: on the morning after
	Up    Rate     `yaml:"up"`
	Share Percent  `yaml:"share"`
}

func (l Line) check(f *faults) {
	bound := func(path string, up Rate) {
		f.when(up > 0 && int64(up)/8 < pace.LeastCap(), path+".up", "want at least 64kbit: with less the site's heartbeats would be late")
	}
	bound("line", l.Up)
	for i, h := range l.Hours {
		at := fmt.Sprintf("line.hours[%d]", i)
		f.when(h.Up == 0 && h.Share == 0, at, "want up or share: what is allowed at these hours")
		f.when((h.From == nil) != (h.To == nil), at, "want both from and to, or neither for the whole day")
		f.when(h.From != nil && h.To != nil && (*h.From == *h.To || *h.From == 24), at+".from", "from this hour to that one is no time; leave both out for the whole day")
		bound(at, h.Up)
	}
}

// plan is the configuration as the budget takes it.
func (l Line) plan() pace.Plan {
	week := pace.Flat(pace.Cap{Up: int64(l.Up) / 8, Share: float64(l.Share) / 100})
	for _, h := range l.Hours {
		from, to := 0, 24
		if h.From != nil && h.To != nil {
			from, to = int(*h.From), int(*h.To)
		}
		days := [7]bool(h.Days)
		if days == ([7]bool{}) {
			days = [7]bool{true, true, true, true, true, true, true}
		}
		week.Set(days, from, to, pace.Cap{Up: int64(h.Up) / 8, Share: float64(h.Share) / 100})
	}
	return pace.Plan{Week: week, Zone: l.Zone.Location}
}

// Zone is a time zone by its name in the IANA database.
type Zone struct{ *time.Location }

// UnmarshalText looks a zone up.
func (z *Zone) UnmarshalText(b []byte) error {
	loc, err := time.LoadLocation(string(b))
	if err != nil {
		return fmt.Errorf("want a time zone like Europe/Berlin, not %q", b)
	}
	z.Location = loc
	return nil
}

// Hour is a full hour of the day, 0 to 24, written as "22:00" or "22".
type Hour int

// UnmarshalText parses an hour.
func (h *Hour) UnmarshalText(b []byte) error {
	text := strings.TrimSuffix(string(b), ":00")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 24 || len(text) > 2 {
		return fmt.Errorf("want a full hour like 22:00, not %q", b)
	}
	*h = Hour(n)
	return nil
}

// Weekdays are days of the week, Monday first, written as "mon-fri, sun".
type Weekdays [7]bool

// UnmarshalText parses days and ranges of days.
func (w *Weekdays) UnmarshalText(b []byte) error {
	for part := range strings.SplitSeq(string(b), ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, to := dayOf(first), dayOf(last)
		if !isRange {
			to = from
		}
		if from < 0 || to < 0 {
			return fmt.Errorf("want days like mon-fri or sat, sun, not %q", b)
		}
		for d := from; ; d = (d + 1) % 7 {
			w[d] = true
			if d == to {
				break
			}
		}
	}
	return nil
}

func dayOf(s string) int {
	const days = "mon tue wed thu fri sat sun"
	s = strings.ToLower(strings.TrimSpace(s))
	if at := strings.Index(days, s); len(s) == 3 && at >= 0 && at%4 == 0 {
		return at / 4
	}
	return -1
}

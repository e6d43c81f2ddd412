package agent

import (
	"fmt"
	"strings"
	"time"
)

// moments are the ways in which a person may write a time of the site's own clock.
func moments() []string {
	return []string{"2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly}
}

// Moment reads a moment as a person writes it: RFC 3339, the site's own time (2026-11-28 14:05:00.123, also without
// seconds), "now", "-10m" (before now) or "+90s" (behind after, where there is one). A local time that the clocks' change
// makes ambiguous is refused.
func Moment(text string, now, after time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "now" {
		return now, nil
	}
	if sign := text + " "; sign[0] == '-' || sign[0] == '+' {
		var d Days
		if err := d.UnmarshalText([]byte(text[1:])); err != nil {
			return time.Time{}, fmt.Errorf("want a length of time behind the sign, like -10m, -1h30m or -2d, not %q", text)
		}
		switch {
		case sign[0] == '-':
			return now.Add(-time.Duration(d)), nil
		case after.IsZero():
			return time.Time{}, fmt.Errorf("%q counts from a beginning, and this is the beginning: write -10m for ten minutes before now", text)
		}
		return after.Add(time.Duration(d)), nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	for _, layout := range moments() {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, once(at, text, layout)
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write %s (the time of this machine), %s (with its zone), or -10m (before now)",
		text, now.Format(time.DateTime), now.Format(time.RFC3339))
}

// once refuses a local time that comes twice in a night, or not at all.
func once(at time.Time, text, layout string) error {
	if want, err := time.Parse(layout, text); err != nil || at.Format(time.DateTime) != want.Format(time.DateTime) {
		return fmt.Errorf("the clocks skip %s: write it with its zone, like %s", text, at.Format(time.RFC3339))
	}
	for _, by := range []time.Duration{-2 * time.Hour, -time.Hour, -30 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour} {
		if other := at.Add(by); other.Format(time.DateTime) == at.Format(time.DateTime) {
			return fmt.Errorf("%s comes twice that night: write %s or %s", text, at.Format(time.RFC3339), other.Format(time.RFC3339))
		}
	}
	return nil
}

// clockLayout is how a moment is printed: to the millisecond, in the machine's zone.
const clockLayout = "2006-01-02 15:04:05.000 MST"

func clockText(us int64) string { return time.UnixMicro(us).Format(clockLayout) }

// rangeText prints a range, its day and zone once where that is enough.
func rangeText(fromUs, toUs int64) string {
	from, to := time.UnixMicro(fromUs), time.UnixMicro(toUs)
	layout := clockLayout
	if from.Format(time.DateOnly+"MST") == to.Format(time.DateOnly+"MST") {
		layout = "15:04:05.000"
	}
	return fmt.Sprintf("%s to %s", from.Format(clockLayout), to.Format(layout))
}

func lengthText(us int64) string {
	return (time.Duration(us) * time.Microsecond).Round(time.Millisecond).String()
}

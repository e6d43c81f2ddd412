package agent

import (
	"strings"
	"testing"
	"time"
)

func TestMoment(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("the machine has no time zones: ", err)
	}
	now := time.Date(2026, 11, 28, 15, 0, 0, 0, berlin)
	begin := now.Add(-time.Hour)
	for text, want := range map[string]time.Time{
		"now":                           now,
		"-10m":                          now.Add(-10 * time.Minute),
		"-1h30m":                        now.Add(-90 * time.Minute),
		"-2d":                           now.Add(-48 * time.Hour),
		"+90s":                          begin.Add(90 * time.Second),
		"2026-11-28 14:05:00":           time.Date(2026, 11, 28, 14, 5, 0, 0, berlin),
		"2026-11-28 14:05":              time.Date(2026, 11, 28, 14, 5, 0, 0, berlin),
		"2026-11-28T14:05:00":           time.Date(2026, 11, 28, 14, 5, 0, 0, berlin),
		" 2026-11-28 14:05:00.123 ":     time.Date(2026, 11, 28, 14, 5, 0, 123e6, berlin),
		"2026-11-28T14:05:00.5Z":        time.Date(2026, 11, 28, 14, 5, 0, 5e8, time.UTC),
		"2026-11-28T14:05:00+02:00":     time.Date(2026, 11, 28, 12, 5, 0, 0, time.UTC),
		"2026-11-28":                    time.Date(2026, 11, 28, 0, 0, 0, 0, berlin),
		"2026-10-25T02:30:00.000+01:00": time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC),
	} {
		if got, err := Moment(text, now, begin); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for text, words := range map[string]string{
		"":                       `"" is no time: write 2026-11-28 15:00:00`,
		"yesterday":              "or -10m (before now)",
		"28.11.2026 14:05":       "is no time",
		"2026-11-28 25:05":       "is no time",
		"-":                      "want a length of time behind the sign",
		"-10":                    "want a length of time behind the sign",
		"--10m":                  "want a length of time behind the sign",
		"2026-10-25 02:30:00":    "comes twice that night: write 2026-10-25T02:30:00+0",
		"2026-03-29 02:30:00":    "the clocks skip",
		"2026-03-29 02:30:00.25": "the clocks skip",
	} {
		if got, err := Moment(text, now, begin); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q is %v, %v; want %q", text, got, err, words)
		}
	}
	if _, err := Moment("+5s", now, time.Time{}); err == nil || !strings.Contains(err.Error(), "counts from a beginning") {
		t.Errorf("+5s as a beginning: %v", err)
	}
}

package clips

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Hours are the hours of a week, a number for each day from Monday, whose lowest bit is the hour from 0:00. Nothing set
// means every hour.
type Hours [7]uint32

const allDay = 1<<24 - 1

// Every reports whether no hour is left out.
func (h Hours) Every() bool {
	every := Hours{allDay, allDay, allDay, allDay, allDay, allDay, allDay}
	return h == Hours{} || h == every
}

// Has reports whether a moment lies in one of the hours, on its own wall clock.
func (h Hours) Has(t time.Time) bool {
	day := (int(t.Weekday()) + 6) % 7
	return h.Every() || h[day]&(1<<t.Hour()) != 0
}

func (h Hours) text() string {
	if h.Every() {
		return ""
	}
	var b strings.Builder
	for _, day := range h {
		fmt.Fprintf(&b, "%06x", day&allDay)
	}
	return b.String()
}

func parseHours(s string) (h Hours, err error) {
	if s == "" {
		return h, nil
	}
	if len(s) != 6*len(h) {
		return h, fmt.Errorf("read hours of rule: %q has not 42 digits", s)
	}
	for i := range h {
		n, err := strconv.ParseUint(s[6*i:6*i+6], 16, 32)
		if err != nil {
			return h, fmt.Errorf("read hours of rule: %w", err)
		}
		h[i] = uint32(n)
	}
	return h, nil
}

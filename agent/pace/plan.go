package pace

import (
	"fmt"
	"strconv"
	"time"
)

// Cap is a bound for what goes up. When both are set the smaller counts; the zero value is no bound.
type Cap struct {
	Up    int64   // bytes per second; 0: none
	Share float64 // of the measured line, above 0 up to 1; 0: none

	hour bool // of a special hour, not of the rest of the week
}

// Week holds the cap of each hour, Monday 00:00 to 01:00 first, by the site's clocks on the wall. An hour that the
// clocks skip in spring never comes; one that they show twice in autumn counts twice.
type Week [7 * 24]Cap

// Flat returns a week with one cap.
func Flat(c Cap) Week {
	var w Week
	for i := range w {
		w[i] = c
	}
	return w
}

// Set gives the hours from, up to, not including, to (0 to 24) another cap on some days, Monday first. When to is not
// above from, they reach into the morning after.
func (w *Week) Set(days [7]bool, from, to int, c Cap) {
	c.hour = true
	if to <= from {
		to += 24
	}
	for day, on := range days {
		for h := from; on && h < to; h++ {
			w[(day*24+h)%len(w)] = c
		}
	}
}

// at returns the cap of a moment in a time zone.
func (w *Week) at(t time.Time, zone *time.Location) Cap {
	if zone == nil {
		zone = time.Local
	}
	t = t.In(zone)
	return w[(int(t.Weekday())+6)%7*24+t.Hour()]
}

// Plan is what the site's own file allows: the ceiling.
type Plan struct {
	Week Week
	Zone *time.Location // of the site; nil: the machine's
}

const (
	// unmeasured is the cap, bytes per second, while a share is due of a line that was not measured yet.
	unmeasured = 1_000_000 / 8
	// leastCap is the lowest cap, bytes per second, that the portal may wish for: below it heartbeats would be late.
	leastCap = 64_000 / 8
)

// LeastCap is the lowest cap that makes sense, bytes per second: below it heartbeats would be late.
func LeastCap() int64 { return leastCap }

// Reason names what set the cap in force.
type Reason string

// Reasons of a cap, a closed list.
const (
	Unbounded  Reason = "none"       // no cap
	BySite     Reason = "site"       // an absolute one of the site's file
	ByHour     Reason = "hour"       // one of the site's file for this hour
	ByShare    Reason = "share"      // a share of the measured line
	Unmeasured Reason = "unmeasured" // a share is due, but the line was not measured yet: a cautious default
	ByPortal   Reason = "portal"     // the portal's wish, below the site's own cap
)

// Why is a cap with its reason.
type Why struct {
	Reason Reason `json:"reason"`
	Text   string `json:"text"` // for a person
}

// Wish takes over the caps that the portal asks for; they can only lower those of the site. nil takes a wish back.
func (p *Pace) Wish(w *Week) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wish = w
	p.decide(time.Now())
}

// decide finds the cap of this moment and puts it in force, also for those who wait. Under the lock.
func (p *Pace) decide(now time.Time) {
	limit, why := p.resolve(p.plan.Week.at(now, p.plan.Zone))
	if p.wish != nil {
		wished, words := p.resolve(p.wish.at(now, p.plan.Zone))
		if wished > 0 {
			wished = max(wished, leastCap)
		}
		if wished > 0 && (limit == 0 || wished < limit) {
			limit, why = wished, Why{ByPortal, "The portal asks for less than the site allows: " + words.Text}
		}
	}
	p.why = why
	if limit == p.cap {
		return
	}
	p.refill(now)
	p.cap = limit
	p.refill(now)
	p.grant(now)
}

// resolve turns a cap into bytes per second.
func (p *Pace) resolve(c Cap) (int64, Why) {
	limit, why := int64(0), Why{Unbounded, "No cap is set."}
	if c.Share > 0 {
		percent := strconv.Itoa(int(c.Share*100+0.5)) + " %"
		if line := p.gauge.line; line.Rate > 0 {
			limit = max(int64(line.Rate*c.Share), leastCap)
			why = Why{ByShare, fmt.Sprintf("%s: %s of the measured %s.", Words(limit), percent, Words(int64(line.Rate)))}
		} else {
			limit = unmeasured
			why = Why{Unmeasured, fmt.Sprintf("%s until the line was measured; then %s of it.", Words(limit), percent)}
		}
	}
	if c.Up > 0 && (limit == 0 || c.Up < limit) {
		limit, why = c.Up, Why{BySite, Words(c.Up) + ", by the site's file."}
	}
	if c.hour && limit > 0 {
		why.Text = "At this hour " + why.Text
		if why.Reason == BySite {
			why.Reason = ByHour
		}
	}
	return limit, why
}

// Words says bytes per second as a person does: "4 Mbit/s".
func Words(bytesPerSecond int64) string {
	bits := float64(bytesPerSecond) * 8
	if bits >= 1e6 {
		return strconv.FormatFloat(bits/1e6, 'g', 3, 64) + " Mbit/s"
	}
	return strconv.FormatFloat(bits/1e3, 'f', 0, 64) + " kbit/s"
}

package local

import (
	"fmt"
	"time"

	"holdfast/shared/wire"
)

// keptText says how far back a camera's video will reach at today's rate, and which limit is in force.
func keptText(r *wire.Retention) string {
	switch {
	case r == nil:
		return ""
	case r.Days > 0:
		return "At today's rate " + days(r.Days) + limitText(r.KeepUs, r.MaxBytes, ", limited to ")
	}
	return limitText(r.KeepUs, r.MaxBytes, "Limited to ")
}

// dueText says what a stricter limit will delete, and from when on.
func dueText(r *wire.Retention) string {
	if r == nil || r.Due == nil {
		return ""
	}
	d := r.Due
	text := fmt.Sprintf("From %s on %s", moment(d.DueUs), hours(d.LengthUs))
	if d.KeepUs > 0 && (r.KeepUs == 0 || d.KeepUs < r.KeepUs) {
		text += " older than " + days(float64(d.KeepUs)/float64(24*time.Hour/time.Microsecond))
	}
	return text + fmt.Sprintf(" go (%s), for a limit was made stricter", size(d.Bytes))
}

func limitText(keepUs, maxBytes int64, before string) string {
	text := ""
	if keepUs > 0 {
		text = before + days(float64(keepUs)/float64(24*time.Hour/time.Microsecond))
	}
	if maxBytes > 0 {
		if text == "" {
			return before + size(maxBytes)
		}
		text += " and " + size(maxBytes)
	}
	return text
}

// days writes a number of days as people say it.
func days(n float64) string {
	if n < 2 {
		return count(int64(n*24+0.5), "hour", "hours")
	}
	return count(int64(n+0.05), "day", "days")
}

func hours(us int64) string {
	h := wire.Micros(us).Hours()
	if h < 1 {
		return count(int64(h*60+0.5), "minute", "minutes")
	}
	return count(int64(h+0.5), "hour", "hours")
}

// moment names a moment of the next days by the clock of this machine.
func moment(us int64) string {
	at := time.UnixMicro(us)
	if d := time.Until(at); d > 0 && d < 48*time.Hour {
		switch at.YearDay() {
		case time.Now().YearDay():
			return at.Format("today 15:04")
		case time.Now().AddDate(0, 0, 1).YearDay():
			return at.Format("tomorrow 15:04")
		}
	}
	return at.Format("2 Jan 15:04")
}

func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	v, i := float64(n), 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1000
		i++
	}
	if i == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

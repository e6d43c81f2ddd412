package fleet

import (
	"fmt"
	"strings"
	"time"

	"holdfast/shared/wire"
)

// moment returns a wall time as the site's people see it: the hour on the same day, else with the day.
func moment(us int64, now time.Time, zone *time.Location) string {
	at := time.UnixMicro(us).In(zone)
	today := now.In(zone)
	switch {
	case at.Year() != today.Year():
		return at.Format("2 Jan 2006 15:04")
	case at.YearDay() != today.YearDay():
		return at.Format("2 Jan 15:04")
	default:
		return at.Format("15:04")
	}
}

// period returns a length of time in at most two units.
func period(us int64) string {
	d := time.Duration(max(us, 0)) * time.Microsecond
	unit := func(n int64, name string) string {
		if n == 1 {
			return "1 " + name
		}
		return fmt.Sprintf("%d %ss", n, name)
	}
	two := func(big int64, bigName string, small int64, smallName string) string {
		if small == 0 {
			return unit(big, bigName)
		}
		return unit(big, bigName) + " " + unit(small, smallName)
	}
	switch {
	case d < time.Minute:
		return unit(int64(d.Round(time.Second)/time.Second), "second")
	case d < time.Hour:
		return unit(int64(d.Round(time.Minute)/time.Minute), "minute")
	case d < 24*time.Hour:
		d = d.Round(time.Minute)
		return two(int64(d/time.Hour), "hour", int64(d%time.Hour/time.Minute), "minute")
	default:
		d = d.Round(time.Hour)
		return two(int64(d/(24*time.Hour)), "day", int64(d%(24*time.Hour)/time.Hour), "hour")
	}
}

// size returns a number of bytes in decimal units, as disks are sold.
func size(bytes int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	v, i := float64(bytes), 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1000
		i++
	}
	if i == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// count returns "1 camera" or "3 cameras".
func count(n int64, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return fmt.Sprintf("%d %ss", n, name)
}

// list joins names: "a", "a and b", "a, b and 3 more".
func list(names []string, most int) string {
	more := 0
	if len(names) > most {
		more = len(names) - most
		names = names[:most]
	}
	if more > 0 {
		return strings.Join(names, ", ") + fmt.Sprintf(" and %d more", more)
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// fault says in words what is wrong with one camera or several, and what to do. "" as what: the reason is not
// something to repair.
func fault(r wire.Reason) (what, todo string) {
	switch r {
	case wire.Unreachable:
		return "not reachable", "check the power and the network cable of the camera or the recorder"
	case wire.AuthFailed:
		return "wrong password", "correct it in the site's configuration"
	case wire.SessionLimit:
		return "the recorder allows no more connections", "close other viewers of it, or raise its limit"
	case wire.Stalled:
		return "no picture comes although the connection stands", "restart the camera, and check the network between it and the recorder"
	case wire.NoKeyFrame, wire.AwaitKeyFrame:
		return "no complete picture has come yet", "set the key frame interval in the camera to 1 to 4 seconds if this lasts"
	case wire.DecodeError:
		return "its pictures can't be read", "set the camera to H.264 or H.265 without a vendor's extras, and update its firmware"
	case wire.SlowDisk:
		return "the disk is too slow to record everything", "check the disk of the machine, and what else uses it"
	case wire.DiskFailed:
		return "the disk does not take what is recorded", "check the disk of the machine and replace it if it is failing"
	case wire.HeldFull:
		return "the disk is full of footage that is on hold", "release holds or add a disk"
	case wire.NotConfigured:
		return "not set up", "complete it in the site's configuration"
	case wire.Connecting:
		return "connecting", "wait a moment; if this lasts, check the camera's network"
	case wire.ClockStep:
		return "the machine's clock was changed", "check its time service (NTP)"
	case wire.Disabled, wire.Schedule:
		return "", ""
	default:
		return "not recording", "look at the site's status page for the cause"
	}
}

// trouble says the same of a condition of the site itself, for one that the agent gave no words for.
func trouble(name string) string {
	switch name {
	case "disk":
		return "The disk has a problem: check the disk of the machine at the site."
	case "ledger":
		return "The agent can't write its records: check the disk of the machine at the site."
	case "clips":
		return "Chosen clips will be lost: the line is too slow to send them before their video is deleted at the site."
	case "clock":
		return "The clock of the machine at the site is wrong: check its time service (NTP)."
	case "nvr", "recorder":
		return "The recorder reports a problem: look at its own display or page."
	default:
		return "The site reports a problem (" + name + "): look at its status page."
	}
}

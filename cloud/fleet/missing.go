package fleet

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"holdfast/shared/wire"
)

// Bounds of what is said.
const (
	maxAlone     = 3                     // cameras with one fault that are named each in a sentence of its own
	maxNamed     = 3                     // cameras named in a sentence about more
	clockSlackUs = 2_000_000             // a difference of clocks that nobody notices
	queueSlack   = 5 * time.Minute       // age of a report that waits as a rule
	maxLength    = 8                     // sentences about cameras; the rest is counted
	day          = 24 * 3600 * 1_000_000 // µs
)

// missing returns what is wrong, worst first. Of a dark site nothing is said here: its verdict does.
func (s *site) missing(now time.Time) []Missing {
	out := []Missing{}
	if s.dark || s.heard.IsZero() {
		return out
	}
	out = append(out, s.missingSite()...)
	if len(s.cameras) == 0 {
		out = append(out, Missing{Severity: Warning, Reason: wire.NotConfigured, Text: "No camera is set up: add the cameras to the site's configuration."})
	}
	out = append(out, s.missingCameras(now)...)
	if s.offsetUs > clockSlackUs || s.offsetUs < -clockSlackUs {
		direction, by := "ahead of", s.offsetUs
		if by < 0 {
			direction, by = "behind", -by
		}
		out = append(out, Missing{Severity: Warning, Reason: wire.ClockStep, Text: fmt.Sprintf(
			"The site's clock is %s %s the cloud's: check the time service (NTP) of its machine.", period(by), direction)})
	}
	if i := s.outage.incident; i != nil && i.EndUs != 0 {
		text := fmt.Sprintf("The site was dark from %s to %s and is being watched for a while.",
			moment(i.StartUs, now, s.location()), moment(i.EndUs, now, s.location()))
		if i.Silences > 1 {
			text = fmt.Sprintf("The line is not steady: the site was dark %d times since %s. Ask the provider, and check the router and its cables.",
				i.Silences, moment(i.StartUs, now, s.location()))
		}
		out = append(out, Missing{Severity: Warning, Text: text})
	}
	for _, fault := range s.faults {
		out = append(out, Missing{Severity: Warning, Text: "The site did not take a setting made here: " + fault})
	}
	out = append(out, s.waiting(now)...)
	sort.SliceStable(out, func(i, j int) bool { return weight(out[i].Severity) < weight(out[j].Severity) })
	return out
}

func weight(severity string) int {
	switch severity {
	case Critical:
		return 0
	case Warning:
		return 1
	default:
		return 2
	}
}

// missingSite tells of conditions of the site itself.
func (s *site) missingSite() []Missing {
	var out []Missing
	for key, c := range s.conditions {
		if c.State != wire.Failing || key.camera != "" || key.name == "uplink" {
			continue
		}
		m := Missing{Severity: Warning, Text: c.Text, Reason: c.Reason}
		if key.name == "disk" || key.name == "ledger" || c.Reason == wire.HeldFull {
			m.Severity = Critical
		}
		if strings.TrimSpace(m.Text) == "" {
			m.Text = trouble(key.name)
		}
		out = append(out, m)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Text < out[j].Text })
	return out
}

// missingCameras tells of cameras that fail: each by itself, or together when several have one fault.
func (s *site) missingCameras(now time.Time) []Missing {
	groups := map[wire.Reason][]*camera{}
	var reasons []wire.Reason
	for _, c := range s.cameras {
		if s.camera(c, now).Status != Failing {
			continue
		}
		r := c.main().Reason
		if groups[r] == nil {
			reasons = append(reasons, r)
		}
		groups[r] = append(groups[r], c)
	}
	var out []Missing
	for _, r := range reasons {
		group := groups[r]
		if len(group) <= maxAlone {
			for _, c := range group {
				out = append(out, Missing{Severity: Warning, Camera: c.Camera, Reason: r, Text: s.cameraSentence(c, c.main(), now)})
			}
			continue
		}
		out = append(out, s.together(r, group, now))
	}
	if len(out) > maxLength {
		rest := len(out) - maxLength
		out = append(out[:maxLength:maxLength], Missing{Severity: Warning, Text: fmt.Sprintf("%s more with other faults.", count(int64(rest), "camera"))})
	}
	return out
}

// cameraSentence says what is wrong with one camera, since when, and what to do.
func (s *site) cameraSentence(c *camera, st wire.StreamState, now time.Time) string {
	since := moment(s.since(c, st), now, s.location())
	what, todo := fault(st.Reason)
	if what == "" || st.Reason == "" || st.Reason == wire.Unknown {
		if text := strings.TrimSpace(st.Text); text != "" {
			return fmt.Sprintf("Camera %s: %s (since %s)", s.cameraName(c), text, since)
		}
	}
	if what == "" {
		return fmt.Sprintf("Camera %s: not recording since %s.", s.cameraName(c), since)
	}
	return fmt.Sprintf("Camera %s: %s since %s \u2013 %s.", s.cameraName(c), what, since, todo)
}

// together says the same of many cameras. All of them at once point to what they share.
func (s *site) together(r wire.Reason, group []*camera, now time.Time) Missing {
	first := s.since(group[0], group[0].main())
	var names []string
	for _, c := range group {
		first = min(first, s.since(c, c.main()))
		names = append(names, s.cameraName(c))
	}
	what, todo := fault(r)
	if what == "" {
		what, todo = fault(wire.Unknown)
	}
	who, severity := fmt.Sprintf("%d cameras (%s)", len(group), list(names, maxNamed)), Warning
	if len(group) == len(s.cameras) {
		who, severity = fmt.Sprintf("All %d cameras", len(group)), Critical
		if r == wire.Unreachable {
			todo = "check the power and the network of the recorder or the switch, which they share"
		}
	}
	return Missing{Severity: severity, Reason: r, Text: fmt.Sprintf("%s: %s since %s \u2013 %s.", who, what, moment(first, now, s.location()), todo)}
}

// waiting tells what still waits at the site for the line; it is no fault by itself.
func (s *site) waiting(now time.Time) []Missing {
	var out []Missing
	if s.queue.Facts > 0 && s.queue.OldestUs > 0 && now.UnixMicro()-s.queue.OldestUs > queueSlack.Microseconds() {
		out = append(out, Missing{Severity: Info, Text: fmt.Sprintf("%s since %s still wait at the site and are being sent.",
			count(s.queue.Facts, "report"), moment(s.queue.OldestUs, now, s.location()))})
	}
	if s.queue.Clips > 0 && s.queue.ClipBytes > 0 {
		out = append(out, Missing{Severity: Info, Text: fmt.Sprintf("%s (%s) still to be uploaded.",
			count(s.queue.Clips, "clip"), size(s.queue.ClipBytes))})
	}
	return out
}

package fleet

import (
	"fmt"
	"math"
	"strings"
	"time"

	"holdfast/cloud/store/health"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Causes of a silence: the first ones while it lasts, the others when the site is back and has told.
const (
	CauseStopped = "stopped" // the agent said that it stops
	CauseCut     = "cut"     // the connection was closed or reset without a word
	CauseSilent  = "silent"  // nothing came any more, not even an end of the connection
	CauseShared  = "shared"  // other sites of the organisation fell silent in the same minute
	CauseCloud   = "cloud"   // nearly all sites fell silent in the same minute
	CauseUnknown = "unknown"

	CauseLine         = "line"          // the agent ran all the time
	CauseAgentStopped = "agent_stopped" // somebody or something stopped the agent
	CauseAgentCrashed = "agent_crashed"
	CauseAgentUpdate  = "updating"
	CauseHostOff      = "host_off" // the machine was off or restarted
)

// togetherUs is how close together silences begin that have one cause: heartbeats come every 15 s.
const togetherUs = 30_000_000

// verdict says why a site is dark, as far as the evidence goes.
func (f *Fleet) verdict(s *site, now time.Time) (cause, text string) {
	own, all, connected := f.together(s)
	since := moment(s.seenUs, now, s.location())
	switch {
	case all >= 3 && all*5 >= (all+connected)*4:
		return CauseCloud, fmt.Sprintf("Not heard of since %s. Nearly all sites fell silent in the same minute, so the cause is most likely "+
			"the cloud's own line or a network that they share, not this site.", since)
	case own >= 3:
		return CauseShared, fmt.Sprintf("Not heard of since %s. %s of yours fell silent in the same minute, so the cause is most likely "+
			"shared, such as a provider's outage.", since, count(int64(own-1), "other site"))
	}
	switch kindOf(s.ending) {
	case endStopped:
		return CauseStopped, fmt.Sprintf("The agent said at %s that it stops: somebody stopped it, or its machine was shut down or restarted in "+
			"the regular way. Start the machine or the service again.", since)
	case endCut:
		return CauseCut, fmt.Sprintf("The connection was closed at %s without a word: the agent or its machine went down, or the site's router "+
			"cut the connection. Check whether the machine runs and whether the site has Internet.", since)
	case endSilent:
		return CauseSilent, fmt.Sprintf("Nothing came since %s, not even an end of the connection, as when the power or the Internet line of the "+
			"site fails. Check power, router and line; the agent may well go on recording.", since)
	default:
		return CauseUnknown, fmt.Sprintf("Not heard of since %s; there is no sign why. Check power, router and line of the site.", since)
	}
}

// ending is a kind of end of a session.
type ending int

const (
	endUnknown ending = iota
	endStopped        // the agent said bye
	endCut            // the connection was closed or reset
	endSilent         // nothing came any more
)

// kindOf reads the gateway's words. A session that is still open and says nothing is silent, too.
func kindOf(why string) ending {
	switch {
	case why == "", strings.HasPrefix(why, "no heartbeat"):
		return endSilent
	case strings.HasPrefix(why, "the agent stopped"):
		return endStopped
	case strings.HasPrefix(why, "the connection was cut"):
		return endCut
	default:
		return endUnknown
	}
}

// together counts the sites that fell silent with s, itself included: of its organisation, and of all; and those
// that are heard of.
func (f *Fleet) together(s *site) (own, all, connected int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, h := range f.hushed {
		if h.site == s.id || math.Abs(float64(h.seenUs-s.seenUs)) <= togetherUs {
			all++
			if h.org == s.org {
				own++
			}
		}
	}
	return own, all, f.connected
}

// lastReport tells in sentences what the site said last.
func (s *site) lastReport(now time.Time) []string {
	out := []string{fmt.Sprintf("Last heard of at %s.", time.UnixMicro(s.seenUs).In(s.location()).Format("2 Jan 15:04:05"))}
	if line := s.lineSentence(); line != "" {
		out = append(out, line)
	}
	if s.disk.TotalBytes > 0 {
		text := fmt.Sprintf("Disk: %s of %s free", size(s.disk.FreeBytes), size(s.disk.TotalBytes))
		if s.disk.DaysLeft > 0 {
			text += fmt.Sprintf(", room for %.0f days of video", s.disk.DaysLeft)
		}
		out = append(out, text+".")
	}
	if len(s.cameras) > 0 {
		out = append(out, s.camerasSentence(now))
	}
	for _, m := range s.missingSite() {
		out = append(out, m.Text)
	}
	out = append(out, s.queueSentence())
	if up := s.seenUs - s.about.StartedUs; s.about.StartedUs > 0 && up > 0 {
		out = append(out, fmt.Sprintf("The agent had been running for %s.", period(up)))
	}
	return out
}

func (s *site) lineSentence() string {
	if s.rttUs == 0 {
		return ""
	}
	text := fmt.Sprintf("Line: round trip %d ms", max(s.rttUs/1000, 1))
	if s.offsetUs > clockSlackUs || s.offsetUs < -clockSlackUs {
		text += fmt.Sprintf(", clock off by %s", period(max(s.offsetUs, -s.offsetUs)))
	}
	return text + "."
}

// camerasSentence counts what was recorded, whatever is known of it now.
func (s *site) camerasSentence(now time.Time) string {
	recording := 0
	var failing []string
	for _, c := range s.cameras {
		st := c.main()
		switch {
		case st.State == wire.OK && st.Record:
			recording++
		case st.State == wire.Failing && !s.names[c.Camera].Disabled:
			what, _ := fault(st.Reason)
			if what == "" {
				what = "not recording"
			}
			failing = append(failing, s.cameraName(c)+" ("+what+" since "+moment(s.since(c, st), now, s.location())+")")
		}
	}
	text := fmt.Sprintf("Cameras: %d of %d were recording", recording, len(s.cameras))
	if len(failing) > 0 {
		text += "; failing: " + list(failing, maxNamed)
	}
	return text + "."
}

func (s *site) queueSentence() string {
	if s.queue.Facts == 0 && s.queue.Clips == 0 {
		return "Nothing waited to be sent."
	}
	text := "Waiting to be sent: " + count(s.queue.Facts, "report")
	if s.queue.Clips > 0 {
		text += " and " + count(s.queue.Clips, "clip") + " (" + size(s.queue.ClipBytes) + ")"
	}
	return text + "."
}

// lastOf says how one camera was when the site was last heard of.
func (s *site) lastOf(c *camera, now time.Time) string {
	st := c.main()
	switch st.State {
	case wire.OK:
		if st.Record {
			return "It was recording then."
		}
		return "It was running then."
	case wire.Failing:
		return s.cameraSentence(c, st, now)
	default:
		return "Its state was not known then."
	}
}

// told is what a site has told of a silence since it is back.
type told struct {
	runs    []health.Run
	outages []wire.OutageFact
}

// closing says what happened during an incident, from what the site has told of it: the final cause and words.
func (s *site) closing(i health.Incident, t told, now time.Time) (cause, text string) {
	zone := s.location()
	text = fmt.Sprintf("No line to the cloud from %s to %s (%s).", moment(i.StartUs, now, zone), moment(i.EndUs, now, zone), period(i.EndUs-i.StartUs))
	if i.Silences > 1 {
		text = fmt.Sprintf("The line was gone %d times between %s and %s.", i.Silences, moment(i.StartUs, now, zone), moment(i.EndUs, now, zone))
	}
	before, after := around(t.runs, i)
	switch i.Outcome {
	case Up:
		cause, text = CauseLine, text+" The agent ran the whole time."
	case Restarted:
		cause, text = endedBy(before), text+" The agent was restarted meanwhile"+detail(before, after, now, zone)+"."
	case Rebooted:
		cause, text = CauseHostOff, text+" The machine was off or restarted meanwhile"+detail(before, after, now, zone)+"."
	default:
		return CauseUnknown, text + " What the agent did meanwhile is not known."
	}
	if word := heardOf(t.outages, i); word != "" && i.Outcome == Up {
		text += " While it tried to connect it saw: " + strings.TrimRight(word, ". ") + "."
	}
	return cause, text
}

// around returns the run that ended during the incident and the one that began during it.
func around(runs []health.Run, i health.Incident) (before, after *health.Run) {
	const slack = 60_000_000 // the site's clock and the last heartbeat are not exact
	for n := range runs {
		r := &runs[n]
		if r.EndedBy != "" && r.EndUs() >= i.StartUs-slack && r.EndUs() <= i.EndUs+slack && (before == nil || r.EndUs() > before.EndUs()) {
			before = r
		}
		if r.WallUs >= i.StartUs-slack && r.WallUs <= i.EndUs+slack && (after == nil || r.WallUs > after.WallUs) {
			after = r
		}
	}
	return before, after
}

func endedBy(r *health.Run) string {
	if r == nil {
		return CauseAgentStopped
	}
	switch r.EndedBy {
	case wire.AgentCrashed:
		return CauseAgentCrashed
	case wire.Updating:
		return CauseAgentUpdate
	case wire.HostOff:
		return CauseHostOff
	default:
		return CauseAgentStopped
	}
}

func detail(before, after *health.Run, now time.Time, zone *time.Location) string {
	var parts []string
	if before != nil {
		parts = append(parts, fmt.Sprintf("%s at %s", ended(before.EndedBy), moment(before.EndUs(), now, zone)))
	}
	if after != nil {
		parts = append(parts, "it started again at "+moment(after.WallUs, now, zone))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

func ended(by wire.Reason) string {
	switch by {
	case wire.AgentCrashed:
		return "it ended without a word"
	case wire.Updating:
		return "it stopped for an update"
	case wire.HostOff:
		return "its last sign of life was"
	case wire.ClockStep:
		return "its clock was changed"
	default:
		return "it was stopped"
	}
}

// heardOf returns what the agent saw while it dialled, of the longest of its outages in the incident.
func heardOf(outages []wire.OutageFact, i health.Incident) string {
	word, longest := "", int64(-1)
	for _, o := range outages {
		if o.EndUs < i.StartUs || o.StartUs > i.EndUs || o.EndUs-o.StartUs <= longest {
			continue
		}
		word, longest = o.Text, o.EndUs-o.StartUs
	}
	return word
}

// newIncident begins an incident.
func newIncident(s *site, now time.Time) *health.Incident {
	return &health.Incident{
		ID: id.New[id.Incident](), Org: s.org, Site: s.id, Kind: health.Dark, StartUs: s.seenUs, SaidUs: now.UnixMicro(), Silences: 1,
	}
}

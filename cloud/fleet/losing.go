package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/health"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// What became of chosen clips whose loss was foretold.
const (
	Kept = "kept"
	Lost = "lost"
)

// CauseSlow is the cause of a loss that is foretold: the line is slower than what it has to carry.
const CauseSlow = "slow_line"

const (
	clipsCondition = "clips" // the agent's word for it
	heldBeats      = 2       // heartbeats in a row that foretell a loss before it is said
	calm           = 5       // times Config.Settle: a forecast swings with the line that it was made from
	maxLost        = 6       // ranges that one sentence tells
	joinUs         = 600_000_000
)

// whatHelps says what people can do against a loss that is foretold.
const whatHelps = "To keep them, give the line more room (a faster line or a higher cap), keep video at the site for longer, or choose fewer clips."

// foretell follows what a heartbeat says of chosen clips that will be lost. A site that says nothing of them, as one
// that nobody hears, neither ends an incident nor begins one.
func (s *site) foretell(now time.Time) {
	c := s.conditions[conditionKey{name: clipsCondition}]
	p := &s.losing
	switch c.State {
	case wire.Failing:
		s.foretold++
	case wire.OK:
		s.foretold = 0
		if p.incident != nil && p.incident.EndUs == 0 {
			p.incident.EndUs, p.unsaved = now.UnixMicro(), true
		}
		return
	default:
		return
	}
	if s.foretold < heldBeats || p.incident != nil && p.incident.SettledUs != 0 {
		return // one that is being stored as closed makes room for the next in a moment
	}
	said := strings.TrimSpace(c.Text)
	if said == "" {
		said = trouble(clipsCondition)
	}
	text := said + " " + whatHelps
	switch {
	case p.incident == nil:
		start := now.UnixMicro()
		if c.SinceUs > 0 {
			start = min(start, c.SinceUs-s.offsetUs)
		}
		p.incident = &health.Incident{
			ID: id.New[id.Incident](), Org: s.org, Site: s.id, Kind: health.Losing, StartUs: start, SaidUs: now.UnixMicro(), Silences: 1,
			Cause: CauseSlow,
		}
		p.phases = append(p.phases, PhaseLosing)
	case p.incident.EndUs != 0:
		p.incident.EndUs = 0
		p.incident.Silences++
	case p.incident.Text == text:
		return
	}
	p.incident.Text, p.incident.Report, p.unsaved = text, []string{s.queueSentence()}, true
}

// settleLosing closes an incident when the site has foretold no loss for long enough, and says what was lost meanwhile.
// Time in which the site is not heard of does not count.
func (f *Fleet) settleLosing(ctx context.Context, s *site, now time.Time) {
	s.mu.Lock()
	i := s.losing.incident
	if i == nil || i.EndUs == 0 || i.SettledUs != 0 || s.seenUs-i.EndUs < s.losing.settleFor(calm*f.cfg.Settle, now).Microseconds() {
		s.mu.Unlock()
		return
	}
	incident := *i
	s.mu.Unlock()
	gone, err := clips.Lost(ctx, f.db.Read(), store.Org(incident.Org), incident.Site, incident.StartUs)
	if err != nil {
		f.deps.Log.Error("which clips a site has lost could not be read; the next try follows", "site", s.id, "err", err)
		return
	}
	f.update(s, func(s *site, _ time.Time) {
		i := s.losing.incident
		if i == nil || i.ID != incident.ID || i.EndUs != incident.EndUs {
			return // a loss is foretold again
		}
		i.Outcome, i.Text = s.lost(incident, gone, now)
		i.Report, i.SettledUs, s.losing.unsaved = nil, now.UnixMicro(), true
		s.losing.phases = append(s.losing.phases, PhaseOver)
		s.losing.ended(incident.EndUs)
	})
}

// lost says what became of the clips whose loss was foretold.
func (s *site) lost(i health.Incident, gone []clips.Clip, now time.Time) (outcome, text string) {
	zone := s.location()
	if len(gone) == 0 {
		return Kept, fmt.Sprintf("No chosen clip was lost. From %s to %s it looked as if the line were too slow for them.",
			moment(i.StartUs, now, zone), moment(i.EndUs, now, zone))
	}
	var said []string
	for _, r := range joined(gone) {
		end := time.UnixMicro(r.EndUs).In(zone).Format("15:04")
		if time.UnixMicro(r.StartUs).In(zone).YearDay() != time.UnixMicro(r.EndUs).In(zone).YearDay() {
			end = moment(r.EndUs, now, zone)
		}
		said = append(said, fmt.Sprintf("camera %s lost %s to %s", s.nameOf(r.Camera), moment(r.StartUs, now, zone), end))
	}
	text = list(said, maxLost) + "."
	return Lost, strings.ToUpper(text[:1]) + text[1:] + " Their video was deleted at the site before the line could carry them. What waits now can be sent in time."
}

// joined sorts clips by camera and time, and takes those of one camera that lie close together as one.
func joined(list []clips.Clip) (out []clips.Clip) {
	slices.SortStableFunc(list, func(a, b clips.Clip) int {
		return cmp.Or(cmp.Compare(a.Camera, b.Camera), cmp.Compare(a.StartUs, b.StartUs))
	})
	for _, c := range list {
		if n := len(out); n > 0 && out[n-1].Camera == c.Camera && c.StartUs-out[n-1].EndUs <= joinUs {
			out[n-1].EndUs = max(out[n-1].EndUs, c.EndUs)
			continue
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b clips.Clip) int { return cmp.Compare(a.StartUs, b.StartUs) })
	return out
}

// nameOf returns the name of a camera that the site may no longer have.
func (s *site) nameOf(which id.Camera) string {
	for _, c := range s.cameras {
		if c.Camera == which {
			return s.cameraName(c)
		}
	}
	if name := s.names[which].Name(); name != "" {
		return name
	}
	return string(which)
}

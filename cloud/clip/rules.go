package clip

import (
	"context"
	"errors"
	"strings"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// wish is a range that a rule, or what was left of one, wants of a stream.
type wish struct {
	org      id.Org
	site     id.Site
	stream   id.Stream
	span     span
	title    string
	rule     id.Rule
	priority wire.Priority
	keepDays int
	events   []clips.Shown
}

// OnEvents makes or widens the clips that rules choose for events of a site, inside the caller's transaction. Call Nudge
// after the commit.
func (r *Room) OnEvents(ctx context.Context, q store.Querier, ref agents.Ref, list []wire.EventFact) error {
	byKind := map[string][]clips.Rule{} // read once: a backlog brings thousands of events of one kind
	var zone *time.Location
	for _, e := range list {
		rules, known := byKind[e.Kind]
		if !known {
			all, err := clips.Rules(ctx, q, ref.Scope(), e.Kind)
			if err != nil {
				return err
			}
			for _, rule := range all {
				if rule.Enabled {
					rules = append(rules, rule)
				}
			}
			byKind[e.Kind] = rules
		}
		for _, rule := range rules {
			camera, ok := chooses(rule, ref.Site, e.Camera)
			if !ok {
				continue
			}
			if !rule.Hours.Every() {
				if zone == nil {
					var err error
					if zone, err = zoneOf(ctx, q, ref.Scope(), ref.Site); err != nil {
						return err
					}
				}
				if !rule.Hours.Has(time.UnixMicro(e.AtUs).In(zone)) {
					continue
				}
			}
			if err := r.chosen(ctx, q, ref, rule, camera, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// chosen has what a rule chooses of a camera for an event in the cloud, unless that was done before.
func (r *Room) chosen(ctx context.Context, q store.Querier, ref agents.Ref, rule clips.Rule, camera id.Camera, e wire.EventFact) error {
	if known, err := clips.Chosen(ctx, q, ref.Org, ref.Site, e.ID, rule.ID); err != nil || known {
		return err
	}
	want := r.wanted(rule, e.AtUs, e.EndUs)
	return r.choose(ctx, q, wish{
		org: ref.Org, site: ref.Site, stream: id.Stream{Camera: camera, Kind: rule.Stream}, span: want, title: title(rule, e),
		rule: rule.ID, priority: rule.Priority, keepDays: rule.KeepDays,
		events: []clips.Shown{{
			Event: e.ID, Rule: rule.ID, Kind: e.Kind, Text: e.Text, AtUs: e.AtUs, StartUs: want.from, EndUs: want.to,
		}},
	})
}

// chooses returns the camera whose video a rule chooses for an event of a site: the event's own, or the rule's where the
// event names none.
func chooses(rule clips.Rule, site id.Site, of id.Camera) (id.Camera, bool) {
	switch {
	case rule.Site != "" && rule.Site != site:
		return "", false
	case rule.Camera == "":
		return of, of != ""
	case of == "":
		return rule.Camera, rule.Site == site
	default:
		return of, of == rule.Camera
	}
}

func zoneOf(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) (*time.Location, error) {
	s, err := orgs.GetSite(ctx, q, scope, site)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(s.Timezone)
	if err != nil {
		return time.UTC, nil // the door takes no unknown zone; one that a later table has lost is no reason to lose clips
	}
	return zone, nil
}

// wanted is the range that a rule wants for an event.
func (r *Room) wanted(rule clips.Rule, atUs, endUs int64) span {
	end := min(max(endUs, atUs), atUs+r.cfg.MaxLength.Microseconds()/2)
	return span{max(atUs-int64(rule.PreS)*1_000_000, 1), end + int64(max(rule.PostS, 1))*1_000_000}
}

// choose has a range in the cloud: in clips that hold it already, in one that is widened, or in a new one.
func (r *Room) choose(ctx context.Context, q store.Querier, w wish) error {
	scope, now := store.Org(w.org), time.Now().UnixMicro()
	around, err := clips.Around(ctx, q, scope, w.stream, w.span.from, w.span.to)
	if err != nil {
		return err
	}
	set, err := clips.GetSettings(ctx, q, scope)
	if err != nil {
		return err
	}
	m := merge(w.span, around, r.cfg.MaxMerged.Microseconds())
	for i, into := range m.gone {
		// Deleted first: the agent is told that it need not cut it.
		err := errors.Join(clips.MoveEvents(ctx, q, around[i], around[into]), clips.Delete(ctx, q, scope, around[i].ID, now))
		if err != nil {
			return err
		}
		around[into].Priority = max(around[into].Priority, around[i].Priority)
		around[into].KeepDays = longer(around[into].KeepDays, around[i].KeepDays, set.KeepDays)
	}
	for _, i := range m.shows {
		c := around[i]
		c.StartUs, c.EndUs = m.ranges[i].from, m.ranges[i].to
		c.Priority, c.KeepDays = max(c.Priority, w.priority), longer(c.KeepDays, w.keepDays, set.KeepDays)
		if err := errors.Join(clips.Change(ctx, q, c, now), clips.Show(ctx, q, c, w.events)); err != nil {
			return err
		}
	}
	for _, s := range m.fresh {
		c := clips.Clip{
			ID: id.New[id.Clip](), Org: w.org, Site: w.site, Camera: w.stream.Camera, Stream: w.stream.Kind, Audio: true, Title: w.title,
			StartUs: s.from, EndUs: s.to, Rule: w.rule, CreatedUs: now, Priority: w.priority, KeepDays: w.keepDays,
		}
		if len(w.events) > 0 {
			c.Event = w.events[0].Event
		}
		if err := errors.Join(clips.Insert(ctx, q, c), clips.Show(ctx, q, c, w.events)); err != nil {
			return err
		}
	}
	return nil
}

// longer returns the keep-for that keeps longer.
func longer(a, b, byDefault int) int {
	days := func(keep int) int {
		if keep == clips.ByDefault {
			keep = byDefault
		}
		if keep == clips.ForEver {
			return 1 << 30
		}
		return keep
	}
	if days(b) > days(a) {
		return b
	}
	return a
}

func title(rule clips.Rule, e wire.EventFact) string {
	if e.Text != "" {
		return e.Text
	}
	return strings.ReplaceAll(e.Kind, "_", " ") + " (" + rule.Name + ")"
}

// Report applies an agent's word about a clip, inside the caller's transaction.
func (r *Room) Report(ctx context.Context, q store.Querier, ref agents.Ref, f wire.ClipFact) error {
	if f.State == wire.ClipStored {
		return errStored
	}
	c, err := clips.Get(ctx, q, ref.Scope(), f.Clip)
	if ignoreMissing(err) != nil {
		return err
	}
	if err := clips.Report(ctx, q, ref.Scope(), ref.Site, f, time.Now().UnixMicro()); err != nil {
		return err
	}
	if err != nil || c.Site != ref.Site || c.Final() {
		return nil
	}
	return r.rest(ctx, q, c, f)
}

// slack is less than any frame: what an agent's word may differ by from the range that it was ordered.
const slack = 1000

// rest orders what a clip was widened by after its agent had begun to cut it: the clip keeps the range that it was cut
// by, and the rest becomes another one.
func (r *Room) rest(ctx context.Context, q store.Querier, c clips.Clip, f wire.ClipFact) error {
	if f.State != wire.ClipQueued && f.State != wire.ClipUploading && f.State != wire.ClipUnavailable {
		return nil
	}
	cut := cutBy(f)
	if cut.long() <= 0 || (cut.from <= c.StartUs+slack && cut.to >= c.EndUs-slack) || !cut.overlaps(rangeOf(c)) {
		return nil
	}
	left := rangeOf(c).without([]span{cut})
	shown, err := clips.EventsOf(ctx, q, store.Org(c.Org), c.ID)
	if err != nil {
		return err
	}
	c.StartUs, c.EndUs = max(c.StartUs, cut.from), min(c.EndUs, cut.to)
	if err := clips.Change(ctx, q, c, time.Now().UnixMicro()); err != nil {
		return err
	}
	for _, s := range left {
		if s.long() <= slack {
			continue
		}
		w := wish{
			org: c.Org, site: c.Site, stream: id.Stream{Camera: c.Camera, Kind: c.Stream}, span: s, title: c.Title, rule: c.Rule,
			priority: c.Priority, keepDays: c.KeepDays,
		}
		for _, e := range shown {
			if s.overlaps(span{e.StartUs, e.EndUs}) {
				w.events = append(w.events, e)
			}
		}
		if err := r.choose(ctx, q, w); err != nil {
			return err
		}
	}
	return nil
}

// cutBy is the range that the agent was ordered when it spoke. One of version 1 does not say it: what it cut and what it
// says is missing make it up.
func cutBy(f wire.ClipFact) span {
	if f.OrderEndUs > 0 {
		return span{f.OrderStartUs, f.OrderEndUs}
	}
	s := span{f.StartUs, f.EndUs}
	for _, g := range f.Gaps {
		if s.to == 0 {
			s = span{g.StartUs, g.EndUs}
		}
		s = s.hull(span{g.StartUs, g.EndUs})
	}
	return s
}

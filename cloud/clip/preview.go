package clip

import (
	"context"
	"slices"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/coverage"
	"holdfast/cloud/store/events"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// Looked is how far back a preview looks.
const Looked = 30 * 24 * time.Hour

// Sources of a line's speed.
const (
	LineMeasured = "measured" // by uploads of clips
	LineGiven    = "given"    // by a person, for the preview or for the organisation
	LineAssumed  = "assumed"
)

// assumed are the slowest line that sites usually have, and the bitrate of a stream of which nothing is known, both in
// bytes a second.
const (
	assumedLine = 2_000_000 / 8
	assumedMain = 4_000_000 / 8
	assumedSub  = 500_000 / 8
)

// SitePreview is what a rule would have sent from one site.
type SitePreview struct {
	Site       id.Site
	Name       string
	Events     int   // matched
	Clips      int   // after merging
	LengthUs   int64 // of all clips
	Bytes      int64
	Guessed    bool    // the bitrate of some camera is not known and was assumed
	LineBytes  int64   // a second
	LineSource string  // LineMeasured, LineGiven, LineAssumed
	LineHours  float64 // that the bytes take of the line, with nothing else on it
}

// Preview is what a rule would have sent in the last 30 days if all of it was recorded.
type Preview struct {
	FromUs, ToUs int64
	Sites        []SitePreview // those with events, the most bytes first
	Events       int
	Clips        int
	LengthUs     int64
	Bytes        int64
	// Kept is how many bytes lie in the cloud once it goes on like this: what is made in the time that clips are kept;
	// for clips that are kept for ever, after a year.
	Kept        int64
	KeepDays    int // 0: for ever
	CostMicros  int64
	PriceMicros int64
	Currency    string
}

// Preview works out what a rule would have sent. lineKbps above 0 is what a person says of the line; sites are those that
// the asker is limited to, nil for all.
func (r *Room) Preview(ctx context.Context, scope store.Scope, sites []id.Site, rule clips.Rule, lineKbps int) (Preview, error) {
	q, now := r.db.Read(), time.Now()
	p := Preview{FromUs: now.Add(-Looked).UnixMicro(), ToUs: now.UnixMicro(), KeepDays: rule.KeepDays}
	set, err := clips.GetSettings(ctx, q, scope)
	if err != nil {
		return p, err
	}
	rates, err := coverage.Rates(ctx, q, scope, rule.Stream, p.ToUs)
	if err != nil {
		return p, err
	}
	list, err := previewed(ctx, q, scope, sites, rule)
	if err != nil {
		return p, err
	}
	for _, site := range list {
		s, err := r.previewSite(ctx, scope, site, rule, rates, p.FromUs)
		if err != nil {
			return p, err
		}
		if s.Events == 0 {
			continue
		}
		if err := line(ctx, q, scope, &s, lineKbps, set.LineKbps); err != nil {
			return p, err
		}
		p.Sites = append(p.Sites, s)
		p.Events, p.Clips, p.LengthUs, p.Bytes = p.Events+s.Events, p.Clips+s.Clips, p.LengthUs+s.LengthUs, p.Bytes+s.Bytes
	}
	slices.SortStableFunc(p.Sites, func(a, b SitePreview) int { return int(min(max(b.Bytes-a.Bytes, -1), 1)) })
	p.cost(set)
	return p, nil
}

func (p *Preview) cost(set clips.Settings) {
	if p.KeepDays == clips.ByDefault {
		p.KeepDays = set.KeepDays
	}
	days := float64(p.KeepDays)
	if p.KeepDays == clips.ForEver {
		days = 365
	}
	p.Kept = int64(float64(p.Bytes) / Looked.Hours() * 24 * days)
	p.PriceMicros, p.Currency = set.PriceMicros, set.Currency
	p.CostMicros = int64(float64(p.Kept) / 1e9 * float64(set.PriceMicros))
}

// previewed returns the sites that a rule is about.
func previewed(ctx context.Context, q store.Querier, scope store.Scope, sites []id.Site, rule clips.Rule) ([]orgs.Site, error) {
	if rule.Site != "" {
		s, err := orgs.GetSite(ctx, q, scope, rule.Site)
		return []orgs.Site{s}, err
	}
	var out []orgs.Site
	for page := (orgs.Page{Limit: 500}); ; {
		list, next, err := orgs.Sites(ctx, q, scope, sites, "", page)
		if out = append(out, list...); err != nil || next == "" {
			return out, err
		}
		page.After = next
	}
}

func (r *Room) previewSite(ctx context.Context, scope store.Scope, site orgs.Site, rule clips.Rule, rates map[id.Camera]float64, fromUs int64) (SitePreview, error) {
	s := SitePreview{Site: site.ID, Name: site.Name}
	moments, err := events.Moments(ctx, r.db.Read(), scope, site.ID, rule.EventKind, fromUs)
	if err != nil {
		return s, err
	}
	zone, err := time.LoadLocation(site.Timezone)
	if err != nil {
		zone = time.UTC
	}
	chosen := map[id.Camera][]events.Moment{}
	for of, list := range moments {
		if camera, ok := chooses(rule, site.ID, of); ok {
			list = during(rule.Hours, zone, list)
			chosen[camera] = append(chosen[camera], list...)
			s.Events += len(list)
		}
	}
	for camera, list := range chosen {
		n, us := r.union(rule, list)
		rate, known := rates[camera]
		if !known {
			rate, s.Guessed = assumedMain, true
			if rule.Stream == id.Sub {
				rate = assumedSub
			}
		}
		s.Clips, s.LengthUs, s.Bytes = s.Clips+n, s.LengthUs+us, s.Bytes+int64(rate*float64(us)/1e6)
	}
	return s, nil
}

// during returns the moments that lie in the hours of a week. A quarter of an hour is the finest that time zones are
// shifted by, so the clock on the wall is worked out once for each.
func during(hours clips.Hours, zone *time.Location, list []events.Moment) []events.Moment {
	if hours.Every() {
		return list
	}
	const quarter = int64(900_000_000)
	var out []events.Moment
	last, in := int64(-1), false
	for _, m := range list {
		if slot := m.AtUs / quarter; slot != last {
			last, in = slot, hours.Has(time.UnixMicro(m.AtUs).In(zone))
		}
		if in {
			out = append(out, m)
		}
	}
	return out
}

// union returns how many clips a rule makes of events, and how long they are together: what rules do one event after the
// other, for all of them.
func (r *Room) union(rule clips.Rule, list []events.Moment) (count int, us int64) {
	slices.SortFunc(list, func(a, b events.Moment) int { return int(min(max(a.AtUs-b.AtUs, -1), 1)) })
	limit := r.cfg.MaxMerged.Microseconds()
	var at span
	for i, m := range list {
		s := r.wanted(rule, m.AtUs, m.EndUs)
		switch {
		case i > 0 && s.to <= at.to:
			continue
		case i > 0 && s.from <= at.to && s.to-at.from <= limit:
			us += s.to - at.to
			at.to = s.to
			continue
		case i > 0 && s.from < at.to:
			s.from = at.to
		}
		n := (s.long() + limit - 1) / limit
		count, us = count+int(n), us+s.long()
		at = span{s.from + (n-1)*limit, s.to}
	}
	return count, us
}

// line fills in how long the bytes take: by the line as it was measured, else as it was given, else as it is assumed.
func line(ctx context.Context, q store.Querier, scope store.Scope, s *SitePreview, asked, given int) error {
	rate, err := clips.Line(ctx, q, scope, s.Site)
	switch {
	case err != nil:
		return err
	case asked > 0:
		s.LineBytes, s.LineSource = int64(asked)*125, LineGiven
	case rate > 0:
		s.LineBytes, s.LineSource = rate, LineMeasured
	case given > 0:
		s.LineBytes, s.LineSource = int64(given)*125, LineGiven
	default:
		s.LineBytes, s.LineSource = assumedLine, LineAssumed
	}
	s.LineHours = float64(s.Bytes) / float64(s.LineBytes) / 3600
	return nil
}

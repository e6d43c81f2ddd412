package cloud

import (
	"context"
	"errors"
	"math"
	"time"

	"holdfast/cloud/api"
	"holdfast/cloud/store"
	"holdfast/cloud/store/clips"
	"holdfast/shared/id"
)

func showRule(r clips.Rule) api.Rule {
	out := api.Rule{
		ID: string(r.ID), Name: r.Name, EventKind: r.EventKind, Site: string(r.Site), Camera: string(r.Camera), PreS: r.PreS, PostS: r.PostS,
		Stream: string(r.Stream), Enabled: r.Enabled, Hours: []int{}, Priority: api.PriorityWord(r.Priority), KeepDays: r.KeepDays,
	}
	if !r.Hours.Every() {
		for _, day := range r.Hours {
			out.Hours = append(out.Hours, int(day))
		}
	}
	return out
}

func ruleOf(org id.Org, in api.Rule) clips.Rule {
	rule := clips.Rule{
		ID: id.Rule(in.ID), Org: org, Name: in.Name, EventKind: in.EventKind, Site: id.Site(in.Site), Camera: id.Camera(in.Camera),
		PreS: in.PreS, PostS: in.PostS, Stream: id.StreamKind(in.Stream), Enabled: in.Enabled, CreatedUs: time.Now().UnixMicro(),
		Priority: api.PriorityOf(in.Priority), KeepDays: in.KeepDays,
	}
	for i, day := range in.Hours {
		rule.Hours[i%len(rule.Hours)] = uint32(day)
	}
	return rule
}

// Rules implements api.RuleKeeper.
func (r clipRoom) Rules(ctx context.Context, scope store.Scope, sites []id.Site) ([]api.Rule, error) {
	list, err := clips.Rules(ctx, r.db.Read(), scope, "")
	if err != nil {
		return nil, err
	}
	mine := map[id.Site]bool{"": true}
	for _, s := range sites {
		mine[s] = true
	}
	out := []api.Rule{}
	for _, rule := range list {
		if sites == nil || mine[rule.Site] {
			out = append(out, showRule(rule))
		}
	}
	return out, nil
}

// Rule implements api.RuleKeeper.
func (r clipRoom) Rule(ctx context.Context, scope store.Scope, rid id.Rule) (api.Rule, error) {
	rule, err := clips.GetRule(ctx, r.db.Read(), scope, rid)
	return showRule(rule), err
}

// PutRule implements api.RuleKeeper.
func (r clipRoom) PutRule(ctx context.Context, scope store.Scope, in api.Rule) error {
	rule := ruleOf(scope.OrgID(), in)
	return r.db.Tx(ctx, func(q store.Querier) error {
		err := clips.UpdateRule(ctx, q, scope, rule)
		if errors.Is(err, store.ErrNotFound) {
			err = clips.InsertRule(ctx, q, rule)
		}
		return err
	})
}

// RemoveRule implements api.RuleKeeper.
func (r clipRoom) RemoveRule(ctx context.Context, scope store.Scope, rid id.Rule) error {
	return r.db.Tx(ctx, func(q store.Querier) error { return clips.DeleteRule(ctx, q, scope, rid) })
}

// PreviewRule implements api.RuleKeeper.
func (r clipRoom) PreviewRule(ctx context.Context, scope store.Scope, sites []id.Site, in api.Rule, lineKbps int) (api.RulePreview, error) {
	p, err := r.room.Preview(ctx, scope, sites, ruleOf(scope.OrgID(), in), lineKbps)
	out := api.RulePreview{
		FromUs: p.FromUs, ToUs: p.ToUs, Events: p.Events, Clips: p.Clips, LengthUs: p.LengthUs, Bytes: p.Bytes, KeepDays: p.KeepDays,
		KeptBytes: p.Kept, Cost: money(p.CostMicros), Price: money(p.PriceMicros), Currency: p.Currency, Sites: []api.RulePreviewSite{},
	}
	for _, s := range p.Sites {
		out.Sites = append(out.Sites, api.RulePreviewSite{
			Site: string(s.Site), Name: s.Name, Events: s.Events, Clips: s.Clips, LengthUs: s.LengthUs, Bytes: s.Bytes, Guessed: s.Guessed,
			LineKbps: int(s.LineBytes / 125), LineSource: s.LineSource, LineHours: s.LineHours,
		})
	}
	return out, err
}

func money(micros int64) float64 { return float64(micros) / 1e6 }

// ClipSettings implements api.ClipKeeper.
func (r clipRoom) ClipSettings(ctx context.Context, scope store.Scope) (api.ClipSettings, error) {
	s, err := clips.GetSettings(ctx, r.db.Read(), scope)
	return api.ClipSettings{KeepDays: s.KeepDays, Price: money(s.PriceMicros), Currency: s.Currency, LineKbps: s.LineKbps}, err
}

// PutClipSettings implements api.ClipKeeper.
func (r clipRoom) PutClipSettings(ctx context.Context, scope store.Scope, in api.ClipSettings) error {
	return r.db.Tx(ctx, func(q store.Querier) error {
		return clips.PutSettings(ctx, q, scope.OrgID(), clips.Settings{
			KeepDays: in.KeepDays, PriceMicros: int64(math.Round(in.Price * 1e6)), Currency: in.Currency, LineKbps: in.LineKbps,
		})
	})
}

// Expiry implements api.ClipKeeper.
func (r clipRoom) Expiry(ctx context.Context, scope store.Scope, keepDays int) (api.ClipExpiry, error) {
	n, bytes, err := clips.Shorter(ctx, r.db.Read(), scope.OrgID(), keepDays, time.Now().UnixMicro())
	return api.ClipExpiry{Clips: n, Bytes: bytes}, err
}

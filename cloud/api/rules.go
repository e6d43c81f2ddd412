package api

import (
	"context"
	"errors"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// RulePath names a rule in a path.
type RulePath struct {
	ID string `path:"id" maxLength:"64"`
}

func (d *door) rules() {
	add(d, get("/rules", "listRules", access.EditRules, "Clip rules, by name"),
		func(ctx context.Context, who access.Actor, _ *empty) (*bodyOf[Rules], error) {
			list, err := d.rooms.Rules.Rules(ctx, who.Scope(), who.Sites)
			return body(Rules{Rules: append([]Rule{}, list...)}), err
		})
	add(d, post("/rules", "addRule", access.EditRules, "Add a clip rule").created(),
		func(ctx context.Context, who access.Actor, in *struct{ Body RuleRequest }) (*bodyOf[Rule], error) {
			return d.putRule(ctx, who, in.Body.rule(), access.DeedRuleAdded)
		})
	d.previewRule()
	type patchIn struct {
		RulePath
		Body RulePatch
	}
	add(d, patch("/rules/{id}", "changeRule", access.EditRules, "Change a clip rule"),
		func(ctx context.Context, who access.Actor, in *patchIn) (*bodyOf[Rule], error) {
			rule, err := d.rule(ctx, who, in.ID)
			if err != nil {
				return nil, err
			}
			in.Body.apply(&rule)
			return d.putRule(ctx, who, rule, access.DeedRuleChanged)
		})
	add(d, del("/rules/{id}", "removeRule", access.EditRules, "Remove a clip rule; its clips stay"),
		func(ctx context.Context, who access.Actor, in *RulePath) (*empty, error) {
			rule, err := d.rule(ctx, who, in.ID)
			if err != nil {
				return nil, err
			}
			if err := d.rooms.Rules.RemoveRule(ctx, who.Scope(), id.Rule(rule.ID)); err != nil {
				return nil, err
			}
			return nil, d.access.Record(ctx, who, ruleEntry(access.DeedRuleRemoved, rule))
		})
}

// rule is the rule that is asked for, under a new ID.
func (b RuleRequest) rule() Rule {
	return Rule{
		ID: string(id.New[id.Rule]()), Name: b.Name, EventKind: b.EventKind, Site: b.Site, Camera: b.Camera,
		PreS: b.PreS, PostS: b.PostS, Stream: b.Stream, Hours: append([]int{}, b.Hours...), Priority: b.Priority, KeepDays: keepDays(b.KeepDays),
		Enabled: b.Enabled,
	}
}

func (d *door) previewRule() {
	type in struct {
		LineKbps int `query:"line_kbps" minimum:"0" maximum:"100000000" doc:"What is known of the sites' upload speed; 0: as measured."`
		Body     RuleRequest
	}
	add(d, post("/rules/preview", "previewRule", access.EditRules, "What a rule would have sent in the last 30 days").costs(2),
		func(ctx context.Context, who access.Actor, in *in) (*bodyOf[RulePreview], error) {
			rule := in.Body.rule()
			if err := d.checkRule(ctx, who, &rule); err != nil {
				return nil, err
			}
			p, err := d.rooms.Rules.PreviewRule(ctx, who.Scope(), who.Sites, rule, in.LineKbps)
			if p.Sites == nil {
				p.Sites = []RulePreviewSite{}
			}
			return body(p), err
		})
}

// rule returns a rule that the actor may change. One of every site is not for who is limited to sites.
func (d *door) rule(ctx context.Context, who access.Actor, raw string) (Rule, error) {
	rid, err := parse[id.Rule](raw)
	if err != nil {
		return Rule{}, err
	}
	rule, err := d.rooms.Rules.Rule(ctx, who.Scope(), rid)
	if err != nil {
		return Rule{}, err
	}
	return rule, access.Can(who, access.EditRules, access.Target{Org: who.Org, Site: id.Site(rule.Site)})
}

func (p RulePatch) apply(r *Rule) {
	set(&r.Name, p.Name)
	set(&r.EventKind, p.EventKind)
	set(&r.Camera, p.Camera)
	if p.Site != nil && *p.Site != r.Site {
		r.Site = *p.Site
		if p.Camera == nil {
			r.Camera = "" // a camera of the old site
		}
	}
	set(&r.PreS, p.PreS)
	set(&r.PostS, p.PostS)
	set(&r.Stream, p.Stream)
	set(&r.Hours, p.Hours)
	set(&r.Priority, p.Priority)
	set(&r.KeepDays, p.KeepDays)
	set(&r.Enabled, p.Enabled)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (d *door) putRule(ctx context.Context, who access.Actor, rule Rule, deed access.Deed) (*bodyOf[Rule], error) {
	if err := d.checkRule(ctx, who, &rule); err != nil {
		return nil, err
	}
	if err := d.rooms.Rules.PutRule(ctx, who.Scope(), rule); err != nil {
		return nil, err
	}
	return body(rule), d.access.Record(ctx, who, ruleEntry(deed, rule))
}

// checkRule says what is wrong with a rule, or that the actor may not have it, and tidies it.
func (d *door) checkRule(ctx context.Context, who access.Actor, rule *Rule) error {
	var err error
	if rule.Name, err = orgs.Name(rule.Name); err != nil {
		return invalid("body.name", "The name "+err.Error()+".")
	}
	if err := d.placeRule(ctx, who, rule); err != nil {
		return err
	}
	if rule.PreS+rule.PostS == 0 {
		return invalid("body.post_s", "The clip would be empty: give seconds before or after the event.")
	}
	if rule.Hours == nil {
		rule.Hours = []int{}
	}
	if len(rule.Hours) == 0 {
		return nil
	}
	some := 0
	for _, day := range rule.Hours {
		if day < 0 || day >= 1<<24 {
			return invalid("body.hours", "A day has 24 hours: give numbers from 0 to 16777215, a bit for each hour.")
		}
		some |= day
	}
	if len(rule.Hours) != 7 || some == 0 {
		return invalid("body.hours", "Choose at least one hour of the week, on seven days from Monday.")
	}
	return nil
}

// placeRule checks where a rule is about.
func (d *door) placeRule(ctx context.Context, who access.Actor, rule *Rule) error {
	if rule.Camera != "" {
		c, err := d.camera(ctx, who, access.EditRules, rule.Camera)
		if errors.Is(err, store.ErrNotFound) || err == nil && rule.Site != "" && rule.Site != string(c.Site) {
			return invalid("body.camera", "The camera does not exist at this site: choose another one.")
		}
		if err != nil {
			return err
		}
		rule.Site = string(c.Site)
	}
	if rule.Site == "" {
		return access.Can(who, access.EditRules, access.Target{Org: who.Org})
	}
	_, err := d.site(ctx, who, access.EditRules, rule.Site)
	if errors.Is(err, store.ErrNotFound) {
		return invalid("body.site", "The site does not exist: load the list of sites again and choose from it.")
	}
	return err
}

func ruleEntry(deed access.Deed, rule Rule) access.Entry {
	return access.Entry{Deed: deed, Target: rule.ID, Site: id.Site(rule.Site), Detail: joinWords(rule.Name, "on "+rule.EventKind)}
}

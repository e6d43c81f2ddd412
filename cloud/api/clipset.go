package api

import (
	"context"
	"fmt"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/wire"
)

// Words for priorities.
const (
	priorityLow    = "low"
	priorityNormal = "normal"
	priorityHigh   = "high"
)

func priorityOf(word string) wire.Priority {
	switch word {
	case priorityLow:
		return wire.PriorityLow
	case priorityHigh:
		return wire.PriorityHigh
	default:
		return wire.PriorityNormal
	}
}

// keepDays is what a request says of keeping: nothing means as the organisation says.
func keepDays(days *int) int {
	if days == nil {
		return -1
	}
	return *days
}

// PriorityWord is the word for a priority.
func PriorityWord(p wire.Priority) string {
	switch p.Known() {
	case wire.PriorityLow:
		return priorityLow
	case wire.PriorityHigh:
		return priorityHigh
	default:
		return priorityNormal
	}
}

// PriorityOf is the priority that a word of this door names; another word is the normal one.
func PriorityOf(word string) wire.Priority { return priorityOf(word) }

func (d *door) addBookmark(ctx context.Context, who access.Actor, in *struct{ Body BookmarkRequest }) (*bodyOf[Clip], error) {
	b := in.Body
	c, err := d.camera(ctx, who, access.Export, b.Camera)
	if err != nil {
		return nil, err
	}
	title, err := orgs.Text(b.Title, wire.MaxNameRunes)
	if err != nil {
		return nil, invalid("body.title", "The title "+err.Error()+".")
	}
	if b.AtUs > time.Now().Add(time.Minute).UnixMicro() {
		return nil, invalid("body.at_us", "The moment lies in the future: mark one that has passed.")
	}
	entry := access.Entry{
		Deed: access.DeedClipOrdered, Target: string(c.ID), Site: c.Site, Detail: joinWords(c.Name(), title, "bookmark at "+moment(b.AtUs)),
	}
	if err := d.access.Record(ctx, who, entry); err != nil {
		return nil, err
	}
	clip, err := d.rooms.Clips.Bookmark(ctx, Bookmark{
		Org: who.Org, Site: c.Site, Camera: c.ID, AtUs: b.AtUs, Title: title, By: who.Person, ByName: who.Name,
	})
	return body(whole(clip)), d.publish(err, Changed{Org: who.Org, Site: c.Site, Camera: c.ID, Kind: "event", ID: clip.ID})
}

func (d *door) clipSettings() {
	add(d, get("/clip-settings", "getClipSettings", access.EditRules, "How long clips are kept, and what that costs"),
		func(ctx context.Context, who access.Actor, _ *empty) (*bodyOf[ClipSettings], error) {
			s, err := d.rooms.Clips.ClipSettings(ctx, who.Scope())
			return body(s), err
		})
	add(d, put("/clip-settings", "putClipSettings", access.EditRules, "Set how long clips are kept, and what that costs"),
		func(ctx context.Context, who access.Actor, in *struct{ Body ClipSettings }) (*bodyOf[ClipSettings], error) {
			if err := access.Can(who, access.EditRules, access.Target{Org: who.Org}); err != nil {
				return nil, err
			}
			entry := access.Entry{
				Deed: access.DeedClipSettings, Target: string(who.Org),
				Detail: fmt.Sprintf("keep %d days, %.4f %s a GB and month", in.Body.KeepDays, in.Body.Price, in.Body.Currency),
			}
			if err := d.access.Record(ctx, who, entry); err != nil {
				return nil, err
			}
			return body(in.Body), d.rooms.Clips.PutClipSettings(ctx, who.Scope(), in.Body)
		})
	type in struct {
		KeepDays int `query:"keep_days" required:"true" minimum:"0" maximum:"36500"`
	}
	add(d, get("/clip-settings/expiry", "getClipExpiry", access.EditRules, "What another default would remove at once"),
		func(ctx context.Context, who access.Actor, in *in) (*bodyOf[ClipExpiry], error) {
			if err := access.Can(who, access.EditRules, access.Target{Org: who.Org}); err != nil {
				return nil, err
			}
			e, err := d.rooms.Clips.Expiry(ctx, who.Scope(), in.KeepDays)
			return body(e), err
		})
}

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// HoldPath names a hold in a path.
type HoldPath struct {
	Hold string `path:"hold" maxLength:"64"`
}

func (d *door) holds() {
	add(d, get("/sites/{site}/holds", "listHolds", access.Playback, "Ranges that nothing at a site deletes, newest first"),
		func(ctx context.Context, who access.Actor, in *SitePath) (*bodyOf[Holds], error) {
			s, err := d.site(ctx, who, access.Playback, in.Site)
			if err != nil {
				return nil, err
			}
			return d.listHolds(ctx, who, s.ID)
		})
	add(d, post("/holds", "addHold", access.EditHolds, "Keep a range at its site from deletion").created().also(http.StatusConflict), d.addHold)
	add(d, patch("/holds/{hold}", "agreeHold", access.EditHolds, "Agree that a hold keeps more than half of a disk"),
		func(ctx context.Context, who access.Actor, in *struct {
			HoldPath
			Body HoldPatch
		},
		) (*bodyOf[Hold], error) {
			return d.changeHold(ctx, who, in.Hold, access.DeedHoldAgreed, func(q store.Querier, h orgs.Hold) error {
				return orgs.AgreeHold(ctx, q, who.Scope(), h)
			})
		})
	add(d, del("/holds/{hold}", "releaseHold", access.EditHolds, "Release a hold: its video goes when limits or room ask for it"),
		func(ctx context.Context, who access.Actor, in *HoldPath) (*empty, error) {
			_, err := d.changeHold(ctx, who, in.Hold, access.DeedHoldReleased, func(q store.Querier, h orgs.Hold) error {
				return orgs.ReleaseHold(ctx, q, who.Scope(), h, time.Now().UnixMicro())
			})
			return nil, err
		})
	d.retention()
}

func (d *door) listHolds(ctx context.Context, who access.Actor, site id.Site) (*bodyOf[Holds], error) {
	list, err := orgs.Holds(ctx, d.db.Read(), who.Scope(), site, time.Now().UnixMicro())
	if err != nil {
		return nil, err
	}
	report, err := d.rooms.Fleet.Holds(ctx, who.Scope(), site)
	if err != nil {
		return nil, err
	}
	cameras, err := orgs.Cameras(ctx, d.db.Read(), who.Scope(), site)
	if err != nil {
		return nil, err
	}
	names := map[id.Camera]string{}
	for _, c := range cameras {
		names[c.ID] = c.Name()
	}
	out := Holds{Holds: []Hold{}}
	for _, h := range list {
		out.Holds = append(out.Holds, hold(h, names[h.Camera], report))
	}
	for _, s := range report.States {
		if s.Site {
			out.Holds = append(out.Holds, siteHold(site, s, names[s.Camera]))
		}
	}
	return body(out), nil
}

// hold joins what somebody wished with what the site says of it.
func hold(h orgs.Hold, camera string, report HoldReport) Hold {
	out := Hold{
		ID: string(h.ID), Site: string(h.Site), Camera: string(h.Camera), CameraName: camera, StartUs: h.StartUs, EndUs: h.EndUs,
		UntilUs: h.UntilUs, Name: h.Name, By: h.PersonName, MadeAt: "portal", CreatedUs: h.CreatedUs, Over: h.Agreed, State: "waiting",
	}
	switch {
	case h.UntilUs != 0 && h.UntilUs <= time.Now().UnixMicro():
		out.State = string(wire.HoldEnded)
	case !report.Known:
		out.Text = "No agent has connected yet: until one does, nothing is kept."
	case !report.Able:
		out.State, out.Text = "unsupported", "The agent at this site is too old to keep holds: update it. Until then nothing is kept."
	default:
		out.Text = "The site has not taken it yet. It does as soon as it is connected."
	}
	for _, s := range report.States {
		if s.Hold == h.ID && !s.Site && out.State != string(wire.HoldEnded) {
			out.State, out.Text, out.Bytes, out.RecordedUs, out.GoneUs = string(s.State), s.Text, s.Bytes, s.RecordedUs, s.GoneUs
		}
	}
	return out
}

func siteHold(site id.Site, s wire.HoldState, camera string) Hold {
	return Hold{
		ID: string(s.Hold), Site: string(site), Camera: string(s.Camera), CameraName: camera, StartUs: s.StartUs, EndUs: s.EndUs, UntilUs: s.UntilUs,
		Name: s.Name, By: s.By, MadeAt: "site", Over: s.Over, State: string(s.State), Text: s.Text, Bytes: s.Bytes, RecordedUs: s.RecordedUs,
		GoneUs: s.GoneUs,
	}
}

func (d *door) addHold(ctx context.Context, who access.Actor, in *struct{ Body HoldRequest }) (*bodyOf[Hold], error) {
	c, err := d.camera(ctx, who, access.EditHolds, in.Body.Camera)
	if errors.Is(err, store.ErrNotFound) {
		return nil, invalid("body.camera", "The camera does not exist: load the list of cameras again and choose from it.")
	}
	if err != nil {
		return nil, err
	}
	b, now := in.Body, time.Now().UnixMicro()
	name, err := orgs.Name(b.Name)
	switch {
	case err != nil:
		return nil, invalid("body.name", "The name "+err.Error()+".")
	case b.EndUs <= b.StartUs:
		return nil, invalid("body.end_us", "The range ends before it begins: give an end_us above start_us.")
	case b.EndUs > now+(5*time.Minute).Microseconds():
		return nil, invalid("body.end_us", "The range ends in the future: only what is recorded can be held.")
	case b.UntilUs != 0 && b.UntilUs <= now:
		return nil, invalid("body.until_us", "That time is over: give one in the future, or none.")
	}
	h := orgs.Hold{
		ID: id.New[id.Hold](), Org: who.Org, Site: c.Site, Camera: c.ID, StartUs: b.StartUs, EndUs: b.EndUs, UntilUs: b.UntilUs, Name: name,
		Agreed: b.Over, Person: who.Person, PersonName: who.Name, CreatedUs: now,
	}
	err = d.access.Change(ctx, who, holdEntry(access.DeedHoldMade, h, c.Name()), func(q store.Querier) error {
		return orgs.AddHold(ctx, q, who.Scope(), h)
	})
	if errors.Is(err, orgs.ErrHolds) {
		err = &Refusal{Code: "conflict", Text: fmt.Sprintf("The site has %d holds, more are not possible: release one that is no longer needed.", wire.MaxHolds)}
	}
	if err != nil {
		return nil, err
	}
	return d.toldHold(ctx, who, h, c.Name())
}

// changeHold does something to a hold of the portal.
func (d *door) changeHold(ctx context.Context, who access.Actor, raw string, deed access.Deed, do func(store.Querier, orgs.Hold) error) (*bodyOf[Hold], error) {
	which, err := parse[id.Hold](raw)
	if err != nil {
		return nil, err
	}
	h, err := orgs.GetHold(ctx, d.db.Read(), who.Scope(), which)
	if err == nil {
		err = access.Can(who, access.EditHolds, access.Target{Org: h.Org, Site: h.Site})
	}
	if err == nil && h.ReleasedUs != 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	name := ""
	if c, err := orgs.GetCamera(ctx, d.db.Read(), who.Scope(), h.Camera); err == nil {
		name = c.Name()
	}
	if err := d.access.Change(ctx, who, holdEntry(deed, h, name), func(q store.Querier) error { return do(q, h) }); err != nil {
		return nil, err
	}
	h.Agreed = h.Agreed || deed == access.DeedHoldAgreed
	return d.toldHold(ctx, who, h, name)
}

// toldHold tells the site and everybody who looks, and answers with the hold.
func (d *door) toldHold(ctx context.Context, who access.Actor, h orgs.Hold, camera string) (*bodyOf[Hold], error) {
	d.rooms.Fleet.Reconfigure(who.Org, h.Site)
	d.bus.Publish(Changed{Org: who.Org, Site: h.Site, Camera: h.Camera, Kind: "camera"})
	report, err := d.rooms.Fleet.Holds(ctx, who.Scope(), h.Site)
	return body(hold(h, camera, report)), err
}

func holdEntry(deed access.Deed, h orgs.Hold, camera string) access.Entry {
	at := func(us int64) string { return time.UnixMicro(us).UTC().Format("2006-01-02 15:04:05 UTC") }
	until := "until it is released"
	if h.UntilUs != 0 {
		until = "until " + at(h.UntilUs)
	}
	return access.Entry{
		Deed: deed, Target: string(h.ID), Site: h.Site,
		Detail: fmt.Sprintf("%s: %s, %s to %s, %s", h.Name, camera, at(h.StartUs), at(h.EndUs), until),
	}
}

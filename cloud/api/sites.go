package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	_ "time/tzdata" // machines without a zone database must know the zones too

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// SitePath names a site in a path.
type SitePath struct {
	Site string `path:"site" maxLength:"64"`
}

// maxAddress is how many characters a postal address may have.
const maxAddress = 512

// site returns a site of a request, when the actor may do the action to it.
func (a *API) site(ctx context.Context, who access.Actor, action access.Action, raw string) (orgs.Site, error) {
	sid, err := parse[id.Site](raw)
	if err != nil {
		return orgs.Site{}, err
	}
	s, err := orgs.GetSite(ctx, a.db.Read(), who.Scope(), sid)
	if err != nil {
		return orgs.Site{}, err
	}
	return s, access.Can(who, action, access.Target{Org: s.Org, Site: s.ID})
}

func (d *door) sites() {
	d.regions()
	type listIn struct {
		PageQuery
		Region string `query:"region" maxLength:"64" doc:"Only the sites of this region."`
	}
	add(d, get("/sites", "listSites", access.View, "Sites and how they are, by name").also(http.StatusNotFound),
		func(ctx context.Context, who access.Actor, in *listIn) (*bodyOf[Sites], error) {
			return d.listSites(ctx, who, in.Region, in.page())
		})
	add(d, post("/sites", "addSite", access.MakeSites, "Add a site").created(), d.addSite)
	add(d, get("/sites/{site}", "getSite", access.View, "One site and how it is"),
		func(ctx context.Context, who access.Actor, in *SitePath) (*bodyOf[Site], error) {
			s, err := d.site(ctx, who, access.View, in.Site)
			if err != nil {
				return nil, err
			}
			return d.oneSite(ctx, who, s)
		})
	add(d, patch("/sites/{site}", "changeSite", access.EditSites, "Change a site"), d.changeSite)
	add(d, del("/sites/{site}", "removeSite", access.MakeSites, "Remove a site; its agent is revoked"), d.removeSite)
	d.enrolment()
	d.story()
}

func (d *door) listSites(ctx context.Context, who access.Actor, region string, page orgs.Page) (*bodyOf[Sites], error) {
	var rid id.Region
	if region != "" {
		var err error
		if rid, err = parse[id.Region](region); err != nil {
			return nil, err
		}
		if _, err := orgs.GetRegion(ctx, d.db.Read(), who.Scope(), rid); err != nil {
			return nil, err
		}
	}
	list, next, err := orgs.Sites(ctx, d.db.Read(), who.Scope(), who.Sites, rid, page)
	if err != nil {
		return nil, err
	}
	ids := make([]id.Site, len(list))
	for i, s := range list {
		ids[i] = s.ID
	}
	status, err := d.rooms.Fleet.Sites(ctx, who.Scope(), ids)
	if err != nil {
		return nil, err
	}
	out := Sites{Sites: []Site{}, Next: next}
	for _, s := range list {
		out.Sites = append(out.Sites, site(s, status[s.ID]))
	}
	return body(out), nil
}

func (d *door) oneSite(ctx context.Context, who access.Actor, s orgs.Site) (*bodyOf[Site], error) {
	status, err := d.rooms.Fleet.Sites(ctx, who.Scope(), []id.Site{s.ID})
	if err != nil {
		return nil, err
	}
	return body(site(s, status[s.ID])), nil
}

func site(s orgs.Site, status SiteStatus) Site {
	out := Site{
		ID: string(s.ID), Name: s.Name, Region: string(s.Region), Timezone: s.Timezone, Address: s.Address,
		Status: status.Status, SinceUs: status.SinceUs, Missing: status.Missing,
		Cameras: CameraCount{Total: s.Cameras, Recording: status.Recording, Failing: status.Failing},
		Agent:   status.Agent, Disk: status.Disk, Queue: status.Queue, Verdict: status.Verdict, LastOutage: status.LastOutage,
	}
	if out.Status == "" {
		out.Status = "never"
	}
	if out.Missing == nil {
		out.Missing = []Missing{}
	}
	return out
}

// fill checks and takes over what a request says of a site.
func (a *API) fill(ctx context.Context, who access.Actor, s *orgs.Site, name, region, timezone, address *string) (err error) {
	if name != nil {
		if s.Name, err = orgs.Name(*name); err != nil {
			return invalid("body.name", "The name "+err.Error()+".")
		}
	}
	if address != nil {
		if s.Address, err = orgs.Text(strings.ReplaceAll(*address, "\n", ", "), maxAddress); err != nil {
			return invalid("body.address", "The address "+err.Error()+".")
		}
	}
	if timezone != nil {
		if _, err := time.LoadLocation(*timezone); err != nil || *timezone == "" || *timezone == "Local" {
			return invalid("body.timezone", "The time zone is unknown: choose one of the IANA names, such as Europe/Madrid.")
		}
		s.Timezone = *timezone
	}
	if region == nil {
		return nil
	}
	if s.Region = ""; *region == "" {
		return nil
	}
	rid, err := parse[id.Region](*region)
	if err == nil {
		_, err = orgs.GetRegion(ctx, a.db.Read(), who.Scope(), rid)
	}
	if errors.Is(err, store.ErrNotFound) {
		return invalid("body.region", "The region does not exist: load the list of regions again and choose from it.")
	}
	s.Region = rid
	return err
}

func (d *door) addSite(ctx context.Context, who access.Actor, in *struct{ Body SiteRequest }) (*bodyOf[Site], error) {
	s := orgs.Site{ID: id.New[id.Site](), Org: who.Org, CreatedUs: time.Now().UnixMicro()}
	if err := access.Can(who, access.MakeSites, access.Target{Org: who.Org}); err != nil {
		return nil, err
	}
	b := in.Body
	if err := d.fill(ctx, who, &s, &b.Name, &b.Region, &b.Timezone, &b.Address); err != nil {
		return nil, err
	}
	entry := access.Entry{Deed: access.DeedSiteAdded, Target: string(s.ID), Site: s.ID, Detail: s.Name}
	if err := d.access.Change(ctx, who, entry, func(q store.Querier) error { return orgs.AddSite(ctx, q, s) }); err != nil {
		return nil, err
	}
	d.bus.Publish(Changed{Org: who.Org, Site: s.ID, Kind: "site"})
	return d.oneSite(ctx, who, s)
}

func (d *door) changeSite(ctx context.Context, who access.Actor, in *struct {
	SitePath
	Body SitePatch
},
) (*bodyOf[Site], error) {
	s, err := d.site(ctx, who, access.EditSites, in.Site)
	if err != nil {
		return nil, err
	}
	b := in.Body
	if err := d.fill(ctx, who, &s, b.Name, b.Region, b.Timezone, b.Address); err != nil {
		return nil, err
	}
	entry := access.Entry{Deed: access.DeedSiteChanged, Target: string(s.ID), Site: s.ID, Detail: s.Name}
	err = d.access.Change(ctx, who, entry, func(q store.Querier) error { return orgs.UpdateSite(ctx, q, who.Scope(), s) })
	if err != nil {
		return nil, err
	}
	d.bus.Publish(Changed{Org: who.Org, Site: s.ID, Kind: "site"})
	return d.oneSite(ctx, who, s)
}

func (d *door) removeSite(ctx context.Context, who access.Actor, in *SitePath) (*empty, error) {
	s, err := d.site(ctx, who, access.MakeSites, in.Site)
	if err != nil {
		return nil, err
	}
	// The agent goes first: it must not report for a site that is gone.
	if err := d.rooms.Agents.Revoke(ctx, who.Scope(), s.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	entry := access.Entry{Deed: access.DeedSiteRemoved, Target: string(s.ID), Site: s.ID, Detail: s.Name}
	err = d.access.Change(ctx, who, entry, func(q store.Querier) error {
		if err := d.rooms.Clips.SiteRemoved(ctx, q, who.Scope(), s.ID); err != nil {
			return err
		}
		return orgs.RemoveSite(ctx, q, who.Scope(), s.ID, time.Now().UnixMicro())
	})
	return nil, d.publish(err, Changed{Org: who.Org, Site: s.ID, Kind: "site"})
}

func (d *door) enrolment() {
	add(d, post("/sites/{site}/codes", "makeCode", access.Enrol, "Make an enrolment code for the site's agent").created().costs(4),
		func(ctx context.Context, who access.Actor, in *SitePath) (*bodyOf[Code], error) {
			s, err := d.site(ctx, who, access.Enrol, in.Site)
			if err != nil {
				return nil, err
			}
			if err := d.access.Record(ctx, who, access.Entry{Deed: access.DeedCodeMade, Target: string(s.ID), Site: s.ID, Detail: s.Name}); err != nil {
				return nil, err
			}
			code, err := d.rooms.Agents.NewCode(ctx, who.Scope(), s.ID, who.Person)
			if err != nil {
				return nil, err
			}
			return body(Code{
				ID: string(code.ID), Code: code.Code, ExpiresUs: code.ExpiresUs, Commands: d.cfg.Commands(callOf(ctx).base, code.Code),
			}), nil
		})
	type codeIn struct {
		SitePath
		Code string `path:"code" maxLength:"64"`
	}
	add(d, get("/sites/{site}/codes/{code}", "getCode", access.Enrol, "What became of an enrolment code"),
		func(ctx context.Context, who access.Actor, in *codeIn) (*bodyOf[CodeState], error) {
			s, err := d.site(ctx, who, access.Enrol, in.Site)
			if err != nil {
				return nil, err
			}
			code, err := parse[id.Code](in.Code)
			if err != nil {
				return nil, err
			}
			state, err := d.rooms.Agents.Code(ctx, who.Scope(), s.ID, code)
			return body(state), err
		})
	add(d, del("/sites/{site}/agent", "revokeAgent", access.Enrol, "Revoke the site's agent; cameras and video stay"),
		func(ctx context.Context, who access.Actor, in *SitePath) (*empty, error) {
			s, err := d.site(ctx, who, access.Enrol, in.Site)
			if err != nil {
				return nil, err
			}
			if err := d.rooms.Agents.Revoke(ctx, who.Scope(), s.ID); err != nil {
				return nil, err
			}
			entry := access.Entry{Deed: access.DeedAgentRevoked, Target: string(s.ID), Site: s.ID, Detail: s.Name}
			err = d.access.Change(ctx, who, entry, func(q store.Querier) error { return orgs.Unreport(ctx, q, who.Scope(), s.ID) })
			return nil, d.publish(err, Changed{Org: who.Org, Site: s.ID, Kind: "site"})
		})
}

package api

import (
	"context"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// RegionPath names a region in a path.
type RegionPath struct {
	ID string `path:"id" maxLength:"64"`
}

func (d *door) regions() {
	add(d, get("/regions", "listRegions", access.View, "Regions with the sites that one may see, by name"), d.listRegions)
	add(d, post("/regions", "addRegion", access.EditRegions, "Add a region").created(),
		func(ctx context.Context, who access.Actor, in *struct{ Body RegionRequest }) (*bodyOf[Region], error) {
			name, err := orgs.Name(in.Body.Name)
			if err != nil {
				return nil, invalid("body.name", "The name "+err.Error()+".")
			}
			r := orgs.Region{ID: id.New[id.Region](), Org: who.Org, Name: name, CreatedUs: time.Now().UnixMicro()}
			entry := access.Entry{Deed: access.DeedRegionAdded, Target: string(r.ID), Detail: r.Name}
			err = d.access.Change(ctx, who, entry, func(q store.Querier) error { return orgs.AddRegion(ctx, q, r) })
			return body(region(r, nil)), d.publish(err, Changed{Org: who.Org, Kind: "site"})
		})
	type patchIn struct {
		RegionPath
		Body RegionRequest
	}
	add(d, patch("/regions/{id}", "renameRegion", access.EditRegions, "Rename a region"),
		func(ctx context.Context, who access.Actor, in *patchIn) (*bodyOf[Region], error) {
			return d.renameRegion(ctx, who, in.ID, in.Body.Name)
		})
	add(d, del("/regions/{id}", "removeRegion", access.EditRegions, "Remove a region; its sites stay"),
		func(ctx context.Context, who access.Actor, in *RegionPath) (*empty, error) {
			rid, err := parse[id.Region](in.ID)
			if err != nil {
				return nil, err
			}
			r, err := orgs.GetRegion(ctx, d.db.Read(), who.Scope(), rid)
			if err != nil {
				return nil, err
			}
			entry := access.Entry{Deed: access.DeedRegionRemoved, Target: string(rid), Detail: r.Name}
			err = d.access.Change(ctx, who, entry, func(q store.Querier) error { return orgs.RemoveRegion(ctx, q, who.Scope(), rid) })
			return nil, d.publish(err, Changed{Org: who.Org, Kind: "site"})
		})
}

func (d *door) listRegions(ctx context.Context, who access.Actor, _ *empty) (*bodyOf[Regions], error) {
	list, err := orgs.Regions(ctx, d.db.Read(), who.Scope())
	if err != nil {
		return nil, err
	}
	sites, err := orgs.RegionSites(ctx, d.db.Read(), who.Scope(), who.Sites)
	if err != nil {
		return nil, err
	}
	out := Regions{Regions: []Region{}}
	for _, r := range list {
		if who.Sites != nil && len(sites[r.ID]) == 0 {
			continue // of others' sites
		}
		out.Regions = append(out.Regions, region(r, sites[r.ID]))
	}
	return body(out), nil
}

func (d *door) renameRegion(ctx context.Context, who access.Actor, raw, name string) (*bodyOf[Region], error) {
	rid, err := parse[id.Region](raw)
	if err != nil {
		return nil, err
	}
	if name, err = orgs.Name(name); err != nil {
		return nil, invalid("body.name", "The name "+err.Error()+".")
	}
	entry := access.Entry{Deed: access.DeedRegionChanged, Target: string(rid), Detail: name}
	err = d.access.Change(ctx, who, entry, func(q store.Querier) error { return orgs.RenameRegion(ctx, q, who.Scope(), rid, name) })
	if err != nil {
		return nil, err
	}
	d.bus.Publish(Changed{Org: who.Org, Kind: "site"})
	sites, err := orgs.RegionSites(ctx, d.db.Read(), who.Scope(), who.Sites)
	return body(region(orgs.Region{ID: rid, Name: name}, sites[rid])), err
}

func region(r orgs.Region, sites []id.Site) Region {
	if sites == nil {
		sites = []id.Site{}
	}
	return Region{ID: string(r.ID), Name: r.Name, Sites: siteStrings(sites)}
}

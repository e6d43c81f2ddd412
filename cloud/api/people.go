package api

import (
	"context"
	"net/http"

	"holdfast/cloud/access"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
	"holdfast/shared/id"
)

// PageQuery asks for a page of a list that is ordered by name.
type PageQuery struct {
	After string `query:"after" maxLength:"1024" doc:"The 'next' of the page before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

func (p PageQuery) page() orgs.Page { return orgs.Page{After: p.After, Limit: p.Limit} }

// PersonPath names a person in a path.
type PersonPath struct {
	ID string `path:"id" maxLength:"64"`
}

func (d *door) people() {
	add(d, get("/people", "listPeople", access.EditPeople, "People whom one may manage, by name"),
		func(ctx context.Context, who access.Actor, in *PageQuery) (*bodyOf[People], error) {
			list, next, err := d.access.People(ctx, who, in.page())
			out := People{People: []Person{}, Next: next}
			for _, p := range list {
				out.People = append(out.People, person(p))
			}
			return body(out), err
		})
	add(d, post("/people", "invitePerson", access.EditPeople, "Invite somebody").created().costs(4),
		func(ctx context.Context, who access.Actor, in *struct{ Body NewPerson }) (*bodyOf[Invited], error) {
			sites, err := sitesOf(in.Body.Sites)
			if err != nil {
				return nil, err
			}
			inv, err := d.access.Invite(ctx, who, access.Invitation{
				Name: in.Body.Name, Email: in.Body.Email, Role: access.Role(in.Body.Role), Sites: sites,
			})
			return d.invited(ctx, who, inv, err)
		})
	add(d, patch("/people/{id}", "changePerson", access.EditPeople, "Change name, role or sites of a person"), d.changePerson)
	add(d, del("/people/{id}", "removePerson", access.EditPeople, "Remove a person; every session ends").also(http.StatusConflict),
		func(ctx context.Context, who access.Actor, in *PersonPath) (*empty, error) {
			pid, err := parse[id.Person](in.ID)
			if err != nil {
				return nil, err
			}
			err = d.publish(d.access.RemovePerson(ctx, who, pid), Changed{Org: who.Org, Kind: "people"})
			if err == nil {
				d.review()
			}
			return nil, err
		})
	add(d, post("/people/{id}/reset", "resetPerson", access.EditPeople, "Make a new one-time link for a person").created().costs(4),
		func(ctx context.Context, who access.Actor, in *PersonPath) (*bodyOf[Invited], error) {
			pid, err := parse[id.Person](in.ID)
			if err != nil {
				return nil, err
			}
			inv, err := d.access.ResetPerson(ctx, who, pid)
			return d.invited(ctx, who, inv, err)
		})
}

func (d *door) invited(ctx context.Context, who access.Actor, inv access.Invited, err error) (*bodyOf[Invited], error) {
	if err != nil {
		return nil, err
	}
	d.bus.Publish(Changed{Org: who.Org, Kind: "people"})
	// The token stands behind '#', so that no server, log or Referer sees it when the link is opened.
	return body(Invited{Person: person(inv.Person), Link: callOf(ctx).base + "/password#" + inv.Token, ExpiresUs: inv.ExpiresUs}), nil
}

func (d *door) changePerson(ctx context.Context, who access.Actor, in *struct {
	PersonPath
	Body PersonPatch
},
) (*bodyOf[Person], error) {
	pid, err := parse[id.Person](in.ID)
	if err != nil {
		return nil, err
	}
	patch := access.Patch{Name: in.Body.Name, AllSites: in.Body.AllSites != nil && *in.Body.AllSites}
	if in.Body.Role != nil {
		role := access.Role(*in.Body.Role)
		patch.Role = &role
	}
	if in.Body.Sites != nil {
		if patch.AllSites {
			return nil, invalid("body.sites", "Either every site or a list of sites: send one of them.")
		}
		sites, err := sitesOf(*in.Body.Sites)
		if err != nil {
			return nil, err
		}
		patch.Sites = &sites
	}
	p, err := d.access.ChangePerson(ctx, who, pid, patch)
	if err != nil {
		return nil, err
	}
	d.review()
	d.bus.Publish(Changed{Org: who.Org, Kind: "people"})
	return body(person(p)), nil
}

// sitesOf reads a list of site IDs; nil stays nil, which means every site.
func sitesOf(list []string) ([]id.Site, error) {
	if list == nil {
		return nil, nil
	}
	sites := make([]id.Site, 0, len(list))
	for _, s := range list {
		site, err := id.Parse[id.Site](s)
		if err != nil {
			return nil, invalid("body.sites", "One of the sites does not exist: load the list of sites again and choose from it.")
		}
		sites = append(sites, site)
	}
	return sites, nil
}

func person(p people.Person) Person {
	out := Person{
		ID: string(p.ID), Name: p.Name, Email: p.Email, Role: p.Role, Sites: siteStrings(p.Sites), State: "active",
		LastSeenUs: p.LastSeenUs, CreatedUs: p.CreatedUs,
	}
	if p.Password == "" {
		out.State = "invited"
	}
	return out
}

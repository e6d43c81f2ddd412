package api

import (
	"context"
	"errors"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// PlayerPath names a player in a path.
type PlayerPath struct {
	Player string `path:"player" maxLength:"64"`
}

func (d *door) players() {
	add(d, get("/sites/{site}/players", "listPlayers", access.EditPlayers, "Programs that may show live video of a site with a token"),
		func(ctx context.Context, who access.Actor, in *SitePath) (*bodyOf[Players], error) {
			s, err := d.site(ctx, who, access.EditPlayers, in.Site)
			if err != nil {
				return nil, err
			}
			list, err := d.access.Players(ctx, who, s.ID)
			out := Players{Players: []Player{}}
			for _, p := range list {
				out.Players = append(out.Players, player(p))
			}
			return body(out), err
		})
	add(d, post("/sites/{site}/players", "addPlayer", access.EditPlayers, "Make a token for a program that shows live video").created(), d.addPlayer)
	add(d, del("/players/{player}", "revokePlayer", access.EditPlayers, "Revoke a program's token; what it shows ends"),
		func(ctx context.Context, who access.Actor, in *PlayerPath) (*empty, error) {
			pid, err := parse[id.Player](in.Player)
			if err == nil {
				err = d.access.RevokePlayer(ctx, who, pid)
			}
			if err != nil {
				return nil, err
			}
			d.review()
			return nil, nil
		})
}

func player(p access.ListedPlayer) Player {
	return Player{
		ID: string(p.ID), Name: p.Name, Site: string(p.Site), Camera: string(p.Camera), CameraName: p.CameraName, MadeBy: p.MadeByName,
		CreatedUs: p.CreatedUs, ExpiresUs: p.ExpiresUs, UsedUs: p.UsedUs, State: string(p.State),
	}
}

func (d *door) addPlayer(ctx context.Context, who access.Actor, in *struct {
	SitePath
	Body PlayerRequest
},
) (*bodyOf[PlayerMade], error) {
	s, err := d.site(ctx, who, access.EditPlayers, in.Site)
	if err != nil {
		return nil, err
	}
	shown, err := d.playable(ctx, who, s.ID, in.Body.Camera)
	if err != nil {
		return nil, err
	}
	wish := access.PlayerWish{Name: in.Body.Name, Site: s.ID, Days: in.Body.Days}
	if in.Body.Camera != "" {
		wish.Camera = shown[0].ID
	}
	p, token, err := d.access.AddPlayer(ctx, who, wish)
	if err != nil {
		return nil, err
	}
	out := PlayerMade{Player: player(p), Token: token, Addresses: []PlayerAddress{}}
	for _, c := range shown {
		out.Addresses = append(out.Addresses, PlayerAddress{Camera: string(c.ID), Name: c.Name(), URL: callOf(ctx).base + whepPrefix + string(c.ID)})
	}
	return body(out), nil
}

// playable returns the one camera of a site that a player may show, or all of them.
func (d *door) playable(ctx context.Context, who access.Actor, site id.Site, camera string) ([]orgs.Camera, error) {
	if camera == "" {
		return orgs.Cameras(ctx, d.db.Read(), who.Scope(), site)
	}
	c, err := d.camera(ctx, who, access.EditPlayers, camera)
	if err == nil && c.Site != site {
		err = store.ErrNotFound
	}
	if errors.Is(err, store.ErrNotFound) {
		err = invalid("body.camera", "The camera is none of this site: load the list of cameras again and choose from it.")
	}
	return []orgs.Camera{c}, err
}

package api

import (
	"context"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

type restartIn struct {
	RelayQuery
	Session     string `path:"session" maxLength:"64"`
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/sdp"`
}

type restartOut struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (d *door) restartLive(ctx context.Context, who access.Actor, in *restartIn) (*restartOut, error) {
	session, err := parse[id.Session](in.Session)
	if err == nil {
		err = offered(in.ContentType, in.RawBody)
	}
	if err != nil {
		return nil, err
	}
	v, ok := d.viewers.get(session)
	if !ok || v.who.Person != who.Person {
		return nil, store.ErrNotFound
	}
	if err := access.Can(who, v.action, v.target); err != nil {
		return nil, err
	}
	answer, err := d.rooms.Live.Restart(ctx, LiveOrder{
		Org: v.target.Org, Site: v.target.Site, Person: who.Person, Relay: in.Relay, Offer: wire.LiveOffer{Session: session, SDP: string(in.RawBody)},
	})
	if err != nil {
		return nil, err
	}
	return &restartOut{ContentType: sdpType, Body: []byte(answer.SDP)}, nil
}

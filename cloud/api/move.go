package api

import (
	"context"
	"mime"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// fragmentType is what addresses come in that are told one after the other (RFC 8840 section 9).
const fragmentType = "application/trickle-ice-sdpfrag"

type moveIn struct {
	RelayQuery
	TrickleQuery
	Session     string `path:"session" maxLength:"64"`
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/sdp"`
}

type moveOut struct {
	ContentType string `header:"Content-Type"`
	anew        bool   // a path is sought in place of the one before
	Body        []byte
}

// moveLive changes the path of a connection: by its body's type addresses are added, or another one is sought.
func (d *door) moveLive(ctx context.Context, who access.Actor, in *moveIn) (*moveOut, error) {
	session, err := parse[id.Session](in.Session)
	if err != nil {
		return nil, err
	}
	media, _, _ := mime.ParseMediaType(in.ContentType)
	if media != fragmentType {
		if err := offered(in.ContentType, in.RawBody); err != nil {
			return nil, err
		}
	}
	v, ok := d.viewers.get(session)
	if !ok || !v.who.Same(who) {
		return nil, store.ErrNotFound
	}
	if err := access.Can(who, v.action, v.target); err != nil {
		return nil, err
	}
	if media == fragmentType {
		theirs, err := d.rooms.Live.Paths(ctx, wire.LivePaths{Session: session, Fragment: string(in.RawBody)})
		if err != nil {
			return nil, err
		}
		return &moveOut{ContentType: fragmentType, Body: []byte(theirs.Fragment), anew: theirs.Anew}, nil
	}
	answer, err := d.rooms.Live.Restart(ctx, LiveOrder{
		Org: v.target.Org, Site: v.target.Site, Person: who.Person, Relay: in.Relay,
		Offer: wire.LiveOffer{Session: session, SDP: string(in.RawBody), Trickle: in.Trickle},
	})
	if err != nil {
		return nil, err
	}
	return &moveOut{ContentType: sdpType, Body: []byte(answer.SDP)}, nil
}

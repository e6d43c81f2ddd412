package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/cloud/access"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// talk is what a viewer is who speaks at a camera.
type talk struct {
	camera orgs.Camera
	began  time.Time
}

type talkIn struct {
	CameraPath
	RelayQuery
	TrickleQuery
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/sdp"`
}

type talkOut struct {
	ContentType string `header:"Content-Type"`
	Location    string `header:"Location" doc:"DELETE it to stop speaking."`
	Body        []byte
}

func (d *door) talk() {
	add(d, get("/cameras/{camera}/talk", "getTalk", access.Talk, "Whether one can speak through a camera's loudspeaker now, and who does").also(http.StatusBadGateway, http.StatusGatewayTimeout),
		func(ctx context.Context, who access.Actor, in *CameraPath) (*bodyOf[TalkState], error) {
			c, err := d.camera(ctx, who, access.Talk, in.Camera)
			if err != nil {
				return nil, err
			}
			state, err := d.rooms.Live.AskTalk(ctx, who.Org, c.Site, c.ID)
			out := TalkState{Possible: state.Text == "", Text: state.Text, By: state.By}
			if state.By != "" {
				out.SinceUs, out.Mine = time.Now().UnixMicro()-max(state.ForUs, 0), d.viewers.speaks(who, c.ID)
			}
			return body(out), err
		})
	add(d, route{
		method: http.MethodPost, path: "/cameras/{camera}/talk", id: "openTalk",
		summary: "Speak through a camera's loudspeaker: an SDP offer with one place for sound that is sent, in G.711. It is the person's until it is ended, nothing comes any more, or five minutes are over; a second person is told who speaks",
		action:  access.Talk, status: http.StatusCreated, cost: 2, body: maxSDP, errors: []int{http.StatusGone, http.StatusBadGateway, http.StatusGatewayTimeout},
		responses: map[string]*huma.Response{"201": {Description: "The SDP answer, once the camera listens", Content: map[string]*huma.MediaType{
			sdpType: {Schema: &huma.Schema{Type: huma.TypeString}},
		}}},
	}, d.openTalk)
}

// openTalk passes an offer on. The answer, without which nothing can be heard, is given once the audit has its row.
func (d *door) openTalk(ctx context.Context, who access.Actor, in *talkIn) (*talkOut, error) {
	c, err := d.camera(ctx, who, access.Talk, in.Camera)
	if err != nil {
		return nil, err
	}
	if err := offered(in.ContentType, in.RawBody); err != nil {
		return nil, err
	}
	session := id.New[id.Session]()
	answer, err := d.rooms.Live.Talk(ctx, TalkOrder{
		Org: c.Org, Site: c.Site, Person: who.Person, Relay: in.Relay,
		Offer: wire.TalkOffer{Session: session, Camera: c.ID, SDP: string(in.RawBody), Trickle: in.Trickle, By: who.Name},
	})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := d.access.Record(ctx, who, access.Entry{Deed: access.DeedTalk, Target: string(c.ID), Site: c.Site, Detail: c.Name()}); err != nil {
		return nil, joined(err, d.rooms.Live.Close(context.WithoutCancel(ctx), session))
	}
	d.viewers.put(session, viewer{
		who: who, action: access.Talk, target: access.Target{Org: c.Org, Site: c.Site, Camera: c.ID}, readAt: began, talk: &talk{c, began},
	})
	d.bus.Publish(Changed{Org: c.Org, Site: c.Site, Camera: c.ID, Kind: "talk"})
	if !d.rooms.Live.Open(session) || d.stopping() { // it has ended before anybody knew of it, or the cloud does
		return nil, joined(&Refusal{Code: string(wire.FailedGone), Text: "The connection to the camera's loudspeaker has ended. Try again."},
			d.hangUp(ctx, session))
	}
	return &talkOut{ContentType: sdpType, Location: livePath(session), Body: []byte(answer.SDP)}, nil
}

// Silent is told that a talk has ended. It does not block.
func (a *API) Silent(session id.Session) {
	select {
	case a.quiet <- session:
	default: // sweepViewers finds it
	}
}

// recordFor is how long the end of a talk may take to be written down, whatever has become of who asked for it.
const recordFor = 2 * time.Second

// talked writes down that somebody has spoken.
func (a *API) talked(ctx context.Context, v viewer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordFor)
	defer cancel()
	c, began, now := v.talk.camera, v.talk.began, time.Now()
	entry := access.Entry{
		Deed: access.DeedTalked, Target: string(c.ID), Site: c.Site,
		Detail: fmt.Sprintf("%s, from %s to %s, %v", c.Name(), moment(began.UnixMicro()), moment(now.UnixMicro()), now.Sub(began).Round(time.Second)),
	}
	if err := a.access.Record(ctx, v.who, entry); err != nil {
		a.log.Error("the end of a talk is not in the audit; its beginning is", "camera", c.ID, "person", v.who.Person, "error", err)
	}
	a.bus.Publish(Changed{Org: c.Org, Site: c.Site, Camera: c.ID, Kind: "talk"})
}

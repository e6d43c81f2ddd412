package cloud

import (
	"context"
	"errors"
	"time"

	"github.com/coder/websocket"

	"holdfast/cloud/alert"
	"holdfast/cloud/api"
	"holdfast/cloud/fleet"
	"holdfast/cloud/gateway"
	"holdfast/cloud/live"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/coverage"
	"holdfast/cloud/store/events"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// This file fits the rooms to the door's sockets: types are turned, nothing is decided.

// liveRoom is api.Live.
type liveRoom struct {
	db     *store.DB
	broker *live.Broker
}

func (r liveRoom) place(ctx context.Context, org id.Org, site id.Site, camera id.Camera) (live.Place, error) {
	p := live.Place{Site: site, Camera: camera}
	agent, err := agents.OfSite(ctx, r.db, store.Org(org), site)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return p, err
	}
	p.Agent = agent.Agent
	return p, nil
}

// Offer implements api.Live.
func (r liveRoom) Offer(ctx context.Context, o api.LiveOrder) (wire.LiveAnswer, error) {
	p, err := r.place(ctx, o.Org, o.Site, o.Offer.Camera)
	if err != nil {
		return wire.LiveAnswer{}, err
	}
	answer, err := r.broker.Offer(ctx, p, o.Offer, live.Viewer{Person: o.Person, Credentials: o.Relay, Through: live.Way(o.Way)})
	return answer, spoken(err)
}

// Restart implements api.Live.
func (r liveRoom) Restart(ctx context.Context, o api.LiveOrder) (wire.LiveAnswer, error) {
	answer, err := r.broker.Restart(ctx, o.Offer, live.Viewer{Person: o.Person, Credentials: o.Relay})
	return answer, spoken(err)
}

// Paths implements api.Live.
func (r liveRoom) Paths(ctx context.Context, told wire.LivePaths) (wire.LivePaths, error) {
	theirs, err := r.broker.Paths(ctx, told)
	return theirs, spoken(err)
}

// View implements api.Live.
func (r liveRoom) View(ctx context.Context, o api.ViewOrder) (wire.LiveAnswer, error) {
	p, err := r.place(ctx, o.Org, o.Site, o.View.Camera)
	if err != nil {
		return wire.LiveAnswer{}, err
	}
	answer, err := r.broker.View(ctx, p, o.View)
	return answer, spoken(err)
}

// Talk implements api.Live.
func (r liveRoom) Talk(ctx context.Context, o api.TalkOrder) (wire.LiveAnswer, error) {
	p, err := r.place(ctx, o.Org, o.Site, o.Offer.Camera)
	if err != nil {
		return wire.LiveAnswer{}, err
	}
	answer, err := r.broker.Talk(ctx, p, o.Offer, live.Viewer{Person: o.Person, Credentials: o.Relay})
	return answer, spoken(err)
}

// AskTalk implements api.Live.
func (r liveRoom) AskTalk(ctx context.Context, org id.Org, site id.Site, camera id.Camera) (wire.TalkState, error) {
	p, err := r.place(ctx, org, site, camera)
	if err != nil {
		return wire.TalkState{}, err
	}
	state, err := r.broker.AskTalk(ctx, p)
	return state, spoken(err)
}

// Socket implements api.Live.
func (r liveRoom) Socket(ctx context.Context, o api.ViewOrder, conn *websocket.Conn, refuse func(error) any) error {
	p, err := r.place(ctx, o.Org, o.Site, o.View.Camera)
	if err != nil {
		return err
	}
	return spoken(r.broker.Socket(ctx, p, o.View, conn, func(err error) any { return refuse(spoken(err)) }))
}

// Close implements api.Live. A site that nobody reaches is told when it is back.
func (r liveRoom) Close(ctx context.Context, session id.Session) error {
	err := r.broker.Close(ctx, session)
	var offline gateway.ErrOffline
	if errors.As(err, &offline) {
		return nil
	}
	return spoken(err)
}

// Open implements api.Live.
func (r liveRoom) Open(session id.Session) bool { return r.broker.Open(session) }

// ICE implements api.Live.
func (r liveRoom) ICE(_ context.Context, person id.Person) ([]wire.ICEServer, error) {
	return r.broker.ICE(person), nil
}

// Still implements api.Live.
func (r liveRoom) Still(ctx context.Context, org id.Org, site id.Site, o wire.StillOrder) (wire.StillReply, []byte, error) {
	p, err := r.place(ctx, org, site, o.Camera)
	if err != nil {
		return wire.StillReply{}, nil, err
	}
	reply, frame, err := r.broker.Still(ctx, p, o)
	return reply, frame, spoken(err)
}

// Steer implements api.Live.
func (r liveRoom) Steer(ctx context.Context, org id.Org, site id.Site, o wire.PTZOrder) (wire.PTZReply, error) {
	p, err := r.place(ctx, org, site, o.Camera)
	if err != nil {
		return wire.PTZReply{}, err
	}
	reply, err := r.broker.Steer(ctx, p, o)
	return reply, spoken(err)
}

// spoken turns what an agent or the gateway refuses into words for the viewer.
func spoken(err error) error {
	var failure *wire.Failure
	var offline gateway.ErrOffline
	switch {
	case errors.As(err, &failure):
		return &api.Refusal{Code: string(failure.Code), Text: failure.Text}
	case errors.As(err, &offline):
		return &api.Refusal{Code: "offline", Text: unheard(offline)}
	case errors.Is(err, gateway.ErrBusy):
		return &api.Refusal{Code: "busy", Text: gateway.ErrBusy.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return &api.Refusal{Code: "offline", Text: "The site did not answer in time: its line may be slow or gone. Try again in a moment."}
	}
	return err
}

// unheard says that a site can't be asked. Since when is on every page, in the site's own time.
func unheard(offline gateway.ErrOffline) string {
	if offline.SinceUs == 0 {
		return "The site has not been online yet."
	}
	return "The site has no line at this moment. What it records stays there, and can be seen when the line is back."
}

// agentRoom is api.Agents.
type agentRoom struct {
	db *store.DB
	g  *gateway.Gateway
}

// NewCode implements api.Agents.
func (r agentRoom) NewCode(ctx context.Context, scope store.Scope, site id.Site, by id.Person) (api.NewCode, error) {
	code, cid, expires, err := r.g.NewCode(ctx, scope, site, by)
	return api.NewCode{ID: cid, Code: code, ExpiresUs: expires.UnixMicro()}, err
}

// Code implements api.Agents.
func (r agentRoom) Code(ctx context.Context, scope store.Scope, site id.Site, code id.Code) (api.CodeState, error) {
	c, err := agents.GetCode(ctx, r.db, scope, code)
	if err == nil && c.Site != site {
		err = store.ErrNotFound
	}
	if err != nil {
		return api.CodeState{}, err
	}
	return api.CodeState{State: string(c.State(time.Now().UnixMicro())), ExpiresUs: c.ExpiresUs, Agent: string(c.Agent)}, nil
}

// Revoke implements api.Agents.
func (r agentRoom) Revoke(ctx context.Context, scope store.Scope, site id.Site) error {
	a, err := agents.OfSite(ctx, r.db, scope, site)
	if err != nil {
		return err
	}
	return r.g.Revoke(ctx, scope, a.Agent)
}

// eventRoom is api.EventLister.
type eventRoom struct{ db *store.DB }

// Events implements api.EventLister.
func (r eventRoom) Events(ctx context.Context, scope store.Scope, sites []id.Site, q api.EventQuery, p api.Page) ([]api.Event, string, error) {
	list, next, err := events.List(ctx, r.db.Read(), scope, events.Filter{
		Sites: sites, Site: q.Site, Camera: q.Camera, Cameras: q.Cameras, Kind: q.Kind, FromUs: q.Span.FromUs, ToUs: q.Span.ToUs, Before: p.Before, Limit: p.Limit,
	})
	if errors.Is(err, events.ErrCursor) {
		err = &api.Refusal{Code: "invalid", Text: "The list changed: start again without 'before'."}
	}
	if err != nil {
		return nil, "", err
	}
	ids := make([]id.Event, len(list))
	for i, e := range list {
		ids[i] = e.ID
	}
	shown, err := clips.OfEvents(ctx, r.db.Read(), scope, ids)
	if err != nil {
		return nil, "", err
	}
	out := make([]api.Event, len(list))
	for i, e := range list {
		out[i] = api.Event{
			ID: string(e.ID), Site: string(e.Site), Camera: string(e.Camera), Kind: e.Kind, Source: e.Source, AtUs: e.AtUs, EndUs: e.EndUs,
			Text: e.Text, Data: e.Data, Clip: string(shown[e.ID]),
		}
	}
	return out, next, nil
}

// coverageRoom is api.Coverer: what the site reported, what lies in the cloud, and what is on its way.
type coverageRoom struct {
	db *store.DB
	// edge returns what the newest heartbeat says of a stream, and whether its site is connected and records it.
	edge func(scope store.Scope, site id.Site, stream id.Stream) (edge fleet.Stream, known bool)
}

// Coverage implements api.Coverer.
func (r coverageRoom) Coverage(ctx context.Context, scope store.Scope, site id.Site, stream id.Stream, span api.Span) (api.Coverage, error) {
	out := api.Coverage{FromUs: span.FromUs, ToUs: span.ToUs, Ranges: []api.Range{}}
	known, err := coverage.Coverage(ctx, r.db.Read(), scope, stream.Camera, stream.Kind, span.FromUs, span.ToUs)
	if errors.Is(err, coverage.ErrTooMany) {
		err = &api.Refusal{Code: "invalid", Text: "The range holds too many pieces: ask for a shorter one."}
	}
	if err != nil {
		return out, err
	}
	kept, err := clips.List(ctx, r.db.Read(), scope, clips.Filter{
		Site: site, Camera: stream.Camera, State: wire.ClipStored, FromUs: span.FromUs, ToUs: span.ToUs,
	})
	if err != nil {
		return out, err
	}
	cam, err := orgs.GetCamera(ctx, r.db.Read(), scope, stream.Camera)
	if err != nil {
		return out, err
	}
	edge, _ := r.edge(scope, site, stream)
	out.FirstUs, out.DurableUs = edge.FirstUs, edge.DurableUs
	if now := time.Now().UnixMicro(); edge.Connected && edge.Record && edge.DurableUs > now-time.Minute.Microseconds() {
		edge.DurableUs = now // what came since the last heartbeat is on its way
	}
	p := painter{from: span.FromUs, to: span.ToUs}
	p.known(known, edge.DurableUs)
	p.before(cam.FirstSeenUs)
	for _, c := range kept {
		p.clip(c)
	}
	out.Ranges = append(out.Ranges, p.ranges...)
	return out, nil
}

// alertRoom is api.Alerter.
type alertRoom struct{ *alert.Alert }

func showAlerts(s alert.Settings) api.Alerts {
	out := api.Alerts{Emails: append([]string{}, s.Emails...), Webhooks: []api.Webhook{}}
	for _, w := range s.Webhooks {
		out.Webhooks = append(out.Webhooks, api.Webhook{URL: w.URL, HasSecret: w.HasSecret})
	}
	return out
}

// Alerts implements api.Alerter.
func (r alertRoom) Alerts(ctx context.Context, scope store.Scope) (api.Alerts, error) {
	s, err := r.Settings(ctx, scope)
	return showAlerts(s), err
}

// PutAlerts implements api.Alerter.
func (r alertRoom) PutAlerts(ctx context.Context, scope store.Scope, in api.Alerts) (api.Alerts, error) {
	want := alert.Settings{Emails: in.Emails}
	for _, w := range in.Webhooks {
		want.Webhooks = append(want.Webhooks, alert.Webhook{URL: w.URL, Secret: w.Secret})
	}
	s, err := r.Put(ctx, scope, want)
	return showAlerts(s), err
}

// TestAlerts implements api.Alerter.
func (r alertRoom) TestAlerts(ctx context.Context, scope store.Scope) ([]api.AlertResult, error) {
	list, err := r.Test(ctx, scope)
	out := make([]api.AlertResult, len(list))
	for i, a := range list {
		out[i] = api.AlertResult(a)
	}
	return out, err
}

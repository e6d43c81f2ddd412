package api

import (
	"context"
	"net/http"
	"slices"

	"holdfast/cloud/access"
	"holdfast/shared/id"
)

// PastQuery asks for a page of a list that is ordered by time, newest first.
type PastQuery struct {
	Before string `query:"before" pattern:"^[0-9A-Za-z_.-]{1,128}$" doc:"The 'next' of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

func (p PastQuery) page() Page { return Page(p) }

// SpanQuery is a time range of a list; both ends may be open.
type SpanQuery struct {
	FromUs int64 `query:"from_us" minimum:"0"`
	ToUs   int64 `query:"to_us" minimum:"0"`
}

// place reads the filters of a list: a site and a camera, each checked like one that is asked for itself.
func (a *API) place(ctx context.Context, who access.Actor, action access.Action, site, camera string) (sid id.Site, cid id.Camera, err error) {
	if site != "" {
		s, err := a.site(ctx, who, action, site)
		if err != nil {
			return "", "", err
		}
		sid = s.ID
	}
	if camera != "" {
		c, err := a.camera(ctx, who, action, camera)
		if err != nil {
			return "", "", err
		}
		cid = c.ID
	}
	return sid, cid, nil
}

func (d *door) events() {
	type in struct {
		PastQuery
		SpanQuery
		Site    string   `query:"site" maxLength:"64"`
		Camera  string   `query:"camera" maxLength:"64"`
		Cameras []string `query:"cameras,explode" maxItems:"36" doc:"Events of any of these cameras, as a wall has them; instead of camera."`
		Kind    string   `query:"kind" pattern:"^[a-z0-9_]{1,64}$"`
	}
	add(d, get("/events", "listEvents", access.Events, "Events, newest first").also(http.StatusNotFound),
		func(ctx context.Context, who access.Actor, in *in) (*bodyOf[Events], error) {
			site, camera, err := d.place(ctx, who, access.Events, in.Site, in.Camera)
			if err != nil {
				return nil, err
			}
			if camera != "" && len(in.Cameras) > 0 {
				return nil, invalid("query.cameras", "One camera is asked for, and several: give camera or cameras.")
			}
			cameras := make([]id.Camera, len(in.Cameras))
			for i, raw := range in.Cameras {
				c, err := d.camera(ctx, who, access.Events, raw)
				if err != nil {
					return nil, err
				}
				cameras[i] = c.ID
			}
			slices.Sort(cameras)
			cameras = slices.Compact(cameras) // each event once
			sp, err := span(in.FromUs, in.ToUs)
			if err != nil {
				return nil, err
			}
			list, next, err := d.rooms.Events.Events(ctx, who.Scope(), who.Sites,
				EventQuery{Site: site, Camera: camera, Cameras: cameras, Kind: in.Kind, Span: sp}, in.page())
			out := Events{Events: []Event{}, Next: next}
			for _, e := range list {
				out.Events = append(out.Events, eventFor(who, e))
			}
			return body(out), err
		})
	d.incidents()
}

// eventFor leaves out what leads to video, and what the source said in detail, for who may not see video.
func eventFor(who access.Actor, e Event) Event {
	if !who.May(access.Export) {
		e.Clip, e.Data = "", nil
	}
	return e
}

func (d *door) incidents() {
	type in struct {
		PastQuery
		Site string `query:"site" maxLength:"64"`
	}
	add(d, get("/incidents", "listIncidents", access.Health, "Incidents, newest first").also(http.StatusNotFound),
		func(ctx context.Context, who access.Actor, in *in) (*bodyOf[Incidents], error) {
			site, _, err := d.place(ctx, who, access.Health, in.Site, "")
			if err != nil {
				return nil, err
			}
			sites := who.Sites
			if site != "" {
				sites = []id.Site{site}
			}
			list, next, err := d.rooms.Fleet.Incidents(ctx, who.Scope(), sites, in.page())
			return body(Incidents{Incidents: append([]Incident{}, list...), Next: next}), err
		})
}

// maxStory is how many entries of a site's history one answer holds.
const maxStory = 1000

func (d *door) story() {
	type in struct {
		SitePath
		SpanQuery
	}
	add(d, get("/sites/{site}/story", "getStory", access.Health, "What happened at a site, newest first, at most 1000 entries"),
		func(ctx context.Context, who access.Actor, in *in) (*bodyOf[Story], error) {
			s, err := d.site(ctx, who, access.Health, in.Site)
			if err != nil {
				return nil, err
			}
			sp, err := span(in.FromUs, in.ToUs)
			if err != nil {
				return nil, err
			}
			list, err := d.rooms.Fleet.Story(ctx, who.Scope(), s.ID, sp, maxStory)
			return body(Story{Story: append([]StoryEntry{}, list...)}), err
		})
}

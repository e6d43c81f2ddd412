package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// CameraPath names a camera in a path.
type CameraPath struct {
	Camera string `path:"camera" maxLength:"64"`
}

// camera returns a camera of a request, when the actor may do the action to its site.
func (a *API) camera(ctx context.Context, who access.Actor, action access.Action, raw string) (orgs.Camera, error) {
	cid, err := parse[id.Camera](raw)
	if err != nil {
		return orgs.Camera{}, err
	}
	c, err := orgs.GetCamera(ctx, a.db.Read(), who.Scope(), cid)
	if err != nil {
		return orgs.Camera{}, err
	}
	return c, access.Can(who, action, access.Target{Org: c.Org, Site: c.Site, Camera: c.ID})
}

func (d *door) cameras() {
	add(d, get("/sites/{site}/cameras", "listCameras", access.View, "Cameras of a site and how they are, by name"),
		func(ctx context.Context, who access.Actor, in *SitePath) (*bodyOf[Cameras], error) {
			s, err := d.site(ctx, who, access.View, in.Site)
			if err != nil {
				return nil, err
			}
			list, err := orgs.Cameras(ctx, d.db.Read(), who.Scope(), s.ID)
			if err != nil {
				return nil, err
			}
			status, err := d.rooms.Fleet.Cameras(ctx, who.Scope(), s.ID)
			out := Cameras{Cameras: []Camera{}}
			for _, c := range list {
				out.Cameras = append(out.Cameras, camera(c, status[c.ID]))
			}
			return body(out), err
		})
	add(d, get("/cameras/{camera}", "getCamera", access.View, "One camera and how it is"),
		func(ctx context.Context, who access.Actor, in *CameraPath) (*bodyOf[Camera], error) {
			c, err := d.camera(ctx, who, access.View, in.Camera)
			if err != nil {
				return nil, err
			}
			return d.oneCamera(ctx, who, c)
		})
	add(d, patch("/cameras/{camera}", "changeCamera", access.EditCameras, "Change name, recording or retention of a camera"), d.changeCamera)
	add(d, del("/cameras/{camera}", "removeCamera", access.EditCameras, "Remove a camera that the site no longer has").also(http.StatusConflict),
		func(ctx context.Context, who access.Actor, in *CameraPath) (*empty, error) {
			c, err := d.camera(ctx, who, access.EditCameras, in.Camera)
			if err != nil {
				return nil, err
			}
			entry := access.Entry{Deed: access.DeedCameraRemoved, Target: string(c.ID), Site: c.Site, Detail: c.Name()}
			err = d.access.Change(ctx, who, entry, func(q store.Querier) error {
				return orgs.RemoveCamera(ctx, q, who.Scope(), c.ID, time.Now().UnixMicro())
			})
			return nil, d.publish(err, Changed{Org: who.Org, Site: c.Site, Camera: c.ID, Kind: "camera"})
		})
	d.coverage()
}

func (d *door) oneCamera(ctx context.Context, who access.Actor, c orgs.Camera) (*bodyOf[Camera], error) {
	status, err := d.rooms.Fleet.Cameras(ctx, who.Scope(), c.Site)
	return body(camera(c, status[c.ID])), err
}

func (d *door) changeCamera(ctx context.Context, who access.Actor, in *struct {
	CameraPath
	Body CameraPatch
},
) (*bodyOf[Camera], error) {
	c, err := d.camera(ctx, who, access.EditCameras, in.Camera)
	if err != nil {
		return nil, err
	}
	if in.Body.Name != nil {
		if c.Given, err = orgs.Name(*in.Body.Name); err != nil && *in.Body.Name != "" {
			return nil, invalid("body.name", "The name "+err.Error()+".")
		}
	}
	if in.Body.Disabled != nil {
		c.Disabled = *in.Body.Disabled
	}
	if in.Body.KeepDays != nil {
		c.KeepDays = *in.Body.KeepDays
	}
	if in.Body.SharePct != nil {
		c.SharePct = *in.Body.SharePct
	}
	if in.Body.StepDown != nil {
		c.StepDown = *in.Body.StepDown
	}
	entry := access.Entry{
		Deed: access.DeedCameraChanged, Target: string(c.ID), Site: c.Site,
		Detail: fmt.Sprintf("%s: disabled %t, keep %d days and %d %% of the disk (0: as the site says), clips step down %t",
			c.Name(), c.Disabled, c.KeepDays, c.SharePct, c.StepDown),
	}
	err = d.access.Change(ctx, who, entry, func(q store.Querier) error { return orgs.UpdateCamera(ctx, q, who.Scope(), c) })
	if err != nil {
		return nil, err
	}
	d.rooms.Fleet.Reconfigure(who.Org, c.Site)
	d.bus.Publish(Changed{Org: who.Org, Site: c.Site, Camera: c.ID, Kind: "camera"})
	return d.oneCamera(ctx, who, c)
}

func camera(c orgs.Camera, status CameraStatus) Camera {
	out := Camera{
		ID: string(c.ID), Site: string(c.Site), Name: c.Name(), Channel: c.Channel, Status: status.Status, Reason: string(status.Reason),
		Text: status.Text, SinceUs: status.SinceUs, Recording: status.Recording, Streams: []Stream{}, Disabled: c.Disabled,
		KeepDays: c.KeepDays, SharePct: c.SharePct, StepDown: c.StepDown, Reported: c.Reported, FirstUs: status.FirstUs, DurableUs: status.DurableUs,
		PTZ:  status.PTZ,
		Talk: status.Talk,
	}
	if out.Status == "" {
		out.Status = "unknown"
	}
	if r := status.Retention; r != nil {
		out.Retention = &Retention{
			Bytes: r.Bytes, Held: r.HeldBytes, DayBytes: r.DayBytes, Days: r.Days, KeepUs: r.KeepUs, MaxBytes: r.MaxBytes,
		}
		if due := r.Due; due != nil {
			out.Retention.Due = &Shortening{
				DueUs: due.DueUs, KeepUs: due.KeepUs, MaxBytes: due.MaxBytes, LengthUs: due.LengthUs, Bytes: due.Bytes,
			}
		}
	}
	for _, s := range status.Streams {
		out.Streams = append(out.Streams, Stream{
			Kind: string(s.Kind), Record: s.Record, Codec: s.Codec, Audio: s.Audio, Width: s.Width, Height: s.Height, FPS: s.FPS,
			Kbps: s.Kbps, BFrames: s.BFrames, State: string(s.State), Reason: string(s.Reason), Text: s.Text,
		})
	}
	return out
}

// maxSpan is the longest time range of one question.
const maxSpan = 92 * 24 * time.Hour

// span checks a time range of a request, in microseconds.
func span(fromUs, toUs int64) (Span, error) {
	switch {
	case fromUs < 0 || toUs < 0:
		return Span{}, invalid("query.from_us", "The times must not be below 0: give microseconds since 1970.")
	case toUs != 0 && toUs <= fromUs:
		return Span{}, invalid("query.to_us", "The range ends before it begins: give a to_us above from_us.")
	}
	return Span{FromUs: fromUs, ToUs: toUs}, nil
}

// CoverageQuery asks where the video of a time range is.
type CoverageQuery struct {
	FromUs int64  `query:"from_us" required:"true" minimum:"0"`
	ToUs   int64  `query:"to_us" required:"true" minimum:"1"`
	Stream string `query:"stream" enum:"main,sub" default:"main"`
}

func (d *door) coverage() {
	type one struct {
		CameraPath
		CoverageQuery
	}
	add(d, get("/cameras/{camera}/coverage", "getCoverage", access.Playback, "Where the video of a time range is, or why there is none; the ranges cover all of it"),
		func(ctx context.Context, who access.Actor, in *one) (*bodyOf[Coverage], error) {
			cov, err := d.covered(ctx, who, in.Camera, in.CoverageQuery)
			return body(cov.Coverage), err
		})
	type several struct {
		Cameras []string `query:"cameras,explode" required:"true" minItems:"1" maxItems:"36"`
		CoverageQuery
	}
	add(d, get("/coverage", "listCoverage", access.Playback, "The same of several cameras, as a wall has them, in the order in which they are asked for").costs(4).also(http.StatusNotFound),
		func(ctx context.Context, who access.Actor, in *several) (*bodyOf[Coverages], error) {
			out := Coverages{Cameras: []CameraCoverage{}}
			for _, raw := range in.Cameras {
				cov, err := d.covered(ctx, who, raw, in.CoverageQuery)
				if err != nil {
					return nil, err
				}
				out.Cameras = append(out.Cameras, cov)
			}
			return body(out), nil
		})
}

// covered is the coverage of a camera that the actor may play back.
func (d *door) covered(ctx context.Context, who access.Actor, raw string, q CoverageQuery) (CameraCoverage, error) {
	c, err := d.camera(ctx, who, access.Playback, raw)
	if err != nil {
		return CameraCoverage{}, err
	}
	sp, err := span(q.FromUs, q.ToUs)
	if err != nil {
		return CameraCoverage{}, err
	}
	if sp.ToUs-sp.FromUs > maxSpan.Microseconds() {
		return CameraCoverage{}, invalid("query.to_us", "The range is too long: ask for at most 92 days at once.")
	}
	cov, err := d.rooms.Coverage.Coverage(ctx, who.Scope(), c.Site, id.Stream{Camera: c.ID, Kind: id.StreamKind(q.Stream)}, sp)
	if cov.Ranges == nil {
		cov.Ranges = []Range{}
	}
	return CameraCoverage{Camera: string(c.ID), Coverage: cov}, err
}

package cloud

import (
	"context"
	"errors"

	"holdfast/cloud/api"
	"holdfast/cloud/fleet"
	"holdfast/cloud/store"
	"holdfast/cloud/store/health"
	"holdfast/shared/id"
)

// fleetRoom is api.Fleet.
type fleetRoom struct{ *fleet.Fleet }

// Sites implements api.Fleet.
func (r fleetRoom) Sites(_ context.Context, scope store.Scope, sites []id.Site) (map[id.Site]api.SiteStatus, error) {
	out := map[id.Site]api.SiteStatus{}
	for site, s := range r.Fleet.Sites(scope, sites) {
		out[site] = showSite(s)
	}
	return out, nil
}

func showSite(s fleet.Site) api.SiteStatus {
	out := api.SiteStatus{
		Status: s.Status, SinceUs: s.SinceUs, Recording: s.Cameras.Recording, Failing: s.Cameras.Failing, Missing: []api.Missing{},
	}
	for _, m := range s.Missing {
		out.Missing = append(out.Missing, api.Missing{Severity: m.Severity, Text: m.Text, Camera: string(m.Camera), Reason: string(m.Reason)})
	}
	if a := s.Agent; a != nil {
		out.Agent = &api.AgentInfo{
			ID: string(a.ID), Version: a.Version, OS: a.OS, Host: a.Host, Local: a.Local, Connected: a.Connected, EnrolledUs: a.EnrolledUs,
			LastSeenUs: a.LastSeenUs, ClockOffsetUs: a.ClockOffsetUs, RTTMs: a.RTTMs, UpUs: a.UpUs,
		}
	}
	if d := s.Disk; d != nil {
		out.Disk = &api.DiskInfo{Total: d.TotalBytes, Free: d.FreeBytes, Video: d.VideoBytes, Days: d.DaysLeft, Held: d.HeldBytes, Capacity: d.CapacityBytes}
	}
	if q := s.Queue; q != nil {
		out.Queue = &api.QueueInfo{
			Facts: q.Facts, OldestUs: q.OldestUs, Clips: q.Clips, ClipBytes: q.ClipBytes, FactsMinute: q.FactsMinute, OldestClipUs: q.OldestClipUs,
			ClipRate: q.ClipRate, Stills: q.Stills, UpRate: q.UpRate, LineRate: q.LineRate, Cap: q.Cap, CapText: q.CapText,
			Losses: []api.ClipLoss{},
		}
		for _, l := range s.Losses {
			out.Queue.Losses = append(out.Queue.Losses, api.ClipLoss{
				Camera: string(l.Camera), CameraName: l.Name, StartUs: l.StartUs, EndUs: l.EndUs, DueUs: l.DueUs, More: l.More, Bytes: l.Bytes,
				SubBytes: l.SubBytes, StepDown: l.StepDown,
			})
		}
	}
	if v := s.Verdict; v != nil {
		out.Verdict = &api.Verdict{SinceUs: v.SinceUs, Cause: v.Cause, Text: v.Text, LastReport: v.LastReport}
	}
	if o := s.LastOutage; o != nil {
		out.LastOutage = &api.Outage{StartUs: o.StartUs, EndUs: o.EndUs, Text: o.Text, Agent: o.Agent}
	}
	return out
}

// Cameras implements api.Fleet.
func (r fleetRoom) Cameras(_ context.Context, scope store.Scope, site id.Site) (map[id.Camera]api.CameraStatus, error) {
	out := map[id.Camera]api.CameraStatus{}
	for camera, c := range r.Fleet.Cameras(scope, site) {
		out[camera] = api.CameraStatus{
			Status: c.Status, Reason: c.Reason, Text: c.Text, SinceUs: c.SinceUs, Recording: c.Recording, Streams: c.Streams,
			FirstUs: c.FirstUs, DurableUs: c.DurableUs, Retention: c.Retention, PTZ: c.PTZ, Talk: c.Talk,
		}
	}
	return out, nil
}

// Holds implements api.Fleet.
func (r fleetRoom) Holds(_ context.Context, scope store.Scope, site id.Site) (api.HoldReport, error) {
	h := r.Fleet.Holds(scope, site)
	return api.HoldReport{States: h.States, Known: h.Known, Able: h.Able}, nil
}

// Story implements api.Fleet.
func (r fleetRoom) Story(ctx context.Context, scope store.Scope, site id.Site, span api.Span, limit int) ([]api.StoryEntry, error) {
	list, err := r.Fleet.Story(ctx, scope, site, span.FromUs, span.ToUs, limit)
	out := make([]api.StoryEntry, len(list))
	for i, e := range list {
		out[i] = api.StoryEntry{Kind: e.Kind, StartUs: e.StartUs, EndUs: e.EndUs, Title: e.Title, Text: e.Text, State: e.State}
	}
	return out, err
}

// Incidents implements api.Fleet.
func (r fleetRoom) Incidents(ctx context.Context, scope store.Scope, sites []id.Site, page api.Page) ([]api.Incident, string, error) {
	list, next, err := r.Fleet.Incidents(ctx, scope, health.IncidentFilter{Sites: sites, Before: page.Before, Limit: page.Limit})
	if errors.Is(err, health.ErrCursor) {
		err = &api.Refusal{Code: "invalid", Text: "The list changed: start again without 'before'."}
	}
	out := make([]api.Incident, len(list))
	for i, n := range list {
		out[i] = api.Incident{
			ID: string(n.ID), Site: string(n.Site), Kind: n.Kind, StartUs: n.StartUs, EndUs: n.EndUs, Cause: n.Cause, Outcome: n.Outcome, Text: n.Text,
		}
	}
	return out, next, err
}

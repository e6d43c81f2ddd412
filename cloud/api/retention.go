package api

import (
	"context"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// warning is how long a site waits before a stricter limit deletes anything.
const warning = 24 * time.Hour

func (d *door) retention() {
	type in struct {
		CameraPath
		KeepDays int `query:"keep_days" minimum:"0" maximum:"3650"`
		SharePct int `query:"share_pct" minimum:"0" maximum:"100"`
	}
	add(d, get("/cameras/{camera}/retention", "previewRetention", access.EditCameras, "What other limits of a camera would delete, before they are saved"),
		func(ctx context.Context, who access.Actor, in *in) (*bodyOf[RetentionPreview], error) {
			c, err := d.camera(ctx, who, access.EditCameras, in.Camera)
			if err != nil {
				return nil, err
			}
			out, err := d.preview(ctx, who, c, in.KeepDays, in.SharePct)
			return body(out), err
		})
}

// preview says what limits would delete, by what the site keeps and the coverage that the cloud knows.
func (d *door) preview(ctx context.Context, who access.Actor, c orgs.Camera, days, share int) (out RetentionPreview, err error) {
	cameras, err := d.rooms.Fleet.Cameras(ctx, who.Scope(), c.Site)
	if err != nil {
		return out, err
	}
	status := cameras[c.ID]
	if status.Retention == nil || status.FirstUs == 0 {
		return out, nil
	}
	r, now := *status.Retention, time.Now()
	out.Known = true
	cut := now.Add(-time.Duration(days) * 24 * time.Hour).UnixMicro()
	if keep := time.Duration(days) * 24 * time.Hour; days == 0 || r.KeepUs != 0 && keep.Microseconds() >= r.KeepUs {
		cut = 0 // no stricter than what is in force
	}
	all, old, err := d.lengths(ctx, who, c, status.FirstUs, cut, now.UnixMicro())
	if err != nil {
		return out, err
	}
	free := max(r.Bytes-r.HeldBytes, 0)
	if all > 0 {
		out.LengthUs, out.Bytes = old, int64(float64(free)*float64(old)/float64(all))
	}
	if whole, err := d.capacity(ctx, who, c.Site); err != nil {
		return out, err
	} else if limit := whole / 100 * int64(share); limit > 0 && free-limit > out.Bytes {
		out.Bytes = free - limit
		out.LengthUs = int64(float64(all) * float64(out.Bytes) / float64(max(free, 1)))
	}
	report, err := d.rooms.Fleet.Holds(ctx, who.Scope(), c.Site)
	if out.LengthUs > 0 && report.Able {
		out.DueUs = now.Add(warning).UnixMicro()
	}
	return out, err
}

// lengths adds up the video at the site that is not held: all of it, and what ends before cut.
func (d *door) lengths(ctx context.Context, who access.Actor, c orgs.Camera, firstUs, cut, nowUs int64) (all, old int64, err error) {
	if firstUs >= nowUs {
		return 0, 0, nil
	}
	cov, err := d.rooms.Coverage.Coverage(ctx, who.Scope(), c.Site, id.Stream{Camera: c.ID, Kind: id.Main}, Span{FromUs: firstUs, ToUs: nowUs})
	if err != nil {
		return 0, 0, err
	}
	report, err := d.rooms.Fleet.Holds(ctx, who.Scope(), c.Site)
	for _, r := range cov.Ranges {
		if r.State != "site" && r.State != "cloud" {
			continue
		}
		all += r.EndUs - r.StartUs - heldOf(report.States, c.ID, r.StartUs, r.EndUs)
		if end := min(r.EndUs, cut); end > r.StartUs {
			old += end - r.StartUs - heldOf(report.States, c.ID, r.StartUs, end)
		}
	}
	return max(all, 0), max(old, 0), err
}

// heldOf is how much of a range holds keep. Holds that overlap are counted twice: the answer is about.
func heldOf(states []wire.HoldState, cam id.Camera, startUs, endUs int64) (us int64) {
	for _, h := range states {
		if h.Camera == cam && h.State != wire.HoldRefused && h.State != wire.HoldEnded {
			us += max(min(h.EndUs, endUs)-max(h.StartUs, startUs), 0)
		}
	}
	return min(us, endUs-startUs)
}

func (d *door) capacity(ctx context.Context, who access.Actor, site id.Site) (int64, error) {
	all, err := d.rooms.Fleet.Sites(ctx, who.Scope(), []id.Site{site})
	if err != nil || all[site].Disk == nil {
		return 0, err
	}
	return all[site].Disk.Capacity, nil
}

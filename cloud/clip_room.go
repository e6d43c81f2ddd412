package cloud

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/cloud/api"
	"holdfast/cloud/clip"
	"holdfast/cloud/fleet"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/coverage"
	"holdfast/cloud/store/people"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// clipRoom is api.ClipKeeper and api.RuleKeeper.
type clipRoom struct {
	db   *store.DB
	room *clip.Room
	// site returns how a site is.
	site func(scope store.Scope, site id.Site) fleet.Site
}

// show turns rows into what the door shows, with what lies beside them: names, events, the nearest video, and why a clip
// is not here yet.
func (r clipRoom) show(ctx context.Context, scope store.Scope, list []clips.Clip) ([]api.Clip, error) {
	q := r.db.Read()
	names, err := clips.Named(ctx, q, scope, list)
	if err != nil {
		return nil, err
	}
	shown, err := clips.Events(ctx, q, scope, list)
	if err != nil {
		return nil, err
	}
	by := map[string]string{}
	out := make([]api.Clip, len(list))
	for i, c := range list {
		out[i] = showClip(c, names[c.ID], shown[c.ID])
		if out[i].Nearest, err = r.nearest(ctx, c); err != nil {
			return nil, err
		}
		if out[i].Waits, err = r.waits(ctx, c); err != nil {
			return nil, err
		}
		if c.Person == "" {
			continue
		}
		if out[i].By, err = remember(by, string(c.Person), func() (string, error) {
			p, err := people.Get(ctx, q, store.Org(c.Org), c.Person)
			return p.Name, err
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func showClip(c clips.Clip, names clips.Names, shown []clips.Shown) api.Clip {
	out := api.Clip{
		ID: string(c.ID), Site: string(c.Site), SiteName: names.Site, SiteDeleted: names.SiteDeleted, Camera: string(c.Camera),
		CameraName: names.Camera, Stream: string(c.Stream), Title: c.Title, StartUs: c.StartUs, EndUs: c.EndUs, CutStartUs: c.CutStartUs,
		CutEndUs: c.CutEndUs, State: string(c.State), Bytes: c.Bytes, Sent: c.Sent, Codec: c.Codec, Playable: c.State == wire.ClipStored,
		Reason: c.Reason, Rule: string(c.Rule), CreatedUs: c.CreatedUs, StoredUs: c.StoredUs, Gaps: []api.ClipGap{},
		Events: []api.ClipEvent{}, Priority: api.PriorityWord(c.Priority), KeepDays: c.KeepDays, ExpiresUs: c.ExpiresUs,
	}
	if c.SteppedDown() {
		out.Stream, out.Wanted = string(c.CutStream), string(c.Stream)
	}
	switch {
	case c.State == wire.ClipStored:
		out.Progress = 1
	case c.Bytes > 0:
		out.Progress = float64(c.Sent) / float64(c.Bytes)
	}
	for _, g := range c.Gaps {
		out.Gaps = append(out.Gaps, api.ClipGap{StartUs: g.StartUs, EndUs: g.EndUs, Reason: string(g.Reason), Text: g.Detail})
	}
	for _, e := range shown {
		out.Events = append(out.Events, api.ClipEvent{Event: string(e.Event), Kind: e.Kind, Text: e.Text, AtUs: e.AtUs})
	}
	return out
}

// nearest names the video before and after a clip that has none: as the cloud knows it, else as the site said.
func (r clipRoom) nearest(ctx context.Context, c clips.Clip) ([]api.NearVideo, error) {
	out := []api.NearVideo{}
	if c.State != wire.ClipUnavailable && c.State != wire.ClipLost {
		return out, nil
	}
	before, after, err := coverage.Nearest(ctx, r.db.Read(), store.Org(c.Org), id.Stream{Camera: c.Camera, Kind: c.Stream}, c.StartUs, c.EndUs)
	if err != nil {
		return nil, err
	}
	if before == 0 && c.NearestUs > 0 && c.NearestUs < c.StartUs {
		before = c.NearestUs
	}
	if after == 0 && c.NearestUs >= c.EndUs {
		after = c.NearestUs
	}
	if before > 0 {
		out = append(out, api.NearVideo{Side: "before", AtUs: before, DistanceUs: c.StartUs - before})
	}
	if after > 0 {
		out = append(out, api.NearVideo{Side: "after", AtUs: after, DistanceUs: after - c.EndUs})
	}
	return out, nil
}

// waits says why a clip is not here yet.
func (r clipRoom) waits(ctx context.Context, c clips.Clip) (*api.ClipWaits, error) {
	if c.Final() {
		return nil, nil //nolint:nilnil // nothing is waited for
	}
	site, now := r.site(store.Org(c.Org), c.Site), time.Now().UnixMicro()
	switch {
	case site.Agent == nil:
		return &api.ClipWaits{For: "agent", Text: "The site has no agent. Enrol one; it is cut then if the video is there."}, nil
	case !site.Agent.Connected:
		return &api.ClipWaits{For: "site", Text: "The site is not connected. It goes on by itself when the site is back.", SinceUs: site.Agent.LastSeenUs}, nil
	case c.EndUs > now:
		return &api.ClipWaits{For: "end", Text: "Its end has not been recorded yet.", LeftUs: c.EndUs - now}, nil
	}
	ahead, err := clips.Ahead(ctx, r.db.Read(), c)
	if err != nil {
		return nil, err
	}
	switch {
	case c.State == wire.ClipUploading && c.Sent > 0 && c.Sent < c.Bytes && now > c.BeganUs:
		left := int64(float64(now-c.BeganUs) / float64(c.Sent) * float64(c.Bytes-c.Sent))
		return &api.ClipWaits{For: "line", Text: "It is being sent.", LeftUs: left}, nil
	case ahead > 0:
		text := "One other clip of the site goes first."
		if ahead > 1 {
			text = fmt.Sprintf("%d other clips of the site go first.", ahead)
		}
		return &api.ClipWaits{For: "clips", Behind: ahead, Text: text}, nil
	case c.State == wire.ClipWanted || c.State == wire.ClipCutting:
		return &api.ClipWaits{For: "cut", Text: "The site cuts it out of the recording."}, nil
	default:
		return &api.ClipWaits{For: "line", Text: "It waits for the site's line."}, nil
	}
}

// remember looks a name up once; what was deleted has none.
func remember(names map[string]string, key string, look func() (string, error)) (string, error) {
	if name, ok := names[key]; ok {
		return name, nil
	}
	name, err := look()
	if errors.Is(err, store.ErrNotFound) {
		name, err = "", nil
	}
	names[key] = name
	return name, err
}

func (r clipRoom) one(ctx context.Context, scope store.Scope, c clips.Clip, err error) (api.Clip, error) {
	if err != nil {
		return api.Clip{}, err
	}
	out, err := r.show(ctx, scope, []clips.Clip{c})
	if err != nil {
		return api.Clip{}, err
	}
	return out[0], nil
}

// Clip implements api.ClipKeeper.
func (r clipRoom) Clip(ctx context.Context, scope store.Scope, cid id.Clip) (api.Clip, error) {
	c, err := clips.Get(ctx, r.db.Read(), scope, cid)
	return r.one(ctx, scope, c, err)
}

// Clips implements api.ClipKeeper.
func (r clipRoom) Clips(ctx context.Context, scope store.Scope, sites []id.Site, q api.ClipQuery, p api.Page) ([]api.Clip, string, error) {
	f := clips.Filter{
		Sites: sites, Site: q.Site, Camera: q.Camera, State: q.State, FromUs: q.Span.FromUs, ToUs: q.Span.ToUs, Limit: p.Limit + 1,
	}
	if p.Before != "" {
		at, cid, ok := strings.Cut(p.Before, ".")
		us, err := strconv.ParseInt(at, 10, 64)
		if err != nil || !ok {
			return nil, "", &api.Refusal{Code: "invalid", Text: "That is not a page of this list: start again without 'before'."}
		}
		f.BeforeUs, f.BeforeID = us, id.Clip(cid)
	}
	list, err := clips.List(ctx, r.db.Read(), scope, f)
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(list) > p.Limit {
		list = list[:p.Limit]
		last := list[len(list)-1]
		next = strconv.FormatInt(last.CreatedUs, 10) + "." + string(last.ID)
	}
	out, err := r.show(ctx, scope, list)
	return out, next, err
}

// Order implements api.ClipKeeper.
func (r clipRoom) Order(ctx context.Context, o api.ClipOrder) (api.Clip, error) {
	c, err := r.room.Create(ctx, o.Org, clip.Wish{
		Site: o.Site, Camera: o.Camera, Stream: o.Stream, StartUs: o.StartUs, EndUs: o.EndUs, Title: o.Title, Person: o.By,
		Priority: o.Priority, KeepDays: o.KeepDays,
	})
	return r.one(ctx, store.Org(o.Org), c, err)
}

// Bookmark implements api.ClipKeeper.
func (r clipRoom) Bookmark(ctx context.Context, b api.Bookmark) (api.Clip, error) {
	c, err := r.room.Bookmark(ctx, agents.Ref{Org: b.Org, Site: b.Site}, clip.Mark{Camera: b.Camera, AtUs: b.AtUs, Title: b.Title, Person: b.By, Name: b.ByName})
	return r.one(ctx, store.Org(b.Org), c, err)
}

// Change implements api.ClipKeeper.
func (r clipRoom) Change(ctx context.Context, scope store.Scope, cid id.Clip, change api.ClipChange) (api.Clip, error) {
	if err := r.room.Change(ctx, scope, cid, clip.Patch(change)); err != nil {
		return api.Clip{}, err
	}
	return r.Clip(ctx, scope, cid)
}

// Remove implements api.ClipKeeper.
func (r clipRoom) Remove(ctx context.Context, scope store.Scope, cid id.Clip) error {
	return r.room.Delete(ctx, scope, cid)
}

// Media implements api.ClipKeeper.
func (r clipRoom) Media(ctx context.Context, scope store.Scope, cid id.Clip) (api.ClipMedia, error) {
	content, _, c, err := r.room.Media(ctx, scope, cid)
	return api.ClipMedia{Content: content, Type: "video/mp4", SHA256: c.Upload.SHA256}, err
}

// SiteRemoved implements api.ClipKeeper.
func (r clipRoom) SiteRemoved(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) error {
	now := time.Now()
	return clips.SiteRemoved(ctx, q, scope, site, now.Add(clip.SiteGrace).UnixMicro(), now.UnixMicro())
}

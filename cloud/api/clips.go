package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/cloud/access"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// ClipPath names a clip in a path.
type ClipPath struct {
	Clip string `path:"clip" maxLength:"64"`
}

// maxClip is the longest clip.
const maxClip = time.Hour

// clip returns a clip of a request, when the actor may do the action to its site.
func (a *API) clip(ctx context.Context, who access.Actor, action access.Action, raw string) (Clip, id.Clip, error) {
	cid, err := parse[id.Clip](raw)
	if err != nil {
		return Clip{}, "", err
	}
	c, err := a.rooms.Clips.Clip(ctx, who.Scope(), cid)
	if err != nil {
		return Clip{}, "", err
	}
	return whole(c), cid, access.Can(who, action, access.Target{Org: who.Org, Site: id.Site(c.Site)})
}

func whole(c Clip) Clip {
	if c.Gaps == nil {
		c.Gaps = []ClipGap{}
	}
	if c.Nearest == nil {
		c.Nearest = []NearVideo{}
	}
	if c.Events == nil {
		c.Events = []ClipEvent{}
	}
	if c.Stream == "" {
		c.Stream = string(id.Main)
	}
	if c.Priority == "" {
		c.Priority = priorityNormal
	}
	return c
}

func (d *door) clips() {
	d.listClips()
	add(d, post("/bookmarks", "addBookmark", access.Export, "Mark a moment; what is kept of it is a clip").created().costs(2).also(http.StatusNotFound), d.addBookmark)
	add(d, post("/clips", "orderClip", access.Export, "Choose a range to keep in the cloud").created().costs(2).also(http.StatusNotFound), d.orderClip)
	add(d, get("/clips/{clip}", "getClip", access.Export, "One clip"),
		func(ctx context.Context, who access.Actor, in *ClipPath) (*bodyOf[Clip], error) {
			c, _, err := d.clip(ctx, who, access.Export, in.Clip)
			return body(c), err
		})
	type patchIn struct {
		ClipPath
		Body ClipPatch
	}
	add(d, patch("/clips/{clip}", "changeClip", access.EditClips, "Change a clip's title, priority or how long it is kept"),
		func(ctx context.Context, who access.Actor, in *patchIn) (*bodyOf[Clip], error) {
			return d.changeClip(ctx, who, in.Clip, in.Body)
		})
	add(d, del("/clips/{clip}", "removeClip", access.EditClips, "Remove a clip and its file"),
		func(ctx context.Context, who access.Actor, in *ClipPath) (*empty, error) {
			c, cid, err := d.clip(ctx, who, access.EditClips, in.Clip)
			if err != nil {
				return nil, err
			}
			if err := d.access.Record(ctx, who, clipEntry(access.DeedClipRemoved, c)); err != nil {
				return nil, err
			}
			err = d.rooms.Clips.Remove(ctx, who.Scope(), cid)
			return nil, d.publish(err, Changed{Org: who.Org, Site: id.Site(c.Site), Camera: id.Camera(c.Camera), Kind: "clip", ID: c.ID})
		})
	d.media()
	d.clipSettings()
}

func clipEntry(deed access.Deed, c Clip) access.Entry {
	return access.Entry{
		Deed: deed, Target: c.ID, Site: id.Site(c.Site),
		Detail: joinWords(c.CameraName, c.Title, moment(c.StartUs)+" to "+moment(c.EndUs)),
	}
}

func (d *door) listClips() {
	type in struct {
		PastQuery
		SpanQuery
		Site   string `query:"site" maxLength:"64"`
		Camera string `query:"camera" maxLength:"64"`
		State  string `query:"state" enum:"wanted,cutting,queued,uploading,stored,unavailable,lost"`
	}
	add(d, get("/clips", "listClips", access.Export, "Clips, newest first").also(http.StatusNotFound),
		func(ctx context.Context, who access.Actor, in *in) (*bodyOf[Clips], error) {
			site, camera, err := d.place(ctx, who, access.Export, in.Site, in.Camera)
			if err != nil {
				return nil, err
			}
			sp, err := span(in.FromUs, in.ToUs)
			if err != nil {
				return nil, err
			}
			list, next, err := d.rooms.Clips.Clips(ctx, who.Scope(), who.Sites,
				ClipQuery{Site: site, Camera: camera, State: wire.ClipState(in.State), Span: sp}, in.page())
			out := Clips{Clips: []Clip{}, Next: next}
			for _, c := range list {
				out.Clips = append(out.Clips, whole(c))
			}
			return body(out), err
		})
}

func (d *door) orderClip(ctx context.Context, who access.Actor, in *struct{ Body ClipRequest }) (*bodyOf[Clip], error) {
	b := in.Body
	c, err := d.camera(ctx, who, access.Export, b.Camera)
	if err != nil {
		return nil, err
	}
	title, err := orgs.Text(b.Title, wire.MaxNameRunes)
	if err != nil {
		return nil, invalid("body.title", "The title "+err.Error()+".")
	}
	if b.EndUs <= b.StartUs {
		return nil, invalid("body.end_us", "The clip ends before it begins: give an end_us above start_us.")
	}
	if b.EndUs-b.StartUs > maxClip.Microseconds() {
		return nil, invalid("body.end_us", "The clip is too long: choose at most one hour, or several clips.")
	}
	if b.StartUs > time.Now().UnixMicro() {
		return nil, invalid("body.start_us", "The clip begins in the future: choose a range that has begun.")
	}
	entry := access.Entry{
		Deed: access.DeedClipOrdered, Target: string(c.ID), Site: c.Site,
		Detail: joinWords(c.Name(), title, moment(b.StartUs)+" to "+moment(b.EndUs)),
	}
	if err := d.access.Record(ctx, who, entry); err != nil {
		return nil, err
	}
	clip, err := d.rooms.Clips.Order(ctx, ClipOrder{
		Org: who.Org, Site: c.Site, Camera: c.ID, Stream: id.StreamKind(b.Stream), StartUs: b.StartUs, EndUs: b.EndUs, Title: title,
		Priority: priorityOf(b.Priority), KeepDays: keepDays(b.KeepDays), By: who.Person, ByName: who.Name,
	})
	return body(whole(clip)), d.publish(err, Changed{Org: who.Org, Site: c.Site, Camera: c.ID, Kind: "clip", ID: clip.ID})
}

func (d *door) changeClip(ctx context.Context, who access.Actor, raw string, b ClipPatch) (*bodyOf[Clip], error) {
	c, cid, err := d.clip(ctx, who, access.EditClips, raw)
	if err != nil || b == (ClipPatch{}) {
		return body(c), err
	}
	change := ClipChange{KeepDays: b.KeepDays}
	if b.Title != nil {
		title, err := orgs.Text(*b.Title, wire.MaxNameRunes)
		if err != nil {
			return nil, invalid("body.title", "The title "+err.Error()+".")
		}
		change.Title = &title
	}
	if b.Priority != nil {
		p := priorityOf(*b.Priority)
		change.Priority = &p
	}
	if err := d.access.Record(ctx, who, clipEntry(access.DeedClipChanged, c)); err != nil {
		return nil, err
	}
	c, err = d.rooms.Clips.Change(ctx, who.Scope(), cid, change)
	return body(whole(c)), d.publish(err, Changed{Org: who.Org, Site: id.Site(c.Site), Camera: id.Camera(c.Camera), Kind: "clip", ID: c.ID})
}

func (d *door) media() {
	type in struct {
		ClipPath
		Download int `query:"download" minimum:"0" maximum:"1" doc:"1: as a file to save."`
	}
	file := map[string]*huma.MediaType{"video/mp4": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	add(d, route{
		method: http.MethodGet, path: "/clips/{clip}/media", id: "getClipMedia", summary: "The file of a stored clip; ranges are answered (RFC 9110 section 14)",
		action: access.Export, errors: []int{http.StatusConflict, http.StatusRequestedRangeNotSatisfiable},
		responses: map[string]*huma.Response{"200": {Description: "The whole file", Content: file}, "206": {Description: "A range of it", Content: file}},
	}, func(ctx context.Context, who access.Actor, in *in) (*streamOut, error) {
		c, cid, err := d.clip(ctx, who, access.Export, in.Clip)
		if err != nil {
			return nil, err
		}
		media, err := d.rooms.Clips.Media(ctx, who.Scope(), cid)
		if err != nil {
			return nil, err
		}
		deed := access.DeedClipViewed
		if in.Download == 1 {
			deed = access.DeedClipDownloaded
		}
		if err := d.access.RecordOnce(ctx, who, clipEntry(deed, c), oneView); err != nil {
			return nil, joined(err, media.Content.Close())
		}
		return &streamOut{Body: func(hc huma.Context) { d.serveMedia(hc, who, c, media, in.Download == 1) }}, nil
	})
}

func (d *door) serveMedia(hc huma.Context, who access.Actor, c Clip, media ClipMedia, download bool) {
	r, w := rawOf(hc)
	defer func() {
		if err := media.Content.Close(); err != nil {
			d.log.Warn("the file of a clip is not closed", "clip", c.ID, "error", err)
		}
	}()
	disposition := "inline"
	if download {
		disposition = "attachment"
	}
	h := w.Header()
	h.Set("Content-Type", media.Type)
	h.Set("Content-Disposition", fmt.Sprintf("%s; filename=%q", disposition, fileName(c)))
	if len(media.SHA256) > 0 {
		h.Set("ETag", fmt.Sprintf(`"%x"`, media.SHA256))
	}
	v := viewer{who: who, action: access.Export, target: access.Target{Org: who.Org, Site: id.Site(c.Site)}}
	content := &guarded{ReadSeeker: media.Content, every: d.cfg.Recheck, last: time.Now(), still: func() error { return d.API.still(r.Context(), v) }}
	http.ServeContent(w, r, "", media.Modified, content)
}

// fileName returns "holdfast_<camera>_<start in UTC>.mp4" in letters, digits, '.', '-' and '_' only.
func fileName(c Clip) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-':
			return r
		default:
			return '_'
		}
	}, c.CameraName)
	name = strings.Trim(name, "_")
	if len(name) > 64 {
		name = name[:64]
	}
	if name == "" {
		name = "clip"
	}
	return "holdfast_" + name + "_" + time.UnixMicro(c.StartUs).UTC().Format("2006-01-02T15-04-05Z") + ".mp4"
}

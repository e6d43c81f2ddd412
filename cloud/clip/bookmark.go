package clip

import (
	"context"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/events"
	"holdfast/cloud/store/marks"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// KindBookmark is the kind of the event that a bookmark is.
const KindBookmark = "bookmark"

// aroundMark is what is kept on each side of a bookmark that no rule says anything of.
const aroundMark = 15 * time.Second

// Mark is a moment that a person marks.
type Mark struct {
	Camera id.Camera
	AtUs   int64
	Title  string
	Person id.Person
	Name   string // of the person
}

// Bookmark stores a moment as an event of its camera, so that it stands on the timeline, and has a clip of it: by the rules
// for bookmarks, else half a minute around it.
func (r *Room) Bookmark(ctx context.Context, ref agents.Ref, m Mark) (clips.Clip, error) {
	e := wire.EventFact{ID: id.New[id.Event](), Camera: m.Camera, Kind: KindBookmark, Source: "portal", AtUs: m.AtUs, Text: m.Title}
	if e.Text == "" {
		e.Text = "Bookmark by " + m.Name
	}
	var c clips.Clip
	err := r.db.Tx(ctx, func(q store.Querier) error {
		if err := marks.Lock(ctx, q, r.db.Postgres(), ref.Site); err != nil {
			return err
		}
		if _, err := events.Put(ctx, q, ref.Org, ref.Site, []wire.EventFact{e}); err != nil {
			return err
		}
		if err := r.OnEvents(ctx, q, ref, []wire.EventFact{e}); err != nil {
			return err
		}
		chosen, err := clips.OfEvents(ctx, q, ref.Scope(), []id.Event{e.ID})
		if err != nil {
			return err
		}
		if chosen[e.ID] == "" {
			return r.keepMark(ctx, q, ref, m, e, &c)
		}
		c, err = clips.Get(ctx, q, ref.Scope(), chosen[e.ID])
		return err
	})
	if err == nil {
		r.changed(ref.Org, ref.Site, m.Camera, c.ID)
		r.nudge()
	}
	return c, err
}

func (r *Room) keepMark(ctx context.Context, q store.Querier, ref agents.Ref, m Mark, e wire.EventFact, out *clips.Clip) error {
	c := clips.Clip{
		ID: id.New[id.Clip](), Org: ref.Org, Site: ref.Site, Camera: m.Camera, Stream: id.Main, Title: e.Text, Audio: true,
		StartUs: max(m.AtUs-aroundMark.Microseconds(), 1), EndUs: m.AtUs + aroundMark.Microseconds(), Event: e.ID, Person: m.Person,
		CreatedUs: time.Now().UnixMicro(), KeepDays: clips.ByDefault,
	}
	if err := clips.Insert(ctx, q, c); err != nil {
		return err
	}
	shown := clips.Shown{Event: e.ID, Kind: e.Kind, Text: e.Text, AtUs: e.AtUs, StartUs: c.StartUs, EndUs: c.EndUs}
	if err := clips.Show(ctx, q, c, []clips.Shown{shown}); err != nil {
		return err
	}
	var err error
	*out, err = clips.Get(ctx, q, ref.Scope(), c.ID)
	return err
}

package api

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// rooms stands for the rooms behind the door: it keeps what places put in, by organisation.
type rooms struct {
	mu       sync.Mutex
	clips    map[id.Clip]kept[Clip]
	rules    map[id.Rule]kept[Rule]
	codes    map[id.Code]kept[id.Site]
	events   []kept[Event]
	asked    EventQuery // last
	open     map[id.Session]bool
	restarts []LiveOrder
	paths    []wire.LivePaths
	sendOn   bool // viewers go to the relay
	views    []ViewOrder
	offers   []LiveOrder
	talks    []TalkOrder
	talk     wire.TalkState
	brief    bool   // a talk has ended by the time that it is answered
	closes   func() // called when a session is being closed; nil: nothing is
	servers  []wire.ICEServer
	configs  int
	cameras  map[id.Camera]CameraStatus
	holds    HoldReport
	disk     *DiskInfo
	ranges   []Range
	err      error // what Live and Clips.Order answer instead
	orders   []wire.PTZOrder
	wait     func(ctx context.Context) error
	alerts   Alerts
	media    []byte
	modTime  time.Time
	removed  []id.Site // whose clips were told that they go
}

type kept[T any] struct {
	org id.Org
	v   T
}

func newRooms() *rooms {
	return &rooms{
		clips: map[id.Clip]kept[Clip]{}, rules: map[id.Rule]kept[Rule]{}, codes: map[id.Code]kept[id.Site]{}, open: map[id.Session]bool{},
		servers: []wire.ICEServer{{URLs: []string{"stun:192.0.2.1"}}},
		media:   bytes.Repeat([]byte("0123456789"), 5000), modTime: time.Unix(1700000000, 0),
	}
}

func (r *rooms) add(org id.Org, p place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clips[p.clip] = kept[Clip]{org, Clip{ID: string(p.clip), Site: string(p.site), Camera: string(p.camera), CameraName: "Counter ../..", State: "stored", StartUs: 1700000000000000}}
	r.rules[p.rule] = kept[Rule]{org, Rule{ID: string(p.rule), Name: "Doors", EventKind: "door_opened", Site: string(p.site), PreS: 5, PostS: 5, Stream: "main"}}
	r.codes[p.code] = kept[id.Site]{org, p.site}
	r.events = append(r.events, kept[Event]{org, Event{ID: string(id.New[id.Event]()), Site: string(p.site), Camera: string(p.camera), Kind: "door_opened", Source: "local", AtUs: 1, Clip: string(p.clip), Data: []byte(`{"plate":"X"}`)}})
}

func inside(site id.Site, sites []id.Site) bool { return sites == nil || slices.Contains(sites, site) }

func (r *rooms) Sites(_ context.Context, _ store.Scope, sites []id.Site) (map[id.Site]SiteStatus, error) {
	out := map[id.Site]SiteStatus{}
	for _, s := range sites {
		out[s] = SiteStatus{Status: "ok", Recording: 1, Disk: r.disk}
	}
	return out, nil
}

func (r *rooms) Cameras(context.Context, store.Scope, id.Site) (map[id.Camera]CameraStatus, error) {
	return r.cameras, nil
}

func (r *rooms) Holds(context.Context, store.Scope, id.Site) (HoldReport, error) { return r.holds, nil }

func (r *rooms) Story(_ context.Context, _ store.Scope, site id.Site, _ Span, _ int) ([]StoryEntry, error) {
	return []StoryEntry{{Kind: "run", Title: "Run at " + string(site), State: "ok"}}, nil
}

func (r *rooms) Incidents(_ context.Context, _ store.Scope, sites []id.Site, _ Page) ([]Incident, string, error) {
	out := []Incident{}
	for _, s := range sites {
		out = append(out, Incident{ID: "inc", Site: string(s), Kind: "dark"})
	}
	return out, "", nil
}

func (r *rooms) Reconfigure(id.Org, id.Site) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.configs++
}

func (r *rooms) NewCode(context.Context, store.Scope, id.Site, id.Person) (NewCode, error) {
	return NewCode{ID: id.New[id.Code](), Code: "K7Q2-AAAA", ExpiresUs: 1}, nil
}

func (r *rooms) Code(_ context.Context, scope store.Scope, site id.Site, code id.Code) (CodeState, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.codes[code]; !ok || c.org != scope.OrgID() || c.v != site {
		return CodeState{}, store.ErrNotFound
	}
	return CodeState{State: "waiting"}, nil
}

func (r *rooms) Revoke(context.Context, store.Scope, id.Site) error { return nil }

func (r *rooms) Coverage(_ context.Context, _ store.Scope, _ id.Site, _ id.Stream, span Span) (Coverage, error) {
	return Coverage{FromUs: span.FromUs, ToUs: span.ToUs, Ranges: r.ranges}, nil
}

func (r *rooms) Offer(ctx context.Context, o LiveOrder) (wire.LiveAnswer, error) {
	if r.wait != nil {
		if err := r.wait(ctx); err != nil {
			return wire.LiveAnswer{}, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return wire.LiveAnswer{}, r.err
	}
	r.offers = append(r.offers, o)
	r.open[o.Offer.Session] = true
	if o.Offer.View != "" {
		r.open[o.Offer.View] = true
	}
	return wire.LiveAnswer{SDP: "v=0\r\n", Stream: id.Sub, Codec: "avc1.64001f", Note: "the café's main stream is H.265"}, nil
}

func (r *rooms) View(_ context.Context, o ViewOrder) (wire.LiveAnswer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return wire.LiveAnswer{}, r.err
	}
	r.views = append(r.views, o)
	r.open[o.View.Session] = true
	if r.sendOn {
		delete(r.open, o.View.Session)
		return wire.LiveAnswer{Relay: true}, nil
	}
	return wire.LiveAnswer{Stream: id.Main, Codec: "avc1.64001f"}, nil
}

// Socket shows nothing until the viewer leaves.
func (r *rooms) Socket(ctx context.Context, o ViewOrder, conn *websocket.Conn, _ func(error) any) error {
	r.mu.Lock()
	err := r.err
	if err == nil {
		r.views = append(r.views, o)
		r.open[o.View.Session] = true
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	left := conn.CloseRead(context.Background())
	select {
	case <-left.Done():
	case <-ctx.Done():
	}
	r.mu.Lock()
	delete(r.open, o.View.Session)
	r.mu.Unlock()
	_ = conn.Close(websocket.StatusNormalClosure, "") // the viewer may be gone
	return nil
}

func (r *rooms) Restart(_ context.Context, o LiveOrder) (wire.LiveAnswer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return wire.LiveAnswer{}, r.err
	}
	r.restarts = append(r.restarts, o)
	return wire.LiveAnswer{SDP: "answer to " + o.Offer.SDP}, nil
}

func (r *rooms) Paths(_ context.Context, told wire.LivePaths) (wire.LivePaths, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return wire.LivePaths{}, r.err
	}
	r.paths = append(r.paths, told)
	return wire.LivePaths{Session: told.Session, Fragment: "theirs for " + told.Fragment, Anew: strings.Contains(told.Fragment, "ufrag:another")}, nil
}

func (r *rooms) Talk(_ context.Context, o TalkOrder) (wire.LiveAnswer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return wire.LiveAnswer{}, r.err
	}
	r.talks = append(r.talks, o)
	r.open[o.Offer.Session] = !r.brief
	return wire.LiveAnswer{SDP: "v=0\r\n"}, nil
}

func (r *rooms) AskTalk(context.Context, id.Org, id.Site, id.Camera) (wire.TalkState, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.talk, r.err
}

// turn changes how the rooms answer.
func (r *rooms) turn(change func(*rooms)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *rooms) Close(_ context.Context, session id.Session) error {
	r.mu.Lock()
	closes := r.closes
	r.mu.Unlock()
	if closes != nil {
		closes()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, session)
	return nil
}

func (r *rooms) Open(session id.Session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[session]
}

func (r *rooms) openCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

func (r *rooms) ICE(context.Context, id.Person) ([]wire.ICEServer, error) {
	return r.servers, nil
}

func (r *rooms) Still(context.Context, id.Org, id.Site, wire.StillOrder) (wire.StillReply, []byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return wire.StillReply{}, nil, r.err
	}
	return wire.StillReply{Codec: "avc1.64001f", Width: 640, Height: 360, AtUs: 42}, []byte{0, 0, 0, 1, 0x65}, nil
}

func (r *rooms) Steer(_ context.Context, _ id.Org, _ id.Site, o wire.PTZOrder) (wire.PTZReply, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return wire.PTZReply{}, r.err
	}
	r.orders = append(r.orders, o)
	return wire.PTZReply{Move: true, Save: true, Presets: []wire.PTZPreset{{Token: "1", Name: "Gate"}}}, nil
}

func (r *rooms) Events(_ context.Context, scope store.Scope, sites []id.Site, q EventQuery, page Page) ([]Event, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = q
	out := []Event{}
	for _, e := range r.events {
		if e.org == scope.OrgID() && inside(id.Site(e.v.Site), sites) && (q.Site == "" || string(q.Site) == e.v.Site) && len(out) < page.Limit {
			out = append(out, e.v)
		}
	}
	return out, "", nil
}

func (r *rooms) Clip(_ context.Context, scope store.Scope, clip id.Clip) (Clip, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.clips[clip]
	if !ok || c.org != scope.OrgID() {
		return Clip{}, store.ErrNotFound
	}
	return c.v, nil
}

func (r *rooms) Clips(_ context.Context, scope store.Scope, sites []id.Site, _ ClipQuery, _ Page) ([]Clip, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []Clip{}
	for _, c := range r.clips {
		if c.org == scope.OrgID() && inside(id.Site(c.v.Site), sites) {
			out = append(out, c.v)
		}
	}
	return out, "", nil
}

func (r *rooms) Order(_ context.Context, o ClipOrder) (Clip, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return Clip{}, r.err
	}
	c := Clip{ID: string(id.New[id.Clip]()), Site: string(o.Site), Camera: string(o.Camera), Title: o.Title, State: "wanted", StartUs: o.StartUs, EndUs: o.EndUs, By: o.ByName}
	r.clips[id.Clip(c.ID)] = kept[Clip]{o.Org, c}
	return c, nil
}

func (r *rooms) Bookmark(ctx context.Context, b Bookmark) (Clip, error) {
	return r.Order(ctx, ClipOrder{Org: b.Org, Site: b.Site, Camera: b.Camera, StartUs: b.AtUs - 1, EndUs: b.AtUs + 1, Title: b.Title, ByName: b.ByName})
}

func (r *rooms) Change(ctx context.Context, scope store.Scope, clip id.Clip, change ClipChange) (Clip, error) {
	c, err := r.Clip(ctx, scope, clip)
	if change.Title != nil {
		c.Title = *change.Title
	}
	if change.KeepDays != nil {
		c.KeepDays = *change.KeepDays
	}
	if change.Priority != nil {
		c.Priority = PriorityWord(*change.Priority)
	}
	return c, err
}

func (r *rooms) SiteRemoved(_ context.Context, _ store.Querier, _ store.Scope, site id.Site) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed = append(r.removed, site)
	return nil
}

func (r *rooms) ClipSettings(context.Context, store.Scope) (ClipSettings, error) {
	return ClipSettings{Price: 0.023, Currency: "USD"}, nil
}

func (r *rooms) PutClipSettings(context.Context, store.Scope, ClipSettings) error { return nil }

func (r *rooms) Expiry(context.Context, store.Scope, int) (ClipExpiry, error) {
	return ClipExpiry{}, nil
}

func (r *rooms) PreviewRule(_ context.Context, _ store.Scope, _ []id.Site, rule Rule, _ int) (RulePreview, error) {
	return RulePreview{Events: 3, KeepDays: rule.KeepDays}, nil
}

func (r *rooms) Remove(_ context.Context, _ store.Scope, clip id.Clip) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.clips, clip)
	return nil
}

type closer struct{ io.ReadSeeker }

func (closer) Close() error { return nil }

func (r *rooms) Media(context.Context, store.Scope, id.Clip) (ClipMedia, error) {
	return ClipMedia{Content: closer{bytes.NewReader(r.media)}, Type: "video/mp4", Modified: r.modTime, SHA256: []byte{1, 2}}, nil
}

func (r *rooms) Rules(_ context.Context, scope store.Scope, sites []id.Site) ([]Rule, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []Rule{}
	for _, k := range r.rules {
		if k.org == scope.OrgID() && (k.v.Site == "" || inside(id.Site(k.v.Site), sites)) {
			out = append(out, k.v)
		}
	}
	return out, nil
}

func (r *rooms) Rule(_ context.Context, scope store.Scope, rule id.Rule) (Rule, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.rules[rule]
	if !ok || k.org != scope.OrgID() {
		return Rule{}, store.ErrNotFound
	}
	return k.v, nil
}

func (r *rooms) PutRule(_ context.Context, scope store.Scope, rule Rule) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules[id.Rule(rule.ID)] = kept[Rule]{scope.OrgID(), rule}
	return nil
}

func (r *rooms) RemoveRule(_ context.Context, _ store.Scope, rule id.Rule) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.rules, rule)
	return nil
}

func (r *rooms) Alerts(context.Context, store.Scope) (Alerts, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alerts, nil
}

func (r *rooms) PutAlerts(_ context.Context, _ store.Scope, a Alerts) (Alerts, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alerts = a
	return a, nil
}

func (r *rooms) TestAlerts(context.Context, store.Scope) ([]AlertResult, error) { return nil, nil }

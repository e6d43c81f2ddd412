package api

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const (
	sdpType = "application/sdp"
	// maxSDP bounds an SDP offer: a browser's with every codec and candidate has some 10 KiB.
	maxSDP = 64 << 10
	// oneView is how long the same still, or the same clip, of one session counts as one view in the audit.
	oneView = 10 * time.Minute
	// throughRelay is the way of a connection that the cloud's relay serves.
	throughRelay = "relay"
)

// ViewQuery is how a camera is to be shown.
type ViewQuery struct {
	Width  int    `query:"width" minimum:"0" maximum:"16384" doc:"Width of the tile in device pixels; it chooses the stream."`
	Stream string `query:"stream" enum:"main,sub" doc:"Absent: chosen by width."`
	Codecs string `query:"codecs" maxLength:"64" default:"h264" doc:"Codecs that the browser can show: h264, h265, with a comma. By WebSocket, opus says that it plays that in MP4: G.711 comes as Opus there."`
	FromUs int64  `query:"from_us" minimum:"0" doc:"Above 0: playback of recorded video from then on; else live."`
	Silent bool   `query:"silent" doc:"Without sound."`
}

// RelayQuery names the relay credentials of a connection.
type RelayQuery struct {
	Relay string `query:"relay" maxLength:"64" doc:"User name of the credentials that GET /live/ice gave for this connection: they serve as long as it does, and without it for two minutes."`
}

// WayQuery chooses what serves a connection.
type WayQuery struct {
	Through string `query:"through" enum:"site,either,relay" default:"site" doc:"What serves the connection. site: the site's agent. either: the agent, which may ask the viewer to take a camera from the relay that others watch too. relay: the cloud's relay, which takes one copy of a camera from the site for all who watch it live."`
}

// TrickleQuery says how addresses are told.
type TrickleQuery struct {
	Trickle bool `query:"trickle" doc:"Addresses that the viewer learns of after its offer follow by PATCH on the session (RFC 8840), and the answer has only those that the far end knows of itself: its others come with the answers to PATCH."`
}

type offerIn struct {
	CameraPath
	ViewQuery
	RelayQuery
	WayQuery
	TrickleQuery
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/sdp"`
}

type connectIn struct {
	SitePath
	ViewQuery
	RelayQuery
	WayQuery
	TrickleQuery
	Camera      string `query:"camera" maxLength:"64" doc:"A camera to show on the first slot at once; absent: none yet."`
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/sdp"`
}

type viewIn struct {
	CameraPath
	ViewQuery
	Connection string `query:"connection" maxLength:"64" required:"true" doc:"Number of the connection, the last part of its Location."`
	Slot       int    `query:"slot" minimum:"0" maximum:"255" doc:"Which of the places for video in the connection's offer, from 0. What is shown there ends."`
}

type offerOut struct {
	ContentType string `header:"Content-Type"`
	Location    string `header:"Location" doc:"DELETE it to end the session, or the connection."`
	View        string `header:"Holdfast-View" doc:"Path of what is shown over the connection, to end that alone; absent when nothing is."`
	Slots       int    `header:"Holdfast-Slots" doc:"Cameras that can be shown over the connection at once; 0: one, since the site's agent is an old one."`
	Stream      string `header:"Holdfast-Stream" enum:"main,sub"`
	Codec       string `header:"Holdfast-Codec" doc:"RFC 6381."`
	Audio       string `header:"Holdfast-Audio" doc:"RFC 6381; absent without audio."`
	Note        string `header:"Holdfast-Note" doc:"Percent-encoded UTF-8: why it is not what was asked for; absent when it is."`
	Unheard     string `header:"Holdfast-Unheard" doc:"RFC 6381: the camera's sound, which only a WebSocket has room for; absent otherwise."`
	Unseen      string `header:"Holdfast-Unseen" doc:"RFC 6381: the pictures that were asked for, which only a WebSocket has room for; absent otherwise."`
	Body        []byte
}

func (d *door) live() {
	add(d, route{
		method: http.MethodPost, path: "/cameras/{camera}/live", id: "openLive", summary: "Open a live or playback session with an SDP offer (WHEP's shape)",
		action: access.Live, status: http.StatusCreated, cost: 2, body: maxSDP, errors: []int{http.StatusBadGateway, http.StatusGatewayTimeout},
		responses: map[string]*huma.Response{"201": {Description: "The SDP answer", Content: map[string]*huma.MediaType{
			sdpType: {Schema: &huma.Schema{Type: huma.TypeString}},
		}}},
	}, d.openLive)
	add(d, route{
		method: http.MethodPost, path: "/sites/{site}/live", id: "connectLive",
		summary: "Open a connection to a site with an SDP offer; each place for video in it is a slot for one camera",
		action:  access.Live, status: http.StatusCreated, cost: 2, body: maxSDP, errors: []int{http.StatusBadGateway, http.StatusGatewayTimeout},
		responses: map[string]*huma.Response{"201": {Description: "The SDP answer", Content: map[string]*huma.MediaType{
			sdpType: {Schema: &huma.Schema{Type: huma.TypeString}},
		}}},
	}, d.connectLive)
	add(d, route{
		method: http.MethodPost, path: "/cameras/{camera}/view", id: "viewCamera", summary: "Show a camera over a connection that is there",
		action: access.Live, status: http.StatusCreated,
		errors: []int{http.StatusConflict, http.StatusGone, http.StatusBadGateway, http.StatusGatewayTimeout},
	}, d.viewCamera)
	add(d, route{
		method: http.MethodPatch, path: "/live/{session}", id: "moveLive",
		summary: "Tell of further addresses of one's own connection (RFC 8840), or seek its path anew with an SDP offer that restarts ICE, after the network has changed",
		action:  access.Live, body: maxSDP, errors: []int{http.StatusGone, http.StatusBadGateway, http.StatusGatewayTimeout},
		responses: map[string]*huma.Response{"200": {Description: "The far end's addresses, or the SDP answer", Content: map[string]*huma.MediaType{
			sdpType: {Schema: &huma.Schema{Type: huma.TypeString}}, fragmentType: {Schema: &huma.Schema{Type: huma.TypeString}},
		}}},
	}, d.moveLive)
	type sessionIn struct {
		Session string `path:"session" maxLength:"64"`
	}
	add(d, del("/live/{session}", "closeLive", access.Live, "End one's own live session"),
		func(ctx context.Context, who access.Actor, in *sessionIn) (*empty, error) {
			session, err := parse[id.Session](in.Session)
			if err != nil {
				return nil, err
			}
			v, ok := d.viewers.get(session)
			if !ok || !v.who.Same(who) {
				return nil, store.ErrNotFound
			}
			return nil, d.hangUp(ctx, session)
		})
	add(d, get("/live/ice", "getICE", access.Live, "STUN and TURN servers for the next live session"),
		func(ctx context.Context, who access.Actor, _ *empty) (*bodyOf[ICE], error) {
			servers, err := d.rooms.Live.ICE(ctx, who.Person)
			out := ICE{Servers: []ICEServer{}}
			for _, s := range servers {
				out.Servers = append(out.Servers, ICEServer{URLs: append([]string{}, s.URLs...), Username: s.Username, Credential: s.Credential})
			}
			return body(out), err
		})
	d.still()
}

// watched is a camera that somebody may watch and wants to.
type watched struct {
	camera orgs.Camera
	codecs []string
	viewer viewer
	entry  access.Entry
}

// watch checks the right to a camera. The deed must be noted before anything is shown.
func (d *door) watch(ctx context.Context, who access.Actor, camera string, in ViewQuery) (watched, error) {
	action, deed, detail := access.Live, access.DeedLive, ""
	if in.FromUs > 0 {
		action, deed, detail = access.Playback, access.DeedPlayback, "from "+moment(in.FromUs)
	}
	c, err := d.camera(ctx, who, action, camera)
	if err != nil {
		return watched{}, err
	}
	codecs, err := codecList(in.Codecs)
	if err != nil {
		return watched{}, err
	}
	return watched{
		camera: c, codecs: codecs, viewer: viewer{who: who, action: action, target: access.Target{Org: c.Org, Site: c.Site, Camera: c.ID}, readAt: time.Now()},
		entry: access.Entry{Deed: deed, Target: string(c.ID), Site: c.Site, Detail: joinWords(c.Name(), detail)},
	}, nil
}

// offered checks the body of an offer.
func offered(contentType string, sdp []byte) error {
	if media, _, err := mime.ParseMediaType(contentType); err != nil || media != sdpType {
		return huma.NewError(http.StatusUnsupportedMediaType, "An SDP offer is needed: send it with Content-Type application/sdp.")
	}
	if len(sdp) == 0 {
		return invalid("body", "The SDP offer is missing: send it as the body.")
	}
	return nil
}

func (d *door) openLive(ctx context.Context, who access.Actor, in *offerIn) (*offerOut, error) {
	w, err := d.watch(ctx, who, in.Camera, in.ViewQuery)
	if err == nil {
		err = offered(in.ContentType, in.RawBody)
	}
	if err == nil {
		err = d.note(ctx, who, w.entry, in.Through == throughRelay || in.tile())
	}
	if err != nil {
		return nil, err
	}
	session := id.New[id.Session]()
	w.viewer.relay = in.Through == throughRelay
	return d.offer(ctx, w.viewer, in.RelayQuery, in.WayQuery, wire.LiveOffer{
		Session: session, Camera: w.camera.ID, Stream: id.StreamKind(in.Stream), Width: in.Width, SDP: string(in.RawBody), Codecs: w.codecs,
		FromUs: in.FromUs, Silent: in.Silent, Trickle: in.Trickle,
	})
}

func (d *door) connectLive(ctx context.Context, who access.Actor, in *connectIn) (*offerOut, error) {
	site, err := d.site(ctx, who, access.Live, in.Site)
	if err != nil {
		return nil, err
	}
	if err := offered(in.ContentType, in.RawBody); err != nil {
		return nil, err
	}
	offer := wire.LiveOffer{Session: id.New[id.Session](), SDP: string(in.RawBody), Trickle: in.Trickle}
	v := viewer{
		who: who, action: access.Live, target: access.Target{Org: site.Org, Site: site.ID}, readAt: time.Now(), relay: in.Through == throughRelay,
	}
	if in.Camera != "" {
		w, err := d.watch(ctx, who, in.Camera, in.ViewQuery)
		if err != nil {
			return nil, err
		}
		if w.camera.Site != site.ID {
			return nil, store.ErrNotFound
		}
		if err := d.note(ctx, who, w.entry, v.relay || in.tile()); err != nil {
			return nil, err
		}
		offer.View, offer.Camera, offer.Codecs = id.New[id.Session](), w.camera.ID, w.codecs
		offer.Stream, offer.Width, offer.FromUs, offer.Silent = id.StreamKind(in.Stream), in.Width, in.FromUs, in.Silent
	}
	return d.offer(ctx, v, in.RelayQuery, in.WayQuery, offer)
}

// offer passes an offer on and notes who made it.
func (d *door) offer(ctx context.Context, v viewer, relay RelayQuery, way WayQuery, o wire.LiveOffer) (*offerOut, error) {
	answer, err := d.rooms.Live.Offer(ctx, LiveOrder{
		Org: v.target.Org, Site: v.target.Site, Person: v.who.Person, Offer: o, Relay: relay.Relay, Way: way.Through,
	})
	if err != nil {
		return nil, err
	}
	d.viewers.put(o.Session, v)
	out := &offerOut{
		ContentType: sdpType, Location: livePath(o.Session), Slots: answer.Slots, Stream: string(answer.Stream), Codec: answer.Codec,
		Audio: answer.Audio, Note: url.PathEscape(answer.Note), Unheard: answer.Unheard, Unseen: answer.Unseen, Body: []byte(answer.SDP),
	}
	if o.View != "" {
		d.viewers.put(o.View, v)
		out.View = livePath(o.View)
	}
	return out, nil
}

// tile reports a live view without sound: a tile of a wall, which comes and goes as its pages turn.
func (q ViewQuery) tile() bool { return q.Silent && q.FromUs == 0 }

// note writes a deed down; once is for what may be asked for again and again, and is one view within a time: a tile
// whose page comes round, and whoever goes over to the relay, who has been noted when it asked the site.
func (d *door) note(ctx context.Context, who access.Actor, e access.Entry, once bool) error {
	if once {
		return d.access.RecordOnce(ctx, who, e, oneView)
	}
	return d.access.RecordAgain(ctx, who, e, oneView)
}

func livePath(session id.Session) string { return prefix + "/live/" + string(session) }

func (d *door) viewCamera(ctx context.Context, who access.Actor, in *viewIn) (*bodyOf[LiveView], error) {
	w, err := d.watch(ctx, who, in.Camera, in.ViewQuery)
	if err != nil {
		return nil, err
	}
	connection, err := parse[id.Session](in.Connection)
	if err != nil {
		return nil, err
	}
	c, ok := d.viewers.get(connection)
	if !ok || !c.who.Same(who) || c.target.Site != w.camera.Site {
		return nil, &Refusal{Code: string(wire.FailedGone), Text: "The connection to the site has ended: make a new one."}
	}
	if err := d.note(ctx, who, w.entry, c.relay || in.tile()); err != nil {
		return nil, err
	}
	view := wire.LiveView{
		Session: id.New[id.Session](), Connection: connection, Slot: in.Slot, Camera: w.camera.ID, Stream: id.StreamKind(in.Stream),
		Width: in.Width, Codecs: w.codecs, FromUs: in.FromUs, Silent: in.Silent,
	}
	answer, err := d.rooms.Live.View(ctx, ViewOrder{Org: who.Org, Site: w.camera.Site, View: view})
	if err != nil {
		return nil, err
	}
	if answer.Relay {
		return body(LiveView{Relay: true}), nil
	}
	d.viewers.put(view.Session, w.viewer)
	return body(LiveView{
		Path: livePath(view.Session), Stream: string(answer.Stream), Codec: answer.Codec, Audio: answer.Audio, Note: answer.Note,
		Unheard: answer.Unheard, Unseen: answer.Unseen,
	}), nil
}

// codecList reads "h264,h265"; what is unknown is refused.
func codecList(s string) ([]string, error) {
	var codecs []string
	for c := range strings.SplitSeq(s, ",") {
		switch c = strings.TrimSpace(c); c {
		case "h264", "h265", "opus":
			codecs = append(codecs, c)
		default:
			return nil, invalid("query.codecs", "The codecs are unknown: give h264, h265, opus or some of them with a comma.")
		}
	}
	return codecs, nil
}

type stillIn struct {
	CameraPath
	AtUs   int64  `query:"at_us" minimum:"0" doc:"The key frame at or before then; absent: the newest."`
	Stream string `query:"stream" enum:"main,sub" doc:"Absent: whichever is at hand, the small one first."`
}

type stillOut struct {
	ContentType string `header:"Content-Type"`
	Codec       string `header:"Holdfast-Codec" doc:"RFC 6381."`
	AtUs        int64  `header:"Holdfast-At-Us"`
	Width       int    `header:"Holdfast-Width"`
	Height      int    `header:"Holdfast-Height"`
	Body        []byte
}

// still registers the still: a still is video, so it needs the right to watch.
func (d *door) still() {
	add(d, route{
		method: http.MethodGet, path: "/cameras/{camera}/still", id: "getStill", summary: "One key frame as Annex B with its parameter sets",
		action: access.Live, errors: []int{http.StatusConflict, http.StatusBadGateway, http.StatusGatewayTimeout},
		responses: map[string]*huma.Response{"200": {Description: "The key frame", Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}},
	}, func(ctx context.Context, who access.Actor, in *stillIn) (*stillOut, error) {
		action := access.Live
		if in.AtUs > 0 {
			action = access.Playback
		}
		c, err := d.camera(ctx, who, action, in.Camera)
		if err != nil {
			return nil, err
		}
		entry := access.Entry{Deed: access.DeedStill, Target: string(c.ID), Site: c.Site, Detail: c.Name()}
		if in.AtUs > 0 {
			entry.Detail = joinWords(c.Name(), "at "+moment(in.AtUs))
		}
		if err := d.access.RecordOnce(ctx, who, entry, oneView); err != nil {
			return nil, err
		}
		reply, frame, err := d.rooms.Live.Still(ctx, who.Org, c.Site, wire.StillOrder{Camera: c.ID, Stream: id.StreamKind(in.Stream), AtUs: in.AtUs})
		if err != nil {
			return nil, err
		}
		if len(frame) == 0 {
			return nil, errors.New("fetch still: the site answered without a frame")
		}
		return &stillOut{
			ContentType: "application/octet-stream", Codec: reply.Codec, AtUs: reply.AtUs, Width: reply.Width, Height: reply.Height, Body: frame,
		}, nil
	})
}

// moment writes a time for the audit, in UTC to the second.
func moment(us int64) string { return time.UnixMicro(us).UTC().Format("2006-01-02 15:04:05 UTC") }

func joinWords(words ...string) string {
	var out []string
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return strings.Join(out, ", ")
}

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
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const (
	sdpType = "application/sdp"
	// maxSDP bounds an SDP offer: a browser's with every codec and candidate has some 10 KiB.
	maxSDP = 64 << 10
	// oneView is how long the same still, or the same clip, of one session counts as one view in the audit.
	oneView = 10 * time.Minute
)

type offerIn struct {
	CameraPath
	ContentType string `header:"Content-Type" hidden:"true"`
	Width       int    `query:"width" minimum:"0" maximum:"16384" doc:"Width of the tile in device pixels; it chooses the stream."`
	Stream      string `query:"stream" enum:"main,sub" doc:"Absent: chosen by width."`
	Codecs      string `query:"codecs" maxLength:"64" default:"h264" doc:"Video codecs that the browser can show: h264, h265, with a comma."`
	FromUs      int64  `query:"from_us" minimum:"0" doc:"Above 0: playback of recorded video from then on; else live."`
	RawBody     []byte `contentType:"application/sdp"`
}

type offerOut struct {
	ContentType string `header:"Content-Type"`
	Location    string `header:"Location" doc:"DELETE it to end the session."`
	Stream      string `header:"Holdfast-Stream" enum:"main,sub"`
	Codec       string `header:"Holdfast-Codec" doc:"RFC 6381."`
	Audio       string `header:"Holdfast-Audio" doc:"RFC 6381; absent without audio."`
	Note        string `header:"Holdfast-Note" doc:"Percent-encoded UTF-8: why it is not what was asked for; absent when it is."`
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
			if !ok || v.who.Person != who.Person {
				return nil, store.ErrNotFound
			}
			d.viewers.drop(session)
			return nil, d.rooms.Live.Close(ctx, session)
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

func (d *door) openLive(ctx context.Context, who access.Actor, in *offerIn) (*offerOut, error) {
	action, deed, detail := access.Live, access.DeedLive, ""
	if in.FromUs > 0 {
		action, deed, detail = access.Playback, access.DeedPlayback, "from "+moment(in.FromUs)
	}
	c, err := d.camera(ctx, who, action, in.Camera)
	if err != nil {
		return nil, err
	}
	if media, _, err := mime.ParseMediaType(in.ContentType); err != nil || media != sdpType {
		return nil, huma.NewError(http.StatusUnsupportedMediaType, "An SDP offer is needed: send it with Content-Type application/sdp.")
	}
	if len(in.RawBody) == 0 {
		return nil, invalid("body", "The SDP offer is missing: send it as the body.")
	}
	codecs, err := codecList(in.Codecs)
	if err != nil {
		return nil, err
	}
	if err := d.access.Record(ctx, who, access.Entry{Deed: deed, Target: string(c.ID), Site: c.Site, Detail: joinWords(c.Name(), detail)}); err != nil {
		return nil, err
	}
	session := id.New[id.Session]()
	answer, err := d.rooms.Live.Offer(ctx, LiveOrder{Org: who.Org, Site: c.Site, Person: who.Person, Offer: wire.LiveOffer{
		Session: session, Camera: c.ID, Stream: id.StreamKind(in.Stream), Width: in.Width, SDP: string(in.RawBody), Codecs: codecs, FromUs: in.FromUs,
	}})
	if err != nil {
		return nil, err
	}
	d.viewers.put(session, viewer{who: who, action: action, target: access.Target{Org: c.Org, Site: c.Site}, readAt: time.Now()})
	return &offerOut{
		ContentType: sdpType, Location: prefix + "/live/" + string(session), Stream: string(answer.Stream), Codec: answer.Codec,
		Audio: answer.Audio, Note: url.PathEscape(answer.Note), Body: []byte(answer.SDP),
	}, nil
}

// codecList reads "h264,h265"; what is unknown is refused.
func codecList(s string) ([]string, error) {
	var codecs []string
	for c := range strings.SplitSeq(s, ",") {
		switch c = strings.TrimSpace(c); c {
		case "h264", "h265":
			codecs = append(codecs, c)
		default:
			return nil, invalid("query.codecs", "The codecs are unknown: give h264, h265 or both with a comma.")
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

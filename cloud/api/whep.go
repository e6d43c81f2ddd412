package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Programs outside the portal watch by WHEP (draft-ietf-wish-whep), the way back of WHIP (RFC 9725). Their routes lie beside
// the portal's, below the same prefix, because they follow other rules: a token counts and no cookie does, pages of any
// origin may ask, and what the answers are is the protocol's affair and not ours.

// whepPrefix is where they lie.
const whepPrefix = prefix + "/whep/"

// playsAtOnce is how many views one player has open at most, so that a token which got about leaves room for people.
const playsAtOnce = 32

// errNoToken says that a program has sent none.
var errNoToken = errors.New("a player's token is needed: send it as 'Authorization: Bearer' with the token behind it")

type playIn struct {
	CameraPath
	Stream      string `query:"stream" enum:"main,sub" doc:"Absent: main."`
	Through     string `query:"through" enum:"auto,site,relay" default:"auto" doc:"What serves the player. site: the site's agent. relay: the cloud's relay, which takes one copy of a camera from the site for all who watch it. auto: the site, or the relay if the camera goes over the site's line already."`
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/sdp"`
}

type playOut struct {
	ContentType string   `header:"Content-Type"`
	Location    string   `header:"Location" doc:"PATCH it with further addresses, DELETE it to end the view."`
	Link        []string `header:"Link" doc:"STUN and TURN servers (RFC 9725 section 4.6); their credentials serve as long as the view."`
	Stream      string   `header:"Holdfast-Stream" enum:"main,sub"`
	Codec       string   `header:"Holdfast-Codec" doc:"RFC 6381."`
	Audio       string   `header:"Holdfast-Audio" doc:"RFC 6381; absent without audio."`
	Note        string   `header:"Holdfast-Note" doc:"Percent-encoded UTF-8: why it is not what was asked for; absent when it is."`
	Body        []byte
}

// PlayPath names what a player shows.
type PlayPath struct {
	CameraPath
	Session string `path:"session" maxLength:"64"`
}

func (d *door) whep() {
	badGateway := []int{http.StatusBadGateway, http.StatusGatewayTimeout}
	add(d, route{
		method: http.MethodPost, path: "/whep/{camera}", id: "play", summary: "Show a camera live in a program outside the portal (WHEP): the first place for video in the SDP offer, and the first for sound if there is one",
		action: access.Live, program: true, status: http.StatusCreated, cost: 2, body: maxSDP, errors: badGateway,
		responses: map[string]*huma.Response{"201": {Description: "The SDP answer", Content: map[string]*huma.MediaType{
			sdpType: {Schema: &huma.Schema{Type: huma.TypeString}},
		}}},
	}, d.play)
	add(d, route{
		method: http.MethodPatch, path: "/whep/{camera}/{session}", id: "movePlay", summary: "Tell of further addresses of a program's view (RFC 8840), or seek its path anew: with a fragment of another ICE user name and password, or with an SDP offer that restarts ICE",
		action: access.Live, program: true, body: maxSDP, errors: append(badGateway, http.StatusGone),
		responses: map[string]*huma.Response{
			"200": {Description: "The far end's fragment of the new path, or the SDP answer to an offer", Content: map[string]*huma.MediaType{
				fragmentType: {Schema: &huma.Schema{Type: huma.TypeString}}, sdpType: {Schema: &huma.Schema{Type: huma.TypeString}},
			}},
			"204": {Description: "The addresses were taken; those of the far end were in its answer"},
		},
	}, d.movePlay)
	add(d, route{
		method: http.MethodDelete, path: "/whep/{camera}/{session}", id: "endPlay", summary: "End a program's view", action: access.Live, program: true, status: http.StatusOK,
	}, func(ctx context.Context, who access.Actor, in *PlayPath) (*empty, error) {
		session, err := d.played(who, *in)
		if err != nil {
			return nil, err
		}
		return nil, d.hangUp(ctx, session)
	})
}

func (d *door) play(ctx context.Context, who access.Actor, in *playIn) (*playOut, error) {
	w, err := d.watch(ctx, who, in.Camera, ViewQuery{Codecs: "h264"})
	if err == nil {
		err = offered(in.ContentType, in.RawBody)
	}
	var codecs []string
	if err == nil {
		codecs, err = playerCodecs(string(in.RawBody))
	}
	if err == nil && d.viewers.count(who, d.rooms.Live.Open) >= playsAtOnce {
		err = &Refusal{Code: "limit", Text: fmt.Sprintf("This player has %d views open, more are not possible. Close some of them and try again.", playsAtOnce)}
	}
	if err != nil {
		return nil, err
	}
	// A player that loses its line comes back again and again: from one address that is one view within a time.
	entry := w.entry
	entry.Deed, entry.Detail = access.DeedPlayed, joinWords(w.camera.Name(), "by the player "+who.Player.Name, "whose token is "+who.Name+"'s")
	if err := d.access.RecordOnce(ctx, who, entry, oneView); err != nil {
		return nil, err
	}
	servers, err := d.rooms.Live.ICE(ctx, who.Person)
	if err != nil {
		return nil, err
	}
	out, err := d.offer(ctx, w.viewer, RelayQuery{Relay: userOf(servers)}, WayQuery{Through: in.Through}, wire.LiveOffer{
		Session: id.New[id.Session](), Camera: w.camera.ID, Stream: id.StreamKind(in.Stream), SDP: string(in.RawBody), Codecs: codecs,
	})
	if err != nil {
		return nil, err
	}
	session := strings.TrimPrefix(out.Location, livePath(""))
	return &playOut{
		ContentType: out.ContentType, Location: whepPrefix + string(w.camera.ID) + "/" + session, Link: links(servers),
		Stream: out.Stream, Codec: out.Codec, Audio: out.Audio, Note: out.Note, Body: out.Body,
	}, nil
}

// playerCodecs reads which of our codecs a player's offer takes for its first video.
func playerCodecs(sdp string) ([]string, error) {
	_, video, found := strings.Cut(sdp, "\nm=video ")
	if !found {
		return nil, invalid("body", "The offer has no place for video: a player must offer to receive one.")
	}
	video, _, _ = strings.Cut(video, "\nm=")
	var codecs []string
	for line := range strings.Lines(video) {
		_, format, _ := strings.Cut(strings.TrimPrefix(line, "a=rtpmap:"), " ")
		name, _, _ := strings.Cut(strings.ToLower(format), "/")
		if strings.HasPrefix(line, "a=rtpmap:") && (name == "h264" || name == "h265") && !slices.Contains(codecs, name) {
			codecs = append(codecs, name)
		}
	}
	if len(codecs) == 0 {
		return nil, invalid("body", "The offer takes neither H.264 nor H.265, and nothing is re-encoded here: allow one of them in the player.")
	}
	return codecs, nil
}

// userOf is the user name of relay credentials; empty without any.
func userOf(servers []wire.ICEServer) string {
	for _, s := range servers {
		if s.Username != "" {
			return s.Username
		}
	}
	return ""
}

// links writes servers as RFC 9725 section 4.6 has them. No value needs quoting: they are ours, or the operator's.
func links(servers []wire.ICEServer) []string {
	var out []string
	for _, s := range servers {
		for _, u := range s.URLs {
			link := "<" + u + `>; rel="ice-server"`
			if s.Username != "" {
				link += fmt.Sprintf(`; username=%q; credential=%q; credential-type="password"`, s.Username, s.Credential)
			}
			out = append(out, link)
		}
	}
	return out
}

// played returns the session of a view that a player has, by its path.
func (d *door) played(who access.Actor, in PlayPath) (id.Session, error) {
	session, err := parse[id.Session](in.Session)
	if err != nil {
		return "", err
	}
	v, ok := d.viewers.get(session)
	if !ok || !v.who.Same(who) || string(v.target.Camera) != in.Camera {
		return "", store.ErrNotFound
	}
	return session, nil
}

type movePlayOut struct {
	Status      int
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (d *door) movePlay(ctx context.Context, who access.Actor, in *struct {
	PlayPath
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/sdp"`
},
) (*movePlayOut, error) {
	if _, err := d.played(who, in.PlayPath); err != nil {
		return nil, err
	}
	out, err := d.moveLive(ctx, who, &moveIn{Session: in.Session, ContentType: in.ContentType, RawBody: in.RawBody})
	switch {
	case err != nil:
		return nil, err
	case out.ContentType == fragmentType && !out.anew:
		return &movePlayOut{Status: http.StatusNoContent}, nil
	}
	return &movePlayOut{Status: http.StatusOK, ContentType: out.ContentType, Body: out.Body}, nil
}

// share lets pages of every origin read the answers of the routes for players (Fetch section 3.3). They have no use for
// cookies, and none is sent: that would take a header which is not set here.
func share(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Location, Link, Retry-After, WWW-Authenticate, Holdfast-Stream, Holdfast-Codec, Holdfast-Audio, Holdfast-Note")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

// whepOtherwise answers what a browser asks before it lets a page of another origin ask, and every method that the protocol
// keeps for later.
func (a *API) whepOtherwise(w http.ResponseWriter, r *http.Request) {
	callOf(r.Context()).route = "preflight"
	const view, session = "POST, OPTIONS", "PATCH, DELETE, OPTIONS"
	methods, h := view, w.Header()
	if strings.Contains(strings.TrimPrefix(r.URL.Path, whepPrefix), "/") {
		methods = session
		h.Set("Accept-Patch", fragmentType+", "+sdpType)
	} else {
		h.Set("Accept-Post", sdpType)
	}
	if r.Method != http.MethodOptions {
		h.Set("Allow", methods)
		a.writePlainProblem(w, r, huma.NewError(http.StatusMethodNotAllowed, "This is an address for players (WHEP): it takes "+methods+" alone. Give it to a program that speaks WHEP."))
		return
	}
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	h.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"

	"holdfast/cloud/access"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

type socketIn struct {
	CameraPath
	ViewQuery
	Upgrade string `header:"Upgrade" hidden:"true"`
	Origin  string `header:"Origin" hidden:"true"`
}

// refusedWord is the last word over a WebSocket to a viewer who is shown nothing: what the answer to a request would say.
type refusedWord struct {
	Type   string `json:"type"` // "refused"
	Status int    `json:"status"`
	Text   string `json:"text"`
}

func (d *door) socket() {
	add(d, route{
		method: http.MethodGet, path: "/cameras/{camera}/socket", id: "watchBySocket",
		summary: "Show a camera over a WebSocket, for a browser without WebRTC or for what that has no room for: MP4 in binary messages (Media Source Extensions), words in text messages",
		action:  access.Live, status: http.StatusSwitchingProtocols, cost: 2, errors: []int{http.StatusUpgradeRequired},
		responses: map[string]*huma.Response{"101": {
			Description: "The WebSocket. A 'begin' says what the binary messages after it are; each of them is answered by a 'got' with how many came so far. Other words are those of a control channel. A 'refused' says why nothing is shown.",
		}},
	}, d.watchBySocket)
}

func (d *door) watchBySocket(ctx context.Context, who access.Actor, in *socketIn) (*streamOut, error) {
	w, err := d.watch(ctx, who, in.Camera, in.ViewQuery)
	upgrade := strings.EqualFold(in.Upgrade, "websocket")
	switch {
	case err != nil:
		return nil, err
	case in.Origin != "" && !d.own(ctx, in.Origin), in.Origin == "" && upgrade:
		return nil, huma.NewError(http.StatusForbidden, "This WebSocket came from another web site and was refused. Open the portal itself and try again there.")
	case !upgrade:
		return nil, huma.ErrorWithHeaders(huma.NewError(http.StatusUpgradeRequired,
			"This is an address for a WebSocket. If the portal brought you here, something between it and the cloud keeps WebSockets away: a proxy must pass the header Upgrade on."),
			http.Header{"Upgrade": {"websocket"}})
	}
	leave, err := d.enterSocket(who)
	if err != nil {
		return nil, err
	}
	if err := d.note(ctx, who, w.entry, in.tile()); err != nil {
		leave()
		return nil, err
	}
	order := ViewOrder{Org: who.Org, Site: w.camera.Site, View: wire.LiveView{
		Session: id.New[id.Session](), Camera: w.camera.ID, Stream: id.StreamKind(in.Stream), Width: in.Width, Codecs: w.codecs,
		FromUs: in.FromUs, Silent: in.Silent,
	}}
	return &streamOut{Body: func(ctx huma.Context) {
		defer leave()
		d.serveSocket(ctx, w.viewer, order)
	}}, nil
}

// own says whether a page of ours asks: a browser says whose page it is (RFC 6455 section 10.2), and sends our cookie for
// those of others too. Ours come from the address that was asked; or from public_url, for a proxy may change that address.
func (a *API) own(ctx context.Context, origin string) bool {
	from, err := url.Parse(origin)
	switch {
	case err != nil || from.Host == "" || a.cfg.Secure && from.Scheme != "https":
		return false
	case strings.EqualFold(from.Host, callOf(ctx).host):
		return true
	}
	return a.cfg.PublicURL != "" && strings.EqualFold(from.Scheme+"://"+from.Host, a.cfg.PublicURL)
}

// enterSocket takes a place among the WebSockets that a person and an organisation may have open.
func (a *API) enterSocket(who access.Actor) (leave func(), err error) {
	person, org := string(who.Person), string(who.Org)
	if !a.sockets.person.enter(person) {
		return nil, &Refusal{Code: "limit", Text: "You watch as many cameras in this way as one person can. Close some views and try again."}
	}
	if !a.sockets.org.enter(org) {
		a.sockets.person.leave(person)
		return nil, &Refusal{Code: "limit", Text: "Your organisation watches as many cameras in this way as it can. Close some views and try again."}
	}
	return func() {
		a.sockets.org.leave(org)
		a.sockets.person.leave(person)
	}, nil
}

// serveSocket makes the WebSocket and shows the camera over it as long as the right to it lasts.
func (a *API) serveSocket(hc huma.Context, v viewer, order ViewOrder) {
	r, w := rawOf(hc)
	c := callOf(r.Context())
	// Compression would cost much and gain nothing: video is compressed. Whose page asks was checked above.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled, InsecureSkipVerify: true})
	if err != nil {
		return // it has been answered
	}
	defer func() { _ = conn.CloseNow() }()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	go func() {
		select {
		case <-a.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	v.end = cancel
	a.viewers.put(order.View.Session, v)
	defer a.viewers.take(order.View.Session)
	refuse := func(err error) any { return a.lastWord(ctx, c, err) }
	if err := a.rooms.Live.Socket(ctx, order, conn, refuse); err != nil {
		if text, err := json.Marshal(refuse(err)); err == nil {
			write, done := context.WithTimeout(ctx, 5*time.Second)
			defer done()
			_ = conn.Write(write, websocket.MessageText, text) // who is gone already need not know
		}
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
}

// lastWord is what a viewer by WebSocket is told of an error.
func (a *API) lastWord(ctx context.Context, c *call, err error) any {
	out := refusedWord{Type: "refused", Status: http.StatusInternalServerError}
	var status huma.StatusError
	if errors.As(a.problem(ctx, c, err), &status) {
		out.Status, out.Text = status.GetStatus(), status.Error()
	}
	return out
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"holdfast/cloud/access"
)

// route describes one operation.
type route struct {
	method, path string
	id           string // operation ID
	summary      string
	action       access.Action // what the role must allow; open: no session is needed
	program      bool          // for programs: a player's token is needed, not a session
	status       int           // of success; 0: 200 with a body, else 204
	cost         int           // of the rate limit; 0: 1
	body         int64         // bytes at most; 0: 256 KiB
	errors       []int         // others that it may answer, beside those of every such route
	responses    map[string]*huma.Response
}

const maxBody = 256 << 10

// open is the action of a route that needs no session.
const open access.Action = ""

func get(path, id string, action access.Action, summary string) route {
	return route{method: http.MethodGet, path: path, id: id, action: action, summary: summary}
}

func post(path, id string, action access.Action, summary string) route {
	return route{method: http.MethodPost, path: path, id: id, action: action, summary: summary}
}

func put(path, id string, action access.Action, summary string) route {
	return route{method: http.MethodPut, path: path, id: id, action: action, summary: summary}
}

func patch(path, id string, action access.Action, summary string) route {
	return route{method: http.MethodPatch, path: path, id: id, action: action, summary: summary}
}

func del(path, id string, action access.Action, summary string) route {
	return route{method: http.MethodDelete, path: path, id: id, action: action, summary: summary}
}

// created makes 201 the status of success.
func (r route) created() route {
	r.status = http.StatusCreated
	return r
}

// costs takes more of the rate limit than one request.
func (r route) costs(tokens int) route {
	r.cost = tokens
	return r
}

// also adds statuses that the route may answer.
func (r route) also(statuses ...int) route {
	r.errors = statuses
	return r
}

// routeKey is where an operation keeps its route.
const routeKey = "route"

// empty is the input or output of a route that has none.
type empty struct{}

// add registers a route. The handler runs only for who may do the route's action; for a route without an
// action the actor is the zero Actor.
func add[I, O any](d *door, r route, handle func(ctx context.Context, who access.Actor, in *I) (*O, error)) {
	a := d.API
	huma.Register(d.doc, r.operation(a.cfg.BodyTimeout), func(ctx context.Context, in *I) (*O, error) {
		call := callOf(ctx)
		call.bodyRead()
		out, err := handle(ctx, call.actor, in)
		if err != nil {
			return nil, a.problem(ctx, call, err)
		}
		return out, nil
	})
}

func (r route) operation(bodyTimeout time.Duration) huma.Operation {
	errs := []int{http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}
	op := huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Summary: r.summary, DefaultStatus: r.status,
		MaxBodyBytes: maxBody, BodyReadTimeout: bodyTimeout, Metadata: map[string]any{routeKey: r}, Responses: r.responses,
		Tags: []string{strings.Split(strings.TrimPrefix(r.path, "/"), "/")[0]},
	}
	if r.body != 0 {
		op.MaxBodyBytes = r.body
	}
	if r.action != open {
		op.Security = []map[string][]string{{"session": {}}}
		if r.program {
			op.Security = []map[string][]string{{"player": {}}}
		}
		errs = append(errs, http.StatusUnauthorized, http.StatusForbidden)
	}
	if strings.Contains(r.path, "{") {
		errs = append(errs, http.StatusNotFound)
	}
	if r.method == http.MethodPost || r.method == http.MethodPatch || r.method == http.MethodPut {
		errs = append(errs, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	op.Errors = append(errs, r.errors...)
	return op
}

// call is what the middlewares know of a request; the request's log line reads it too.
type call struct {
	request string // number of the request, for logs and problems
	ip      string
	base    string // the cloud's URL as the browser sees it
	host    string // that was asked, with its port
	token   string // of the session cookie
	bearer  string // a program's token
	actor   access.Actor
	route   string // operation ID
	// bodyRead lifts the deadline of the body: the server takes one that passes while a handler works for a
	// client that went away, and would cancel the handler.
	bodyRead func()
}

type callKey struct{}

// callOf returns the request's call; outside of a request an empty one.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{bodyRead: func() {}}
}

// admit lets a request reach its route: within the rate, and for a route with an action only with a session
// whose role allows it.
func (a *API) admit(doc huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, ok := ctx.Operation().Metadata[routeKey].(route)
		if !ok {
			next(ctx)
			return
		}
		c := callOf(ctx.Context())
		c.route = r.id
		if err := a.admitCall(ctx.Context(), c, r); err != nil {
			_ = writeProblem(doc, ctx, a.problem(ctx.Context(), c, err))
			return
		}
		c.bodyRead = func() { _ = ctx.SetReadDeadline(time.Time{}) }
		next(ctx)
	}
}

func (a *API) admitCall(ctx context.Context, c *call, r route) error {
	if r.action == open {
		return a.hosts.take(access.Network(c.ip), max(1, r.cost))
	}
	actor, err := a.identify(ctx, c, r)
	if err != nil {
		return err
	}
	c.actor = actor
	key := string(actor.Person)
	if actor.Player != nil {
		key = string(actor.Player.ID) // a program never slows down who made its token
	}
	if err := a.persons.take(key, max(1, r.cost)); err != nil {
		return err
	}
	if !actor.May(r.action) {
		return access.ErrForbidden
	}
	return nil
}

// identify returns who asks. Requests with a made-up cookie or token cost like those without one.
func (a *API) identify(ctx context.Context, c *call, r route) (actor access.Actor, err error) {
	switch {
	case !r.program:
		actor, err = a.access.Authenticate(ctx, c.token, c.ip)
	case c.bearer == "":
		err = errNoToken
	default:
		actor, err = a.access.AuthenticatePlayer(ctx, c.bearer, c.ip)
	}
	if !lost(err) && !errors.Is(err, errNoToken) {
		return actor, err
	}
	if err := a.hosts.take(access.Network(c.ip), 1); err != nil {
		return actor, err
	}
	if errors.Is(err, access.ErrPlayer) {
		if err := a.access.CountVain(ctx, c.ip); err != nil {
			return actor, err
		}
	}
	return actor, err
}

func writeProblem(doc huma.API, ctx huma.Context, err error) error {
	var withHeaders huma.HeadersError
	if errors.As(err, &withHeaders) {
		for k, values := range withHeaders.GetHeaders() {
			for _, v := range values {
				ctx.AppendHeader(k, v)
			}
		}
	}
	var status huma.StatusError
	if !errors.As(err, &status) {
		return err
	}
	return huma.WriteErr(doc, ctx, status.GetStatus(), status.Error())
}

// render returns the document as indented JSON.
func render(doc huma.API) ([]byte, error) {
	raw, err := json.Marshal(doc.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("render OpenAPI document: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("indent OpenAPI document: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func (a *API) serveSpec(w http.ResponseWriter, r *http.Request) {
	callOf(r.Context()).route = "openapi"
	if err := a.hosts.take(access.Network(callOf(r.Context()).ip), 1); err != nil {
		a.writePlainProblem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.spec)
}

// rawOf returns the request and the writer behind a huma context, for answers that are streams.
func rawOf(ctx huma.Context) (*http.Request, http.ResponseWriter) { return humago.Unwrap(ctx) }

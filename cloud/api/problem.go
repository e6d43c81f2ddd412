package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/players"
	"holdfast/cloud/store/walls"
)

// Details that are the same wherever they occur, so that they tell nothing.
const (
	notHere  = "There is nothing here that you can see: it does not exist, was removed, or is not yours. Go back to the list and load it again."
	noAction = "Your role does not allow this. Ask an owner of your organisation."
)

// refused is an error of a room that a person should read; see Refusal.
type refused interface {
	error
	Refusal() (code, text string)
}

// known pairs errors with their status and detail; an empty detail is the error's own text.
func known() []struct {
	err    error
	status int
	detail string
} {
	return []struct {
		err    error
		status int
		detail string
	}{
		{store.ErrNotFound, http.StatusNotFound, notHere},
		{access.ErrNoSetup, http.StatusNotFound, notHere},
		{access.ErrForbidden, http.StatusForbidden, noAction},
		{access.ErrSignedOut, http.StatusUnauthorized, ""},
		{access.ErrCredentials, http.StatusUnauthorized, ""},
		{access.ErrSetupToken, http.StatusForbidden, ""},
		{access.ErrLastOwner, http.StatusConflict, ""},
		{access.ErrTaken, http.StatusConflict, ""},
		{access.ErrLinkUnknown, http.StatusNotFound, ""},
		{access.ErrLinkUsed, http.StatusGone, ""},
		{access.ErrLinkExpired, http.StatusGone, ""},
		{store.ErrConflict, http.StatusConflict, "This name is taken already. Choose another one."},
		{walls.ErrMany, http.StatusConflict, ""},
		{walls.ErrStale, http.StatusConflict, ""},
		{players.ErrMany, http.StatusConflict, ""},
		{orgs.ErrCursor, http.StatusUnprocessableEntity, "The cursor is not one of this list. Load the list again from its start."},
		{orgs.ErrReported, http.StatusConflict, "The site still reports this camera. Take it out of the agent's configuration at the site first, or disable it here."},
	}
}

// problem turns an error into one with a status and a detail that says what to do. What it does not know is
// logged and answered as 500 with the number of the request.
func (a *API) problem(ctx context.Context, c *call, err error) error {
	var status huma.StatusError
	var invalid *access.Invalid
	var limited *access.LimitedError
	var rate *rateError
	var room refused
	switch {
	case errors.As(err, &status):
		return err
	case errors.As(err, &invalid):
		return huma.NewError(http.StatusUnprocessableEntity, invalid.Text, &huma.ErrorDetail{Location: "body." + invalid.Field, Message: invalid.Text})
	case errors.As(err, &limited):
		return retry(http.StatusTooManyRequests, sentence(err), limited.Retry)
	case errors.As(err, &rate):
		return retry(http.StatusTooManyRequests, sentence(err), rate.after)
	case errors.Is(err, access.ErrBusy):
		return retry(http.StatusServiceUnavailable, sentence(err), 3*time.Second)
	case errors.As(err, &room):
		return refusalProblem(room)
	case errors.Is(err, errNoToken):
		return challenge(err, `Bearer realm="holdfast"`)
	case errors.Is(err, access.ErrPlayer):
		return challenge(err, `Bearer realm="holdfast", error="invalid_token"`)
	}
	if errors.Is(err, access.ErrForbidden) && c.actor.Person != "" {
		if err := a.access.RecordOnce(ctx, c.actor, access.Entry{Deed: access.DeedRefused, Target: c.route}, time.Minute); err != nil {
			a.log.Error("a refusal is not in the audit", "error", err, "request", c.request)
		}
	}
	for _, k := range known() {
		if errors.Is(err, k.err) {
			detail := k.detail
			if detail == "" {
				detail = sentence(k.err)
			}
			return huma.NewError(k.status, detail)
		}
	}
	if ctx.Err() != nil {
		return huma.NewError(http.StatusServiceUnavailable, "The request was given up before it was answered. Try again.")
	}
	a.log.Error("request failed", "request", c.request, "route", c.route, "error", err)
	return huma.NewError(http.StatusInternalServerError,
		"Something went wrong here. Try again; if it stays, give your administrator the number "+c.request+".")
}

func refusalProblem(room refused) error {
	code, text := room.Refusal()
	status := http.StatusBadGateway
	switch code {
	case "offline", "busy":
		return retry(http.StatusServiceUnavailable, text, 5*time.Second)
	case "limit":
		return retry(http.StatusTooManyRequests, text, 30*time.Second)
	case "unknown_camera", "no_video":
		status = http.StatusNotFound
	case "codec", "refused", "conflict", "taken":
		status = http.StatusConflict
	case "gone":
		status = http.StatusGone
	case "invalid":
		status = http.StatusUnprocessableEntity
	case "expired":
		status = http.StatusGatewayTimeout
	}
	return huma.NewError(status, text)
}

// challenge asks for a player's token, or for another one (RFC 6750 section 3).
func challenge(err error, how string) error {
	return huma.ErrorWithHeaders(huma.NewError(http.StatusUnauthorized, sentence(err)), http.Header{"Www-Authenticate": {how}})
}

func retry(status int, detail string, after time.Duration) error {
	seconds := max(1, int((after+time.Second-1)/time.Second))
	return huma.ErrorWithHeaders(huma.NewError(status, detail), http.Header{"Retry-After": {strconv.Itoa(seconds)}})
}

// sentence makes an error's text one: a capital at its start, a full stop at its end.
func sentence(err error) string {
	s := err.Error()
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// invalid is a fault in one place of a request ("query.from_us").
func invalid(place, text string) error {
	return huma.NewError(http.StatusUnprocessableEntity, text, &huma.ErrorDetail{Location: place, Message: text})
}

// explain rewrites the problems that the validation of requests makes: the detail names the first fault and
// what to do, and no value is echoed, since it may be a password.
func explain(_ huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	clean := *p
	clean.Errors = nil
	for _, e := range p.Errors {
		if e != nil {
			clean.Errors = append(clean.Errors, &huma.ErrorDetail{Message: e.Message, Location: e.Location})
		}
	}
	switch {
	case p.Status == http.StatusRequestEntityTooLarge:
		clean.Detail = "The request is too large. Send less at once."
	case p.Status == http.StatusRequestTimeout:
		clean.Detail = "The request took too long to arrive. Try again on a better line."
	case p.Status == http.StatusUnsupportedMediaType:
		clean.Detail, clean.Errors = "This kind of body is not understood. Send application/json, or what the documentation of the route says.", nil
	case p.Status == http.StatusBadRequest:
		clean.Detail, clean.Errors = "The body is missing or not valid JSON. Correct it and send it again.", nil
	case p.Detail == "cannot read request body":
		clean.Detail, clean.Errors = "The body ended too early. Send it again.", nil
	case p.Detail == "validation failed" && len(clean.Errors) > 0:
		clean.Detail = fmt.Sprintf("%s: %s. Correct this and send it again.", clean.Errors[0].Location, clean.Errors[0].Message)
	}
	return &clean, nil
}

// writePlainProblem answers a request that did not reach an operation.
func (a *API) writePlainProblem(w http.ResponseWriter, r *http.Request, err error) {
	err = a.problem(r.Context(), callOf(r.Context()), err)
	var withHeaders huma.HeadersError
	if errors.As(err, &withHeaders) {
		for k, values := range withHeaders.GetHeaders() {
			w.Header()[k] = values
		}
	}
	var status huma.StatusError
	if !errors.As(err, &status) {
		status = huma.NewError(http.StatusInternalServerError, sentence(err))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status.GetStatus())
	_ = json.NewEncoder(w).Encode(&huma.ErrorModel{
		Title: http.StatusText(status.GetStatus()), Status: status.GetStatus(), Detail: status.Error(),
	})
}

func (a *API) noRoute(w http.ResponseWriter, r *http.Request) {
	a.writePlainProblem(w, r, store.ErrNotFound)
}

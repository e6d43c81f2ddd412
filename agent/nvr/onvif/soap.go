package onvif

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/icholy/digest"
)

// Namespaces of the services that are used.
const (
	deviceNS = "http://www.onvif.org/ver10/device/wsdl"
	mediaNS  = "http://www.onvif.org/ver10/media/wsdl"
	ptzNS    = "http://www.onvif.org/ver20/ptz/wsdl"
)

// request is one question to one service of the device.
type request struct {
	path   string // of the service, with its query
	ns     string
	action string
	body   string // inside the action's element
}

// Actions that the login knows: the one that stops a camera, and the one that shows what an account may see.
const (
	stopAction     = "Stop"
	profilesAction = "GetProfiles"
)

// envelope is the whole question, with what stands in its header.
func (q request) envelope(header string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header>` + header +
		`</s:Header><s:Body><` + q.action + ` xmlns="` + q.ns + `">` + q.body + `</` + q.action + `></s:Body></s:Envelope>`
}

// fault is a SOAP fault (SOAP 1.2 part 1 section 5.4, and 1.1).
type fault struct {
	code   string // of the innermost subcode, without prefix
	reason string
}

// Error implements error.
func (f *fault) Error() string {
	return strings.TrimSuffix("the device answers "+f.code+": "+f.reason, ": ")
}

// errRefused says that the device does not take the login.
var errRefused = errors.New("the device does not take the login")

// denial is a fault that speaks of the login: it is not taken, which is errRefused, or its user has no right to what was asked.
type denial struct{ fault fault }

// Error implements error.
func (d *denial) Error() string { return d.fault.Error() }

// Is makes it errRefused.
func (d *denial) Is(err error) bool { return err == errRefused }

// statusError is an answer that is no SOAP.
type statusError struct{ status int }

// Error implements error.
func (e *statusError) Error() string {
	return fmt.Sprintf("the device answers with HTTP status %d", e.status)
}

// post sends a request with a login and returns the element inside the answer's body, an empty one with an error; but with
// errLarge what was read until then. challenged is what the device asks for, if it does.
func (d *Device) post(ctx context.Context, q request, header, authorization string) (answer *node, challenged *digest.Challenge, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+q.path, strings.NewReader(q.envelope(header)))
	if err != nil {
		return &node{}, nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", `application/soap+xml; charset=utf-8; action="`+q.ns+`/`+q.action+`"`)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := d.http.Do(req)
	if err != nil {
		return &node{}, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusUnauthorized {
		return &node{}, challengeOf(res.Header), errRefused
	}
	answer, err = unpack(res.StatusCode, res.Body)
	return answer, nil, err
}

// challengeOf returns the first challenge that a password may be told to, nil when there is none.
func challengeOf(h http.Header) *digest.Challenge {
	for _, text := range h.Values("WWW-Authenticate") {
		c, err := digest.ParseChallenge(text)
		if err != nil {
			continue
		}
		for i := range c.QOP {
			c.QOP[i] = strings.TrimSpace(c.QOP[i]) // the library leaves the blanks of "auth-int, auth"
		}
		if digest.CanDigest(c) {
			return c
		}
	}
	return nil
}

// unpack takes the answer out of its envelope. The element is never nil; it is empty with an error other than errLarge, and
// with that one too when nothing was read before the limit.
func unpack(status int, body io.Reader) (*node, error) {
	root, err := parse(body)
	if err != nil && !errors.Is(err, errLarge) {
		if status >= http.StatusMultipleChoices {
			return &node{}, &statusError{status}
		}
		return &node{}, err
	}
	inside := root.find("Envelope", "Body")
	switch {
	case inside.find("Fault").there():
		return &node{}, faultOf(inside.find("Fault"))
	case status >= http.StatusMultipleChoices:
		return &node{}, &statusError{status}
	case len(inside.kids) == 0 && err != nil:
		return &node{}, err
	case len(inside.kids) == 0:
		return &node{}, errors.New("the device answers, but not as ONVIF has it")
	}
	return inside.kids[0], err
}

// denies says whether the code of a fault speaks of the login.
func denies(code string) bool {
	switch code {
	case "NotAuthorized", "FailedAuthentication", "InvalidSecurity", "InvalidSecurityToken", "SenderNotAuthorized":
		return true
	}
	return false
}

// faultOf reads a fault of either SOAP. One that speaks of the login is a denial.
func faultOf(n *node) error {
	f := &fault{code: n.find("faultcode").text, reason: n.find("faultstring").text}
	for code := n.find("Code"); code.there(); code = code.find("Subcode") {
		f.code = code.find("Value").text
	}
	if reason := n.find("Reason", "Text").text; reason != "" {
		f.reason = reason
	}
	f.code = f.code[strings.LastIndexByte(f.code, ':')+1:]
	if denies(f.code) {
		return &denial{*f}
	}
	return f
}

// escaped makes a text fit for an element or an attribute.
func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}

// element is a text inside an element.
func element(name, text string) string { return "<" + name + ">" + escaped(text) + "</" + name + ">" }

package camera

import (
	"errors"
	"slices"
	"strings"

	"github.com/bluenviron/gortsplib/v4/pkg/auth"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
)

// login is the authentication of one session (RFC 2326 section D.1, RFC 2617, RFC 7616). The RTSP library answers
// the first challenge only; cameras send a new nonce later, some with every answer, some at a keepalive after
// minutes. The RTSP client's goroutine alone uses it.
type login struct {
	tap    *tap
	pinned func() // keeps for ever that the device knows digest

	sender   *auth.Sender
	nonce    string
	sent     bool // the request under way carries a login
	accepted bool // one with the present nonce was accepted before
	fresh    bool // a new nonce has come: what was refused may be asked again
	renewals int  // without an accepted login in between
	refused  bool // the password is wrong: no more logins in this session
	refusal  func(error)
}

// authorize puts the login on a request, over what the RTSP library has put there.
func (l *login) authorize(req *base.Request) {
	switch {
	case l.refused:
		delete(req.Header, "Authorization")
	case l.sender != nil:
		l.sender.AddAuthorization(req)
	}
	l.sent = len(req.Header["Authorization"]) > 0
}

// heard looks at an answer.
func (l *login) heard(res *base.Response) {
	if res.StatusCode != base.StatusUnauthorized {
		if l.sent {
			l.accepted, l.renewals = true, 0
		}
		return
	}
	if len(res.Header["WWW-Authenticate"]) == 0 {
		return // some answer every keepalive so, and count it all the same
	}
	digest, stale, nonce := false, false, ""
	for _, v := range res.Header["WWW-Authenticate"] {
		var a headers.Authenticate
		if a.Unmarshal(base.HeaderValue{v}) == nil && a.Method == headers.AuthMethodDigest {
			digest, nonce = true, a.Nonce
			stale = stale || a.Stale != nil && strings.EqualFold(*a.Stale, "true")
		}
	}
	if l.tap.digest && !digest && !l.tap.source.basic {
		l.refusal(errDowngrade)
		l.refused = true
		res.Header["WWW-Authenticate"] = nil
		return
	}
	if digest && !l.tap.digest {
		l.tap.digest = true
		l.pinned()
	}
	// A login that was good before, or that the device itself calls stale, needs a new nonce and no new password.
	old := nonce == "" || nonce == l.nonce
	if l.sent && (old || !l.accepted && !stale) || l.renewals >= 2 {
		l.refused = true
		return
	}
	sender := &auth.Sender{WWWAuth: slices.Clone(res.Header["WWW-Authenticate"]), User: l.tap.source.user, Pass: l.tap.source.secret}
	if l.tap.source.user == "" || sender.Initialize() != nil {
		return
	}
	l.fresh = l.sent
	if l.sent {
		l.renewals++
	}
	l.sender, l.nonce, l.accepted = sender, nonce, false
}

// again asks once more when the device only wanted a login with a newer nonce.
func (l *login) again(ask func() error) error {
	err := ask()
	var status liberrors.ErrClientBadStatusCode
	for errors.As(err, &status) && status.Code == base.StatusUnauthorized && l.renewed() {
		err = ask()
	}
	return err
}

// renewed says once that a refused request is worth another try.
func (l *login) renewed() bool {
	was := l.fresh
	l.fresh = false
	return was && !l.refused
}

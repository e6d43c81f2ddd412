package onvif

import (
	"context"
	"crypto/rand"
	"crypto/sha1" // WS-Security knows no other sum
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/icholy/digest"
)

// login is how the device takes the password, as far as is known. Device.mu guards it.
type login struct {
	good      bool              // the device took the password when this camera told it last
	control   request           // a question that was answered with the login; none: no action
	challenge *digest.Challenge // the device asks by HTTP (RFC 7616); nil: it takes WS-Security
	count     int               // answers to the challenge so far

	offset  time.Duration // the device's clock minus ours
	offKnow bool          // it has told its time
	offAt   time.Time     // when it was asked
}

// ask puts a question with the login, within its time once it is its turn. A camera that takes the login is always told to
// stop, whatever the device said to others.
func (d *Device) ask(ctx context.Context, q request) (*node, error) {
	if d.cfg.User != "" && (q.action != stopAction || !d.accepted()) {
		leave, err := d.account.enter(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := d.tell(ctx, q)
	if no := (*denial)(nil); errors.As(err, &no) && d.accepted() && d.stillKnown(ctx, q) {
		err = &no.fault
	}
	d.heard(q, err)
	return answer, err
}

// stillKnown says, after a device that had taken the login has denied something, whether it takes the login still: then the user
// has no right to that. Where the login is by HTTP, who is denied by SOAP has passed it; else a question that was answered
// before is put again.
func (d *Device) stillKnown(ctx context.Context, q request) bool {
	d.mu.Lock()
	byHTTP, control := d.login.challenge != nil, d.login.control
	d.mu.Unlock()
	if byHTTP {
		return true
	}
	if control.action == "" || control.action == q.action {
		return false
	}
	_, err := d.tell(ctx, control)
	return err == nil || errors.Is(err, errLarge)
}

// unlocked says whether a question needs no login (ONVIF Core section 5.9.4.3).
func unlocked(action string) bool { return action == "GetServices" || action == "GetCapabilities" }

// heard notes what an answer says of the password: nothing where none was needed.
func (d *Device) heard(q request, err error) {
	var f *fault
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.login
	switch {
	case errors.Is(err, errRefused):
		l.good, l.control, d.found = false, request{}, nil
		d.account.refused()
	case unlocked(q.action) && l.challenge == nil:
	case err == nil, errors.Is(err, errLarge), errors.As(err, &f):
		l.good = true
		d.account.accepted()
		if f == nil && q.action == profilesAction {
			l.control = q
		}
	}
}

// tell puts a question, with the password in the form that the device wants. A challenge that is new or renewed is answered
// once; and once the clock is asked again, for a login of WS-Security is good for seconds of the device's own time.
func (d *Device) tell(ctx context.Context, q request) (*node, error) {
	timed := false
	for tries := 0; ; tries++ {
		header, authorization, nonce, err := d.present(q)
		if err != nil {
			return nil, err
		}
		answer, challenge, err := d.post(ctx, q, header, authorization)
		if !errors.Is(err, errRefused) || d.cfg.User == "" || tries == 2 {
			return answer, err
		}
		switch {
		case challenge != nil && (nonce == "" || challenge.Stale || tries == 0 && d.accepted() && challenge.Nonce != nonce):
			d.mu.Lock()
			d.login.challenge, d.login.count = challenge, 0
			d.mu.Unlock()
		case challenge == nil && nonce == "" && !timed && d.clockMoved(ctx):
			timed = true
		default:
			return nil, err
		}
	}
}

func (d *Device) accepted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.login.good
}

// present returns the login for a question: a SOAP header, or an HTTP header and the nonce of the challenge that it answers.
func (d *Device) present(q request) (header, authorization, nonce string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.login
	switch {
	case d.cfg.User == "":
		return "", "", "", nil
	case l.challenge == nil:
		return usernameToken(d.cfg.User, d.cfg.Password, time.Now().Add(l.offset)), "", "", nil
	}
	l.count++
	answer, err := digest.Digest(l.challenge, digest.Options{
		Method: http.MethodPost, URI: q.path, Count: l.count, Username: d.cfg.User, Password: d.cfg.Password,
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(q.envelope(""))), nil }, // for auth-int
	})
	if err != nil {
		return "", "", "", fmt.Errorf("answer the device's challenge: %w", err)
	}
	return "", answer.String(), l.challenge.Nonce, nil
}

// usernameToken is the login of WS-Security (Username Token Profile 1.0 section 3.1): the sum of a random number, the time
// by the device's clock and the password.
func usernameToken(user, password string, at time.Time) string {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never returns an error since Go 1.24
	created := at.UTC().Format("2006-01-02T15:04:05.000Z")
	sum := sha1.Sum([]byte(string(nonce[:]) + created + password))
	const ns = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
	return `<Security s:mustUnderstand="1" xmlns="` + ns + `wssecurity-secext-1.0.xsd"><UsernameToken>` + element("Username", user) +
		`<Password Type="` + ns + `username-token-profile-1.0#PasswordDigest">` + base64.StdEncoding.EncodeToString(sum[:]) + `</Password>` +
		`<Nonce EncodingType="` + ns + `soap-message-security-1.0#Base64Binary">` + base64.StdEncoding.EncodeToString(nonce[:]) + `</Nonce>` +
		`<Created xmlns="` + ns + `wssecurity-utility-1.0.xsd">` + created + `</Created></UsernameToken></Security>`
}

// readClock asks the device for its time, which needs no login (ONVIF Core section 8.3.2). One that does not tell it, or asks
// for a login all the same, is taken to have ours.
func (d *Device) readClock(ctx context.Context) error {
	begun := time.Now()
	answer, challenge, err := d.post(ctx, request{path: d.path, ns: deviceNS, action: "GetSystemDateAndTime"}, "", "")
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.login
	var f *fault
	switch {
	case errors.Is(err, errRefused), errors.As(err, &f):
		if challenge != nil {
			l.challenge, l.count = challenge, 0
		}
		l.offset, l.offKnow = 0, false
	case err != nil:
		return err
	default:
		at, known := timeOf(answer.find("SystemDateAndTime"))
		l.offset, l.offKnow = 0, known
		if known {
			l.offset = at.Sub(begun.Add(time.Since(begun) / 2)).Round(time.Millisecond)
		}
	}
	l.offAt = time.Now()
	return nil
}

// timeOf reads the device's time; some tell only the local one, and take it for UTC in logins too.
func timeOf(n *node) (time.Time, bool) {
	at := n.find("UTCDateTime")
	if !at.there() {
		at = n.find("LocalDateTime")
	}
	var v [6]int
	for i, path := range [][2]string{{"Date", "Year"}, {"Date", "Month"}, {"Date", "Day"}, {"Time", "Hour"}, {"Time", "Minute"}, {"Time", "Second"}} {
		var err error
		if v[i], err = strconv.Atoi(at.find(path[0], path[1]).text); err != nil {
			return time.Time{}, false
		}
	}
	// The second that is told has begun up to a second ago.
	t := time.Date(v[0], time.Month(v[1]), v[2], v[3], v[4], v[5], int(500*time.Millisecond), time.UTC)
	return t, v[0] >= 1970 && v[0] < 2200
}

// clockMoved asks for the time again, unless that was done a moment ago for a first login, and says whether it differs from
// what was known.
func (d *Device) clockMoved(ctx context.Context) bool {
	d.mu.Lock()
	was, at, good := d.login.offset, d.login.offAt, d.login.good
	d.mu.Unlock()
	if !good && time.Since(at) < 10*time.Second || d.readClock(ctx) != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return (d.login.offset-was).Abs() > 2*time.Second || d.login.challenge != nil
}

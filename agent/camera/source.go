package camera

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"unicode"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
)

// Source is where a stream comes from: an RTSP address and the credentials for it. However it is printed or
// logged, it shows no password.
type Source struct {
	address url.URL // without credentials
	user    string
	secret  string
	udp     bool
	pin     string // SHA-256 of the device's certificate, 32 bytes; empty: authorities decide
	basic   bool   // the password may be sent in the clear, whatever the device asked for before
}

// NewSource reads an rtsp:// or rtsps:// address. Credentials may be part of it; user and password win over
// those when user is not empty. transport is "tcp", "udp" or empty, which means tcp. The errors never repeat
// the address, for a password may be in it.
func NewSource(address, user, password, transport string) (Source, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Source{}, errors.New("the address is not a URL: write rtsp://host/path, and give user and password apart from it")
	}
	s := Source{address: *u, udp: transport == "udp"}
	if u.User != nil {
		s.user = u.User.Username()
		s.secret, _ = u.User.Password()
	}
	if user != "" {
		s.user, s.secret = user, password
	}
	s.address.User = nil
	query, err := url.QueryUnescape(u.RawQuery)
	switch {
	case u.Scheme != "rtsp" && u.Scheme != "rtsps":
		return Source{}, fmt.Errorf("the address begins with %q: want rtsp:// or rtsps://", u.Scheme)
	case u.Hostname() == "":
		return Source{}, errors.New("the address has no host")
	case err != nil || control(u.Path+query+s.user+s.secret+u.Host):
		return Source{}, errors.New("the address or its credentials hold control characters")
	case u.Fragment != "" || u.Opaque != "":
		return Source{}, errors.New("the address has a part behind #, which RTSP does not know")
	case transport != "" && transport != "tcp" && transport != "udp":
		return Source{}, fmt.Errorf("transport %q: want tcp or udp", transport)
	}
	return s, nil
}

// Pin returns the source with the certificate that its device must show: the SHA-256 fingerprint in hexadecimal
// digits, with or without colons. No authority is asked then, and the certificate's names and dates do not count.
func (s Source) Pin(fingerprint string) (Source, error) {
	sum, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(fingerprint))
	switch {
	case err != nil || len(sum) != sha256.Size:
		return s, errors.New("want the SHA-256 fingerprint of the device's certificate: 64 hexadecimal digits")
	case s.address.Scheme != "rtsps":
		return s, errors.New("only an rtsps:// address has a certificate: write rtsps://, or leave the fingerprint out")
	}
	s.pin = string(sum)
	return s, nil
}

// AllowBasic returns the source with leave to send the password in the clear although the device has asked for it
// in a protected form before.
func (s Source) AllowBasic() Source {
	s.basic = true
	return s
}

func control(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// IsZero says that there is no such stream.
func (s Source) IsZero() bool { return s.address.Host == "" }

// String returns the address without credentials.
func (s Source) String() string { return s.address.String() }

// GoString keeps the password out of %#v.
func (s Source) GoString() string { return "camera.Source(" + s.String() + ")" }

// LogValue returns the address without credentials.
func (s Source) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the address without credentials.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// url returns the address with its credentials, as the RTSP client wants it.
func (s Source) url() *base.URL {
	u := s.address
	if s.user != "" {
		u.User = url.UserPassword(s.user, s.secret)
	}
	return (*base.URL)(&u)
}

// account names what a device may lock after wrong passwords.
func (s Source) account() string { return s.user + "@" + s.device() }

// device names what serves the source: all its channels share its sessions.
func (s Source) device() string { return strings.ToLower(s.address.Hostname()) }

// Package onvif speaks with a camera or a recorder by ONVIF: SOAP over HTTP, the device, media and PTZ services, as Profile S
// and Profile T have them.
//
// It owns the login, the search for the camera's profile among those of the device, and the words for what is wrong. It
// promises that nothing is sent to another host than the configured one, wherever the device says its services are; that a
// password goes over the line only as the sum that the device can check, never in the clear; that a refused password is
// told again after a minute only, however many cameras have it; and that no answer, however large, deep or slow, costs more than its limits. It takes
// the device's clock as it is, and never sets it.
package onvif

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/agent/nvr"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config says where the device is.
type Config struct {
	Address  string // of the device service, http:// or https://
	User     string // empty: no login
	Password string
	// Profile is the token of the camera's profile at a device with several cameras; empty: it is found by Streams.
	Profile string
	Streams map[id.StreamKind]string // the camera's RTSP addresses, without passwords
	// Networks are the only addresses that are dialled, checked on the address that a name resolved to.
	Networks []netip.Prefix
	CAs      *x509.CertPool // for https://; nil means the system's
	Pin      string         // SHA-256 of the certificate in hexadecimal digits, instead of authorities; may be empty
	// Accounts is shared by all cameras of a site; nil for one alone.
	Accounts *Accounts
}

// Check reports whether an address of a device service can be used.
func Check(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("is not a URL: write http://192.168.1.10/onvif/device_service")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("want http:// or https://")
	case u.Hostname() == "":
		return errors.New("has no host")
	case u.User != nil:
		return errors.New("holds a login: give user and password apart from it")
	case u.Fragment != "" || u.Opaque != "":
		return errors.New("has a part that an address of a service has not")
	}
	return nil
}

// timeout bounds one question, with all tries of the login.
const timeout = 5 * time.Second

// Device is one camera of a device that speaks ONVIF. Safe for concurrent use.
type Device struct {
	cfg  Config
	base string // scheme and host
	path string // of the device service
	host string // lower case, without port
	http *http.Client

	account   *account
	searching chan struct{} // holds an element while somebody finds out what the device is

	mu    sync.Mutex
	login login
	found *found // what is known of the device; nil: nothing
}

// New returns a Device; nothing is dialled before it is asked something.
func New(cfg Config) (*Device, error) {
	if err := Check(cfg.Address); err != nil {
		return nil, fmt.Errorf("the ONVIF address %w", err)
	}
	u, err := url.Parse(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("read the ONVIF address: %w", err)
	}
	secure, err := cfg.secure()
	if err != nil {
		return nil, err
	}
	if cfg.Accounts == nil {
		cfg.Accounts = NewAccounts()
	}
	d := &Device{cfg: cfg, base: u.Scheme + "://" + u.Host, path: u.RequestURI(), host: strings.ToLower(u.Hostname()), searching: make(chan struct{}, 1)}
	d.account = cfg.Accounts.row(d.host, cfg.User, cfg.Password)
	d.http = &http.Client{
		Transport: &http.Transport{
			DialContext: d.dial, TLSClientConfig: secure, MaxConnsPerHost: 4, IdleConnTimeout: 20 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, TLSHandshakeTimeout: timeout, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return d, nil
}

// secure is what is checked of the device's certificate.
func (c *Config) secure() (*tls.Config, error) {
	t := &tls.Config{RootCAs: c.CAs, MinVersion: tls.VersionTLS12}
	if c.Pin == "" {
		return t, nil
	}
	pin, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(c.Pin))
	if err != nil || len(pin) != sha256.Size {
		return nil, errors.New("want the SHA-256 fingerprint of the device's certificate: 64 hexadecimal digits")
	}
	t.InsecureSkipVerify = true // the pin takes the place of the authorities
	t.VerifyConnection = func(state tls.ConnectionState) error {
		if sum := sha256.Sum256(state.PeerCertificates[0].Raw); string(sum[:]) != string(pin) {
			return errPin
		}
		return nil
	}
	return t, nil
}

var (
	errPin       = errors.New("the device shows another certificate than the pinned one")
	errForbidden = errors.New("address outside camera_networks")
)

// dial connects inside the allowed networks, to the address that was checked.
func (d *Device) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial device: %w", err)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("dial device: %w", err)
	}
	var errs []error
	for _, a := range addrs {
		if !d.allowed(a.Unmap()) {
			errs = append(errs, fmt.Errorf("dial device at %s: %w", a.Unmap(), errForbidden))
			continue
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(a.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("dial device: %w", err))
	}
	return nil, errors.Join(errs...)
}

func (d *Device) allowed(a netip.Addr) bool {
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	for _, n := range d.cfg.Networks {
		if n.Contains(a.WithZone("")) {
			return true
		}
	}
	return false
}

// Ask implements nvr.Device.
func (d *Device) Ask(ctx context.Context, anew bool) (wire.PTZReply, error) {
	f, err := d.known(), error(nil)
	if anew || f == nil {
		f, err = d.anew(ctx, f)
	}
	if err != nil {
		return wire.PTZReply{}, d.inWords(err)
	}
	if !f.able.Move && !f.able.Zoom {
		return wire.PTZReply{}, nil
	}
	able := f.able
	if able.Presets, err = d.presets(ctx, f); err != nil {
		return wire.PTZReply{}, d.inWords(err)
	}
	return able, nil
}

// Do implements nvr.Device.
func (d *Device) Do(ctx context.Context, o wire.PTZOrder) error {
	f, err := d.look(ctx)
	if err != nil {
		return d.inWords(err)
	}
	q, ok := f.question(o)
	if !ok {
		return wire.Fail(wire.FailedRefused, "This camera can't do that.")
	}
	_, err = d.ask(ctx, q)
	return d.inWords(err)
}

// KeyFrame implements nvr.Device (ONVIF Media section 5.17: SetSynchronizationPoint).
func (d *Device) KeyFrame(ctx context.Context, kind id.StreamKind) error {
	f, err := d.look(ctx)
	if err != nil {
		return d.inWords(err)
	}
	token, err := d.profileOf(ctx, f, kind)
	if err == nil {
		_, err = d.ask(ctx, request{path: f.media, ns: mediaNS, action: "SetSynchronizationPoint", body: element("ProfileToken", token)})
	}
	return d.inWords(err)
}

// question is what an order is in ONVIF; false: the camera can't do that.
func (f *found) question(o wire.PTZOrder) (request, bool) {
	q := request{path: f.ptz, ns: ptzNS, body: element("ProfileToken", f.profile)}
	switch o.Act {
	case wire.PTZMove:
		q.action = "ContinuousMove"
		q.body += "<Velocity>" + f.vector(f.speed, o.Pan, o.Tilt, "") + f.zoom(o.Zoom) + "</Velocity>" +
			element("Timeout", "PT"+strconv.Itoa(int(nvr.Lasting/time.Second))+"S")
		return q, f.able.Move || f.able.Zoom
	case wire.PTZStop:
		q.action = stopAction
		q.body += element("PanTilt", "true") + element("Zoom", "true")
		return q, f.able.Move || f.able.Zoom
	case wire.PTZCentre:
		q.action = "RelativeMove"
		q.body += "<Translation>" + f.vector(f.view, o.Pan, o.Tilt, f.viewSpace) + "</Translation>"
		return q, f.able.Centre
	case wire.PTZGoto:
		q.action = "GotoPreset"
		q.body += element("PresetToken", o.Preset)
		return q, f.able.Move || f.able.Zoom
	case wire.PTZHome:
		q.action = "GotoHomePosition"
		return q, f.able.Home
	case wire.PTZSave:
		q.action = "SetPreset"
		q.body += element("PresetName", o.Name)
		return q, f.able.Save
	case wire.PTZRemove:
		q.action = "RemovePreset"
		q.body += element("PresetToken", o.Preset)
		return q, f.able.Save
	default:
		return q, false
	}
}

// schemaNS is the namespace of ONVIF's common types.
const schemaNS = "http://www.onvif.org/ver10/schema"

// vector writes a speed or a way to turn; nothing for a camera that can't turn.
func (f *found) vector(by [2]span, pan, tilt float64, space string) string {
	if !f.able.Move {
		return ""
	}
	if space != "" {
		space = ` space="` + escaped(space) + `"`
	}
	return `<PanTilt xmlns="` + schemaNS + `" x="` + by[0].of(pan) + `" y="` + by[1].of(tilt) + `"` + space + `/>`
}

// zoom writes a speed of the lens; nothing for one that stands still.
func (f *found) zoom(speed float64) string {
	if !f.able.Zoom {
		return ""
	}
	return `<Zoom xmlns="` + schemaNS + `" x="` + f.lens.of(speed) + `"/>`
}

// span is what a device takes in the place of -1 to 1.
type span struct{ least, most float64 }

func (s span) of(v float64) string {
	if v < 0 {
		v *= -s.least
	} else {
		v *= s.most
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}

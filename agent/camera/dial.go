package camera

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// errForbidden says that an address lies outside the networks that the site allows.
var errForbidden = errors.New("address outside camera_networks")

// dialer connects to one host inside the allowed networks.
type dialer struct {
	host     string // the only one that is dialled, wherever a camera's answers point
	networks []netip.Prefix
	lookup   func(ctx context.Context, network, host string) ([]netip.Addr, error) // nil: the system's
}

// dial resolves the name once and connects to the address that it has checked, so that a name that changes its
// mind in between leads nowhere.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial camera: %w", err)
	}
	if host != d.host {
		return nil, fmt.Errorf("dial camera: it points to another host, %s: %w", host, errForbidden)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	lookup := d.lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupNetIP
	}
	addrs, err := lookup(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("dial camera: %w", err)
	}
	errs := []error{}
	for _, a := range addrs {
		if !d.allowed(a) {
			errs = append(errs, fmt.Errorf("dial camera at %s: %w", a.Unmap(), errForbidden))
			continue
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(a.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("dial camera: %w", err))
	}
	return nil, errors.Join(errs...)
}

func (d *dialer) allowed(a netip.Addr) bool {
	a = a.Unmap()
	if a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	for _, n := range d.networks {
		if n.Contains(a.WithZone("")) {
			return true
		}
	}
	return false
}

package house

import (
	"context"
	"net"
	"net/http"
)

// Place is where a part of the house is, such as a network namespace: it calls do once, with the calling thread there, and
// returns what do returns. The programs that do starts and the sockets that it opens are there for good. The nil Place
// is here.
type Place func(do func() error) error

func (p Place) do(do func() error) error {
	if p == nil {
		return do()
	}
	return p(do)
}

// dial connects from the place; addr has to be an IP address with a port, for a name would be looked up from here.
func (p Place) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = p.do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// client is an HTTP client whose connections begin in the place.
func (p Place) client() *http.Client {
	if p == nil {
		return http.DefaultClient
	}
	return &http.Client{Transport: &http.Transport{DialContext: p.dial, DisableKeepAlives: true}}
}

// free returns a loopback address of the place that is free now.
func (p Place) free(ctx context.Context) (addr string, err error) {
	err = p.do(func() error {
		addr, err = FreeAddr(ctx)
		return err
	})
	return addr, err
}

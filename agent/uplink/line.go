package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// parseCloud checks the cloud's address and returns it as an http or https URL without a path. Plain HTTP goes
// only to this machine itself.
func parseCloud(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("cloud address %q: want https://cloud.example.com", raw)
	}
	switch u.Scheme {
	case "wss":
		u.Scheme = "https"
	case "ws":
		u.Scheme = "http"
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("cloud address %q: want https://, not %s://", raw, u.Scheme)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return nil, fmt.Errorf("cloud address %q: want only a host and, if need be, a port, like https://cloud.example.com", u.Redacted())
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("cloud address %q: without TLS everyone on the way could read along; use https://", raw)
	}
	u.Path = ""
	return u, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// transport returns the way to the cloud: HTTP/1.1, TLS 1.2 or later with the system's authorities and those of
// caFile, never without verification. Every connection goes through wrap.
func transport(proxy Proxy, caFile string, wrap func(net.Conn) net.Conn) (*http.Transport, error) {
	if err := proxy.check(); err != nil {
		return nil, err
	}
	roots, err := Authorities(caFile)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: proxy.function(),
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return wrap(conn), nil
		},
		OnProxyConnectResponse: func(_ context.Context, u *url.URL, _ *http.Request, resp *http.Response) error {
			return connected(u, resp)
		},
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   4,
		DisableCompression:    true,
	}, nil
}

// counted is a connection whose written bytes are counted.
type counted struct {
	net.Conn
	n *atomic.Int64
}

// Write counts what the connection took.
func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// Authorities returns those whose certificates are taken: the system's and those of a PEM file. Without a file it returns
// nil, which stands for the system's.
func Authorities(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil // the system's own
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read the file of extra authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any: the file alone counts
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the file of extra authorities %s holds no certificate in PEM form", caFile)
	}
	return pool, nil
}

// client returns an HTTP client that follows no redirect: the cloud never sends one, a portal does.
func client(t *http.Transport) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

var errTimeout = errors.New("no answer came in time")

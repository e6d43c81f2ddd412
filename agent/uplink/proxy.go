package uplink

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Proxy is the HTTP proxy on the way to the cloud: empty for that of the environment (HTTPS_PROXY, NO_PROXY),
// "none" for a direct line, or a URL, which may hold a password: it prints without it.
type Proxy string

// NoProxy asks for a direct line whatever the environment says.
const NoProxy Proxy = "none"

// String returns the proxy without its password.
func (p Proxy) String() string {
	u, err := url.Parse(string(p))
	if err != nil {
		return "(unreadable)"
	}
	return u.Redacted()
}

// GoString is String.
func (p Proxy) GoString() string { return p.String() }

// LogValue is String.
func (p Proxy) LogValue() slog.Value { return slog.StringValue(p.String()) }

func (p Proxy) check() error {
	if p == "" || p == NoProxy {
		return nil
	}
	u, err := url.Parse(string(p))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("proxy %q: want http://host:port, none, or nothing for the environment's", p.String())
	}
	return nil
}

// errProxy stands for what the library says of an address that it can't read, for that holds the password.
var errProxy = errors.New("the address of the proxy can't be read: write http://host:port into cloud.proxy, or into HTTPS_PROXY")

func (p Proxy) function() func(*http.Request) (*url.URL, error) {
	find := func(*http.Request) (*url.URL, error) { return url.Parse(string(p)) }
	switch p {
	case "":
		find = http.ProxyFromEnvironment
	case NoProxy:
		return nil
	}
	return func(r *http.Request) (*url.URL, error) {
		via, err := find(r)
		if err != nil {
			return nil, errProxy
		}
		return via, nil
	}
}

const (
	// proxyWait is how long a proxy has to connect: whoever gets no connection by it may still try without.
	proxyWait = 5 * time.Second
	// proxyHead is the most that a proxy's answer may have, in bytes.
	proxyHead = 64 << 10
)

// Connect makes a TCP connection to addr (host:port): through the proxy by CONNECT (RFC 9110 section 9.3.6) where one leads
// there, else directly. The proxy looks the name up, and has 5 s for all.
func (p Proxy) Connect(ctx context.Context, addr string) (net.Conn, error) {
	var via *url.URL
	if find := p.function(); find != nil {
		var err error
		if via, err = find(&http.Request{URL: &url.URL{Scheme: "https", Host: addr}}); err != nil {
			return nil, fmt.Errorf("find the proxy: %w", err)
		}
	}
	var dialer net.Dialer
	if via == nil {
		return dialer.DialContext(ctx, "tcp", addr)
	}
	ctx, cancel := context.WithTimeout(ctx, proxyWait)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", hostPort(via))
	if err != nil {
		return nil, fmt.Errorf("reach the proxy: %w", err)
	}
	if via.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: via.Hostname(), MinVersion: tls.VersionTLS12})
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = ask(conn, via, addr)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close() // the reason is told
		return nil, err
	}
	return conn, nil
}

func hostPort(via *url.URL) string {
	port := via.Port()
	switch {
	case port == "" && via.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	return net.JoinHostPort(via.Hostname(), port)
}

// ask has the proxy connect to addr.
func ask(conn net.Conn, via *url.URL, addr string) error {
	q := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if via.User != nil {
		password, _ := via.User.Password()
		q.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(via.User.Username()+":"+password)))
	}
	if err := q.Write(conn); err != nil {
		return fmt.Errorf("ask the proxy: %w", err)
	}
	// The far end says nothing before it is spoken to: what is read here is the proxy's. The answer's body is the connection
	// itself, and to close it would be to read that to its end.
	r := bufio.NewReader(io.LimitReader(conn, proxyHead))
	resp, err := http.ReadResponse(r, q) //nolint:bodyclose // its body is the connection
	if err != nil {
		return fmt.Errorf("read the proxy's answer: %w", err)
	}
	if err := connected(via, resp); err != nil {
		return err
	}
	if r.Buffered() > 0 {
		return fmt.Errorf("the proxy %s says more than that it has connected", via.Host)
	}
	return nil
}

// connected returns nil when a proxy has connected, a *proxyError when not.
func connected(via *url.URL, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{host: via.Host, status: resp.StatusCode}
}

// proxyError says that the proxy would not connect.
type proxyError struct {
	host   string
	status int
}

func (e *proxyError) Error() string {
	return fmt.Sprintf("proxy %s answered %d %s", e.host, e.status, http.StatusText(e.status))
}

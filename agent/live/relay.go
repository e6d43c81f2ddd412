package live

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"holdfast/shared/wire"
)

// relayDialer connects to TURN servers over TCP, and over TLS where their URL says so. What the library does by itself
// can't be called off, and trusts only whom the system does: behind a firewall that swallows packets, the end of a
// connection would wait for it, for two minutes.
type relayDialer struct {
	ctx     context.Context // of the connection
	roots   *x509.CertPool  // nil: the system's
	connect func(ctx context.Context, addr string) (net.Conn, error)
	secure  map[string]bool // host:port of servers that speak TLS
	spend   func(bytes int) // books what is sent beside media
}

// relayWait is how long a TURN server has to take a connection.
const relayWait = 10 * time.Second

func newRelayDialer(ctx context.Context, cfg *Config, servers []wire.ICEServer, spend func(bytes int)) *relayDialer {
	d := &relayDialer{ctx: ctx, roots: cfg.Authorities, connect: cfg.Connect, secure: map[string]bool{}, spend: spend}
	for _, s := range servers {
		for _, u := range s.URLs {
			scheme, at, _ := strings.Cut(u, ":") // RFC 7065 section 3.1
			if !strings.EqualFold(scheme, "turns") {
				continue
			}
			at, _, _ = strings.Cut(at, "?")
			host, port, err := net.SplitHostPort(at)
			if err != nil {
				host, port = strings.Trim(at, "[]"), "5349"
			}
			d.secure[net.JoinHostPort(host, port)] = true
		}
	}
	return d
}

// Dial implements golang.org/x/net/proxy.Dialer.
func (d *relayDialer) Dial(network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, relayWait)
	defer cancel()
	conn, err := d.reach(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if d.secure[addr] {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		over := tls.Client(conn, &tls.Config{RootCAs: d.roots, ServerName: host, MinVersion: tls.VersionTLS12})
		d.spend(tlsHello)
		if err := over.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		conn = over
	}
	return booked{conn, d.spend}, nil
}

// reach makes the connection under what is spoken: the site's way to the cloud first, and when that does not lead there, as
// with a proxy that connects to port 443 only, directly.
func (d *relayDialer) reach(ctx context.Context, network, addr string) (net.Conn, error) {
	var refused error
	if d.connect != nil {
		conn, err := d.connect(ctx, addr)
		if err == nil {
			return conn, nil
		}
		refused = err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, errors.Join(refused, err)
	}
	return conn, nil
}

const (
	tlsHello = 2000 // bytes, about, of this end's part of a TLS handshake
	tcpHeads = 20 + 20 + 29
)

// booked books the STUN messages to a TURN server (RFC 8489 section 5); what carries media is booked where that is.
type booked struct {
	net.Conn
	spend func(bytes int)
}

// Write implements net.Conn.
func (b booked) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0] < 0x40 {
		b.spend(len(p) + tcpHeads)
	}
	return b.Conn.Write(p)
}

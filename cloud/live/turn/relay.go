package turn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

// errNoTCP refuses relays that would connect to third parties (RFC 6062).
var errNoTCP = errors.New("relays carry UDP only")

// relays makes the relays of a server.
type relays struct{ server *Server }

// Validate implements turn.RelayAddressGenerator.
func (relays) Validate() error { return nil }

// AllocateListener implements turn.RelayAddressGenerator.
func (relays) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, errNoTCP
}

// AllocateConn implements turn.RelayAddressGenerator.
func (relays) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) { return nil, errNoTCP }

// AllocatePacketConn makes a relay on a free port of the range.
func (g relays) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	s := g.server
	if ipv6 := c.Network == "udp6"; ipv6 == s.cfg.Address.Unmap().Is4() {
		return nil, nil, fmt.Errorf("there are no relays of %s here", c.Network)
	}
	r := &relay{server: s}
	if err := s.admit(c.UserID, r); err != nil {
		return nil, nil, err
	}
	first, n := int(s.cfg.Ports[0]), int(s.cfg.Ports[1])-int(s.cfg.Ports[0])+1
	begin := rand.IntN(n)
	for i := range n {
		port := first + (begin+i)%n
		conn, err := new(net.ListenConfig).ListenPacket(context.Background(), c.Network, ":"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		if !r.open(conn) {
			return nil, nil, errors.Join(errOver, conn.Close())
		}
		return r, &net.UDPAddr{IP: s.cfg.Address.Unmap().AsSlice(), Port: port}, nil
	}
	_ = r.Close()
	return nil, nil, fmt.Errorf("no port of %d to %d is free", s.cfg.Ports[0], s.cfg.Ports[1])
}

var (
	errOver = errors.New("the credentials have ended")
	errFull = errors.New("there are too many relays")
)

// admit books a relay for credentials.
func (s *Server) admit(name string, r *relay) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[name]
	switch {
	case g == nil:
		return errOver
	case len(g.relays) >= s.cfg.PerUser || s.relays >= s.cfg.Most:
		return errFull
	}
	r.grant = g
	g.relays[r] = true
	s.relays++
	return nil
}

// relay is the public end of an allocation.
type relay struct {
	server *Server
	grant  *grant

	net.PacketConn // nil until it has its port

	mu     sync.Mutex
	closed bool
}

// open gives the relay its port; false when it has been closed meanwhile.
func (r *relay) open(conn net.PacketConn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.PacketConn = conn
	return !r.closed
}

// Close ends the relay; a second call does nothing.
func (r *relay) Close() error {
	r.mu.Lock()
	conn, closed := r.PacketConn, r.closed
	r.closed = true
	r.mu.Unlock()
	if closed {
		return nil
	}
	r.server.mu.Lock()
	delete(r.grant.relays, r)
	r.server.relays--
	r.server.mu.Unlock()
	if conn == nil {
		return nil
	}
	return conn.Close()
}

// WriteTo sends a packet to a peer. One that may not be reached gets nothing, as if the network had lost it.
func (r *relay) WriteTo(p []byte, to net.Addr) (int, error) {
	if u, ok := to.(*net.UDPAddr); !ok || !r.server.mayReach(u.AddrPort()) {
		return len(p), nil
	}
	return r.PacketConn.WriteTo(p, to)
}

// mayName says whether a client may ask for a permission for a peer's address.
func (s *Server) mayName(_ net.Addr, ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && (a.Unmap() == s.cfg.Address.Unmap() || s.outside(a))
}

// mayReach says whether a relay may send to an address and port. Of this machine these are other relays alone, and the
// relay for many viewers.
func (s *Server) mayReach(to netip.AddrPort) bool {
	if to.Addr().Unmap() == s.cfg.Address.Unmap() {
		return to.Port() >= s.cfg.Ports[0] && to.Port() <= s.cfg.Ports[1] || s.cfg.Media != 0 && int(to.Port()) == s.cfg.Media
	}
	return to.Port() > 0 && s.outside(to.Addr())
}

// outside says whether an address is one of the Internet, or of a network that the operator has allowed.
func (s *Server) outside(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range s.cfg.Allow {
		if p.Contains(a) {
			return true
		}
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range inner() {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// inner are networks that are not the Internet, or lead into other ones (RFC 6890, RFC 6598, RFC 6052, RFC 3056, RFC 4380),
// beside those that net/netip knows.
func inner() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
		netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
		netip.MustParsePrefix("::/96"), netip.MustParsePrefix("fec0::/10"),
	}
}

// chatter passes the warnings of the TURN library on to the log, for those who look for a fault.
func chatter(log *slog.Logger) logging.LoggerFactory {
	return &logging.DefaultLoggerFactory{
		Writer: slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer(), DefaultLogLevel: logging.LogLevelWarn,
	}
}

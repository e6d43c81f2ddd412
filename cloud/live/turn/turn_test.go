package turn

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/turn/v5"
	"go.uber.org/goleak"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server on loopback until the test ends.
func serve(t *testing.T, cfg Config) *Server {
	t.Helper()
	cfg.Listen, cfg.Address = "127.0.0.1:0", netip.MustParseAddr("127.0.0.1")
	if cfg.Ports == [2]uint16{} {
		cfg.Ports = [2]uint16{52000, 52200}
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// mint returns credentials for holder.
func mint(t *testing.T, s *Server, holder string) wire.ICEServer {
	t.Helper()
	for _, i := range s.Mint(holder) {
		if i.Username != "" {
			return i
		}
	}
	t.Fatal("no credentials among the servers")
	return wire.ICEServer{}
}

// client connects to the server by way of conn.
func client(t *testing.T, conn net.PacketConn, server, name, password string) *turn.Client {
	t.Helper()
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server, TURNServerAddr: server, Conn: conn, Username: name, Password: password, Realm: realm,
		RTO: 100 * time.Millisecond, LoggerFactory: chatter(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		_ = conn.Close()
	})
	return c
}

func overUDP(t *testing.T, s *Server, name, password string) *turn.Client {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return client(t, conn, s.packet.LocalAddr().String(), name, password)
}

func overTCP(t *testing.T, conn net.Conn, err error, server string, by wire.ICEServer) *turn.Client {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return client(t, turn.NewSTUNConn(conn), server, by.Username, by.Credential)
}

// carries proves that packets pass between two relays, both ways.
func carries(t *testing.T, a, b net.PacketConn) {
	t.Helper()
	buf := make([]byte, 100)
	for range 2 {
		// Each end permits the other by sending to it; what came before is refused.
		for i := 0; ; i++ {
			if _, err := a.WriteTo([]byte("hello"), b.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			_ = b.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, from, err := b.ReadFrom(buf)
			if err == nil && string(buf[:n]) == "hello" && from.String() == a.LocalAddr().String() {
				break
			}
			if i == 20 {
				t.Fatalf("nothing comes from %v: %v", a.LocalAddr(), err)
			}
			if _, err := b.WriteTo([]byte("opened"), a.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		a, b = b, a
		_ = b.SetReadDeadline(time.Now().Add(time.Millisecond))
		for {
			if _, _, err := b.ReadFrom(buf); err != nil {
				break
			}
		}
	}
}

func relayOf(t *testing.T, c *turn.Client) net.PacketConn {
	t.Helper()
	conn, err := c.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestEveryWayIn relays from UDP to TCP, and from TLS on the port of the portal to UDP, where HTTP goes on as ever.
func TestEveryWayIn(t *testing.T) {
	s := serve(t, Config{Secure: 443})
	by := mint(t, s, "per-1")
	if n := len(by.URLs); n != 3 || !strings.HasPrefix(by.URLs[2], "turns:127.0.0.1:443") {
		t.Errorf("the ways in are %v", by.URLs)
	}
	udp := relayOf(t, overUDP(t, s, by.Username, by.Credential))
	at := s.stream.Addr().String()
	conn, err := net.Dial("tcp", at)
	carries(t, udp, relayOf(t, overTCP(t, conn, err, at, by)))

	secure, roots := share(t, s)
	conn, err = tls.Dial("tcp", secure, &tls.Config{RootCAs: roots, ServerName: "example.com"})
	carries(t, udp, relayOf(t, overTCP(t, conn, err, secure, by)))
	for _, h2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, ForceAttemptHTTP2: h2}
		resp, err := (&http.Client{Transport: tr}).Get("https://" + secure)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || string(body) != "portal" || (resp.ProtoMajor == 2) != h2 {
			t.Errorf("HTTP beside TURN: %q by %s, %v", body, resp.Proto, err)
		}
		tr.CloseIdleConnections()
	}
}

// TestStrangersGetNoRelay refuses who has no credentials, wrong ones, and ones whose time is over.
func TestStrangersGetNoRelay(t *testing.T) {
	s := serve(t, Config{})
	by, late := mint(t, s, "per-1"), mint(t, s, "per-1")
	s.mu.Lock()
	s.grants[late.Username].expires = time.Now().Add(-time.Second)
	s.mu.Unlock()
	for what, c := range map[string][2]string{
		"nobody": {"", ""}, "unknown": {"nobody", by.Credential}, "wrong password": {by.Username, late.Credential}, "late": {late.Username, late.Credential},
	} {
		if _, err := overUDP(t, s, c[0], c[1]).Allocate(); err == nil {
			t.Errorf("%s: got a relay", what)
		}
	}
	if s.Bind(late.Username, "per-1", id.New[id.Session]()) {
		t.Error("credentials whose time is over were bound")
	}
	if n := s.Relays(); n != 0 {
		t.Errorf("%d relays are open", n)
	}
	if addr, err := overUDP(t, s, "", "").SendBindingRequest(); err != nil || !strings.HasPrefix(addr.String(), "127.0.0.1:") {
		t.Errorf("STUN, which is for everyone, answers %v, %v", addr, err)
	}
}

// TestNoWayInside: a relay reaches neither the networks behind the cloud nor the cloud's own ports.
func TestNoWayInside(t *testing.T) {
	s := serve(t, Config{Allow: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}})
	for _, a := range []string{
		"0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.2", "169.254.169.254", "172.16.0.1", "192.168.0.1", "192.0.0.8", "198.18.0.1", "224.0.0.1",
		"255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.2", "::10.0.0.1", "fe80::1", "fc00::1", "64:ff9b::a00:1", "2002:a00:1::1", "2001::1", "ff02::1",
	} {
		if addr := netip.MustParseAddr(a); s.mayName(nil, addr.AsSlice()) || s.mayReach(netip.AddrPortFrom(addr, 40_000)) {
			t.Errorf("a relay may reach %s", a)
		}
	}
	for _, a := range []string{"192.0.2.1", "8.8.8.8", "2a00::1", "10.9.1.1"} {
		if addr := netip.MustParseAddr(a); !s.mayName(nil, addr.AsSlice()) || !s.mayReach(netip.AddrPortFrom(addr, 40_000)) {
			t.Errorf("a relay may not reach %s", a)
		}
	}
	by := mint(t, s, "per-1")
	c := overUDP(t, s, by.Username, by.Credential)
	relay := relayOf(t, c)
	if err := c.CreatePermission(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}); err == nil {
		t.Error("a permission for a private address was given")
	}
	own, err := net.ListenPacket("udp4", "127.0.0.1:0") // a service of this machine
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = own.Close() }()
	if _, err := relay.WriteTo([]byte("hello"), own.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	_ = own.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, _, err := own.ReadFrom(make([]byte, 10)); err == nil {
		t.Error("a relay reached a port of the machine that is no relay")
	}
}

// TestARelayLivesAsLongAsItsSession: it outlives its credentials' time, gets no younger brother, and ends with the session.
func TestARelayLivesAsLongAsItsSession(t *testing.T) {
	s := serve(t, Config{})
	session := id.New[id.Session]()
	by := mint(t, s, "per-1")
	if s.Bind(by.Username, "per-2", session) {
		t.Error("another's credentials were bound")
	}
	for range 2 {
		if !s.Bind(by.Username, "per-1", session) {
			t.Error("credentials were not bound, or not again to the same session")
		}
	}
	if s.Bind(by.Username, "per-1", id.New[id.Session]()) {
		t.Error("credentials were bound to a second session")
	}
	c, other := overUDP(t, s, by.Username, by.Credential), mint(t, s, "per-3")
	relay, far := relayOf(t, c), relayOf(t, overUDP(t, s, other.Username, other.Credential))
	s.mu.Lock()
	s.grants[by.Username].expires = time.Now().Add(-time.Hour)
	s.mu.Unlock()
	s.sweep(time.Now())
	if err := c.CreatePermission(far.LocalAddr()); err != nil {
		t.Errorf("a permission in an open session: %v", err)
	}
	carries(t, relay, far)
	if _, err := overUDP(t, s, by.Username, by.Credential).Allocate(); err == nil {
		t.Error("credentials whose time is over got another relay")
	}
	s.End(session)
	if n := s.Relays(); n != 1 {
		t.Errorf("%d relays are open after the session's end, want the other's", n)
	}
	if err := c.CreatePermission(far.LocalAddr()); err == nil {
		t.Error("a relay was of use after its session's end")
	}
	s.sweep(time.Now().Add(time.Hour))
	if n := s.Relays(); n != 0 {
		t.Errorf("%d relays of credentials that no session took are open", n)
	}
}

// TestBounds: neither one holder nor all together take more relays than they may.
func TestBounds(t *testing.T) {
	s := serve(t, Config{PerUser: 2, Most: 3})
	a, b := mint(t, s, "per-1"), mint(t, s, "per-2")
	for range 2 {
		relayOf(t, overUDP(t, s, a.Username, a.Credential))
	}
	if _, err := overUDP(t, s, a.Username, a.Credential).Allocate(); err == nil {
		t.Error("a third relay of two")
	}
	c := overUDP(t, s, b.Username, b.Credential)
	relay := relayOf(t, c)
	if _, err := overUDP(t, s, b.Username, b.Credential).Allocate(); err == nil {
		t.Error("a fourth relay of three")
	}
	if err := relay.Close(); err != nil {
		t.Fatal(err)
	}
	for n := s.Relays(); n != 2; n = s.Relays() {
		if t.Context().Err() != nil {
			t.Fatalf("%d relays are open after one was closed", n)
		}
	}
}

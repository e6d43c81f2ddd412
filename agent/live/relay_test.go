package live

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"

	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/ownnet"
)

// TestASilentRelayIsNotWaitedFor has a firewall swallow what goes to a TURN server: it costs a viewer no time, and the
// agent none when the connection is closed.
func TestASilentRelayIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	if !ownnet.In(t) {
		return
	}
	swallow, _ := ownnet.Swallow(t, "tcp dport 3478")
	swallow()
	s := newStage(t, Config{})
	w := s.wish()
	w.ICE = []wire.ICEServer{{URLs: []string{"turn:127.0.0.1:3478?transport=tcp"}, Username: "viewer", Credential: "secret"}}
	v := watch(t, s.room, w)
	v.seen(1)
	begun := time.Now()
	s.room.Close(v.session)
	eventually.True(t, "the connection to end", func() bool { return len(s.room.Open()) == 0 })
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the connection ended %v after it was closed", took)
	}
}

// serveTLS is a TURN server over TLS that calls itself by a name; it returns where it listens, and whom to trust.
func serveTLS(t *testing.T, name string) (addr string, roots *x509.CertPool) {
	t.Helper()
	ca, err := fakecam.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(time.Now().Add(time.Hour), name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "holdfast", LoggerFactory: logging.NewDefaultLoggerFactory(),
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			return a.Username, turn.GenerateAuthKey("viewer", "holdfast", "secret"), a.Username == "viewer"
		},
		ListenerConfigs: []turn.ListenerConfig{{Listener: l, RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
			RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1",
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	return l.Addr().String(), roots
}

// offersRelay says whether a site that is configured so offers a viewer a relay of the TURN server that is named.
func offersRelay(t *testing.T, cfg Config, server string) bool {
	t.Helper()
	s := newStage(t, cfg)
	w := s.wish()
	w.ICE = []wire.ICEServer{{URLs: []string{"turns:" + server + "?transport=tcp"}, Username: "viewer", Credential: "secret"}}
	v := watch(t, s.room, w)
	v.seen(1)
	defer v.close()
	return strings.Contains(v.answer.SDP, "typ relay")
}

// TestARelayOverTLS has the TURN server show a certificate of an authority that the agent is told of.
func TestARelayOverTLS(t *testing.T) {
	t.Parallel()
	addr, roots := serveTLS(t, "127.0.0.1")
	if !offersRelay(t, Config{Authorities: roots}, addr) {
		t.Error("the answer offers no relay")
	}
	if offersRelay(t, Config{}, addr) {
		t.Error("the answer offers a relay that nobody vouches for")
	}
}

// TestARelayBehindAProxy has a TURN server whose name only the site's proxy can look up, and a proxy that refuses.
func TestARelayBehindAProxy(t *testing.T) {
	t.Parallel()
	addr, roots := serveTLS(t, "turn.invalid")
	through := Config{Authorities: roots, Connect: func(ctx context.Context, asked string) (net.Conn, error) {
		if asked != "turn.invalid:443" {
			t.Errorf("the proxy is asked for %s", asked)
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}}
	if !offersRelay(t, through, "turn.invalid:443") {
		t.Error("the answer offers no relay, though the proxy leads to it")
	}
	addr, roots = serveTLS(t, "127.0.0.1")
	refusing := Config{Authorities: roots, Connect: func(context.Context, string) (net.Conn, error) {
		return nil, errors.New("proxy answered 403 Forbidden")
	}}
	if !offersRelay(t, refusing, addr) {
		t.Error("the answer offers no relay, though it can be reached without the proxy")
	}
}

func TestWhichServersSpeakTLS(t *testing.T) {
	d := newRelayDialer(t.Context(), &Config{}, []wire.ICEServer{
		{URLs: []string{"stun:a:1", "turn:b:2?transport=tcp", "turns:c:3?transport=tcp", "TURNS:d"}},
		{URLs: []string{"turns:[2001:db8::1]:443", "turns:[2001:db8::2]"}},
	}, nil)
	for _, addr := range []string{"c:3", "d:5349", "[2001:db8::1]:443", "[2001:db8::2]:5349"} {
		if !d.secure[addr] {
			t.Errorf("%s is not known to speak TLS", addr)
		}
	}
	if len(d.secure) != 4 {
		t.Errorf("these speak TLS: %v, want four", d.secure)
	}
}

package live

import (
	"crypto/tls"
	"crypto/x509"
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

// TestARelayOverTLS has the TURN server show a certificate of an authority that the agent is told of.
func TestARelayOverTLS(t *testing.T) {
	t.Parallel()
	ca, err := fakecam.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(time.Now().Add(time.Hour), "127.0.0.1")
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
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	for _, told := range []bool{true, false} {
		cfg := Config{}
		if told {
			cfg.Authorities = roots
		}
		s := newStage(t, cfg)
		w := s.wish()
		w.ICE = []wire.ICEServer{{URLs: []string{"turns:" + l.Addr().String() + "?transport=tcp"}, Username: "viewer", Credential: "secret"}}
		v := watch(t, s.room, w)
		v.seen(1)
		if relayed := strings.Contains(v.answer.SDP, "typ relay"); relayed != told {
			t.Errorf("the answer offers a relay: %v, want %v\n%s", relayed, told, v.answer.SDP)
		}
		v.close()
	}
}

func TestWhichServersSpeakTLS(t *testing.T) {
	d := newRelayDialer(t.Context(), nil, []wire.ICEServer{
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

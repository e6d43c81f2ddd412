//go:build linux

package nat

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"

	"holdfast/testenv/fakecam"
)

// serveTURN puts a STUN and TURN server on the Internet beside the cloud: UDP and TCP on 3478, TLS on 443. It puts the
// authority of its certificate into a folder and returns the arguments that tell the cloud of it.
func serveTURN(t *testing.T, i *Internet, authorities string) []string {
	t.Helper()
	ca, err := fakecam.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(time.Now().Add(time.Hour), OtherAddr)
	if err == nil {
		err = os.WriteFile(filepath.Join(authorities, "turn.pem"), ca.PEM, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	const user, password, realm = "viewer", "secret", "nat"
	relays := relays{&turn.RelayAddressGeneratorStatic{RelayAddress: net.ParseIP(OtherAddr), Address: OtherAddr}, i.Cloud}
	var server *turn.Server
	err = i.Cloud.Do(func() error {
		udp, err := net.ListenPacket("udp4", OtherAddr+":3478")
		if err != nil {
			return err
		}
		tcp, err := net.Listen("tcp4", OtherAddr+":3478")
		if err != nil {
			return err
		}
		secure, err := tls.Listen("tcp4", OtherAddr+":443", &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12})
		if err != nil {
			return err
		}
		server, err = turn.NewServer(turn.ServerConfig{
			Realm: realm, LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled, Writer: io.Discard},
			AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
				return a.Username, turn.GenerateAuthKey(user, realm, password), a.Username == user
			},
			PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: udp, RelayAddressGenerator: relays}},
			ListenerConfigs: []turn.ListenerConfig{
				{Listener: tcp, RelayAddressGenerator: relays}, {Listener: secure, RelayAddressGenerator: relays},
			},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	turnAt := user + ":" + password + "@" + OtherAddr
	return []string{
		"--ice-server", "stun:" + OtherAddr + ":3478",
		"--ice-server", "turn:" + turnAt + ":3478", "--ice-server", "turn:" + turnAt + ":3478?transport=tcp",
		"--ice-server", "turns:" + turnAt + ":443?transport=tcp",
	}
}

// relays opens the relays of a server on its machine.
type relays struct {
	*turn.RelayAddressGeneratorStatic
	at *Namespace
}

// AllocatePacketConn implements turn.RelayAddressGenerator.
func (r relays) AllocatePacketConn(cfg turn.AllocateListenerConfig) (conn net.PacketConn, addr net.Addr, err error) {
	err = r.at.Do(func() error {
		conn, addr, err = r.RelayAddressGeneratorStatic.AllocatePacketConn(cfg)
		return err
	})
	return conn, addr, err
}

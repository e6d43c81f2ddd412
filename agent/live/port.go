package live

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
	"golang.org/x/net/netutil"
)

// port is the one port of all sessions, for UDP and, where a network lets nothing else pass, for TCP that viewers open
// (RFC 6544). It offers the addresses that the machine has at the moment of asking: networks come and go while the agent
// runs, and at boot it may be earlier than they are.
type port struct {
	ice.UDPMux
	tcp      ice.TCPMux // nil when another program has the port
	conn     net.PacketConn
	loopback bool
}

const (
	// tcpMost bounds the TCP connections: recording needs its files, whoever knocks at this port.
	tcpMost = 128
	// tcpPackets is how many packets wait on a TCP connection to be read.
	tcpPackets = 64
)

// openPort opens the port that is configured, or one that is free for both.
func openPort(cfg Config, log logging.LeveledLogger) (*port, error) {
	for tries := 0; ; tries++ {
		var lc net.ListenConfig
		conn, err := lc.ListenPacket(context.Background(), "udp", fmt.Sprintf(":%d", cfg.Port))
		if err != nil {
			return nil, fmt.Errorf("open UDP port for live view: %w (is another program using live.port?)", err)
		}
		p := &port{UDPMux: webrtc.NewICEUDPMux(log, conn), conn: conn, loopback: cfg.Loopback}
		at, _ := conn.LocalAddr().(*net.UDPAddr)
		tcp, err := lc.Listen(context.Background(), "tcp", fmt.Sprintf(":%d", at.Port))
		switch {
		case err == nil:
			p.tcp = webrtc.NewICETCPMux(log, netutil.LimitListener(tcp, tcpMost), tcpPackets)
			return p, nil
		case cfg.Port != 0 || tries == 10:
			log.Warnf("live view goes on without TCP: %v", err)
			return p, nil
		}
		if err := p.Close(); err != nil {
			return nil, fmt.Errorf("close UDP port: %w", err)
		}
	}
}

// Close frees the port.
func (p *port) Close() error {
	err := p.UDPMux.Close()
	if p.tcp != nil {
		err = errors.Join(err, p.tcp.Close())
	}
	return err
}

// GetListenAddresses implements ice.UDPMux.
func (p *port) GetListenAddresses() []net.Addr {
	local, ok := p.conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil // the viewer is told that there is no path
	}
	var real, virtual []net.Addr
	for _, i := range interfaces {
		loop := i.Flags&net.FlagLoopback != 0
		addrs, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 || (loop && !p.loopback) {
			continue
		}
		for _, a := range addrs {
			ip := addressOf(a)
			switch {
			case !loop && !ip.IsGlobalUnicast(), local.IP.To4() != nil && ip.To4() == nil:
			case madeUp(i.Name):
				virtual = append(virtual, &net.UDPAddr{IP: ip, Port: local.Port})
			default:
				real = append(real, &net.UDPAddr{IP: ip, Port: local.Port})
			}
		}
	}
	if len(real) == 0 {
		return virtual
	}
	return real
}

func addressOf(a net.Addr) net.IP {
	if n, ok := a.(*net.IPNet); ok {
		return n.IP
	}
	return nil
}

// madeUp says whether an interface leads only to containers and virtual machines on this host, going by its name.
func madeUp(name string) bool {
	if id, ok := strings.CutPrefix(name, "br-"); ok { // Docker's; others call real bridges br-lan
		_, err := hex.DecodeString(id)
		return err == nil && len(id) == 12
	}
	for _, prefix := range []string{
		"docker", "veth", "virbr", "vmnet", "vboxnet", "cni", "flannel", "cali", "vEthernet (Default Switch", "vEthernet (WSL",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// resendPackets is how many packets of a stream are kept to be sent again: a burst of some megabytes fits.
const resendPackets = 4096

// newAPI returns what makes the connection of one session. All that it sends goes by the toll.
func newAPI(cfg Config, p *port, toll *toll, relays *relayDialer, loggers logging.LoggerFactory) (*webrtc.API, error) {
	engine := &webrtc.MediaEngine{}
	if err := registerCodecs(engine); err != nil {
		return nil, fmt.Errorf("register codecs: %w", err)
	}
	registry := &interceptor.Registry{}
	registry.Add(toll) // the first one is the last that a packet passes
	resend, err := nack.NewResponderInterceptor(nack.ResponderSize(resendPackets))
	if err == nil {
		registry.Add(resend)
		err = webrtc.ConfigureRTCPReports(registry)
	}
	if err != nil {
		return nil, fmt.Errorf("register interceptors: %w", err)
	}
	settings := webrtc.SettingEngine{LoggerFactory: loggers}
	settings.SetICEUDPMux(p)
	if p.tcp != nil {
		settings.SetICETCPMux(p.tcp)
		settings.SetNetworkTypes([]webrtc.NetworkType{
			webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6,
		})
	}
	settings.SetIncludeLoopbackCandidate(cfg.Loopback)
	// Browsers hide their address behind a name that only multicast DNS knows. It is not needed: their own checks
	// show where they are.
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	// An offer must not make the agent open TCP connections inside the site.
	settings.DisableActiveTCP(true)
	settings.SetICETimeouts(7*time.Second, 25*time.Second, 2*time.Second)
	settings.SetICEProxyDialer(relays)
	settings.SetSTUNGatherTimeout(2 * time.Second)
	return webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry),
		webrtc.WithSettingEngine(settings)), nil
}

// chatter passes the warnings of the WebRTC library on to the log, for those who look for a fault: to a person they are
// never news by themselves.
func chatter(log *slog.Logger) logging.LoggerFactory {
	return &logging.DefaultLoggerFactory{
		Writer: slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer(), DefaultLogLevel: logging.LogLevelWarn,
	}
}

package rtc

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"golang.org/x/net/netutil"
)

// Port is the one port of all connections of a program, for UDP and, where a network lets nothing else pass, for TCP that
// the far end opens (RFC 6544).
type Port struct {
	ice.UDPMux
	tcp  ice.TCPMux // nil when another program has the port
	conn net.PacketConn
	cfg  PortConfig

	mu    sync.Mutex
	reads map[reading]bool
}

// reading is what one address of this machine reads for all others: what comes in for a connection by one family of addresses.
type reading struct {
	ufrag string
	ipv6  bool
}

// PortConfig says where a port is.
type PortConfig struct {
	Port     int  // 0 takes any that is free for both
	Loopback bool // offer loopback addresses, for a browser on the same machine
	// Address is by which the world reaches this machine. Without one the port offers those that the machine has at the
	// moment of asking: networks come and go while a program runs, and at boot it may be earlier than they are.
	Address netip.Addr
	TCPMost int // TCP connections at once; 0 means 128
	// Sent is told of packets beside RTP and RTCP that go out by UDP: checks, handshakes, words. It may be nil, must not
	// block, and is called by many at once.
	Sent func(bytes int, to net.Addr)
}

const (
	// tcpMost bounds the TCP connections where nothing else is said: a program needs its files, whoever knocks at this port.
	tcpMost = 128
	// tcpPackets is how many packets wait on a TCP connection to be read.
	tcpPackets = 64
)

// OpenPort opens the port that is configured, or one that is free for both. Without TCP it goes on with UDP alone.
func OpenPort(cfg PortConfig, log *slog.Logger) (*Port, error) {
	inner := chatter(log).NewLogger("port")
	for tries := 0; ; tries++ {
		var lc net.ListenConfig
		conn, err := lc.ListenPacket(context.Background(), "udp", fmt.Sprintf(":%d", cfg.Port))
		if err != nil {
			return nil, fmt.Errorf("open UDP port for live view: %w (is another program using the port?)", err)
		}
		if cfg.Sent != nil {
			conn = counted{conn, cfg.Sent}
		}
		p := &Port{UDPMux: webrtc.NewICEUDPMux(inner, conn), conn: conn, cfg: cfg, reads: map[reading]bool{}}
		at, _ := conn.LocalAddr().(*net.UDPAddr)
		tcp, err := lc.Listen(context.Background(), "tcp", fmt.Sprintf(":%d", at.Port))
		switch {
		case err == nil:
			p.tcp = webrtc.NewICETCPMux(inner, netutil.LimitListener(tcp, cmp.Or(cfg.TCPMost, tcpMost)), tcpPackets)
			return p, nil
		case cfg.Port != 0 || tries == 10:
			log.Warn("live view goes on without TCP", "error", err)
			return p, nil
		}
		if err := p.Close(); err != nil {
			return nil, fmt.Errorf("close UDP port: %w", err)
		}
	}
}

// counted tells of what is sent beside media.
type counted struct {
	net.PacketConn
	sent func(bytes int, to net.Addr)
}

// WriteTo implements net.PacketConn.
func (c counted) WriteTo(p []byte, to net.Addr) (int, error) {
	n, err := c.PacketConn.WriteTo(p, to)
	if n > 0 && (p[0] < 128 || p[0] > 191) { // RFC 7983 section 7
		c.sent(n, to)
	}
	return n, err
}

// Close frees the port.
func (p *Port) Close() error {
	err := p.UDPMux.Close()
	if p.tcp != nil {
		err = errors.Join(err, p.tcp.Close())
	}
	return err
}

// GetConn implements ice.UDPMux. The port is one socket, which does not say at which of the machine's addresses a packet has
// arrived, so the first address of each family that a connection asks for reads all. Were each to read, chance would decide
// which of them a check and its answer are for, and a path be found only when both fall to the same.
func (p *Port) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	conn, err := p.UDPMux.GetConn(ufrag, addr)
	if err != nil {
		return nil, err
	}
	at, _ := addr.(*net.UDPAddr)
	p.mu.Lock()
	defer p.mu.Unlock()
	key := reading{ufrag, at != nil && at.IP.To4() == nil}
	if p.reads[key] {
		return &deaf{PacketConn: conn, over: make(chan struct{})}, nil
	}
	p.reads[key] = true
	return conn, nil
}

// RemoveConnByUfrag implements ice.UDPMux.
func (p *Port) RemoveConnByUfrag(ufrag string) {
	p.mu.Lock()
	delete(p.reads, reading{ufrag, false})
	delete(p.reads, reading{ufrag, true})
	p.mu.Unlock()
	p.UDPMux.RemoveConnByUfrag(ufrag)
}

// deaf is an address that packets go out from and that reads none.
type deaf struct {
	net.PacketConn
	once sync.Once
	over chan struct{}
}

// ReadFrom blocks until the address is given up.
func (d *deaf) ReadFrom([]byte) (int, net.Addr, error) {
	<-d.over
	return 0, nil, net.ErrClosed
}

// SetDeadline ends what waits: the library sets one only where it gives an address up.
func (d *deaf) SetDeadline(t time.Time) error {
	if !t.IsZero() {
		d.end()
	}
	return d.PacketConn.SetDeadline(t)
}

// Close implements net.PacketConn.
func (d *deaf) Close() error {
	d.end()
	return d.PacketConn.Close()
}

func (d *deaf) end() { d.once.Do(func() { close(d.over) }) }

// Number returns the port.
func (p *Port) Number() int {
	at, _ := p.conn.LocalAddr().(*net.UDPAddr)
	return at.Port
}

// GetListenAddresses implements ice.UDPMux.
func (p *Port) GetListenAddresses() []net.Addr {
	local, ok := p.conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil
	}
	if p.cfg.Address.IsValid() {
		return []net.Addr{&net.UDPAddr{IP: p.cfg.Address.Unmap().AsSlice(), Port: local.Port}}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil // the viewer is told that there is no path
	}
	var real, virtual []net.Addr
	for _, i := range interfaces {
		loop := i.Flags&net.FlagLoopback != 0
		addrs, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 || (loop && !p.cfg.Loopback) {
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

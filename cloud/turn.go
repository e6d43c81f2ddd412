package cloud

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"holdfast/cloud/live/relay"
	"holdfast/cloud/live/turn"
)

// Turn is what the command line says of the cloud's own STUN and TURN server.
type Turn struct {
	// Listen is host:port for UDP and TCP; "off" for no server. Empty: port 3478 of every address, when the cloud itself
	// listens beyond this machine and it is known how the world reaches it.
	Listen  string
	Address string    // IP address, or a name to look up, by which the world reaches the relays; empty: PublicURL's host
	Ports   [2]uint16 // of relays; zero: the server's default
	Allow   []netip.Prefix
	// Relay is the UDP and TCP port of the relay for many viewers; "off" for none. Empty: port 3479, where there is a server.
	Relay string
}

// defaultRelay is the port of the relay for many viewers, next to TURN's.
const defaultRelay = "3479"

// defaultTurn is the port that RFC 8656 gives to TURN.
const defaultTurn = ":3478"

// openTurn opens the server's ports. Without being asked for it does so only where it can be of use.
func (h *house) openTurn(ctx context.Context, l net.Listener) error {
	cfg := h.cfg.Turn
	at, _ := l.Addr().(*net.TCPAddr)
	asked := cfg.Listen != ""
	if cfg.Listen == "off" || !asked && (at == nil || at.IP.IsLoopback()) {
		h.relayHere(at, asked)
		return nil
	}
	name := cfg.Address
	if name == "" {
		if u, err := url.Parse(h.cfg.PublicURL); err == nil {
			name = u.Hostname()
		}
	}
	if name == "" && !asked {
		h.log.Warn("live view has no relay, so viewers behind some firewalls see nothing: give --public-url or --turn-address, or --turn off if that is meant")
		return nil
	}
	address, err := addressOf(ctx, name)
	if err != nil && !asked {
		h.log.Warn("live view has no relay, so viewers behind some firewalls see nothing", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	if err := h.planRelay(address); err != nil {
		return err
	}
	conf := turn.Config{
		Listen: cmp.Or(cfg.Listen, defaultTurn), Address: address, Host: name, Ports: cfg.Ports, Allow: cfg.Allow,
	}
	if h.relay != nil {
		conf.Media = h.relay.Port
	}
	if h.certificate != nil && at != nil {
		conf.Secure = at.Port
	}
	if err := conf.Validate(); err != nil {
		return err
	}
	if h.turn, err = turn.New(ctx, conf, h.log.With("room", "turn")); err != nil {
		return err
	}
	h.log.Info("live view has a relay", "listen", conf.Listen, "address", address, "tls_port", conf.Secure)
	return nil
}

// relayHere plans a relay for many viewers on this machine alone, where sites and people are on it as well: for who has no
// WebRTC, since nobody else needs one there.
func (h *house) relayHere(at *net.TCPAddr, asked bool) {
	public, err := url.Parse(h.cfg.PublicURL)
	if asked || h.cfg.Turn.Relay == "off" || at == nil || err != nil {
		return
	}
	if name := public.Hostname(); name == "" || name == "localhost" || net.ParseIP(name).IsLoopback() {
		address, _ := netip.AddrFromSlice(at.IP)
		h.relay = &relay.Config{Address: address.Unmap(), Loopback: true}
	}
}

// planRelay says where the relay for many viewers is; address is how the world reaches this machine.
func (h *house) planRelay(address netip.Addr) error {
	text := cmp.Or(h.cfg.Turn.Relay, defaultRelay)
	if text == "off" {
		return nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return fmt.Errorf("--relay %q: want a port, 1 to 65535, or off", text)
	}
	h.relay = &relay.Config{Port: int(port), Address: address}
	return nil
}

// addressOf reads or looks up an address; of several it prefers IPv4, which every line has.
func addressOf(ctx context.Context, name string) (netip.Addr, error) {
	if name == "" {
		return netip.Addr{}, fmt.Errorf("the relay's address is not known: give --turn-address, the address by which browsers and sites reach this machine")
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil || len(all) == 0 {
		return netip.Addr{}, fmt.Errorf("look up the relay's address: %w (give --turn-address, the address by which browsers and sites reach this machine)", err)
	}
	for _, a := range all {
		if a.Unmap().Is4() {
			return a.Unmap(), nil
		}
	}
	return all[0], nil
}

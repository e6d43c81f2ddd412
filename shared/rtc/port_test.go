package rtc

import (
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"testing"
)

func TestPortOffersWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, loopback := range []bool{false, true} {
		p, err := OpenPort(PortConfig{Loopback: loopback}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, a := range p.GetListenAddresses() {
			ip := a.(*net.UDPAddr).IP
			found = found || ip.IsLoopback()
			if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
				t.Errorf("it offers %v", ip)
			}
		}
		if found != loopback {
			t.Errorf("with loopback %v it offers %v", loopback, p.GetListenAddresses())
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]bool{
		"eth0": false, "enp3s0": false, "br0": false, "br-lan": false, "br-3f8a1b2c4d5e": true, "docker0": true, "veth12ab": true,
		"Ethernet 2": false, "vEthernet (Extern)": false, "vEthernet (Default Switch)": true, "wlan0": false, "tailscale0": false,
	} {
		if madeUp(name) != want {
			t.Errorf("madeUp(%q) = %v", name, !want)
		}
	}
}

func TestAPortThatTheWorldReachesByOneAddress(t *testing.T) {
	t.Parallel()
	p, err := OpenPort(PortConfig{Address: netip.MustParseAddr("198.51.100.7")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if at := p.GetListenAddresses(); len(at) != 1 || at[0].String() != net.JoinHostPort("198.51.100.7", strconv.Itoa(p.Number())) {
		t.Errorf("it offers %v", at)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

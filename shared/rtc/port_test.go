package rtc

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"
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

// TestOneAddressReadsForAll: what comes in for a connection is read by the first address of a family that it asked for.
func TestOneAddressReadsForAll(t *testing.T) {
	t.Parallel()
	p, err := OpenPort(PortConfig{Loopback: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	get := func(ufrag, ip string) net.PacketConn {
		t.Helper()
		c, err := p.GetConn(ufrag, &net.UDPAddr{IP: net.ParseIP(ip), Port: p.Number()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var silent []net.PacketConn
	for _, c := range []struct {
		ufrag, ip string
		reads     bool
	}{
		{"mine", "127.0.0.1", true},
		{"mine", "192.0.2.2", false},
		{"mine", "fd00::2", true},
		{"mine", "::1", false},
		{"mine", "192.0.2.3", false},
		{"other", "192.0.2.2", true},
		{"other", "127.0.0.1", false},
	} {
		conn := get(c.ufrag, c.ip)
		if _, ok := conn.(*deaf); ok == c.reads {
			t.Errorf("%s at %s reads: %v, want %v", c.ufrag, c.ip, !ok, c.reads)
		} else if ok {
			silent = append(silent, conn)
		}
	}
	// It lets go as soon as the library gives the address up, and speaks until then.
	ended := make(chan error, len(silent))
	for _, c := range silent {
		go func() {
			_, _, err := c.ReadFrom(make([]byte, 10))
			ended <- err
		}()
	}
	if _, err := silent[0].WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p.Number()}); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		t.Errorf("it stopped waiting: %v", err)
	default:
	}
	if err := silent[0].SetDeadline(time.Now()); err != nil {
		t.Error(err)
	}
	for _, c := range silent[1:] {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	for range silent {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("it ends with %v", err)
		}
	}
	p.RemoveConnByUfrag("mine")
	if _, ok := get("mine", "192.0.2.2").(*deaf); ok {
		t.Error("behind the end of a connection nobody reads for the next one of its name")
	}
}

//go:build linux

package nat

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"holdfast/testenv/house"
	"holdfast/testenv/nat/viewer"
	"holdfast/testenv/ownnet"
)

// programs names the folder of what TestMain has built to the tests that run once more in a network of their own.
const programs = "HOLDFAST_NAT_PROGRAMS"

// TestMain builds the programs. It is the viewer's program too, which runs on another machine of the rig.
func TestMain(m *testing.M) {
	if os.Getenv(viewer.Env) != "" {
		os.Exit(viewer.Main(os.Stdout))
	}
	if os.Getenv(programs) != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "holdfast-programs-*")
	if err == nil {
		err = errors.Join(house.Build(context.Background(), dir), os.Setenv(programs, dir))
	}
	if err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir) // a temporary folder: what is left of it harms nobody
	os.Exit(code)
}

// silence is how long nothing has to come before it counts as never: a packet takes less than a millisecond here.
const silence = 300 * time.Millisecond

// socket is a UDP socket on a machine.
type socket struct {
	*testing.T
	conn *net.UDPConn
}

func bind(t *testing.T, at *Namespace, addr string) *socket {
	t.Helper()
	s := &socket{T: t}
	err := at.Do(func() (err error) {
		s.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	return s
}

func (s *socket) addr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// send sends a word. That there is no way is no error: it is then the word that is missed.
func (s *socket) send(to netip.AddrPort, word string) {
	_, _ = s.conn.WriteToUDPAddrPort([]byte(word), to)
}

// word returns who sent the next word; nobody if none comes.
func (s *socket) word() (from netip.AddrPort) {
	s.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		s.Fatal(err)
	}
	_, from, err := s.conn.ReadFromUDPAddrPort(make([]byte, 1500))
	if err != nil {
		return netip.AddrPort{}
	}
	return from
}

// words returns what comes until nothing has come for a while, and who sent each word last.
func (s *socket) words() map[string]netip.AddrPort {
	s.Helper()
	out := map[string]netip.AddrPort{}
	buf := make([]byte, 1500)
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			s.Fatal(err)
		}
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return out
		case err != nil:
			continue // a router said that there is no way
		}
		out[string(buf[:n])] = from
	}
}

// mapped returns as whom the far side of a server sees a socket, as STUN would tell (RFC 8489); nothing if no word of it
// gets through.
func mapped(s, server *socket) netip.AddrPort {
	s.Helper()
	s.send(server.addr(), "who am I")
	return server.word()
}

// TestRoutersAreWhatTheyAreCalled asks of each router which outside port the machine behind it has towards different
// destinations, and whose words come in.
func TestRoutersAreWhatTheyAreCalled(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	for _, c := range []struct {
		router    Router
		udp       bool
		public    string // the machine's address as others see it
		steady    bool   // one outside port, whoever is asked
		strangers bool   // whoever was not asked gets in
	}{
		{Open, true, "203.0.113.31", true, true},
		{PortRestricted, true, "203.0.113.30", true, false},
		{Symmetric, true, "203.0.113.30", false, false},
		{router: UDPBlocked},
		{router: Only443},
	} {
		t.Run(string(c.router), func(t *testing.T) {
			i := New(t, Open, c.router)
			machine := bind(t, i.Viewer, "0.0.0.0:40000")
			asked, port, far := bind(t, i.Cloud, CloudAddr+":3478"), bind(t, i.Cloud, CloudAddr+":3479"), bind(t, i.Cloud, OtherAddr+":3478")
			as := mapped(machine, asked)
			if as.IsValid() != c.udp || c.udp && as.Addr().String() != c.public {
				t.Fatalf("the cloud sees the machine as %v, want %q", as, c.public)
			}
			if !c.udp {
				return
			}
			port.send(as, "from another port")
			far.send(as, "from another address")
			asked.send(as, "from who was asked")
			got := machine.words()
			if _, ok := got["from who was asked"]; !ok {
				t.Error("the answer does not come in")
			}
			for _, word := range []string{"from another port", "from another address"} {
				if _, ok := got[word]; ok != c.strangers {
					t.Errorf("a word %s comes in: %v, want %v", word, ok, c.strangers)
				}
			}
			for _, other := range []*socket{port, far} {
				if to := mapped(machine, other); to.Addr().String() != c.public || (to == as) != c.steady {
					t.Errorf("towards %v the machine is %v, and %v towards %v: is one port, want that to be %v", asked.addr(), as, to, other.addr(), c.steady)
				}
			}
		})
	}
}

// TestWhichTCPPasses connects through each router to the port of HTTPS and to that of TURN, and to the other side's
// machine.
func TestWhichTCPPasses(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	for _, c := range []struct {
		router   Router
		turn, in bool
	}{
		{Open, true, true}, {PortRestricted, true, false}, {Symmetric, true, false}, {UDPBlocked, true, false}, {Only443, false, false},
	} {
		t.Run(string(c.router), func(t *testing.T) {
			i := New(t, c.router, Open)
			inside := "192.168.20.2:80"
			if c.router == Open {
				inside = "203.0.113.21:80"
			}
			for _, try := range []struct {
				from, at *Namespace
				addr     string
				want     bool
			}{
				{i.Site, i.Cloud, CloudAddr + ":443", true},
				{i.Site, i.Cloud, CloudAddr + ":3478", c.turn},
				{i.Viewer, i.Site, inside, c.in},
			} {
				if err := connect(t, try.from, try.at, try.addr); (err == nil) != try.want {
					t.Errorf("from %s to %s: %v, want that to pass: %v", try.from.name, try.addr, err, try.want)
				}
			}
		})
	}
}

// connect opens a TCP connection to a port that listens.
func connect(t *testing.T, from, at *Namespace, addr string) error {
	t.Helper()
	var l net.Listener
	if err := at.Do(func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return from.Do(func() error {
		c, err := net.DialTimeout("tcp4", addr, silence)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

// TestWhoMeetsWithoutARelay has two machines that know each other's outside address send to each other at once, as ICE does
// (RFC 8445 section 7): which pairs of routers let them meet is why a relay is needed.
func TestWhoMeetsWithoutARelay(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	for _, c := range []struct {
		site, viewer Router
		meet         bool
	}{
		{Open, Open, true},
		{Open, Symmetric, true},
		{PortRestricted, PortRestricted, true},
		{Symmetric, PortRestricted, false},
		{PortRestricted, Symmetric, false},
		{Symmetric, Symmetric, false},
	} {
		t.Run(fmt.Sprintf("%s,%s", c.site, c.viewer), func(t *testing.T) {
			i := New(t, c.site, c.viewer)
			server := bind(t, i.Cloud, CloudAddr+":3478")
			a, b := bind(t, i.Site, "0.0.0.0:40000"), bind(t, i.Viewer, "0.0.0.0:40000")
			toA, toB := mapped(a, server), mapped(b, server)
			if !toA.IsValid() || !toB.IsValid() {
				t.Fatalf("the server sees the site as %v and the viewer as %v", toA, toB)
			}
			for range 3 { // the first words open the routers for the next ones
				a.send(toB, "from the site")
				b.send(toA, "from the viewer")
			}
			atA, atB := a.words(), b.words()
			// An open side learns from the other's words where it truly is, and answers there.
			if from, ok := atA["from the viewer"]; ok {
				a.send(from, "from the site")
				atB = b.words()
			}
			_, there := atA["from the viewer"]
			_, back := atB["from the site"]
			if there != c.meet || back != c.meet {
				t.Errorf("the viewer's words reach the site: %v, the site's the viewer: %v, want %v", there, back, c.meet)
			}
		})
	}
}

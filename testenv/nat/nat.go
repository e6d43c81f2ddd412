//go:build linux

package nat

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Router is what stands between a machine and the Internet.
type Router string

// The routers. All but Open let only answers in, each from the address and port that was asked (RFC 4787 section 5:
// address and port-dependent filtering).
const (
	Open           Router = "open"            // translates and filters nothing: the machine itself has a public address
	PortRestricted Router = "port-restricted" // one outside port for an inside one, whoever is asked (RFC 4787 section 4.1)
	Symmetric      Router = "symmetric"       // another outside port for each destination
	UDPBlocked     Router = "udp-blocked"     // passes TCP alone
	Only443        Router = "443-only"        // passes TCP to port 443 alone
)

// Addresses of the cloud's machine. The second one is of whatever else a test puts on the Internet.
const (
	CloudAddr = "198.51.100.10"
	OtherAddr = "198.51.100.11"
)

// Internet is the whole of it.
type Internet struct {
	Cloud, Site, Viewer *Namespace
	siteRouter          *Namespace
	all                 []*Namespace
}

// New makes an Internet for a test, with these routers before site and viewer, and removes it after the test.
func New(t testing.TB, site, viewer Router) *Internet {
	t.Helper()
	i := &Internet{}
	t.Cleanup(func() {
		for _, n := range i.all {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	if err := i.build(site, viewer); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *Internet) build(site, viewer Router) error {
	core, err := i.add("core")
	if err != nil {
		return err
	}
	if i.Cloud, err = i.add("cloud"); err != nil {
		return err
	}
	err = errors.Join(
		link(end{core, "cloud", "198.51.100.1/24"}, end{i.Cloud, "eth0", CloudAddr + "/24"}),
		i.Cloud.IP("addr add "+OtherAddr+"/24 dev eth0\nroute add default via 198.51.100.1"),
	)
	if err != nil {
		return err
	}
	if i.Site, i.siteRouter, err = i.branch(core, "site", 20, site); err != nil {
		return err
	}
	if i.Viewer, _, err = i.branch(core, "viewer", 30, viewer); err != nil {
		return err
	}
	return errors.Join(carries(i.Site), carries(i.Viewer))
}

// carries waits until the links between a machine and the cloud carry: a link that was just made may lose its first packets. A
// port that nobody listens on says so, and every router lets that of HTTPS pass.
func carries(from *Namespace) error {
	return from.Do(func() error {
		c, err := net.DialTimeout("tcp4", CloudAddr+":443", 10*time.Second)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("no link to the cloud: %w", err)
		}
		return c.Close()
	})
}

// narrow lets the site send so many kilobits a second to the Internet, with a queue of 0.2 s before that (tc-tbf(8)).
func (i *Internet) narrow(kbit int) error {
	return i.siteRouter.feed("tc", strings.Fields(fmt.Sprintf("qdisc add dev wan root tbf rate %dkbit burst 64kb latency 200ms", kbit)), "")
}

func (i *Internet) add(name string) (*Namespace, error) {
	n, err := NewNamespace(name)
	if err == nil {
		i.all = append(i.all, n)
	}
	return n, err
}

// branch makes a machine behind a router whose public address ends in a number.
func (i *Internet) branch(core *Namespace, name string, number int, kind Router) (machine, router *Namespace, err error) {
	if router, err = i.add(name + "'s router"); err != nil {
		return nil, nil, err
	}
	if machine, err = i.add(name); err != nil {
		return nil, nil, err
	}
	public, gateway := fmt.Sprintf("203.0.113.%d", number), fmt.Sprintf("192.168.%d.1", number)
	inside, outside := gateway+"/24", fmt.Sprintf("192.168.%d.2/24", number)
	routes := ""
	if kind == Open {
		own := fmt.Sprintf("203.0.113.%d", number+1)
		inside, outside = gateway+" peer "+own, own+" peer "+gateway
		routes = "route add " + own + " via " + public
	}
	return machine, router, errors.Join(
		link(end{core, name, "203.0.113.1 peer " + public}, end{router, "wan", public + " peer 203.0.113.1"}),
		link(end{router, "lan", inside}, end{machine, "eth0", outside}),
		router.IP("route add default via 203.0.113.1"),
		machine.IP("route add default via "+gateway),
		core.IP(routes),
		router.feed("nft", []string{"-f", "-"}, kind.rules()),
	)
}

// end is one end of a link.
type end struct {
	at   *Namespace
	name string // of the interface
	addr string // as ip-address(8) takes it
}

func (e end) up() error {
	return e.at.IP(fmt.Sprintf("addr add %s dev %s\nlink set %s up", e.addr, e.name, e.name))
}

// link joins two machines.
func link(a, b end) error {
	text := fmt.Sprintf("link add %s type veth peer name %s netns %s", a.name, b.name, b.at.path())
	if err := a.at.IP(text); err != nil {
		return err
	}
	return errors.Join(a.up(), b.up())
}

// rules returns what nft is told for a router. What comes unasked from outside is dropped before the router remembers it:
// else it would hold the port that the machine inside is about to use towards the same peer, and translate that to another.
func (r Router) rules() string {
	lines := map[Router]struct{ masquerade, never, out string }{
		PortRestricted: {"masquerade", "", "accept"},
		Symmetric:      {"masquerade random,fully-random", "", "accept"},
		UDPBlocked:     {"masquerade", "meta l4proto udp drop", "accept"},
		Only443:        {"masquerade", "", "tcp dport 443 accept"},
	}
	l, ok := lines[r]
	if !ok {
		return ""
	}
	return strings.Join([]string{
		`table ip router {`,
		`chain translate {`, `type nat hook postrouting priority 100`, `oifname "wan" ` + l.masquerade, `}`,
		`chain forward {`, `type filter hook forward priority 0; policy drop;`, l.never,
		`ct state established,related accept`, `iifname "lan" ` + l.out, `}`,
		`chain input {`, `type filter hook input priority 0`, `iifname "wan" drop`, `}`,
		`}`, ``,
	}, "\n")
}

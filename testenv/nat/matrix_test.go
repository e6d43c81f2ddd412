//go:build linux

package nat

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast/testenv/house"
	"holdfast/testenv/nat/viewer"
	"holdfast/testenv/ownnet"
)

var long = flag.Bool("long", false, "play through every pair of routers")

// The paths that a case may take.
const (
	direct    = "direct"
	directTCP = "direct/tcp"
	ofSite    = "relay of the site"
	overUDP   = "relay/udp"
	overTCP   = "relay/tcp"
	overTLS   = "relay/tls"
)

// pair is one case: the routers, and the paths of which one has to be taken.
type pair struct {
	site, viewer Router
	short        bool // it is among those that are always tried
	paths        []string
}

func (p pair) String() string { return fmt.Sprintf("%s,%s", p.site, p.viewer) }

// pairs is the matrix. Where a relay is needed and both sides can reach one, either side's will do.
func pairs() []pair {
	return []pair{
		{Open, Open, false, []string{direct}},
		{Open, UDPBlocked, false, []string{directTCP, overTCP, overTLS}},
		{PortRestricted, PortRestricted, false, []string{direct}},
		{Symmetric, PortRestricted, false, []string{overUDP, ofSite}},
		{PortRestricted, Symmetric, false, []string{overUDP, ofSite}},
		{Symmetric, Symmetric, true, []string{overUDP, ofSite}},
		{UDPBlocked, PortRestricted, false, []string{overUDP, ofSite}},
		{PortRestricted, UDPBlocked, false, []string{overTCP, overTLS}},
		{UDPBlocked, UDPBlocked, false, []string{overTCP, overTLS}},
		{Only443, PortRestricted, false, []string{overUDP, ofSite}},
		{PortRestricted, Only443, false, []string{overTLS}},
		{Only443, Only443, true, []string{overTLS}},
	}
}

const (
	pictures = 25
	within   = 15 * time.Second // from the click to the last of them
	gather   = 2 * time.Second  // servers that a firewall hides never answer
	camera   = "dock"
)

// TestEveryNetwork plays through the cloud's own STUN and TURN.
func TestEveryNetwork(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	for _, p := range pairs() {
		if p.short || *long {
			t.Run(p.String(), func(t *testing.T) {
				i := New(t, p.site, p.viewer)
				play(t, i, p, t.TempDir(), ownTURN()...)
			})
		}
	}
}

// TestAServerOfOnesOwn plays through a STUN and TURN server elsewhere, which the cloud is told of.
func TestAServerOfOnesOwn(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	for _, p := range pairs() {
		if *long || p.site == Only443 && p.viewer == Only443 {
			t.Run(p.String(), func(t *testing.T) {
				i := New(t, p.site, p.viewer)
				authorities := t.TempDir()
				play(t, i, p, authorities, serveTURN(t, i, authorities)...)
			})
		}
	}
}

// TestAPublicSiteNeedsNoServer plays without STUN and TURN from a site with a public address: it sees where its viewer is.
func TestAPublicSiteNeedsNoServer(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	for _, viewer := range []Router{Open, Symmetric} {
		if *long || viewer == Symmetric {
			p := pair{site: Open, viewer: viewer, paths: []string{direct}}
			t.Run(p.String(), func(t *testing.T) {
				play(t, New(t, p.site, p.viewer), p, t.TempDir(), "--turn", "off")
			})
		}
	}
}

// play watches the camera of a site, and checks that pictures come and by which path.
func play(t *testing.T, i *Internet, p pair, authorities string, cloud ...string) {
	t.Helper()
	h, env := settle(t, i, authorities, dock(), cloud...)
	site := h.Sites[0]
	ids, err := site.CameraIDs()
	if err != nil {
		t.Fatal(err)
	}
	var saw viewer.Sight
	look(t, i, env, viewer.Order{
		Cloud: h.URL, Email: house.OwnerEmail, Password: house.OwnerPassword, Site: string(site.ID), Camera: string(ids[camera]),
		Pictures: pictures, Limit: within, Gather: gather,
	}, &saw)
	path := saw.Path(CloudAddr, OtherAddr)
	t.Logf("%v: %s: first picture after %v, %d with %d key frames after %v; %+v to %+v", p, path, saw.First.Round(time.Millisecond),
		saw.Pictures, saw.KeyFrames, saw.All.Round(time.Millisecond), saw.Local, saw.Remote)
	if saw.Error != "" || saw.Pictures < pictures || saw.KeyFrames == 0 {
		t.Errorf("the viewer does not see the camera: %+v", saw)
	}
	if !slices.Contains(p.paths, path) {
		t.Errorf("the path is %q, want one of %q: %+v", path, p.paths, saw)
	}
}

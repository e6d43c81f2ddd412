package live

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"holdfast/agent/pace"
	"holdfast/shared/rtc"
)

// toll makes what a connection sends ask the budget, while its viewer is outside the site's own network. It stands next
// to the network, so that packets that are sent again ask again.
type toll struct {
	interceptor.NoOp
	ctx     context.Context // of the connection: an interceptor has no other way to be told of its end
	flow    *pace.Flow
	outside atomic.Bool
	credit  atomic.Int64 // bytes that were asked for and not sent yet
}

// around is what SRTP's tag, UDP and IPv4 add to an RTP packet (RFC 3711 section 3.1, RFC 7714).
const around = 16 + 8 + 20

// NewInterceptor implements interceptor.Factory.
func (t *toll) NewInterceptor(string) (interceptor.Interceptor, error) { return t, nil }

// ask asks for a whole frame of so many bytes at once: that wakes its sender up more seldom than one packet after
// another.
func (t *toll) ask(bytes int) error {
	n := bytes + (bytes/rtc.MTU+1)*(12+around)
	if !t.outside.Load() || t.credit.Load() >= int64(n) {
		return nil
	}
	n -= int(max(t.credit.Load(), 0))
	err := t.flow.Take(t.ctx, n)
	if err == nil {
		t.credit.Add(int64(n))
	}
	return err
}

// BindLocalStream implements interceptor.Interceptor.
func (t *toll) BindLocalStream(_ *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if n := h.MarshalSize() + len(payload) + around; t.outside.Load() && t.credit.Add(int64(-n)) < 0 {
			t.credit.Add(int64(n))
			if err := t.flow.Take(t.ctx, n); err != nil {
				return 0, err
			}
		}
		return w.Write(h, payload, a)
	})
}

// BindRTCPWriter implements interceptor.Interceptor.
func (t *toll) BindRTCPWriter(w interceptor.RTCPWriter) interceptor.RTCPWriter {
	return interceptor.RTCPWriterFunc(func(reports []rtcp.Packet, a interceptor.Attributes) (int, error) {
		n, err := w.Write(reports, a)
		if t.outside.Load() && n > 0 {
			t.flow.Spend(n + around)
		}
		return n, err
	})
}

// sent books checks and handshakes, which can't wait for the budget: those that leave the site, as far as that shows in an
// address.
func (r *Room) sent(bytes int, to net.Addr) {
	const heads = 8 + 20 // UDP, IPv4
	u, ok := to.(*net.UDPAddr)
	if ok && u.IP.IsGlobalUnicast() && !u.IP.IsPrivate() {
		r.checks.Spend(bytes + heads)
	}
}

// inside says whether a viewer is in the site's own network, so that nothing of what it is sent goes over the WAN: the
// pair of candidates that ICE selected begins at an address of this machine itself, no relay is in it, and it ends in
// a private network of one of the machine's interfaces, or in one that live.lan names. A tunnel is no such interface.
func (r *Room) inside(pair *webrtc.ICECandidatePair) bool {
	relayed := pair.Remote.Typ == webrtc.ICECandidateTypeRelay
	if pair.Local.Typ != webrtc.ICECandidateTypeHost || relayed {
		return false
	}
	far, err := netip.ParseAddr(pair.Remote.Address)
	if err != nil {
		return false
	}
	return r.local(far)
}

// local says whether an address is in a private network of one of the machine's interfaces, or in one that live.lan names.
func (r *Room) local(far netip.Addr) bool {
	far = far.Unmap().WithZone("")
	for _, lan := range r.cfg.LAN {
		if lan.Contains(far) {
			return true
		}
	}
	return r.near(far)
}

// onLink says whether an address is in a private network of one of the machine's own interfaces.
func onLink(far netip.Addr) bool {
	if far.IsLoopback() {
		return true
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return false // rather too much asks the budget than too little
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 || i.Flags&net.FlagPointToPoint != 0 {
			continue
		}
		for _, a := range addrs {
			own, err := netip.ParsePrefix(a.String())
			if err == nil && own.Contains(far) && local(far, own) {
				return true
			}
		}
	}
	return false
}

// local says whether an address of a machine's network is of use inside a site only, or is a neighbour by IPv6, where
// sites have public addresses.
func local(far netip.Addr, own netip.Prefix) bool {
	return far.IsPrivate() || far.IsLinkLocalUnicast() || far.Is6() && own.Bits() >= 64
}

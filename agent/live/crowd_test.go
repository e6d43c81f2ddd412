package live

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/pion/webrtc/v4"

	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// TestViewersOfOneCameraGoOverToTheRelay has a crowd outside: it is sent on to the relay as soon as a camera would go over
// the line twice, but for those who have no relay near, who are inside, or who watch a recording.
func TestViewersOfOneCameraGoOverToTheRelay(t *testing.T) {
	t.Parallel()
	l := loops(t, "shop/sub")
	b := newBranch(t, pace.Plan{}, calm(), 2, l[0], nil)
	var in atomic.Bool
	b.room.near = func(netip.Addr) bool { return in.Load() }
	come := func(camera int, role wire.RelayRole) *viewer {
		t.Helper()
		v := watch(t, b.room, wish{LiveOffer: wire.LiveOffer{Camera: b.cams[camera], Relay: role}})
		v.seen(3)
		return v
	}
	sentOn := func(v *viewer) bool {
		return slices.ContainsFunc(v.notes, func(n rtc.Note) bool { return n.Type == "relay" })
	}
	first := come(0, wire.RelayNear)
	come(1, wire.RelayNear).close() // another camera is no copy of this one
	old := come(0, "")              // knows nothing of relays, and makes a second copy
	first.until("the first one to be sent on", func() bool { return sentOn(first) })

	relay := come(0, wire.RelaySelf)
	first.close()
	late := idle(t, b.room, wire.RelayNear)
	ask := func(v *viewer, fromUs int64) wire.LiveAnswer {
		t.Helper()
		got, err := b.room.View(t.Context(), wire.LiveView{
			Session: id.New[id.Session](), Connection: v.session, Camera: b.cams[0], Codecs: []string{"h264"}, FromUs: fromUs,
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := ask(late, 0); !got.Relay || got.Stream != "" {
		t.Errorf("a viewer who comes later gets %+v, want to be sent on", got)
	}
	if got := ask(idle(t, b.room, ""), 0); got.Relay || got.Stream == "" {
		t.Errorf("a viewer without a relay gets %+v, want the camera", got)
	}
	once := func(camera int) wire.LiveAnswer {
		t.Helper()
		got, err := b.room.Offer(t.Context(), wire.LiveOffer{
			Session: id.New[id.Session](), SDP: newViewer(t, webrtc.Configuration{}, false).offer(), Camera: b.cams[camera], Codecs: []string{"h264"},
			Relay: wire.RelayOnce,
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := once(0); !got.Relay || got.SDP != "" {
		t.Errorf("a player of the same camera gets %+v, want to be sent on", got)
	}
	if got := once(1); got.Relay || got.SDP == "" {
		t.Errorf("a player of another camera gets %+v, want it from here", got)
	}
	in.Store(true)
	if got := once(0); got.Relay {
		t.Errorf("a player inside gets %+v, want it from here", got)
	}
	inside := idle(t, b.room, wire.RelayNear)
	eventually.True(t, "it to be known as inside", func() bool { return !b.outside(inside.session) })
	if got := ask(inside, 0); got.Relay {
		t.Errorf("a viewer inside gets %+v, want the camera", got)
	}
	old.seen(1)
	for name, v := range map[string]*viewer{"the relay": relay, "who knows no relay": old, "who is inside": inside} {
		v.mu.Lock()
		if sentOn(v) {
			t.Errorf("%s is sent on", name)
		}
		v.mu.Unlock()
	}
}

// idle makes a connection on which nothing is shown yet, and waits until the site knows where its viewer is.
func idle(t *testing.T, r *Room, role wire.RelayRole) *viewer {
	t.Helper()
	v := newViewer(t, webrtc.Configuration{}, false)
	answer, err := r.Offer(t.Context(), wire.LiveOffer{Session: v.session, SDP: v.offer(), Relay: role})
	if err == nil {
		err = v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP})
	}
	if err != nil {
		t.Fatal(err)
	}
	v.until("the connection", func() bool { return v.state == webrtc.PeerConnectionStateConnected })
	eventually.True(t, "the site's end of it", func() bool {
		r.mu.Lock()
		p := r.peers[v.session]
		r.mu.Unlock()
		select {
		case <-p.Connected():
			return true
		default:
			return false
		}
	})
	return v
}

func (b *branch) outside(session id.Session) bool {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	return b.room.peers[session].toll.outside.Load()
}

// TestTheRelayComesFirst: what is for many is served before the others, though it came last.
func TestTheRelayComesFirst(t *testing.T) {
	t.Parallel()
	l := loops(t, "shop/main")
	b := newBranch(t, pace.Plan{}, calm(), 1, l[0], nil)
	for _, role := range []wire.RelayRole{wire.RelayNear, wire.RelaySelf} {
		watch(t, b.room, wish{LiveOffer: wire.LiveOffer{Camera: b.cams[0], Relay: role}})
	}
	eventually.True(t, "both", func() bool { return len(b.room.viewers()) == 2 })
	if got := b.room.viewers(); got[0].peer.relay != wire.RelaySelf {
		t.Errorf("the first one served has the role %q", got[0].peer.relay)
	}
}

// TestAConvertedViewIsNoCopy has a site convert a camera for one viewer and send it to another as it is: neither is sent on to
// a relay that has what the other gets.
func TestAConvertedViewIsNoCopy(t *testing.T) {
	t.Parallel()
	b := newBranch(t, pace.Plan{}, calm(), 1, loops(t, "carpark-night/main")[0], nil)
	b.room.cfg.Convert = Convert{On: true, Program: script(t, "exec sleep 1000")}.withDefaults()
	watch(t, b.room, wish{LiveOffer: wire.LiveOffer{Camera: b.cams[0], Relay: wire.RelayNear}, bare: true}).seen(3)
	ask := func(codecs ...string) wire.LiveAnswer {
		t.Helper()
		v := idle(t, b.room, wire.RelayNear)
		got, err := b.room.View(t.Context(), wire.LiveView{Session: id.New[id.Session](), Connection: v.session, Camera: b.cams[0], Codecs: codecs})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := ask("h264"); got.Relay || got.Codec != baseline {
		t.Errorf("who needs it converted gets %+v, want that", got)
	}
	if got := ask("h264", "h265"); !got.Relay {
		t.Errorf("who sees it as it is gets %+v, want to be sent on", got)
	}
}

package live

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/cloud/live/relay"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// browserOffer is the offer of a browser with one place for video.
func browserOffer(t *testing.T) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return offer.SDP
}

func TestConnectionsThroughTheRelay(t *testing.T) {
	agent := &farAgent{}
	b := newBroker(t, Config{Relay: &relay.Config{Loopback: true, Connect: time.Minute}, PerSite: 1}, agent)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	defer running.Wait()
	defer cancel()
	p := place()
	open := func(way Way) (id.Session, wire.LiveAnswer, error) {
		o := wire.LiveOffer{Session: id.New[id.Session](), SDP: browserOffer(t)}
		got, err := b.Offer(t.Context(), Place{Site: p.Site, Agent: p.Agent}, o, Viewer{Through: way})
		return o.Session, got, err
	}
	eventually.True(t, "the relay", func() bool { _, _, err := open(Relay); return err == nil })
	relayed, got, err := open(Relay) // above the limit of what the site itself serves
	if err != nil || got.Slots != 1 || got.SDP == "" || len(agent.opened) != 0 {
		t.Fatalf("the answer is %+v, %v, and the agent was asked %d times", got, err, len(agent.opened))
	}
	direct, _, err := open(Either)
	if err != nil || agent.opened[0].Relay != wire.RelayNear {
		t.Fatalf("the agent was asked %+v, %v", agent.opened, err)
	}
	if _, _, err := open(Either); err == nil {
		t.Error("the site's own limit does not hold")
	}
	if n := b.Watching(p.Site); n != 3 {
		t.Errorf("%d watch, want 3", n)
	}

	players := func(camera id.Camera) (id.Session, wire.LiveAnswer, error) {
		o := wire.LiveOffer{Session: id.New[id.Session](), SDP: browserOffer(t)}
		got, err := b.Offer(t.Context(), Place{Site: id.New[id.Site](), Agent: p.Agent, Camera: camera}, o, Viewer{Through: Auto})
		return o.Session, got, err
	}
	player, got, err := players("")
	if err != nil || b.relayed(player) || !strings.HasPrefix(got.SDP, "answer to") || agent.opened[1].Relay != wire.RelayOnce {
		t.Errorf("the first player gets %+v, %v, through the relay: %v", got, err, b.relayed(player))
	}
	agent.turn(func(a *farAgent) { a.sendOn = true })
	player, got, err = players("")
	if err != nil || !b.relayed(player) || got.Slots != 1 || strings.HasPrefix(got.SDP, "answer to") {
		t.Errorf("the second player gets %+v, %v, through the relay: %v", got, err, b.relayed(player))
	}
	if err := b.Close(t.Context(), player); err != nil {
		t.Error(err)
	}
	asked := len(agent.opened)
	player, got, err = players(id.New[id.Camera]()) // which the site does not bring to the relay
	eventually.True(t, "the relay to be rid of it", func() bool { return b.relay.Load().Viewers == 2 })
	if err != nil || b.relayed(player) || !b.Open(player) || !strings.HasPrefix(got.SDP, "answer to") || len(agent.opened) < asked+2 {
		t.Errorf("a player whose camera does not come to the relay gets %+v, %v, through the relay: %v", got, err, b.relayed(player))
	}
	view := wire.LiveView{Session: id.New[id.Session](), Connection: direct, Codecs: []string{"h264"}}
	if got, err := b.View(t.Context(), p, view); err != nil || !got.Relay || b.Open(view.Session) {
		t.Errorf("who is sent on gets %+v, %v, and the view is open: %v", got, err, b.Open(view.Session))
	}
	agent.turn(func(a *farAgent) {
		a.sendOn, a.refuse = false, &wire.Reply{Error: "The camera is gone.", Code: wire.FailedUnknownCamera}
	})
	view.Session, view.Connection = id.New[id.Session](), relayed
	_, err = b.View(t.Context(), p, view)
	if f := (*wire.Failure)(nil); !errors.As(err, &f) || f.Code != wire.FailedUnknownCamera || b.Open(view.Session) {
		t.Errorf("what the agent refuses the relay becomes %v", err)
	}
	agent.turn(func(a *farAgent) { a.refuse = nil })

	restart := func(sid id.Session, sdp string) error {
		_, err := b.Restart(t.Context(), wire.LiveOffer{Session: sid, SDP: sdp}, Viewer{})
		return err
	}
	if err := restart(direct, "v=1"); err != nil || !agent.opened[len(agent.opened)-1].Restart {
		t.Errorf("to restart the site's connection: %v, the agent was asked %+v", err, agent.opened)
	}
	paths := func(sid id.Session) error {
		_, err := b.Paths(t.Context(), wire.LivePaths{Session: sid, Fragment: "a=ice-ufrag:x"})
		return err
	}
	if err := paths(direct); err != nil || len(agent.told) != 1 || agent.told[0].Session != direct {
		t.Errorf("to tell the site of addresses: %v, it was told %+v", err, agent.told)
	}
	if err := paths(relayed); err == nil || !strings.Contains(err.Error(), "sought anew") {
		t.Errorf("another viewer's addresses told to the relay: %v", err)
	}
	if err := paths(id.New[id.Session]()); err == nil {
		t.Error("addresses are told to a connection that is not there")
	}
	asked = len(agent.opened)
	if err := restart(relayed, browserOffer(t)); err == nil {
		t.Error("another browser's offer restarts a connection through the relay")
	}
	for name, err := range map[string]error{"unknown": restart(id.New[id.Session](), "v=1"), "empty": restart(relayed, "")} {
		if err == nil {
			t.Errorf("%s: an offer is answered", name)
		}
	}
	if len(agent.opened) != asked {
		t.Error("the agent was asked to restart what is not its own")
	}

	b.Reported(p.Agent, nil)
	if !b.Open(relayed) {
		t.Error("a connection through the relay has ended because the agent does not know it")
	}
	if err := b.Close(t.Context(), relayed); err != nil || b.Open(relayed) {
		t.Errorf("Close = %v", err)
	}
	eventually.True(t, "the relay to be rid of it", func() bool { return b.relay.Load().Viewers == 1 })
}

func TestWithoutARelay(t *testing.T) {
	agent := &farAgent{}
	b := newBroker(t, Config{}, agent)
	o := offer()
	_, err := b.Offer(t.Context(), place(), o, Viewer{Through: Relay})
	if f := (*wire.Failure)(nil); !errors.As(err, &f) || f.Code != wire.FailedRefused || b.Open(o.Session) {
		t.Errorf("a connection through a relay that is not there: %v", err)
	}
	if _, err := b.Offer(t.Context(), place(), offer(), Viewer{Through: Either}); err != nil || agent.opened[0].Relay != "" {
		t.Errorf("the agent is told of a relay %q, %v", agent.opened[0].Relay, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
}

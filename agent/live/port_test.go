package live

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
	"github.com/pion/webrtc/v4"

	"holdfast/agent/health"
	"holdfast/agent/pace"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// TestAPortThatIsTaken has another program on the UDP port: the room says so, refuses in words, and opens as soon
// as the port is free.
func TestAPortThatIsTaken(t *testing.T) {
	t.Parallel()
	other, err := net.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, Config{})
	board := health.NewBoard(func() int64 { return 1 }, nil)
	taken := other.LocalAddr().(*net.UDPAddr).Port
	room, err := New(Config{Port: taken, Loopback: true}, s.room.footage, pace.New(pace.Plan{}), board, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- room.Run(ctx) }()
	state := func() wire.State {
		for _, c := range board.Conditions() {
			if c.Name == "live" {
				return c.State
			}
		}
		return ""
	}
	eventually.True(t, "the condition", func() bool { return state() == wire.Failing })
	_, err = try(t, room, s.wish())
	assertFailure(t, err, wire.FailedOtherwise, strconv.Itoa(taken))
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the port", func() bool { return taking(room) && state() == wire.OK })
	watch(t, room, s.wish()).seen(1)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestAnswerIsQuick measures what a viewer waits for before anything can travel.
func TestAnswerIsQuick(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	best := time.Hour
	for range 5 {
		v := newViewer(t, webrtc.Configuration{}, false)
		offer := s.wish().LiveOffer
		offer.Session, offer.SDP = v.session, v.offer()
		began := time.Now()
		answer, err := s.room.Offer(t.Context(), offer)
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began))
		if !strings.Contains(answer.SDP, "a=candidate:") || !strings.Contains(answer.SDP, "a=end-of-candidates") {
			t.Errorf("the answer lacks candidates:\n%s", answer.SDP)
		}
		s.room.Close(offer.Session)
	}
	t.Logf("offer to answer, best of five: %v", best)
	if best > 200*time.Millisecond {
		t.Errorf("the quickest of five answers took %v", best)
	}
}

func TestServersThatAreNoUse(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	deaf, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }()
	for name, url := range map[string]string{
		"no URL": "nonsense", "a scheme of its own": "http://127.0.0.1/", "never answers": "stun:" + deaf.LocalAddr().String(),
	} {
		w := s.wish()
		w.ICE = []wire.ICEServer{{URLs: []string{url}}}
		v := watch(t, s.room, w)
		first := v.seen(1)[0]
		if took := first.at.Sub(v.asked); took > 3*time.Second {
			t.Errorf("%s: the first picture came after %v", name, took)
		}
		t.Logf("%s: first picture after %v", name, first.at.Sub(v.asked))
	}
}

// TestOverTCP: a viewer whose network lets no UDP pass opens a TCP connection to the same port.
func TestOverTCP(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	w := s.wish()
	w.tcp = true
	v := watch(t, s.room, w)
	assertWhole(t, v.seen(10))
	pair, err := v.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair.Remote.Protocol != webrtc.ICEProtocolTCP {
		t.Errorf("the path is %v, %v", pair, err)
	}
	v.close()
	eventually.True(t, "the session to end", func() bool { return len(s.room.Open()) == 0 })
}

func TestThroughARelay(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	relay, err := turn.NewServer(turn.ServerConfig{
		Realm: "holdfast", LoggerFactory: logging.NewDefaultLoggerFactory(),
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			return a.Username, turn.GenerateAuthKey("viewer", "holdfast", "secret"), a.Username == "viewer"
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: conn, RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
			RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1",
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := relay.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := s.wish()
	w.relay = true
	w.ICE = []wire.ICEServer{{URLs: []string{"turn:" + conn.LocalAddr().String() + "?transport=udp"}, Username: "viewer", Credential: "secret"}}
	v := watch(t, s.room, w)
	assertWhole(t, v.seen(10))
	if strings.Contains(v.pc.LocalDescription().SDP, "typ host") {
		t.Error("the viewer was to be reached through the relay only")
	}
	v.close()
	eventually.True(t, "the session to end", func() bool { return len(s.room.Open()) == 0 })
}

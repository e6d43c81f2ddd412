package live

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/cloud/live/turn"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// farAgent answers commands as an agent would.
type farAgent struct {
	mu     sync.Mutex
	opened []wire.LiveOffer
	views  []wire.LiveView
	told   []wire.LivePaths
	talks  []wire.TalkOffer
	closed []id.Session
	refuse *wire.Reply
	down   error
	sendOn bool // viewers go to the relay
}

func (a *farAgent) Command(_ context.Context, _ id.Agent, typ wire.CommandType, body any) (wire.Reply, []byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.down != nil:
		return wire.Reply{}, nil, a.down
	case a.refuse != nil:
		return *a.refuse, nil, nil
	}
	switch b := body.(type) {
	case wire.LiveView:
		a.views = append(a.views, b)
		text, err := json.Marshal(wire.LiveAnswer{Stream: id.Sub, Relay: a.sendOn})
		return wire.Reply{Body: text}, nil, err
	case wire.LiveOffer:
		a.opened = append(a.opened, b)
		answer := wire.LiveAnswer{SDP: "answer to " + b.SDP, Stream: id.Main}
		if a.sendOn && b.Relay == wire.RelayOnce {
			answer = wire.LiveAnswer{Relay: true}
		}
		text, err := json.Marshal(answer)
		return wire.Reply{Body: text}, nil, err
	case wire.LivePaths:
		a.told = append(a.told, b)
		text, err := json.Marshal(wire.LivePaths{Session: b.Session})
		return wire.Reply{Body: text}, nil, err
	case wire.TalkOffer:
		a.talks = append(a.talks, b)
		text, err := json.Marshal(wire.LiveAnswer{SDP: "answer to " + b.SDP})
		return wire.Reply{Body: text}, nil, err
	case wire.TalkAsk:
		text, err := json.Marshal(wire.TalkState{By: "Anna\n", ForUs: 5})
		return wire.Reply{Body: text}, nil, err
	case wire.LiveClose:
		a.closed = append(a.closed, b.Session)
		return wire.Reply{Body: json.RawMessage("{}")}, nil, nil
	case wire.PTZOrder:
		text, err := json.Marshal(wire.PTZReply{Move: b.Camera != "", Presets: []wire.PTZPreset{{Token: "1", Name: "Gate\u202e"}, {Name: "none"}}})
		return wire.Reply{Body: text}, nil, err
	case wire.StillOrder:
		text, err := json.Marshal(wire.StillReply{Codec: "avc1.42001f", AtUs: b.AtUs})
		return wire.Reply{Body: text}, []byte(b.Camera), err
	}
	return wire.Reply{Error: "unknown " + string(typ), Code: wire.FailedRefused}, nil, nil
}

// turn changes how the agent answers.
func (a *farAgent) turn(do func(*farAgent)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	do(a)
}

func newBroker(t *testing.T, cfg Config, agent Agents) *Broker {
	t.Helper()
	b, err := New(cfg, agent, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func place() Place {
	return Place{Site: id.New[id.Site](), Agent: id.New[id.Agent](), Camera: id.New[id.Camera]()}
}

func offer() wire.LiveOffer {
	return wire.LiveOffer{Session: id.New[id.Session](), SDP: "v=0", FromUs: 5}
}

func TestOfferAndClose(t *testing.T) {
	agent := &farAgent{}
	b := newBroker(t, Config{ICE: []wire.ICEServer{{URLs: []string{"stun:stun.example.com"}}}}, agent)
	p, o := place(), offer()
	got, err := b.Offer(t.Context(), p, o, Viewer{})
	if err != nil || got.SDP != "answer to v=0" {
		t.Fatalf("Offer = %+v, %v", got, err)
	}
	if sent := agent.opened[0]; sent.FromUs != 5 || sent.Session != o.Session || sent.Camera != p.Camera || len(sent.ICE) != 1 {
		t.Fatalf("the agent got %+v", sent)
	}
	if !b.Open(o.Session) || b.Watching(p.Site) != 1 {
		t.Fatal("the session is not open")
	}
	if _, err := b.Offer(t.Context(), p, o, Viewer{}); err == nil {
		t.Fatal("one session was opened twice")
	}
	for range 2 {
		if err := b.Close(t.Context(), o.Session); err != nil {
			t.Fatal(err)
		}
	}
	if len(agent.closed) != 1 || b.Open(o.Session) {
		t.Fatalf("the agent heard %v", agent.closed)
	}
}

// TestRelaysLastAsLongAsTheirConnection: the credentials of both ends serve one connection, and end with it.
func TestRelaysLastAsLongAsTheirConnection(t *testing.T) {
	relay, err := turn.New(t.Context(), turn.Config{Listen: "127.0.0.1:0", Address: netip.MustParseAddr("127.0.0.1")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = relay.Close() }()
	agent, me := &farAgent{}, id.New[id.Person]()
	b := newBroker(t, Config{ICE: []wire.ICEServer{{URLs: []string{"stun:stun.example.com"}}}, Turn: relay}, agent)
	user := func(servers []wire.ICEServer) string {
		for _, s := range servers {
			if s.Username != "" {
				return s.Username
			}
		}
		return ""
	}
	mine, others := user(b.ICE(me)), user(b.ICE(id.New[id.Person]()))
	p, o := place(), offer()
	if _, err := b.Offer(t.Context(), p, o, Viewer{Person: me, Credentials: mine}); err != nil {
		t.Fatal(err)
	}
	its := user(agent.opened[0].ICE)
	if its == "" || its == mine || mine == "" || len(agent.opened[0].ICE) != 3 {
		t.Fatalf("the agent got %+v", agent.opened[0].ICE)
	}
	second := offer()
	if _, err := b.Offer(t.Context(), p, second, Viewer{Person: me, Credentials: others}); err != nil {
		t.Fatalf("credentials of another cost a viewer more than the relay: %v", err)
	}
	holds := func(name, holder string, session id.Session) bool { return relay.Bind(name, holder, session) }
	if !holds(mine, string(me), o.Session) || !holds(its, string(p.Agent), o.Session) || holds(mine, string(me), second.Session) ||
		holds(others, string(me), second.Session) {
		t.Error("credentials are not bound to the connection that they were named for")
	}
	if err := b.Close(t.Context(), o.Session); err != nil {
		t.Fatal(err)
	}
	if holds(mine, string(me), o.Session) || holds(its, string(p.Agent), o.Session) {
		t.Error("credentials outlive their connection")
	}
	b.cfg.Settle = 0
	b.Reported(p.Agent, nil)
	if holds(user(agent.opened[1].ICE), string(p.Agent), second.Session) {
		t.Error("credentials outlive a connection that the agent no longer has")
	}
}

// TestAPathAnewGetsServersThatServe has the path of a connection sought anew, soon and long after it was made: by then the
// credentials that the agent has make no relay any more, and it is lent others, now and then.
func TestAPathAnewGetsServersThatServe(t *testing.T) {
	const untaken = 300 * time.Millisecond
	relay, err := turn.New(t.Context(), turn.Config{Listen: "127.0.0.1:0", Address: netip.MustParseAddr("127.0.0.1"), Untaken: untaken}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = relay.Close() }()
	agent := &farAgent{}
	b := newBroker(t, Config{Turn: relay}, agent)
	p, o := place(), offer()
	if _, err := b.Offer(t.Context(), p, o, Viewer{}); err != nil {
		t.Fatal(err)
	}
	lent := func() string {
		agent.mu.Lock()
		defer agent.mu.Unlock()
		var ice []wire.ICEServer
		if n := len(agent.told); n > 0 {
			ice = agent.told[n-1].ICE
		} else {
			ice = agent.opened[len(agent.opened)-1].ICE
		}
		if len(ice) == 0 {
			return ""
		}
		return ice[len(ice)-1].Username
	}
	before, began := lent(), time.Now()
	restart := func() string {
		if _, err := b.Restart(t.Context(), o, Viewer{}); err != nil {
			t.Fatal(err)
		}
		return lent()
	}
	var fresh string
	eventually.True(t, "other servers", func() bool { fresh = restart(); return fresh != "" })
	if age := time.Since(began); age < untaken/2 {
		t.Errorf("after %v others are lent", age)
	}
	if fresh == before || !relay.Bind(fresh, string(p.Agent), o.Session) || !relay.Bind(before, string(p.Agent), o.Session) {
		t.Error("what the agent is lent does not serve its connection, or what it had no longer does")
	}
	began = time.Now()
	tell := func() string {
		if _, err := b.Paths(t.Context(), wire.LivePaths{Session: o.Session}); err != nil {
			t.Fatal(err)
		}
		return lent()
	}
	if again := tell(); again != "" && time.Since(began) < untaken/2 {
		t.Error("each word costs other servers")
	}
	eventually.True(t, "other servers for a fragment", func() bool { again := tell(); return again != "" && again != fresh })

	began = time.Now()
	eventually.True(t, "others that are due", func() bool { return time.Since(began) > untaken })
	agent.turn(func(a *farAgent) { a.down = errors.New("the line is cut") })
	if _, err := b.Paths(t.Context(), wire.LivePaths{Session: o.Session}); err == nil {
		t.Error("an agent that is not there is told")
	}
	agent.turn(func(a *farAgent) { a.down = nil })
	if tell() == "" {
		t.Error("what an agent never got counts as lent")
	}
}

// TestViewsEndWithTheirConnection shows cameras over one connection: they count as one viewer, each can end alone, and all
// of them end with it.
func TestViewsEndWithTheirConnection(t *testing.T) {
	agent := &farAgent{}
	b := newBroker(t, Config{PerSite: 1}, agent)
	p, o := place(), offer()
	o.View = id.New[id.Session]()
	if _, err := b.Offer(t.Context(), p, o, Viewer{}); err != nil {
		t.Fatal(err)
	}
	second := wire.LiveView{Session: id.New[id.Session](), Connection: o.Session, Slot: 3}
	if got, err := b.View(t.Context(), p, second); err != nil || got.Stream != id.Sub {
		t.Fatalf("View = %+v, %v", got, err)
	}
	if sent := agent.views[0]; sent.Camera != p.Camera || sent.Slot != 3 || sent.Connection != o.Session {
		t.Errorf("the agent got %+v", sent)
	}
	if _, err := b.View(t.Context(), p, second); err == nil {
		t.Error("one session was opened twice")
	}
	if !b.Open(o.Session) || !b.Open(o.View) || !b.Open(second.Session) || b.Watching(p.Site) != 1 {
		t.Fatalf("%d connections", b.Watching(p.Site))
	}
	if err := b.Close(t.Context(), o.View); err != nil || b.Open(o.View) || !b.Open(o.Session) {
		t.Fatalf("ending one view: %v, the connection is open: %v", err, b.Open(o.Session))
	}
	if err := b.Close(t.Context(), o.Session); err != nil || b.Open(o.Session) || b.Open(second.Session) {
		t.Fatalf("ending the connection: %v, the view is open: %v", err, b.Open(second.Session))
	}
	var f *wire.Failure
	if _, err := b.View(t.Context(), Place{Site: p.Site}, second); !errors.As(err, &f) || f.Code != Offline {
		t.Errorf("a site without an agent: %v", err)
	}
	for n := range perConnection + 1 {
		_, err := b.View(t.Context(), p, wire.LiveView{Session: id.New[id.Session](), Connection: o.Session})
		if full := n == perConnection; (err != nil) != full {
			t.Fatalf("view %d over one connection: %v", n, err)
		}
	}
}

// TestASessionThatCouldNotBeClosed: the agent is away when a viewer's session is closed. It counts as ended at once, and the
// agent is told when it is back and still has it.
func TestASessionThatCouldNotBeClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := &farAgent{}
		b := newBroker(t, Config{PerSite: 1}, agent)
		p, o := place(), offer()
		if _, err := b.Offer(t.Context(), p, o, Viewer{}); err != nil {
			t.Fatal(err)
		}
		agent.down = errors.New("away")
		if err := b.Close(t.Context(), o.Session); !errors.Is(err, agent.down) {
			t.Fatalf("Close = %v", err)
		}
		if b.Open(o.Session) || b.Watching(p.Site) != 0 {
			t.Error("the session counts as open")
		}
		if err := b.Close(t.Context(), o.Session); err != nil {
			t.Errorf("closing it again: %v", err)
		}
		for n, down := range []error{errors.New("away again"), nil} {
			agent.down = down
			b.Reported(p.Agent, []id.Session{o.Session})
			synctest.Wait()
			if len(agent.closed) != n {
				t.Fatalf("after heartbeat %d the agent was told of %v", n+1, agent.closed)
			}
		}
		b.Reported(p.Agent, []id.Session{o.Session}) // sent before it was told
		synctest.Wait()
		if len(agent.closed) != 1 {
			t.Errorf("the agent was told of %v", agent.closed)
		}
	})
}

func TestFailuresKeepTheirWords(t *testing.T) {
	agent := &farAgent{refuse: &wire.Reply{Error: "The camera sends H.265.", Code: wire.FailedCodec}}
	b := newBroker(t, Config{PerSite: 1}, agent)
	p := place()
	want := func(name string, p Place, o wire.LiveOffer, code wire.FailureCode) {
		t.Helper()
		var f *wire.Failure
		if _, err := b.Offer(t.Context(), p, o, Viewer{}); !errors.As(err, &f) || f.Code != code {
			t.Errorf("%s: %v, want code %s", name, err, code)
		}
	}
	want("refused by the agent", p, offer(), wire.FailedCodec)
	if b.Watching(p.Site) != 0 {
		t.Fatal("a refused session is counted")
	}
	large := offer()
	large.SDP = strings.Repeat("x", 65<<10)
	want("a large offer", p, large, wire.FailedRefused)
	want("a site without agent", Place{Site: p.Site}, offer(), Offline)
	agent.refuse = nil
	if _, err := b.Offer(t.Context(), p, offer(), Viewer{}); err != nil {
		t.Fatal(err)
	}
	want("one more than the site takes", p, offer(), wire.FailedBusy)
	agent.down = errors.New("gone since noon")
	if _, err := b.Offer(t.Context(), place(), offer(), Viewer{}); !errors.Is(err, agent.down) {
		t.Fatalf("an agent that is offline: %v", err)
	}
}

func TestHeartbeatsSayWhichSessionsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, Config{}, &farAgent{})
		p, stays, ends := place(), offer(), offer()
		for _, o := range []wire.LiveOffer{stays, ends} {
			if _, err := b.Offer(t.Context(), p, o, Viewer{}); err != nil {
				t.Fatal(err)
			}
		}
		b.Reported(p.Agent, nil) // before the sessions can have reached a heartbeat
		if !b.Open(ends.Session) {
			t.Fatal("a session that has just begun was forgotten")
		}
		<-time.After(time.Minute)
		b.Reported(id.New[id.Agent](), nil)
		b.Reported(p.Agent, []id.Session{stays.Session})
		if !b.Open(stays.Session) || b.Open(ends.Session) {
			t.Fatalf("open: %v %v, want the first alone", b.Open(stays.Session), b.Open(ends.Session))
		}
	})
}

// TestASessionThatNobodyKnows: the cloud has begun anew, and an agent still has a session from before. It is closed when it is
// reported a second time, once the broker has been there for a while, and again where the agent could not be told.
func TestASessionThatNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := &farAgent{}
		b := newBroker(t, Config{}, agent)
		p, mine, old := place(), offer(), id.New[id.Session]()
		if _, err := b.Offer(t.Context(), p, mine, Viewer{}); err != nil {
			t.Fatal(err)
		}
		report := func(closed int, open ...id.Session) {
			t.Helper()
			b.Reported(p.Agent, append(open, mine.Session))
			synctest.Wait()
			if len(agent.closed) != closed {
				t.Fatalf("the agent was told to close %v, want %d", agent.closed, closed)
			}
			time.Sleep(15 * time.Second)
		}
		for range 4 { // the first 45 s
			report(0, old)
		}
		report(0, old)
		report(0) // it was on its way while that ended
		report(0, old)
		agent.down = errors.New("away")
		report(0, old)
		agent.down = nil
		report(1, old)
		report(1)
		if agent.closed[0] != old || !b.Open(mine.Session) {
			t.Errorf("%v was closed, want %v", agent.closed, old)
		}
	})
}

func TestStill(t *testing.T) {
	b := newBroker(t, Config{}, &farAgent{})
	p := place()
	reply, frame, err := b.Still(t.Context(), p, wire.StillOrder{AtUs: 7})
	if err != nil || reply.AtUs != 7 || string(frame) != string(p.Camera) {
		t.Fatalf("Still = %+v, %q, %v", reply, frame, err)
	}
	var f *wire.Failure
	if _, _, err := b.Still(t.Context(), Place{}, wire.StillOrder{}); !errors.As(err, &f) || f.Code != Offline {
		t.Fatalf("a site without agent: %v", err)
	}
}

func TestSteer(t *testing.T) {
	b := newBroker(t, Config{}, &farAgent{})
	reply, err := b.Steer(t.Context(), place(), wire.PTZOrder{Act: wire.PTZAsk})
	if err != nil || !reply.Move || len(reply.Presets) != 1 || reply.Presets[0].Name != "Gate" {
		t.Fatalf("Steer = %+v, %v", reply, err)
	}
	var f *wire.Failure
	if _, err := b.Steer(t.Context(), Place{}, wire.PTZOrder{}); !errors.As(err, &f) || f.Code != Offline {
		t.Fatalf("a site without an agent: %v", err)
	}
}

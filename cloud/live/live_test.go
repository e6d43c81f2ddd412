package live

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// farAgent answers commands as an agent would.
type farAgent struct {
	mu     sync.Mutex
	opened []wire.LiveOffer
	closed []id.Session
	refuse *wire.Reply
	down   error
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
	case wire.LiveOffer:
		a.opened = append(a.opened, b)
		text, err := json.Marshal(wire.LiveAnswer{SDP: "answer to " + b.SDP, Stream: id.Main})
		return wire.Reply{Body: text}, nil, err
	case wire.LiveClose:
		a.closed = append(a.closed, b.Session)
		return wire.Reply{Body: json.RawMessage("{}")}, nil, nil
	case wire.StillOrder:
		text, err := json.Marshal(wire.StillReply{Codec: "avc1.42001f", AtUs: 7})
		return wire.Reply{Body: text}, []byte("frame"), err
	}
	return wire.Reply{Error: "unknown " + string(typ), Code: "refused"}, nil, nil
}

func place() Place {
	return Place{Org: id.New[id.Org](), Site: id.New[id.Site](), Agent: id.New[id.Agent](), Camera: id.New[id.Camera]()}
}

func viewer() Viewer { return Viewer{Person: id.New[id.Person](), Session: id.New[id.Session]()} }

func always(context.Context, Viewer, Place, bool) bool { return true }

func TestOfferAndClose(t *testing.T) {
	agent := &farAgent{}
	b := New(Config{}, agent, always, slog.New(slog.DiscardHandler))
	v, p := viewer(), place()
	got, err := b.Offer(t.Context(), v, p, Wish{SDP: "v=0", FromUs: 5})
	if err != nil || got.SDP != "answer to v=0" || agent.opened[0].FromUs != 5 || agent.opened[0].Session != got.Session {
		t.Fatalf("Offer = %+v, %v", got, err)
	}
	if err := b.Close(t.Context(), viewer(), got.Session); !errors.Is(err, ErrUnknown) {
		t.Fatalf("somebody else closed the session: %v", err)
	}
	if b.Watching(p.Site) != 1 {
		t.Fatal("the session is gone")
	}
	if err := b.Close(t.Context(), v, got.Session); err != nil || len(agent.closed) != 1 || b.Watching(p.Site) != 0 {
		t.Fatalf("Close = %v, the agent heard %v", err, agent.closed)
	}
}

func TestRefusalsKeepTheirWords(t *testing.T) {
	agent := &farAgent{refuse: &wire.Reply{Error: "The camera sends H.265.", Code: "codec"}}
	b := New(Config{PerSite: 1}, agent, always, slog.New(slog.DiscardHandler))
	p := place()
	var r *wire.Failure
	if _, err := b.Offer(t.Context(), viewer(), p, Wish{SDP: "v=0"}); !errors.As(err, &r) || r.Code != "codec" || r.Text != "The camera sends H.265." {
		t.Fatalf("Offer = %v", err)
	}
	if b.Watching(p.Site) != 0 {
		t.Fatal("a refused session is counted")
	}
	if _, err := b.Offer(t.Context(), viewer(), p, Wish{SDP: strings.Repeat("x", 65<<10)}); !errors.As(err, &r) || r.Code != "refused" {
		t.Fatalf("a large offer: %v", err)
	}
	agent.refuse = nil
	if _, err := b.Offer(t.Context(), viewer(), p, Wish{SDP: "v=0"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Offer(t.Context(), viewer(), p, Wish{SDP: "v=0"}); !errors.As(err, &r) || r.Code != "busy" {
		t.Fatalf("one more than the site takes: %v", err)
	}
	p.Agent = ""
	if _, err := b.Offer(t.Context(), viewer(), p, Wish{SDP: "v=0"}); !errors.As(err, &r) || r.Code != "offline" {
		t.Fatalf("a site without agent: %v", err)
	}
	down := errors.New("gone since noon")
	agent.down = down
	if _, err := b.Offer(t.Context(), viewer(), place(), Wish{SDP: "v=0"}); !errors.Is(err, down) {
		t.Fatalf("an agent that is offline: %v", err)
	}
}

func TestASessionDiesWithItsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := &farAgent{}
		var may atomic.Bool
		may.Store(true)
		b := New(Config{}, agent, func(context.Context, Viewer, Place, bool) bool { return may.Load() }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		got, err := b.Offer(ctx, viewer(), place(), Wish{SDP: "v=0"})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(59 * time.Second)
		synctest.Wait()
		if len(agent.closed) != 0 {
			t.Fatal("a session that is allowed was closed")
		}
		may.Store(false)
		<-time.After(59 * time.Second)
		synctest.Wait()
		if len(agent.closed) != 1 || agent.closed[0] != got.Session {
			t.Fatalf("closed %v within a minute of the right's end, want %v", agent.closed, got.Session)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestStill(t *testing.T) {
	b := New(Config{}, &farAgent{}, always, slog.New(slog.DiscardHandler))
	reply, frame, err := b.Still(t.Context(), place(), 0)
	if err != nil || reply.AtUs != 7 || string(frame) != "frame" {
		t.Fatalf("Still = %+v, %q, %v", reply, frame, err)
	}
}

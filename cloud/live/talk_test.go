package live

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// slowAgent reports its sessions before it answers.
type slowAgent struct {
	farAgent
	before func()
}

func (a *slowAgent) Command(ctx context.Context, agent id.Agent, typ wire.CommandType, body any) (wire.Reply, []byte, error) {
	a.before()
	return a.farAgent.Command(ctx, agent, typ, body)
}

// TestATalkThatIsLongInComing: a camera's loudspeaker takes its time. The talk has not ended because its agent does not report
// it before it has answered, nor right afterwards.
func TestATalkThatIsLongInComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, o := place(), wire.TalkOffer{Session: id.New[id.Session](), SDP: "v=0"}
		agent := &slowAgent{}
		b := newBroker(t, Config{Silent: func(id.Session) { t.Error("somebody is told that the talk has ended") }}, agent)
		agent.before = func() {
			time.Sleep(2 * settleTalk)
			b.Reported(p.Agent, nil)
		}
		if _, err := b.Talk(t.Context(), p, o, Viewer{}); err != nil {
			t.Fatal(err)
		}
		b.Reported(p.Agent, nil)
		if !b.Open(o.Session) {
			t.Error("the talk counts as ended")
		}
	})
}

// TestTalk: an offer to speak reaches the agent, and the end of a talk is told once, however it comes about.
func TestTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := &farAgent{}
		var silent []id.Session
		b := newBroker(t, Config{ICE: []wire.ICEServer{{URLs: []string{"stun:stun.example.com"}}}, Silent: func(s id.Session) { silent = append(silent, s) }}, agent)
		p := place()
		speak := func() id.Session {
			t.Helper()
			o := wire.TalkOffer{Session: id.New[id.Session](), SDP: "v=0", By: "Anna", Trickle: true}
			got, err := b.Talk(t.Context(), p, o, Viewer{})
			if err != nil || got.SDP != "answer to v=0" || !b.Open(o.Session) {
				t.Fatalf("Talk = %+v, %v", got, err)
			}
			return o.Session
		}
		first := speak()
		if sent := agent.talks[0]; sent.Camera != p.Camera || sent.By != "Anna" || len(sent.ICE) != 1 || !sent.Trickle || sent.Session != first {
			t.Errorf("the agent got %+v", sent)
		}
		if state, err := b.AskTalk(t.Context(), p); err != nil || state.By != "Anna " || state.ForUs != 5 {
			t.Errorf("AskTalk = %+v, %v", state, err)
		}
		if _, err := b.Paths(t.Context(), wire.LivePaths{Session: first}); err != nil || len(agent.told) != 1 {
			t.Errorf("addresses of a talk: %v, %d told", err, len(agent.told))
		}
		for range 2 {
			if err := b.Close(t.Context(), first); err != nil {
				t.Fatal(err)
			}
		}
		second := speak()
		b.Reported(p.Agent, nil) // from before the agent knew of it
		if !b.Open(second) {
			t.Fatal("a talk that has just begun counts as ended")
		}
		time.Sleep(settleTalk + time.Millisecond)
		b.Reported(p.Agent, []id.Session{second})
		if !b.Open(second) {
			t.Fatal("a talk that the agent reports has ended")
		}
		b.Reported(p.Agent, nil)
		if b.Open(second) || !slices.Equal(silent, []id.Session{first, second}) || !slices.Equal(agent.closed, []id.Session{first}) {
			t.Errorf("the end of %v was told, that of %v to the agent; want %v and %v", silent, agent.closed, []id.Session{first, second}, first)
		}
		agent.turn(func(a *farAgent) { a.refuse = &wire.Reply{Error: "Anna is speaking.", Code: wire.FailedTaken} })
		third := id.New[id.Session]()
		var f *wire.Failure
		if _, err := b.Talk(t.Context(), p, wire.TalkOffer{Session: third, SDP: "v=0"}, Viewer{}); !errors.As(err, &f) || f.Code != wire.FailedTaken || b.Open(third) {
			t.Errorf("while Anna speaks: %v", err)
		}
		if _, err := b.Talk(t.Context(), Place{}, wire.TalkOffer{Session: third, SDP: "v=0"}, Viewer{}); !errors.As(err, &f) || f.Code != Offline {
			t.Errorf("without an agent: %v", err)
		}
	})
}

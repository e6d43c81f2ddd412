package live

import (
	"context"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// settleTalk is when an agent that does not report a talk has ended it. It reports the end of one at once, and whoever waits
// to speak need not wait as long as for a picture.
const settleTalk = 5 * time.Second

func (b *Broker) settle(s session) time.Duration {
	if s.talk {
		return min(settleTalk, b.cfg.Settle)
	}
	return b.cfg.Settle
}

// Talk passes on the offer of somebody who wants to speak at a camera, and returns the answer of its agent, who decides
// who speaks; offer.Session names the connection, which is the site's own, whatever the person watches through. The error is
// a *wire.Failure when the person should read it.
func (b *Broker) Talk(ctx context.Context, p Place, offer wire.TalkOffer, by Viewer) (wire.LiveAnswer, error) {
	switch {
	case len(offer.SDP) == 0 || len(offer.SDP) > b.cfg.MaxSDP:
		return wire.LiveAnswer{}, wire.Fail(wire.FailedRefused, "The offer has %d bytes, want 1 to %d.", len(offer.SDP), b.cfg.MaxSDP)
	case p.Agent == "":
		return wire.LiveAnswer{}, noAgent()
	case !b.admit(offer.Session, session{place: p, talk: true}):
		return wire.LiveAnswer{}, tooMany()
	}
	offer.Camera, offer.ICE = p.Camera, b.lend(p.Agent, offer.Session)
	if b.cfg.Turn != nil && by.Credentials != "" && !b.cfg.Turn.Bind(by.Credentials, string(by.Person), offer.Session) {
		b.log.Info("a person named relay credentials that are not theirs or have ended: they connect without the cloud's relay", "session", offer.Session)
	}
	var answer wire.LiveAnswer
	if _, err := b.ask(ctx, p.Agent, wire.CmdTalk, offer, &answer); err != nil {
		b.forget(offer.Session)
		if ctx.Err() != nil { // nobody waits for the answer, and nobody else should wait for that person
			go b.hangUp(context.WithoutCancel(ctx), p.Agent, offer.Session)
		}
		return wire.LiveAnswer{}, err
	}
	b.begin(offer.Session)
	return answer, nil
}

// begin notes that the agent has answered: from now on it reports the session.
func (b *Broker) begin(sid id.Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.sessions[sid]; ok {
		s.began = time.Now()
		b.sessions[sid] = s
	}
}

// AskTalk asks a camera's agent whether one can speak there, and who does.
func (b *Broker) AskTalk(ctx context.Context, p Place) (wire.TalkState, error) {
	if p.Agent == "" {
		return wire.TalkState{}, noAgent()
	}
	var state wire.TalkState
	_, err := b.ask(ctx, p.Agent, wire.CmdTalkAsk, wire.TalkAsk{Camera: p.Camera}, &state)
	state.By, state.Text = wire.CleanText(state.By, wire.MaxNameRunes), wire.CleanText(state.Text, wire.MaxTextRunes)
	return state, err
}

// hangUp has an agent end a talk that may have begun there.
func (b *Broker) hangUp(ctx context.Context, agent id.Agent, session id.Session) {
	if err := b.finish(ctx, session, agent); err != nil {
		b.log.Info("a talk that was given up may go on at its site for some seconds", "session", session, "error", err)
	}
}

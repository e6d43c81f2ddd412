package live

import (
	"context"

	"holdfast/agent/live/talk"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// newTalk makes the room of those who speak. Their connections come in by the port of those who watch.
func (r *Room) newTalk() *talk.Room {
	return talk.New(r.cfg.Talk, talk.Deps{Speaker: r.speaker, Setup: r.ear, Ended: r.footage.TalkEnded, Log: r.log})
}

func (r *Room) speaker(camera id.Camera) talk.Speaker {
	if r.footage.Speaker == nil {
		return nil
	}
	return r.footage.Speaker(camera)
}

// ear is what a connection is made with over which somebody is heard.
func (r *Room) ear(ctx context.Context, servers []wire.ICEServer) (rtc.Setup, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed != "":
		return rtc.Setup{}, wire.Fail(wire.FailedOtherwise, "%s", r.closed)
	case r.port == nil:
		return rtc.Setup{}, wire.Fail(wire.FailedBusy, "The site's agent is starting or stopping. Try again in a moment.")
	}
	near := &toll{ctx: ctx, flow: r.checks}
	near.outside.Store(true) // reports alone, and few: wherever they go they are booked
	return rtc.Setup{Port: r.port, Servers: servers, Dialer: newRelayDialer(ctx, &r.cfg, servers, r.checks.Spend), Near: near, Log: r.log}, nil
}

// Talk answers the offer of somebody who wants to speak through a camera, once the camera listens. The error is a
// *wire.Failure when the person should read it.
func (r *Room) Talk(ctx context.Context, offer wire.TalkOffer) (wire.LiveAnswer, error) {
	return r.talk.Offer(ctx, offer)
}

// AskTalk says whether one can speak at a camera now, and who does. A device that was not asked lately is.
func (r *Room) AskTalk(ctx context.Context, ask wire.TalkAsk) wire.TalkState {
	return r.talk.Ask(ctx, ask.Camera)
}

package live

import (
	"context"
	"time"

	"github.com/coder/websocket"

	"holdfast/shared/wire"
)

// Socket shows a camera over a WebSocket, through the relay, until the viewer leaves or the session is closed, and closes conn;
// view.Session names the session. Why the camera can't be shown the viewer is told in the word that refuse makes of it. An
// error says that nobody is asked; it is a *wire.Failure when the viewer should read it, and conn is as it was.
func (b *Broker) Socket(ctx context.Context, p Place, view wire.LiveView, conn *websocket.Conn, refuse func(error) any) error {
	switch {
	case p.Agent == "":
		return noAgent()
	case b.relay == nil:
		return wire.Fail(wire.FailedRefused, "There is no relay for live view here, so that a browser without WebRTC can't watch. Ask the person who runs the cloud to switch it on.")
	case !b.admit(view.Session, session{place: p, began: time.Now(), relay: true}):
		return tooMany()
	}
	view.Camera = p.Camera
	err := b.relay.Socket(ctx, p.Agent, view, conn, refuse)
	b.forget(view.Session)
	return err
}

// Package nvr is the room of what devices do besides sending video: cameras that turn and zoom, and key frames on request. The
// sub-package onvif speaks with those that know ONVIF.
//
// It owns the orders to each camera. It promises that a camera which turns is told to stop when nobody has renewed the
// order for a second, whatever became of the person, the line or the cloud; that one camera's orders reach its device one
// after the other, and that of those which wait for a slow device only the newest is carried out; and that a device is
// asked for key frames at most once in two seconds. It asks no device that the site's configuration does not name, and it never
// records.
package nvr

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Device is one camera as its device sees it: the camera itself, or a channel of a recorder. It is safe for concurrent use; an
// error that a person should read is a *wire.Failure.
type Device interface {
	// Ask returns what the camera can be told to do. The device is asked anew, or for the presets alone as long as the rest is
	// known.
	Ask(ctx context.Context, anew bool) (wire.PTZReply, error)
	// Do has the device carry out every act but ask. A move ends by itself after Lasting.
	Do(ctx context.Context, order wire.PTZOrder) error
	// KeyFrame asks for a key frame of a stream as soon as possible.
	KeyFrame(ctx context.Context, kind id.StreamKind) error
}

// Lasting is how long a device goes on with a move when it hears nothing more, not even from an agent that has crashed.
const Lasting = 3 * time.Second

const (
	// lease is how long a move goes on without being renewed.
	lease = time.Second
	// kept is how long it is remembered what a camera can do.
	kept = 5 * time.Minute
	// limit bounds one request to a device.
	limit = 8 * time.Second
	// searching bounds what finds out what a device is: a recorder is asked a question for each of its channels.
	searching = 30 * time.Second
	// farewell bounds what is said to a device when the agent ends.
	farewell = 2 * time.Second
	// idle is how long a camera must have been left alone for older turns to be taken again: the cloud's clock may have been
	// set back.
	idle = 30 * time.Second
	// keyPause is the least time between two requests for a key frame of one camera.
	keyPause = 2 * time.Second
)

// Room steers the cameras.
type Room struct {
	heads map[id.Camera]*head
	off   func(id.Camera) bool
	log   *slog.Logger
}

// New returns the Room of the cameras that have a device; Run must follow. off says which are switched off: they are told to stop
// and nothing else.
func New(devices map[id.Camera]Device, off func(id.Camera) bool, log *slog.Logger) *Room {
	r := &Room{heads: map[id.Camera]*head{}, off: off, log: log}
	for cam, d := range devices {
		r.heads[cam] = newHead(d, log.With("camera", cam))
	}
	return r
}

// Knows says whether a camera has a device that may be asked.
func (r *Room) Knows(cam id.Camera) bool { return r.heads[cam] != nil }

// Run carries out orders until ctx ends, then stops every camera that still moves.
func (r *Room) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, h := range r.heads {
		all.Go(func() { h.steer(ctx) })
		all.Go(func() { h.inform(ctx) })
		all.Go(func() { h.refresh(ctx) })
	}
	<-ctx.Done()
	all.Wait()
	return nil
}

// Do carries out an order and returns when the device has, or when a newer order has taken its place. The error is a
// *wire.Failure when a person should read it.
func (r *Room) Do(ctx context.Context, o wire.PTZOrder) (wire.PTZReply, error) {
	h := r.heads[o.Camera]
	if h == nil {
		return wire.PTZReply{}, wire.Fail(wire.FailedUnknownCamera,
			"The site's configuration names no device that could move this camera. Add  onvif:  to it in holdfast.yaml.")
	}
	if err := o.Check(); err != nil {
		return wire.PTZReply{}, wire.Fail(wire.FailedRefused, "The order can't be carried out: %v.", err)
	}
	if o.Act != wire.PTZStop && r.off(o.Camera) {
		return wire.PTZReply{}, wire.Fail(wire.FailedRefused, wire.SwitchedOff)
	}
	switch o.Act {
	case wire.PTZAsk:
		return h.ask(ctx, false)
	case wire.PTZSave, wire.PTZRemove:
		if err := h.order(ctx, o); err != nil {
			return wire.PTZReply{}, err
		}
		return h.ask(ctx, true)
	default:
		return wire.PTZReply{}, h.order(ctx, o)
	}
}

// KeyFrame asks the device for a key frame of a stream. It does not wait, and a device that was asked a moment ago, or is
// not there, is no error: the next key frame comes by itself.
func (r *Room) KeyFrame(s id.Stream) {
	h := r.heads[s.Camera]
	if h == nil || r.off(s.Camera) {
		return
	}
	select {
	case h.keys[s.Kind] <- struct{}{}:
	default: // one waits already
	}
}

// refresh asks for key frames as they are wanted, not more often than keyPause.
func (h *head) refresh(ctx context.Context) {
	var said string
	for {
		var kind id.StreamKind
		select {
		case <-ctx.Done():
			return
		case <-h.keys[id.Main]:
			kind = id.Main
		case <-h.keys[id.Sub]:
			kind = id.Sub
		}
		limited, cancel := context.WithTimeout(ctx, searching)
		err := h.guarded(func() error { return h.device.KeyFrame(limited, kind) })
		cancel()
		if text := fmt.Sprint(err); err != nil && ctx.Err() == nil && text != said {
			said = text
			h.log.Warn("ask for a key frame", "stream", kind, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(keyPause):
		}
	}
}

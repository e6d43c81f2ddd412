package nvr

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// head is one camera and what it was told.
type head struct {
	device Device
	log    *slog.Logger
	wake   chan struct{}                   // holds a token while an order waits
	keys   map[id.StreamKind]chan struct{} // likewise, while a key frame is wanted
	asks   chan question

	mu     sync.Mutex
	next   *job      // the newest order, which nobody has begun
	turn   int64     // the highest so far
	number int64     // the highest of that turn
	heard  time.Time // when an order was taken last

	able  wire.PTZReply // what the camera can do; these two are inform's alone
	asked time.Time     // when the device said so; zero: it is to be asked anew
}

func newHead(d Device, log *slog.Logger) *head {
	return &head{
		device: d, log: log, wake: make(chan struct{}, 1), asks: make(chan question),
		keys: map[id.StreamKind]chan struct{}{id.Main: make(chan struct{}, 1), id.Sub: make(chan struct{}, 1)},
	}
}

// question is somebody who wants to know what the camera can do.
type question struct {
	changed bool             // its presets have just been changed
	reply   chan<- knowledge // with room for one
}

// knowledge is what a question is answered with.
type knowledge struct {
	able wire.PTZReply
	err  error
}

// job is an order on its way to the device.
type job struct {
	order wire.PTZOrder
	at    time.Time  // when it came
	done  chan error // with room for one
}

// motion is what the device was told to do, and may still be doing. Only steer's goroutine has one.
type motion struct {
	on    bool
	order wire.PTZOrder
	told  time.Time // when the device was told
	until time.Time // it stops then
	tries int       // to stop it, in vain
}

const (
	// stopAgain is the time between two tries to stop a camera whose device does not answer.
	stopAgain = 500 * time.Millisecond
	// stopTries is how often that is tried: by then the device has stopped by itself long ago.
	stopTries = 10
)

// ask returns what the camera can do; changed says that its presets have just been changed.
func (h *head) ask(ctx context.Context, changed bool) (wire.PTZReply, error) {
	ctx, cancel := context.WithTimeout(ctx, searching)
	defer cancel()
	reply := make(chan knowledge, 1)
	select {
	case h.asks <- question{changed, reply}:
	case <-ctx.Done():
		return wire.PTZReply{}, late(ctx)
	}
	select {
	case k := <-reply:
		return k.able, k.err
	case <-ctx.Done():
		return wire.PTZReply{}, late(ctx)
	}
}

// late is what is said to somebody who could not wait any longer.
func late(ctx context.Context) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	return wire.Fail(wire.FailedBusy, "The camera's device is still being asked what it can do. Try again in a moment.")
}

// inform answers who wants to know what the camera can do, one after the other. What the device says is kept although whoever
// asked has gone: a recorder with many channels takes longer than people wait.
func (h *head) inform(ctx context.Context) {
	for {
		select {
		case q := <-h.asks:
			able, err := h.know(ctx, q.changed)
			q.reply <- knowledge{able, err}
		case <-ctx.Done():
			return
		}
	}
}

// know returns what the device said a while ago, or asks it anew; for the presets alone when they have changed.
func (h *head) know(ctx context.Context, changed bool) (able wire.PTZReply, err error) {
	if !changed && !h.asked.IsZero() && time.Since(h.asked) < kept {
		return h.able, nil
	}
	ctx, cancel := context.WithTimeout(ctx, searching)
	defer cancel()
	err = h.guarded(func() (err error) {
		able, err = h.device.Ask(ctx, !changed)
		return err
	})
	switch {
	case err == nil:
		able.Tidy()
		h.able, h.asked = able, time.Now()
	case changed && !h.asked.IsZero(): // what was changed is done, and not to be told as failed
		able, err, h.asked = h.able, nil, time.Time{}
	}
	return able, err
}

// take takes an order that is newer than all before it; one without a number is always new in its turn. One that has come late
// is no error and not fresh; one of a turn that is over is refused.
func (h *head) take(o wire.PTZOrder, now time.Time) (fresh bool, err error) {
	if now.Sub(h.heard) > idle {
		h.turn, h.number = 0, 0
	}
	switch {
	case o.Turn < h.turn:
		return false, wire.Fail(wire.FailedRefused, "Somebody else moves this camera by now.")
	case o.Turn > h.turn:
		h.turn, h.number = o.Turn, 0
	case o.Number > 0 && o.Number <= h.number:
		return false, nil
	}
	h.number, h.heard = max(h.number, o.Number), now
	return true, nil
}

// order puts an order in the place of the one that waits, and waits for the device.
func (h *head) order(ctx context.Context, o wire.PTZOrder) error {
	j := &job{order: o, at: time.Now(), done: make(chan error, 1)}
	h.mu.Lock()
	fresh, err := h.take(o, j.at)
	if err != nil || !fresh {
		h.mu.Unlock()
		return err
	}
	if h.next != nil {
		h.next.done <- overtaken(h.next.order)
	}
	h.next = j
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// overtaken is what becomes of an order whose place a newer one has taken: nobody wants a movement any more, but a preset is
// still to be changed.
func overtaken(o wire.PTZOrder) error {
	if o.Act == wire.PTZSave || o.Act == wire.PTZRemove {
		return wire.Fail(wire.FailedBusy, "The camera was told something else before it came to this. Try again.")
	}
	return nil
}

// newest returns the order that waits, and nil when there is none.
func (h *head) newest() *job {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := h.next
	h.next = nil
	return j
}

// steer carries orders out, one after the other, and stops what nobody renews.
func (h *head) steer(ctx context.Context) {
	var m motion
	for ctx.Err() == nil {
		var over <-chan time.Time
		if m.on {
			over = time.After(time.Until(m.until))
		}
		select {
		case <-ctx.Done():
		case <-h.wake:
			h.carryNewest(ctx, &m)
		case <-over:
			// What was renewed in this very moment goes on.
			if !h.carryNewest(ctx, &m) {
				_ = h.stop(ctx, &m) // it is tried again, and said in the end
			}
		}
	}
	if m.on {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		_ = h.stop(last, &m) // the device stops by itself in a moment
	}
}

// carryNewest carries out the order that waits, and says whether there was one.
func (h *head) carryNewest(ctx context.Context, m *motion) bool {
	j := h.newest()
	if j != nil {
		j.done <- h.carry(ctx, m, j)
	}
	return j != nil
}

// carry has the device do what an order says.
func (h *head) carry(ctx context.Context, m *motion, j *job) error {
	o := j.order
	if o.Act == wire.PTZMove && o.Pan == 0 && o.Tilt == 0 && o.Zoom == 0 {
		o.Act = wire.PTZStop
	}
	if o.Act != wire.PTZMove {
		if m.on || o.Act == wire.PTZStop {
			if err := h.stop(ctx, m); err != nil || o.Act == wire.PTZStop {
				return err
			}
		}
		return h.do(ctx, o)
	}
	same := m.on && m.tries == 0 && o.Pan == m.order.Pan && o.Tilt == m.order.Tilt && o.Zoom == m.order.Zoom
	m.until = j.at.Add(lease)
	if same && time.Since(m.told) < Lasting/3 {
		return nil // the device goes on for long enough
	}
	m.on, m.order, m.told, m.tries = true, o, time.Now(), 0
	err := h.do(ctx, o)
	if err != nil {
		m.until = time.Now() // it may have begun all the same
	}
	return err
}

// stop stops the camera. Until the device has said that it does, it is tried again.
func (h *head) stop(ctx context.Context, m *motion) error {
	err := h.do(ctx, wire.PTZOrder{Camera: m.order.Camera, Act: wire.PTZStop})
	switch {
	case err == nil:
		*m = motion{}
	case m.on:
		m.tries++
		m.until = time.Now().Add(stopAgain)
		if m.tries >= stopTries {
			h.log.Warn("a camera could not be told to stop; its device stops it by itself", "error", err)
			*m = motion{}
		}
	}
	return err
}

func (h *head) do(ctx context.Context, o wire.PTZOrder) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return h.guarded(func() error { return h.device.Do(ctx, o) })
}

// guarded keeps a fault in reading what a device says from ending the agent, which records.
func (h *head) guarded(ask func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			h.log.Error("the agent has a fault in reading what a camera's device says: please report it", "fault", fault, "stack", string(debug.Stack()))
			err = wire.Fail(wire.FailedOtherwise, "The agent has a fault in reading what the camera answers. Its log has the details: please report them.")
		}
	}()
	return ask()
}

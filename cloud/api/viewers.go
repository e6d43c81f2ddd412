package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// viewer is an open live session and the right that it stands on.
type viewer struct {
	who    access.Actor
	action access.Action
	target access.Target
	readAt time.Time // when the right was last read
	relay  bool      // of a connection: the relay serves it
	end    func()    // of a WebSocket: ends it; else nil
	talk   *talk     // of somebody who speaks; else nil
}

// blind is how long a live session goes on while the right can't be read, as when the database is away.
const blind = 40 * time.Second

// viewers knows who opened which live session.
type viewers struct {
	mu   sync.Mutex
	open map[id.Session]viewer
}

func newViewers() *viewers { return &viewers{open: map[id.Session]viewer{}} }

func (v *viewers) put(session id.Session, w viewer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open[session] = w
}

func (v *viewers) get(session id.Session) (viewer, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w, ok := v.open[session]
	return w, ok
}

// renew notes that a right was read just now. What has ended meanwhile stays forgotten.
func (v *viewers) renew(session id.Session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if w, ok := v.open[session]; ok {
		w.readAt = time.Now()
		v.open[session] = w
	}
}

// take forgets a session, and returns it once.
func (v *viewers) take(session id.Session) (viewer, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w, ok := v.open[session]
	delete(v.open, session)
	return w, ok
}

func (v *viewers) all() map[id.Session]viewer {
	v.mu.Lock()
	defer v.mu.Unlock()
	copied := make(map[id.Session]viewer, len(v.open))
	for s, w := range v.open {
		copied[s] = w
	}
	return copied
}

// count returns how many sessions one actor has that are open.
func (v *viewers) count(who access.Actor, open func(id.Session) bool) int {
	n := 0
	for session, w := range v.all() {
		if w.who.Same(who) && open(session) {
			n++
		}
	}
	return n
}

// speaks says whether an actor speaks at a camera.
func (v *viewers) speaks(who access.Actor, camera id.Camera) bool {
	for _, w := range v.all() {
		if w.talk != nil && w.talk.camera.ID == camera && w.who.Same(who) {
			return true
		}
	}
	return false
}

// sweepViewers closes every live session whose viewer lost the right to it, and forgets those that ended.
func (a *API) sweepViewers(ctx context.Context) {
	var without []id.Session
	for session, v := range a.viewers.all() {
		if v.end == nil && !a.rooms.Live.Open(session) {
			a.ended(ctx, session)
			continue
		}
		err := a.still(ctx, v)
		if err == nil {
			a.viewers.renew(session)
			continue
		}
		if !lost(err) && time.Since(v.readAt) < blind {
			continue
		}
		if v.end != nil {
			v.end() // and forgets it
			continue
		}
		without = append(without, session)
	}
	a.hangUpAll(ctx, without)
}

// sweepTalks ends every talk, for the cloud stops: nobody would end them, or write their end down.
func (a *API) sweepTalks(ctx context.Context) {
	var talks []id.Session
	for session, v := range a.viewers.all() {
		if v.talk != nil {
			talks = append(talks, session)
		}
	}
	a.hangUpAll(ctx, talks)
}

// ended forgets a live session; that somebody has spoken over it is written down.
func (a *API) ended(ctx context.Context, session id.Session) {
	if v, ok := a.viewers.take(session); ok && v.talk != nil {
		a.talked(ctx, v)
	}
}

// hangUp ends a live session. After an error it has ended here, and its agent is told again when that reports it.
func (a *API) hangUp(ctx context.Context, session id.Session) error {
	defer a.ended(ctx, session)
	return a.rooms.Live.Close(ctx, session)
}

// closings is how many sessions are ended beside each other: an agent that hangs keeps the others waiting no longer than one
// does.
const closings = 32

func (a *API) hangUpAll(ctx context.Context, sessions []id.Session) {
	var all errgroup.Group
	all.SetLimit(closings)
	for _, session := range sessions {
		all.Go(func() error {
			if err := a.hangUp(ctx, session); err != nil {
				a.log.Warn("a live session is not closed at its site yet", "session", session, "error", err)
			}
			return nil
		})
	}
	_ = all.Wait() // each has said what went wrong
}

// review has everybody's right to watch read again soon.
func (a *API) review() {
	select {
	case a.revoked <- struct{}{}:
	default: // that is about to be done already
	}
}

// lost tells an error that takes a right away from one that only hides it.
func lost(err error) bool {
	return errors.Is(err, access.ErrSignedOut) || errors.Is(err, access.ErrPlayer) || errors.Is(err, access.ErrForbidden) || errors.Is(err, store.ErrNotFound)
}

// still returns nil while a viewer may go on.
func (a *API) still(ctx context.Context, v viewer) error {
	now, err := a.access.Refresh(ctx, v.who)
	if err != nil {
		return err
	}
	return access.Can(now, v.action, v.target)
}

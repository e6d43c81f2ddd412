package api

import (
	"context"
	"errors"
	"sync"
	"time"

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

func (v *viewers) drop(session id.Session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.open, session)
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

// sweepViewers closes every live session whose viewer lost the right to watch, and forgets those that ended.
func (a *API) sweepViewers(ctx context.Context) {
	for session, v := range a.viewers.all() {
		if !a.rooms.Live.Open(session) {
			a.viewers.drop(session)
			continue
		}
		err := a.still(ctx, v)
		if err == nil {
			v.readAt = time.Now()
			a.viewers.put(session, v)
			continue
		}
		if !lost(err) && time.Since(v.readAt) < blind {
			continue
		}
		if err := a.rooms.Live.Close(ctx, session); err != nil {
			a.log.Warn("a live session without a right is not closed yet", "session", session, "error", err)
			continue
		}
		a.viewers.drop(session)
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

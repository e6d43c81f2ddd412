package api

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/cloud/access"
	"holdfast/shared/id"
)

// TestSessionsAreClosedBesideEachOther: a site that hangs keeps the others waiting no longer than one session of it does.
func TestSessionsAreClosedBesideEachOther(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	viewer := w.join(w.org, access.Viewer, []id.Site{p.site})
	const many = closings
	for range many {
		if got := w.offer(viewer, p, ""); got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	var inside, most atomic.Int32
	w.rooms.turn(func(r *rooms) {
		r.closes = func() { // a site that is slow to answer
			now := inside.Add(1)
			defer inside.Add(-1)
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			<-time.After(100 * time.Millisecond)
		}
	})
	if err := w.access.RemovePerson(t.Context(), w.owner().who, viewer.who.Person); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of all", func() bool { return w.rooms.openCount() == 0 && len(w.api.viewers.all()) == 0 })
	// A sweep that was under way when the right went sees some of them only.
	if n := most.Load(); n < many/4 {
		t.Errorf("at most %d of %d sessions were closed at once", n, many)
	}
}

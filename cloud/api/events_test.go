package api

import (
	"net/http"
	"slices"
	"testing"

	"holdfast/cloud/access"
	"holdfast/shared/id"
)

// TestEventsOfACameraThatIsNamedTwice come once.
func TestEventsOfACameraThatIsNamedTwice(t *testing.T) {
	w := sqliteWorld(t)
	p, q := w.place(), w.place()
	viewer := w.join(w.org, access.Viewer, []id.Site{p.site, q.site})
	query := "?cameras=" + string(q.camera) + "&cameras=" + string(p.camera) + "&cameras=" + string(q.camera)
	if got := w.ask(viewer, http.MethodGet, prefix+"/events"+query, ""); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	want := []id.Camera{p.camera, q.camera}
	slices.Sort(want)
	if !slices.Equal(w.rooms.asked.Cameras, want) {
		t.Errorf("the room was asked for %v, want %v", w.rooms.asked.Cameras, want)
	}
}

// TestAWrongLinkMakesNobodysRightBeReadAgain: anybody can send one, and as many as he likes.
func TestAWrongLinkMakesNobodysRightBeReadAgain(t *testing.T) {
	w := sqliteWorld(t)
	w.stop() // nobody takes what is to be reviewed
	for what, got := range map[string]answer{
		"a link":   w.ask(actor{}, http.MethodPost, prefix+"/passwords", `{"token":"wrong","password":"`+password+`"}`),
		"a person": w.ask(w.owner(), http.MethodDelete, prefix+"/people/"+string(id.New[id.Person]()), ""),
	} {
		if got.status < 400 || len(w.api.revoked) != 0 {
			t.Errorf("%s that nobody knows: %d %s, and rights are read again: %v", what, got.status, got.body, len(w.api.revoked) != 0)
		}
	}
}

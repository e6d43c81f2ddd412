package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"holdfast/cloud/access"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

func (w *world) speak(a actor, p place, query string) answer {
	w.t.Helper()
	return w.ask(a, http.MethodPost, prefix+p.fill("/cameras/{camera}/talk")+query, "v=0\r\n", "Content-Type", sdpType)
}

// talked returns the details of the audit's rows about speaking, in order, and who they are of.
func (w *world) talked() (out []string) {
	w.t.Helper()
	rows, err := w.db.Read().QueryContext(w.t.Context(), `SELECT action, person_name, detail FROM audit WHERE org = $1 AND action LIKE 'talk%' ORDER BY seq`, w.org)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var action, name, detail string
		if err := rows.Scan(&action, &name, &detail); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, action+" "+name+" "+detail)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// TestTalk: who speaks is known to the agent, to the others and to the audit, from beginning to end.
func TestTalk(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	manager := w.join(w.org, access.Manager, []id.Site{p.site})
	l := w.bus.listen(w.org)
	defer l.close()
	told := func() (kinds []string) {
		changes, _ := l.take()
		for _, c := range changes {
			if c.Camera == p.camera {
				kinds = append(kinds, c.Kind)
			}
		}
		return kinds
	}
	got := w.speak(manager, p, "?trickle=true&relay=turn-user")
	location := got.header.Get("Location")
	if got.status != http.StatusCreated || got.body != "v=0\r\n" || got.header.Get("Content-Type") != sdpType || !strings.HasPrefix(location, prefix+"/live/") {
		t.Fatalf("%d %v %s", got.status, got.header, got.body)
	}
	o := w.rooms.talks[0]
	if o.Org != w.org || o.Site != p.site || o.Relay != "turn-user" || o.Offer.Camera != p.camera || o.Offer.By != manager.who.Name || !o.Offer.Trickle || livePath(o.Offer.Session) != location {
		t.Errorf("the room got %+v", o)
	}
	if kinds := told(); !slices.Equal(kinds, []string{"talk"}) {
		t.Errorf("the others hear of %q", kinds)
	}
	if rows := w.talked(); len(rows) != 1 || !strings.HasPrefix(rows[0], "talk_begun "+manager.who.Name) {
		t.Errorf("before anything can be heard the audit says %q", rows)
	}
	w.rooms.turn(func(r *rooms) { r.talk = wire.TalkState{Codec: "pcmu", By: "Anna", ForUs: 5_000_000} })
	if got := w.ask(manager, http.MethodGet, prefix+p.fill("/cameras/{camera}/talk"), ""); got.status != http.StatusOK || !strings.Contains(got.body, `"possible":true`) || !strings.Contains(got.body, `"by":"Anna","mine":true,"since_us":`) {
		t.Errorf("who speaks: %d %s", got.status, got.body)
	}
	w.rooms.turn(func(r *rooms) { r.talk = wire.TalkState{Text: "This camera's loudspeaker wants AAC."} })
	if got := w.ask(manager, http.MethodGet, prefix+p.fill("/cameras/{camera}/talk"), ""); !strings.Contains(got.body, `"possible":false`) || !strings.Contains(got.body, "wants AAC") {
		t.Errorf("why not: %d %s", got.status, got.body)
	}
	if got := w.ask(manager, http.MethodDelete, location, ""); got.status != http.StatusNoContent {
		t.Fatalf("stop speaking: %d %s", got.status, got.body)
	}
	w.api.Silent(o.Offer.Session) // as the broker does
	eventually.True(t, "the end in the audit", func() bool { return len(w.talked()) == 2 })
	if rows := w.talked(); !strings.HasPrefix(rows[1], "talk_ended "+manager.who.Name) || !strings.Contains(rows[1], " to ") || !strings.Contains(rows[1], "from 20") {
		t.Errorf("the audit says %q", rows)
	}
	eventually.True(t, "the others to hear of the end", func() bool { return slices.Equal(told(), []string{"talk"}) })
}

// TestTalkEnds: a talk that the site has ended, one whose right is gone, and those of a cloud that stops are written down.
func TestTalkEnds(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	manager, gone := w.join(w.org, access.Manager, nil), w.join(w.org, access.Manager, nil)
	w.speak(manager, p, "")
	w.rooms.turn(func(r *rooms) { delete(r.open, r.talks[0].Offer.Session) })
	eventually.True(t, "the end by the site", func() bool { return len(w.talked()) == 2 })
	w.speak(gone, p, "")
	if err := w.access.RemovePerson(t.Context(), w.owner().who, gone.who.Person); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the end with the right", func() bool { return len(w.talked()) == 4 && w.rooms.openCount() == 0 })
	w.speak(manager, p, "")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.api.hangUp(cancelled, w.rooms.talks[2].Offer.Session); err != nil || len(w.talked()) != 6 {
		t.Errorf("%v, and the audit says %q when nobody waits for it", err, w.talked())
	}
	w.speak(manager, p, "")
	w.stop()
	if len(w.talked()) != 8 || w.rooms.openCount() != 0 {
		t.Errorf("the cloud has stopped, %d talks go on at their sites, and the audit says %q", w.rooms.openCount(), w.talked())
	}
	if got := w.speak(manager, p, ""); got.status != http.StatusGone || w.rooms.openCount() != 0 || len(w.talked()) != 10 {
		t.Errorf("who comes later is answered %d %s", got.status, got.body)
	}
}

// TestATalkThatIsOverAtOnce is none to whoever asked for it, and has both its rows all the same.
func TestATalkThatIsOverAtOnce(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	w.rooms.turn(func(r *rooms) { r.brief = true })
	if got := w.speak(w.owner(), p, ""); got.status != http.StatusGone || !strings.Contains(got.body, "Try again") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if rows := w.talked(); len(rows) != 2 || w.rooms.openCount() != 0 {
		t.Errorf("the audit says %q", rows)
	}
}

// TestTalkRefused: what did not come about is no talk.
func TestTalkRefused(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	w.rooms.turn(func(r *rooms) { r.err = &Refusal{Code: string(wire.FailedTaken), Text: "Anna is speaking."} })
	if got := w.speak(w.owner(), p, ""); got.status != http.StatusConflict || !strings.Contains(got.body, "Anna is speaking.") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if rows := w.talked(); len(rows) != 0 {
		t.Errorf("the audit says %q", rows)
	}
	w.rooms.turn(func(r *rooms) { r.err = nil })
	if got := w.ask(w.owner(), http.MethodGet, "/", ""); !strings.Contains(got.header.Get("Permissions-Policy"), "microphone=(self)") {
		t.Errorf("the portal's page may not use the microphone: %s", got.header.Get("Permissions-Policy"))
	}
	if got := w.ask(w.owner(), http.MethodPost, prefix+p.fill("/cameras/{camera}/talk"), "v=0\r\n", "Content-Type", "text/plain"); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("an offer of another kind: %d %s", got.status, got.body)
	}
}

package api

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/access"
	"holdfast/shared/id"
)

// listening is an open GET /changes.
type listening struct {
	lines chan string // data of each change; closed at the end
	pings chan struct{}
}

func (w *world) listen(a actor) listening {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+prefix+"/changes", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: w.api.cookieName(), Value: a.cookie})
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("GET /changes: %v %v", res, err)
	}
	l := listening{lines: make(chan string, 5000), pings: make(chan struct{}, 5000)}
	go func() {
		defer close(l.lines)
		defer func() { _ = res.Body.Close() }()
		in := bufio.NewScanner(res.Body)
		for in.Scan() {
			if data, ok := strings.CutPrefix(in.Text(), "data: "); ok {
				l.lines <- data
			}
			if in.Text() == ": ping" {
				l.pings <- struct{}{}
			}
		}
	}()
	return l
}

// next returns the next change, or "" when the stream ended.
func (l listening) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-l.lines:
		return line
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was sent")
		return ""
	}
}

func TestChangesAreFiltered(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	end := Changed{Org: w.org, Site: p.site, Kind: "site", ID: "end"}
	all := []Changed{
		{Org: w.other, Site: p.site, Kind: "site", ID: "other tenant"},
		{Org: w.org, Site: w.far, Kind: "site", ID: "far"},
		{Org: w.org, Site: p.site, Camera: p.camera, Kind: "clip", ID: "clip"},
		{Org: w.org, Site: p.site, Camera: p.camera, Kind: "coverage"},
		{Org: w.org, Site: p.site, Kind: "event", ID: "event"},
		{Org: w.org, Site: p.site, Kind: "incident", ID: "incident"},
		{Org: w.org, Kind: "people", ID: "somebody"},
		{Org: w.org, Site: p.site, Kind: "made-up"},
	}
	site := string(p.site)
	for _, tc := range []struct {
		name string
		a    actor
		want []string
	}{
		{"owner", w.owner(), []string{"far", "clip", "coverage", "event", "incident", "people"}},
		{"manager in", w.join(w.org, access.Manager, []id.Site{p.site}), []string{"clip", "coverage", "event", "incident", "people"}},
		{"viewer in", w.join(w.org, access.Viewer, []id.Site{p.site}), []string{"clip", "coverage", "event", "incident"}},
		{"support", w.join(w.org, access.Support, []id.Site{p.site}), []string{"event", "incident"}},
	} {
		l := w.listen(tc.a)
		<-l.pings // it listens
		for _, c := range append(all, end) {
			w.bus.Publish(c)
		}
		for _, want := range tc.want {
			if got := l.next(t); !strings.Contains(got, want) || strings.Contains(got, "somebody") || want != "far" && want != "people" && !strings.Contains(got, site) {
				t.Errorf("%s: got %s, want %s", tc.name, got, want)
			}
		}
		if got := l.next(t); !strings.Contains(got, `"end"`) {
			t.Errorf("%s: got %s, want the end", tc.name, got)
		}
	}
	stranger := w.listen(w.join(w.other, access.Owner, nil))
	<-stranger.pings
	for _, c := range append(all, Changed{Org: w.other, Kind: "site", ID: "end"}) {
		w.bus.Publish(c)
	}
	if got := stranger.next(t) + stranger.next(t); !strings.Contains(got, "other tenant") || !strings.Contains(got, "end") {
		t.Errorf("the other tenant got %s", got)
	}
}

func TestChangesEndWithTheRight(t *testing.T) {
	w := sqliteWorld(t)
	boss := w.owner()
	viewer := w.join(w.org, access.Viewer, nil)
	l, other := w.listen(viewer), w.listen(boss)
	<-l.pings
	if err := w.access.RemovePerson(t.Context(), boss.who, viewer.who.Person); err != nil {
		t.Fatal(err)
	}
	if got := l.next(t); got != "" {
		t.Errorf("after the removal: %s, want the end", got)
	}
	<-other.pings
	w.stop()
	if got := other.next(t); got != "" {
		t.Errorf("after the cloud stopped: %s, want the end", got)
	}
}

func TestChangesFollowAMovedScope(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	viewer := w.join(w.org, access.Viewer, []id.Site{p.site, w.far})
	l := w.listen(viewer)
	<-l.pings
	if got := w.ask(w.owner(), http.MethodDelete, prefix+"/sites/"+string(w.far), ""); got.status != http.StatusNoContent {
		t.Fatalf("removing a site: %d %s", got.status, got.body)
	}
	l.next(t) // the removal itself
	<-l.pings
	<-l.pings
	for len(l.pings) > 0 {
		<-l.pings
	}
	<-l.pings
	w.bus.Publish(Changed{Org: w.org, Site: w.far, Kind: "site", ID: "of the removed site"})
	w.bus.Publish(Changed{Org: w.org, Site: p.site, Kind: "site", ID: "mine"})
	if got := l.next(t); !strings.Contains(got, "mine") {
		t.Errorf("got %s, want only the change of the site that is left", got)
	}
}

func TestChangesAreLimited(t *testing.T) {
	w := sqliteWorld(t)
	who := w.owner()
	for range 3 {
		l := w.listen(who)
		<-l.pings
	}
	if got := w.ask(who, http.MethodGet, prefix+"/changes", ""); got.status != http.StatusTooManyRequests {
		t.Errorf("the fourth window: %d %s", got.status, got.body)
	}
}

func TestBusNeverWaits(t *testing.T) {
	b := NewBus()
	l := b.listen("org-1")
	for range 3 {
		b.Publish(Changed{Org: "org-1", Kind: "site", ID: "same"})
	}
	b.Publish(Changed{Org: "org-2", Kind: "site"})
	if changes, over := l.take(); len(changes) != 1 || over {
		t.Errorf("the same change three times: %v, %t", changes, over)
	}
	b.Publish(Changed{Org: "org-1", Kind: "site", ID: "same"})
	if changes, _ := l.take(); len(changes) != 1 {
		t.Errorf("the same change after it was taken: %v", changes)
	}
	for i := range maxPending + 1 {
		b.Publish(Changed{Org: "org-1", Kind: "event", ID: fmt.Sprint(i)})
	}
	if changes, over := l.take(); len(changes) != 0 || !over {
		t.Errorf("too many changes: %d, %t; want the listener cut off", len(changes), over)
	}
	l.close()
	if len(b.listeners) != 0 {
		t.Error("a closed listener is still there")
	}
}

func TestMutationsArePublished(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	who := w.owner()
	l := w.listen(who)
	<-l.pings
	for _, tc := range []struct{ method, path, body, want string }{
		{"PATCH", "/sites/{site}", `{"address":"x"}`, `"kind":"site"`},
		{"PATCH", "/cameras/{camera}", `{"name":"Till"}`, `"kind":"camera"`},
		{"POST", "/people", `{"name":"Eva","email":"eva@example.com","role":"viewer"}`, `"kind":"people"`},
		{"DELETE", "/clips/{clip}", "", `"kind":"clip"`},
	} {
		if got := w.ask(who, tc.method, prefix+p.fill(tc.path), tc.body); got.status >= 300 {
			t.Fatalf("%s %s: %d %s", tc.method, tc.path, got.status, got.body)
		}
		if got := l.next(t); !strings.Contains(got, tc.want) {
			t.Errorf("%s %s: %s, want %s", tc.method, tc.path, got, tc.want)
		}
	}
	if w.rooms.configs != 1 {
		t.Errorf("%d new configurations, want 1", w.rooms.configs)
	}
	if got := w.ask(who, "PATCH", prefix+"/sites/"+string(id.New[id.Site]()), `{"address":"x"}`); got.status != 404 {
		t.Fatal(got)
	}
	select {
	case line := <-l.lines:
		t.Errorf("a change that failed was published: %s", line)
	case <-l.pings:
	}
}

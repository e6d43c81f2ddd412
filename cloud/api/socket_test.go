package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"holdfast/cloud/access"
	"holdfast/shared/id"
)

// dial opens a WebSocket for a camera as a page of ours does; head changes what it sends.
func (w *world) dial(a actor, p place, query string, head http.Header) (*websocket.Conn, int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	h := http.Header{"Origin": {w.server.URL}, "Cookie": {w.api.cookieName() + "=" + a.cookie}}
	for k, v := range head {
		h[k] = v
	}
	conn, res, err := websocket.Dial(ctx, w.server.URL+prefix+p.fill("/cameras/{camera}/socket")+query, &websocket.DialOptions{HTTPHeader: h, Host: h.Get("Host")})
	if res == nil {
		w.t.Fatalf("dial: %v", err)
	}
	if err == nil {
		w.t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, res.StatusCode
}

// word reads the next word, of which an empty one says that the socket is closed.
func word(t *testing.T, conn *websocket.Conn) (got refusedWord) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, text, err := conn.Read(ctx)
	if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
		return refusedWord{}
	}
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestSocket opens a WebSocket with every key but the right one, and with that.
func TestSocket(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	viewer := w.join(w.org, access.Viewer, []id.Site{p.site})
	for name, c := range map[string]struct {
		who    actor
		query  string
		head   http.Header
		status int
	}{
		"nobody":                               {actor{}, "", nil, http.StatusUnauthorized},
		"another tenant":                       {w.join(w.other, access.Owner, nil), "", nil, http.StatusNotFound},
		"a viewer of elsewhere":                {w.join(w.org, access.Viewer, []id.Site{w.far}), "", nil, http.StatusNotFound},
		"support":                              {w.join(w.org, access.Support, nil), "", nil, http.StatusForbidden},
		"a foreign page":                       {viewer, "", http.Header{"Origin": {"https://evil.example"}}, http.StatusForbidden},
		"a page of the same machine elsewhere": {viewer, "", http.Header{"Origin": {w.server.URL + "0"}}, http.StatusForbidden},
		"no page":                              {viewer, "", http.Header{"Origin": nil}, http.StatusForbidden},
		"made-up codec":                        {viewer, "?codecs=vp8", nil, http.StatusUnprocessableEntity},
	} {
		if _, status := w.dial(c.who, p, c.query, c.head); status != c.status {
			t.Errorf("%s is answered %d, want %d", name, status, c.status)
		}
	}
	if n := len(w.rooms.views); n != 0 {
		t.Fatalf("the room was asked %d times", n)
	}
	conn, status := w.dial(viewer, p, "?width=640&codecs=h264,h265&silent=true", nil)
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", status)
	}
	await(t, "the room to be asked", func() bool { return w.rooms.openCount() == 1 })
	v := w.rooms.views[0]
	if v.Org != w.org || v.Site != p.site || v.View.Camera != p.camera || v.View.Width != 640 || len(v.View.Codecs) != 2 || !v.View.Silent || v.View.Session == "" {
		t.Errorf("the room got %+v", v)
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	await(t, "its end", func() bool { return w.rooms.openCount() == 0 && len(w.api.viewers.all()) == 0 })
	if got := w.deeds(); len(got) != 2 || got[1] != "live_viewed "+string(p.camera) { // before it is that support was refused
		t.Errorf("the audit says %q", got)
	}
	w.rooms.err = &Refusal{Code: "codec", Text: "The main stream is H.265, which this browser can't show."}
	conn, _ = w.dial(viewer, p, "", nil)
	if got := word(t, conn); got.Type != "refused" || got.Status != http.StatusConflict || got.Text != "The main stream is H.265, which this browser can't show." {
		t.Errorf("the last word is %+v", got)
	}
	if got := word(t, conn); got != (refusedWord{}) {
		t.Errorf("after the last word comes %+v", got)
	}
}

// TestPagesOfOurs: the portal may be opened at whatever address leads to the cloud, and at public_url whatever a proxy makes of
// that. A page of another address is told so before anything else is looked for.
func TestPagesOfOurs(t *testing.T) {
	for name, c := range map[string]struct {
		public, origin, host string
		secure               bool
		status               int
	}{
		"public_url":                         {"http://cloud.example.com", "http://cloud.example.com", "10.0.0.9:8080", false, http.StatusSwitchingProtocols},
		"public_url with its port":           {"https://cloud.example.com:443", "https://cloud.example.com", "10.0.0.9:8080", true, http.StatusSwitchingProtocols},
		"an address of its own":              {"https://cloud.example.com", "https://10.0.0.9", "10.0.0.9", true, http.StatusSwitchingProtocols},
		"a proxy with TLS that nobody told":  {"", "https://cloud.example.com", "cloud.example.com", false, http.StatusSwitchingProtocols},
		"a plain page of a cloud with TLS":   {"https://cloud.example.com", "http://cloud.example.com", "cloud.example.com", true, http.StatusForbidden},
		"public_url by another protocol":     {"https://cloud.example.com", "http://cloud.example.com", "10.0.0.9", false, http.StatusForbidden},
		"another name":                       {"https://cloud.example.com", "https://evil.example", "cloud.example.com", true, http.StatusForbidden},
		"another port":                       {"https://cloud.example.com", "https://cloud.example.com:8443", "cloud.example.com", true, http.StatusForbidden},
		"a page that has no address to name": {"", "null", "cloud.example.com", false, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			w := sqliteWorld(t, func(cfg *Config) { cfg.PublicURL, cfg.Secure = c.public, c.secure })
			p := w.place()
			viewer := w.join(w.org, access.Viewer, []id.Site{p.site})
			if _, status := w.dial(viewer, p, "", http.Header{"Origin": {c.origin}, "Host": {c.host}}); status != c.status {
				t.Errorf("answered %d, want %d", status, c.status)
			}
			if c.status != http.StatusForbidden {
				return
			}
			got := w.ask(viewer, http.MethodGet, prefix+p.fill("/cameras/{camera}/socket"), "", "Origin", c.origin)
			if got.status != http.StatusForbidden || !strings.Contains(got.body, "another web site") {
				t.Errorf("without an upgrade: %d %s", got.status, got.body)
			}
		})
	}
}

// TestSocketsAreBounded: a person has so many, an organisation has so many, and each that ends makes room.
func TestSocketsAreBounded(t *testing.T) {
	w := sqliteWorld(t, func(c *Config) { c.Rate.Sockets, c.Rate.SocketsOfOrg = 2, 3 })
	p := w.place()
	one, other := w.join(w.org, access.Viewer, []id.Site{p.site}), w.join(w.org, access.Viewer, []id.Site{p.site})
	var open []*websocket.Conn
	for i, c := range []struct {
		who    actor
		status int
	}{{one, 101}, {one, 101}, {one, 429}, {other, 101}, {other, 429}} {
		conn, status := w.dial(c.who, p, "", nil)
		if status != c.status {
			t.Fatalf("dial %d is answered %d, want %d", i+1, status, c.status)
		}
		if conn != nil {
			open = append(open, conn)
		}
	}
	await(t, "three views", func() bool { return w.rooms.openCount() == 3 })
	if err := open[0].CloseNow(); err != nil {
		t.Error(err)
	}
	await(t, "room for one more", func() bool { _, status := w.dial(other, p, "", nil); return status == 101 })
}

// TestSocketEndsWithTheRight has rights read again once an hour: who signs out, or loses the right, is shown nothing more all
// the same.
func TestSocketEndsWithTheRight(t *testing.T) {
	w := sqliteWorld(t, func(c *Config) { c.Recheck = 30 * time.Second })
	p := w.place()
	boss := w.owner()
	for name, end := range map[string]func(a actor) answer{
		"signing out": func(a actor) answer { return w.ask(a, http.MethodDelete, prefix+"/session", "") },
		"removal": func(a actor) answer {
			return w.ask(boss, http.MethodDelete, prefix+"/people/"+string(a.who.Person), "")
		},
		"another site": func(a actor) answer {
			return w.ask(boss, http.MethodPatch, prefix+"/people/"+string(a.who.Person), `{"sites":["`+string(w.far)+`"]}`)
		},
	} {
		viewer := w.join(w.org, access.Viewer, []id.Site{p.site})
		conn, _ := w.dial(viewer, p, "", nil)
		await(t, "the view before "+name, func() bool { return w.rooms.openCount() == 1 })
		if got := end(viewer); got.status != http.StatusOK && got.status != http.StatusNoContent {
			t.Fatalf("%s: %d %s", name, got.status, got.body)
		}
		if got := word(t, conn); got != (refusedWord{}) {
			t.Errorf("after %s comes %+v", name, got)
		}
		await(t, "the end of the view after "+name, func() bool { return w.rooms.openCount() == 0 })
	}
}

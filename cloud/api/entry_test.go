package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"holdfast/cloud/access"
	"holdfast/testenv/db"
)

const founding = `{"token":"TOKEN","organisation":"Bluebird Bakery","name":"Olga","email":"olga@example.com","password":"copper lantern 42"}`

func cookieOf(t *testing.T, got answer) *http.Cookie {
	t.Helper()
	c, err := http.ParseSetCookie(got.header.Get("Set-Cookie"))
	if err != nil {
		t.Fatalf("Set-Cookie %q: %v", got.header.Get("Set-Cookie"), err)
	}
	return c
}

func TestSetupHappensOnce(t *testing.T) {
	w := bareWorld(t, db.SQLite(t))
	token, needed, err := w.access.SetupToken(t.Context())
	if err != nil || !needed {
		t.Fatal(needed, err)
	}
	if got := w.ask(actor{}, http.MethodGet, prefix+"/setup", ""); got.status != 200 || !strings.Contains(got.body, `"needed":true`) {
		t.Fatalf("GET /setup before: %d %s", got.status, got.body)
	}
	if got := w.ask(actor{}, http.MethodPost, prefix+"/setup", founding); got.status != http.StatusForbidden {
		t.Errorf("a wrong token: %d %s", got.status, got.body)
	}
	weak := strings.Replace(founding, "copper lantern 42", "bluebirdbakery", 1)
	got := w.ask(actor{}, http.MethodPost, prefix+"/setup", strings.Replace(weak, "TOKEN", token, 1))
	if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, "body.password") {
		t.Errorf("a weak password: %d %s", got.status, got.body)
	}
	body := strings.Replace(founding, "TOKEN", token, 1)
	got = w.ask(actor{}, http.MethodPost, prefix+"/setup", body)
	if got.status != 200 {
		t.Fatalf("setup: %d %s", got.status, got.body)
	}
	owner := actor{cookie: cookieOf(t, got).Value}
	me := w.ask(owner, http.MethodGet, prefix+"/me", "")
	var m Me
	if err := json.Unmarshal([]byte(me.body), &m); err != nil || m.Person.Role != "owner" || m.Sites != nil || len(m.Can) != len(access.Actions()) {
		t.Fatalf("GET /me: %s, %v", me.body, err)
	}
	unknown := w.ask(actor{}, http.MethodGet, prefix+"/nothing", "")
	for _, path := range []string{
		"/setup", "/setup/", "//setup", "/%73etup", "/setup%00", "/setup%2f", "/./setup", "/x/../setup", "/Setup", "/setup;x=1", "/setup?x=1", "%2fsetup", "/setup/../setup",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "SETUP"} {
			for _, head := range [][]string{nil, {"X-HTTP-Method-Override", "POST", "X-Original-URL", prefix + "/setup", "X-Rewrite-URL", prefix + "/setup"}} {
				got := w.ask(actor{}, method, prefix+path, body, head...)
				if got.status < 300 || got.status >= 400 && got.body != unknown.body && got.status != http.StatusNotFound {
					t.Errorf("%s %s after the setup: %d %s", method, path, got.status, got.body)
				}
				if loc := got.header.Get("Location"); got.status/100 == 3 && !strings.HasPrefix(loc, prefix+"/setup") {
					t.Errorf("%s %s leads to %q", method, path, loc)
				}
			}
		}
	}
	if got := w.ask(actor{}, http.MethodPost, prefix+"/setup", body); got.status != http.StatusNotFound || got.body != unknown.body {
		t.Errorf("setup again: %d %s; want the answer of an unknown route", got.status, got.body)
	}
	var orgs int
	if err := w.db.Read().QueryRowContext(t.Context(), `SELECT count(*) FROM org`).Scan(&orgs); err != nil || orgs != 1 {
		t.Errorf("%d organisations, %v; want 1", orgs, err)
	}
}

func TestSignInAndOut(t *testing.T) {
	w := sqliteWorld(t, func(c *Config) { c.Secure, c.PublicURL = true, "https://holdfast.example.com" })
	who := w.owner()
	in := `{"email":"` + who.who.Email + `","password":"` + password + `"}`
	got := w.ask(who, http.MethodPost, prefix+"/session", in)
	if got.status != 200 {
		t.Fatalf("sign-in: %d %s", got.status, got.body)
	}
	c := cookieOf(t, got)
	if c.Name != "__Host-holdfast_session" || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.Value) < 43 {
		t.Errorf("cookie %+v", c)
	}
	if got := w.ask(who, http.MethodGet, prefix+"/me", ""); got.status != http.StatusUnauthorized {
		t.Errorf("the session before the sign-in: %d, want it ended", got.status)
	}
	now := actor{cookie: c.Value}
	if got := w.ask(now, http.MethodGet, prefix+"/me", ""); got.status != 200 || got.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("the new session: %d %v", got.status, got.header)
	}
	got = w.ask(now, http.MethodPost, prefix+"/me/password", `{"old":"`+password+`","new":"violet harbour 77"}`)
	if got.status != 200 {
		t.Fatalf("change of password: %d %s", got.status, got.body)
	}
	if got := w.ask(now, http.MethodGet, prefix+"/me", ""); got.status != http.StatusUnauthorized {
		t.Errorf("the session before the change of password: %d", got.status)
	}
	now = actor{cookie: cookieOf(t, got).Value}
	got = w.ask(now, http.MethodDelete, prefix+"/session", "")
	if out := cookieOf(t, got); got.status != http.StatusNoContent || out.MaxAge >= 0 || out.Value != "" || !out.Secure {
		t.Errorf("sign-out: %d %+v", got.status, out)
	}
	if got := w.ask(now, http.MethodGet, prefix+"/me", ""); got.status != http.StatusUnauthorized {
		t.Errorf("after sign-out: %d", got.status)
	}
	wrong := w.ask(actor{}, http.MethodPost, prefix+"/session", in)
	nobody := w.ask(actor{}, http.MethodPost, prefix+"/session", `{"email":"nobody@example.com","password":"wrong"}`)
	if wrong.status != http.StatusUnauthorized || wrong.body != nobody.body {
		t.Errorf("wrong password: %d %s; unknown account: %d %s", wrong.status, wrong.body, nobody.status, nobody.body)
	}
}

func TestInvitationByLink(t *testing.T) {
	w := sqliteWorld(t)
	boss := w.owner()
	p := w.place()
	got := w.ask(boss, http.MethodPost, prefix+"/people", p.fill(`{"name":"Eva","email":"eva@example.com","role":"viewer","sites":["{site}"]}`))
	var inv Invited
	if err := json.Unmarshal([]byte(got.body), &inv); err != nil || got.status != http.StatusCreated || inv.Person.State != "invited" {
		t.Fatalf("invite: %d %s", got.status, got.body)
	}
	base, token, ok := strings.Cut(inv.Link, "/password#")
	if !ok || base != w.server.URL {
		t.Fatalf("link %q, want %s/password#...", inv.Link, w.server.URL)
	}
	info := w.ask(actor{}, http.MethodGet, prefix+"/passwords/"+token, "")
	if info.status != 200 || !strings.Contains(info.body, `"purpose":"invite"`) || !strings.Contains(info.body, "eva@example.com") {
		t.Errorf("GET /passwords: %d %s", info.status, info.body)
	}
	set := `{"token":"` + token + `","password":"violet harbour 77"}`
	if got := w.ask(actor{}, http.MethodPost, prefix+"/passwords", set); got.status != http.StatusNoContent {
		t.Errorf("POST /passwords: %d %s", got.status, got.body)
	}
	if got := w.ask(actor{}, http.MethodPost, prefix+"/passwords", set); got.status != http.StatusGone {
		t.Errorf("POST /passwords again: %d %s", got.status, got.body)
	}
	got = w.ask(actor{}, http.MethodPost, prefix+"/session", `{"email":"EVA@example.com","password":"violet harbour 77"}`)
	if got.status != 200 || !strings.Contains(got.body, string(p.site)) {
		t.Errorf("sign-in of the invited: %d %s", got.status, got.body)
	}
	if got := w.ask(boss, http.MethodPost, prefix+"/people", `{"name":"Eva","email":"eva@example.com","role":"viewer"}`); got.status != http.StatusConflict {
		t.Errorf("inviting an address twice: %d %s", got.status, got.body)
	}
	if strings.Contains(w.logs.String(), token) {
		t.Error("the log holds the link's token")
	}
}

func TestRefusalsAreInTheAudit(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	viewer := w.join(w.org, access.Viewer, nil)
	for range 3 {
		w.ask(viewer, http.MethodGet, prefix+"/audit", "")
	}
	w.ask(viewer, http.MethodDelete, prefix+"/sites/"+string(p.site), "")
	n := map[string]int{}
	for _, d := range w.deeds() {
		n[d]++
	}
	if n["refused listAudit"] != 1 || n["refused removeSite"] != 1 {
		t.Errorf("the audit says %v, want one row per refused route", n)
	}
}

package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"holdfast/cloud/access"
	"holdfast/shared/id"
)

// columns returns the columns of the table: who asks for a thing of one site of our organisation.
func columns() []string {
	return []string{"owner", "manager in", "manager out", "viewer in", "viewer out", "support", "other tenant", "anonymous"}
}

// asker makes the actor of a column.
func (w *world) asker(column string, p place) actor {
	in, out := []id.Site{p.site}, []id.Site{w.far}
	switch column {
	case "owner":
		return w.join(w.org, access.Owner, nil)
	case "manager in":
		return w.join(w.org, access.Manager, in)
	case "manager out":
		return w.join(w.org, access.Manager, out)
	case "viewer in":
		return w.join(w.org, access.Viewer, in)
	case "viewer out":
		return w.join(w.org, access.Viewer, out)
	case "support":
		return w.join(w.org, access.Support, nil)
	case "other tenant":
		return w.join(w.other, access.Owner, nil)
	}
	return actor{}
}

// rowOfTable is one route and what each column is answered.
type rowOfTable struct {
	method, path string // braces name a field of a place
	body         string
	want         [8]int
	query        string
	kind         string // Content-Type, if not JSON
	program      bool   // of programs, where a person's session is no key: TestPlayersTable is their table
}

// Patterns that many routes share.

func everybody() [8]int { return [8]int{200, 200, 200, 200, 200, 200, 200, 401} }

// openToAll needs no session.
func openToAll(status int) [8]int {
	return [8]int{status, status, status, status, status, status, status, status}
}

// seers may see the site, without video.
func seers() [8]int { return [8]int{200, 200, 404, 200, 404, 200, 404, 401} }

// watchers may see its video.
func watchers(status int) [8]int {
	return [8]int{status, status, 404, status, 404, 403, 404, 401}
}

// everyWatcher may watch something of the own organisation.
func everyWatcher(status int) [8]int {
	return [8]int{status, status, status, status, status, 403, status, 401}
}

// runners run the site.
func runners(status int) [8]int { return [8]int{status, status, 404, 403, 403, 403, 404, 401} }

// bosses own the organisation of a thing.
func bosses(status int) [8]int { return [8]int{status, 403, 403, 403, 403, 403, 404, 401} }

// everyBoss and everyRunner do it in their own organisation.
func everyBoss(status int) [8]int { return [8]int{status, 403, 403, 403, 403, 403, status, 401} }

func everyRunner(status int) [8]int {
	return [8]int{status, status, status, 403, 403, 403, status, 401}
}

func table() []rowOfTable {
	return []rowOfTable{
		{method: "GET", path: "/version", want: everybody()},
		{method: "GET", path: "/setup", want: openToAll(404)},
		{method: "POST", path: "/setup", body: `{"token":"x","organisation":"X","name":"X","email":"x@example.com","password":"copper lantern 42"}`, want: openToAll(404)},
		{method: "POST", path: "/session", body: `{"email":"nobody@example.com","password":"wrong"}`, want: openToAll(401)},
		{method: "DELETE", path: "/session", want: [8]int{204, 204, 204, 204, 204, 204, 204, 401}},
		{method: "GET", path: "/me", want: everybody()},
		{method: "POST", path: "/me/password", body: `{"old":"wrong one","new":"copper lantern 42"}`, want: [8]int{422, 422, 422, 422, 422, 422, 422, 401}},
		{method: "GET", path: "/passwords/nothing", want: openToAll(404)},
		{method: "POST", path: "/passwords", body: `{"token":"nothing","password":"copper lantern 42"}`, want: openToAll(404)},

		{method: "GET", path: "/people", want: everyRunner(200)},
		{method: "POST", path: "/people", body: `{"name":"Eva","email":"{clip}@example.com","role":"viewer","sites":["{site}"]}`, want: [8]int{201, 201, 422, 403, 403, 403, 422, 401}},
		{method: "PATCH", path: "/people/{person}", body: `{"name":"Eva"}`, want: runners(200)},
		{method: "DELETE", path: "/people/{person}", want: runners(204)},
		{method: "POST", path: "/people/{person}/reset", want: runners(201)},

		{method: "GET", path: "/regions", want: everybody()},
		{method: "POST", path: "/regions", body: `{"name":"New {clip}"}`, want: everyBoss(201)},
		{method: "PATCH", path: "/regions/{region}", body: `{"name":"Renamed {clip}"}`, want: bosses(200)},
		{method: "DELETE", path: "/regions/{region}", want: bosses(204)},

		{method: "GET", path: "/sites", want: everybody()},
		{method: "GET", path: "/sites", query: "?region={region}", want: [8]int{200, 200, 200, 200, 200, 200, 404, 401}},
		{method: "POST", path: "/sites", body: `{"name":"New {clip}","timezone":"Europe/Madrid"}`, want: everyBoss(201)},
		{method: "GET", path: "/sites/{site}", want: seers()},
		{method: "PATCH", path: "/sites/{site}", body: `{"address":"Harbour 1"}`, want: runners(200)},
		{method: "DELETE", path: "/sites/{site}", want: bosses(204)},
		{method: "POST", path: "/sites/{site}/codes", want: runners(201)},
		{method: "GET", path: "/sites/{site}/codes/{code}", want: runners(200)},
		{method: "DELETE", path: "/sites/{site}/agent", want: runners(204)},
		{method: "GET", path: "/sites/{site}/story", want: seers()},

		{method: "GET", path: "/sites/{site}/cameras", want: seers()},
		{method: "GET", path: "/cameras/{camera}", want: seers()},
		{method: "PATCH", path: "/cameras/{camera}", body: `{"name":"Till","disabled":true,"keep_days":7,"step_down":true}`, want: runners(200)},
		{method: "DELETE", path: "/cameras/{camera}", want: runners(204)},
		{method: "GET", path: "/cameras/{camera}/retention", query: "?keep_days=7&share_pct=20", want: runners(200)},

		{method: "GET", path: "/sites/{site}/holds", want: watchers(200)},
		{method: "POST", path: "/holds", body: `{"camera":"{camera}","start_us":1000,"end_us":2000,"name":"Break-in"}`, want: [8]int{201, 201, 422, 403, 403, 403, 422, 401}},
		{method: "PATCH", path: "/holds/{hold}", body: `{"over":true}`, want: runners(200)},
		{method: "DELETE", path: "/holds/{hold}", want: runners(204)},
		{method: "GET", path: "/cameras/{camera}/coverage", query: "?from_us=1&to_us=1000", want: watchers(200)},
		{method: "GET", path: "/coverage", query: "?cameras={camera}&from_us=1&to_us=1000", want: watchers(200)},
		{method: "GET", path: "/cameras/{camera}/still", want: watchers(200)},
		{method: "POST", path: "/cameras/{camera}/live", body: "v=0\r\n", kind: "application/sdp", want: watchers(201)},
		{method: "POST", path: "/cameras/{camera}/live", query: "?from_us=5", body: "v=0\r\n", kind: "application/sdp", want: watchers(201)},
		{method: "POST", path: "/sites/{site}/live", body: "v=0\r\n", kind: "application/sdp", want: watchers(201)},
		{method: "GET", path: "/cameras/{camera}/socket", want: watchers(426)},
		{method: "POST", path: "/cameras/{camera}/view", query: "?connection=" + string(id.New[id.Session]()), want: watchers(410)},
		{method: "PATCH", path: "/live/{session}", body: "v=0\r\n", kind: "application/sdp", want: [8]int{404, 404, 404, 404, 404, 403, 404, 401}}, // of somebody else
		{method: "DELETE", path: "/live/{session}", want: [8]int{404, 404, 404, 404, 404, 403, 404, 401}},                                          // of somebody else
		{method: "GET", path: "/cameras/{camera}/talk", want: runners(200)},
		{method: "POST", path: "/cameras/{camera}/talk", body: "v=0\r\n", kind: "application/sdp", want: runners(201)},
		{method: "GET", path: "/live/ice", want: [8]int{200, 200, 200, 200, 200, 403, 200, 401}},

		{method: "GET", path: "/cameras/{camera}/ptz", want: watchers(200)},
		{method: "POST", path: "/cameras/{camera}/ptz", body: `{"act":"move","number":1,"pan":0.5}`, want: watchers(200)},
		{method: "GET", path: "/cameras/{camera}/turn", want: watchers(200)},
		{method: "POST", path: "/cameras/{camera}/turn", want: watchers(200)},
		{method: "DELETE", path: "/cameras/{camera}/turn", want: watchers(204)},
		{method: "POST", path: "/cameras/{camera}/presets", body: `{"name":"Gate"}`, want: runners(201)},
		{method: "DELETE", path: "/cameras/{camera}/presets/nothing", want: runners(200)},

		{method: "GET", path: "/sites/{site}/players", want: runners(200)},
		{method: "POST", path: "/sites/{site}/players", body: `{"name":"Control room"}`, want: runners(201)},
		{method: "POST", path: "/sites/{site}/players", body: `{"name":"Control room","camera":"{camera}","days":1}`, want: runners(201)},
		{method: "DELETE", path: "/players/{player}", want: runners(204)},
		{method: "POST", path: "/whep/{camera}", body: "v=0\r\n", kind: "application/sdp", program: true, want: openToAll(401)},
		{method: "PATCH", path: "/whep/{camera}/{session}", body: "v=0\r\n", kind: "application/sdp", program: true, want: openToAll(401)},
		{method: "DELETE", path: "/whep/{camera}/{session}", program: true, want: openToAll(401)},

		{method: "GET", path: "/events", query: "?site={site}", want: seers()},
		{method: "GET", path: "/events", query: "?camera={camera}", want: seers()},
		{method: "GET", path: "/events", query: "?cameras={camera}", want: seers()},
		{method: "GET", path: "/events", want: everybody()},
		{method: "GET", path: "/incidents", query: "?site={site}", want: seers()},
		{method: "GET", path: "/incidents", want: everybody()},

		{method: "GET", path: "/clips", query: "?site={site}", want: watchers(200)},
		{method: "GET", path: "/clips", want: [8]int{200, 200, 200, 200, 200, 403, 200, 401}},
		{method: "POST", path: "/clips", body: `{"camera":"{camera}","start_us":1000,"end_us":2000}`, want: watchers(201)},
		{method: "POST", path: "/bookmarks", body: `{"camera":"{camera}","at_us":1000}`, want: watchers(201)},
		{method: "GET", path: "/clips/{clip}", want: watchers(200)},
		{method: "PATCH", path: "/clips/{clip}", body: `{"title":"Delivery"}`, want: runners(200)},
		{method: "DELETE", path: "/clips/{clip}", want: runners(204)},
		{method: "GET", path: "/clips/{clip}/media", want: watchers(200)},

		{method: "GET", path: "/clip-settings", want: everyRunner(200)},
		{method: "GET", path: "/clip-settings/expiry", query: "?keep_days=30", want: [8]int{200, 403, 403, 403, 403, 403, 200, 401}},
		{method: "PUT", path: "/clip-settings", body: `{"keep_days":30,"price":0.02,"currency":"EUR","line_kbps":0}`, want: [8]int{200, 403, 403, 403, 403, 403, 200, 401}},

		{method: "GET", path: "/rules", want: everyRunner(200)},
		{method: "POST", path: "/rules/preview", body: `{"name":"R","event_kind":"motion","site":"{site}","pre_s":1,"post_s":1,"enabled":true}`, want: [8]int{200, 200, 422, 403, 403, 403, 422, 401}},
		{method: "POST", path: "/rules/preview", body: `{"name":"R","event_kind":"motion","pre_s":1,"post_s":1,"hours":[1,2,3,4,5,6,7],"enabled":true}`, want: [8]int{200, 403, 403, 403, 403, 403, 200, 401}},
		{method: "POST", path: "/rules", body: `{"name":"R","event_kind":"motion","site":"{site}","pre_s":1,"post_s":1,"enabled":true}`, want: [8]int{201, 201, 422, 403, 403, 403, 422, 401}},
		{method: "POST", path: "/rules", body: `{"name":"R","event_kind":"motion","pre_s":1,"post_s":1,"enabled":true}`, want: [8]int{201, 403, 403, 403, 403, 403, 201, 401}},
		{method: "PATCH", path: "/rules/{rule}", body: `{"enabled":false}`, want: runners(200)},
		{method: "DELETE", path: "/rules/{rule}", want: runners(204)},

		{method: "GET", path: "/walls", want: everyWatcher(200)},
		{method: "POST", path: "/walls", body: `{"name":"Doors","layout":"2x2","tiles":[]}`, want: everyWatcher(201)},
		{method: "POST", path: "/walls", body: `{"name":"Doors","layout":"2x2","tiles":[{"camera":"{camera}"}]}`, want: [8]int{201, 201, 422, 201, 422, 403, 422, 401}},
		{method: "GET", path: "/walls/{wall}", want: [8]int{200, 200, 200, 200, 200, 403, 404, 401}},
		{method: "PATCH", path: "/walls/{wall}", body: `{"version":1,"name":"Tills"}`, want: bosses(200)},
		{method: "DELETE", path: "/walls/{wall}", want: bosses(204)},

		{method: "GET", path: "/alerts", want: everyBoss(200)},
		{method: "PUT", path: "/alerts", body: `{"emails":["x@example.com"],"webhooks":[{"url":"https://example.com/hook","secret":"s"}]}`, want: everyBoss(200)},
		{method: "POST", path: "/alerts/test", want: everyBoss(200)},
		{method: "GET", path: "/audit", want: everyBoss(200)},
		{method: "GET", path: "/changes", want: everybody()},
	}
}

func (p place) fill(s string) string {
	return strings.NewReplacer("{site}", string(p.site), "{camera}", string(p.camera), "{region}", string(p.region), "{clip}", string(p.clip),
		"{rule}", string(p.rule), "{hold}", string(p.hold), "{wall}", string(p.wall), "{code}", string(p.code), "{player}", string(p.player), "{person}", string(p.person), "{session}", string(id.New[id.Session]())).Replace(s)
}

// TestEveryRouteForEveryRole is the table of rights as browsers meet it.
func TestEveryRouteForEveryRole(t *testing.T) {
	w := sqliteWorld(t)
	for _, row := range table() {
		for i, column := range columns() {
			p := w.place()
			who := w.asker(column, p)
			var head []string
			if row.kind != "" {
				head = []string{"Content-Type", row.kind}
			}
			got := w.ask(who, row.method, prefix+p.fill(row.path+row.query), p.fill(row.body), head...)
			what := fmt.Sprintf("%s %s%s by %s", row.method, row.path, row.query, column)
			if got.status != row.want[i] {
				t.Errorf("%s: %d, want %d: %s", what, got.status, row.want[i], got.body)
			}
			if got.status >= 400 {
				checkProblem(t, what, got)
			}
			if column == "other tenant" || strings.HasSuffix(column, "out") || column == "anonymous" {
				for _, secret := range []string{string(p.camera), string(p.clip), string(p.rule), string(p.code), string(p.person), string(p.hold), string(p.player)} {
					if strings.Contains(got.body, secret) && !strings.Contains(row.body, "{") {
						t.Errorf("%s: the answer names %s: %s", what, secret, got.body)
					}
				}
				if strings.Contains(got.body, string(p.site)) {
					t.Errorf("%s: the answer names the site: %s", what, got.body)
				}
			}
		}
	}
}

func checkProblem(t *testing.T, what string, got answer) {
	t.Helper()
	var p struct {
		Status int    `json:"status"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	err := json.Unmarshal([]byte(got.body), &p)
	if err != nil || p.Status != got.status || p.Title != http.StatusText(got.status) || len(p.Detail) < 20 || !strings.HasSuffix(p.Detail, ".") {
		t.Errorf("%s: the problem is not one that helps: %v %s", what, err, got.body)
	}
	if ct := got.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("%s: Content-Type %q", what, ct)
	}
}

// TestTableKnowsEveryRoute fails when a route is added without its row.
func TestTableKnowsEveryRoute(t *testing.T) {
	rows := map[string]bool{}
	for _, row := range table() {
		rows[row.method+" "+shape(row.path)] = true
	}
	for _, op := range operations(t) {
		key := op.method + " " + shape(op.path)
		if !rows[key] {
			t.Errorf("%s (%s) is not in the table of rights", key, op.OperationID)
		}
		delete(rows, key)
	}
	for key := range rows {
		t.Errorf("%s is in the table of rights and no route", key)
	}
}

// shape replaces what stands for an ID in a path.
func shape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") || p == "nothing" {
			parts[i] = "{}"
		}
	}
	return strings.Join(parts, "/")
}

// TestForeignEqualsUnknown compares the answer for another tenant's thing with that for one that never was.
func TestForeignEqualsUnknown(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	stranger := w.join(w.other, access.Owner, nil)
	for _, row := range table() {
		if !strings.Contains(row.path, "{") || row.program {
			continue
		}
		never := place{
			site: id.New[id.Site](), camera: id.New[id.Camera](), region: id.New[id.Region](), clip: id.New[id.Clip](),
			rule: id.New[id.Rule](), code: id.New[id.Code](), person: id.New[id.Person](), wall: id.New[id.Wall](), player: id.New[id.Player](),
		}
		malformed := place{site: "site-1", camera: "%00", region: "..%2f..", clip: "clip-' OR 1=1", rule: "%ff", code: "x", person: "%E2%80%AE", wall: "wall-1", player: "play-1"}
		malformed.clip = "clip-'%20OR%201=1"
		var first answer
		for i, target := range []place{p, never, malformed} {
			got := w.ask(stranger, row.method, prefix+target.fill(row.path+row.query), row.body, "Content-Type", orJSON(row.kind))
			if i == 0 {
				first = got
			}
			if got.status != http.StatusNotFound || got.body != first.body {
				t.Errorf("%s %s: %d %s; for a foreign one %d %s", row.method, target.fill(row.path), got.status, got.body, first.status, first.body)
			}
		}
	}
}

func orJSON(kind string) string {
	if kind == "" {
		return "application/json"
	}
	return kind
}

package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"holdfast/cloud/store"
	"holdfast/testenv/db"
)

// hostile lists values that have broken parsers, databases, pages and shells.
func hostile() []string {
	return []string{
		"\x00", "a\x00b", "\xff\xfe", "\u202emoc.exe", "' OR 1=1 --", "<script>alert(1)</script>{{7*7}}", "../../../../etc/passwd", "..%2f..%2f",
		"\r\nSet-Cookie: x=y", "-1", "9223372036854775808", "1e309", "null", strings.Repeat("A", 5000), "%",
	}
}

// TestHostileInput sends hostile values to every place of every route, as an owner, on both engines: nothing may
// answer with 5xx.
func TestHostileInput(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		w := newWorld(t, d)
		who := w.owner()
		for _, op := range operations(t) {
			if op.OperationID == "signOut" || op.OperationID == "listenToChanges" {
				continue // the one ends the session, the other does not end
			}
			p := w.place()
			path := p.fill(strings.ReplaceAll(op.path, "{id}", idOf(op.path, p)))
			for _, h := range hostile() {
				for _, param := range op.Parameters {
					target := prefix + path
					switch param.In {
					case "query":
						target += "?" + param.Name + "=" + url.QueryEscape(h)
					case "path":
						target = prefix + strings.ReplaceAll(op.path, "{"+param.Name+"}", url.PathEscape(h))
						target = p.fill(strings.NewReplacer("{id}", "x", "{token}", "x").Replace(target))
					}
					check(t, op, target, w.ask(who, op.method, target, ""))
				}
			}
			if op.method == http.MethodGet || op.method == http.MethodDelete {
				continue
			}
			for _, b := range hostileBodies(op.OperationID) {
				got := w.ask(who, op.method, prefix+path, b)
				check(t, op, fmt.Sprintf("%.60q", b), got)
			}
		}
		if _, err := w.access.Refresh(t.Context(), who.who); err != nil {
			t.Errorf("the owner afterwards: %v", err)
		}
		if strings.Contains(w.logs.String(), "panicked") || strings.Contains(w.logs.String(), "request failed") {
			t.Errorf("the log speaks of failures: %s", w.logs.String())
		}
	})
}

func idOf(path string, p place) string {
	switch {
	case strings.HasPrefix(path, "/people"):
		return string(p.person)
	case strings.HasPrefix(path, "/regions"):
		return string(p.region)
	default:
		return string(p.rule)
	}
}

func check(t testing.TB, op operation, what string, got answer) {
	t.Helper()
	if got.status >= 500 {
		t.Errorf("%s with %s: %d %s", op.OperationID, what, got.status, got.body)
	}
	if got.status >= 400 && got.status < 500 && !strings.HasPrefix(got.header.Get("Content-Type"), "application/problem+json") {
		t.Errorf("%s with %s: %d is no problem document: %q", op.OperationID, what, got.status, got.header.Get("Content-Type"))
	}
	for name, values := range got.header {
		if strings.Contains(strings.Join(values, ""), "x=y") {
			t.Errorf("%s with %s: header %s was injected", op.OperationID, what, name)
		}
	}
}

// hostileBodies returns broken JSON, and objects whose every field is hostile.
func hostileBodies(operation string) []string {
	list := []string{
		"{", "null", "[]", `"x"`, "\x00", "{}{}", `{"name":1}`, strings.Repeat("[", 20000), strings.Repeat(`{"a":`, 9000), `{"name":"a","name":"b"}`,
		`{"unknown":1}`, "\xef\xbb\xbf{}", `{"start_us":1e400}`, `{"limit":-9223372036854775809}`,
	}
	for _, h := range hostile() {
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\x00", `\u0000`, "\r", `\r`, "\n", `\n`).Replace(h)
		for _, template := range templates(operation) {
			for _, field := range fields(template) {
				list = append(list, strings.Replace(template, field, `:"`+quoted+`"`, 1))
			}
		}
	}
	return list
}

// templates returns sound bodies of an operation.
func templates(operation string) []string {
	return map[string][]string{
		"invitePerson": {`{"name":"Eva","email":"e@example.com","role":"viewer","sites":null}`},
		"changePerson": {`{"name":"Eva","role":"viewer"}`},
		"addRegion":    {`{"name":"North"}`}, "renameRegion": {`{"name":"North"}`},
		"addSite":    {`{"name":"Harbour","timezone":"UTC","address":"x","region":""}`},
		"changeSite": {`{"name":"Harbour","timezone":"UTC","address":"x","region":""}`}, "changeCamera": {`{"name":"Till","keep_days":"3"}`},
		"moveCamera": {`{"act":"goto","number":"1","preset":"x","pan":"0.5"}`, `{"act":"goto","number":1,"preset":"x"}`}, "savePreset": {`{"name":"x"}`},
		"orderClip": {`{"camera":"x","start_us":"1","end_us":"2","title":"x"}`}, "changeClip": {`{"title":"x"}`},
		"addRule": {`{"name":"R","event_kind":"motion","pre_s":"1","post_s":"1","enabled":"true","site":"","camera":""}`}, "changeRule": {`{"name":"R","camera":"x"}`},
		"addHold": {`{"camera":"x","start_us":"1","end_us":"2","until_us":"3","name":"x","over":"true"}`}, "agreeHold": {`{"over":"true"}`},
		"addWall":        {`{"name":"x","layout":"2x2","cycle_s":"5","shared":"true","tiles":[{"camera":"x","keep":"0"}]}`},
		"changeWall":     {`{"version":"1","name":"x","layout":"2x2"}`, `{"version":1,"name":"x","tiles":[{"camera":"x"}]}`},
		"addPlayer":      {`{"name":"x","camera":"x","days":"3"}`},
		"signIn":         {`{"email":"x@example.com","password":"x"}`},
		"setPassword":    {`{"token":"x","password":"copper lantern 42"}`},
		"changePassword": {`{"old":"x","new":"copper lantern 42"}`},
	}[operation]
}

// fields returns every `:"value"` of a body.
func fields(body string) (list []string) {
	for _, part := range strings.Split(body, `:"`)[1:] {
		value, _, _ := strings.Cut(part, `"`)
		list = append(list, `:"`+value+`"`)
	}
	return list
}

func TestBodiesAreLimited(t *testing.T) {
	w := sqliteWorld(t)
	who := w.owner()
	p := w.place()
	huge := `{"name":"` + strings.Repeat("x", 1<<20) + `"}`
	for path, body := range map[string]string{
		"/regions": huge, "/sites": huge, "/people": huge, "/session": huge, "/clips": huge,
	} {
		if got := w.ask(who, http.MethodPost, prefix+path, body); got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("POST %s with 1 MiB: %d %s", path, got.status, got.body)
		}
	}
	got := w.ask(who, http.MethodPost, prefix+"/cameras/"+string(p.camera)+"/live", strings.Repeat("v", maxSDP+1), "Content-Type", sdpType)
	if got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("an SDP offer of 64 KiB and one: %d %s", got.status, got.body)
	}
	for _, kind := range []string{"text/plain", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "a/b;c"} {
		got := w.ask(who, http.MethodPost, prefix+"/regions", `{"name":"Kind"}`, "Content-Type", kind)
		if got.status != http.StatusUnsupportedMediaType {
			t.Errorf("Content-Type %q: %d %s", kind, got.status, got.body)
		}
		checkProblem(t, kind, got)
		got = w.ask(who, http.MethodPost, prefix+"/cameras/"+string(p.camera)+"/live", "v=0", "Content-Type", kind)
		if got.status != http.StatusUnsupportedMediaType {
			t.Errorf("an offer with Content-Type %q: %d %s", kind, got.status, got.body)
		}
	}
	if got := w.ask(who, http.MethodPost, prefix+"/regions", ""); got.status != http.StatusBadRequest {
		t.Errorf("no body: %d %s", got.status, got.body)
	}
}

func TestProblemsEchoNoSecret(t *testing.T) {
	w := sqliteWorld(t)
	secret := "hunter2-hunter2-" + strings.Repeat("x", 2000)
	for _, body := range []string{
		`{"email":"x@example.com","password":"` + secret + `"}`, `{"email":"x@example.com","password":["` + secret + `"]}`, `{"password":"` + secret + `"`,
		`{"email":"x@example.com","password":"x","` + secret[:100] + `":1}`,
	} {
		got := w.ask(actor{}, http.MethodPost, prefix+"/session", body)
		if got.status < 400 || strings.Contains(got.body, "hunter2-hunter2-xxxxxxxxxx") && !strings.Contains(body, `xx":1`) {
			t.Errorf("%.60s: %d %s", body, got.status, got.body)
		}
	}
	if strings.Contains(w.logs.String(), "hunter2") {
		t.Error("the log holds the password")
	}
}

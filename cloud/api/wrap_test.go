package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"holdfast/testenv/db"
)

func TestEveryAnswerHasTheHeadersOfSafety(t *testing.T) {
	w := sqliteWorld(t)
	who := w.owner()
	for _, path := range []string{"/", "/sites/x", prefix + "/me", prefix + "/nothing", prefix + "/openapi.json", "/api/v1/../../etc"} {
		for _, a := range []actor{who, {}} {
			got := w.ask(a, http.MethodGet, path, "")
			csp := got.header.Get("Content-Security-Policy")
			for _, directive := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "worker-src 'self' blob:"} {
				if !strings.Contains(csp, directive) {
					t.Errorf("%s: Content-Security-Policy %q lacks %q", path, csp, directive)
				}
			}
			if strings.Contains(csp, "unsafe") || got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Referrer-Policy") != "no-referrer" || got.header.Get("X-Request-Id") == "" {
				t.Errorf("%s: headers %v", path, got.header)
			}
			if strings.HasPrefix(path, "/api/") && got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Cache-Control %q", path, got.header.Get("Cache-Control"))
			}
		}
	}
	for path, want := range map[string]string{"/": "portal", "/sites/site-1": "portal", "/apix": "portal"} {
		if got := w.ask(who, http.MethodGet, path, ""); got.status != 200 || got.body != want {
			t.Errorf("GET %s: %d %q, want the portal", path, got.status, got.body)
		}
	}
	got := w.ask(who, http.MethodGet, "/api/v2/sites", "")
	if got.status != http.StatusNotFound {
		t.Errorf("an unknown route of the API: %d %s", got.status, got.body)
	}
	checkProblem(t, "an unknown route", got)
}

func TestForeignOriginsAreRefused(t *testing.T) {
	w := sqliteWorld(t, func(c *Config) { c.PublicURL = "https://holdfast.example.com" })
	who := w.owner()
	for _, tc := range []struct {
		head []string
		want int
	}{
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Sec-Fetch-Site", "same-site"}, 403},
		{[]string{"Origin", "https://evil.example"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Origin", "https://x.holdfast.example.com"}, 403},
		{[]string{"Sec-Fetch-Site", "same-origin"}, 201},
		{[]string{"Origin", "https://holdfast.example.com"}, 201},
		{[]string{"Origin", w.server.URL}, 201},
		{nil, 201},
	} {
		got := w.ask(who, http.MethodPost, prefix+"/regions", `{"name":"R `+strings.Join(tc.head, "")+`"}`, tc.head...)
		if got.status != tc.want {
			t.Errorf("POST with %v: %d %s, want %d", tc.head, got.status, got.body, tc.want)
		}
	}
	if n := strings.Count(strings.Join(w.deeds(), ","), "region_added"); n != 4 {
		t.Errorf("%d regions were added, want 4", n)
	}
}

func TestRates(t *testing.T) {
	w := sqliteWorld(t, func(c *Config) {
		c.Rate = Rate{PersonPerSecond: 0.01, PersonBurst: 5, AddressPerSecond: 0.01, AddressBurst: 6, Streams: 1, Sockets: 1, SocketsOfOrg: 1}
	})
	a, b := w.owner(), w.owner()
	var last answer
	for range 6 {
		last = w.ask(a, http.MethodGet, prefix+"/me", "")
	}
	if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" {
		t.Errorf("the sixth request: %d %v", last.status, last.header)
	}
	checkProblem(t, "too many requests", last)
	if got := w.ask(b, http.MethodGet, prefix+"/me", ""); got.status != 200 {
		t.Errorf("somebody else meanwhile: %d", got.status)
	}
	for range 4 {
		last = w.ask(actor{}, http.MethodPost, prefix+"/session", `{"email":"x@example.com","password":"x"}`)
	}
	if last.status != http.StatusTooManyRequests {
		t.Errorf("many sign-ins from one address: %d %s", last.status, last.body)
	}
	if got := w.ask(actor{cookie: "made-up"}, http.MethodGet, prefix+"/me", ""); got.status != http.StatusTooManyRequests {
		t.Errorf("a made-up cookie from that address: %d", got.status)
	}
}

// TestLongAnswersOutliveTheBodysDeadline guards against the server taking the deadline of a body that was read
// long ago for a browser that went away.
func TestLongAnswersOutliveTheBodysDeadline(t *testing.T) {
	w := sqliteWorld(t, func(c *Config) { c.BodyTimeout = 50 * time.Millisecond })
	w.rooms.wait = func(ctx context.Context) error {
		late := time.NewTimer(200 * time.Millisecond)
		defer late.Stop()
		select {
		case <-late.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p := w.place()
	got := w.ask(w.owner(), http.MethodPost, prefix+p.fill("/cameras/{camera}/live"), "v=0\r\n", "Content-Type", sdpType)
	if got.status != http.StatusCreated {
		t.Errorf("an answer after 200 ms with a body deadline of 50 ms: %d %s", got.status, got.body)
	}
}

func TestSlowBodiesAreCutOff(t *testing.T) {
	w := sqliteWorld(t, func(c *Config) { c.BodyTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "POST "+prefix+"/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"email\":")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(got), "408") {
		t.Errorf("a body that does not come: %v %s", err, got)
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	w := sqliteWorld(t)
	w.rooms.wait = func(context.Context) error { panic("boom with\nnewline") }
	p := w.place()
	who := w.owner()
	got := w.ask(who, http.MethodPost, prefix+p.fill("/cameras/{camera}/live"), "v=0\r\n", "Content-Type", sdpType)
	if got.status != http.StatusInternalServerError || strings.Contains(got.body, "boom") || !strings.Contains(got.body, got.header.Get("X-Request-Id")) {
		t.Errorf("a panic: %d %s", got.status, got.body)
	}
	if !strings.Contains(w.logs.String(), "request panicked") {
		t.Error("the panic is not logged")
	}
	w.rooms.wait = func(context.Context) error { return errors.New("secret inner words") }
	got = w.ask(who, http.MethodPost, prefix+p.fill("/cameras/{camera}/live"), "v=0\r\n", "Content-Type", sdpType)
	if got.status != http.StatusInternalServerError || strings.Contains(got.body, "secret") || !strings.Contains(w.logs.String(), "secret inner words") {
		t.Errorf("an unknown error: %d %s", got.status, got.body)
	}
}

func TestRefusalsOfRooms(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	who := w.owner()
	for code, want := range map[string]int{
		"offline": 503, "busy": 503, "limit": 429, "unknown_camera": 404, "no_video": 404, "codec": 409, "refused": 409, "conflict": 409, "invalid": 422,
		"expired": 504, "failed": 502, "anything": 502,
	} {
		w.rooms.err = errors.Join(errors.New("offer live"), &Refusal{Code: code, Text: "The site is away: try again when its line is back."})
		got := w.ask(who, http.MethodGet, prefix+p.fill("/cameras/{camera}/still"), "")
		if got.status != want || !strings.Contains(got.body, "The site is away") || (want == 503 || want == 429) != (got.header.Get("Retry-After") != "") {
			t.Errorf("%s: %d %s, want %d", code, got.status, got.body, want)
		}
	}
}

func TestClientIP(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tc := range []struct {
		remote string
		heads  []string
		want   string
	}{
		{"203.0.113.9:1234", nil, "203.0.113.9"},
		{"203.0.113.9:1234", []string{"198.51.100.1"}, "203.0.113.9"},
		{"10.1.1.1:80", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.1.1.1:80", []string{"1.2.3.4, 198.51.100.1"}, "198.51.100.1"},
		{"10.1.1.1:80", []string{"1.2.3.4", "198.51.100.1, 10.2.2.2"}, "198.51.100.1"},
		{"10.1.1.1:80", []string{"garbage"}, "10.1.1.1"},
		{"10.1.1.1:80", nil, "10.1.1.1"},
		{"[fd00::1%eth0]:80", []string{"2001:db8::7"}, "2001:db8::7"},
		{"[::ffff:10.1.1.1]:80", []string{"198.51.100.1"}, "198.51.100.1"},
		{"nonsense", []string{"198.51.100.1"}, "unknown"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = tc.remote
		for _, h := range tc.heads {
			r.Header.Add("X-Forwarded-For", h)
		}
		if got := clientIP(r, trusted); got != tc.want {
			t.Errorf("clientIP(%s, %q) = %s, want %s", tc.remote, tc.heads, got, tc.want)
		}
	}
}

func TestNewReportsEveryFault(t *testing.T) {
	_, err := New(Config{PublicURL: "ftp://x/y"}, db.SQLite(t), nil, Rooms{}, nil, nil, nil)
	for _, word := range []string{"public_url", "commands", "recheck", "body_timeout", "rate", "Fleet", "Alerts"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("New = %v, want %q named", err, word)
		}
	}
}

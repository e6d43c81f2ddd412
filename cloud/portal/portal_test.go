package portal

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

var script = strings.Repeat("export const promise = 'every camera-minute';\n", 100)

// app is what a build looks like; tests of the embedded one are below.
func app(t *testing.T) http.Handler {
	t.Helper()
	h, err := newHandler(fstest.MapFS{
		"index.html":           {Data: []byte("<!doctype html><title>Holdfast</title>" + strings.Repeat(" ", smallest))},
		"favicon.svg":          {Data: []byte("<svg/>")},
		"assets/index-a1B2.js": {Data: []byte(script)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(t *testing.T, h http.Handler, method, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServe(t *testing.T) {
	h := app(t)
	for _, tc := range []struct {
		path, mime, cache string
		status            int
		page              bool
	}{
		{"/", "text/html; charset=utf-8", "no-cache", 200, true},
		{"/index.html", "text/html; charset=utf-8", "no-cache", 200, true},
		{"/sites/01HX", "text/html; charset=utf-8", "no-cache", 200, true},
		{"/link", "text/html; charset=utf-8", "no-cache", 200, true},
		{"/favicon.svg", "image/svg+xml", "no-cache", 200, false},
		{"/assets/index-a1B2.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", 200, false},
		{"/assets/index-old.js", "", "", 404, false},
		{"/assets/", "", "", 404, false},
		{"/robots.txt", "", "", 404, false},
		{"/../../etc/passwd.txt", "", "", 404, false},
	} {
		t.Run(tc.path, func(t *testing.T) {
			res := get(t, h, http.MethodGet, tc.path)
			if res.StatusCode != tc.status {
				t.Fatalf("status %d, want %d", res.StatusCode, tc.status)
			}
			if tc.status != 200 {
				if strings.Contains(body(t, res), "Holdfast") {
					t.Error("a missing file was answered with the page")
				}
				return
			}
			if got := res.Header.Get("Content-Type"); got != tc.mime {
				t.Errorf("type %q, want %q", got, tc.mime)
			}
			if got := res.Header.Get("Cache-Control"); got != tc.cache {
				t.Errorf("cache %q, want %q", got, tc.cache)
			}
			if got := res.Header.Get("Content-Security-Policy") != ""; got != tc.page {
				t.Errorf("policy set: %v, want %v", got, tc.page)
			}
			if got := strings.Contains(body(t, res), "<title>Holdfast"); got != tc.page {
				t.Errorf("answered with the page: %v, want %v", got, tc.page)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	h := app(t)
	res := get(t, h, http.MethodPost, "/")
	if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
	head := get(t, h, http.MethodHead, "/assets/index-a1B2.js")
	if head.StatusCode != http.StatusOK || body(t, head) != "" || head.ContentLength != int64(len(script)) {
		t.Errorf("HEAD: status %d, length %d", head.StatusCode, head.ContentLength)
	}
}

func TestCompression(t *testing.T) {
	h := app(t)
	for _, tc := range []struct {
		accept string
		gzip   bool
	}{
		{"gzip, deflate, br", true},
		{"br;q=1.0, gzip;q=0.5", true},
		{"*", true},
		{"", false},
		{"br", false},
		{"gzip;q=0", false},
		{"gzip; q=0.000, br", false},
	} {
		t.Run(tc.accept, func(t *testing.T) {
			res := get(t, h, http.MethodGet, "/assets/index-a1B2.js", "Accept-Encoding", tc.accept)
			if got := res.Header.Get("Content-Encoding") == "gzip"; got != tc.gzip {
				t.Fatalf("gzip %v, want %v", got, tc.gzip)
			}
			if res.Header.Get("Vary") != "Accept-Encoding" {
				t.Error("a cache would mix up the two forms: Vary is missing")
			}
			text := ""
			if tc.gzip {
				r, err := gzip.NewReader(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				text = string(b)
			} else {
				text = body(t, res)
			}
			if text != script {
				t.Errorf("got %d bytes of text, want %d", len(text), len(script))
			}
		})
	}
	if res := get(t, h, http.MethodGet, "/favicon.svg", "Accept-Encoding", "gzip"); res.Header.Get("Content-Encoding") != "" {
		t.Error("a tiny file was compressed")
	}
}

func TestNotModified(t *testing.T) {
	h := app(t)
	plain := get(t, h, http.MethodGet, "/").Header.Get("ETag")
	packed := get(t, h, http.MethodGet, "/", "Accept-Encoding", "gzip").Header.Get("ETag")
	if plain == "" || plain == packed {
		t.Fatalf("the two forms need tags of their own: %s, %s", plain, packed)
	}
	for _, match := range []string{plain, "W/" + plain, `"other", ` + plain, "*"} {
		res := get(t, h, http.MethodGet, "/", "If-None-Match", match)
		if res.StatusCode != http.StatusNotModified || body(t, res) != "" {
			t.Errorf("%s: status %d", match, res.StatusCode)
		}
	}
	if res := get(t, h, http.MethodGet, "/", "If-None-Match", packed); res.StatusCode != http.StatusOK {
		t.Errorf("the tag of the other form: status %d", res.StatusCode)
	}
}

// TestEmbedded holds for the placeholder and for a build alike.
func TestEmbedded(t *testing.T) {
	h := Handler()
	res := get(t, h, http.MethodGet, "/events?site=x")
	page := body(t, res)
	if res.StatusCode != http.StatusOK || !strings.Contains(page, "<title>Holdfast</title>") {
		t.Fatalf("status %d, page %.80q", res.StatusCode, page)
	}
	if regexp.MustCompile(`(?i)<style|<script>|\son[a-z]+=|\sstyle=`).MatchString(page) {
		t.Error("the page holds something inline that its policy forbids")
	}
	links := regexp.MustCompile(`(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) == 0 {
		t.Fatal("the page names no file")
	}
	for _, link := range links {
		if res := get(t, h, http.MethodGet, link[1]); res.StatusCode != http.StatusOK || strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: status %d, type %s", link[1], res.StatusCode, res.Header.Get("Content-Type"))
		}
	}
	if Built() != strings.Contains(page, `id="root"`) {
		t.Errorf("Built says %v", Built())
	}
}

func TestIncomplete(t *testing.T) {
	if _, err := newHandler(fstest.MapFS{"favicon.svg": {Data: []byte("<svg/>")}}); err == nil {
		t.Error("a build without a page was accepted")
	}
}

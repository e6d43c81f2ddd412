package clip_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"holdfast/testenv/s3"
)

// between stands between everybody and the real S3 server, and spoils what it is told to.
type between struct {
	url   string
	proxy *httputil.ReverseProxy

	mu    sync.Mutex
	spoil map[string]int // kind of request: how many are spoilt still
	how   spoiler
	after func(kind string) // called when the server has answered
	seen  map[string]int
}

// spoiler answers a request itself, or changes it and lets it go on to the server.
type spoiler func(w http.ResponseWriter, r *http.Request) (goOn bool)

// kindOf names what a request does.
func kindOf(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "begin"
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return "complete"
	case r.Method == http.MethodHead:
		return "head"
	case r.Method == http.MethodGet && q.Has("uploadId"):
		return "parts"
	default:
		return strings.ToLower(r.Method)
	}
}

func newBetween(t *testing.T, server *s3.Server) *between {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	b := &between{spoil: map[string]int{}, seen: map[string]int{}}
	// The signature covers the host that the client named, so it stays.
	b.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	far := httptest.NewServer(b)
	t.Cleanup(far.Close)
	b.url = strings.Replace(server.URL("x"), server.Endpoint, far.URL, 1)
	return b
}

// ServeHTTP implements http.Handler.
func (b *between) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := kindOf(r)
	b.mu.Lock()
	b.seen[kind]++
	how := b.how
	spoilt := b.spoil[kind] > 0
	if spoilt {
		b.spoil[kind]--
	}
	after := b.after
	b.mu.Unlock()
	if spoilt && !how(w, r) {
		return
	}
	b.proxy.ServeHTTP(w, r)
	if after != nil {
		after(kind)
	}
}

func (b *between) set(kind string, times int, how spoiler) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spoil, b.how = map[string]int{kind: times}, how
}

func (b *between) count(kind string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[kind]
}

// refuse answers as S3 does.
func refuse(status int, code string) spoiler {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // so that the client sees the answer and not a reset
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>spoilt</Message></Error>", code)
		return false
	}
}

// down is a server that is not there.
func down(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// half lets half of a body through and breaks the line.
func half(_ http.ResponseWriter, r *http.Request) bool {
	r.Body = io.NopCloser(io.LimitReader(r.Body, r.ContentLength/2))
	return true
}

// lie says that all is well and keeps nothing.
func lie(w http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	return false
}

package s3

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
)

// Between stands between everybody and the real S3 server, and spoils what it is told to.
type Between struct {
	Endpoint string            // http://127.0.0.1:port
	URL      string            // of a clip store behind it
	Before   func(kind string) // called when a request has come; set it while none is on its way
	After    func(kind string) // called when the server has answered; set it while none is on its way

	proxy *httputil.ReverseProxy

	mu    sync.Mutex
	spoil map[string]int // kind of request: how many are spoilt still
	how   Spoiler
	seen  map[string]int
}

// Spoiler answers a request itself, or changes it and lets it go on to the server.
type Spoiler func(w http.ResponseWriter, r *http.Request) (goOn bool)

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

// NewBetween starts a Between before a server; it ends with the test.
func NewBetween(t testing.TB, server *Server) *Between {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	b := &Between{spoil: map[string]int{}, seen: map[string]int{}}
	// The signature covers the host that the client named, so it stays.
	b.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	far := httptest.NewServer(b)
	t.Cleanup(far.Close)
	b.Endpoint = far.URL
	b.URL = strings.Replace(server.URL("x"), server.Endpoint, far.URL, 1)
	return b
}

// ServeHTTP implements http.Handler.
func (b *Between) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := kindOf(r)
	b.mu.Lock()
	b.seen[kind]++
	how := b.how
	spoilt := b.spoil[kind] > 0
	if spoilt {
		b.spoil[kind]--
	}
	before, after := b.Before, b.After
	b.mu.Unlock()
	if before != nil {
		before(kind)
	}
	if spoilt && !how(w, r) {
		return
	}
	b.proxy.ServeHTTP(w, r)
	if after != nil {
		after(kind)
	}
}

// Set has the next so many requests of a kind spoilt, and no others: "begin", "part", "parts", "complete", "head", or a
// method in lower case.
func (b *Between) Set(kind string, times int, how Spoiler) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spoil, b.how = map[string]int{kind: times}, how
}

// Left returns how many requests of a kind are still to be spoilt.
func (b *Between) Left(kind string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spoil[kind]
}

// Count returns how many requests of a kind have come.
func (b *Between) Count(kind string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[kind]
}

// Refuse answers as S3 does.
func Refuse(status int, code string) Spoiler {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // so that the client sees the answer and not a reset
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>spoilt</Message></Error>", code)
		return false
	}
}

// Down is a server that is not there.
func Down(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// Half lets half of a body through and breaks the line.
func Half(_ http.ResponseWriter, r *http.Request) bool {
	r.Body = io.NopCloser(io.LimitReader(r.Body, r.ContentLength/2))
	return true
}

// Lie says that all is well and keeps nothing.
func Lie(w http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	return false
}

package local

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Limits of what a caller may do.
const (
	maxAddresses    = 1000 // callers with failed tokens that are remembered
	failureBurst    = 10   // failed tokens of one address at once
	failureEvery    = 6 * time.Second
	eventsPerSecond = 50
	eventBurst      = 200
)

// Handler returns the routes, with the checks in front of them.
func (l *Local) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", l.getPage)
	mux.HandleFunc("GET /status.json", l.getStatus)
	mux.HandleFunc("POST /events", l.postEvent)
	mux.HandleFunc("GET /holds", l.getHolds)
	mux.HandleFunc("POST /holds", l.postHold)
	mux.HandleFunc("DELETE /holds/{hold}", l.deleteHold)
	mux.HandleFunc("/holds", refuseMethod("GET and POST"))
	mux.HandleFunc("/holds/{hold}", refuseMethod("DELETE"))
	mux.HandleFunc("/{$}", refuseMethod("GET"))
	mux.HandleFunc("/status.json", refuseMethod("GET"))
	mux.HandleFunc("/events", refuseMethod("POST"))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "There is nothing here. The status page is at /, the event input is POST /events, holds are at /holds.")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !l.knows(r) {
			problem(w, http.StatusMisdirectedRequest, fmt.Sprintf("This page does not answer to the name %.100q. "+
				"Call it by its address, or add the name to local.names in the agent's configuration.", r.Host))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func refuseMethod(allowed string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.ReplaceAll(allowed, " and ", ", "))
		problem(w, http.StatusMethodNotAllowed, fmt.Sprintf("This address takes %s, not %.20s.", allowed, r.Method))
	}
}

// knows reports whether the request's Host is a name of this window. A page on another site can make a browser
// call this address under the page's own name; it can't make it call by our address or by localhost.
func (l *Local) knows(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if listen, _, err := net.SplitHostPort(l.cfg.Listen); err == nil && listen != "" && strings.EqualFold(host, listen) {
		return true
	}
	for _, name := range append([]string{"localhost", "127.0.0.1", "::1"}, l.cfg.Names...) {
		if host == strings.ToLower(strings.TrimSuffix(name, ".")) {
			return true
		}
	}
	// The address that the caller has in fact reached.
	called, err := netip.ParseAddr(host)
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if err != nil || !ok {
		return false
	}
	reached, err := netip.ParseAddrPort(local.String())
	return err == nil && called.Unmap() == reached.Addr().Unmap().WithZone("")
}

// admit reports whether the request carries the token; if not, it has answered.
func (l *Local) admit(w http.ResponseWriter, r *http.Request) bool {
	from := origin(r)
	if wait := l.failures.wait(from); wait > 0 {
		retryAfter(w, wait)
		problem(w, http.StatusTooManyRequests, "Too many requests from your address had a wrong token. Wait, and check the token.")
		return false
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	have, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(l.cfg.Token))
	if ok && subtle.ConstantTimeCompare(have[:], want[:]) == 1 {
		return true
	}
	if l.failures.add(from) {
		l.deps.Log.Warn("requests with a wrong token are refused", "from", from)
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="holdfast"`)
	problem(w, http.StatusUnauthorized, "The token is missing or wrong. Send the header  Authorization: Bearer <token>  "+
		"with the content of the file local.token in the agent's data folder.")
	return false
}

// origin names the caller for a limit: its address, or its /64 in IPv6, where one caller has many.
func origin(r *http.Request) string {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip := a.Addr().Unmap()
	if ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// bucket lets burst through at once, and then one every so often.
type bucket struct {
	every time.Duration
	burst int

	mu   sync.Mutex
	full time.Time // when it will be full again
}

// take takes one and returns 0, or the time until there is one.
func (b *bucket) take(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := b.lacks(now)
	if wait == 0 {
		b.full = later(b.full, now).Add(b.every)
	}
	return wait
}

// lacks returns the time until there is one to take.
func (b *bucket) lacks(now time.Time) time.Duration {
	return max(later(b.full, now).Sub(now)-b.every*time.Duration(b.burst-1), 0)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// failures counts wrong tokens by caller.
type failures struct {
	mu sync.Mutex
	of map[string]*bucket
}

// wait returns how long the caller is not listened to.
func (f *failures) wait(from string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.of[from]; b != nil {
		return b.lacks(time.Now())
	}
	return 0
}

// add counts a failure and reports whether it is the caller's first for a while.
func (f *failures) add(from string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	b := f.of[from]
	if b == nil {
		f.makeRoom(now)
		b = &bucket{every: failureEvery, burst: failureBurst}
		f.of[from] = b
	}
	first := !b.full.After(now)
	b.take(now)
	return first
}

// makeRoom forgets callers who have been quiet, and all of them when that is not enough.
func (f *failures) makeRoom(now time.Time) {
	if f.of == nil {
		f.of = map[string]*bucket{}
	}
	if len(f.of) < maxAddresses {
		return
	}
	for from, b := range f.of {
		if !b.full.After(now) {
			delete(f.of, from)
		}
	}
	if len(f.of) >= maxAddresses {
		clear(f.of)
	}
}

func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", fmt.Sprint(int64((wait+time.Second-1)/time.Second)))
}

// problem answers with an error in words (RFC 9457).
func problem(w http.ResponseWriter, status int, detail string, faults ...string) {
	type body struct {
		Title  string   `json:"title"`
		Status int      `json:"status"`
		Detail string   `json:"detail"`
		Faults []string `json:"faults,omitempty"`
	}
	w.Header().Set("Content-Type", "application/problem+json")
	answer(w, status, body{http.StatusText(status), status, detail, faults})
}

func answer(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the caller has gone: nothing is left to tell it
}

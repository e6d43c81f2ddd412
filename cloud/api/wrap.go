package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// sessionCookie names the cookie of the portal session; with TLS it carries the prefix "__Host-" (RFC 6265bis
// section 4.1.3.2), which binds it to this host.
const sessionCookie = "holdfast_session"

// policy is the content security policy of every answer: nothing inline, nothing from elsewhere, blob: for the
// portal's workers and media, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; " +
	"connect-src 'self'; worker-src 'self' blob:; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; " +
	"frame-ancestors 'none'; object-src 'none'"

// wrap puts around the routes what every request passes: the log line, the catching of panics, the headers of
// safety, and the refusal of foreign origins.
func (a *API) wrap(mux http.Handler) (http.Handler, error) {
	cross := http.NewCrossOriginProtection()
	if a.cfg.PublicURL != "" {
		// A proxy may change Host, which is what the origin is compared with.
		if err := cross.AddTrustedOrigin(a.cfg.PublicURL); err != nil {
			return nil, fmt.Errorf("api: trust the origin of public_url: %w", err)
		}
	}
	cross.AddInsecureBypassPattern(whepPrefix) // no cookie counts there: a page of another origin must have a token
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.writePlainProblem(w, r, huma.NewError(http.StatusForbidden,
			"This request came from another web site and was refused. Open the portal itself and try again there."))
	}))
	inner := cross.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		c := a.newCall(r)
		rec := &recorder{ResponseWriter: w, conn: http.NewResponseController(w), timeout: a.cfg.WriteTimeout}
		a.headers(rec.Header(), r, c)
		defer func() {
			a.finish(rec, r, c, start, recover())
			// The server reads what is left of a body that nobody wanted.
			_ = rec.conn.SetReadDeadline(time.Now().Add(a.cfg.BodyTimeout))
		}()
		inner.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
	}), nil
}

func (a *API) newCall(r *http.Request) *call {
	c := &call{request: rand.Text()[:12], ip: clientIP(r, a.cfg.TrustedProxies), base: a.cfg.PublicURL, host: r.Host, bodyRead: func() {}}
	if c.base == "" {
		scheme := "http"
		if a.cfg.Secure || r.TLS != nil {
			scheme = "https"
		}
		c.base = scheme + "://" + r.Host
	}
	if cookie, err := r.Cookie(a.cookieName()); err == nil && len(cookie.Value) <= 128 {
		c.token = cookie.Value
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && len(token) <= 128 {
		c.bearer = strings.TrimSpace(token)
	}
	return c
}

func (a *API) cookieName() string {
	if a.cfg.Secure {
		return "__Host-" + sessionCookie
	}
	return sessionCookie
}

// cookie returns the session's cookie; an empty token removes it.
func (a *API) cookie(token string) http.Cookie {
	c := http.Cookie{
		Name: a.cookieName(), Value: token, Path: "/", HttpOnly: true, Secure: a.cfg.Secure, SameSite: http.SameSiteLaxMode,
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}

func (a *API) headers(h http.Header, r *http.Request, c *call) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	// The microphone is for those who speak through a camera.
	h.Set("Permissions-Policy", "camera=(), microphone=(self), geolocation=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Request-Id", c.request)
	if strings.HasPrefix(r.URL.Path, whepPrefix) {
		share(h)
	}
	if a.cfg.Secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		h.Set("Cache-Control", "no-store")
	}
}

// finish writes the log line and answers a panic. The path is not logged: it may hold a link's token.
func (a *API) finish(rec *recorder, r *http.Request, c *call, start time.Time, panicked any) {
	if err, ok := panicked.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	if panicked != nil && (rec.failed || r.Context().Err() != nil) {
		panicked = nil // the browser went away in the middle of an answer
	}
	if panicked != nil {
		a.log.Error("request panicked", "request", c.request, "route", c.route, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
		if rec.status == 0 {
			a.writePlainProblem(rec, r, huma.NewError(http.StatusInternalServerError,
				"Something went wrong here. Try again; if it stays, give your administrator the number "+c.request+"."))
		}
	}
	level := slog.LevelDebug
	switch {
	case rec.status >= 500:
		level = slog.LevelWarn
	case rec.status >= 400 || r.Method != http.MethodGet && r.Method != http.MethodHead:
		level = slog.LevelInfo
	}
	a.log.Log(r.Context(), level, "request", "request", c.request, "method", method(r.Method), "route", c.route, "status", rec.status,
		"bytes", rec.bytes, "took", time.Since(start).Round(time.Microsecond), "person", string(c.actor.Person), "ip", c.ip)
}

// method keeps a made-up method out of the log.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// recorder remembers what was answered, and gives every write a deadline, so that a browser that stops reading
// holds nothing for long.
type recorder struct {
	http.ResponseWriter
	conn    *http.ResponseController
	timeout time.Duration
	status  int
	bytes   int64
	failed  bool // a write failed: the browser is gone
}

// WriteHeader passes the status on, once.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
		r.ResponseWriter.WriteHeader(status)
	}
}

// Write passes bytes on.
func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	_ = r.conn.SetWriteDeadline(time.Now().Add(r.timeout)) // not every writer has one: tests of handlers
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	r.failed = r.failed || err != nil
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// clientIP returns the address of the browser: the connection's, or the nearest address in X-Forwarded-For that
// is not one of the trusted proxies.
func clientIP(r *http.Request, trusted []netip.Prefix) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "unknown"
	}
	addr = addr.Unmap().WithZone("")
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(forwarded) - 1; i >= 0 && within(addr, trusted); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(forwarded[i]))
		if err != nil {
			break
		}
		addr = next.Unmap().WithZone("")
	}
	return addr.String()
}

func within(addr netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

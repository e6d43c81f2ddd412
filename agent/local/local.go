// Package local is the window: a status page for the person beside the box, and a small API on the LAN for
// event inputs such as a door contact or an alarm panel.
//
// It shows what the hall hands it and keeps nothing. An event is answered with 201 only when it is durable. It
// listens on loopback unless the site's configuration says otherwise, answers only to names that it knows
// (so that no web page can reach it by rebinding a name), and takes nothing without the token. It never shows
// a password, an address of a camera or a picture.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// minToken is the shortest token that Validate accepts, in characters.
const minToken = 20

// maxConns bounds the open connections.
const maxConns = 128

// Config says where the window listens and to whom it answers.
type Config struct {
	Listen  string   // host:port; empty or "off": no window
	Names   []string // host names by which it may be called, beside localhost and its addresses
	Token   string   // for POST /events, at least 20 characters
	Version string   // of the agent, shown
}

// Validate reports every fault.
func (c Config) Validate() error {
	if c.off() {
		return nil
	}
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf(`local.listen: %q is not host:port, for example 127.0.0.1:8750, or "off"`, c.Listen))
	}
	for _, n := range c.Names {
		if n == "" || strings.ContainsAny(n, "/: \t*") {
			errs = append(errs, fmt.Errorf("local.names: %q is not a host name; leave out scheme, port and path", n))
		}
	}
	if len(c.Token) < minToken {
		errs = append(errs, fmt.Errorf("local.token: the token for events has fewer than %d characters", minToken))
	}
	return errors.Join(errs...)
}

func (c Config) off() bool { return c.Listen == "" || c.Listen == "off" }

// Deps are what the hall hands in.
type Deps struct {
	Log *slog.Logger // nil: none
	// Status returns the present state. It is called at most once a second, whoever looks.
	Status func() Status
	// PutEvent stores an event and returns when it is durable. The same ID twice is stored once, without an error.
	PutEvent func(ctx context.Context, e wire.EventFact) error
	// AddHold keeps a range, durably when it returns. A *wire.Failure says why it is refused.
	AddHold func(ctx context.Context, h wire.HoldDesire) error
	// ReleaseHold ends a hold that was made at the site; the error wraps ErrNoHold when there is none.
	ReleaseHold func(which id.Hold) error
	// Known reports whether a camera belongs to this site.
	Known func(id.Camera) bool
	// Opened hears after each try to open the port what was wrong, in a sentence; empty: nothing. May be nil.
	Opened func(trouble string)
	// Now is the wall clock of the agent's run in microseconds, for events that bring no time of their own.
	Now func() int64
}

// Local is the window. Safe for concurrent use.
type Local struct {
	cfg      Config
	deps     Deps
	page     page
	snapshot snapshot
	failures failures
	events   bucket
	addr     chan string // holds the address once it listens
	tried    sync.Once
	opened   chan struct{} // closed after the first try to listen
}

// New returns the window; the error names every fault of cfg.
func New(cfg Config, deps Deps) (*Local, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return &Local{
		cfg: cfg, deps: deps, page: loadPage(), addr: make(chan string, 1), opened: make(chan struct{}),
		events: bucket{every: time.Second / eventsPerSecond, burst: eventBurst},
	}, nil
}

// Run listens and serves until ctx ends; it then returns nil. When the window is off it only waits. A port that
// another program has is tried again until it is free: recording does not depend on the window, so it is a condition
// of the site ("window") and no error.
func (l *Local) Run(ctx context.Context) error {
	if l.cfg.off() {
		<-ctx.Done()
		return nil
	}
	listener := l.listen(ctx)
	if listener == nil {
		return nil
	}
	l.addr <- listener.Addr().String()
	defer func() { <-l.addr }()
	server := &http.Server{
		Handler: l.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
		WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(l.deps.Log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(netutil.LimitListener(listener, maxConns)) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve the status page: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(last) != nil {
		_ = server.Close() // somebody reads slowly: the agent stops all the same
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the status page: %w", err)
	}
	return nil
}

// listen opens the port, however long that takes; it returns nil when ctx has ended before.
func (l *Local) listen(ctx context.Context) net.Listener {
	retry := backoff.New(backoff.Policy{Min: time.Second, Cap: 30 * time.Second})
	for {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.cfg.Listen)
		if ctx.Err() != nil {
			if err == nil {
				_ = listener.Close() // nobody has heard of it
			}
			return nil
		}
		trouble := ""
		if err != nil {
			trouble = fmt.Sprintf("The agent can't open its status page and event input on %s: %v. Stop the program that uses the port, "+
				"or set another local.listen in holdfast.yaml. Recording goes on.", l.cfg.Listen, err)
		}
		l.tried.Do(func() {
			if err != nil {
				l.deps.Log.Error(trouble)
			}
			close(l.opened)
		})
		if l.deps.Opened != nil {
			l.deps.Opened(trouble)
		}
		if err == nil {
			return listener
		}
		if retry.Wait(ctx, 0) != nil {
			return nil
		}
	}
}

// Tried returns a channel that is closed once the window has opened, or has failed to for the first time.
func (l *Local) Tried() <-chan struct{} { return l.opened }

// Addr returns the address that the window listens on, once it does.
func (l *Local) Addr(ctx context.Context) (string, error) {
	select {
	case a := <-l.addr:
		l.addr <- a
		return a, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

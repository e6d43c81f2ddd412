package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// listen takes the port first: a second cloud on it must not touch the database of the first.
func (h *house) listen(ctx context.Context) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", h.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (is another program using the port? choose another with --listen)", h.cfg.Listen, err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if h.cfg.TLSCert == "" && !h.cfg.Plain && (!ok || !addr.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("plain HTTP on %s would send passwords in the clear: give --tls-cert and --tls-key, or --behind-proxy "+
			"when a balancer in front ends TLS", l.Addr()), l.Close())
	}
	return l, nil
}

// serve starts what lives, says that it does, and ends it when ctx ends: the door first, then the agents'
// sessions, then the rooms.
func (h *house) serve(ctx context.Context, l net.Listener, token string) error {
	mux := http.NewServeMux()
	mux.Handle("/agent/v1/", h.gateway.Handler())
	mux.Handle("/", h.api.Handler())
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	rooms, stopRooms := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRooms()
	var inner, outer, front errgroup.Group
	failed := make(chan error, 8)
	start := func(g *errgroup.Group, ctx context.Context, name string, run func(context.Context) error) {
		g.Go(func() error {
			err := run(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
				failed <- err
			}
			return err
		})
	}
	doors, stopDoors := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDoors()
	portal, stopPortal := context.WithCancel(doors)
	defer stopPortal()
	for name, run := range map[string]func(context.Context) error{
		"access": h.access.Run, "alert": h.alert.Run, "fleet": h.fleet.Run, "clip": h.clips.Run, "ingest": h.ingest.Run,
		"live": h.live.Run,
	} {
		start(&inner, rooms, name, run)
	}
	start(&outer, doors, "gateway", h.gateway.Run)
	start(&front, portal, "api", h.api.Run)
	start(&outer, doors, "server", func(context.Context) error { return h.listenAndServe(server, l) })
	if h.turn != nil {
		start(&inner, rooms, "turn", h.turn.Run)
	}
	if h.cfg.Serving != nil {
		h.cfg.Serving(h.url(l), token)
	}
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	stopPortal()
	err := front.Wait() // it ends talks at their sites, through the gateway
	stopDoors()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		cause = errors.Join(cause, ignoreDeadline(err), server.Close())
	}
	err = errors.Join(err, outer.Wait())
	stopRooms()
	return errors.Join(cause, err, inner.Wait())
}

func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // what was still open is closed now
	}
	return err
}

func (h *house) listenAndServe(server *http.Server, l net.Listener) error {
	var err error
	switch {
	case h.certificate != nil && h.turn != nil:
		shared := h.turn.Share(l, h.certificate.config())
		var sorting errgroup.Group
		sorting.Go(shared.Run)
		err = server.Serve(shared)
		err = errors.Join(err, closed(shared.Close()), sorting.Wait())
	case h.certificate != nil:
		server.TLSConfig = h.certificate.config()
		err = server.ServeTLS(l, "", "")
	default:
		err = server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

func (h *house) url(l net.Listener) string {
	if h.cfg.PublicURL != "" {
		return h.cfg.PublicURL
	}
	scheme := "http://"
	if h.cfg.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + l.Addr().String()
}

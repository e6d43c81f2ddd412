// Command fakecam serves synthetic cameras over RTSP, with faults at the turn of a knob over HTTP.
//
//	fakecam -listen 127.0.0.1:8554 -control 127.0.0.1:8555 -cameras 6
//	ffplay rtsp://127.0.0.1:8554/cam1/main
//	curl -X PATCH -d '{"stall": true}' http://127.0.0.1:8555/cameras/cam1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"holdfast/testenv/fakecam"
	"holdfast/testenv/scenes"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log); err != nil {
		log.Error("fake cameras failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger) error {
	listen := flag.String("listen", "127.0.0.1:8554", "RTSP address")
	control := flag.String("control", "", "address of the control API, on loopback; empty means none")
	cameras := flag.Int("cameras", 6, "how many cameras; they take the scenes in turn")
	user := flag.String("user", "", "login of every camera; empty means that none is asked for")
	password := flag.String("password", "", "its password")
	udp := flag.Bool("udp", false, "offer RTP over UDP too")
	limit := flag.Int("max-sessions", 0, "sessions over all cameras; 0 means no limit")
	heavy := flag.Int("heavy", 0, "kbit/s: every camera has a 1080p main stream of this rate and no sub-stream (needs ffmpeg once)")
	flag.Parse()

	cfg := fakecam.Config{Listen: *listen, UDP: *udp, MaxSessions: *limit, Log: log}
	places := scenes.Cameras()
	for i := range *cameras {
		p := places[i%len(places)]
		cfg.Cameras = append(cfg.Cameras, fakecam.CameraConfig{Main: p.Main, Sub: p.Sub, User: *user, Password: *password})
	}
	if *heavy > 0 {
		loop, err := scenes.Heavy(ctx, filepath.Join(os.TempDir(), "holdfast-heavy"), *heavy)
		if err != nil {
			return err
		}
		cfg.Loops = map[string]*scenes.Loop{loop.Name: loop}
		for i := range cfg.Cameras {
			cfg.Cameras[i].Main, cfg.Cameras[i].Sub = loop.Name, ""
		}
	}
	server, err := fakecam.New(cfg)
	if err != nil {
		return err
	}
	for _, c := range server.Cameras() {
		log.Info("camera", "name", c.Name(), "main", c.URL("main"), "sub", c.URL("sub"), "loop", c.Main().Loop().Name)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	api := make(chan error, 1)
	if *control != "" {
		go func() {
			api <- serveControl(ctx, *control, server.Control(), log)
			stop()
		}()
	} else {
		api <- nil
	}
	err = server.Run(ctx)
	stop()
	return errors.Join(err, <-api)
}

func serveControl(ctx context.Context, addr string, h http.Handler, log *slog.Logger) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("read control address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("control address %q is not on loopback: the control API has no login, use 127.0.0.1", addr)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for control API: %w", err)
	}
	log.Info("control API", "url", "http://"+ln.Addr().String()+"/cameras")
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	closed := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer closed()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve control API: %w", err)
	}
	return nil
}

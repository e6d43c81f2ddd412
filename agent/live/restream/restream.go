// Package restream serves the site's cameras by RTSP (RFC 2326) to programs on its network: overlays, analytics, a screen
// in the guard's room. However many watch, the camera is pulled once.
//
// It owns the RTSP server and what a program may ask of it: rtsp://agent:port/KEY/main and KEY/sub, by camera key or ID,
// over TCP. It promises never to slow recording: it reads the Hub through a bounded reader, and a program that is too slow
// loses packets of its own. It takes nothing in, and it is off unless the configuration names an address.
package restream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/auth"
	"github.com/bluenviron/gortsplib/v4/pkg/base"

	"holdfast/agent/media"
	"holdfast/shared/id"
)

// Config says where the server listens and who may watch.
type Config struct {
	Listen   string // host:port; empty: there is no server
	User     string // for digest authentication (RFC 7616); may be missing on loopback alone
	Password string
}

// Validate reports every fault.
func (c Config) Validate() error {
	if c.Listen == "" {
		return nil
	}
	var errs []error
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "" {
		errs = append(errs, fmt.Errorf("live.rtsp.listen: %q is no address: want host:port, such as 192.168.1.20:8554", c.Listen))
	}
	addr, err := netip.ParseAddr(host)
	if c.User == "" && (err != nil || !addr.IsLoopback()) && host != "localhost" {
		errs = append(errs, errors.New("live.rtsp.user: is missing: beyond this machine nobody watches without a name and a password"))
	}
	if c.User != "" && c.Password == "" {
		errs = append(errs, errors.New("live.rtsp.password: is missing"))
	}
	return errors.Join(errs...)
}

// Deps are what the agent's other parts give.
type Deps struct {
	// Find returns the camera with a key or an ID.
	Find func(name string) (id.Camera, bool)
	// Hub returns the hub of a stream, nil when the site has no such stream.
	Hub func(id.Stream) *media.Hub
	// Wall turns a moment on a run's timeline into wall time, microseconds since 1970.
	Wall func(run, monoUs int64) int64
}

// Bounds of the server.
const (
	patience  = 10 * time.Second // for the first picture of a stream that nobody pulled
	linger    = 10 * time.Second // a stream is pulled on for so long after its last program has gone
	retry     = 10 * time.Second // to a port that another program has
	mostConns = 64
	queue     = 2048 // packets that wait for a program, a power of two
)

// Server is the server. Safe for concurrent use.
type Server struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	starts chan *source

	mu       sync.Mutex
	rtsp     *gortsplib.Server // nil while there is none
	sources  map[id.Stream]*source
	watching map[*gortsplib.ServerSession]*source
	conns    map[*gortsplib.ServerConn]bool
}

// New returns the server; Run must follow. cfg must be valid and name an address.
func New(cfg Config, deps Deps, log *slog.Logger) *Server {
	return &Server{
		cfg: cfg, deps: deps, log: log, starts: make(chan *source),
		sources: map[id.Stream]*source{}, watching: map[*gortsplib.ServerSession]*source{}, conns: map[*gortsplib.ServerConn]bool{},
	}
}

// Run serves until ctx ends; it then returns nil. A port that another program has is tried again.
func (s *Server) Run(ctx context.Context) error {
	var sources sync.WaitGroup
	defer sources.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	for said := false; ; {
		server, err := s.open()
		if err == nil {
			s.log.Info("cameras are served by RTSP", "listen", s.cfg.Listen)
			said = false
			go func() { ended <- server.Wait() }()
			err = s.serve(ctx, &sources, ended)
			s.closed(server)
		}
		if ctx.Err() != nil {
			return nil
		}
		if !said {
			s.log.Error("cameras can't be served by RTSP: it is tried again", "listen", s.cfg.Listen, "err", err)
			said = true
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Server) open() (*gortsplib.Server, error) {
	server := &gortsplib.Server{
		Handler: handler{s}, RTSPAddress: s.cfg.Listen, WriteQueueSize: queue, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		AuthMethods: []auth.VerifyMethod{auth.VerifyMethodDigestSHA256, auth.VerifyMethodDigestMD5},
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rtsp = server
	return server, nil
}

// serve starts what programs ask for until ctx or the server ends.
func (s *Server) serve(ctx context.Context, sources *sync.WaitGroup, ended <-chan error) error {
	for {
		select {
		case src := <-s.starts:
			sources.Go(func() { src.run(ctx, s) })
		case err := <-ended:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// closed ends a server. No source begins any more by then: its end would wait for a program that waits for one.
func (s *Server) closed(server *gortsplib.Server) {
	s.mu.Lock()
	s.rtsp = nil
	sources := s.sources
	s.sources = map[id.Stream]*source{}
	s.mu.Unlock()
	for _, src := range sources {
		src.end()
	}
	server.Close()
}

// Listening reports whether programs can connect.
func (s *Server) Listening() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rtsp != nil
}

// Watching returns how many programs watch.
func (s *Server) Watching() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watching)
}

// stream reads a path: a camera, and which of its streams.
func (s *Server) stream(path string) (id.Stream, bool) {
	name, kind, given := strings.Cut(strings.Trim(path, "/"), "/")
	if !given {
		kind = string(id.Main)
	}
	name, err := url.PathUnescape(name)
	if err != nil || !id.StreamKind(kind).Valid() {
		return id.Stream{}, false
	}
	camera, ok := s.deps.Find(name)
	return id.Stream{Camera: camera, Kind: id.StreamKind(kind)}, ok
}

// source returns what serves a stream, starting it if need be; nil when the site has no such stream or the server ends.
func (s *Server) source(name id.Stream) *source {
	hub := s.deps.Hub(name)
	if hub == nil {
		return nil
	}
	s.mu.Lock()
	if s.rtsp == nil {
		s.mu.Unlock()
		return nil
	}
	src, fresh := s.sources[name], false
	if src == nil {
		src, fresh = newSource(hub), true
		s.sources[name] = src
	}
	src.idleAt = time.Now()
	s.mu.Unlock()
	if fresh {
		select {
		case s.starts <- src:
		case <-src.over:
			src.fail("the server ends")
		}
	}
	return src
}

// handler answers the programs.
type handler struct{ s *Server }

// OnConnOpen bounds the connections.
func (h handler) OnConnOpen(c *gortsplib.ServerHandlerOnConnOpenCtx) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.conns[c.Conn] = true
	if len(h.s.conns) > mostConns {
		h.s.log.Warn("too many programs are connected by RTSP: one is sent away", "from", c.Conn.NetConn().RemoteAddr())
		go c.Conn.Close()
	}
}

// OnConnClose forgets a connection.
func (h handler) OnConnClose(c *gortsplib.ServerHandlerOnConnCloseCtx) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	delete(h.s.conns, c.Conn)
}

// find returns the stream that a request is for, or the answer that refuses it.
func (h handler) find(conn *gortsplib.ServerConn, req *base.Request, path string) (*base.Response, *gortsplib.ServerStream, error) {
	if h.s.cfg.User != "" && !conn.VerifyCredentials(req, h.s.cfg.User, h.s.cfg.Password) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, errUnauthorized()
	}
	name, ok := h.s.stream(path)
	if !ok {
		return refusal(base.StatusNotFound), nil, fmt.Errorf("there is no camera stream %q", path)
	}
	src := h.s.source(name)
	if src == nil {
		return refusal(base.StatusNotFound), nil, fmt.Errorf("the camera has no stream %q", path)
	}
	out, err := src.await()
	if err != nil {
		return refusal(base.StatusServiceUnavailable), nil, err
	}
	return &base.Response{StatusCode: base.StatusOK}, out, nil
}

func refusal(code base.StatusCode) *base.Response { return &base.Response{StatusCode: code} }

// OnDescribe implements gortsplib.ServerHandlerOnDescribe.
func (h handler) OnDescribe(c *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return h.find(c.Conn, c.Request, c.Path)
}

// OnSetup implements gortsplib.ServerHandlerOnSetup.
func (h handler) OnSetup(c *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return h.find(c.Conn, c.Request, c.Path)
}

// OnPlay counts a program.
func (h handler) OnPlay(c *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	name, _ := h.s.stream(c.Path)
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if src := h.s.sources[name]; src != nil && h.s.watching[c.Session] == nil {
		h.s.watching[c.Session] = src
		src.readers++
		h.s.log.Info("a program watches by RTSP", "stream", name, "from", c.Conn.NetConn().RemoteAddr())
	}
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnSessionClose counts a program no more.
func (h handler) OnSessionClose(c *gortsplib.ServerHandlerOnSessionCloseCtx) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if src := h.s.watching[c.Session]; src != nil {
		delete(h.s.watching, c.Session)
		src.readers--
		src.idleAt = time.Now()
	}
}

// OnStreamWriteError notes a program that is too slow; it loses packets.
func (h handler) OnStreamWriteError(c *gortsplib.ServerHandlerOnStreamWriteErrorCtx) {
	h.s.log.Debug("a program that watches by RTSP is too slow", "err", c.Error)
}

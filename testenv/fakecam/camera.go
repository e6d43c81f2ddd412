package fakecam

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/auth"
)

// Camera is one camera of the house. Its methods may be called at any time, from any goroutine.
type Camera struct {
	cfg     CameraConfig
	server  *Server
	library *shelf
	port    *port // its own, or the shared one
	streams []*Stream
	silent  atomic.Bool  // as Knobs.Silent, for every write
	replays atomic.Int64 // sessions at the archive

	mu    sync.Mutex
	knobs Knobs
	conns map[*conn]struct{}
	held  []slot // of lost sessions
	nonce string
	born  time.Time // of nonce
	old   []string  // nonces that grew old
	tally Tally
	heard []*speech
}

// slot is a place that a session keeps for a while after it was lost.
type slot struct {
	session string
	until   time.Time
}

// Tally counts what clients asked of a camera.
type Tally struct {
	Connects  uint64 `json:"connects"`   // connections that named this camera
	Describes uint64 `json:"describes"`  // DESCRIBE requests, refused ones included
	Setups    uint64 `json:"setups"`     // SETUP requests for a new session, refused ones included
	Refused   uint64 `json:"refused"`    // of these, refused for want of room
	BadLogins uint64 `json:"bad_logins"` // requests with a wrong login: what a camera locks accounts for
	Basics    uint64 `json:"basics"`     // requests with the password in the clear
	Teardowns uint64 `json:"teardowns"`  // sessions ended in good order
	Lost      uint64 `json:"lost"`       // sessions that ended otherwise
}

func (s *Server) newCamera(i int, c CameraConfig, library *shelf, shared *port) (*Camera, error) {
	c.Name = cmp.Or(c.Name, fmt.Sprintf("cam%d", i+1))
	c.Number = cmp.Or(c.Number, uint32(i+1))
	if c.Auth == nil {
		c.Auth = []auth.VerifyMethod{auth.VerifyMethodBasic, auth.VerifyMethodDigestMD5}
	}
	cam := &Camera{cfg: c, server: s, library: library, port: shared, conns: map[*conn]struct{}{}}
	if err := cam.ExpireNonce(); err != nil {
		return nil, err
	}
	for number, name := range []string{c.Main, c.Sub} {
		if name == "" && number == 1 {
			continue
		}
		loop, err := library.loop(name)
		if err != nil {
			return nil, fmt.Errorf("camera %s: %w", c.Name, err)
		}
		st, err := newStream(cam, uint8(number), loop)
		if err != nil {
			return nil, fmt.Errorf("camera %s: %w", c.Name, err)
		}
		cam.streams = append(cam.streams, st)
	}
	if c.Listen != "" || c.TLS != nil {
		own, err := s.door.open(cmp.Or(c.Listen, "127.0.0.1:0"), cam, secure(c.TLS))
		if err != nil {
			return nil, fmt.Errorf("camera %s: %w", c.Name, err)
		}
		cam.port = own
	}
	return cam, nil
}

func secure(c *tls.Certificate) *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{Certificates: []tls.Certificate{*c}, MinVersion: tls.VersionTLS12}
}

// Name returns the camera's name in the path.
func (c *Camera) Name() string { return c.cfg.Name }

// Number returns the camera's number in its stamps.
func (c *Camera) Number() uint32 { return c.cfg.Number }

// Main returns the main stream.
func (c *Camera) Main() *Stream { return c.streams[0] }

// Sub returns the sub-stream, or nil.
func (c *Camera) Sub() *Stream {
	if len(c.streams) < 2 {
		return nil
	}
	return c.streams[1]
}

// Stream returns the stream called "main" or "sub", or nil.
func (c *Camera) Stream(kind string) *Stream {
	for _, s := range c.streams {
		if s.kind == kind {
			return s
		}
	}
	return nil
}

// Tally returns the counters.
func (c *Camera) Tally() Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tally
}

func (c *Camera) count(change func(*Tally)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.tally)
}

// URL returns the address of the stream called "main" or "sub", without the login.
func (c *Camera) URL(kind string) string {
	return c.scheme() + "://" + c.port.address() + "/" + c.cfg.Name + "/" + kind
}

func (c *Camera) scheme() string {
	if c.port.secure != nil {
		return "rtsps"
	}
	return "rtsp"
}

// URLWithLogin is URL with the configured user and password in it.
func (c *Camera) URLWithLogin(kind string) string {
	u := url.URL{Scheme: c.scheme(), Host: c.port.address(), Path: "/" + c.cfg.Name + "/" + kind}
	if c.cfg.User != "" {
		u.User = url.UserPassword(c.cfg.User, c.cfg.Password)
	}
	return u.String()
}

// Knobs returns the faults that are on.
func (c *Camera) Knobs() Knobs {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.knobs
}

// Turn changes knobs: change gets those in force. Nothing changes when the result is not valid.
func (c *Camera) Turn(change func(*Knobs)) error {
	c.mu.Lock()
	was := c.knobs
	next := was
	change(&next)
	if err := next.Validate(); err != nil {
		c.mu.Unlock()
		return fmt.Errorf("turn knobs of %s: %w", c.cfg.Name, err)
	}
	c.knobs = next
	c.silent.Store(next.Silent)
	c.mu.Unlock()
	gone, away := next.Offline || next.Unplugged, was.Offline || was.Unplugged
	switch {
	case gone && !away:
		if c.port.camera != nil {
			c.port.shut()
		}
		c.Drop()
	case away && !gone:
		// A camera that comes back from a power cut has new clocks and numbers.
		for _, s := range c.streams {
			if was.Offline {
				s.order(func(p *player) { p.reboot = true })
			}
		}
		if err := c.port.reopen(); err != nil {
			return fmt.Errorf("turn knobs of %s: %w", c.cfg.Name, err)
		}
	}
	return nil
}

// Restore turns every fault off.
func (c *Camera) Restore() error { return c.Turn(func(k *Knobs) { *k = Knobs{} }) }

// Drop cuts every connection and session of the camera; new ones are welcome.
func (c *Camera) Drop() {
	for _, ss := range c.server.sessionsOf(c) {
		ss.Close()
	}
	c.mu.Lock()
	conns := c.conns
	c.conns = map[*conn]struct{}{}
	c.mu.Unlock()
	for conn := range conns {
		conn.reset()
	}
}

// Jump moves the camera's RTP clocks by d from the next frame on: a new timeline that stays.
func (c *Camera) Jump(d time.Duration) {
	for _, s := range c.streams {
		s.order(func(p *player) { p.jump += d })
	}
}

// Outlier stamps one single next frame of pictures of each stream as if it were d away.
func (c *Camera) Outlier(d time.Duration) {
	for _, s := range c.streams {
		s.order(func(p *player) { p.outlier = d })
	}
}

// Switch makes a stream ("main" or "sub") go on with another loop. When codec and sound stay the same, clients
// see new parameter sets in the stream; else they are cut off and must describe it anew.
func (c *Camera) Switch(kind, loop string) error {
	s := c.Stream(kind)
	if s == nil {
		return fmt.Errorf("switch loop: camera %s has no stream %q", c.cfg.Name, kind)
	}
	l, err := c.library.loop(loop)
	if err != nil {
		return fmt.Errorf("switch loop: %w", err)
	}
	s.order(func(p *player) { p.next = l })
	return nil
}

// adopt notes that a connection is for this camera.
func (c *Camera) adopt(n *conn) {
	had := n.camera.Swap(c)
	if had == c {
		return
	}
	if had != nil {
		had.disown(n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[n] = struct{}{}
	c.tally.Connects++
}

func (c *Camera) disown(n *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, n)
}

// room says whether another session fits beside n that run.
func (c *Camera) room(n int, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally.Setups++
	c.held = slices.DeleteFunc(c.held, func(s slot) bool { return !s.until.After(now) })
	if c.knobs.MaxSessions == 0 || n+len(c.held) < c.knobs.MaxSessions {
		return true
	}
	c.tally.Refused++
	return false
}

// free gives back the place of a lost session, and says whether there was one.
func (c *Camera) free(session string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.held)
	c.held = slices.DeleteFunc(c.held, func(s slot) bool { return s.session == session })
	return len(c.held) < n
}

// lost notes that a session ended without TEARDOWN.
func (c *Camera) lost(session string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally.Lost++
	if c.knobs.HoldSlotMs > 0 {
		c.held = append(c.held, slot{session, now.Add(time.Duration(c.knobs.HoldSlotMs) * time.Millisecond)})
	}
}

// Package turn is the cloud's STUN and TURN server (RFC 8489, RFC 8656): it tells the two ends of a live session how
// the Internet sees them, and carries their packets where there is no direct path.
//
// It owns the relays and who may use them. Its credentials are made for one person or one agent, serve for two minutes
// until a live session takes them, and from then on as long as that session: with it its relays end at once. A relay
// reaches public addresses and other relays of this server, never the cloud's own network or services. It never sees a
// picture: what it carries is encrypted from end to end.
package turn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config says where the server listens and what it gives. The zero value of a bound means its default.
type Config struct {
	Listen  string         // host:port, for UDP and TCP
	Address netip.Addr     // by which the world reaches this machine
	Host    string         // name of the server in URLs; empty: Address
	Secure  int            // port at which TURN over TLS is handed in through Serve; 0: none
	Ports   [2]uint16      // first and last UDP port of relays; 50000 to 50999
	Media   int            // UDP port of the relay for many viewers on this machine, which relays here reach too; 0: none
	Allow   []netip.Prefix // private networks that relays may reach, for a cloud inside a company's own
	PerUser int            // relays of one credential; 12: a browser makes one for each address of its own and each way in
	Most    int            // relays at once; 1000
	Untaken time.Duration  // how long credentials serve that no session has taken; 2 minutes
}

func (c Config) withDefaults() Config {
	if c.Ports == [2]uint16{} {
		c.Ports = [2]uint16{50000, 50999}
	}
	if c.PerUser == 0 {
		c.PerUser = 12
	}
	if c.Most == 0 {
		c.Most = 1000
	}
	if c.Untaken == 0 {
		c.Untaken = 2 * time.Minute
	}
	if c.Host == "" {
		c.Host = c.Address.String()
	}
	return c
}

// Validate reports every fault.
func (c Config) Validate() error {
	var errs []error
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		errs = append(errs, fmt.Errorf("turn: %q is no address to listen on: want :3478 or host:port", c.Listen))
	}
	if !c.Address.IsValid() || c.Address.IsUnspecified() {
		errs = append(errs, errors.New("turn address: the address by which browsers and sites reach this machine is missing"))
	}
	if c.Ports[0] > c.Ports[1] {
		errs = append(errs, fmt.Errorf("turn ports: %d is above %d", c.Ports[0], c.Ports[1]))
	}
	return errors.Join(errs...)
}

const (
	realm      = "holdfast"
	mostGrants = 20_000 // each takes some hundred bytes
)

// grant is one credential.
type grant struct {
	holder  string
	key     []byte
	expires time.Time
	session id.Session // that has taken it; empty: none
	relays  map[*relay]bool
}

// Server is the server. Safe for concurrent use.
type Server struct {
	cfg    Config
	log    *slog.Logger
	packet net.PacketConn
	stream *stream
	port   int

	mu     sync.Mutex
	grants map[string]*grant
	taken  map[id.Session][]string // whose grants a session has taken
	relays int
}

// New opens the server's ports; Run must follow. cfg must be valid.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Server, error) {
	s := &Server{cfg: cfg.withDefaults(), log: log, grants: map[string]*grant{}, taken: map[id.Session][]string{}}
	var lc net.ListenConfig
	tcp, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for TURN: %w (is another program using the port? choose another with --turn)", err)
	}
	addr, _ := tcp.Addr().(*net.TCPAddr)
	s.port = addr.Port
	host, _, _ := net.SplitHostPort(cfg.Listen)
	s.packet, err = lc.ListenPacket(ctx, "udp", net.JoinHostPort(host, strconv.Itoa(s.port)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for TURN: %w (is another program using the port? choose another with --turn)", err), tcp.Close())
	}
	s.stream = newStream(tcp)
	return s, nil
}

// Run serves until ctx ends; it then returns nil.
func (s *Server) Run(ctx context.Context) error {
	generator := relays{s}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: realm, AuthHandler: s.authorise, QuotaHandler: s.hasRoom, LoggerFactory: chatter(s.log),
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: s.packet, RelayAddressGenerator: generator, PermissionHandler: s.mayName}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: s.stream, RelayAddressGenerator: generator, PermissionHandler: s.mayName}},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("start TURN: %w", err), s.packet.Close(), s.stream.Close())
	}
	go s.stream.run()
	sweep := time.NewTicker(10 * time.Second)
	defer sweep.Stop()
	for {
		select {
		case now := <-sweep.C:
			s.sweep(now)
		case <-ctx.Done():
			err := server.Close()
			s.stream.wait()
			return err
		}
	}
}

// Close gives the ports back when Run was not called.
func (s *Server) Close() error { return errors.Join(s.packet.Close(), s.stream.Close()) }

// Serve takes over a connection that came in elsewhere, TLS ended.
func (s *Server) Serve(conn net.Conn) { s.stream.put(conn) }

// Mint makes credentials for holder, a person or an agent, and returns them with the ways in.
func (s *Server) Mint(holder string) []wire.ICEServer {
	name, password := rand.Text(), rand.Text()
	at := net.JoinHostPort(s.cfg.Host, strconv.Itoa(s.port))
	stun := wire.ICEServer{URLs: []string{"stun:" + at}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.grants) >= mostGrants {
		return []wire.ICEServer{stun} // until those that nobody takes have ended
	}
	s.grants[name] = &grant{
		holder: holder, key: turn.GenerateAuthKey(name, realm, password), expires: time.Now().Add(s.cfg.Untaken), relays: map[*relay]bool{},
	}
	urls := []string{"turn:" + at + "?transport=udp", "turn:" + at + "?transport=tcp"}
	if s.cfg.Secure > 0 {
		urls = append(urls, "turns:"+net.JoinHostPort(s.cfg.Host, strconv.Itoa(s.cfg.Secure))+"?transport=tcp")
	}
	return []wire.ICEServer{stun, {URLs: urls, Username: name, Credential: password}}
}

// Fresh is how long credentials make new relays.
func (s *Server) Fresh() time.Duration { return s.cfg.Untaken }

// Bind has credentials serve as long as a session does. It reports false for those of another holder, of another
// session, or that have ended.
func (s *Server) Bind(name, holder string, session id.Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[name]
	if g == nil || g.holder != holder || g.session != "" && g.session != session || g.session == "" && time.Now().After(g.expires) {
		return false
	}
	if g.session == "" {
		g.session = session
		s.taken[session] = append(s.taken[session], name)
	}
	return true
}

// End ends the credentials of a session, and at once their relays.
func (s *Server) End(session id.Session) {
	s.mu.Lock()
	names := s.taken[session]
	delete(s.taken, session)
	open := s.drop(names)
	s.mu.Unlock()
	open.close()
}

// sweep ends credentials that no session has taken in time.
func (s *Server) sweep(now time.Time) {
	var names []string
	s.mu.Lock()
	for name, g := range s.grants {
		if g.session == "" && now.After(g.expires) {
			names = append(names, name)
		}
	}
	open := s.drop(names)
	s.mu.Unlock()
	open.close()
}

// open are relays whose credentials have ended.
type open []*relay

func (o open) close() {
	for _, r := range o {
		_ = r.Close() // the server learns of it from its own read
	}
}

// drop forgets credentials and returns their relays; mu is held.
func (s *Server) drop(names []string) (left open) {
	for _, name := range names {
		for r := range s.grants[name].relays {
			left = append(left, r)
		}
		delete(s.grants, name)
	}
	return left
}

// Relays returns how many relays there are.
func (s *Server) Relays() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relays
}

// authorise returns the key of credentials that may do what is asked: a new relay only while they are fresh, everything
// else as long as they are there.
func (s *Server) authorise(r *turn.RequestAttributes) (user string, key []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[r.Username]
	if g == nil || r.Realm != realm {
		return "", nil, false
	}
	fresh := time.Now().Before(g.expires)
	if !fresh && (g.session == "" || r.Method == stun.MethodAllocate) {
		return "", nil, false
	}
	return r.Username, g.key, true
}

func (s *Server) hasRoom(name, _ string, _ net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[name]
	return g != nil && len(g.relays) < s.cfg.PerUser && s.relays < s.cfg.Most
}

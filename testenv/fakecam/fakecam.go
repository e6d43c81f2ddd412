// Package fakecam is a house full of IP cameras that are not there: an RTSP server that plays the loops of
// package scenes as live streams, with every fault of a real camera at the turn of a knob.
//
// It owns the cameras' clocks, sessions, passwords and faults. It promises that every frame carries a Stamp
// whose number rises by one, that all clients of a stream are sent the same frames on a schedule that does not
// drift, and that a log says exactly which frames were sent and when: a hole in what a client received is the
// client's loss, or is marked in that log. It never invents a fault that nobody turned on.
//
// A camera may have a loudspeaker, by ONVIF's back channel, and remembers what it heard there (heard.go).
// Paths are /<camera>/main and /<camera>/sub. RTSP over TCP, TLS and UDP, Basic and Digest (MD5, SHA-256).
package fakecam

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/auth"

	"holdfast/testenv/scenes"
)

// Config is a house of cameras. The zero value of every field but Cameras has a meaning.
type Config struct {
	Listen         string                  // host:port; empty means 127.0.0.1 and any free port
	UDP            bool                    // offer RTP over UDP too, on a free pair of ports
	Cameras        []CameraConfig          // at least one
	Loops          map[string]*scenes.Loop // loops beyond those of package scenes, by name
	SessionTimeout time.Duration           // announced and kept; 60 s when zero, whole seconds
	MaxSessions    int                     // over all cameras, as an NVR has it; 0 means no limit
	LogFrames      int                     // frames that each stream remembers; 60,000 when zero
	Gather         time.Duration           // what is sent to a client within so long leaves in one write; 0: each packet in its own
	Log            *slog.Logger            // nil is silent
}

// CameraConfig is one camera.
type CameraConfig struct {
	Name      string // in the path; "cam1", "cam2" ... when empty
	Number    uint32 // in the stamp; the place in the list, from 1 on, when zero
	Main, Sub string // names of loops; an empty Sub means that there is none
	User      string // empty: no login is asked for
	Password  string
	Auth      []auth.VerifyMethod // Basic and Digest MD5 when nil
	Listen    string              // a port of its own besides the house's; an own port can truly refuse
	TLS       *tls.Certificate    // rtsps:// with this certificate, on a port of its own; nil for rtsp://
	Mute      bool                // no sound, even when the loop has some
	OutOfBand bool                // parameter sets only in the SDP, never in the stream
	InBand    bool                // parameter sets only in the stream, never in the SDP; with OutOfBand nowhere
	RTPStart  uint32              // first RTP timestamp of the pictures; random when zero
	Speaker   []string            // codecs of its loudspeaker: "PCMU", "PCMA", "AAC"; none: it has no back channel
	Card      time.Duration       // how much the camera keeps by itself and replays at Stream.ArchiveURL; 0: nothing
}

// Server is the house. New binds its ports, Run serves.
type Server struct {
	cfg     Config
	log     *slog.Logger
	rtsp    *gortsplib.Server
	door    *door
	udp     *udpPair
	archive *archive
	cameras []*Camera
	done    chan struct{} // closed when Run ends

	mu       sync.Mutex
	sessions map[*gortsplib.ServerSession]*session
}

// New checks the configuration, loads the loops and binds the ports, so that addresses are known before Run.
// Whoever does not go on to Run must Close.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, done: make(chan struct{}), sessions: map[*gortsplib.ServerSession]*session{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.Listen == "" {
		s.cfg.Listen = "127.0.0.1:0"
	}
	if s.cfg.SessionTimeout == 0 {
		s.cfg.SessionTimeout = time.Minute
	}
	if s.cfg.LogFrames == 0 {
		s.cfg.LogFrames = 60_000
	}
	if len(cfg.Cameras) == 0 {
		return nil, errors.New("start fake cameras: the list of cameras is empty")
	}
	if err := s.build(); err != nil {
		s.Close()
		return nil, fmt.Errorf("start fake cameras: %w", err)
	}
	return s, nil
}

func (s *Server) build() error {
	s.door = newDoor(s.cfg.Gather)
	shared, err := s.door.open(s.cfg.Listen, nil, nil)
	if err != nil {
		return err
	}
	if s.archive, err = newArchive(s); err != nil {
		return err
	}
	library := shelf{extra: s.cfg.Loops, loaded: map[string]*scenes.Loop{}}
	for i, c := range s.cfg.Cameras {
		cam, err := s.newCamera(i, c, &library, shared)
		if err != nil {
			return err
		}
		if s.Camera(cam.cfg.Name) != nil {
			return fmt.Errorf("camera %d: the name %q is taken", i+1, cam.cfg.Name)
		}
		if err := s.archive.lock(cam.cfg.TLS); err != nil {
			return err
		}
		s.cameras = append(s.cameras, cam)
	}
	s.rtsp = &gortsplib.Server{
		Handler:                  &handler{s},
		RTSPAddress:              shared.address(),
		Listen:                   func(_, _ string) (net.Listener, error) { return s.door, nil },
		WriteQueueSize:           4096,
		DisableRTCPSenderReports: true, // ours stop when the camera stalls
	}
	if s.cfg.UDP {
		if s.udp, err = bindPair(s.cfg.Listen); err != nil {
			return err
		}
		s.rtsp.UDPRTPAddress, s.rtsp.UDPRTCPAddress = s.udp.rtp.LocalAddr().String(), s.udp.rtcp.LocalAddr().String()
		s.rtsp.ListenPacket = s.udp.take
	}
	return nil
}

// Close frees the ports of a Server that is not run.
func (s *Server) Close() {
	if s.door != nil {
		_ = s.door.Close()
	}
	if s.udp != nil {
		s.udp.close()
	}
	if s.archive != nil {
		s.archive.close()
	}
}

// Run serves until ctx ends, and then returns nil. It is called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	if err := s.rtsp.Start(); err != nil {
		return fmt.Errorf("start RTSP server: %w", err)
	}
	for _, c := range s.cameras {
		for _, st := range c.streams {
			if err := st.publish(s.rtsp); err != nil {
				s.rtsp.Close()
				return fmt.Errorf("publish %s/%s: %w", c.cfg.Name, st.kind, err)
			}
		}
	}
	var wg sync.WaitGroup
	start := time.Now()
	for _, c := range s.cameras {
		for _, st := range c.streams {
			wg.Go(func() { st.play(s.done, start) })
		}
	}
	s.door.serve()
	wg.Go(s.expire)
	wg.Go(s.archive.serve)
	var failure error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failure = s.rtsp.Wait()
	}()
	select {
	case <-ctx.Done():
	case <-ended:
	}
	close(s.done)
	s.archive.close()
	s.rtsp.Close()
	<-ended
	wg.Wait()
	for _, c := range s.cameras {
		for _, st := range c.streams {
			st.retire()
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve RTSP: %w", failure)
}

// Addr is the address of the port that all cameras share.
func (s *Server) Addr() string { return s.rtsp.RTSPAddress }

// Cameras returns all cameras in the order of the configuration.
func (s *Server) Cameras() []*Camera { return append([]*Camera(nil), s.cameras...) }

// Camera returns the camera of that name, or nil.
func (s *Server) Camera(name string) *Camera {
	for _, c := range s.cameras {
		if c.cfg.Name == name {
			return c
		}
	}
	return nil
}

// shelf keeps loaded loops, so that eighty streams share six.
type shelf struct {
	extra  map[string]*scenes.Loop
	loaded map[string]*scenes.Loop
	mu     sync.Mutex
}

func (l *shelf) loop(name string) (*scenes.Loop, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if loop := l.extra[name]; loop != nil {
		return loop, nil
	}
	if loop := l.loaded[name]; loop != nil {
		return loop, nil
	}
	loop, err := scenes.Load(name)
	if err != nil {
		return nil, err
	}
	l.loaded[name] = loop
	return loop, nil
}

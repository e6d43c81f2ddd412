// Package camera is the room that pulls video: one RTSP session per stream (RFC 2326), from the camera itself
// or from the recorder that serves it.
//
// It owns connecting, authentication, keepalive, back-off, depacketising and the timeline of every track, and
// hands access units to the stream's media.Hub; and it sends speech to a camera's loudspeaker, in a session apart. It promises that each stream's trouble stays its own, that no
// timestamp of a camera ends a recording, that a wrong password is tried at most once a minute so that no
// account gets locked, that sessions are torn down, and that it says in words what is wrong and what to do.
// It dials only into the networks that the site allows. It never sees the disk and never decodes pictures.
package camera

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/agent/health"
	"holdfast/agent/media"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config lists the cameras of the site.
type Config struct {
	Cameras []Camera
	// Networks are the only addresses that are dialled, checked on the address that a name resolved to.
	// Link-local addresses, where clouds keep their metadata, are refused even when listed.
	Networks []netip.Prefix
	CAs      *x509.CertPool // authorities for rtsps:// besides pins; nil means the system's
	// Sessions are how many sessions a device serves at once, by its host as in the sources' addresses. Where none
	// is given the limit is learnt when the device refuses.
	Sessions map[string]int
	Stall    time.Duration // a session without a frame for so long has stalled; 0 means ten seconds
	Linger   time.Duration // a stream that nobody reads any more is let go after so long; 0 means 30 seconds
	Prove    time.Duration // a preferred source that failed must work for so long again; 0 means a minute
	Retrial  time.Duration // and is tried so long after it failed; 0 means 30 seconds
	Retry    backoff.Policy

	// Recall and Remember keep what must outlive the process, by name; nil keeps it in memory only.
	Recall   func(name string) string
	Remember func(name, value string)
}

// Camera is one camera, or one channel of a recorder.
type Camera struct {
	ID        id.Camera
	Name      string
	Channel   string // the recorder's own word for it; may be empty
	Main      Source
	Sub       Source     // the zero Source when there is none
	Fallback  []Fallback // where the same pictures come from when these fail, in order
	RecordSub bool       // pull the sub-stream always, not only while somebody watches
	NoAudio   bool       // leave sound at the camera
	Talk      bool       // people may speak through its loudspeaker
}

// Fallback is another way to a camera's pictures: the recorder's channel, say, where Main is the camera itself.
type Fallback struct {
	Main Source
	Sub  Source // the zero Source when there is none
}

// sources returns where a stream comes from, in order.
func (c *Camera) sources(kind id.StreamKind) (out []Source) {
	all := append([]Fallback{{c.Main, c.Sub}}, c.Fallback...)
	for _, f := range all {
		s := f.Main
		if kind == id.Sub {
			s = f.Sub
		}
		if !s.IsZero() {
			out = append(out, s)
		}
	}
	return out
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Networks) == 0 && len(c.Cameras) > 0 {
		fault("camera_networks: is empty: list the networks that the cameras are in, such as 192.168.1.0/24")
	}
	seen := map[id.Camera]bool{}
	for i, cam := range c.Cameras {
		if _, err := id.Parse[id.Camera](string(cam.ID)); err != nil {
			fault("cameras[%d].id: %w", i, err)
		}
		if seen[cam.ID] {
			fault("cameras[%d].id: another camera has it", i)
		}
		seen[cam.ID] = true
		if cam.Main.IsZero() {
			fault("cameras[%d].main: is missing: give the RTSP address of the stream to record", i)
		}
		if cam.RecordSub && len(cam.sources(id.Sub)) == 0 {
			fault("cameras[%d].record_sub: there is no sub-stream to record", i)
		}
		for k, f := range cam.Fallback {
			if f.Main.IsZero() && f.Sub.IsZero() {
				fault("cameras[%d].fallback[%d]: has no address", i, k)
			}
		}
	}
	return errors.Join(errs...)
}

// Cameras runs the sessions.
type Cameras struct {
	cfg   Config
	clock *media.Clock
	board *health.Board // may be nil
	log   *slog.Logger
	gate  *accounts

	spares sync.Pool // buffers in which access units come together
	budget *budget
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error) // nil: the system's

	cameras []Camera
	streams map[id.Stream]*stream

	speakers map[id.Camera]*Speaker // of cameras through which people may speak

	mu       sync.Mutex
	names    map[id.Camera]string
	disabled map[id.Camera]bool
	changed  chan struct{} // closed and replaced when disabled changes
}

// New prepares the cameras and a Hub for each of their streams; nothing is dialled before Run.
func New(cfg Config, clock *media.Clock, board *health.Board, log *slog.Logger) (*Cameras, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure cameras: %w", err)
	}
	if cfg.Stall == 0 {
		cfg.Stall = 10 * time.Second
	}
	if cfg.Linger == 0 {
		cfg.Linger = 30 * time.Second
	}
	if cfg.Prove == 0 {
		cfg.Prove = proveFor
	}
	if cfg.Retrial == 0 {
		cfg.Retrial = tryAgain
	}
	if cfg.Retry.Min == 0 {
		// Cameras are near, and what they show while the agent waits is lost.
		cfg.Retry = backoff.Policy{Min: time.Second, Cap: 10 * time.Second}
	}
	c := &Cameras{
		cfg: cfg, clock: clock, board: board, log: log, gate: newAccounts(), budget: newBudget(cfg.Sessions), cameras: cfg.Cameras,
		streams: map[id.Stream]*stream{}, speakers: map[id.Camera]*Speaker{}, names: map[id.Camera]string{}, disabled: map[id.Camera]bool{},
		changed: make(chan struct{}),
	}
	for _, cam := range cfg.Cameras {
		c.names[cam.ID] = cam.Name
		c.add(cam, id.Main, true)
		c.add(cam, id.Sub, cam.RecordSub)
		if cam.Talk {
			c.speakers[cam.ID] = c.newSpeaker(cam.ID, cam.sources(id.Main))
		}
	}
	return c, nil
}

func (c *Cameras) add(cam Camera, kind id.StreamKind, always bool) {
	s := id.Stream{Camera: cam.ID, Kind: kind}
	if sources := cam.sources(kind); len(sources) > 0 {
		c.streams[s] = newStream(c, s, sources, always, !cam.NoAudio)
	}
}

// Hub returns the hub of a stream, nil when the site has no such stream.
func (c *Cameras) Hub(s id.Stream) *media.Hub {
	if st := c.streams[s]; st != nil {
		return st.hub
	}
	return nil
}

// Recorded returns the streams that are pulled always, to be recorded, in the order of the configuration.
func (c *Cameras) Recorded() []id.Stream {
	var out []id.Stream
	for _, cam := range c.cameras {
		for _, kind := range []id.StreamKind{id.Main, id.Sub} {
			s := id.Stream{Camera: cam.ID, Kind: kind}
			if st := c.streams[s]; st != nil && st.always {
				out = append(out, s)
			}
		}
	}
	return out
}

// Run pulls the streams until ctx ends; then it tears the sessions down.
func (c *Cameras) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range c.streams {
		group.Go(func() error { return s.run(ctx) })
	}
	group.Go(func() error {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				for _, s := range c.streams {
					s.review()
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Apply sets what the portal wishes: names, and which cameras are switched off. A camera that is not listed is
// as the site's configuration says.
func (c *Cameras) Apply(desire []wire.CameraDesire) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.disabled)
	for _, cam := range c.cameras {
		c.names[cam.ID] = cam.Name
	}
	for _, d := range desire {
		if _, known := c.names[d.Camera]; !known {
			continue
		}
		if d.Name != "" {
			c.names[d.Camera] = d.Name
		}
		c.disabled[d.Camera] = d.Disable
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// Off says whether a camera is switched off: its device is left alone.
func (c *Cameras) Off(cam id.Camera) bool {
	off, _ := c.off(cam)
	return off
}

// off says whether a camera is switched off, with a channel that is closed when that may have changed.
func (c *Cameras) off(cam id.Camera) (bool, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disabled[cam], c.changed
}

// States returns what is known of every camera, for heartbeats. What the recorder knows (DurableUs, FirstUs,
// trouble with the disk) is not in it.
func (c *Cameras) States() []wire.CameraState {
	out := make([]wire.CameraState, 0, len(c.cameras))
	for _, cam := range c.cameras {
		c.mu.Lock()
		state := wire.CameraState{Camera: cam.ID, Name: c.names[cam.ID], Channel: cam.Channel, Talk: cam.Talk}
		c.mu.Unlock()
		for _, kind := range []id.StreamKind{id.Main, id.Sub} {
			if s := c.streams[id.Stream{Camera: cam.ID, Kind: kind}]; s != nil {
				state.Streams = append(state.Streams, s.snapshot())
			}
		}
		out = append(out, state)
	}
	return out
}

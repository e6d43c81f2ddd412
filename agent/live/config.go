package live

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"holdfast/agent/ledger"
	"holdfast/agent/live/talk"
	"holdfast/agent/media"
	"holdfast/shared/id"
)

// Config bounds the room.
type Config struct {
	Port        int           // UDP port for all sessions; 0 takes any
	Loopback    bool          // offer loopback addresses, for a browser on the same machine
	MaxSessions int           // more are refused in words; 0 means 64
	Path        time.Duration // a connection without a path by then ends; 0 means 20 s
	Idle        time.Duration // a connection over which nothing was watched for so long ends; 0 means 15 min
	// Authorities are those whose certificates TURN servers may show; nil means the system's.
	Authorities *x509.CertPool
	// Connect makes a TCP connection to a TURN server as the site reaches the cloud, through its proxy for instance; nil
	// stands for directly.
	Connect func(ctx context.Context, addr string) (net.Conn, error)
	Talk    talk.Config // of those who speak
	// LAN are networks of the site beside the machine's own: who watches from there is not on the WAN.
	LAN []netip.Prefix
	// Convert says what is done for browsers that can't show what a camera sends.
	Convert Convert
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	var errs []error
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("live.port: want 0 to 65535, not %d", c.Port))
	}
	if c.MaxSessions < 0 {
		errs = append(errs, fmt.Errorf("live.max_sessions: want 0 or more, not %d", c.MaxSessions))
	}
	if c.Convert.Viewers < 0 || c.Convert.Height < 0 {
		errs = append(errs, errors.New("live.convert: viewers and height: want 0 or more"))
	}
	return errors.Join(errs...)
}

// Footage is what the room reads from the floors and from the recorder; the hall fills it.
type Footage struct {
	// Hub returns the hub of a stream, nil when the site has no such stream.
	Hub func(id.Stream) *media.Hub
	// Recent returns the frames from the newest key frame up to, not including, seq, read back from disk.
	Recent func(stream id.Stream, before uint64) ([]media.Frame, error)
	// Segments returns the segments that overlap [fromUs, toUs), by time, open ones up to what is durable.
	Segments func(ctx context.Context, stream id.Stream, fromUs, toUs int64) ([]ledger.Segment, error)
	// Open opens a segment for reading and returns its present size in bytes.
	Open func(volume string, segment uint64) (File, int64, error)
	// Wall turns a moment on a run's timeline into wall time, microseconds since 1970.
	Wall func(run, monoUs int64) int64
	// Pin keeps retention away from a range of a stream until release is called, at most for ttl.
	Pin func(stream id.Stream, fromUs, toUs int64, ttl time.Duration) (release func())
	// Gap says why a stream has no video at a moment; the empty string when nothing is known.
	Gap func(ctx context.Context, stream id.Stream, atUs int64) string
	// Offset returns the cloud's clock minus the site's, microseconds, once it is known. It may be nil.
	Offset func() (us int64, known bool)
	// KeyFrame asks the camera for a key frame of a stream, without waiting; what was asked a moment ago is not asked again. It
	// may be nil.
	KeyFrame func(id.Stream)
	// Rates returns how many bytes per second the streams that are pulled now bring. It may be nil.
	Rates func() map[id.Stream]float64
	// Ahead has a stream fetched from its camera that somebody may watch next. It may be nil.
	Ahead func(id.Stream)
	// Own returns how long a picture of a stream has taken inside the camera of late, where the camera tells. It may be nil.
	Own func(id.Stream) (d time.Duration, ok bool)
	// Speaker returns the loudspeaker of a camera, nil where the site lets nobody speak. It may be nil.
	Speaker func(id.Camera) talk.Speaker
	// TalkEnded is told when somebody has spoken. It may be nil.
	TalkEnded func()
}

// File is an open segment.
type File interface {
	io.ReaderAt
	io.Closer
}

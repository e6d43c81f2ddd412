package fakecam

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/bluenviron/gortsplib/v4"

	"holdfast/testenv/scenes"
)

// Stream is one stream of a camera.
type Stream struct {
	camera   *Camera
	number   uint8
	kind     string // "main" or "sub"
	report   atomic.Bool
	stalled  atomic.Bool // as Knobs.Stall, for this stream alone
	overflow atomic.Uint64
	card     card

	mu     sync.Mutex
	loop   *scenes.Loop
	out    *output // nil before Run
	orders []func(*player)
	wake   chan struct{}
	log    []Sent // a ring once it is full
	count  Counters
}

// Sent is one access unit that went out, or that a camera without its cable filmed.
type Sent struct {
	Frame   uint64 `json:"frame"` // as in its stamp
	AtUs    int64  `json:"at_us"` // wall time, microseconds since 1970
	RTP     uint32 `json:"rtp"`   // timestamp
	Key     bool   `json:"key"`
	Bytes   int    `json:"bytes"`             // of NAL units, stamp included
	Frozen  bool   `json:"frozen,omitempty"`  // a repetition of this frame
	Damaged bool   `json:"damaged,omitempty"` // packets of it were left out or garbled
	Unsent  bool   `json:"unsent,omitempty"`  // filmed while nobody could reach the camera
}

// Counters add up what a stream did.
type Counters struct {
	Frames   uint64 `json:"frames"`   // numbered frames sent; the newest has this number
	Frozen   uint64 `json:"frozen"`   // repetitions sent while frozen
	Damaged  uint64 `json:"damaged"`  // frames with packets left out or garbled
	Bytes    uint64 `json:"bytes"`    // of pictures
	Sound    uint64 `json:"sound"`    // frames of sound
	Late     uint64 `json:"late"`     // times that the house itself was too slow and skipped pictures
	Overflow uint64 `json:"overflow"` // packets lost because a client read too slowly
}

func newStream(c *Camera, number uint8, loop *scenes.Loop) (*Stream, error) {
	out, err := newOutput(loop, c.cfg, c.cfg.RTPStart)
	if err != nil {
		return nil, fmt.Errorf("loop %s: %w", loop.Name, err)
	}
	s := &Stream{camera: c, number: number, kind: [...]string{"main", "sub"}[number], loop: loop, wake: make(chan struct{}, 1)}
	s.out = out
	s.card.keep = c.cfg.Card
	return s, nil
}

// Loop returns the loop that the stream plays.
func (s *Stream) Loop() *scenes.Loop {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loop
}

// Sent returns how many frames the stream has sent; the newest one's stamp has this number.
func (s *Stream) Sent() uint64 { return s.Counters().Frames }

// Stall makes this stream alone stop, or go on: its sessions stay.
func (s *Stream) Stall(on bool) { s.stalled.Store(on) }

// Counters returns what the stream did so far.
func (s *Stream) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.count
	c.Overflow = s.overflow.Load()
	return c
}

// Log returns what was sent with frame numbers from first to last, repetitions included, oldest first.
func (s *Stream) Log(first, last uint64) []Sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Sent
	n := uint64(len(s.log))
	lines := s.count.Frames + s.count.Frozen
	for i := lines - min(lines, n); i < lines; i++ {
		if e := s.log[i%n]; e.Frame >= first && e.Frame <= last {
			out = append(out, e)
		}
	}
	return out
}

// note logs and counts one access unit.
func (s *Stream) note(e Sent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.count.Frames + s.count.Frozen
	if limit := uint64(s.camera.server.cfg.LogFrames); uint64(len(s.log)) < limit {
		s.log = append(s.log, e)
	} else {
		s.log[line%limit] = e
	}
	if e.Frozen {
		s.count.Frozen++
	} else {
		s.count.Frames++
	}
	if e.Damaged {
		s.count.Damaged++
	}
	s.count.Bytes += uint64(e.Bytes)
}

// order gives the player something to do before its next frame.
func (s *Stream) order(do func(*player)) {
	s.mu.Lock()
	s.orders = append(s.orders, do)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Stream) takeOrders() []func(*player) {
	s.mu.Lock()
	defer s.mu.Unlock()
	orders := s.orders
	s.orders = nil
	return orders
}

// output returns the present output once it is published, else nil.
func (s *Stream) output() *output {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.stream == nil {
		return nil
	}
	return s.out
}

func (s *Stream) publish(server *gortsplib.Server) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.publish(server)
}

// replace goes over to a new output and cuts off the clients of the old one.
func (s *Stream) replace(loop *scenes.Loop) error {
	out, err := newOutput(loop, s.camera.cfg, 0)
	if err != nil {
		return err
	}
	if err := out.publish(s.camera.server.rtsp); err != nil {
		return err
	}
	s.mu.Lock()
	old := s.out
	s.out, s.loop = out, loop
	s.mu.Unlock()
	old.stream.Close()
	return nil
}

// follow goes on in the same output with another loop.
func (s *Stream) follow(loop *scenes.Loop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.camera.cfg.InBand {
		s.out.setParams(&loop.Video)
	}
	s.loop = loop
}

// retire ends the stream after the server has ended.
func (s *Stream) retire() {
	if out := s.output(); out != nil {
		out.stream.Close()
	}
}

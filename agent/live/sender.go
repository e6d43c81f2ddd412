package live

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtpmpeg4audio"
	"github.com/pion/rtp"

	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
)

// shot is one frame on its way to a viewer.
type shot struct {
	track   *mp4.Track
	key     bool
	late    bool // before the moment asked for: needed for decoding, shown in a burst
	units   [][]byte
	mediaUs int64 // its decoding time on the source's timeline, microseconds
	laterUs int64 // its presentation time after that; 0 where pictures come in the order in which they are shown
	atUs    int64 // wall time of capture
}

func (f *shot) bytes() (n int) {
	for _, u := range f.units {
		n += len(u)
	}
	return n
}

// sortShots brings the tracks' frames into one order without touching that of each track.
func sortShots(shots []shot) {
	slices.SortStableFunc(shots, func(a, b shot) int { return cmp.Compare(a.mediaUs, b.mediaUs) })
}

// sender packs frames of one track into RTP (RFC 6184, RFC 7798, RFC 3551, RFC 7587, RFC 3640) on the session's own
// timeline.
type sender struct {
	codec mp4.Codec
	track *rtc.Track
	clock int64 // RTP units per second
	pack  func(units [][]byte) ([]*rtp.Packet, error)
	// before is called before a packet is sent, with its bytes; nil: nothing is.
	before func(bytes int) error
	after  int64  // the next frame's time on the session's timeline is this at least, microseconds
	stamp  uint32 // RTP timestamp of the last frame
}

// newSender packs frames of t for a track that takes that codec.
func newSender(t *mp4.Track, out *rtc.Track) (*sender, error) {
	spec, ok := rtc.Capability(t)
	if !ok {
		return nil, fmt.Errorf("%s can't travel over WebRTC", t.Codec)
	}
	s, err := &sender{codec: t.Codec, clock: int64(spec.ClockRate), track: out}, error(nil)
	switch t.Codec {
	case mp4.H264:
		e := &rtph264.Encoder{PayloadMaxSize: rtc.MTU, PacketizationMode: 1}
		s.pack, err = e.Encode, e.Init()
	case mp4.H265:
		e := &rtph265.Encoder{PayloadMaxSize: rtc.MTU}
		s.pack, err = e.Encode, e.Init()
	case mp4.AAC:
		e := &rtpmpeg4audio.Encoder{PayloadMaxSize: rtc.MTU, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3}
		s.pack, err = e.Encode, e.Init()
	default:
		s.pack = s.packAudio
	}
	if err != nil {
		return nil, fmt.Errorf("make %s packer: %w", t.Codec, err)
	}
	return s, nil
}

// packAudio puts one audio frame into one packet; the marker bit is for the begin of a talk spurt only.
func (s *sender) packAudio(units [][]byte) ([]*rtp.Packet, error) {
	out := make([]*rtp.Packet, 0, len(units))
	for _, u := range units {
		out = append(out, &rtp.Packet{Header: rtp.Header{Version: 2}, Payload: u})
	}
	return out, nil
}

// send writes one frame at outUs, microseconds on the session's timeline, or right after the one before if that
// is later. A track that the viewer did not ask for takes nothing.
func (s *sender) send(f shot, outUs int64) error {
	select {
	case <-s.track.Bound():
	default:
		return nil
	}
	s.stamp = s.stampAt(outUs)
	s.after = max(outUs, s.after) + 1000
	return s.write(f, s.stamp)
}

// write packs a frame and writes it with an RTP timestamp.
func (s *sender) write(f shot, stamp uint32) error {
	units := f.units
	if f.key {
		units = withParams(f.track, units)
	}
	packets, err := s.pack(units)
	if err != nil {
		return fmt.Errorf("pack frame: %w", err)
	}
	for _, p := range packets {
		p.Timestamp = stamp
		if err := s.mark(p, &f); err != nil {
			return err
		}
		if s.before != nil {
			if err := s.before(len(p.Payload)); err != nil {
				return fmt.Errorf("wait for the line: %w", err)
			}
		}
		if err := s.track.Write(s.codec, p); err != nil {
			return fmt.Errorf("send packet: %w", err)
		}
	}
	return nil
}

// mark says in a packet's header what a film needs and other viewers do not know of.
func (s *sender) mark(p *rtp.Packet, f *shot) error {
	switch {
	case f.laterUs != 0:
		ticks := uint32(f.laterUs * s.clock / 1_000_000)
		return s.track.Mark(p, rtc.Later, []byte{byte(ticks >> 16), byte(ticks >> 8), byte(ticks)})
	case s.codec == mp4.AAC && len(f.track.ASC) <= 16:
		return s.track.Mark(p, rtc.Sound, f.track.ASC)
	default:
		return nil
	}
}

// stampAt is the RTP timestamp of the next frame when it is sent at outUs.
func (s *sender) stampAt(outUs int64) uint32 {
	return uint32(max(outUs, s.after) * s.clock / 1_000_000) // RTP time wraps
}

// pad sends a packet of padding alone (RFC 3550 section 5.1): a viewer that has lost the end of the last frame learns of it
// from the packet after it only.
func (s *sender) pad() error {
	h := rtp.Header{Version: 2, Padding: true, PaddingSize: 4, Timestamp: s.stamp}
	if err := s.track.Write(s.codec, &rtp.Packet{Header: h}); err != nil {
		return fmt.Errorf("send padding: %w", err)
	}
	return nil
}

// withParams puts the parameter sets in front of a key frame that comes without them.
func withParams(t *mp4.Track, units [][]byte) [][]byte {
	var sets [][]byte
	switch t.Codec {
	case mp4.H264:
		if slices.ContainsFunc(units, func(u []byte) bool { return len(u) > 0 && u[0]&0x1f == 7 }) {
			return units
		}
		sets = [][]byte{t.SPS, t.PPS}
	case mp4.H265:
		if slices.ContainsFunc(units, func(u []byte) bool { return len(u) > 0 && u[0]>>1&0x3f == 33 }) {
			return units
		}
		sets = [][]byte{t.VPS, t.SPS, t.PPS}
	default:
		return units
	}
	return append(sets, units...)
}

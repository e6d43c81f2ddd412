package camera

import (
	"errors"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtpmpeg4audio"
	"github.com/pion/rtp"
)

// decoder returns the units that a packet completes, none while more packets are needed.
type decoder func(*rtp.Packet) ([][]byte, error)

func decodeVideo(f format.Format) (decoder, error) {
	switch f := f.(type) {
	case *format.H264:
		d, err := f.CreateDecoder()
		return func(pkt *rtp.Packet) ([][]byte, error) {
			units, err := d.Decode(pkt)
			if errors.Is(err, rtph264.ErrMorePacketsNeeded) || errors.Is(err, rtph264.ErrNonStartingPacketAndNoPrevious) {
				return nil, nil
			}
			return units, err
		}, err
	case *format.H265:
		d, err := f.CreateDecoder()
		return func(pkt *rtp.Packet) ([][]byte, error) {
			units, err := d.Decode(pkt)
			if errors.Is(err, rtph265.ErrMorePacketsNeeded) || errors.Is(err, rtph265.ErrNonStartingPacketAndNoPrevious) {
				return nil, nil
			}
			return units, err
		}, err
	}
	return nil, errNoVideo
}

func decodeSound(f format.Format) (decoder, error) {
	if f, ok := f.(*format.MPEG4Audio); ok {
		d, err := f.CreateDecoder()
		return func(pkt *rtp.Packet) ([][]byte, error) {
			units, err := d.Decode(pkt)
			if errors.Is(err, rtpmpeg4audio.ErrMorePacketsNeeded) {
				return nil, nil
			}
			return units, err
		}, err
	}
	// G.711 (RFC 3551 section 4.5.14) and Opus (RFC 7587 section 4.2): the payload is one frame.
	return func(pkt *rtp.Packet) ([][]byte, error) { return [][]byte{pkt.Payload}, nil }, nil
}

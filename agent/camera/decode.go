package camera

import (
	"bytes"
	"errors"
	"sync"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtpmpeg4audio"
	"github.com/pion/rtp"
)

// decoder takes the packets of one track, and hands on what they complete.
type decoder func(packet) error

// emit takes units with the RTP timestamp of their first packet.
type emit func(units [][]byte, raw uint32)

// decodeVideo returns the decoder of a video track; spares may be shared by all of them.
func decodeVideo(f format.Format, spares *sync.Pool, to emit) (decoder, error) {
	u := &unpacker{spares: spares, emit: to}
	switch f := f.(type) {
	case *format.H264:
		if f.PacketizationMode >= 2 {
			return nil, errors.New("interleaved packets (packetization mode 2) are not understood")
		}
		u.shape = shapeH264()
	case *format.H265:
		if f.MaxDONDiff != 0 {
			return nil, errors.New("interleaved packets (sprop-max-don-diff) are not understood")
		}
		u.shape = shapeH265()
	default:
		return nil, errNoVideo
	}
	return u.push, nil
}

func decodeSound(f format.Format, to emit) (decoder, error) {
	aac, ok := f.(*format.MPEG4Audio)
	if !ok {
		// G.711 (RFC 3551 section 4.5.14) and Opus (RFC 7587 section 4.2): the payload is one frame.
		return func(p packet) error {
			to([][]byte{bytes.Clone(p.payload)}, p.time)
			return nil
		}, nil
	}
	d, err := aac.CreateDecoder()
	if err != nil {
		return nil, err
	}
	return func(p packet) error {
		units, err := d.Decode(&rtp.Packet{
			Header:  rtp.Header{Version: 2, Marker: p.marker, PayloadType: p.kind, SequenceNumber: p.seq, Timestamp: p.time},
			Payload: bytes.Clone(p.payload),
		})
		if errors.Is(err, rtpmpeg4audio.ErrMorePacketsNeeded) {
			return nil
		}
		if err == nil && len(units) > 0 {
			to(units, p.time)
		}
		return err
	}, nil
}

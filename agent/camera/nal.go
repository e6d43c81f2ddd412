package camera

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"holdfast/shared/mp4"
)

// nalKind sorts NAL units by what is done with them.
type nalKind uint8

const (
	nalOther nalKind = iota // kept as it is (SEI and what nobody knows)
	nalSlice
	nalKey // a slice of a picture at which decoding can begin
	nalVPS // parameter sets are compared with those in force and taken out
	nalSPS
	nalPPS
	nalDrop // of no use in a file: delimiters and filler
)

// codec is what differs between H.264 and H.265.
type codec struct {
	id      mp4.Codec
	least   int // bytes of the shortest NAL unit
	kind    func(unit []byte) nalKind
	size    func(sps []byte) (width, height int, err error)
	extract func() extractor
}

// extractor computes decoding times from presentation times.
type extractor interface {
	Extract(unit [][]byte, pts int64) (int64, error)
}

func codecH264() codec {
	return codec{
		id: mp4.H264, least: 2, kind: kindH264,
		size: func(sps []byte) (int, int, error) {
			var s h264.SPS
			if err := s.Unmarshal(sps); err != nil {
				return 0, 0, err
			}
			return s.Width(), s.Height(), nil
		},
		extract: func() extractor {
			e := &h264.DTSExtractor{}
			e.Initialize()
			return e
		},
	}
}

func codecH265() codec {
	return codec{
		id: mp4.H265, least: 3, kind: kindH265,
		size: func(sps []byte) (int, int, error) {
			var s h265.SPS
			if err := s.Unmarshal(sps); err != nil {
				return 0, 0, err
			}
			return s.Width(), s.Height(), nil
		},
		extract: func() extractor {
			e := &h265.DTSExtractor{}
			e.Initialize()
			return e
		},
	}
}

// kindH264 follows ITU-T H.264 table 7-1.
func kindH264(unit []byte) nalKind {
	switch t := unit[0] & 0x1f; t {
	case 1, 2, 3, 4:
		return nalSlice
	case 5:
		return nalKey
	case 7:
		return nalSPS
	case 8:
		return nalPPS
	case 9, 10, 11, 12:
		return nalDrop
	}
	return nalOther
}

// kindH265 follows ITU-T H.265 table 7-1. All pictures of types 16 to 21 are random access points.
func kindH265(unit []byte) nalKind {
	switch t := unit[0] >> 1 & 0x3f; {
	case t <= 15:
		return nalSlice
	case t <= 21:
		return nalKey
	case t <= 31:
		return nalSlice
	case t == 32:
		return nalVPS
	case t == 33:
		return nalSPS
	case t == 34:
		return nalPPS
	case t <= 38:
		return nalDrop
	}
	return nalOther
}

// sets are the parameter sets of a stream.
type sets struct{ vps, sps, pps []byte }

func (s *sets) slot(k nalKind) *[]byte {
	switch k {
	case nalVPS:
		return &s.vps
	case nalSPS:
		return &s.sps
	default:
		return &s.pps
	}
}

func (s *sets) equal(o *sets) bool {
	return bytes.Equal(s.vps, o.vps) && bytes.Equal(s.sps, o.sps) && bytes.Equal(s.pps, o.pps)
}

// list returns the sets that are known, in the order in which a decoder wants them.
func (s *sets) list() [][]byte {
	var out [][]byte
	for _, set := range [][]byte{s.vps, s.sps, s.pps} {
		if set != nil {
			out = append(out, set)
		}
	}
	return out
}

// track makes the video track that the sets describe.
func (c *codec) track(s *sets) (mp4.Track, error) {
	if s.sps == nil || s.pps == nil {
		return mp4.Track{}, errors.New("the camera has sent no parameter sets")
	}
	width, height, err := c.size(s.sps)
	if err != nil {
		return mp4.Track{}, fmt.Errorf("read SPS: %w", err)
	}
	t := mp4.Track{
		Codec: c.id, Timescale: videoRate, VPS: s.vps, SPS: s.sps, PPS: s.pps,
		Width: min(width, math.MaxUint16), Height: min(height, math.MaxUint16),
	}
	return t, t.Validate()
}

// videoRate is the RTP clock of H.264 and H.265 (RFC 6184 section 8.2.1, RFC 7798 section 7.1).
const videoRate = 90000

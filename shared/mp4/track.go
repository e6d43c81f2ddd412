package mp4

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// Codec is how the samples of a track are coded.
type Codec uint8

// The codecs that a segment can hold. The zero Codec is none of them.
const (
	H264 Codec = iota + 1
	H265
	AAC
	Opus
	PCMU
	PCMA
)

// String returns the codec's usual name, such as "H264" or "PCMU".
func (c Codec) String() string {
	switch c {
	case H264:
		return "H264"
	case H265:
		return "H265"
	case AAC:
		return "AAC"
	case Opus:
		return "Opus"
	case PCMU:
		return "PCMU"
	case PCMA:
		return "PCMA"
	}
	return fmt.Sprintf("Codec(%d)", uint8(c))
}

// IsVideo says whether c codes pictures.
func (c Codec) IsVideo() bool { return c == H264 || c == H265 }

// Track is the codec parameters of one track: all that a decoder must know before the first sample.
type Track struct {
	Codec     Codec
	Timescale uint32 // units per second of every media time of the track

	// Video. Parameter sets are bare NAL units without start code or length; VPS only for H265.
	VPS, SPS, PPS []byte
	Width, Height int // in pixels

	// Audio. ASC is the AudioSpecificConfig of AAC (ISO/IEC 14496-3 section 1.6.2.1), nil for the others.
	ASC        []byte
	SampleRate int // in Hz
	Channels   int
}

// Equal says whether a decoder set up for o can go on with t: everything is the same, timescale included.
func (t *Track) Equal(o *Track) bool {
	return t.Codec == o.Codec && t.Timescale == o.Timescale &&
		t.Width == o.Width && t.Height == o.Height && t.SampleRate == o.SampleRate && t.Channels == o.Channels &&
		bytes.Equal(t.VPS, o.VPS) && bytes.Equal(t.SPS, o.SPS) && bytes.Equal(t.PPS, o.PPS) && bytes.Equal(t.ASC, o.ASC)
}

// Validate reports everything that keeps t from being written, or nil.
func (t *Track) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if t.Timescale == 0 {
		fault("timescale is 0")
	}
	switch t.Codec {
	case H264:
		faults = append(faults, checkSet("SPS", t.SPS, 4, 0x1f, 0, 7), checkSet("PPS", t.PPS, 2, 0x1f, 0, 8))
	case H265:
		faults = append(faults, checkSet("VPS", t.VPS, 3, 0x3f, 1, 32), checkSet("SPS", t.SPS, 15, 0x3f, 1, 33),
			checkSet("PPS", t.PPS, 3, 0x3f, 1, 34))
	case AAC:
		var asc mpeg4audio.AudioSpecificConfig
		if len(t.ASC) > maxASC {
			fault("AudioSpecificConfig of %d bytes, at most %d allowed", len(t.ASC), maxASC)
		} else if err := asc.Unmarshal(t.ASC); err != nil {
			fault("AudioSpecificConfig: %w", err)
		}
	case Opus, PCMU, PCMA:
	default:
		return fmt.Errorf("%v is no codec that a segment can hold", t.Codec)
	}
	if t.Codec.IsVideo() {
		if t.Width < 1 || t.Height < 1 || t.Width > 1<<16-1 || t.Height > 1<<16-1 {
			fault("picture of %dx%d pixels", t.Width, t.Height)
		}
	} else if t.SampleRate < 1 || t.SampleRate > 1<<20 || t.Channels < 1 || t.Channels > 8 {
		fault("sound of %d channels at %d Hz", t.Channels, t.SampleRate)
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%v track: %w", t.Codec, err)
	}
	return nil
}

// maxASC keeps the length of the descriptors around an ASC in one byte (ISO/IEC 14496-1 section 8.3.3).
const maxASC = 80

func checkSet(name string, set []byte, least int, mask byte, shift uint, nalType byte) error {
	switch {
	case len(set) == 0:
		return fmt.Errorf("%s is missing", name)
	case len(set) < least || len(set) > MaxParamSet:
		return fmt.Errorf("%s of %d bytes", name, len(set))
	case set[0]>>shift&mask != nalType:
		return fmt.Errorf("%s is a NAL unit of type %d, not %d", name, set[0]>>shift&mask, nalType)
	}
	return nil
}

// MIME returns the codecs parameter (RFC 6381) of t: "avc1.64001f", "hvc1.1.6.L93.b0", "mp4a.40.2", "opus", "ulaw",
// "alaw". It is empty when t is not valid.
func (t *Track) MIME() string {
	if t.Validate() != nil {
		return ""
	}
	switch t.Codec {
	case H264:
		return "avc1." + hex.EncodeToString(t.SPS[1:4])
	case H265:
		return mimeH265(profileH265(t.SPS))
	case AAC:
		var asc mpeg4audio.AudioSpecificConfig
		if err := asc.Unmarshal(t.ASC); err != nil {
			return ""
		}
		if asc.ExtensionType != 0 {
			return fmt.Sprintf("mp4a.40.%d", asc.ExtensionType)
		}
		return fmt.Sprintf("mp4a.40.%d", asc.Type)
	case Opus:
		return "opus"
	case PCMU:
		return "ulaw"
	default:
		return "alaw"
	}
}

// profileH265 returns the twelve bytes of general profile, tier and level of an SPS (ITU-T H.265 section 7.3.3).
func profileH265(sps []byte) (ptl [12]byte) {
	raw := h264.EmulationPreventionRemove(sps[:min(len(sps), 32)]) // both codecs escape the same way
	if len(raw) > 3 {
		copy(ptl[:], raw[3:])
	}
	return ptl
}

// mimeH265 follows ISO/IEC 14496-15 annex E.3.
func mimeH265(ptl [12]byte) string {
	var s strings.Builder
	s.WriteString("hvc1.")
	if space := ptl[0] >> 6; space > 0 {
		s.WriteByte('A' + space - 1)
	}
	var compat uint32 // in reverse bit order
	for i, b := range ptl[1:5] {
		for bit := range 8 {
			compat |= uint32(b>>(7-bit)&1) << (i*8 + bit)
		}
	}
	tier := byte('L')
	if ptl[0]&0x20 != 0 {
		tier = 'H'
	}
	fmt.Fprintf(&s, "%d.%x.%c%d", ptl[0]&0x1f, compat, tier, ptl[11])
	constraints := ptl[5:11]
	for len(constraints) > 0 && constraints[len(constraints)-1] == 0 {
		constraints = constraints[:len(constraints)-1]
	}
	for _, b := range constraints {
		fmt.Fprintf(&s, ".%x", b)
	}
	return s.String()
}

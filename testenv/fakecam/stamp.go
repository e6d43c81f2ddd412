package fakecam

import (
	"bytes"
	"encoding/binary"
)

// Stamp says which frame an access unit is. It travels as an SEI message user_data_unregistered (ITU-T H.264
// and H.265, annex D) in front of the picture, so it survives remuxing and storage but not re-encoding.
type Stamp struct {
	Camera uint32 // CameraConfig.Number
	Stream uint8  // 0 main, 1 sub
	Frame  uint64 // rises by one with every frame that the stream sends, from 1 on
	SentUs int64  // wall time at sending, microseconds since 1970
}

// stampID marks our message among other cameras' private ones.
const stampID = "\x7f\x0e\x5a\xc1\x3d\x94\x4b\x62\x8a\x1f\x48\x6f\x6c\x64\x66\x61"

const (
	stampSize      = len(stampID) + 4 + 1 + 8 + 8
	seiUnregister  = 5
	h264SEI        = 6
	h265PrefixSEI  = 39
	h265HeaderSize = 2
)

// NAL returns the stamp as a NAL unit without start code.
func (s Stamp) NAL(h265 bool) []byte {
	payload := make([]byte, 0, stampSize+3)
	payload = append(payload, seiUnregister, byte(stampSize))
	payload = append(payload, stampID...)
	payload = binary.BigEndian.AppendUint32(payload, s.Camera)
	payload = append(payload, s.Stream)
	payload = binary.BigEndian.AppendUint64(payload, s.Frame)
	payload = binary.BigEndian.AppendUint64(payload, uint64(s.SentUs))
	payload = append(payload, 0x80)
	if h265 {
		return escape([]byte{h265PrefixSEI << 1, 1}, payload)
	}
	return escape([]byte{h264SEI}, payload)
}

// escape appends payload to header with emulation prevention: no three bytes in a row look like a start code.
func escape(header, payload []byte) []byte {
	out := append(make([]byte, 0, len(header)+len(payload)*3/2), header...)
	zeros := 0
	for _, b := range payload {
		if zeros == 2 && b <= 3 {
			out = append(out, 3)
			zeros = 0
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, b)
	}
	return out
}

// unescape takes emulation prevention out again.
func unescape(nal []byte) []byte {
	out := make([]byte, 0, len(nal))
	zeros := 0
	for _, b := range nal {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, b)
	}
	return out
}

// ParseStamp reads a NAL unit; ok is false when it is no stamp of ours.
func ParseStamp(nal []byte, h265 bool) (s Stamp, ok bool) {
	header := 1
	if h265 {
		header = h265HeaderSize
	}
	if len(nal) < header+2+stampSize || len(nal) > 2*(header+3+stampSize) {
		return Stamp{}, false
	}
	if h265 && nal[0]>>1&0x3f != h265PrefixSEI || !h265 && nal[0]&0x1f != h264SEI {
		return Stamp{}, false
	}
	p := unescape(nal[header:])
	if len(p) < 2+stampSize || p[0] != seiUnregister || int(p[1]) != stampSize || !bytes.HasPrefix(p[2:], []byte(stampID)) {
		return Stamp{}, false
	}
	p = p[2+len(stampID):]
	return Stamp{
		Camera: binary.BigEndian.Uint32(p), Stream: p[4],
		Frame: binary.BigEndian.Uint64(p[5:]), SentUs: int64(binary.BigEndian.Uint64(p[13:])),
	}, true
}

// FindStamp returns the stamp of an access unit given as NAL units without start codes.
func FindStamp(au [][]byte, h265 bool) (Stamp, bool) {
	for _, nal := range au {
		if s, ok := ParseStamp(nal, h265); ok {
			return s, true
		}
	}
	return Stamp{}, false
}

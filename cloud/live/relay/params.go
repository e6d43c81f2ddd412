package relay

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"holdfast/shared/mp4"
)

// sift takes the parameter sets out of a picture's units: in MP4 they stand in the opening (ISO/IEC 14496-15 section 5.3 and
// 8.3). It returns the track that they describe, nil without them, and the rest. key says that decoding can begin with it.
func sift(codec mp4.Codec, units [][]byte) (t *mp4.Track, rest [][]byte, key bool) {
	set := &mp4.Track{Codec: codec, Timescale: videoClock}
	for _, u := range units {
		into := (*[]byte)(nil)
		if codec == mp4.H264 {
			switch kind := u[0] & 0x1f; kind {
			case 7:
				into = &set.SPS
			case 8:
				into = &set.PPS
			case 5:
				key = true
			}
		} else {
			switch kind := u[0] >> 1 & 0x3f; {
			case kind == 32:
				into = &set.VPS
			case kind == 33:
				into = &set.SPS
			case kind == 34:
				into = &set.PPS
			case kind >= 16 && kind <= 21:
				key = true
			}
		}
		switch {
		case into != nil && *into == nil:
			*into = bytes.Clone(u)
		case into == nil || !bytes.Equal(*into, u): // a second one of a kind stays where it is: decoders take it there
			rest = append(rest, u)
		}
	}
	if set.SPS == nil || set.PPS == nil || !size(set) || set.Validate() != nil {
		return nil, rest, key
	}
	return set, rest, key
}

// size reads the size of the picture.
func size(t *mp4.Track) bool {
	if t.Codec == mp4.H264 {
		var sps h264.SPS
		if sps.Unmarshal(t.SPS) != nil {
			return false
		}
		t.Width, t.Height = sps.Width(), sps.Height()
		return true
	}
	var sps h265.SPS
	if sps.Unmarshal(t.SPS) != nil {
		return false
	}
	t.Width, t.Height = sps.Width(), sps.Height()
	return true
}

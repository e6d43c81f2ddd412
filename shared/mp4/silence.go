package mp4

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// maxSilence bounds one frame of uncompressed silence.
const maxSilence = 1 << 16

// silence returns one frame of silence that lasts duration in t's timescale, or nil when none can be made.
func silence(t *Track, duration uint32) []byte {
	switch t.Codec {
	case PCMU, PCMA:
		n := rescale(int64(duration), t.Timescale, uint32(t.SampleRate)) * int64(t.Channels)
		if n < 1 || n > maxSilence {
			return nil
		}
		quiet := byte(0xff) // ITU-T G.711: the code of zero
		if t.Codec == PCMA {
			quiet = 0xd5
		}
		return bytes.Repeat([]byte{quiet}, int(n))
	case Opus:
		// RFC 6716 section 3.1: a full-band CELT frame of 20 ms (two of them for 40 ms) with the silence flag set,
		// section 4.3.
		toc := byte(31<<3) | byte(min(t.Channels, 2)-1)<<2
		switch rescale(int64(duration), t.Timescale, 48000) {
		case 960:
			return []byte{toc, 0xff, 0xfe}
		case 1920:
			return []byte{toc | 1, 0xff, 0xfe, 0xff, 0xfe}
		}
	case AAC:
		var asc mpeg4audio.AudioSpecificConfig
		if asc.Unmarshal(t.ASC) != nil || asc.Type != mpeg4audio.ObjectTypeAACLC || asc.FrameLengthFlag {
			return nil
		}
		// ISO/IEC 14496-3 section 4.4.2: elements without any spectral band, then the end of the block.
		// Each channel is global_gain(8) and ten zero bits of ics_info with max_sfb 0, then three absent tools.
		switch asc.ChannelConfig {
		case 1:
			return []byte{0x00, 0x00, 0x00, 0x07}
		case 2:
			return []byte{0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0e}
		}
	}
	return nil
}

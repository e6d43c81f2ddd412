package relay

import (
	"fmt"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"holdfast/shared/g711"
	"holdfast/shared/mp4"
)

// voice is how a stream's sound is coded.
type voice struct {
	codec  mp4.Codec // 0: there is none
	config string    // of AAC: its AudioSpecificConfig
}

// voiceOf is what a site says of a stream's sound: the codec (RFC 6381), and the configuration of AAC.
func voiceOf(codec string, config []byte) voice {
	switch {
	case strings.HasPrefix(codec, "mp4a"):
		return voice{mp4.AAC, string(config)}
	case codec == "opus":
		return voice{codec: mp4.Opus}
	case codec == "ulaw":
		return voice{codec: mp4.PCMU}
	case codec == "alaw":
		return voice{codec: mp4.PCMA}
	}
	return voice{}
}

// film is the track that the sound is in a film: as it is, but for G.711, which is made into Opus. It is nil where that can't
// be played, and samples is 0 where each frame says how long it lasts.
func (v voice) film(takesOpus bool) (t *mp4.Track, samples int64) {
	switch {
	case v.codec == mp4.AAC:
		return aac([]byte(v.config))
	case v.codec == 0 || !takesOpus:
		return nil, 0
	}
	t = &mp4.Track{Codec: mp4.Opus, Timescale: g711.Clock, SampleRate: g711.Clock, Channels: 2} // mono plays as well (RFC 7845 section 5.1.1)
	if v.codec != mp4.Opus {
		t.Channels = 1
	}
	return t, 0
}

// aac is the track of AAC with a configuration, nil when that can't be played; and how many samples a frame has.
func aac(config []byte) (t *mp4.Track, samples int64) {
	var asc mpeg4audio.AudioSpecificConfig
	if len(config) == 0 || asc.Unmarshal(config) != nil {
		return nil, 0
	}
	samples = mpeg4audio.SamplesPerAccessUnit
	if asc.FrameLengthFlag {
		samples = 960
	}
	t = &mp4.Track{Codec: mp4.AAC, Timescale: uint32(asc.SampleRate), ASC: config, SampleRate: asc.SampleRate, Channels: 2}
	if n := int(asc.ChannelConfig); n > 0 && n <= 6 {
		t.Channels = n
	}
	if t.Validate() != nil {
		return nil, 0
	}
	return t, samples
}

// clock is how fast the RTP time of the sound runs, units per second; AAC comes by that of pictures (shared/rtc).
func (v voice) clock() int64 {
	switch v.codec {
	case mp4.Opus:
		return 48000 // RFC 7587 section 4.1
	case mp4.PCMU, mp4.PCMA:
		return 8000 // RFC 3551 section 4.5.14
	default:
		return videoClock
	}
}

// larynx makes frames of one voice out of the payloads of its packets.
type larynx struct {
	split sounds
	opus  *g711.Encoder // of G.711; nil before the first
}

// frames returns those that are whole with the next packet's payload.
func (l *larynx) frames(c mp4.Codec, payload []byte) ([][]byte, error) {
	switch c {
	case mp4.AAC:
		return l.split.put(payload), nil
	case mp4.Opus:
		return [][]byte{payload}, nil
	}
	if l.opus == nil {
		var err error
		if l.opus, err = g711.NewEncoder(8000); err != nil {
			return nil, fmt.Errorf("convert sound: %w", err)
		}
	}
	law := g711.Mu
	if c == mp4.PCMA {
		law = g711.A
	}
	return l.opus.Add(payload, law)
}

// lasts is how long a frame of a film lasts, in units of its track; 0 for one that is none.
func lasts(frame []byte, samples int64) int64 {
	if samples > 0 {
		return samples
	}
	const most = 48000 * 120 / 1000 // RFC 6716 section 3.2.5
	if n := opus.PacketDuration2(frame); n <= most {
		return n
	}
	return 0
}

package rtc

import (
	"strings"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/mp4"
)

// profile is offered for every H.264 stream: browsers decode the profiles above it all the same, and refuse
// to negotiate some of them.
const profile = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"

// Capability returns the WebRTC codec of a track, false when WebRTC has none for it.
func Capability(t *mp4.Track) (webrtc.RTPCodecCapability, bool) {
	switch t.Codec {
	case mp4.H264:
		return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: profile}, true
	case mp4.H265:
		return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH265, ClockRate: 90000}, true
	case mp4.Opus:
		return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, true
	case mp4.PCMU, mp4.PCMA:
		// RFC 3551 knows G.711 at 8 kHz with one channel alone.
		if t.SampleRate != 8000 || t.Channels > 1 {
			return webrtc.RTPCodecCapability{}, false
		}
		mime := webrtc.MimeTypePCMU
		if t.Codec == mp4.PCMA {
			mime = webrtc.MimeTypePCMA
		}
		return webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 8000}, true
	default:
		return webrtc.RTPCodecCapability{}, false
	}
}

func registerCodecs(engine *webrtc.MediaEngine) error {
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}}
	codecs := []struct {
		kind  webrtc.RTPCodecType
		track mp4.Track
		pt    webrtc.PayloadType
	}{
		{webrtc.RTPCodecTypeVideo, mp4.Track{Codec: mp4.H264}, 102},
		{webrtc.RTPCodecTypeVideo, mp4.Track{Codec: mp4.H265}, 116},
		{webrtc.RTPCodecTypeAudio, mp4.Track{Codec: mp4.Opus}, 111},
		{webrtc.RTPCodecTypeAudio, mp4.Track{Codec: mp4.PCMU, SampleRate: 8000}, 0},
		{webrtc.RTPCodecTypeAudio, mp4.Track{Codec: mp4.PCMA, SampleRate: 8000}, 8},
	}
	for _, c := range codecs {
		spec, _ := Capability(&c.track)
		if c.kind == webrtc.RTPCodecTypeVideo {
			spec.RTCPFeedback = feedback
		}
		err := engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: spec, PayloadType: c.pt}, c.kind)
		if err != nil {
			return err
		}
	}
	return engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: playoutDelay}, webrtc.RTPCodecTypeVideo)
}

// playoutDelay is the header extension by which a sender says how long a picture may wait before it is shown
// (http://www.webrtc.org/experiments/rtp-hdrext/playout-delay).
const playoutDelay = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

// CodecOf is the codec of a WebRTC media type.
func CodecOf(mime string) (mp4.Codec, bool) {
	for _, c := range []mp4.Codec{mp4.H264, mp4.H265, mp4.Opus, mp4.PCMU, mp4.PCMA} {
		if spec, ok := Capability(&mp4.Track{Codec: c, SampleRate: 8000}); ok && strings.EqualFold(spec.MimeType, mime) {
			return c, true
		}
	}
	return 0, false
}

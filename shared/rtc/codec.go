package rtc

import (
	"strings"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/mp4"
)

// profile is offered for every H.264 stream: browsers decode the profiles above it all the same, and refuse
// to negotiate some of them.
const profile = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"

// Capability returns the WebRTC codec of a track, false when WebRTC has none for it. AAC (RFC 3640 section 3.3.6) travels
// between agent and relay alone, see Setup.Film: no browser takes it.
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
	case mp4.AAC:
		return webrtc.RTPCodecCapability{MimeType: mimeAAC, ClockRate: 90000, SDPFmtpLine: "streamtype=5;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3"}, true
	default:
		return webrtc.RTPCodecCapability{}, false
	}
}

const mimeAAC = "audio/mpeg4-generic"

// Header extensions of a film (RFC 8285): what a packet says beside what RTP has room for.
const (
	Later = "urn:holdfast:later" // by how many ticks of 90 kHz a picture is shown after its RTP time: 24 bits, signed; absent: 0
	Sound = "urn:holdfast:sound" // AudioSpecificConfig of AAC (ISO/IEC 14496-3 section 1.6.2.1), 16 bytes at most
)

// registerCodecs lets a connection have one codec alone, or all that browsers take, and with film what only our own ends do.
func registerCodecs(engine *webrtc.MediaEngine, only mp4.Codec, film bool) error {
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "transport-cc"}}
	type codec struct {
		kind  webrtc.RTPCodecType
		track mp4.Track
		pt    webrtc.PayloadType
	}
	codecs := []codec{
		{webrtc.RTPCodecTypeVideo, mp4.Track{Codec: mp4.H264}, 102},
		{webrtc.RTPCodecTypeVideo, mp4.Track{Codec: mp4.H265}, 116},
		{webrtc.RTPCodecTypeAudio, mp4.Track{Codec: mp4.Opus}, 111},
		{webrtc.RTPCodecTypeAudio, mp4.Track{Codec: mp4.PCMU, SampleRate: 8000}, 0},
		{webrtc.RTPCodecTypeAudio, mp4.Track{Codec: mp4.PCMA, SampleRate: 8000}, 8},
	}
	if film {
		codecs = append(codecs, codec{webrtc.RTPCodecTypeAudio, mp4.Track{Codec: mp4.AAC}, 118})
		for uri, kind := range map[string]webrtc.RTPCodecType{Later: webrtc.RTPCodecTypeVideo, Sound: webrtc.RTPCodecTypeAudio} {
			if err := engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind); err != nil {
				return err
			}
		}
	}
	for _, c := range codecs {
		if only != 0 && c.track.Codec != only {
			continue
		}
		spec, _ := Capability(&c.track)
		if c.kind == webrtc.RTPCodecTypeVideo {
			spec.RTCPFeedback = feedback
		}
		err := engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: spec, PayloadType: c.pt}, c.kind)
		if err != nil {
			return err
		}
	}
	for _, uri := range []string{playoutDelay, transportCC} {
		if err := engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeVideo); err != nil {
			return err
		}
	}
	return nil
}

// playoutDelay is the header extension by which a sender says how long a picture may wait before it is shown
// (http://www.webrtc.org/experiments/rtp-hdrext/playout-delay).
const playoutDelay = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

// CodecOf is the codec of a WebRTC media type.
func CodecOf(mime string) (mp4.Codec, bool) {
	for _, c := range []mp4.Codec{mp4.H264, mp4.H265, mp4.Opus, mp4.PCMU, mp4.PCMA, mp4.AAC} {
		if spec, ok := Capability(&mp4.Track{Codec: c, SampleRate: 8000}); ok && strings.EqualFold(spec.MimeType, mime) {
			return c, true
		}
	}
	return 0, false
}

package fakecam

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"holdfast/shared/mp4"
	"holdfast/testenv/scenes"
)

// output is what a stream is while its codec and numbers stay: a description that clients get, and packetisers.
type output struct {
	stream       *gortsplib.ServerStream
	video, audio track
	speaker      *description.Media // nil without a loudspeaker
}

// track is one medium of an output.
type track struct {
	media  *description.Media // nil without it
	format format.Format
	encode func([][]byte) ([]*rtp.Packet, error)
	base   uint32 // RTP timestamp of tick 0

	ssrc            uint32
	packets, octets uint32
}

// newOutput describes the loop; it is published once the server runs.
func newOutput(loop *scenes.Loop, c CameraConfig, rtpStart uint32) (*output, error) {
	var numbers [8]byte
	if _, err := rand.Read(numbers[:]); err != nil {
		return nil, fmt.Errorf("make RTP numbers: %w", err)
	}
	o := &output{}
	o.video.base, o.audio.base = binary.BigEndian.Uint32(numbers[:4]), binary.BigEndian.Uint32(numbers[4:])
	if rtpStart != 0 {
		o.video.base = rtpStart
	}
	v := loop.Video
	if c.InBand {
		v.VPS, v.SPS, v.PPS = nil, nil, nil
	}
	if err := o.addVideo(loop.Name, v); err != nil {
		return nil, err
	}
	if loop.Audio != nil && !c.Mute {
		if err := o.addAudio(loop.Audio); err != nil {
			return nil, err
		}
	}
	if len(c.Speaker) > 0 {
		var err error
		if o.speaker, err = loudspeaker(c.Speaker); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *output) addVideo(name string, v mp4.Track) error {
	switch v.Codec {
	case mp4.H264:
		f := &format.H264{PayloadTyp: 96, SPS: v.SPS, PPS: v.PPS, PacketizationMode: 1}
		enc, err := f.CreateEncoder()
		if err != nil {
			return fmt.Errorf("make packetiser: %w", err)
		}
		o.video.format, o.video.encode = f, enc.Encode
	case mp4.H265:
		f := &format.H265{PayloadTyp: 96, VPS: v.VPS, SPS: v.SPS, PPS: v.PPS}
		enc, err := f.CreateEncoder()
		if err != nil {
			return fmt.Errorf("make packetiser: %w", err)
		}
		o.video.format, o.video.encode = f, enc.Encode
	default:
		return fmt.Errorf("loop %s: pictures in %v can't be sent", name, v.Codec)
	}
	o.video.media = &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{o.video.format}}
	return nil
}

func (o *output) addAudio(a *mp4.Track) error {
	switch a.Codec {
	case mp4.PCMU, mp4.PCMA:
		f := &format.G711{MULaw: a.Codec == mp4.PCMU, SampleRate: a.SampleRate, ChannelCount: a.Channels}
		if !f.MULaw {
			f.PayloadTyp = 8
		}
		enc, err := f.CreateEncoder()
		if err != nil {
			return fmt.Errorf("make packetiser: %w", err)
		}
		o.audio.format = f
		o.audio.encode = func(frames [][]byte) ([]*rtp.Packet, error) { return enc.Encode(frames[0]) }
	case mp4.AAC:
		var config mpeg4audio.AudioSpecificConfig
		if err := config.Unmarshal(a.ASC); err != nil {
			return fmt.Errorf("read AudioSpecificConfig: %w", err)
		}
		f := &format.MPEG4Audio{PayloadTyp: 97, Config: &config, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3}
		enc, err := f.CreateEncoder()
		if err != nil {
			return fmt.Errorf("make packetiser: %w", err)
		}
		o.audio.format, o.audio.encode = f, enc.Encode
	default:
		return fmt.Errorf("sound in %v can't be sent", a.Codec)
	}
	o.audio.media = &description.Media{Type: description.MediaTypeAudio, Formats: []format.Format{o.audio.format}}
	return nil
}

// publish makes the output a stream of a running server.
func (o *output) publish(server *gortsplib.Server) error {
	desc := &description.Session{Title: "IP Camera", Medias: []*description.Media{o.video.media}}
	if o.audio.media != nil {
		desc.Medias = append(desc.Medias, o.audio.media)
	}
	if o.speaker != nil {
		desc.Medias = append(desc.Medias, o.speaker)
	}
	o.stream = &gortsplib.ServerStream{Server: server, Desc: desc}
	if err := o.stream.Initialize(); err != nil {
		return fmt.Errorf("make RTSP stream: %w", err)
	}
	stats := o.stream.Stats()
	for _, t := range []*track{&o.video, &o.audio} {
		if t.media != nil {
			t.ssrc = stats.Medias[t.media].Formats[t.format].LocalSSRC
		}
	}
	return nil
}

// fits says whether the loop can follow in the same output: only parameter sets may differ.
func (o *output) fits(old, next *scenes.Loop) bool {
	if old.Video.Codec != next.Video.Codec || (old.Audio == nil) != (next.Audio == nil) {
		return false
	}
	return old.Audio == nil || old.Audio.Equal(next.Audio)
}

// setParams puts another loop's parameter sets into the description.
func (o *output) setParams(v *mp4.Track) {
	switch f := o.video.format.(type) {
	case *format.H264:
		f.SafeSetParams(v.SPS, v.PPS)
	case *format.H265:
		f.SafeSetParams(v.VPS, v.SPS, v.PPS)
	}
}

// fate is what becomes of a packet.
type fate int

const (
	sent fate = iota
	leftOut
	garbled
)

// pack makes the packets of one frame, all with one timestamp; luck decides about each. It returns what is to go
// out, and how many were left out or garbled.
func (o *output) pack(t *track, frames [][]byte, ticks int64, luck func() fate) (out []*rtp.Packet, harmed int, err error) {
	packets, err := t.encode(frames)
	if err != nil {
		return nil, 0, fmt.Errorf("packetise frame: %w", err)
	}
	out = packets[:0]
	for _, p := range packets {
		p.Timestamp += t.base + uint32(ticks)
		what := luck()
		if what != sent {
			harmed++
		}
		if what == leftOut {
			continue
		}
		if what == garbled {
			p.Payload = nonsense(p.Payload, t.format)
		}
		out = append(out, p)
	}
	return out, harmed, nil
}

// send writes packets to every client.
func (o *output) send(t *track, packets []*rtp.Packet, at time.Time) error {
	for _, p := range packets {
		t.packets++
		t.octets += uint32(len(p.Payload))
		if err := o.stream.WritePacketRTPWithNTP(t.media, p, at); err != nil {
			return fmt.Errorf("write packet: %w", err)
		}
	}
	return nil
}

// nonsense is a payload that no depacketiser can make anything of: an aggregation (RFC 6184 section 5.7.1, RFC
// 7798 section 4.4.2) whose first unit is longer than the packet. The original is left alone: it may be the
// loop's own memory.
func nonsense(payload []byte, f format.Format) []byte {
	head := []byte{0x78, 0xff, 0xff}
	if _, ok := f.(*format.H265); ok {
		head = []byte{0x60, 0x01, 0xff, 0xff}
	}
	return append(head, bytes.Repeat([]byte{0x55}, max(len(payload)-len(head), 0))...)
}

// report sends an RTCP sender report: at the wall time given, the track's clock shows ticks.
func (o *output) report(t *track, wall time.Time, ticks int64) error {
	if t.media == nil {
		return nil
	}
	const since1900 = 2208988800
	nano := uint64(wall.Nanosecond())
	err := o.stream.WritePacketRTCP(t.media, &rtcp.SenderReport{
		SSRC: t.ssrc, NTPTime: uint64(wall.Unix()+since1900)<<32 | nano<<32/1e9, RTPTime: t.base + uint32(ticks),
		PacketCount: t.packets, OctetCount: t.octets,
	})
	if err != nil {
		return fmt.Errorf("write sender report: %w", err)
	}
	return nil
}

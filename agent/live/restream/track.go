package restream

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"holdfast/agent/media"
	"holdfast/shared/mp4"
)

type track = mp4.Track

// outgoing packs the frames of one track (RFC 6184, RFC 7798, RFC 3640, RFC 7587, RFC 3551).
type outgoing struct {
	media *description.Media
	from  *track
	clock int64 // RTP units per second
	pack  func(units [][]byte) ([]*rtp.Packet, error)
}

// newOutgoing returns nil for sound that can't travel.
func newOutgoing(t *track) (*outgoing, error) {
	o, err := &outgoing{from: t}, error(nil)
	var f format.Format
	switch t.Codec {
	case mp4.H264:
		h := &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: t.SPS, PPS: t.PPS}
		e, encErr := h.CreateEncoder()
		f, err = h, encErr
		o.pack = func(units [][]byte) ([]*rtp.Packet, error) { return e.Encode(units) }
	case mp4.H265:
		h := &format.H265{PayloadTyp: 96, VPS: t.VPS, SPS: t.SPS, PPS: t.PPS}
		e, encErr := h.CreateEncoder()
		f, err = h, encErr
		o.pack = func(units [][]byte) ([]*rtp.Packet, error) { return e.Encode(units) }
	case mp4.AAC:
		f, err = o.aac()
	case mp4.Opus:
		h := &format.Opus{PayloadTyp: 97, ChannelCount: t.Channels}
		e, encErr := h.CreateEncoder()
		f, err = h, encErr
		o.pack = single(func(unit []byte) ([]*rtp.Packet, error) {
			p, err := e.Encode(unit)
			return []*rtp.Packet{p}, err
		})
	case mp4.PCMU, mp4.PCMA:
		h := &format.G711{PayloadTyp: payloadType(t), MULaw: t.Codec == mp4.PCMU, SampleRate: t.SampleRate, ChannelCount: max(t.Channels, 1)}
		e, encErr := h.CreateEncoder()
		f, err = h, encErr
		o.pack = single(func(unit []byte) ([]*rtp.Packet, error) { return e.Encode(unit) })
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("make %s packer: %w", t.Codec, err)
	}
	kind := description.MediaTypeAudio
	if t.Codec.IsVideo() {
		kind = description.MediaTypeVideo
	}
	o.media, o.clock = &description.Media{Type: kind, Formats: []format.Format{f}}, int64(f.ClockRate())
	return o, nil
}

func (o *outgoing) aac() (format.Format, error) {
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(o.from.ASC); err != nil {
		return nil, err
	}
	h := &format.MPEG4Audio{PayloadTyp: 97, Config: &c, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3}
	e, err := h.CreateEncoder()
	o.pack = func(units [][]byte) ([]*rtp.Packet, error) { return e.Encode(units) }
	return h, err
}

// payloadType is the static type of G.711 at 8 kHz with one channel, a dynamic one otherwise (RFC 3551 section 6).
func payloadType(t *track) uint8 {
	switch {
	case t.SampleRate != 8000 || t.Channels > 1:
		return 97
	case t.Codec == mp4.PCMU:
		return 0
	default:
		return 8
	}
}

func single(pack func(unit []byte) ([]*rtp.Packet, error)) func([][]byte) ([]*rtp.Packet, error) {
	return func(units [][]byte) (out []*rtp.Packet, err error) {
		for _, u := range units {
			packets, packErr := pack(u)
			out, err = append(out, packets...), errors.Join(err, packErr)
		}
		return out, err
	}
}

// send sends a frame. What one program's queue has no room for is lost to that program alone.
func (o *outgoing) send(to *gortsplib.ServerStream, f *media.Frame, wall func(run, monoUs int64) int64) {
	units := f.Units
	if f.Key && o.from.Codec.IsVideo() {
		units = slices.Concat(sets(o.from), units)
	}
	packets, err := o.pack(units)
	if err != nil {
		return // one frame that no packet holds is no reason to lose the others
	}
	// The run's timeline is the same for every track; a picture is shown later than it is decoded by the difference.
	us := f.MonoUs + (f.PTS-f.DTS)*1_000_000/int64(o.from.Timescale)
	at := time.UnixMicro(wall(f.Params.Run, us))
	stamp := uint32(us/1_000_000*o.clock + us%1_000_000*o.clock/1_000_000) // RTP time wraps
	for _, p := range packets {
		p.Timestamp += stamp
		if to.WritePacketRTPWithNTP(o.media, p, at) != nil {
			return
		}
	}
}

// sets are the parameter sets that go before a key frame, for programs that come late.
func sets(t *track) (out [][]byte) {
	for _, u := range [][]byte{t.VPS, t.SPS, t.PPS} {
		if len(u) > 0 {
			out = append(out, u)
		}
	}
	return out
}

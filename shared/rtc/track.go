package rtc

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"holdfast/shared/mp4"
)

// FirstNumber is the sequence number of the first packet of a Track. Who receives one can tell by it whether there was
// something before what came first.
const FirstNumber = 1

// Track is a local track that takes every codec of its kind that was negotiated, one after the other: what changes is
// the payload type (RFC 3550 section 5.1). Its sequence numbers run on over all that it sends. It implements
// webrtc.TrackLocal.
type Track struct {
	kind     webrtc.RTPCodecType
	name     string // its ID (RFC 8830)
	streamID string
	bound    chan struct{} // closed when the negotiated connection has taken it up
	once     sync.Once

	// Set before bound is closed.
	out   webrtc.TrackLocalWriter
	ssrc  webrtc.SSRC
	types map[mp4.Codec]webrtc.PayloadType
	marks map[string]uint8 // numbers of the header extensions that the viewer knows

	stamp uint32 // of the last packet
	seq   uint16
	works bool         // a packet has got through
	sent  atomic.Int64 // bytes of frames
}

func newTrack(kind webrtc.RTPCodecType, name, streamID string) *Track {
	return &Track{kind: kind, name: name, streamID: streamID, bound: make(chan struct{})}
}

// ID implements webrtc.TrackLocal.
func (t *Track) ID() string { return t.name }

// RID implements webrtc.TrackLocal: there is no simulcast.
func (t *Track) RID() string { return "" }

// StreamID implements webrtc.TrackLocal.
func (t *Track) StreamID() string { return t.streamID }

// Kind implements webrtc.TrackLocal.
func (t *Track) Kind() webrtc.RTPCodecType { return t.kind }

// Bound is closed when the connection has taken the track up.
func (t *Track) Bound() <-chan struct{} { return t.bound }

// SSRC returns the source of the track's packets (RFC 3550), once it is bound.
func (t *Track) SSRC() uint32 { return uint32(t.ssrc) }

// Takes says whether the viewer takes packets of a codec, once the track is bound.
func (t *Track) Takes(codec mp4.Codec) bool {
	_, ok := t.types[codec]
	return ok
}

// Sent returns how many bytes of frames were sent.
func (t *Track) Sent() int64 { return t.sent.Load() }

// Bind implements webrtc.TrackLocal. Sender reports go by the clock of the codec that it returns: G.711 comes first
// there, since its sound is late by a frame at most when Opus's clock is taken for it, but not the other way round.
func (t *Track) Bind(to webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	types := map[mp4.Codec]webrtc.PayloadType{}
	var nominal *webrtc.RTPCodecParameters
	for _, p := range to.CodecParameters() {
		codec, ok := CodecOf(p.MimeType)
		if _, known := types[codec]; !ok || known {
			continue
		}
		types[codec] = p.PayloadType
		if nominal == nil || p.ClockRate < nominal.ClockRate {
			nominal = &p
		}
	}
	if nominal == nil {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}
	t.once.Do(func() {
		t.out, t.ssrc, t.types, t.marks = to.WriteStream(), to.SSRC(), types, marksOf(to.HeaderExtensions())
		close(t.bound)
	})
	return *nominal, nil
}

// Unbind implements webrtc.TrackLocal.
func (t *Track) Unbind(webrtc.TrackLocalContext) error { return nil }

// Write sends a packet, with the sequence number, SSRC and payload type of the track. A picture is to be shown when it is
// there: the time of what is sent is that of sending, and a browser that makes its own of it sees a camera that begins, goes on
// or gives way to another as a line's delay, which it then adds to all that follows. The connection swallows what comes in the
// moment between Bind and the end of its own preparations: the first packet is sent until it gets through, since a viewer
// without its first key frame sees nothing for long.
func (t *Track) Write(codec mp4.Codec, p *rtp.Packet) error {
	kind, ok := t.types[codec]
	if !ok {
		return fmt.Errorf("%w: it has no place for %s", ErrDeaf, codec)
	}
	if !t.works || p.Timestamp != t.stamp {
		if err := t.Mark(p, playoutDelay, []byte{0, 0, 0}); err != nil { // the least and the most, 12 bits each
			return err
		}
	}
	t.stamp = p.Timestamp
	t.seq++
	p.SSRC, p.PayloadType, p.SequenceNumber = uint32(t.ssrc), uint8(kind), t.seq
	t.sent.Add(int64(len(p.Payload)))
	for range 100 {
		n, err := t.out.WriteRTP(&p.Header, p.Payload)
		if n > 0 || err != nil || t.works {
			t.works = t.works || n > 0
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return ErrDeaf
}

// Mark adds a header extension to a packet, if the viewer knows it; the track must be bound.
func (t *Track) Mark(p *rtp.Packet, uri string, value []byte) error {
	number := t.marks[uri]
	if number == 0 {
		return nil
	}
	if err := p.SetExtension(number, value); err != nil {
		return fmt.Errorf("mark packet: %w", err)
	}
	return nil
}

// Marks returns the header extensions that a receiver was promised, by their numbers.
func Marks(r *webrtc.RTPReceiver) map[string]uint8 {
	return marksOf(r.GetParameters().HeaderExtensions)
}

func marksOf(extensions []webrtc.RTPHeaderExtensionParameter) map[string]uint8 {
	out := map[string]uint8{}
	for _, e := range extensions {
		if e.ID > 0 && e.ID < 15 { // RFC 8285 section 4.2
			out[e.URI] = uint8(e.ID)
		}
	}
	return out
}

// ErrDeaf says that a track is negotiated but takes no packets.
var ErrDeaf = errors.New("the connection takes no packets")

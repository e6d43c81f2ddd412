package fakecam

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"
)

// backChannel is what clients require to be offered the loudspeaker (ONVIF Streaming Specification section 5.3).
const backChannel = "www.onvif.org/ver20/backchannel"

// Speech is what a camera heard at its loudspeaker in one session.
type Speech struct {
	Codec   string      // "PCMU" or "PCMA"; empty: nothing came
	Began   time.Time   // the session
	Ended   time.Time   // zero while it goes on
	Lost    int         // packets, by their numbers
	Skipped int         // samples that the timestamps leave out
	Sound   []int16     // at 8 kHz
	At      []time.Time // when each packet came
	Sizes   []int       // of each, in samples
}

// maxHeard bounds the packets that are kept of one session: ten minutes.
const maxHeard = 30_000

// speech is a Speech while it is heard.
type speech struct {
	mu   sync.Mutex
	have Speech
	seq  uint16
	next uint32 // timestamp
}

// Heard returns what the camera heard, a Speech for each session at its loudspeaker, the first one first.
func (c *Camera) Heard() []Speech {
	c.mu.Lock()
	all := slices.Clone(c.heard)
	c.mu.Unlock()
	out := make([]Speech, len(all))
	for i, s := range all {
		s.mu.Lock()
		out[i] = s.have
		out[i].Sound, out[i].At, out[i].Sizes = slices.Clone(out[i].Sound), slices.Clone(out[i].At), slices.Clone(out[i].Sizes)
		s.mu.Unlock()
	}
	return out
}

// loudspeaker describes the back channel of a camera.
func loudspeaker(codecs []string) (*description.Media, error) {
	m := &description.Media{Type: description.MediaTypeAudio, IsBackChannel: true}
	for _, name := range codecs {
		switch name {
		case "PCMU":
			m.Formats = append(m.Formats, &format.G711{PayloadTyp: 0, MULaw: true, SampleRate: 8000, ChannelCount: 1})
		case "PCMA":
			m.Formats = append(m.Formats, &format.G711{PayloadTyp: 8, SampleRate: 8000, ChannelCount: 1})
		case "AAC":
			m.Formats = append(m.Formats, &format.MPEG4Audio{
				PayloadTyp: 104, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3,
				Config: &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 16000, ChannelConfig: 1},
			})
		default:
			return nil, fmt.Errorf("a loudspeaker in %q: use PCMU, PCMA or AAC", name)
		}
	}
	return m, nil
}

// requires says whether a client requires the back channel in so many words.
func requires(req *base.Request) bool {
	v := req.Header["Require"]
	return len(v) == 1 && v[0] == backChannel
}

// offerAlways has the server offer the loudspeaker to a client that did not require it.
func offerAlways(req *base.Request) {
	if !requires(req) {
		req.Header["Require"] = base.HeaderValue{"nothing", backChannel}
	}
}

// listen hears what a client says at the loudspeaker, if it has set that up.
func (s *session) listen(ss *gortsplib.ServerSession) {
	for _, m := range ss.SetuppedMedias() {
		if !m.IsBackChannel {
			continue
		}
		h := &speech{have: Speech{Began: time.Now()}}
		s.speech.Store(h)
		c := s.stream.camera
		c.mu.Lock()
		c.heard = append(c.heard, h)
		c.mu.Unlock()
		for _, f := range m.Formats {
			if g, ok := f.(*format.G711); ok {
				ss.OnPacketRTP(m, f, func(pkt *rtp.Packet) { h.take(pkt, g.MULaw) })
			}
		}
	}
}

// hush notes that a session at the loudspeaker has ended.
func (s *session) hush() {
	if h := s.speech.Load(); h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.have.Ended = time.Now()
	}
}

func (h *speech) take(pkt *rtp.Packet, ulaw bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	have := &h.have
	if len(have.At) == maxHeard {
		return
	}
	if len(have.At) > 0 {
		have.Lost += int(pkt.SequenceNumber - h.seq - 1)
		have.Skipped += int(int32(pkt.Timestamp - h.next))
	}
	have.Codec = "PCMA"
	if ulaw {
		have.Codec = "PCMU"
	}
	h.seq, h.next = pkt.SequenceNumber, pkt.Timestamp+uint32(len(pkt.Payload))
	have.At, have.Sizes = append(have.At, time.Now()), append(have.Sizes, len(pkt.Payload))
	for _, b := range pkt.Payload {
		if ulaw {
			have.Sound = append(have.Sound, fromULaw(b))
		} else {
			have.Sound = append(have.Sound, fromALaw(b))
		}
	}
}

// fromULaw decodes a sample (ITU-T G.711 table 2b).
func fromULaw(b byte) int16 {
	b = ^b
	v := (int16(b&0x0f)<<3+0x84)<<(b>>4&7) - 0x84
	if b&0x80 != 0 {
		return -v
	}
	return v
}

// fromALaw decodes a sample (ITU-T G.711 table 1b).
func fromALaw(b byte) int16 {
	b ^= 0x55
	v, e := int16(b&0x0f)<<4+8, b>>4&7
	if e > 0 {
		v = (v + 0x100) << (e - 1)
	}
	if b&0x80 == 0 {
		return -v
	}
	return v
}

// Tone returns which share of a sound's energy lies at one frequency, 0 to 1, by Goertzel's algorithm; 0 of silence.
func Tone(sound []int16, hz float64) float64 {
	var energy, s1, s2 float64
	c := 2 * math.Cos(2*math.Pi*hz/8000)
	for _, v := range sound {
		x := float64(v)
		energy += x * x
		s1, s2 = x+c*s1-s2, s1
	}
	if energy < float64(len(sound))*64 { // quieter than any voice
		return 0
	}
	return 2 * (s1*s1 + s2*s2 - c*s1*s2) / (energy * float64(len(sound)))
}

// Tones returns when pieces of 100 ms came, by their last packet, in which a tone has most of the energy.
func (s Speech) Tones(hz float64) []time.Time {
	const piece = 800
	var out []time.Time
	for from, sample, packet := 0, 0, 0; from+piece <= len(s.Sound); from += piece {
		for packet < len(s.Sizes) && sample < from+piece {
			sample += s.Sizes[packet]
			packet++
		}
		if Tone(s.Sound[from:from+piece], hz) > 0.7 {
			out = append(out, s.At[packet-1])
		}
	}
	return out
}

// WAV returns the sound as a file of that kind: 16 bits, 8 kHz, one channel.
func (s Speech) WAV() []byte {
	size := uint32(2 * len(s.Sound))
	out := binary.LittleEndian.AppendUint32([]byte("RIFF"), 36+size)
	out = binary.LittleEndian.AppendUint32(append(out, "WAVEfmt "...), 16)
	for _, v := range []uint16{1, 1} { // PCM, channels
		out = binary.LittleEndian.AppendUint16(out, v)
	}
	out = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(out, 8000), 16000)
	for _, v := range []uint16{2, 16} { // bytes a frame, bits a sample
		out = binary.LittleEndian.AppendUint16(out, v)
	}
	out = binary.LittleEndian.AppendUint32(append(out, "data"...), size)
	for _, v := range s.Sound {
		out = binary.LittleEndian.AppendUint16(out, uint16(v))
	}
	return out
}

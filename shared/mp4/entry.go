package mp4

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// appendEntry writes the sample entry of a valid track (ISO/IEC 14496-12 section 8.5.2).
func (w *writer) appendEntry(t *Track) {
	switch t.Codec {
	case H264:
		w.videoEntry("avc1", "avcC", t, w.avcC)
	case H265:
		w.videoEntry("hvc1", "hvcC", t, w.hvcC)
	case AAC:
		w.audioEntry("mp4a", t, w.esds)
	case Opus:
		w.audioEntry("Opus", t, w.dOps)
	case PCMU:
		w.audioEntry("ulaw", t, nil)
	case PCMA:
		w.audioEntry("alaw", t, nil)
	}
}

func (w *writer) videoEntry(typ, config string, t *Track, body func(*Track)) {
	entry := w.open(typ)
	w.zeros(6)
	w.u16(1) // data reference
	w.zeros(16)
	w.u16(uint16(t.Width))
	w.u16(uint16(t.Height))
	w.u32(72 << 16) // dots per inch, as everyone writes
	w.u32(72 << 16)
	w.u32(0)
	w.u16(1) // frames per sample
	w.zeros(32)
	w.u16(24)     // depth
	w.u16(0xffff) // no colour table
	at := w.open(config)
	body(t)
	w.close(at)
	w.close(entry)
}

// avcC is ISO/IEC 14496-15 section 5.3.3.1.
func (w *writer) avcC(t *Track) {
	w.u8(1)
	w.bytes(t.SPS[1:4])
	w.u8(0xff) // lengths of four bytes
	w.u8(0xe1)
	w.u16(uint16(len(t.SPS)))
	w.bytes(t.SPS)
	w.u8(1)
	w.u16(uint16(len(t.PPS)))
	w.bytes(t.PPS)
	switch t.SPS[1] {
	case 100, 110, 122, 144:
		chroma, luma, chromaDepth := uint32(1), uint32(0), uint32(0)
		var sps h264.SPS
		if sps.Unmarshal(t.SPS) == nil { // else the camera's SPS is odd; what nearly all cameras send is a fair guess
			chroma, luma, chromaDepth = sps.ChromaFormatIdc, sps.BitDepthLumaMinus8, sps.BitDepthChromaMinus8
		}
		w.u8(0xfc | byte(chroma&3))
		w.u8(0xf8 | byte(luma&7))
		w.u8(0xf8 | byte(chromaDepth&7))
		w.u8(0)
	}
}

// hvcC is ISO/IEC 14496-15 section 8.3.3.1.
func (w *writer) hvcC(t *Track) {
	chroma, luma, chromaDepth := uint32(1), uint32(0), uint32(0)
	var sps h265.SPS
	if sps.Unmarshal(t.SPS) == nil { // else a guess, as in avcC
		chroma, luma, chromaDepth = sps.ChromaFormatIdc, sps.BitDepthLumaMinus8, sps.BitDepthChromaMinus8
	}
	layers, nested := t.SPS[2]>>1&7+1, t.SPS[2]&1
	ptl := profileH265(t.SPS)
	w.u8(1)
	w.bytes(ptl[:])
	w.u16(0xf000)
	w.u8(0xfc)
	w.u8(0xfc | byte(chroma&3))
	w.u8(0xf8 | byte(luma&7))
	w.u8(0xf8 | byte(chromaDepth&7))
	w.u16(0)
	w.u8(layers<<3 | nested<<2 | 3)
	w.u8(3)
	for _, set := range [][]byte{t.VPS, t.SPS, t.PPS} {
		w.u8(0x80 | set[0]>>1&0x3f)
		w.u16(1)
		w.u16(uint16(len(set)))
		w.bytes(set)
	}
}

func (w *writer) audioEntry(typ string, t *Track, body func(*Track)) {
	entry := w.open(typ)
	w.zeros(6)
	w.u16(1) // data reference
	w.zeros(8)
	w.u16(uint16(t.Channels))
	w.u16(16)
	w.zeros(4)
	if t.SampleRate < 1<<16 {
		w.u32(uint32(t.SampleRate) << 16)
	} else {
		w.u32(0) // does not fit; the decoder's own configuration says it
	}
	if body != nil {
		body(t)
	}
	w.close(entry)
}

// esds is ISO/IEC 14496-14 section 5.6 around ISO/IEC 14496-1 section 7.2.6.
func (w *writer) esds(t *Track) {
	at := w.openFull("esds", 0, 0)
	n := len(t.ASC)
	w.bytes([]byte{0x03, byte(3 + 2 + 13 + 2 + n + 3), 0, 0, 0})
	w.bytes([]byte{0x04, byte(13 + 2 + n), 0x40, 0x15, 0, 0, 0})
	w.zeros(8) // bit rates unknown
	w.bytes([]byte{0x05, byte(n)})
	w.bytes(t.ASC)
	w.bytes([]byte{0x06, 1, 2})
	w.close(at)
}

// dOps is "Encapsulation of Opus in ISO Base Media File Format" section 4.3.2.
func (w *writer) dOps(t *Track) {
	at := w.open("dOps")
	w.u8(0)
	w.u8(byte(t.Channels))
	w.u16(0) // a live stream is cut anywhere: nothing to skip
	w.u32(uint32(t.SampleRate))
	w.u16(0)
	w.u8(0)
	w.close(at)
}

// parseEntry reads what appendEntry wrote into t, but for SampleRate and Channels of audio, of which it reads what the
// entry says and the header box knows better.
func parseEntry(typ fourcc, body []byte, t *Track) error {
	switch typ {
	case cc("avc1"):
		t.Codec = H264
		return parseVideoEntry(body, cc("avcC"), t, parseAVCC)
	case cc("hvc1"):
		t.Codec = H265
		return parseVideoEntry(body, cc("hvcC"), t, parseHVCC)
	case cc("mp4a"):
		t.Codec = AAC
	case cc("Opus"):
		t.Codec = Opus
	case cc("ulaw"):
		t.Codec = PCMU
	case cc("alaw"):
		t.Codec = PCMA
	default:
		return fmt.Errorf("codec not known: %w", ErrFormat)
	}
	r := reader{b: body}
	r.take(16)
	t.Channels = int(r.u16())
	r.take(6)
	t.SampleRate = int(r.u32() >> 16)
	if r.short {
		return fmt.Errorf("too short: %w", ErrFormat)
	}
	return children(r.b, func(typ fourcc, body []byte) error {
		if typ == cc("esds") {
			return parseESDS(body, t)
		}
		return nil
	})
}

func parseVideoEntry(body []byte, config fourcc, t *Track, parse func(*reader, *Track)) error {
	r := reader{b: body}
	r.take(24)
	t.Width, t.Height = int(r.u16()), int(r.u16())
	r.take(50)
	if r.short {
		return fmt.Errorf("too short: %w", ErrFormat)
	}
	return children(r.b, func(typ fourcc, body []byte) error {
		if typ != config {
			return nil
		}
		c := reader{b: body}
		if parse(&c, t); c.short {
			return fmt.Errorf("too short: %w", ErrFormat)
		}
		return nil
	})
}

func parseAVCC(r *reader, t *Track) {
	r.take(5)
	if r.u8()&0x1f != 1 {
		r.short = true
		return
	}
	t.SPS = r.take(int(r.u16()))
	if r.u8() != 1 {
		r.short = true
		return
	}
	t.PPS = r.take(int(r.u16()))
}

func parseHVCC(r *reader, t *Track) {
	r.take(22)
	if r.u8() != 3 {
		r.short = true
		return
	}
	for _, set := range []*[]byte{&t.VPS, &t.SPS, &t.PPS} {
		r.u8()
		if r.u16() != 1 {
			r.short = true
			return
		}
		*set = r.take(int(r.u16()))
	}
}

func parseESDS(body []byte, t *Track) error {
	r := reader{b: body}
	r.take(4 + 5 + 15)
	if tag := r.u8(); tag != 0x05 {
		return fmt.Errorf("descriptor %#x where the decoder's was expected: %w", tag, ErrFormat)
	}
	t.ASC = r.take(int(r.u8()))
	if r.short {
		return fmt.Errorf("too short: %w", ErrFormat)
	}
	return nil
}

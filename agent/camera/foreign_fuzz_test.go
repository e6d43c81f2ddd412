package camera

import (
	"sync"
	"testing"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/sdp"

	"holdfast/agent/media"
)

// FuzzDescription takes a camera's description the whole way: it is mended, read, chosen from, and what it says of
// parameter sets becomes a track; then packets come.
func FuzzDescription(f *testing.F) {
	head := "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n"
	f.Add([]byte(head+"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LAKNkA,aMuDyA==\r\na=control:t1\r\n"+
		"m=audio 0 RTP/AVP 0\r\na=control:t2\r\n"), []byte{0x65, 0x88, 1, 2, 3})
	f.Add([]byte(head+"c=IN\r\nm=video 0 RTP/AVP 97\r\na=rtpmap:97 H265/90000\r\na=fmtp:97 sprop-vps=QAEMAf//; sprop-sps=QgEBAWAA; sprop-pps=RAHBcrRiQA==\r\na=control:x\r\n"),
		[]byte{0x26, 1, 0xaf, 9, 9})
	f.Add([]byte(head+"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/16000/1\r\na=fmtp:97 streamtype=5; mode=AAC-hbr; config=1408; sizeLength=13; indexLength=3; "+
		"indexDeltaLength=3\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"), []byte{0, 16, 0, 8, 1})
	f.Fuzz(func(t *testing.T, text, payload []byte) {
		var s sdp.SessionDescription
		if s.Unmarshal(repairSDP(text)) != nil {
			return
		}
		desc := &description.Session{}
		if desc.Unmarshal(&s) != nil {
			return
		}
		u, err := base.ParseURL("rtsp://127.0.0.1:554/stream")
		if err != nil {
			t.Fatal(err)
		}
		desc.BaseURL = u
		p := &session{stream: &stream{sound: true}}
		c, err := p.pick(desc)
		if err != nil {
			return
		}
		if track, err := c.codec.track(&c.sets); err == nil && (track.Width < 1 || track.Height < 1) {
			t.Fatalf("a picture of %dx%d", track.Width, track.Height)
		}
		packets(c, payload)
	})
}

// packets receives the payload, whole and in pieces, as RTP of every track that was chosen.
func packets(c choice, payload []byte) {
	a := newAssembler(media.NewClock(), newVideo(c.codec, c.sets, false), 0, func(media.Frame) {})
	picture, err := decodeVideo(c.vform, &sync.Pool{}, a.pushVideo)
	if err != nil {
		return
	}
	decoders := []decoder{picture}
	if c.sound != nil {
		if sound, err := decodeSound(c.sform, a.pushAudio); err == nil {
			a.addAudio(c.track)
			decoders = append(decoders, sound)
		}
	}
	for n := range uint16(6) {
		piece := payload[len(payload)*int(n%3)/6:]
		for _, decode := range decoders {
			_ = decode(packet{marker: n%2 == 0, seq: n, time: uint32(n) * 3600, payload: piece}) // that it can't be read is its right
		}
	}
}

// FuzzParameterSets makes a track of anything that calls itself parameter sets.
func FuzzParameterSets(f *testing.F) {
	f.Add([]byte(nil), []byte{0x67, 0x42, 0xc0, 0x28, 0xd9, 0, 0x78, 2, 0x27, 0xe5, 0x84}, []byte{0x68, 0xcb, 0x83}, false)
	f.Add([]byte{0x40, 1, 0x0c, 1, 0xff, 0xff}, []byte{0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x5d}, []byte{0x44, 1, 0xc1, 0x72}, true)
	f.Fuzz(func(t *testing.T, vps, sps, pps []byte, h265 bool) {
		kind := codecH264()
		if h265 {
			kind = codecH265()
		}
		track, err := kind.track(&sets{vps, sps, pps})
		if err == nil && track.MIME() == "" {
			t.Fatal("a track without a name")
		}
	})
}

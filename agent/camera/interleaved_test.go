package camera

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/conn"
	"github.com/pion/rtp"
)

// pieces is the far end of a connection: it gives its bytes bit by bit.
type pieces struct {
	net.Conn
	data  []byte
	piece func() int
}

func (f *pieces) Read(p []byte) (int, error) {
	if len(f.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.data[:min(len(f.data), max(1, f.piece()))])
	f.data = f.data[n:]
	return n, nil
}

// Write lets the RTSP library's connection be made of a pieces.
func (f *pieces) Write(p []byte) (int, error) { return len(p), nil }

// seen is what of a connection somebody got.
type seen struct {
	video [][]byte // payloads of RTP packets on channel 0 of type 96
	rest  []string // all else, in order
	fault string   // what ended it before the end
}

// through reads a connection as the RTSP library does, with channel 0 taken out or not.
func through(data []byte, piece func() int, take bool) seen {
	var out seen
	var c net.Conn = &pieces{data: data, piece: piece}
	add := func(p packet) { out.video = append(out.video, bytes.Clone(p.payload)) }
	if take {
		i := newInterleaved(c, &counters{})
		i.shown = time.Now().Add(time.Hour) // no signs of life
		i.take(0, 96, add)
		c = i
	}
	for lib := conn.NewConn(c); ; {
		what, err := lib.Read()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				out.fault = err.Error()
			}
			return out
		}
		switch m := what.(type) {
		case *base.InterleavedFrame:
			if p, err := parsePacket(m.Payload); m.Channel == 0 {
				if err == nil && p.kind == 96 {
					add(p)
				}
				continue // what can't be read on a taken channel is counted and dropped
			}
			text, err := m.Marshal()
			out.rest = append(out.rest, string(text), errText(err))
		case *base.Response:
			text, err := m.Marshal()
			out.rest = append(out.rest, string(text), errText(err))
		case *base.Request:
			text, err := m.Marshal()
			out.rest = append(out.rest, string(text), errText(err))
		}
	}
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func frame(channel byte, payload []byte) []byte {
	return append([]byte{'$', channel, byte(len(payload) >> 8), byte(len(payload))}, payload...)
}

func rtpFrame(t testing.TB, channel byte, seq uint16, size int) []byte {
	t.Helper()
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: seq, SSRC: 7}, Payload: bytes.Repeat([]byte{byte(seq), '$', 0}, size)}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return frame(channel, b)
}

const answer = "RTSP/1.0 200 OK\r\nCSeq: 4\r\nContent-Length: 5\r\n\r\nR$\x00\x00\n"

func TestInterleavedTakesOneChannelAndLeavesTheRest(t *testing.T) {
	var data []byte
	for i := range 400 {
		switch {
		case i%97 == 3:
			data = append(data, answer...)
		case i%89 == 5:
			data = append(data, "OPTIONS rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n\r\n"...)
		case i%83 == 7:
			data = append(data, 0, 'x', 'R') // the library skips it
		case i%7 == 0:
			data = append(data, frame(1, []byte{0x80, 200, 0, 1, 1, 2, 3, 4})...)
		case i%11 == 0:
			data = append(data, rtpFrame(t, 2, uint16(i), 100)...)
		case i == 200:
			data = append(data, rtpFrame(t, 0, uint16(i), 21_000)...) // larger than the buffer
		default:
			data = append(data, rtpFrame(t, 0, uint16(i), i)...)
		}
	}
	want := through(data, func() int { return 1 << 20 }, false)
	if len(want.video) < 200 || len(want.rest) < 100 {
		t.Fatalf("the library sees %d packets and %d other things", len(want.video), len(want.rest))
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for name, piece := range map[string]func() int{
		"at once": func() int { return 1 << 20 }, "byte by byte": func() int { return 1 },
		"packets": func() int { return 1460 }, "by chance": func() int { return dice.IntN(5000) },
	} {
		t.Run(name, func(t *testing.T) {
			got := through(slices.Clone(data), piece, true)
			if !slices.EqualFunc(got.video, want.video, bytes.Equal) {
				t.Errorf("%d packets taken, want %d", len(got.video), len(want.video))
			}
			if !slices.Equal(got.rest, want.rest) || got.fault != "" {
				t.Errorf("the library sees %q %s, want %q", got.rest, got.fault, want.rest)
			}
		})
	}
}

func TestInterleavedShowsSignsOfLife(t *testing.T) {
	data := slices.Concat(rtpFrame(t, 4, 1, 10), rtpFrame(t, 4, 2, 10), rtpFrame(t, 4, 4, 10), frame(4, []byte{1}))
	var count counters
	i := newInterleaved(&pieces{data: data, piece: func() int { return 1 << 20 }}, &count)
	i.take(4, 96, func(packet) {})
	got, err := io.ReadAll(i)
	if lost, bad := count.lost.Load(), count.bad.Load(); err != nil || lost != 1 || bad != 1 {
		t.Fatalf("%v, %d packets missing and %d damaged, want one of each", err, lost, bad)
	}
	if len(got) != 12 || !bytes.Equal(got[:4], []byte{'$', 5, 0, 8}) {
		t.Fatalf("handed on: %x", got)
	}
}

// compose makes a stream that the library can read, one message for each byte of ops.
func compose(t testing.TB, ops []byte) (data []byte) {
	for i, op := range ops {
		switch size := int(op >> 3); op & 7 {
		case 0:
			data = append(data, answer...)
		case 1:
			data = append(data, "OPTIONS rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n\r\n"...)
		case 2:
			data = append(data, 'x')
		case 3:
			data = append(data, frame(op>>3, bytes.Repeat([]byte{op}, size*7))...)
		case 4:
			data = append(data, rtpFrame(t, 0, uint16(i), size*500)...)
		default:
			data = append(data, rtpFrame(t, 0, uint16(i), size)...)
		}
	}
	return data
}

func FuzzInterleaved(f *testing.F) {
	f.Add([]byte{0, 5, 1, 4, 2, 3, 252, 13, 255}, 7, []byte("RTSP/1.0 200 OK\r\nContent-length:2\r\n\r\n$$$\x00\x00\x01aTEARDOWN"))
	f.Add([]byte{3, 11, 0, 0, 6}, 1459, []byte("R$\x00\x00\x010T 0"))
	f.Fuzz(func(t *testing.T, ops []byte, size int, tail []byte) {
		data := compose(t, ops)
		piece := func() int { return size & 0xffff }
		want := through(slices.Clone(data), func() int { return 1 << 20 }, false)
		got := through(slices.Clone(data), piece, true)
		if !slices.EqualFunc(got.video, want.video, bytes.Equal) || !slices.Equal(got.rest, want.rest) {
			t.Fatalf("%d packets taken and %q seen, want %d and %q", len(got.video), got.rest, len(want.video), want.rest)
		}
		got = through(append(data, tail...), piece, true)
		if len(got.video) < len(want.video) || len(got.rest) < len(want.rest) {
			t.Fatalf("what follows takes away what was there: %d packets of %d", len(got.video), len(want.video))
		}
	})
}

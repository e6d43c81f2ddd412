package camera

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"

	"holdfast/shared/mp4"
	"holdfast/testenv/scenes"
)

// au is an access unit as the unpacker hands it out.
type au struct {
	units [][]byte
	time  uint32
}

func unpack(t testing.TB, f format.Format, out *[]au) decoder {
	t.Helper()
	d, err := decodeVideo(f, &sync.Pool{}, func(units [][]byte, raw uint32) { *out = append(*out, au{units, raw}) })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// packetise makes packets of a loop's access units, as another program does it.
func packetise(t testing.TB, loop *scenes.Loop) (format.Format, [][]*rtp.Packet) {
	t.Helper()
	var f format.Format = &format.H264{PayloadTyp: 96, PacketizationMode: 1}
	var encode func(units [][]byte) ([]*rtp.Packet, error)
	if loop.Video.Codec == mp4.H265 {
		h := &format.H265{PayloadTyp: 96}
		e, err := h.CreateEncoder()
		if err != nil {
			t.Fatal(err)
		}
		f, encode = h, e.Encode
	} else {
		e, err := f.(*format.H264).CreateEncoder()
		if err != nil {
			t.Fatal(err)
		}
		encode = e.Encode
	}
	var out [][]*rtp.Packet
	for i, u := range loop.Units {
		units := u.NALUs
		if u.Key {
			units = append((&sets{loop.Video.VPS, loop.Video.SPS, loop.Video.PPS}).list(), units...)
		}
		packets, err := encode(units)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packets {
			p.Timestamp = uint32(i) * 6000
		}
		out = append(out, packets)
	}
	return f, out
}

func of(p *rtp.Packet) packet {
	return packet{kind: p.PayloadType, marker: p.Marker, seq: p.SequenceNumber, time: p.Timestamp, payload: p.Payload}
}

func TestUnpackGivesBackWhatWasPacked(t *testing.T) {
	for _, name := range []string{"shop/main", "carpark-night/main", "checkout/main"} {
		loop, err := scenes.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, marked := range []bool{true, false} { // some cameras set no marker
			t.Run(fmt.Sprintf("%s marked=%v", name, marked), func(t *testing.T) {
				var got []au
				f, all := packetise(t, loop)
				decode := unpack(t, f, &got)
				for _, packets := range all {
					for _, p := range packets {
						pkt := of(p)
						pkt.marker = pkt.marker && marked
						pkt.payload = bytes.Clone(pkt.payload)
						if err := decode(pkt); err != nil {
							t.Fatal(err)
						}
						clear(pkt.payload) // the buffer is used again
					}
				}
				if want := len(all) - 1; len(got) < want {
					t.Fatalf("%d access units, want at least %d", len(got), want)
				}
				for i, a := range got {
					want := loop.Units[i].NALUs
					if loop.Units[i].Key {
						want = append((&sets{loop.Video.VPS, loop.Video.SPS, loop.Video.PPS}).list(), want...)
					}
					if a.time != uint32(i)*6000 || !slices.EqualFunc(a.units, want, bytes.Equal) {
						t.Fatalf("access unit %d at %d differs", i, a.time)
					}
				}
			})
		}
	}
}

// TestUnpackSurvivesLoss loses each packet of a second in turn: what comes out is whole, and only the access unit
// that was hit lacks something.
func TestUnpackSurvivesLoss(t *testing.T) {
	for _, name := range []string{"shop/main", "carpark-night/main"} {
		loop, err := scenes.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		f, all := packetise(t, loop)
		all = all[:15]
		for hit := range all {
			for lost := range all[hit] {
				var got []au
				decode := unpack(t, f, &got)
				for i, packets := range all {
					for k, p := range packets {
						if i != hit || k != lost {
							_ = decode(of(p)) // that something is missing is an error in some places
						}
					}
				}
				for _, a := range got {
					i := int(a.time / 6000)
					whole := slices.Clone(loop.Units[i].NALUs)
					if loop.Units[i].Key {
						whole = append((&sets{loop.Video.VPS, loop.Video.SPS, loop.Video.PPS}).list(), whole...)
					}
					if i != hit && len(a.units) != len(whole) {
						t.Fatalf("%s: packet %d of access unit %d lost: unit %d has %d units of %d", name, lost, hit, i, len(a.units), len(whole))
					}
					for _, u := range a.units {
						if !slices.ContainsFunc(whole, func(w []byte) bool { return bytes.Equal(w, u) }) {
							t.Fatalf("%s: packet %d of access unit %d lost: a unit of %d bytes is not one that was sent", name, lost, hit, len(u))
						}
					}
				}
				if last := got[len(got)-1].time; hit < len(all)-1 && last != uint32(len(all)-1)*6000 {
					t.Fatalf("%s: nothing after packet %d of access unit %d was lost", name, lost, hit)
				}
			}
		}
	}
}

func TestUnpackOddities(t *testing.T) {
	sps, pps, idr := []byte{0x67, 0x42, 0xc0, 0x28}, []byte{0x68, 0xcb}, []byte{0x65, 0x88, 0x84, 0x21}
	stream := slices.Concat([]byte{0, 0, 0, 1}, sps, []byte{0, 0, 1}, pps, []byte{0, 0, 0, 1}, idr)
	many := func(units ...[]byte) []byte {
		out := []byte{0x78}
		for _, u := range units {
			out = append(append(out, byte(len(u)>>8), byte(len(u))), u...)
		}
		return out
	}
	for name, c := range map[string]struct {
		payloads [][]byte
		want     [][]byte
		faults   int
	}{
		"one packet":                   {[][]byte{idr}, [][]byte{idr}, 0},
		"an aggregation":               {[][]byte{many(sps, pps), idr}, [][]byte{sps, pps, idr}, 0},
		"an aggregation with padding":  {[][]byte{append(many(sps, pps), 0, 0, 0)}, [][]byte{sps, pps}, 0},
		"an aggregation cut short":     {[][]byte{append(many(sps), 0, 9, 1), idr}, [][]byte{sps, idr}, 1},
		"a byte stream as one unit":    {[][]byte{stream}, [][]byte{sps, pps, idr}, 0},
		"no start code at its head":    {[][]byte{stream[4:]}, [][]byte{sps, pps, idr}, 0},
		"begin and end in one piece":   {[][]byte{{0x7c, 0xc5, 0x88, 0x84, 0x21}}, [][]byte{idr}, 0},
		"a piece whose head is lost":   {[][]byte{{0x7c, 0x05, 1, 2}, {0x7c, 0x45, 3}, sps}, [][]byte{sps}, 0},
		"a second beginning":           {[][]byte{{0x7c, 0x85, 9, 9}, {0x7c, 0x85, 0x88}, {0x7c, 0x45, 0x84, 0x21}}, [][]byte{idr}, 0},
		"a unit within pieces":         {[][]byte{{0x7c, 0x85, 9, 9}, sps, {0x7c, 0x45, 8}}, [][]byte{sps}, 1},
		"nothing":                      {[][]byte{{}, {0x65}, idr}, [][]byte{idr}, 2},
		"with decoding order":          {[][]byte{{0x79, 0, 0, 0, 2, 1, 2}, idr}, [][]byte{idr}, 1},
		"pieces of nothing":            {[][]byte{{0x7c, 0x85}, idr}, [][]byte{idr}, 1},
		"the first pieces, by chance":  {[][]byte{{0x7c, 0x05, 1}, {0x7c, 0x45, 1}, idr}, [][]byte{idr}, 0},
		"an end without its beginning": {[][]byte{idr, {0x7c, 0x45, 1}}, [][]byte{idr}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var got []au
			decode := unpack(t, &format.H264{PayloadTyp: 96, PacketizationMode: 1}, &got)
			faults := 0
			for i, p := range c.payloads {
				if decode(packet{seq: uint16(i), time: 7, payload: p, marker: i == len(c.payloads)-1}) != nil {
					faults++
				}
			}
			if len(got) != 1 || !slices.EqualFunc(got[0].units, c.want, bytes.Equal) || faults != c.faults {
				t.Fatalf("got %x, %d faults; want %x, %d", got, faults, c.want, c.faults)
			}
		})
	}
}

func TestUnpackHasBounds(t *testing.T) {
	var got []au
	decode := unpack(t, &format.H264{PayloadTyp: 96, PacketizationMode: 1}, &got)
	faults := 0
	piece := append([]byte{0x7c, 0x05}, make([]byte, 60_000)...)
	for i := range 400 { // one unit of 24 MB, then 2000 small ones, all of one moment
		if i == 0 {
			piece[1] = 0x85
		} else {
			piece[1] = 0x05
		}
		if decode(packet{seq: uint16(i), payload: piece}) != nil {
			faults++
		}
	}
	for i := range 2000 {
		if decode(packet{seq: uint16(400 + i), payload: []byte{0x41, 1}}) != nil {
			faults++
		}
	}
	if len(got) != 0 || faults < 3 {
		t.Fatalf("%d access units, %d faults", len(got), faults)
	}
	if decode(packet{seq: 2400, time: 1, payload: []byte{0x65, 1}, marker: true}) != nil || got[len(got)-1].time != 1 {
		t.Fatal("the next access unit is lost")
	}
	for _, a := range got {
		if len(a.units) > maxUnits {
			t.Fatalf("an access unit of %d units", len(a.units))
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{0x7c, 0x85, 1, 2}, []byte{0x7c, 0x45, 3}, []byte{0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 1}, false, uint16(1))
	f.Add([]byte{0x62, 0x01, 0x93, 1, 2}, []byte{0x62, 0x01, 0x53, 3}, []byte{0x60, 1, 0, 3, 0x40, 1, 1}, true, uint16(2))
	f.Fuzz(func(t *testing.T, a, b, c []byte, h265 bool, pattern uint16) {
		var form format.Format = &format.H264{PacketizationMode: 1}
		if h265 {
			form = &format.H265{}
		}
		var got []au
		decode := unpack(t, form, &got)
		fed := 0
		for i := range 32 {
			p := [][]byte{a, b, c}[i%3]
			fed += len(p) + 2
			_ = decode(packet{seq: uint16(i), time: uint32(i) / (1 + uint32(pattern&7)), marker: pattern>>(i%16)&1 != 0, payload: p})
		}
		out := 0
		for _, u := range got {
			for _, unit := range u.units {
				if len(unit) == 0 {
					t.Fatal("an empty unit")
				}
				out += len(unit)
			}
		}
		if out > fed {
			t.Fatalf("%d bytes out of %d", out, fed)
		}
	})
}

func FuzzParsePacket(f *testing.F) {
	full, err := (&rtp.Packet{
		Header:  rtp.Header{Version: 2, Marker: true, PayloadType: 96, SequenceNumber: 7, Timestamp: 9, CSRC: []uint32{1, 2}},
		Payload: []byte{1, 2, 3},
	}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 5})
	f.Add([]byte{0xb0, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 0, 5, 0, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parsePacket(b)
		var want rtp.Packet
		if want.Unmarshal(bytes.Clone(b)) != nil || want.Version != 2 {
			return // ours looks at less, and may accept more
		}
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		if got.seq != want.SequenceNumber || got.time != want.Timestamp || got.marker != want.Marker || got.kind != want.PayloadType {
			t.Fatalf("%+v, want %+v", got, want.Header)
		}
		if !bytes.Equal(got.payload, want.Payload) {
			t.Fatalf("payload %x, want %x", got.payload, want.Payload)
		}
	})
}

package live

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"holdfast/agent/ledger"
	"holdfast/shared/mp4"
)

// filled writes a segment that was fetched: frames [from, to) by number, in tenths of a second, behind those from key on,
// which others need to be decoded.
func (s *shelf) filled(key, from, to int64) {
	s.t.Helper()
	name, lead := uint64(len(s.list)+1), from-key
	h := mp4.Header{
		Segment: name, Site: "site", Camera: "cam", Stream: "main", Origin: "card", Run: 1, StartUs: from*100_000 - lead*100/9, Base: []int64{0},
		Tracks: []mp4.Track{{
			Codec: mp4.H264, Timescale: 90000, SPS: []byte{0x67, 0x42, 0xc0, 0x28, 0xd9}, PPS: []byte{0x68, 0xcb, 0x83}, Width: 640, Height: 360,
		}},
	}
	out, err := mp4.AppendInit(nil, h)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := mp4.NewPartBuilder(h)
	if err != nil {
		s.t.Fatal(err)
	}
	seq := uint32(0)
	for n := key; n < to; n++ {
		dts, duration := n-key, uint32(1)
		if n >= from {
			dts, duration = lead+(n-from)*9000, 9000
		}
		if n == key || n >= from && (n-from)%10 == 0 {
			if !b.Empty() {
				out, _ = b.AppendTo(out)
			}
			seq++
			b.Reset(seq, h.StartUs+dts*100/9, dts*100/9)
		}
		unit := make([]byte, 300)
		unit[0] = 0x41
		binary.BigEndian.PutUint64(unit[1:], uint64(1)<<48|uint64(n))
		if err := b.Add(mp4.Sample{DTS: dts, Duration: duration, Key: n%20 == 0, Units: [][]byte{unit}}); err != nil {
			s.t.Fatal(err)
		}
	}
	out, _ = b.AppendTo(out)
	s.write(name, out)
	s.list = append(s.list, ledger.Segment{ID: name, Run: 1, StartUs: from * 100_000, EndUs: to * 100_000, Bytes: int64(len(out)), Origin: "card"})
}

// numbers reads to the end and returns the frames that are shown, and those that are only for decoding.
func numbers(t *testing.T, p *player) (shown, late []int64) {
	t.Helper()
	for {
		s, err := p.next(t.Context())
		if errors.Is(err, errEnd) {
			return shown, late
		}
		if err != nil {
			t.Fatal(err)
		}
		n := int64(binary.BigEndian.Uint64(s.units[0][1:]) & (1<<48 - 1))
		if s.late {
			late = append(late, n)
		} else {
			shown = append(shown, n)
		}
	}
}

func upTo(from, to int64) (out []int64) {
	for n := from; n < to; n++ {
		out = append(out, n)
	}
	return out
}

// TestFilledFootageIsPlayedOnce: what was fetched begins with pictures that were recorded before the gap; they are not
// shown again.
func TestFilledFootageIsPlayedOnce(t *testing.T) {
	s := newShelf(t)
	s.add(1, 10_000*100_000, 35, 20)
	s.filled(10_020, 10_035, 10_060)
	s.add(1, 10_060*100_000, 20, 20)
	p := s.player()
	if err := p.seek(t.Context(), 10_000*100_000); err != nil {
		t.Fatal(err)
	}
	if shown, late := numbers(t, p); !slices.Equal(shown, upTo(10_000, 10_080)) || len(late) > 0 {
		t.Errorf("shown %v, for decoding %v", shown, late)
	}
	if err := p.seek(t.Context(), 10_038*100_000); err != nil {
		t.Fatal(err)
	}
	if shown, late := numbers(t, p); !slices.Equal(shown, upTo(10_038, 10_080)) || !slices.Equal(late, upTo(10_020, 10_038)) {
		t.Errorf("behind a seek: shown %v, for decoding %v", shown, late)
	}
}

// TestALeadThatIsNeededIsForDecodingAlone: where something else was recorded before.
func TestALeadThatIsNeededIsForDecodingAlone(t *testing.T) {
	s := newShelf(t)
	s.add(1, 10_000*100_000, 30, 20)
	s.filled(10_020, 10_035, 10_060)
	p := s.player()
	if err := p.seek(t.Context(), 10_000*100_000); err != nil {
		t.Fatal(err)
	}
	shown, late := numbers(t, p)
	if want := append(upTo(10_000, 10_030), upTo(10_035, 10_060)...); !slices.Equal(shown, want) || !slices.Equal(late, upTo(10_020, 10_035)) {
		t.Errorf("shown %v, for decoding %v", shown, late)
	}
}

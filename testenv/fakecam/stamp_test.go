package fakecam

import (
	"bytes"
	"math"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"pgregory.net/rapid"
)

func TestStampRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Small numbers and round ones are full of zeros, which is where emulation prevention bites.
		small := rapid.Uint64Range(0, 4)
		any64 := rapid.OneOf(small, rapid.Uint64(), rapid.Map(small, func(n uint64) uint64 { return n << 24 }))
		want := Stamp{
			Camera: uint32(any64.Draw(t, "camera")), Stream: uint8(rapid.IntRange(0, 3).Draw(t, "stream")),
			Frame: any64.Draw(t, "frame"), SentUs: int64(any64.Draw(t, "sent")),
		}
		h265 := rapid.Bool().Draw(t, "h265")
		nal := want.NAL(h265)
		for _, code := range [][]byte{{0, 0, 0}, {0, 0, 1}, {0, 0, 2}} {
			if bytes.Contains(nal, code) {
				t.Fatalf("NAL %x holds %x, which emulation prevention should have broken up", nal, code)
			}
		}
		got, ok := ParseStamp(nal, h265)
		if !ok || got != want {
			t.Fatalf("parsed %+v %v, want %+v", got, ok, want)
		}
		if _, ok := ParseStamp(nal, !h265); ok {
			t.Fatal("a stamp of one codec was taken for one of the other")
		}
	})
}

func TestStampIsStandardSEI(t *testing.T) {
	nal := Stamp{Camera: 1, Frame: math.MaxUint64, SentUs: 3}.NAL(false)
	payload := h264.EmulationPreventionRemove(nal)
	if payload[0] != 6 || payload[1] != 5 || int(payload[2]) != len(payload)-4 || payload[len(payload)-1] != 0x80 {
		t.Fatalf("not a user_data_unregistered message: %x", payload)
	}
}

func TestFindStamp(t *testing.T) {
	want := Stamp{Camera: 7, Stream: 1, Frame: 42, SentUs: 1700000000000000}
	au := [][]byte{{0x67, 1, 2}, {0x06, 5, 4, 1, 2, 3, 4, 0x80}, want.NAL(false), {0x65, 9, 9}}
	if got, ok := FindStamp(au, false); !ok || got != want {
		t.Fatalf("found %+v %v, want %+v", got, ok, want)
	}
	if _, ok := FindStamp(au[:2], false); ok {
		t.Fatal("found a stamp where there is none")
	}
}

func FuzzParseStamp(f *testing.F) {
	f.Add(Stamp{Camera: 1, Frame: 2}.NAL(false), false)
	f.Add(Stamp{Camera: 1, Frame: 2}.NAL(true), true)
	f.Add([]byte{6, 5, 37}, false)
	f.Fuzz(func(t *testing.T, nal []byte, h265 bool) {
		s, ok := ParseStamp(nal, h265)
		if !ok {
			return
		}
		if again, ok := ParseStamp(s.NAL(h265), h265); !ok || again != s {
			t.Fatalf("%+v does not survive being written again: %+v %v", s, again, ok)
		}
	})
}

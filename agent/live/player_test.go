package live

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// shelf is a folder of segments with ten frames a second.
type shelf struct {
	t     *testing.T
	dir   string
	list  []ledger.Segment
	looks int
}

func newShelf(t *testing.T) *shelf { return &shelf{t: t, dir: t.TempDir()} }

// add writes a segment of so many frames from startUs on; every frame's number is its time in units of 0.1 s, with
// the run in front. A frame is a key frame when its place is a multiple of gop; a part has ten frames.
func (s *shelf) add(run, startUs int64, frames, gop int) *ledger.Segment {
	s.t.Helper()
	name := uint64(len(s.list) + 1)
	h := mp4.Header{
		Segment: name, Site: "site", Camera: "cam", Stream: "main", Run: run, StartUs: startUs, Base: []int64{0},
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
	for i := range frames {
		if i%10 == 0 {
			out, _ = b.AppendTo(out)
			b.Reset(uint32(i/10+1), startUs+int64(i)*100_000, int64(i)*100_000)
		}
		unit := make([]byte, 300)
		unit[0] = 0x41
		binary.BigEndian.PutUint64(unit[1:], uint64(run)<<48|uint64(startUs/100_000+int64(i)))
		if err := b.Add(mp4.Sample{DTS: int64(i) * 9000, Duration: 9000, Key: i%gop == 0, Units: [][]byte{unit}}); err != nil {
			s.t.Fatal(err)
		}
	}
	out, _ = b.AppendTo(out)
	s.write(name, out)
	s.list = append(s.list, ledger.Segment{
		ID: name, Run: run, StartUs: startUs, EndUs: startUs + int64(frames)*100_000, Bytes: int64(len(out)),
	})
	return &s.list[len(s.list)-1]
}

func (s *shelf) path(name uint64) string { return filepath.Join(s.dir, strconv.FormatUint(name, 10)) }

func (s *shelf) write(name uint64, b []byte) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// player returns a player of the shelf.
func (s *shelf) player() *player {
	p := newPlayer(Footage{
		Segments: func(_ context.Context, _ id.Stream, fromUs, toUs int64) (out []ledger.Segment, _ error) {
			s.looks++
			for _, seg := range s.list {
				if seg.StartUs < toUs && seg.EndUs > fromUs {
					out = append(out, seg)
				}
			}
			return out, nil
		},
		Open: func(_ string, name uint64) (File, int64, error) {
			f, err := os.Open(s.path(name))
			if err != nil {
				return nil, 0, err
			}
			info, err := f.Stat()
			return f, info.Size(), err
		},
		Pin: func(id.Stream, int64, int64, time.Duration) func() { return func() {} },
		Gap: func(context.Context, id.Stream, int64) string { return "" },
	}, id.Stream{}, slog.New(slog.DiscardHandler))
	s.t.Cleanup(p.close)
	return p
}

// frame is what a shot of the shelf says of itself.
type frame struct {
	run, tenth int64
	late       bool
}

// rest reads to the end of what there is.
func rest(t *testing.T, p *player) (out []frame) {
	t.Helper()
	for {
		s, err := p.next(t.Context())
		if errors.Is(err, errEnd) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		n := binary.BigEndian.Uint64(s.units[0][1:])
		f := frame{int64(n >> 48), int64(n & (1<<48 - 1)), s.late}
		if s.atUs != f.tenth*100_000 {
			t.Errorf("frame %d says that it is of %d", f.tenth, s.atUs)
		}
		if len(out) == 0 && !s.key {
			t.Errorf("it begins with frame %d, which is no key frame", f.tenth)
		}
		out = append(out, f)
	}
}

// assertRun checks that frames follow one another from one tenth of a second to another, late before lateUntil only.
func assertRun(t *testing.T, frames []frame, from, to, lateUntil int64) {
	t.Helper()
	if len(frames) != int(to-from) {
		t.Fatalf("%d frames, want those from %d to %d: %v", len(frames), from, to, frames)
	}
	for i, f := range frames {
		if f.tenth != from+int64(i) || f.late != (f.tenth < lateUntil) {
			t.Fatalf("frame %d is %+v, want %d, late: %v", i, f, from+int64(i), f.tenth < lateUntil)
		}
	}
}

const tenth = 100_000

func TestSeekFindsItsKeyFrame(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(1, 1000*tenth, 100, 18) // key frames at 1000, 1018, 1036 ... in the middle of parts
	for _, c := range []struct{ at, from int64 }{
		{1000, 1000}, {1005, 1000}, {1015, 1000}, {1017, 1000}, {1018, 1018}, {1035, 1018}, {1036, 1036}, {1099, 1090}, {900, 1000},
	} {
		p := s.player()
		if err := p.seek(t.Context(), c.at*tenth); err != nil {
			t.Fatal(err)
		}
		assertRun(t, rest(t, p), c.from, 1100, c.at)
	}
	p := s.player()
	for _, at := range []int64{1090, 1000, 1050} { // forth and back in one segment
		if err := p.seek(t.Context(), at*tenth); err != nil {
			t.Fatal(err)
		}
		assertRun(t, rest(t, p), at-at%1000%18, 1100, at)
	}
	var f *wire.Failure
	if err := p.seek(t.Context(), 1100*tenth); !errors.As(err, &f) || f.Code != wire.FailedNoVideo {
		t.Errorf("seek behind the end: %v", err)
	}
}

func TestLongGroupIsLateUpToTheMoment(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(1, 1000*tenth, 100, 100)
	s.add(1, 1100*tenth, 100, 100)
	p := s.player()
	if err := p.seek(t.Context(), 1085*tenth); err != nil {
		t.Fatal(err)
	}
	assertRun(t, rest(t, p), 1000, 1200, 1085)
}

func TestRunsThatOverlap(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(1, 1000*tenth, 100, 10)
	s.add(2, 1050*tenth, 100, 10) // the clock was set back by five seconds
	s.add(1, 1100*tenth, 20, 10)
	s.add(2, 1150*tenth, 50, 10)
	p := s.player()
	if err := p.seek(t.Context(), 1000*tenth); err != nil {
		t.Fatal(err)
	}
	frames := rest(t, p)
	last := int64(999)
	for i, f := range frames {
		if f.late {
			continue
		}
		if f.tenth != last+1 {
			t.Fatalf("frame %d is of %d after %d: %+v", i, f.tenth, last, f)
		}
		if want := int64(1); f.tenth >= 1120 {
			want = 2
			if f.run != want {
				t.Fatalf("at %d run %d goes on", f.tenth, f.run)
			}
		} else if f.run != want {
			t.Fatalf("at %d run %d interrupts run 1", f.tenth, f.run)
		}
		last = f.tenth
	}
	if last != 1199 {
		t.Errorf("it ends at %d", last)
	}
}

func TestWhatIsMissingOrDamagedIsPassedOver(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(1, 1000*tenth, 30, 10)
	s.add(1, 1030*tenth, 30, 10)
	s.add(1, 1060*tenth, 30, 10)
	broken := *s.add(1, 1090*tenth, 30, 10)
	s.add(1, 1120*tenth, 30, 10)
	if err := os.Remove(s.path(2)); err != nil {
		t.Fatal(err)
	}
	s.write(3, []byte("this is no segment"))
	b, err := os.ReadFile(s.path(4))
	if err != nil {
		t.Fatal(err)
	}
	for i := broken.Bytes / 2; i < broken.Bytes/2+400; i++ {
		b[i] ^= 0xff
	}
	s.write(4, b)
	p := s.player()
	if err := p.seek(t.Context(), 1000*tenth); err != nil {
		t.Fatal(err)
	}
	frames := rest(t, p)
	assertRun(t, frames[:30], 1000, 1030, 0)
	assertRun(t, frames[30:40], 1090, 1100, 0)
	assertRun(t, frames[len(frames)-30:], 1120, 1150, 0)
}

func TestSeekOverYears(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	now := time.Now().UnixMicro() / tenth
	s.add(1, (now-1000)*tenth, 30, 10)
	p := s.player()
	if err := p.seek(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	assertRun(t, rest(t, p), now-1000, now-970, 0)
	if s.looks > 40 {
		t.Errorf("it looked %d times", s.looks)
	}
}

func TestAnOpenSegmentGrows(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	seg := s.add(1, 1000*tenth, 50, 10)
	whole, end := seg.Bytes, seg.EndUs
	p := s.player()
	// As the ledger tells it after the first flush round: three parts and a piece of the fourth are in the file.
	all, err := os.ReadFile(s.path(1))
	if err != nil {
		t.Fatal(err)
	}
	h, at, err := mp4.ReadHeader(bytes.NewReader(all), whole)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		part, err := mp4.ReadPart(bytes.NewReader(all), whole, at, h)
		if err != nil {
			t.Fatal(err)
		}
		at = part.Offset + part.Size
	}
	seg.Bytes, seg.EndUs = at, 1030*tenth
	s.write(1, all[:at+100])
	if err := p.seek(t.Context(), 1000*tenth); err != nil {
		t.Fatal(err)
	}
	assertRun(t, rest(t, p), 1000, 1030, 0)
	s.write(1, all)
	seg.Bytes, seg.EndUs = whole, end
	assertRun(t, rest(t, p)[:20], 1030, 1050, 0)
}

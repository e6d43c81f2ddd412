package live

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"holdfast/shared/id"
)

func (s *shelf) finder() *finder {
	p := s.player()
	return newFinder(p.footage, p.stream, p.log)
}

// backTo returns the tenths of seconds of what lies before a moment, newest first, with the holes on the way.
func backTo(t *testing.T, f *finder, fromUs int64, fits func(mark) bool) (tenths []int64, holes []hole) {
	t.Helper()
	at := place{atUs: fromUs}
	for {
		to, h, err := f.before(t.Context(), at, fits)
		if errors.Is(err, errBegin) {
			return tenths, holes
		}
		if err != nil {
			t.Fatal(err)
		}
		if h != (hole{}) {
			holes = append(holes, h)
		}
		tenths = append(tenths, to.atUs/tenth)
		at = to
	}
}

func anyMark(mark) bool   { return true }
func keyMark(m mark) bool { return m.key }

func TestBackOverSegmentsAndGaps(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(1, 1000*tenth, 50, 18)
	s.add(1, 1050*tenth, 50, 20)
	s.add(2, 1200*tenth, 10, 10)
	tenths, holes := backTo(t, s.finder(), 1205*tenth, anyMark)
	var want []int64
	for i := int64(1204); i >= 1000; i-- {
		if i >= 1200 || i < 1100 {
			want = append(want, i)
		}
	}
	if !slices.Equal(tenths, want) {
		t.Errorf("back it goes over %v", tenths)
	}
	if gap := []hole{{1100 * tenth, 1200 * tenth}}; !slices.Equal(holes, gap) {
		t.Errorf("holes %v, want %v", holes, gap)
	}
	s.looks = 0
	tenths, _ = backTo(t, s.finder(), 1300*tenth, keyMark)
	if want := []int64{1200, 1090, 1070, 1050, 1036, 1018, 1000}; !slices.Equal(tenths, want) {
		t.Errorf("the key frames are %v, want %v", tenths, want)
	}
	if s.looks > 4+12 {
		t.Errorf("it looked %d times", s.looks)
	}
}

func TestBackOverRunsThatOverlap(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(1, 1000*tenth, 100, 10)
	s.add(2, 1050*tenth, 100, 10) // the clock was set back by five seconds
	s.add(1, 1100*tenth, 20, 10)
	s.add(2, 1150*tenth, 50, 10)
	f := s.finder()
	tenths, holes := backTo(t, f, 1120*tenth, anyMark)
	if len(holes) != 0 || len(tenths) < 100 || !slices.IsSortedFunc(tenths, func(a, b int64) int { return int(b - a) }) {
		t.Errorf("back it goes over %v, holes %v", tenths, holes)
	}
	at, _, err := f.before(t.Context(), place{s.list[2], 1100 * tenth}, anyMark)
	if err != nil || at.seg.Run != 1 || at.atUs != 1099*tenth {
		t.Errorf("before the second segment of run 1 is %d of run %d: %v", at.atUs/tenth, at.seg.Run, err)
	}
}

func TestBackPassesOverWhatIsMissingOrDamaged(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(1, 1000*tenth, 20, 10)
	s.add(1, 1020*tenth, 20, 10)
	s.add(1, 1040*tenth, 20, 10)
	s.add(1, 1060*tenth, 20, 10)
	if err := os.Remove(s.path(3)); err != nil {
		t.Fatal(err)
	}
	s.write(2, []byte("this is no segment"))
	tenths, _ := backTo(t, s.finder(), 1070*tenth, keyMark)
	if want := []int64{1060, 1010, 1000}; !slices.Equal(tenths, want) {
		t.Errorf("the key frames are %v, want %v", tenths, want)
	}
}

func TestBackOverYears(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(1, 1000*tenth, 30, 10)
	now := time.Now().UnixMicro() / tenth
	s.add(1, (now-1000)*tenth, 30, 10)
	tenths, holes := backTo(t, s.finder(), now*tenth, keyMark)
	if want := []int64{now - 980, now - 990, now - 1000, 1020, 1010, 1000}; !slices.Equal(tenths, want) || len(holes) != 1 {
		t.Errorf("the key frames are %v, want %v; holes %v", tenths, want, holes)
	}
	if s.looks > 60 {
		t.Errorf("it looked %d times", s.looks)
	}
}

func TestAPlaceIsEnteredExactly(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(1, 1000*tenth, 100, 18)
	s.add(1, 1100*tenth, 30, 10)
	p := s.player()
	for _, at := range []int64{1000, 1017, 1018, 1055, 1099} {
		if err := p.enter(t.Context(), place{s.list[0], at * tenth}, at*tenth); err != nil {
			t.Fatal(err)
		}
		assertRun(t, rest(t, p), at-at%1000%18, 1130, at)
	}
	if err := p.enter(t.Context(), place{s.list[0], 1055 * tenth}, 1055*tenth); err != nil {
		t.Fatal(err)
	}
	one, err := p.next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.unread(one)
	assertRun(t, rest(t, p), 1054, 1130, 1055)
}

// TestAPinIsRenewed: whoever pauses for long still has the segment pinned.
func TestAPinIsRenewed(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(1, 1000*tenth, 20, 10)
	p := s.player()
	held, most := 0, 0
	p.footage.Pin = func(id.Stream, int64, int64, time.Duration) func() {
		held++
		most = max(most, held)
		return func() { held-- }
	}
	p.keep() // of nothing
	if err := p.seek(t.Context(), 1010*tenth); err != nil {
		t.Fatal(err)
	}
	p.keep()
	p.keep()
	if held != 1 || most != 2 {
		t.Errorf("%d pins are held, %d at most", held, most)
	}
	p.close()
	if held != 0 {
		t.Errorf("%d pins are left", held)
	}
}

package retain

import (
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// minutes returns how many minutes of a camera are left.
func (s *site) minutes(cam int) (n int) {
	s.t.Helper()
	rows, err := s.floor.Ledger.SegmentsAfter(s.t.Context(), 0, 100_000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range rows {
		if r.Stream == s.cams[cam] {
			n++
		}
	}
	return n
}

func (s *site) keep(d time.Duration) Config {
	return Config{Limits: map[id.Camera]Limit{s.cams[0].Camera: {Keep: d}, s.cams[1].Camera: {}}}
}

// TestAShorterLimitWaitsADay: what a stricter limit deletes is said first and goes a day later, also over a restart;
// a longer one is in force at once.
func TestAShorterLimitWaitsADay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, disk.Volume{Free: 1})
		defer s.close()
		s.sweep(s.sweeper(s.keep(10 * time.Hour)))
		s.record(120)
		sw := s.sweeper(s.keep(90 * time.Minute))
		s.sweep(sw)
		due := sw.Report().Cameras[s.cams[0].Camera].Due
		wantDue := s.floor.Clock.Now() + day
		if due == nil || due.DueUs > wantDue || due.DueUs < wantDue-1e6 || due.KeepUs != (90*time.Minute).Microseconds() {
			t.Fatalf("what waits is %+v", due)
		}
		if due.LengthUs != (120*time.Minute).Microseconds() || due.Bytes != 120*size {
			t.Errorf("by then %v and %d bytes will go, want all 120 minutes", wire.Micros(due.LengthUs), due.Bytes)
		}
		<-time.After(7 * time.Hour)
		s.sweep(sw)
		if n := s.minutes(0); n != 120 {
			t.Errorf("%d minutes are left after 7 hours, want all: the limit in force is 10 hours", n)
		}
		// A restart changes nothing of it.
		sw = s.sweeper(s.keep(90 * time.Minute))
		<-time.After(2 * time.Hour)
		s.sweep(sw)
		if n := s.minutes(0); n > 65 || n < 55 {
			t.Errorf("%d minutes are left after 9 hours, want the 60 of the last 10 hours", n)
		}
		s.record(60)
		<-time.After(14*time.Hour + 30*time.Minute)
		s.sweep(sw)
		if n := s.minutes(0); n != 0 {
			t.Errorf("%d minutes are left after 23.5 hours: the limit in force is still 10 hours", n)
		}
		s.record(100)
		s.sweep(sw)
		if n := s.minutes(0); n != 100 {
			t.Errorf("%d minutes of 100 are left before the day is over", n)
		}
		<-time.After(35 * time.Minute)
		s.sweep(sw)
		if n := s.minutes(0); n < 50 || n > 60 {
			t.Errorf("%d minutes are left once the shorter limit is in force, want 55", n)
		}
		if sw.Report().Cameras[s.cams[0].Camera].Due != nil && sw.Report().Cameras[s.cams[0].Camera].KeepUs == (90*time.Minute).Microseconds() {
			t.Error("it still waits although it is in force")
		}
		if n := s.minutes(1); n != 280 {
			t.Errorf("%d minutes of the camera without a limit are left, want 280", n)
		}
	})
}

func TestALongerLimitCancelsWhatWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, disk.Volume{Free: 1})
		defer s.close()
		s.sweep(s.sweeper(s.keep(100 * time.Hour)))
		s.record(60)
		sw := s.sweeper(s.keep(100 * time.Hour))
		wish := func(d time.Duration) {
			sw.Apply([]wire.CameraDesire{{Camera: s.cams[0].Camera, KeepUs: d.Microseconds()}})
			sw.recount()
			s.sweep(sw)
		}
		due := func() int64 {
			if d := sw.Report().Cameras[s.cams[0].Camera].Due; d != nil {
				return d.DueUs
			}
			return 0
		}
		wish(time.Hour)
		first := due()
		<-time.After(10 * time.Hour)
		wish(2 * time.Hour) // still shorter than what is in force: it was announced already
		if first == 0 || due() != first {
			t.Errorf("due %d, then %d; want the same moment", first, due())
		}
		wish(30 * time.Minute) // shorter than what was announced: another day
		if due() <= first {
			t.Errorf("due %d after a still shorter wish, want later than %d", due(), first)
		}
		wish(0)
		if due() != 0 {
			t.Errorf("due %d after the wish was taken back", due())
		}
		<-time.After(30 * time.Hour)
		s.sweep(sw)
		if n := s.minutes(0); n != 60 {
			t.Errorf("%d minutes of 60 are left", n)
		}
	})
}

// TestAShareOfTheDisk: a camera has at most its share, what is being written and nothing that is held counted in.
func TestAShareOfTheDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, disk.Volume{Free: 1, Max: 100 * size})
		defer s.close()
		limits := map[id.Camera]Limit{s.cams[0].Camera: {Share: 10}, s.cams[1].Camera: {Bytes: 25*size + 1}}
		sw := s.sweeper(Config{Limits: limits})
		s.sweep(sw)
		s.record(30)
		s.sweep(sw)
		if a, b := s.minutes(0), s.minutes(1); a != 10 || b != 25 {
			t.Fatalf("%d and %d minutes are left, want 10 of 100 and 25", a, b)
		}
		// Three minutes' worth is being written.
		open := ledger.OpenSegment{ID: s.floor.Ledger.NextSegment(), Volume: s.floor.Disk.Volumes()[0].ID, Stream: s.cams[0], Run: 1, StartUs: s.floor.Clock.Now()}
		if err := s.floor.Ledger.BeginSegment(t.Context(), open, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.floor.Ledger.Flushed(t.Context(), 1, []ledger.Durable{{ID: open.ID, DurableUs: open.StartUs + 1e6, Bytes: 3 * size}}); err != nil {
			t.Fatal(err)
		}
		s.sweep(sw)
		if a := s.minutes(0); a != 7 {
			t.Errorf("%d minutes are left beside what is being written, want 7", a)
		}
		// What is held does not eat the share.
		rows, err := s.floor.Ledger.Segments(t.Context(), s.cams[1], 0, s.floor.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := sw.AddHold(t.Context(), s.hold(1, rows[0].StartUs, rows[4].EndUs)); err != nil {
			t.Fatal(err)
		}
		s.record(10)
		s.sweep(sw)
		if b := s.minutes(1); b != 30 {
			t.Errorf("%d minutes are left, want 25 and the 5 that are held", b)
		}
	})
}

func TestForecast(t *testing.T) {
	t.Parallel()
	const gb = 1_000_000_000
	cameras := map[id.Camera]wire.Retention{
		"a": {DayBytes: 10 * gb}, "b": {DayBytes: 20 * gb, KeepUs: 2 * day}, "c": {DayBytes: 5 * gb, MaxBytes: 15 * gb}, "d": {},
	}
	// b takes 40 GB in its two days, c 15 GB in its three; a has the rest of 100 GB.
	if most := spread(cameras, 100*gb); most != 4.5 {
		t.Errorf("the site reaches %v days, want 4.5", most)
	}
	for cam, want := range map[id.Camera]float64{"a": 4.5, "b": 2, "c": 3, "d": 0} {
		if got := cameras[cam].Days; got != want {
			t.Errorf("camera %s reaches %v days, want %v", cam, got, want)
		}
	}
	// On a small disk the oldest of all goes first, long before any limit.
	small := map[id.Camera]wire.Retention{"a": {DayBytes: 10 * gb}, "b": {DayBytes: 30 * gb, KeepUs: 7 * day}}
	if most := spread(small, 20*gb); most != 0.5 || small["b"].Days != 0.5 {
		t.Errorf("the site reaches %v days, camera b %v; want half a day", most, small["b"].Days)
	}
	// And when all limits fit, nothing goes because of the disk.
	wide := map[id.Camera]wire.Retention{"b": {DayBytes: 30 * gb, KeepUs: 7 * day}}
	if most := spread(wide, 2000*gb); most != 7 {
		t.Errorf("the site reaches %v days, want the limit of 7", most)
	}
	if most := spread(map[id.Camera]wire.Retention{"a": {}}, 100); most != 0 {
		t.Errorf("the site reaches %v days without a rate", most)
	}
}

// TestTodaysRate: by the last 24 hours, or since the beginning when that is less.
func TestTodaysRate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, disk.Volume{Free: 1, Max: 1000 * size})
		defer s.close()
		sw := s.sweeper(Config{})
		s.record(5)
		s.sweep(sw)
		if r := sw.Report(); r.Days != 0 {
			t.Errorf("a forecast of %v days after five minutes", r.Days)
		}
		s.record(120)
		sw.recount()
		s.sweep(sw)
		r := sw.Report()
		if got := r.Cameras[s.cams[0].Camera].DayBytes; got < 1400*size || got > 1550*size {
			t.Errorf("%d bytes a day, want about 1440 minutes' worth", got)
		}
		// Two cameras of 1.44 MB a day each on a megabyte.
		if r.Days < 0.32 || r.Days > 0.36 {
			t.Errorf("a forecast of %v days, want a third", r.Days)
		}
	})
}

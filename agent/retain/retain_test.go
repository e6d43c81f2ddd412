package retain

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a ledger and a disk with segments of one minute on it.
type site struct {
	t     *testing.T
	floor Floors
	cfg   disk.Config
	cams  []id.Stream
	first int64
	fault atomic.Pointer[disk.Fault]
	holds *Holds
	size  int // of each file
}

const size = 1000

func newSite(t *testing.T, dir string, volume disk.Volume) *site {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	l, err := ledger.Open(t.Context(), filepath.Join(dir, "ledger.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, size: size}
	if volume.Create = true; volume.Path == "" {
		volume.Path = filepath.Join(dir, "v")
	}
	s.cfg = disk.Config{Volumes: []disk.Volume{volume}, State: filepath.Join(dir, "volumes.json"), Fault: func(op disk.Op, n uint64) error {
		if f := s.fault.Load(); f != nil {
			return (*f)(op, n)
		}
		return nil
	}}
	d, err := disk.Open(s.cfg, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	clock := media.NewClock()
	run, _, err := l.BeginRun(t.Context(), ledger.RunStart{BootID: "b", WallUs: time.Now().UnixMicro(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	clock.Begin(run.ID)
	s.floor = Floors{Ledger: l, Disk: d, Clock: clock, Board: health.NewBoard(clock.Now, nil), Log: log}
	if s.holds, err = OpenHolds(filepath.Join(dir, "holds.json")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.cams = append(s.cams, id.Stream{Camera: id.New[id.Camera](), Kind: id.Main})
	}
	return s
}

func (s *site) close() {
	s.t.Helper()
	if err := errors.Join(s.floor.Disk.Close(), s.floor.Ledger.Close()); err != nil {
		s.t.Error(err)
	}
}

// record puts n minutes of each camera on the disk, up to now, and returns the number of the first segment.
func (s *site) record(minutes int) (first uint64) {
	s.t.Helper()
	const minute = 60_000_000
	s.first = s.floor.Clock.Now() - int64(minutes)*minute
	for m := range minutes {
		for _, cam := range s.cams {
			n := s.floor.Ledger.NextSegment()
			if first == 0 {
				first = n
			}
			f, err := s.floor.Disk.Create(n)
			if err != nil {
				s.t.Fatal(err)
			}
			s.fill(f, cam, s.first+int64(m)*minute)
		}
	}
	return first
}

// fill makes a new file a minute of a camera.
func (s *site) fill(f *disk.File, cam id.Stream, start int64) {
	s.t.Helper()
	if _, err := f.Write(make([]byte, s.size)); err != nil {
		s.t.Fatal(err)
	}
	row := ledger.Segment{
		ID: f.Segment(), Volume: f.Volume(), Stream: cam, Run: 1, StartUs: start, EndUs: start + 60_000_000, Bytes: int64(s.size), Parts: 60,
	}
	if _, err := s.floor.Ledger.CloseSegment(s.t.Context(), row, nil); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// left returns the segments in the ledger and on the disk, which must be the same.
func (s *site) left() []uint64 {
	s.t.Helper()
	rows, err := s.floor.Ledger.SegmentsAfter(s.t.Context(), 0, 100_000)
	if err != nil {
		s.t.Fatal(err)
	}
	var inLedger, onDisk []uint64
	for _, r := range rows {
		inLedger = append(inLedger, r.ID)
	}
	if err := s.floor.Disk.Scan(0, func(f disk.Found) error {
		onDisk = append(onDisk, f.Segment)
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(onDisk)
	if !slices.Equal(inLedger, onDisk) {
		s.t.Errorf("in the ledger %v, on the disk %v", inLedger, onDisk)
	}
	return inLedger
}

func (s *site) sweeper(cfg Config) *Sweeper {
	s.t.Helper()
	sw, err := New(cfg, s.holds, s.floor)
	if err != nil {
		s.t.Fatal(err)
	}
	return sw
}

func (s *site) sweep(sw *Sweeper) {
	s.t.Helper()
	if err := sw.Sweep(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func ids(from, to uint64) (out []uint64) {
	for n := from; n < to; n++ {
		out = append(out, n)
	}
	return out
}

func TestTheOldestGoesFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), disk.Volume{Free: 1, Max: 30 * size})
	defer s.close()
	first := s.record(20)
	sw := s.sweeper(Config{})
	s.sweep(sw)
	if got := s.left(); !slices.Equal(got, ids(first+10, first+40)) {
		t.Errorf("left are %v", got)
	}
	s.sweep(sw)
	if got := len(s.left()); got != 30 {
		t.Errorf("%d are left after another sweep", got)
	}
	facts := s.facts()
	if trims := strings.Count(facts, `"lost"`); trims != 2 {
		t.Errorf("the cloud is told of %d deleted ranges that it never knew of, want one of each camera: %s", trims, facts)
	}
}

// facts returns what waits for the cloud.
func (s *site) facts() string {
	s.t.Helper()
	queues, err := s.floor.Ledger.Queues(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	for _, q := range queues {
		batch, err := s.floor.Ledger.Pending(s.t.Context(), q.Queue, 0, 2000, 1<<20)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range batch.Facts {
			if f.Kind == wire.KindTrim {
				b.Write(f.Body)
			}
		}
	}
	return b.String()
}

func TestPinnedVideoStays(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), disk.Volume{Free: 1, Max: 10 * size})
	defer s.close()
	first := s.record(10)
	release := s.floor.Disk.Pin(s.cams[0], s.first+1, s.first+2, time.Hour)
	sw := s.sweeper(Config{})
	s.sweep(sw)
	want := append([]uint64{first}, ids(first+11, first+20)...)
	if got := s.left(); !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	release()
	s.record(1)
	s.sweep(sw)
	if got := s.left(); slices.Contains(got, first) {
		t.Error("it stays after the pin was released")
	}
}

func TestWhenNothingMayGoThatIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), disk.Volume{Free: 1, Max: size})
	defer s.close()
	s.record(5)
	for _, cam := range s.cams {
		defer s.floor.Disk.Pin(cam, 0, 1<<60, time.Hour)()
	}
	sw := s.sweeper(Config{})
	s.sweep(sw)
	if c := s.floor.Board.Conditions(); len(c) != 1 || c[0].Reason != wire.DiskFailed || c[0].State != wire.Failing {
		t.Errorf("conditions %+v", c)
	}
	if got := len(s.left()); got != 10 {
		t.Errorf("%d of 10 are left", got)
	}
}

func TestAClockThatLeapsDeletesNothingForADay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, disk.Volume{Free: 1})
		defer s.close()
		sw := s.sweeper(Config{Limits: map[id.Camera]Limit{s.cams[0].Camera: {Keep: time.Hour}, s.cams[1].Camera: {Keep: time.Hour}}})
		s.sweep(sw) // before there is video, a limit is in force at once
		s.record(10)
		now := time.Now()
		s.floor.Clock.BeginAt(2, now, now.Add(300*24*time.Hour).UnixMicro())
		for range 20 {
			s.sweep(sw)
			if got := len(s.left()); got != 20 {
				t.Fatalf("%d of 20 are left %v after the leap", got, time.Since(now))
			}
			<-time.After(70 * time.Minute)
		}
		<-time.After(2 * time.Hour)
		s.sweep(sw)
		if got := len(s.left()); got != 0 {
			t.Errorf("%d are left a day after the leap", got)
		}
	})
}

func TestGarbageIsFinished(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), disk.Volume{Free: 1, Max: 10 * size})
	defer s.close()
	first := s.record(10)
	failing := disk.Fault(func(op disk.Op, n uint64) error {
		if op == disk.OpRemove && n == first {
			return syscall.EBUSY // a virus scanner has the file open
		}
		return nil
	})
	s.fault.Store(&failing)
	sw := s.sweeper(Config{})
	s.sweep(sw)
	garbage, err := s.floor.Ledger.Garbage(t.Context())
	if err != nil || len(garbage) != 1 || garbage[0].ID != first {
		t.Fatalf("garbage %v, %v", garbage, err)
	}
	s.fault.Store(nil)
	s.sweep(sw)
	if garbage, err = s.floor.Ledger.Garbage(t.Context()); err != nil || len(garbage) != 0 {
		t.Errorf("garbage %v, %v", garbage, err)
	}
	if _, err := s.floor.Disk.Size(s.floor.Disk.Volumes()[0].ID, first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	s.left()
}

func TestOpenSegmentsAreNotTouched(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), disk.Volume{Free: 1, Max: 1})
	defer s.close()
	n := s.floor.Ledger.NextSegment()
	f, err := s.floor.Disk.Create(n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	now := s.floor.Clock.Now()
	open := ledger.OpenSegment{ID: n, Volume: f.Volume(), Stream: s.cams[0], Run: 1, StartUs: now - 1e9}
	if err := errors.Join(s.floor.Ledger.BeginSegment(t.Context(), open, nil),
		s.floor.Ledger.Flushed(t.Context(), 1, []ledger.Durable{{ID: n, DurableUs: now - 9e8, Bytes: size}})); err != nil {
		t.Fatal(err)
	}
	s.sweep(s.sweeper(Config{Limits: map[id.Camera]Limit{s.cams[0].Camera: {Keep: time.Millisecond, Bytes: 1}}}))
	if _, err := s.floor.Disk.Size(f.Volume(), n); err != nil {
		t.Errorf("the open segment's file: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestRoomIsReclaimedWithoutTheLedger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSite(t, dir, disk.Volume{Free: 1})
	defer s.close()
	first := s.record(10)
	if gone, err := Reclaim(s.floor.Disk, s.holds, s.floor.Log); err != nil || len(gone) != 0 {
		t.Errorf("%d files were deleted with room enough, %v", len(gone), err)
	}
	// The same volume, of which much more should be free than there is.
	cfg := s.cfg
	cfg.Volumes = slices.Clone(cfg.Volumes)
	cfg.Volumes[0].Free = s.floor.Disk.Volumes()[0].Free * 32
	full, err := disk.Open(cfg, nil, s.floor.Log)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := Reclaim(full, s.holds, s.floor.Log)
	if err != nil || len(gone) != 19 || gone[0].Segment != first {
		t.Fatalf("deleted %d files, %v; want all but the newest, for even that is too little", len(gone), err)
	}
	sw := s.sweeper(Config{})
	if err := sw.Forget(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if got := s.left(); !slices.Equal(got, []uint64{first + 19}) {
		t.Errorf("left are %v", got)
	}
	if facts := s.facts(); !strings.Contains(facts, `"lost"`) {
		t.Errorf("the cloud is not told: %s", facts)
	}
	if err := full.Close(); err != nil {
		t.Error(err)
	}
}

func TestRunSweepsUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, disk.Volume{Free: 1, Max: 10 * size})
		defer s.close()
		ended := make(chan error)
		sw := s.sweeper(Config{})
		ctx := t.Context()
		go func() { ended <- sw.Run(ctx) }()
		s.record(10)
		<-time.After(11 * time.Second)
		if got := len(s.left()); got != 10 {
			t.Errorf("%d segments are left, want 10", got)
		}
		t.Cleanup(func() {
			if err := <-ended; err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	})
}

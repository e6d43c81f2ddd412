package retain

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/smalldisk"
)

// ack has the cloud know the first so many facts.
func (s *site) ack(seq int64) {
	s.t.Helper()
	if _, err := s.floor.Ledger.Pending(s.t.Context(), 1, 0, 1, 1<<20); err != nil {
		s.t.Fatal(err)
	}
	if err := s.floor.Ledger.Acked(s.t.Context(), s.floor.Ledger.Epoch(), 1, seq); err != nil {
		s.t.Fatal(err)
	}
}

// TestTheOrderOfDeletion: what the cloud knows of, what it does not, what clips need, and holds never; each that the
// cloud did not have leaves a record of its loss.
func TestTheOrderOfDeletion(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), disk.Volume{Free: 1, Max: 40 * size})
	defer s.close()
	const minute = 60_000_000
	first := s.record(20)
	begin := s.first
	s.ack(1 + 20) // the run, and the first ten minutes
	clip := wire.ClipOrder{Clip: id.New[id.Clip](), Camera: s.cams[0].Camera, Stream: id.Main, StartUs: begin, EndUs: begin + minute}
	if _, err := s.floor.Ledger.PutClip(t.Context(), clip); err != nil {
		t.Fatal(err)
	}
	sw := s.sweeper(Config{})
	held := s.hold(1, begin, begin+minute)
	if err := sw.AddHold(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	shrink := func(to int64) []uint64 {
		t.Helper()
		sw.limits.Volumes[s.floor.Disk.Volumes()[0].ID] = bound{Force: to * size, Want: 40 * size}
		if err := sw.byRoom(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s.left()
	}
	s.sweep(sw)
	// The clip needs the first segment, the hold the second.
	if got, want := shrink(30), append(ids(first, first+2), ids(first+12, first+40)...); !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	if facts := s.facts(); strings.Contains(facts, `"lost"`) || !strings.Contains(facts, `"expired"`) {
		t.Errorf("the cloud is told %s, want that what it knew is expired", facts)
	}
	if got, want := shrink(12), append(ids(first, first+2), ids(first+30, first+40)...); !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	if facts := s.facts(); !strings.Contains(facts, `"lost"`) {
		t.Errorf("the cloud is told %s, want that what it never knew is lost", facts)
	}
	if got, want := shrink(2), ids(first, first+2); !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v: the clip's video and the held one", got, want)
	}
	if got, want := shrink(1), ids(first+1, first+2); !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v: the held one", got, want)
	}
	lost, err := s.floor.Ledger.Clips(t.Context(), wire.ClipLost)
	if err != nil || len(lost) != 1 || lost[0].Order.Clip != clip.Clip || !strings.Contains(lost[0].Fact.Reason, "disk was full") {
		t.Errorf("lost clips %+v, %v", lost, err)
	}
	sw.limits.Volumes[s.floor.Disk.Volumes()[0].ID] = bound{Force: 1, Want: 1}
	if err := sw.byRoom(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.left(); !slices.Equal(got, ids(first+1, first+2)) {
		t.Errorf("left are %v: what is held went", got)
	}
}

// TestDeletionThatFreesNothingStops: somebody keeps the files open, as snapshots would.
func TestDeletionThatFreesNothingStops(t *testing.T) {
	t.Parallel()
	dir := smalldisk.Mount(t, smalldisk.Bytes(64<<20))
	s := newSite(t, t.TempDir(), disk.Volume{Path: dir, Free: 16 << 20})
	defer s.close()
	s.size = 1 << 20
	s.record(20)
	var kept []disk.Reader
	for _, n := range s.left() {
		f, _, err := s.floor.Disk.OpenRead(s.floor.Disk.Volumes()[0].ID, n)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, f)
	}
	if err := os.WriteFile(filepath.Join(dir, "foreign"), make([]byte, 15<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s.floor.Disk.Measure(s.floor.Disk.Volumes()[0].ID)
	sw := s.sweeper(Config{})
	for range 20 {
		s.sweep(sw)
	}
	if n := len(s.left()); n < 3 {
		t.Errorf("%d of 40 files are left: deletion that frees nothing went on", n)
	}
	c := s.floor.Board.Conditions()
	if len(c) != 1 || c[0].State != wire.Failing || !strings.Contains(c[0].Text, "no room came of it") {
		t.Errorf("conditions %+v", c)
	}
	for _, f := range kept {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	s.floor.Disk.Measure(s.floor.Disk.Volumes()[0].ID)
	s.sweep(sw)
	if c := s.floor.Board.Conditions(); c[0].State != wire.OK {
		t.Errorf("with room the condition is %+v", c)
	}
}

// TestAFileSystemWithoutNames: an ext4 that can hold few files, with bytes enough.
func TestAFileSystemWithoutNames(t *testing.T) {
	t.Parallel()
	dir := smalldisk.Mount(t, smalldisk.Files(32<<20, 64))
	s := newSite(t, t.TempDir(), disk.Volume{Path: dir, Free: 1 << 20})
	defer s.close()
	sw := s.sweeper(Config{})
	const minute = 60_000_000
	refused := 0
	for n := range 200 {
		seg := s.floor.Ledger.NextSegment()
		f, err := s.floor.Disk.Create(seg)
		if errors.Is(err, disk.ErrFull) {
			refused++
			if err := sw.urgent(t.Context()); err != nil {
				t.Fatal(err)
			}
			if f, err = s.floor.Disk.Create(seg); err != nil {
				t.Fatalf("file %d can't be made after the oldest went: %v", n, err)
			}
		}
		if err != nil && f == nil {
			t.Fatal(err)
		}
		s.fill(f, s.cams[0], int64(n+1)*minute)
		select {
		case <-sw.asked:
			if err := sw.urgent(t.Context()); err != nil {
				t.Fatal(err)
			}
		default:
		}
	}
	left := s.left()
	if len(left) < 20 || len(left) > 64 || left[len(left)-1] != 200 {
		t.Errorf("%d files are left, the newest %d", len(left), left[len(left)-1])
	}
	t.Logf("%d of 200 files were refused at first", refused)
	if c := s.floor.Board.Conditions(); len(c) > 0 && c[0].State != wire.OK {
		t.Errorf("conditions %+v", c)
	}
}

// TestManyHoldsAreNotReadAgain: what is held lies at the old end of the disk and is passed over once.
func TestManyHoldsAreNotReadAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), disk.Volume{Free: 1, Max: 700 * size})
	defer s.close()
	sw := s.sweeper(Config{})
	s.sweep(sw)
	s.record(300)
	if err := sw.AddHold(t.Context(), wire.HoldDesire{Hold: id.New[id.Hold](), Camera: s.cams[0].Camera, StartUs: 1, EndUs: 1 << 60, Name: "a", Over: true}); err != nil {
		t.Fatal(err)
	}
	if err := sw.AddHold(t.Context(), wire.HoldDesire{Hold: id.New[id.Hold](), Camera: s.cams[1].Camera, StartUs: 1, EndUs: s.first + 250*60_000_000, Name: "b", Over: true}); err != nil {
		t.Fatal(err)
	}
	s.record(75) // of camera 1 alone something may go
	began := time.Now()
	s.sweep(sw)
	long := time.Since(began)
	if n := s.minutes(0) + s.minutes(1); n != 700 {
		t.Errorf("%d segments are left, want 700", n)
	}
	front := sw.front(s.floor.Disk.Volumes()[0].ID, class{})
	if front.Seq < 400 {
		t.Errorf("the next search begins at %+v, want it behind what is held (%v)", front, fmt.Sprint(long))
	}
}

// TestNeedsOfAClip: a clip that steps down to the sub stream needs that one, and not the main one any more.
func TestNeedsOfAClip(t *testing.T) {
	cam := id.New[id.Camera]()
	c := ledger.Clip{Order: wire.ClipOrder{Camera: cam, Stream: id.Main, StartUs: 100, EndUs: 200}}
	small := c
	small.Fact.Stream = id.Sub
	main := ledger.Segment{Stream: id.Stream{Camera: cam, Kind: id.Main}, StartUs: 50, EndUs: 150}
	sub := main
	sub.Stream.Kind = id.Sub
	if n := (needs{c}); !n.any(main) || n.any(sub) {
		t.Error("a clip of the main stream")
	}
	if n := (needs{small}); n.any(main) || !n.any(sub) {
		t.Error("a clip that steps down")
	}
}

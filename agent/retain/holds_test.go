package retain

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/disk"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// hold names a range of a camera.
func (s *site) hold(cam int, from, to int64) wire.HoldDesire {
	return wire.HoldDesire{Hold: id.New[id.Hold](), Camera: s.cams[cam].Camera, StartUs: from, EndUs: to, Name: "Break-in"}
}

// sums returns the hash of every file that is there.
func (s *site) sums() map[uint64][32]byte {
	s.t.Helper()
	out := map[uint64][32]byte{}
	for _, n := range s.left() {
		f, size, err := s.floor.Disk.OpenRead(s.floor.Disk.Volumes()[0].ID, n)
		if err != nil {
			s.t.Fatal(err)
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(f, 0, size)); err != nil {
			s.t.Fatal(err)
		}
		out[n] = [32]byte(h.Sum(nil))
		if err := f.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

// TestHoldsAreExact: a segment of which a microsecond is held stays, its neighbours go, whatever asks for room.
func TestHoldsAreExact(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, disk.Volume{Free: 1, Max: 1000 * size})
		defer s.close()
		sw := s.sweeper(s.keep(time.Hour))
		s.sweep(sw)
		first := s.record(20)
		const minute = 60_000_000
		begin := s.first
		// From the last microsecond of the sixth minute to the first of the eighth.
		if err := sw.AddHold(t.Context(), s.hold(0, begin+6*minute-1, begin+7*minute+1)); err != nil {
			t.Fatal(err)
		}
		before := s.sums()
		<-time.After(3 * time.Hour)
		s.sweep(sw)
		want := map[uint64]bool{first + 10: true, first + 12: true, first + 14: true}
		after := s.sums()
		for n, was := range before {
			now, there := after[n]
			switch mine := int(n-first)%2 == 0; {
			case mine && there != want[n]:
				t.Errorf("segment %d of the camera is there: %v, want %v", n, there, want[n])
			case there && now != was:
				t.Errorf("segment %d has other bytes than before", n)
			}
		}
		s.accounted(begin, begin+20*minute, 20-3)
		state := sw.Report().Holds
		if len(state) != 1 || state[0].State != wire.HoldKept || state[0].Bytes != 3*size || state[0].RecordedUs != minute+2 || !state[0].Site {
			t.Errorf("the hold is %+v", state)
		}
		if err := sw.AddHold(t.Context(), s.hold(0, begin, begin+7*minute)); err != nil {
			t.Fatal(err)
		}
		s.sweep(sw)
		if late := sw.Report().Holds[1]; late.State != wire.HoldPartly || late.GoneUs != 5*minute || late.RecordedUs != 2*minute {
			t.Errorf("a hold of what is deleted for the most part is %+v", late)
		}
		for _, h := range sw.Report().Holds {
			if err := sw.ReleaseHold(h.Hold); err != nil {
				t.Fatal(err)
			}
		}
		s.sweep(sw)
		if n := s.minutes(0); n != 0 {
			t.Errorf("%d minutes stay after the hold was released", n)
		}
		if err := sw.ReleaseHold(state[0].Hold); !errors.Is(err, ErrNoHold) {
			t.Errorf("a second release = %v", err)
		}
	})
}

// accounted looks for a moment of the first camera of which nothing is known, and for so many minutes that are deleted.
func (s *site) accounted(fromUs, toUs int64, deleted int64) {
	s.t.Helper()
	ranges, err := s.floor.Ledger.Coverage(s.t.Context(), s.cams[0], fromUs, toUs)
	if err != nil {
		s.t.Fatal(err)
	}
	at, gone := fromUs, int64(0)
	for _, r := range ranges {
		if r.StartUs != at {
			s.t.Errorf("nothing is known of the %d s from %d on", (r.StartUs-at)/1e6, at)
		}
		if at = r.EndUs; r.Deleted() {
			gone += r.EndUs - r.StartUs
		}
	}
	if at != toUs || gone != deleted*60e6 {
		s.t.Errorf("the account ends %d s early and calls %d s deleted, want %d s", (toUs-at)/1e6, gone/1e6, deleted*60)
	}
}

// TestHoldsFillTheDisk: above half only when somebody agrees; then everything that is not held goes, at last new
// footage is refused with held_full, and what is held has the same bytes all the time.
func TestHoldsFillTheDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), disk.Volume{Free: 1, Max: 20 * size})
	defer s.close()
	sw := s.sweeper(Config{})
	s.record(10)
	held := s.hold(0, 1, 1<<60)
	if err := sw.AddHold(t.Context(), held); err != nil {
		t.Fatalf("half of the disk can't be held: %v", err)
	}
	more := s.hold(1, s.first, s.first+60_000_000)
	var refused *wire.Failure
	if err := sw.AddHold(t.Context(), more); !errors.As(err, &refused) || !strings.Contains(refused.Text, "half of the disk") {
		t.Fatalf("AddHold above half = %v, want a refusal", err)
	}
	more.EndUs, more.Over = 1<<60, true
	if err := sw.AddHold(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	before := s.sums()
	s.record(1)
	s.sweep(sw)
	if err := errOf(s.floor.Disk.Create(s.floor.Ledger.NextSegment())); !errors.Is(err, disk.ErrHeld) {
		t.Errorf("Create = %v, want ErrHeld", err)
	}
	c := s.floor.Board.Conditions()
	if len(c) != 1 || c[0].Name != "retention" || c[0].Reason != wire.HeldFull || c[0].State != wire.Failing {
		t.Errorf("conditions %+v", c)
	}
	after := s.sums()
	for n, was := range before {
		if after[n] != was {
			t.Errorf("segment %d, which is held, has changed", n)
		}
	}
	if err := sw.ReleaseHold(more.Hold); err != nil {
		t.Fatal(err)
	}
	if err := sw.urgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := s.floor.Disk.Create(s.floor.Ledger.NextSegment())
	if err != nil {
		t.Fatalf("after a hold was released: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func errOf(_ *disk.File, err error) error { return err }

// TestTheCloudsHolds: its list is its own, the site's holds are the site's; no list says nothing.
func TestTheCloudsHolds(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), disk.Volume{Free: 1, Max: 100 * size})
	defer s.close()
	s.record(60)
	sw := s.sweeper(Config{})
	own := s.hold(0, s.first, s.first+60_000_000)
	if err := sw.AddHold(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	apply := func(list []wire.HoldDesire, faults int) {
		t.Helper()
		got, err := sw.ApplyHolds(t.Context(), list)
		if err != nil || len(got) != faults {
			t.Fatalf("ApplyHolds = %v, %v; want %d faults", got, err, faults)
		}
	}
	status := func(h id.Hold) wire.HoldStatus {
		sw.recount()
		s.sweep(sw)
		for _, state := range sw.Report().Holds {
			if state.Hold == h {
				return state.State
			}
		}
		return ""
	}
	small, big := s.hold(1, s.first, s.first+600_000_000), s.hold(1, 1, 1<<60)
	apply([]wire.HoldDesire{small, big, {Hold: "../x"}, own}, 1)
	if a, b, c := status(small.Hold), status(big.Hold), status(own.Hold); a != wire.HoldKept || b != wire.HoldRefused || c != wire.HoldKept {
		t.Errorf("the holds are %q, %q, %q", a, b, c)
	}
	apply(nil, 0)
	if a := status(small.Hold); a != wire.HoldKept {
		t.Errorf("a configuration without a list made the hold %q", a)
	}
	big.Over = true
	apply([]wire.HoldDesire{small, big}, 0)
	if b := status(big.Hold); b != wire.HoldPartly {
		t.Errorf("with consent the big hold is %q: it reaches back before there was any video", b)
	}
	apply([]wire.HoldDesire{}, 0)
	if a, c := status(small.Hold), status(own.Hold); a != "" || c != wire.HoldKept {
		t.Errorf("after the list was emptied the holds are %q and %q", a, c)
	}
	if err := sw.ReleaseHold(small.Hold); !errors.Is(err, ErrNoHold) {
		t.Errorf("release of a hold that is not the site's = %v", err)
	}
}

func TestHoldsEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, disk.Volume{Free: 1, Max: 1000 * size})
		defer s.close()
		sw := s.sweeper(s.keep(time.Hour))
		s.sweep(sw)
		s.record(10)
		own, other := s.hold(0, s.first, s.first+60_000_000), s.hold(0, s.first+120_000_000, s.first+180_000_000)
		own.UntilUs = s.floor.Clock.Now() + (5 * time.Hour).Microseconds()
		other.UntilUs = own.UntilUs
		if err := sw.AddHold(t.Context(), own); err != nil {
			t.Fatal(err)
		}
		if _, err := sw.ApplyHolds(t.Context(), []wire.HoldDesire{other}); err != nil {
			t.Fatal(err)
		}
		<-time.After(4 * time.Hour)
		s.sweep(sw)
		if n := s.minutes(0); n != 2 {
			t.Errorf("%d minutes are held, want 2", n)
		}
		<-time.After(2 * time.Hour)
		s.sweep(sw)
		if n := s.minutes(0); n != 0 {
			t.Errorf("%d minutes are left after the holds are over", n)
		}
		if states := sw.Report().Holds; len(states) != 1 || states[0].State != wire.HoldEnded {
			t.Errorf("holds %+v, want the cloud's one as ended", states)
		}
	})
}

func TestTheListOfHoldsIsDurable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "holds.json")
	h, err := OpenHolds(path)
	if err != nil {
		t.Fatal(err)
	}
	cam := id.New[id.Camera]()
	list := []Hold{
		{HoldDesire: wire.HoldDesire{Hold: id.New[id.Hold](), Camera: cam, StartUs: 10, EndUs: 20}, Site: true},
		{HoldDesire: wire.HoldDesire{Hold: id.New[id.Hold](), Camera: cam, StartUs: 15, EndUs: 30}},
		{HoldDesire: wire.HoldDesire{Hold: id.New[id.Hold](), Camera: cam, StartUs: 50, EndUs: 60}, Refused: true},
	}
	if err := h.Replace(list); err != nil {
		t.Fatal(err)
	}
	if h, err = OpenHolds(path); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to int64
		want     bool
	}{{1, 10, false}, {1, 11, true}, {29, 40, true}, {30, 40, false}, {55, 56, false}} {
		if got := h.Cover(cam, c.from, c.to); got != c.want {
			t.Errorf("[%d, %d) is held: %v", c.from, c.to, got)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenHolds(path); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged list = %v", err)
	}
}

// TestReclaimPassesHoldsBy: without the ledger the files themselves say what they hold.
func TestReclaimPassesHoldsBy(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), disk.Volume{Free: 1})
	defer s.close()
	for n := uint64(1); n <= 6; n++ {
		s.file(n, s.cams[n%2].Camera, int64(n)*10_000_000)
	}
	if err := s.holds.Replace([]Hold{{HoldDesire: s.hold(1, 10_999_999, 11_500_000)}}); err != nil {
		t.Fatal(err)
	}
	cfg := s.cfg
	cfg.Volumes = []disk.Volume{{Path: s.cfg.Volumes[0].Path, Free: s.floor.Disk.Volumes()[0].Free * 32}}
	full, err := disk.Open(cfg, nil, s.floor.Log)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := Reclaim(full, s.holds, s.floor.Log)
	if err != nil {
		t.Fatal(err)
	}
	var names []uint64
	for _, g := range gone {
		names = append(names, g.Segment)
	}
	// 1 is held, of 6 nobody knows whether it is open.
	if want := []uint64{2, 3, 4, 5}; !slices.Equal(names, want) {
		t.Errorf("deleted are %v, want %v", names, want)
	}
	if err := full.Close(); err != nil {
		t.Error(err)
	}
}

// file puts a real segment of a second on the disk.
func (s *site) file(n uint64, cam id.Camera, startUs int64) {
	s.t.Helper()
	h := mp4.Header{
		Segment: n, Site: "site-test", Camera: string(cam), Stream: "main", Run: 1, StartUs: startUs, Base: []int64{0},
		Tracks: []mp4.Track{{Codec: mp4.H264, Timescale: 90000, SPS: []byte{0x67, 0x42, 0xc0, 0x28, 0xd9}, PPS: []byte{0x68, 0xcb, 0x83}, Width: 640, Height: 360}},
	}
	text, err := mp4.AppendInit(nil, h)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := mp4.NewPartBuilder(h)
	if err != nil {
		s.t.Fatal(err)
	}
	b.Reset(1, startUs, 0)
	if err := b.Add(mp4.Sample{Duration: 90000, Key: true, Units: [][]byte{{0x65, 1, 2, 3}}}); err != nil {
		s.t.Fatal(err)
	}
	f, err := s.floor.Disk.Create(n)
	if err != nil {
		s.t.Fatal(err)
	}
	text, _ = b.AppendTo(text)
	if _, err := f.Write(text); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

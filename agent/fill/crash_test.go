package fill

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/agent/record"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/crashfs"
)

// doomed is a site whose power goes while gaps are filled.
type doomed struct {
	*site
	chance *rand.Rand
	fs     *crashfs.FS
	folder string
	next   string // where the ledger of the next life lies
}

// TestPowerCutsWhileFetching: after a cut or a kill at any operation the gap is declared or filled, never both and never
// neither, no file is left that nobody knows, and fetching goes on where it stood, until every picture is there once.
func TestPowerCutsWhileFetching(t *testing.T) {
	cuts := 0
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { cuts += perish(t, seed) })
		})
	}
	if cuts < 100 {
		t.Errorf("the power went %d times only", cuts)
	}
	t.Logf("%d cuts", cuts)
}

func perish(t *testing.T, seed uint64) (cuts int) {
	d := &doomed{site: &site{
		t: t, stream: id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}, key: ed25519.NewKeyFromSeed(make([]byte, 32)),
	}, chance: rand.New(rand.NewPCG(seed, 9)), folder: ram(t)}
	d.fs = crashfs.New(d.chance.IntN)
	if err := d.fs.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	d.rise()
	defer func() { _ = errors.Join(d.on.Disk.Close(), d.on.Ledger.Close()) }() // a test that fails must end too
	d.from = (d.now-3600e6)/(20*stepUs)*20*stepUs + 5*stepUs
	from, to := d.from, d.from+155e6
	m := &film{params: params(), to: d.now}
	d.record(m, from-25*stepUs, from)
	d.gap(155, wire.Unreachable)
	d.record(m, to, to+2e6)
	nvr := &archive{answer: func(from, to int64, take take) error { return m.fetch(from, to, take) }}
	for {
		d.fs.CutAt(1 + d.chance.IntN(180))
		d.now = d.on.Clock.Now()
		round := d.filler(func(c *Config) { c.Retry, c.Piece = time.Second, time.Minute }, "nvr", nvr).Round(t.Context())
		if !d.dark() {
			if round != nil {
				t.Fatal(round)
			}
			break
		}
		cuts++
		d.cut()
		d.rise()
		d.sound(from, to)
		if t.Failed() || cuts > 50 {
			t.Fatalf("it was cut %d times: it does not come on", cuts)
		}
	}
	d.fs.CutAt(0)
	d.sound(from, to)
	d.whole(from-25*stepUs, to+2e6)
	if got := d.filled("nvr"); got < 154.9 || got > 155 {
		t.Errorf("%v seconds are filled, want 155", got)
	}
	return cuts
}

func ram(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-fill-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// rise opens everything as a start of the agent does, and has the recorder deal with what the life before left.
func (d *doomed) rise() {
	d.t.Helper()
	ctx, log := d.t.Context(), slog.New(slog.DiscardHandler)
	d.fs.OnCut = func() {
		d.next = ram(d.t)
		if err := crashfs.CutLedger(filepath.Join(d.folder, "ledger.db"), d.next, d.chance); err != nil {
			d.t.Error(err)
		}
	}
	l, err := ledger.Open(ctx, filepath.Join(d.folder, "ledger.db"), log)
	if err != nil {
		d.t.Fatal(err)
	}
	v, err := disk.Open(disk.Config{
		Volumes: []disk.Volume{{Path: "/v1", Create: true, Free: 1}}, State: "/data/volumes.json", FS: d.fs, Rest: time.Second,
	}, nil, log)
	if err != nil {
		d.t.Fatal(err)
	}
	c := media.NewClock()
	d.on = Floors{Ledger: l, Disk: v, Clock: c, Log: log}
	rec, err := record.New(record.Config{Site: "site", Key: d.key, BootID: "boot", Version: "test"}, record.Floors{Ledger: l, Disk: v, Clock: c, Log: log})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := rec.Begin(ctx); err != nil {
		d.t.Fatal(err)
	}
	d.now = c.Now()
}

func (d *doomed) dark() bool {
	select {
	case <-d.fs.Dark():
		return true
	default:
		return false
	}
}

// cut ends the life: by a kill, or by a power cut that keeps some of what was not flushed.
func (d *doomed) cut() {
	d.t.Helper()
	after := d.fs.Kill()
	if keep := d.chance.IntN(150); keep <= 100 {
		after = d.fs.Crash(d.chance, keep)
	}
	for _, o := range d.fs.Offences() {
		d.t.Error(o)
	}
	_ = d.on.Disk.Close() // the power is gone
	if err := d.on.Ledger.Close(); err != nil {
		d.t.Error(err)
	}
	if err := os.RemoveAll(d.folder); err != nil {
		d.t.Fatal(err)
	}
	d.folder, d.fs = d.next, after
}

// sound sees that the range is accounted for, moment by moment, that files and rows are the same ones, and that nothing
// is there twice.
func (d *doomed) sound(fromUs, toUs int64) {
	d.t.Helper()
	ranges, err := d.on.Ledger.Coverage(d.t.Context(), d.stream, fromUs, toUs)
	if err != nil {
		d.t.Fatal(err)
	}
	at := fromUs
	for _, r := range ranges {
		if r.StartUs != at {
			d.t.Errorf("nothing is known of %d µs at %.6f s", r.StartUs-at, float64(at-fromUs)/1e6)
		}
		if r.Recorded && r.Origin != "nvr" {
			d.t.Errorf("%d µs at %.6f s are said to be recorded", r.EndUs-r.StartUs, float64(r.StartUs-fromUs)/1e6)
		}
		at = r.EndUs
	}
	if at != toUs {
		d.t.Errorf("nothing is known of the last %d µs", toUs-at)
	}
	segments, err := d.on.Ledger.Segments(d.t.Context(), d.stream, 0, d.now)
	if err != nil {
		d.t.Fatal(err)
	}
	known := map[uint64]bool{}
	for i, s := range segments {
		known[s.ID] = true
		if i > 0 && s.StartUs < segments[i-1].EndUs {
			d.t.Errorf("segment %d begins %d µs before segment %d ends", s.ID, segments[i-1].EndUs-s.StartUs, segments[i-1].ID)
		}
	}
	garbage, err := d.on.Ledger.Garbage(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, g := range garbage {
		known[g.ID] = true
	}
	if err := d.on.Disk.Scan(0, func(f disk.Found) error {
		if !known[f.Segment] {
			d.t.Errorf("nobody knows the file of segment %d", f.Segment)
		}
		return nil
	}); err != nil {
		d.t.Fatal(err)
	}
	for n, times := range d.pictures() {
		if times != 1 {
			d.t.Errorf("picture %d, %.1f s into the range, is shown %d times", n, float64(n*stepUs-fromUs)/1e6, times)
		}
	}
}

// TestACopyThatWasFetchedAgainGoes: a volume that comes back may hold what was fetched again meanwhile.
func TestACopyThatWasFetchedAgainGoes(t *testing.T) {
	dir := t.TempDir()
	s := newSite(t, dir)
	s.gap(30, wire.Unreachable)
	m := &film{params: params(), to: s.now}
	f := s.filler(nil, "nvr", &archive{answer: m.fetch})
	broken := f.newIntake(t.Context(), s.stream, "nvr", run{s.from, s.from + 30e6, wire.Unreachable})
	broken.pauseUs = s.from + 600e6
	if err := m.fetch(s.from-marginUs, s.from+20e6, broken.take); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(broken.seg.writePart(), broken.seg.file.Flush(), broken.seg.file.Close()); err != nil {
		t.Fatal(err)
	}
	s.round(f)
	s.close()
	again := newSite(t, dir)
	defer again.close()
	again.stream, again.from = s.stream, s.from
	rec, err := record.New(record.Config{Site: "site", Key: s.key, BootID: "boot", Version: "test"},
		record.Floors{Ledger: again.on.Ledger, Disk: again.on.Disk, Clock: again.on.Clock, Log: again.on.Log})
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	again.whole(s.from, s.from+30e6)
	if garbage, err := again.on.Ledger.Garbage(t.Context()); err != nil || len(garbage) != 1 || garbage[0].ID != broken.seg.header.Segment {
		t.Errorf("garbage is %v, %v", garbage, err)
	}
}

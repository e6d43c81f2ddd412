package clip

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

func testInterruptions(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.part = 100_000
	d.open()
	from := r.beginUs["dock"] + 500_000
	o := d.order("dock", from, from+6_000_000)
	failures := map[string]int{"begin": 2, "put 3": 2, "complete": 2}
	d.cloud.set(func(op string, part int) error {
		if part == 3 {
			op = "put 3"
		}
		if failures[op] > 0 {
			failures[op]--
			return errors.New("the line is cut")
		}
		return nil
	})
	f := d.cut(o)
	f.assertExact(o.StartUs, o.EndUs)
	puts := d.cloud.arrived()
	if len(puts) < 4 || !slices.IsSorted(puts) || puts[len(puts)-1] != len(puts) {
		t.Errorf("parts %v arrived: each was to come once", puts)
	}
	if s := d.said(o.Clip, wire.ClipUploading); s.Bytes != int64(len(f.bytes)) {
		t.Errorf("said %+v", s)
	}
}

func testNotWanted(t *testing.T, r *recording) {
	for _, op := range []string{"begin", "put", "complete"} {
		d := newDesk(t, r.site)
		d.open()
		d.cloud.set(func(at string, _ int) error {
			if at == op {
				return ErrGone
			}
			return nil
		})
		o := d.order("dock", r.beginUs["dock"], r.beginUs["dock"]+2_000_000)
		d.place(o)
		d.said(o.Clip, wire.ClipQueued)
		eventually.True(t, "the clip to be dropped", func() bool { return d.gone(o.Clip) })
		d.close()
	}

	// Dropped by the cloud while its upload fails.
	d := newDesk(t, r.site)
	room := d.open()
	d.cloud.set(func(string, int) error { return errors.New("the line is cut") })
	o := d.order("dock", r.beginUs["dock"], r.beginUs["dock"]+2_000_000)
	d.place(o)
	d.said(o.Clip, wire.ClipQueued)
	for range 2 {
		if err := room.Drop(t.Context(), o.Clip); err != nil {
			t.Error(err)
		}
	}
	if !d.gone(o.Clip) {
		t.Error("something is left of the clip")
	}
	// And before it is due.
	o = d.order("dock", r.beginUs["dock"], r.clock.Now()+60_000_000)
	d.place(o)
	if err := room.Drop(t.Context(), o.Clip); err != nil || !d.gone(o.Clip) {
		t.Errorf("drop a clip that waits: %v", err)
	}
}

// offline makes the cloud fail until it is called again with false.
func (d *desk) offline(yes bool) {
	if yes {
		d.cloud.set(func(string, int) error { return errors.New("no session with the cloud is open") })
		return
	}
	d.cloud.set(nil)
	d.room.Opened()
}

func testDamagedClip(t *testing.T, r *recording) {
	damage := map[string]func(path string) error{
		"gone":    os.Remove,
		"shorter": func(path string) error { return os.Truncate(path, 1000) },
		"altered": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(path, b, 0o600)
		},
	}
	for name, spoil := range damage {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", name, restart), func(t *testing.T) {
				t.Parallel()
				testSpoilt(t, r, spoil, restart)
			})
		}
	}
}

func testSpoilt(t *testing.T, r *recording, spoil func(path string) error, restart bool) {
	d := newDesk(t, r.site)
	d.open()
	d.offline(true)
	o := d.order("dock", r.beginUs["dock"]+100_000, r.beginUs["dock"]+2_000_000)
	d.place(o)
	d.said(o.Clip, wire.ClipQueued)
	if restart {
		d.close()
	}
	if err := spoil(filepath.Join(d.dir, fileOf(o.Clip))); err != nil {
		t.Fatal(err)
	}
	if restart {
		d.open()
	}
	d.offline(false)
	assertProves(t, r.site, d.stored(o.Clip), o)
	cuts := 0
	for _, fact := range d.facts(o.Clip) {
		if fact.State == wire.ClipQueued {
			cuts++
		}
	}
	if cuts != 2 {
		t.Errorf("it was cut %d times", cuts)
	}
}

func testRestarts(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.part = 50_000
	d.open()
	d.offline(true)
	o := map[wire.ClipState]wire.ClipOrder{}
	for _, state := range []wire.ClipState{wire.ClipWanted, wire.ClipCutting, wire.ClipQueued, wire.ClipUploading} {
		o[state] = d.order("dock", r.beginUs["dock"]+300_000, r.beginUs["dock"]+4_000_000)
	}
	d.place(o[wire.ClipQueued])
	d.said(o[wire.ClipQueued].Clip, wire.ClipQueued)
	d.cloud.set(func(op string, part int) error {
		if part > 2 {
			return errors.New("the line is cut")
		}
		return nil
	})
	d.place(o[wire.ClipUploading])
	eventually.True(t, "two parts of each", func() bool { return len(d.cloud.arrived()) == 4 })
	d.close()

	// What a crash leaves: a clip that nobody began, one whose cutting was cut short, and files that nobody owns.
	for _, state := range []wire.ClipState{wire.ClipWanted, wire.ClipCutting} {
		if _, err := d.ledger.PutClip(t.Context(), o[state]); err != nil {
			t.Fatal(err)
		}
	}
	row, _ := d.row(o[wire.ClipCutting].Clip)
	row.State = wire.ClipCutting
	if err := d.ledger.SetClip(t.Context(), row, false); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fileOf(row.Order.Clip), fileOf(row.Order.Clip) + ".tmp", fileOf(id.New[id.Clip]()), "stray"} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte("half a clip"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.cloud.set(nil)
	d.open()
	for state, o := range o {
		assertProves(t, r.site, d.stored(o.Clip), o)
		if n := len(d.facts(o.Clip)); n == 0 {
			t.Errorf("nothing was said of the clip that was %s", state)
		}
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
	parts := len(d.cloud.clips[o[wire.ClipQueued].Clip].begin.Parts)
	if n := len(d.cloud.arrived()); n != 4*parts {
		t.Errorf("%d parts arrived, want each of %d once", n, 4*parts)
	}
}

func testRetention(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	d.offline(true)
	begin := r.beginUs["old"]
	kept, spoilt := d.order("old", begin+100_000, begin+2_000_000), d.order("old", begin+200_000, begin+2_000_000)
	for _, o := range []wire.ClipOrder{kept, spoilt} {
		d.place(o)
		d.said(o.Clip, wire.ClipQueued)
	}
	segments, err := d.ledger.Segments(t.Context(), r.stream("old"), 0, begin+60_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.ledger.Condemn(t.Context(), segments, "expired"); err != nil {
		t.Fatal(err)
	}
	for _, s := range segments {
		if _, err := r.disk.Remove(s.Volume, s.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(d.dir, fileOf(spoilt.Clip)), 10); err != nil {
		t.Fatal(err)
	}
	d.offline(false)
	f := probe(t, d.stored(kept.Clip))
	f.assertExact(kept.StartUs, kept.EndUs)
	f.assertVerifies(r.site, mp4.AudioOriginal)
	if fact := d.said(spoilt.Clip, wire.ClipLost); fact.Reason == "" || fact.Bytes != 0 {
		t.Errorf("said %+v", fact)
	}

	// A file that is gone before the ledger knows: what is left of the range is cut.
	copied := newDesk(t, r.site)
	copied.open()
	late := copied.order("old", begin+100_000, begin+2_000_000)
	copied.place(late)
	copied.said(late.Clip, wire.ClipUnavailable)
}

func testFullDisk(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.cfg.Free = 1 << 60
	d.open()
	o := d.order("dock", r.beginUs["dock"]+300_000, r.beginUs["dock"]+2_000_000)
	d.place(o)
	if f := d.said(o.Clip, wire.ClipWanted); !strings.Contains(f.Reason, "no room") {
		t.Errorf("said %+v", f)
	}
	d.close()

	// There seems to be room, but writing fails.
	d.cfg.Free = 1
	if err := os.Symlink("/dev/full", filepath.Join(d.dir, fileOf(o.Clip)+".tmp")); err != nil {
		t.Fatal(err)
	}
	r2 := d.order("dock", o.StartUs, o.EndUs)
	d.open() // its tidying removes the way to nowhere
	d.stored(o.Clip)
	if err := os.Symlink("/dev/full", filepath.Join(d.dir, fileOf(r2.Clip)+".tmp")); err != nil {
		t.Fatal(err)
	}
	d.place(r2)
	assertProves(t, r.site, d.stored(r2.Clip), r2)
	var said []string
	for _, fact := range d.facts(r2.Clip) {
		said = append(said, string(fact.State)+" "+fact.Reason)
	}
	if len(said) < 3 || !strings.Contains(said[1], "wanted The site's disk has no room") || !strings.HasPrefix(said[2], "queued") {
		t.Errorf("said %q", said)
	}
	if queued := d.said(r2.Clip, wire.ClipQueued); queued.Reason != "" {
		t.Errorf("said %+v", queued)
	}
}

func testDamagedSegment(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	begin := r.beginUs["torn"]
	segments, err := d.ledger.Segments(t.Context(), r.stream("torn"), 0, begin+60_000_000)
	if err != nil || len(segments) < 3 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	bad := segments[1]
	file, _, err := r.disk.OpenRead(bad.Volume, bad.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(file.(interface{ Name() string }).Name(), []byte("this is no segment"), 0o600), file.Close()); err != nil {
		t.Fatal(err)
	}
	o := d.order("torn", begin+100_000, segments[2].StartUs+800_000)
	f := d.cut(o)
	if fact := d.said(o.Clip, wire.ClipQueued); fact.Reason != noteDamaged {
		t.Errorf("said %+v", fact)
	}
	if report := f.assertVerifies(r.site, mp4.AudioOriginal); len(report.Gaps) != 1 {
		t.Errorf("gaps %+v", report.Gaps)
	}
}

func testOneBadClip(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	d.offline(true)
	var orders []wire.ClipOrder
	for i := range int64(6) {
		o := d.order("dock", r.beginUs["dock"]+i*1000, r.beginUs["dock"]+1_000_000)
		d.place(o)
		d.said(o.Clip, wire.ClipQueued)
		orders = append(orders, o)
	}
	for _, o := range orders[:4] {
		d.cloud.refuse(o.Clip)
	}
	d.offline(false)
	for _, o := range orders[4:] {
		d.stored(o.Clip)
	}
}

func testOrders(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	room := d.open()
	good := d.order("dock", r.beginUs["dock"], r.beginUs["dock"]+1_000_000)
	for name, change := range map[string]func(*wire.ClipOrder){
		"no ID":      func(o *wire.ClipOrder) { o.Clip = "../../etc/passwd" },
		"no stream":  func(o *wire.ClipOrder) { o.Stream = "" },
		"backwards":  func(o *wire.ClipOrder) { o.StartUs, o.EndUs = o.EndUs, o.StartUs },
		"no start":   func(o *wire.ClipOrder) { o.StartUs = 0 },
		"too long":   func(o *wire.ClipOrder) { o.StartUs = o.EndUs - 7*3600*1_000_000 },
		"wild times": func(o *wire.ClipOrder) { o.StartUs, o.EndUs = -1<<63, 1<<63-1 },
		"far future": func(o *wire.ClipOrder) { o.StartUs, o.EndUs = 1<<62, 1<<62+1_000_000 },
	} {
		o := good
		change(&o)
		var f *wire.Failure
		if err := room.Order(t.Context(), o); !errors.As(err, &f) || f.Code != wire.FailedRefused || f.Text == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	var f *wire.Failure
	if err := room.Drop(t.Context(), "../../etc/passwd"); !errors.As(err, &f) {
		t.Errorf("drop of a strange name: %v", err)
	}
	for range 3 {
		d.place(good)
	}
	d.stored(good.Clip)
	if _, err := New(Config{Late: -1}, Deps{}); err == nil || !strings.Contains(err.Error(), "clip.dir") {
		t.Errorf("New = %v", err)
	}
}

// testShortLine: where no part passes, pieces do, each once, and a cut between them costs nothing that had arrived.
func testShortLine(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.part, d.cloud.piece, d.cloud.short = 100_000, 16_000, 20_000
	d.open()
	from := r.beginUs["dock"] + 500_000
	o := d.order("dock", from, from+5_000_000)
	cuts := 0
	d.cloud.set(func(op string, _ int) error {
		if op == "put" && len(d.cloud.got) > 0 && len(d.cloud.got)%5 == 0 && cuts < len(d.cloud.got)/5 {
			cuts++
			return errors.New("the line is cut")
		}
		return nil
	})
	f := d.cut(o)
	f.assertExact(o.StartUs, o.EndUs)
	d.cloud.mu.Lock()
	defer d.cloud.mu.Unlock()
	if cuts == 0 || len(d.cloud.got) < 7 {
		t.Errorf("%d pieces and %d cuts tell nothing", len(d.cloud.got), cuts)
	}
	seen := map[string]bool{}
	for _, piece := range d.cloud.got {
		if seen[piece] {
			t.Errorf("piece %s came twice", piece)
		}
		seen[piece] = true
	}
}

// testLinksThatEnd: links that are too old or used up are asked for again, and no part is sent twice for it.
func testLinksThatEnd(t *testing.T, r *recording) {
	for name, set := range map[string]func(c *cloud){
		"a few at a time": func(c *cloud) { c.most = 2 },
		"too old at once": func(c *cloud) { c.valid = time.Microsecond },
	} {
		d := newDesk(t, r.site)
		d.part = 100_000
		set(d.cloud)
		if name == "too old at once" { // a plan is good for nothing until the cloud grants more time
			asked := 0
			d.cloud.set(func(op string, _ int) error {
				if op == "begin" {
					if asked++; asked > 5 {
						d.cloud.valid = time.Hour
					}
				}
				return nil
			})
		}
		d.open()
		from := r.beginUs["dock"] + 500_000
		o := d.order("dock", from, from+5_000_000)
		d.cut(o)
		puts := d.cloud.arrived()
		if len(puts) < 4 || !slices.IsSorted(puts) || puts[len(puts)-1] != len(puts) {
			t.Errorf("%s: parts %v arrived: each was to come once", name, puts)
		}
		if d.cloud.plans < 3 {
			t.Errorf("%s: %d plans were asked for", name, d.cloud.plans)
		}
		d.close()
	}
}

// testUrgentFirst: a higher priority goes first, then what retention takes first.
func testUrgentFirst(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	d.offline(true)
	begin := r.beginUs["dock"]
	later, sooner, urgent, low := d.order("dock", begin+2_000_000, begin+3_000_000), d.order("dock", begin, begin+1_000_000),
		d.order("dock", begin+3_000_000, begin+4_000_000), d.order("dock", begin, begin+900_000)
	urgent.Priority, low.Priority = wire.PriorityHigh, wire.PriorityLow
	for _, o := range []wire.ClipOrder{low, later, sooner, urgent} {
		d.place(o)
		d.said(o.Clip, wire.ClipQueued)
	}
	later.Priority = wire.PriorityHigh // it has become urgent after it was cut
	d.place(later)
	d.close()
	var order []id.Clip
	d.cloud.set(func(op string, _ int) error {
		if op == "complete" {
			for clip, u := range d.cloud.clips {
				if u.whole == nil && !slices.Contains(order, clip) {
					order = append(order, clip)
				}
			}
		}
		return nil
	})
	room := d.open()
	room.Opened()
	for _, o := range []wire.ClipOrder{low, later, sooner, urgent} {
		d.stored(o.Clip)
	}
	if want := []id.Clip{later.Clip, urgent.Clip, sooner.Clip, low.Clip}; !slices.Equal(order, want) {
		t.Errorf("sent as %v, want %v", order, want)
	}
	room.Keep = func(s id.Camera) time.Duration { return time.Hour }
	if x, y := room.deadline(low), room.deadline(later); y-x != 2_000_000 {
		t.Errorf("deadlines %d and %d", x, y)
	}
}

// testOrderThatGrows: until it is cut a clip takes over another range; what was cut says by which.
func testOrderThatGrows(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	begin := r.beginUs["dock"]
	o := d.order("dock", begin+1_000_000, r.clock.Now()+3_600_000_000)
	d.place(o) // not due for an hour
	o.EndUs = begin + 3_000_000
	d.place(o)
	f := d.cut(o)
	f.assertExact(o.StartUs, o.EndUs)
	if s := d.said(o.Clip, wire.ClipQueued); s.OrderStartUs != o.StartUs || s.OrderEndUs != o.EndUs {
		t.Errorf("said %+v", s)
	}
	// One that is cut keeps its range.
	d.offline(true)
	o = d.order("dock", begin+1_000_000, begin+2_000_000)
	d.place(o)
	d.said(o.Clip, wire.ClipQueued)
	late := o
	late.EndUs += 1_000_000
	d.place(late)
	if row, ok := d.row(o.Clip); !ok || row.Order.EndUs != o.EndUs {
		t.Errorf("the row says %+v", row.Order)
	}
	d.offline(false)
	d.stored(o.Clip)
}

package clip

import (
	"cmp"
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
	"holdfast/testenv/fakecam"
)

// recording is what every test of TestSite cuts from.
type recording struct {
	*site
	beginUs map[string]int64 // of each camera's first picture
	cutUs   int64            // when "cut" went away for some seconds
	backUs  int64            // and when it came back
}

// TestSite records for some seconds and then cuts, all tests at once, each with a ledger of its own.
func TestSite(t *testing.T) {
	t.Parallel()
	s := newSite(t,
		fakecam.CameraConfig{Name: "dock", Number: 2, Main: "dock/main"},
		fakecam.CameraConfig{Name: "night", Number: 5, Main: "carpark-night/main"},
		fakecam.CameraConfig{Name: "checkout", Number: 10, Main: "checkout/main"},
		fakecam.CameraConfig{Name: "shop", Number: 4, Main: "shop/main"},
		fakecam.CameraConfig{Name: "cut", Number: 13, Main: "dock/main"},
		fakecam.CameraConfig{Name: "other", Number: 7, Main: "carpark/main"},
		fakecam.CameraConfig{Name: "torn", Number: 8, Main: "shop/main"},
		fakecam.CameraConfig{Name: "old", Number: 9, Main: "shop/main"},
	)
	r := &recording{site: s, beginUs: map[string]int64{}}
	s.recorded(t, "cut", 1500*time.Millisecond)
	if err := s.cam("cut").Turn(func(k *fakecam.Knobs) { k.Offline = true }); err != nil {
		t.Fatal(err)
	}
	r.cutUs = time.Now().UnixMicro()
	s.recorded(t, "other", 1500*time.Millisecond)
	if err := s.cam("other").Switch("main", "carpark-night/main"); err != nil {
		t.Fatal(err)
	}
	testLiveEdge(t, s) // takes its time: the gap
	eventually(t, "a gap", func() bool { return time.Now().UnixMicro()-r.cutUs > 2_500_000 })
	if err := s.cam("cut").Restore(); err != nil {
		t.Fatal(err)
	}
	r.backUs = time.Now().UnixMicro()
	testSeal(t, s)
	for name := range s.ids {
		r.beginUs[name] = s.recorded(t, name, 2*time.Second)
	}
	s.recorded(t, "dock", 6500*time.Millisecond)
	s.recorded(t, "cut", time.Duration(r.backUs-r.beginUs["cut"]+2_500_000)*time.Microsecond)
	s.finish()
	for name, test := range map[string]func(*testing.T, *recording){
		"H.264 and G.711": testG711, "H.265": testH265, "B-frames": testBFrames, "AAC": testAAC, "gap": testGap, "codec": testCodecChange,
		"nothing": testNothing, "interruptions": testInterruptions, "not wanted": testNotWanted, "damaged clip": testDamagedClip,
		"damaged segment": testDamagedSegment, "restarts": testRestarts, "retention": testRetention, "full disk": testFullDisk,
		"orders": testOrders, "one bad clip": testOneBadClip,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, r)
		})
	}
}

// cut places an order, waits for the clip and looks at it.
func (d *desk) cut(o wire.ClipOrder) film {
	d.t.Helper()
	d.place(o)
	return probe(d.t, d.stored(o.Clip))
}

func testLiveEdge(t *testing.T, s *site) {
	d := newDesk(t, s)
	d.open()
	now := s.clock.Now()
	o := d.order("dock", now-500_000, now+1_000_000)
	d.place(o)
	if facts := d.facts(o.Clip); len(facts) > 0 {
		t.Errorf("the end of the clip lies in the future, but it is said to be %+v", facts)
	}
	f := probe(t, d.stored(o.Clip))
	f.assertExact(o.StartUs, o.EndUs)
	if after := s.clock.Now() - o.EndUs; after < 0 || after > 6_000_000 {
		t.Errorf("it was stored %d ms after its end", after/1000)
	}
	d.close()
}

// testSeal has a clip wait until its segment is signed.
func testSeal(t *testing.T, s *site) {
	d := newDesk(t, s)
	d.cfg.Seal = 10 * time.Second
	d.open()
	now := s.clock.Now()
	o := d.order("dock", now-2_000_000, now-500_000)
	f := d.cut(o)
	f.assertExact(o.StartUs, o.EndUs)
	f.assertVerifies(s, mp4.AudioReplaced)
	d.close()
}

func testG711(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	from := r.beginUs["dock"] + 1_333_000 // between two key frames; segments end after three seconds
	o := d.order("dock", from, from+4_777_000)
	f := d.cut(o)
	f.assertExact(o.StartUs, o.EndUs)
	if f.preroll == 0 {
		t.Error("it was to begin between two key frames")
	}
	if !slices.Equal(f.codecs, []string{"h264", "opus"}) {
		t.Errorf("codecs %v", f.codecs)
	}
	if report := f.assertVerifies(r.site, mp4.AudioReplaced); len(report.Statements) < 2 {
		t.Errorf("it was to reach over a border of segments, and is cut from %d", len(report.Statements))
	}
	queued := d.said(o.Clip, wire.ClipQueued)
	if queued.Bytes != int64(len(f.bytes)) || queued.StartUs != o.StartUs || queued.EndUs != o.EndUs || len(queued.Gaps) > 0 ||
		!strings.HasPrefix(queued.Codec, "avc1") || queued.Reason != "" {
		t.Errorf("said %+v", queued)
	}
	var states []wire.ClipState
	for _, fact := range d.facts(o.Clip) {
		states = append(states, fact.State)
	}
	if !slices.Equal(states, []wire.ClipState{wire.ClipCutting, wire.ClipQueued, wire.ClipUploading}) {
		t.Errorf("said %v", states)
	}

	o = d.order("dock", from, from+1_000_000)
	o.Audio = false
	f = d.cut(o)
	f.assertExact(o.StartUs, o.EndUs)
	f.assertVerifies(r.site, mp4.AudioNone)
	if !slices.Equal(f.codecs, []string{"h264"}) {
		t.Errorf("codecs %v", f.codecs)
	}
}

func testH265(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	from := r.beginUs["night"] + 700_000
	o := d.order("night", from, from+4_000_000)
	f := d.cut(o)
	f.assertExact(o.StartUs, o.EndUs)
	f.assertVerifies(r.site, mp4.AudioNone)
	if fact := d.said(o.Clip, wire.ClipQueued); !strings.HasPrefix(fact.Codec, "hvc1") {
		t.Errorf("said %+v", fact)
	}
}

func testBFrames(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	from := r.beginUs["checkout"] + 2_900_000
	o := d.order("checkout", from, from+3_000_000)
	f := d.cut(o)
	f.assertVerifies(r.site, mp4.AudioReplaced)
	// Frames are numbered as they are sent, some of them some frames before they are shown.
	f.assertRange(o.StartUs, o.EndUs, 350_000)
	reordered := !slices.IsSortedFunc(f.stamps, byNumber)
	slices.SortFunc(f.stamps, byNumber)
	inner := f.stamps[3 : len(f.stamps)-3]
	for i := 1; i < len(inner); i++ {
		if inner[i].Frame != inner[i-1].Frame+1 {
			t.Errorf("frame %d follows frame %d", inner[i].Frame, inner[i-1].Frame)
		}
	}
	if !reordered {
		t.Error("this was to be about B-frames")
	}
}

func byNumber(a, b fakecam.Stamp) int { return cmp.Compare(a.Frame, b.Frame) }

func testAAC(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	from := r.beginUs["shop"] + 500_000
	o := d.order("shop", from, from+4_000_000)
	f := d.cut(o)
	f.assertExact(o.StartUs, o.EndUs)
	f.assertVerifies(r.site, mp4.AudioOriginal)
	if !slices.Equal(f.codecs, []string{"h264", "aac"}) {
		t.Errorf("codecs %v", f.codecs)
	}
}

func testGap(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	o := d.order("cut", r.cutUs-800_000, r.backUs+2_400_000)
	f := d.cut(o)
	if want := float64(o.EndUs-o.StartUs) / 1e6; f.duration < want-0.05 || f.duration > want+0.05 {
		t.Errorf("the clip lasts %.3f s, want %.3f: the gap stays in it", f.duration, want)
	}
	report := f.assertVerifies(r.site, mp4.AudioReplaced)
	if len(report.Gaps) != 1 {
		t.Errorf("the clip declares the gaps %+v", report.Gaps)
	}
	fact := d.said(o.Clip, wire.ClipQueued)
	var us int64
	for _, g := range fact.Gaps {
		us += g.EndUs - g.StartUs
		if g.Reason == "" || g.Reason == wire.Unknown {
			t.Errorf("gap without a reason: %+v", g)
		}
	}
	if least := r.backUs - r.cutUs - 100_000; us < least || us > least+2_500_000 {
		t.Errorf("said gaps of %d ms: %+v", us/1000, fact.Gaps)
	}
	holes := 0
	for i := 1; i < len(f.stamps); i++ {
		if f.stamps[i].Frame != f.stamps[i-1].Frame+1 {
			holes++
		}
	}
	if first := f.stamps[0].SentUs; holes != 1 || first < o.StartUs-250_000 || first > o.StartUs+150_000 {
		t.Errorf("%d holes; the first picture was sent %d ms after the beginning", holes, (first-o.StartUs)/1000)
	}
}

func testCodecChange(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	begin := r.beginUs["other"]
	o := d.order("other", begin+200_000, begin+6_000_000)
	f := d.cut(o)
	fact := d.said(o.Clip, wire.ClipQueued)
	if !slices.Equal(f.codecs, []string{"h264"}) || !strings.Contains(fact.Reason, "changed its codec") {
		t.Errorf("codecs %v, said %+v", f.codecs, fact)
	}
	if fact.EndUs >= o.EndUs || fact.EndUs < begin+1_500_000 {
		t.Errorf("it ends at %d", fact.EndUs)
	}
	if want := float64(fact.EndUs-o.StartUs) / 1e6; f.duration < want-0.05 || f.duration > want+0.05 {
		t.Errorf("the clip lasts %.3f s, want %.3f", f.duration, want)
	}
	f.assertVerifies(r.site, mp4.AudioNone)

	rest := d.order("other", fact.EndUs, o.EndUs)
	f = d.cut(rest)
	if !slices.Equal(f.codecs, []string{"hevc"}) {
		t.Errorf("codecs of the rest %v", f.codecs)
	}
	f.assertVerifies(r.site, mp4.AudioNone)
}

func testNothing(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.open()
	begin := r.beginUs["dock"]
	early := d.order("dock", begin-60_000_000, begin-50_000_000)
	d.place(early)
	if f := d.said(early.Clip, wire.ClipUnavailable); f.NearestUs < begin || f.NearestUs > begin+1000 || f.Reason == "" || len(f.Gaps) == 0 {
		t.Errorf("said %+v, want the beginning %d as the nearest", f, begin)
	}
	inGap := d.order("cut", r.cutUs+700_000, r.cutUs+1_500_000)
	d.place(inGap)
	f := d.said(inGap.Clip, wire.ClipUnavailable)
	if d := r.cutUs - f.NearestUs; d < -300_000 || d > 600_000 || f.Gaps[0].Reason == wire.Unknown {
		t.Errorf("said %+v, want the moment before %d as the nearest and why there is none", f, r.cutUs)
	}
	unknown := d.order("dock", begin, begin+1_000_000)
	unknown.Camera = id.New[id.Camera]()
	d.place(unknown)
	if f := d.said(unknown.Clip, wire.ClipUnavailable); !strings.Contains(f.Reason, "no such camera") || f.NearestUs != 0 {
		t.Errorf("said %+v", f)
	}
	sub := d.order("dock", begin, begin+1_000_000)
	sub.Stream = id.Sub
	d.place(sub)
	d.said(sub.Clip, wire.ClipUnavailable)

	// The cloud asks again: it has not heard the answer.
	d.place(early)
	eventually(t, "the answer again", func() bool { return len(d.facts(early.Clip)) >= 3 })
}

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
		eventually(t, "the clip to be dropped", func() bool { return d.gone(o.Clip) })
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
	f := probe(t, d.stored(o.Clip))
	f.assertExact(o.StartUs, o.EndUs)
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
	eventually(t, "two parts of each", func() bool { return len(d.cloud.arrived()) == 4 })
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
		f := probe(t, d.stored(o.Clip))
		f.assertExact(o.StartUs, o.EndUs)
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
	f := probe(t, d.stored(r2.Clip))
	f.assertExact(r2.StartUs, r2.EndUs)
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
	if err := errors.Join(os.WriteFile(file.Name(), []byte("this is no segment"), 0o600), file.Close()); err != nil {
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

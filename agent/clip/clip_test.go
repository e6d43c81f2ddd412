package clip

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
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
		fakecam.CameraConfig{Name: "both", Number: 11, Main: "shop/main", Sub: "shop/sub"},
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
	eventually.True(t, "a gap", func() bool { return time.Now().UnixMicro()-r.cutUs > 2_500_000 })
	if err := s.cam("cut").Restore(); err != nil {
		t.Fatal(err)
	}
	r.backUs = time.Now().UnixMicro()
	testSeal(t, s)
	for name := range s.ids {
		r.beginUs[name] = s.recorded(t, name, 2*time.Second)
	}
	// Each stream has a session of its own: the sub one may begin a moment after the main one.
	sub := s.streamRecorded(t, id.Stream{Camera: s.ids["both"], Kind: id.Sub}, 3*time.Second)
	r.beginUs["both"] = max(r.beginUs["both"], sub)
	s.recorded(t, "dock", 6500*time.Millisecond)
	s.recorded(t, "cut", time.Duration(r.backUs-r.beginUs["cut"]+2_500_000)*time.Microsecond)
	s.finish()
	for name, test := range map[string]func(*testing.T, *recording){
		"H.264 and G.711": testG711, "H.265": testH265, "B-frames": testBFrames, "AAC": testAAC, "gap": testGap, "codec": testCodecChange,
		"nothing": testNothing, "interruptions": testInterruptions, "not wanted": testNotWanted, "damaged clip": testDamagedClip,
		"damaged segment": testDamagedSegment, "restarts": testRestarts, "retention": testRetention, "full disk": testFullDisk,
		"export, exact": testExportExact, "export, gap": testExportGap, "export, codec": testExportCodecChange,
		"export, damaged": testExportDamaged, "export, nothing": testExportNothing, "export, files": testExportFiles,
		"orders": testOrders, "one bad clip": testOneBadClip, "short line": testShortLine, "links that end": testLinksThatEnd,
		"urgent first": testUrgentFirst, "order that grows": testOrderThatGrows,
		"step down": testStepDown,
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
	eventually.True(t, "the answer again", func() bool { return len(d.facts(early.Clip)) >= 3 })
}

package clip

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// exporter exports from a recording, as a command beside the agent does.
type exporter struct {
	*testing.T
	r    *recording
	view *ledger.Ledger
	open func(volume string, segment uint64) (File, int64, error)
}

func newExporter(t *testing.T, r *recording) *exporter {
	view, err := ledger.View(t.Context(), r.path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := view.Close(); err != nil {
			t.Error(err)
		}
	})
	return &exporter{t, r, view, func(volume string, segment uint64) (File, int64, error) { return r.disk.OpenRead(volume, segment) }}
}

// export writes every file of an export and checks the account of its time.
func (x *exporter) export(e Export) (files []Exported, missing []wire.GapFact) {
	x.Helper()
	plan, err := NewPlan(x.Context(), x.view, x.open, e, slog.New(slog.DiscardHandler))
	if err != nil {
		x.Fatal(err)
	}
	dir := x.TempDir()
	for queue := plan.Pieces; len(queue) > 0; {
		path := filepath.Join(dir, string(rune('a'+len(files)))+".mp4")
		done, rest, err := plan.Write(x.Context(), queue[0], Target{Path: path, Free: 1})
		queue = queue[1:]
		if rest != nil {
			queue = append([]Piece{*rest}, queue...)
		}
		if errors.Is(err, mp4.ErrNoVideo) {
			continue
		}
		if err != nil {
			x.Fatal(err)
		}
		files = append(files, done)
	}
	missing, recorded, err := plan.Account(x.Context())
	if err != nil {
		x.Fatal(err)
	}
	sum := recorded
	for i, g := range missing {
		sum += g.EndUs - g.StartUs
		if g.Reason == "" || g.StartUs < e.FromUs || g.EndUs > e.ToUs || i > 0 && g.StartUs < missing[i-1].EndUs {
			x.Errorf("gap %+v of an export of [%d, %d)", g, e.FromUs, e.ToUs)
		}
	}
	if sum != e.ToUs-e.FromUs || recorded < 0 {
		x.Errorf("recorded %d µs and gaps make %d µs, asked were %d", recorded, sum, e.ToUs-e.FromUs)
	}
	if err := plan.Close(); err != nil {
		x.Error(err)
	}
	return files, missing
}

// film reads a written file as a player does.
func (x *exporter) film(f Exported) film {
	x.Helper()
	b, err := os.ReadFile(f.Path)
	if err != nil || int64(len(b)) != f.Bytes {
		x.Fatalf("%d bytes of %d, %v", len(b), f.Bytes, err)
	}
	return probe(x.T, b)
}

func (x *exporter) of(camera string, fromUs, toUs int64) Export {
	return Export{Stream: x.r.stream(camera), FromUs: fromUs, ToUs: toUs, Audio: true}
}

func testExportExact(t *testing.T, r *recording) {
	x := newExporter(t, r)
	from := r.beginUs["dock"] + 1_333_000
	files, missing := x.export(x.of("dock", from, from+4_777_000))
	if len(files) != 1 || len(missing) != 0 {
		t.Fatalf("files %+v, gaps %+v", files, missing)
	}
	f := files[0]
	if f.FromUs != from || f.ToUs != from+4_777_000 || !f.Sealed || f.Audio != mp4.AudioReplaced || f.PreRollUs == 0 {
		t.Errorf("said %+v", f)
	}
	shown := x.film(f)
	shown.assertExact(from, from+4_777_000)
	shown.assertVerifies(r.site, mp4.AudioReplaced)
	if !slices.Equal(shown.codecs, []string{"h264", "opus"}) {
		t.Errorf("codecs %v", shown.codecs)
	}
}

// A gap in a file stands still; one that is longer than wanted parts the files. Both count every frame.
func testExportGap(t *testing.T, r *recording) {
	x := newExporter(t, r)
	e := x.of("cut", r.cutUs-800_000, r.backUs+2_400_000)
	one, missing := x.export(e)
	if len(one) != 1 || one[0].FromUs != e.FromUs || one[0].ToUs != e.ToUs || len(missing) == 0 {
		t.Fatalf("files %+v, gaps %+v", one, missing)
	}
	x.film(one[0])
	for _, g := range missing {
		if g.Reason == wire.Unknown {
			t.Errorf("a gap has no reason: %+v", g)
		}
	}
	e.Apart = time.Second
	two, again := x.export(e)
	if len(two) != 2 || !slices.Equal(missing, again) {
		t.Fatalf("files %+v; gaps %+v, before %+v", two, again, missing)
	}
	first, second := x.film(two[0]), x.film(two[1])
	first.assertExact(two[0].FromUs, two[0].ToUs)
	second.assertExact(two[1].FromUs, two[1].ToUs)
	if two[0].FromUs != e.FromUs || two[1].ToUs != e.ToUs || two[0].ToUs > r.cutUs+400_000 || two[1].FromUs < r.backUs {
		t.Errorf("files of %+v, away from %d to %d", two, r.cutUs, r.backUs)
	}
	for i, f := range []film{first, second} {
		if report := f.assertVerifies(r.site, mp4.AudioReplaced); len(report.Gaps) > 0 {
			t.Errorf("file %d has the gaps %+v", i, report.Gaps)
		}
	}
}

func testExportCodecChange(t *testing.T, r *recording) {
	x := newExporter(t, r)
	begin := r.beginUs["other"]
	files, _ := x.export(x.of("other", begin+200_000, begin+6_000_000))
	if len(files) != 2 || !strings.HasPrefix(files[0].Codec, "avc1") || !strings.HasPrefix(files[1].Codec, "hvc1") {
		t.Fatalf("files %+v", files)
	}
	for _, f := range files {
		shown := x.film(f)
		shown.assertVerifies(r.site, mp4.AudioNone)
		if want := float64(f.ToUs-f.FromUs) / 1e6; shown.duration < want-0.05 || shown.duration > want+0.05 {
			t.Errorf("%+v lasts %.3f s", f, shown.duration)
		}
	}
}

// What is damaged or gone is in the account, as lost, and the rest is in the files.
func testExportDamaged(t *testing.T, r *recording) {
	x := newExporter(t, r)
	from := r.beginUs["dock"]
	whole := x.of("dock", from+100_000, from+6_000_000)
	segments, err := x.view.Segments(t.Context(), whole.Stream, whole.FromUs, whole.ToUs)
	if err != nil || len(segments) < 2 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	hit := segments[len(segments)-1]
	x.open = func(volume string, segment uint64) (File, int64, error) {
		if segment == hit.ID {
			return nil, 0, os.ErrNotExist
		}
		return r.disk.OpenRead(volume, segment)
	}
	files, missing := x.export(whole)
	if len(files) != 1 || len(missing) != 1 || missing[0].Reason != wire.Lost || missing[0].Detail != lostDetail {
		t.Fatalf("files %+v, gaps %+v", files, missing)
	}
	near := func(a, b int64) bool { return max(a-b, b-a) < 100_000 }
	if !near(missing[0].StartUs, max(hit.StartUs, whole.FromUs)) || !near(missing[0].EndUs, min(hit.EndUs, whole.ToUs)) {
		t.Errorf("lost is %+v, the segment was %+v", missing[0], hit)
	}
}

func testExportNothing(t *testing.T, r *recording) {
	x := newExporter(t, r)
	begin := r.beginUs["dock"]
	files, missing := x.export(x.of("dock", begin-60_000_000, begin-50_000_000))
	if len(files) != 0 || len(missing) != 1 || missing[0].Detail != beforeDetail {
		t.Errorf("files %+v, gaps %+v", files, missing)
	}
	if _, err := NewPlan(t.Context(), x.view, x.open, x.of("dock", begin, begin), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an export of no time")
	}
	other := x.of("dock", begin, begin+1_000_000)
	other.Stream.Camera = id.New[id.Camera]()
	if files, missing := x.export(other); len(files) != 0 || len(missing) != 1 {
		t.Errorf("files %+v, gaps %+v", files, missing)
	}
}

// A file appears whole or not at all, and none is overwritten unasked.
func testExportFiles(t *testing.T, r *recording) {
	x := newExporter(t, r)
	begin := r.beginUs["dock"]
	plan, err := NewPlan(t.Context(), x.view, x.open, x.of("dock", begin+500_000, begin+1_500_000), slog.New(slog.DiscardHandler))
	if err != nil || len(plan.Pieces) != 1 {
		t.Fatalf("%+v, %v", plan, err)
	}
	defer func() { _ = plan.Close() }()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.mp4")
	write := func(ctx context.Context, to Target) error {
		_, _, err := plan.Write(ctx, plan.Pieces[0], to)
		return err
	}
	names := func() (out []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, e.Name())
		}
		return out
	}
	var full *FullError
	if err := write(t.Context(), Target{Path: path, Free: 1 << 60}); !errors.As(err, &full) || len(names()) != 0 {
		t.Errorf("on a full disk: %v, files %v", err, names())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := write(ended, Target{Path: path}); !errors.Is(err, context.Canceled) || len(names()) != 0 {
		t.Errorf("broken off: %v, files %v", err, names())
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), Target{Path: path}); !errors.Is(err, ErrExists) {
		t.Errorf("onto a file: %v", err)
	}
	if err := os.WriteFile(path+".part", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), Target{Path: filepath.Join(dir, "b.mp4")}); err != nil {
		t.Error(err)
	}
	if err := write(t.Context(), Target{Path: path, Overwrite: true}); err != nil {
		t.Error(err)
	}
	if got := names(); !slices.Equal(got, []string{"a.mp4", "b.mp4"}) {
		t.Errorf("files %v", got)
	}
}

// How segments are parted into files: one letter a segment, with its run, beginning and end in seconds.
func TestPieces(t *testing.T) {
	segment := func(run int64, from, to float64, width int) Source {
		s := Source{Segment: ledger.Segment{Run: run, StartUs: int64(from * 1e6), EndUs: int64(to * 1e6)}}
		s.Header.Tracks = []mp4.Track{{Codec: mp4.H264, Width: width}}
		return s
	}
	for name, c := range map[string]struct {
		row  []Source
		want []extent // seconds
	}{
		"one behind the other": {
			[]Source{segment(1, 10, 60, 640), segment(1, 60.1, 120, 640), segment(2, 125, 180, 640)},
			[]extent{{20, 150}},
		},
		"a long gap": {
			[]Source{segment(1, 10, 60, 640), segment(1, 80, 120, 640)},
			[]extent{{20, 60}, {80, 120}},
		},
		"another size": {
			[]Source{segment(1, 10, 60, 640), segment(1, 60, 120, 1920), segment(1, 120, 180, 1920)},
			[]extent{{20, 60}, {60, 150}},
		},
		"the clock was set back": {
			[]Source{segment(1, 10, 60, 640), segment(2, 30, 90, 640), segment(1, 60, 80, 640), segment(2, 90, 150, 640)},
			[]extent{{20, 80}, {30, 150}},
		},
	} {
		e := Export{FromUs: 20e6, ToUs: 150e6, Apart: 10 * time.Second}
		var got []extent
		for _, row := range rows(c.row) {
			for _, p := range e.part(row) {
				got = append(got, extent{p.FromUs / 1e6, p.ToUs / 1e6})
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: pieces %v, want %v", name, got, c.want)
		}
	}
}

func TestHoles(t *testing.T) {
	for _, c := range []struct {
		ranges, want []extent
	}{
		{nil, []extent{{10, 20}}},
		{[]extent{{0, 30}}, nil},
		{[]extent{{15, 17}, {5, 12}, {11, 13}}, []extent{{13, 15}, {17, 20}}},
		{[]extent{{25, 30}}, []extent{{10, 20}, {20, 20}}[:1]},
	} {
		if got := holes(c.ranges, 10, 20); !slices.Equal(got, c.want) {
			t.Errorf("holes of %v = %v, want %v", c.ranges, got, c.want)
		}
	}
}

package scrub

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/shared/evidence"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a disk with whole segments, in a ledger, and a scrubber that is in a hurry.
type rig struct {
	*testing.T
	dir    string
	ledger *ledger.Ledger
	disk   *disk.Disk
	board  *health.Board
	stream id.Stream
	rows   []ledger.Segment
	stop   func()
}

func newRig(t *testing.T, segments int) *rig {
	r := &rig{T: t, dir: t.TempDir(), stream: id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}, stop: func() {}}
	log := slog.New(slog.DiscardHandler)
	var err error
	r.ledger, err = ledger.Open(t.Context(), filepath.Join(r.dir, "ledger.db"), log)
	r.must(err)
	r.board = health.NewBoard(func() int64 { return time.Now().UnixMicro() }, nil)
	r.disk, err = disk.Open(disk.Config{
		Volumes: []disk.Volume{{Path: filepath.Join(r.dir, "video"), Create: true, Free: 1}}, State: filepath.Join(r.dir, "volumes.json"), Look: time.Hour,
	}, nil, log)
	r.must(err)
	for range segments {
		r.record()
	}
	t.Cleanup(func() {
		r.stop()
		r.must(r.disk.Close())
		r.must(r.ledger.Close())
	})
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// record adds a segment of three seconds behind the last.
func (r *rig) record() {
	r.Helper()
	n := r.ledger.NextSegment()
	file, err := r.disk.Create(n)
	r.must(err)
	row := ledger.Segment{ID: n, Volume: file.Volume(), Stream: r.stream, Run: 1, StartUs: 1_000_000_000 + int64(n)*3_000_000, Parts: 3}
	row.EndUs = row.StartUs + 3_000_000
	h := mp4.Header{
		Segment: n, Site: "site-test", Camera: string(r.stream.Camera), Stream: "main", Run: 1, StartUs: row.StartUs, MonoUs: int64(n) * 3_000_000, Base: []int64{0},
		Tracks: []mp4.Track{{Codec: mp4.H264, Timescale: 90000, SPS: []byte{0x67, 0x42, 0xc0, 0x28, 0xd9}, PPS: []byte{0x68, 0xcb, 0x83}, Width: 640, Height: 360}},
	}
	init, err := mp4.AppendInit(nil, h)
	r.must(err)
	b, err := mp4.NewPartBuilder(h)
	r.must(err)
	content := append([]byte{}, init...)
	var parts []mp4.PartSum
	for i := range int64(3) {
		b.Reset(uint32(i+1), row.StartUs+i*1_000_000, h.MonoUs+i*1_000_000)
		for k := range int64(10) {
			r.must(b.Add(mp4.Sample{
				DTS: i*90000 + k*9000, Duration: 9000, Key: k == 0, Units: [][]byte{append([]byte{0x65}, make([]byte, 500)...)},
			}))
		}
		var sum mp4.PartSum
		content, sum = b.AppendTo(content)
		parts = append(parts, sum)
	}
	st := mp4.NewStatement(h, init, parts)
	_, key, err := ed25519.GenerateKey(nil)
	r.must(err)
	signed, err := evidence.Sign(st, key)
	r.must(err)
	content = mp4.AppendSeal(content, mp4.Seal{Signed: signed, InitSize: int64(len(init)), Parts: parts})
	_, err = file.Write(content)
	r.must(err)
	r.must(file.Close())
	row.Bytes, row.Root = int64(len(content)), st.Root
	_, err = r.ledger.CloseSegment(r.Context(), row, nil)
	r.must(err)
	r.rows = append(r.rows, row)
}

func (r *rig) path(segment uint64) string {
	return filepath.Join(r.dir, "video", "video", "000000000000", fmt.Sprintf("%016x.mp4", segment))
}

// scrub starts a scrubber; it ends with the test or when another is started.
func (r *rig) scrub(cfg Config) {
	r.stop()
	for _, d := range []*time.Duration{&cfg.First, &cfg.Pause} {
		*d = time.Millisecond
	}
	if cfg.Again == 0 {
		cfg.Again, cfg.Doubt = 300*time.Millisecond, 100*time.Millisecond
	}
	if cfg.Rate == 0 {
		cfg.Rate = 1 << 40
	}
	s := New(cfg, Floors{Ledger: r.ledger, Disk: r.disk, Board: r.board, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := s.Run(ctx); err != nil {
			r.Error(err)
		}
	})
	r.stop = func() { cancel(); done.Wait(); r.stop = func() {} }
}

// says waits until the condition is in a state and its text has words in it.
func (r *rig) says(state wire.State, words string) {
	r.Helper()
	limit := time.After(30 * time.Second)
	for {
		changed := r.board.Changed()
		var last health.Condition
		for _, c := range r.board.Conditions() {
			if c.Name == "scrub" {
				last = c
			}
		}
		if last.State == state && strings.Contains(last.Text, words) {
			return
		}
		select {
		case <-changed:
		case <-limit:
			r.Fatalf("the condition is %+v, want %s with %q", last, state, words)
		}
	}
}

func TestASoundDisk(t *testing.T) {
	r := newRig(t, 5)
	open := ledger.OpenSegment{ID: r.ledger.NextSegment(), Volume: r.rows[0].Volume, Stream: r.stream, Run: 1, StartUs: 5_000_000_000}
	file, err := r.disk.Create(open.ID)
	r.must(err)
	r.must(file.Close())
	r.must(r.ledger.BeginSegment(t.Context(), open, nil))
	r.must(r.ledger.Condemn(t.Context(), r.rows[:1], wire.Expired)) // garbage whose file is there
	r.scrub(Config{})
	r.says(wire.OK, "")
	if rows, err := r.ledger.SegmentsAfter(t.Context(), 0, 100); err != nil || len(rows) != 4 {
		t.Errorf("%d segments are left, %v", len(rows), err)
	}
}

// Single files that are gone are declared lost, and the cloud is told.
func TestAFileThatIsGone(t *testing.T) {
	r := newRig(t, 4)
	r.must(os.Remove(r.path(r.rows[1].ID)))
	r.scrub(Config{})
	r.says(wire.OK, "")
	ranges, err := r.ledger.Coverage(t.Context(), r.stream, r.rows[0].StartUs, r.rows[3].EndUs)
	if err != nil || len(ranges) != 3 || ranges[1].Recorded || ranges[1].Gap.Reason != wire.Lost || ranges[1].StartUs != r.rows[1].StartUs {
		t.Errorf("coverage %+v, %v", ranges, err)
	}
	if garbage, err := r.ledger.Garbage(t.Context()); err != nil || len(garbage) > 0 {
		t.Errorf("garbage %v, %v", garbage, err)
	}
}

// Many at once look like somebody's doing: nothing is declared, and it is well again when they come back.
func TestAFolderThatIsGone(t *testing.T) {
	r := newRig(t, 6)
	folder := filepath.Dir(r.path(1))
	r.must(os.Rename(folder, folder+"-away"))
	r.scrub(Config{Most: 3})
	r.says(wire.Failing, "6 files of recorded video are gone")
	r.must(os.Rename(folder+"-away", folder))
	r.says(wire.OK, "")
	if rows, err := r.ledger.SegmentsAfter(t.Context(), 0, 100); err != nil || len(rows) != 6 {
		t.Errorf("%d segments are left, %v", len(rows), err)
	}
}

// A volume that is away takes nothing with it.
func TestAVolumeThatIsAway(t *testing.T) {
	r := newRig(t, 3)
	r.must(r.disk.Close())
	r.scrub(Config{})
	r.says(wire.OK, "")
	if rows, err := r.ledger.SegmentsAfter(t.Context(), 0, 100); err != nil || len(rows) != 3 {
		t.Errorf("%d segments are left, %v", len(rows), err)
	}
}

// A file that nobody knows counts when it is still unknown a while later.
func TestAFileThatNobodyKnows(t *testing.T) {
	r := newRig(t, 2)
	r.ledger.AtLeast(9)
	r.must(os.WriteFile(r.path(9), []byte("x"), 0o640))
	r.scrub(Config{})
	r.says(wire.Failing, "1 files of video are in no account")
	r.must(os.Remove(r.path(9)))
	r.says(wire.OK, "")
}

// A bit that turned is found, with its camera and time; it is remembered over a restart and forgotten with the segment.
func TestABitThatTurned(t *testing.T) {
	r := newRig(t, 3)
	hit := r.rows[1]
	b, err := os.ReadFile(r.path(hit.ID))
	r.must(err)
	b[len(b)/2] ^= 1
	r.must(os.WriteFile(r.path(hit.ID), b, 0o640))
	r.scrub(Config{})
	r.says(wire.Failing, "damaged 1 segments, the last that was found is of camera "+string(r.stream.Camera))
	r.stop()
	r.board = health.NewBoard(func() int64 { return time.Now().UnixMicro() }, nil)
	r.scrub(Config{Rate: 1}) // it can't read anything
	r.says(wire.Failing, "damaged 1 segments")
	b[len(b)/2] ^= 1
	r.must(os.WriteFile(r.path(hit.ID), b, 0o640))
	r.scrub(Config{})
	r.says(wire.OK, "")
}

// The rate is kept: three segments of 17 kB at 40 kB a second take a second at least.
func TestTheRateIsKept(t *testing.T) {
	r := newRig(t, 3)
	hit := r.rows[2]
	b, err := os.ReadFile(r.path(hit.ID))
	r.must(err)
	b[len(b)/2] ^= 1
	r.must(os.WriteFile(r.path(hit.ID), b, 0o640))
	begun := time.Now()
	r.scrub(Config{Rate: 40_000})
	r.says(wire.Failing, "damaged 1 segments")
	if took := time.Since(begun); took < time.Second {
		t.Errorf("it took %v", took)
	}
}

package disk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/health"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func config(dir string) Config {
	return Config{
		Volumes: []Volume{{Path: filepath.Join(dir, "v"), Create: true, Free: 1}}, State: filepath.Join(dir, "volumes.json"),
		Rest: time.Second,
	}
}

func open(t *testing.T, cfg Config) *Disk {
	t.Helper()
	d, err := Open(cfg, nil, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func write(t *testing.T, d *Disk, segment uint64, content []byte) *File {
	t.Helper()
	f, err := d.Create(segment)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	return f
}

func closeFile(t *testing.T, f *File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestAVolumeKeepsItsIdentity(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	first := open(t, cfg).Volumes()[0]
	if first.ID == "" || first.Err != nil || first.Total == 0 || first.Free == 0 {
		t.Fatalf("a new volume is %+v", first)
	}
	if again := open(t, cfg).Volumes()[0]; again.ID != first.ID || again.Err != nil {
		t.Errorf("the volume is %+v after another start", again)
	}
}

func TestVolumesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, dir string)
		words   string
	}{
		"bare mount point": {func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "v", identityFile))
		}, "is the disk mounted?"},
		"gone": {func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "v")); err != nil {
				t.Fatal(err)
			}
		}, "is the disk mounted?"},
		"another disk": {func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "v", identityFile), `{"id":"0123456789abcdef"}`)
		}, "another disk is mounted here"},
		"another agent's": {func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "volumes.json"))
		}, "the volume of another agent"},
		"damaged identity": {func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "v", identityFile), `{"id":`)
		}, "volume.json is damaged"},
		"damaged memory": {func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "volumes.json"), `nonsense`)
		}, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := config(dir)
			d := open(t, cfg)
			before := d.Volumes()[0].ID
			c.prepare(t, dir)
			listing := list(t, dir)
			d = open(t, cfg)
			v := d.Volumes()[0]
			if v.Err == nil || !strings.Contains(v.Err.Error(), c.words) {
				t.Fatalf("the volume is %+v, want a refusal with %q", v, c.words)
			}
			if _, err := d.Create(1); !errors.Is(err, ErrNoVolume) {
				t.Errorf("Create = %v", err)
			}
			if _, _, err := d.OpenRead(before, 1); !errors.Is(err, ErrAbsent) {
				t.Errorf("OpenRead = %v", err)
			}
			if now := list(t, dir); now != listing {
				t.Errorf("something was written: %s, before %s", now, listing)
			}
		})
	}
}

func TestAFolderWithVideoIsNoNewVolume(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "v", "video"), 0o755); err != nil {
		t.Fatal(err)
	}
	if v := open(t, config(dir)).Volumes()[0]; v.Err == nil || !strings.Contains(v.Err.Error(), "an empty folder only") {
		t.Errorf("the volume is %+v", v)
	}
	cfg := config(t.TempDir())
	cfg.Volumes[0].Create = false
	if v := open(t, cfg).Volumes()[0]; v.Err == nil {
		t.Error("a volume was begun without leave")
	}
}

// TestAFirstStartThatIsCutShort has the first start end after each of its steps; the next one must finish it.
func TestAFirstStartThatIsCutShort(t *testing.T) {
	whole := t.TempDir()
	name := open(t, config(whole)).Volumes()[0].ID
	known := fmt.Sprintf(`{%q:{"id":%q,"pending":true}}`, "PATH", name)
	for what, prepare := range map[string]func(dir string){
		"remembered, not written": func(dir string) {
			put(t, filepath.Join(dir, "volumes.json"), strings.ReplaceAll(known, "PATH", filepath.Join(dir, "v")))
		},
		"written, still pending": func(dir string) {
			put(t, filepath.Join(dir, "volumes.json"), strings.ReplaceAll(known, "PATH", filepath.Join(dir, "v")))
			if err := os.MkdirAll(filepath.Join(dir, "v"), 0o755); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "v", identityFile), fmt.Sprintf(`{"id":%q,"created_us":1}`, name))
		},
		"folder made": func(dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "v"), 0o755); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			prepare(dir)
			for range 2 {
				if v := open(t, config(dir)).Volumes()[0]; v.Err != nil || v.ID == "" {
					t.Fatalf("the volume is %+v", v)
				}
			}
			if text, err := os.ReadFile(filepath.Join(dir, "volumes.json")); err != nil || strings.Contains(string(text), `"pending"`) {
				t.Errorf("the agent remembers %s, %v", text, err)
			}
		})
	}
}

func TestTheSameVolumeTwice(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	open(t, cfg)
	if err := os.Symlink(filepath.Join(dir, "v"), filepath.Join(dir, "w")); err != nil {
		t.Skip("no symbolic links here")
	}
	text, err := os.ReadFile(cfg.State)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]record{}
	if err := json.Unmarshal(text, &known); err != nil {
		t.Fatal(err)
	}
	known[filepath.Join(dir, "w")] = known[filepath.Join(dir, "v")]
	if text, err = json.Marshal(known); err != nil {
		t.Fatal(err)
	}
	put(t, cfg.State, string(text))
	cfg.Volumes = append(cfg.Volumes, Volume{Path: filepath.Join(dir, "w"), Free: 1})
	vs := open(t, cfg).Volumes()
	if vs[0].Err != nil || vs[1].Err == nil || !strings.Contains(vs[1].Err.Error(), "list it once") {
		t.Errorf("volumes %+v", vs)
	}
}

func TestFilesGrowAndAreRead(t *testing.T) {
	dir := t.TempDir()
	d := open(t, config(dir))
	const segment = 0x12345_0003
	f := write(t, d, segment, []byte("one"))
	if _, err := f.Write([]byte("two")); err != nil {
		t.Fatal(err)
	}
	if f.Size() != 6 || f.Durable() != 0 {
		t.Errorf("size %d, durable %d", f.Size(), f.Durable())
	}
	if err := f.Flush(); err != nil || f.Durable() != 6 {
		t.Errorf("durable %d, %v", f.Durable(), err)
	}
	if _, err := d.Create(segment); err == nil {
		t.Error("a segment was created twice")
	}
	closeFile(t, f)
	closeFile(t, f)
	if _, err := os.Stat(filepath.Join(dir, "v", "video", "000000012345", "0000000123450003.mp4")); err != nil {
		t.Error(err)
	}
	r, size, err := d.OpenRead(f.Volume(), segment)
	if err != nil || size != 6 {
		t.Fatalf("%d bytes, %v", size, err)
	}
	got := make([]byte, 6)
	if _, err := r.ReadAt(got, 0); err != nil || string(got) != "onetwo" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	f, err = d.Reopen(f.Volume(), segment, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("four")); err != nil {
		t.Fatal(err)
	}
	if err := f.Flush(); err != nil || f.Durable() != 7 {
		t.Errorf("durable %d, %v", f.Durable(), err)
	}
	closeFile(t, f)
	if size, err := d.Size(f.Volume(), segment); err != nil || size != 7 {
		t.Errorf("size %d, %v", size, err)
	}
	if _, err := d.Reopen(f.Volume(), segment, 99); err == nil {
		t.Error("a file was reopened behind its end")
	}
	if _, err := d.Size(f.Volume(), 77); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("size of a file that is not there: %v", err)
	}
}

func TestARoundFlushesEverything(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d, err := Open(config(dir), nil, discard())
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var rounds []Round
		d.OnFlushed(func(r Round) {
			mu.Lock()
			defer mu.Unlock()
			rounds = append(rounds, r)
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := d.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		var files []*File
		for n := range uint64(40) {
			files = append(files, write(t, d, n+1, make([]byte, 100)))
		}
		<-time.After(1600 * time.Millisecond) // between two rounds
		for _, f := range files[:3] {
			if _, err := f.Write(make([]byte, 50)); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(3 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(rounds) != 2 || len(rounds[0].Files) != 40 || len(rounds[1].Files) != 3 {
			t.Fatalf("%d rounds: %+v", len(rounds), rounds)
		}
		if rounds[0].Files[39] != (Flushed{Segment: 40, Bytes: 100}) || rounds[1].Files[0] != (Flushed{Segment: 1, Bytes: 150}) {
			t.Errorf("rounds %+v", rounds)
		}
		if _, err := files[39].Write(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		mu.Unlock()
		cancel()
		running.Wait()
		mu.Lock()
		if len(rounds) != 3 || files[39].Durable() != 101 {
			t.Errorf("the end left bytes unflushed: %d rounds", len(rounds))
		}
		for _, f := range files {
			closeFile(t, f)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatIsWrittenIsSafeHalfASecondLater is what a power cut's cost stands on: a part of one second, half a second to
// its round, and the round.
func TestWhatIsWrittenIsSafeHalfASecondLater(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d, err := Open(config(dir), nil, discard())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := d.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		f := write(t, d, 1, make([]byte, 100))
		for range 7 {
			<-time.After(501 * time.Millisecond)
			synctest.Wait()
			if f.Durable() != f.Size() {
				t.Fatalf("half a second after it was written only %d of %d bytes are safe", f.Durable(), f.Size())
			}
			if _, err := f.Write(make([]byte, 50)); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		running.Wait()
		closeFile(t, f)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFileIsNeverFlushedAgainAfterAFailure(t *testing.T) {
	cfg := config(t.TempDir())
	flushes, failing := map[uint64]int{}, true
	var mu sync.Mutex
	cfg.Fault = func(op Op, segment uint64) error {
		if op != OpFlush {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		flushes[segment]++
		if failing && segment == 1 {
			return syscall.EIO
		}
		return nil
	}
	d := open(t, cfg)
	bad, good := write(t, d, 1, []byte("x")), write(t, d, 2, []byte("x"))
	var last Round
	d.OnFlushed(func(r Round) { last = r })
	d.volumes[0].flushRound()
	if len(last.Files) != 2 || !errors.Is(last.Files[0].Err, syscall.EIO) || last.Files[0].Bytes != 0 || last.Files[1].Err != nil {
		t.Fatalf("round %+v", last)
	}
	failing = false
	if _, err := bad.Write([]byte("y")); !errors.Is(err, ErrFailed) {
		t.Errorf("Write = %v", err)
	}
	if err := bad.Flush(); !errors.Is(err, ErrFailed) {
		t.Errorf("Flush = %v", err)
	}
	if _, err := good.Write([]byte("y")); err != nil {
		t.Errorf("another file suffers: %v", err)
	}
	d.volumes[0].flushRound()
	if flushes[1] != 1 || bad.Durable() != 0 || good.Durable() != 2 {
		t.Errorf("flushes %v, durable %d and %d", flushes, bad.Durable(), good.Durable())
	}
	closeFile(t, bad)
	closeFile(t, good)
}

func TestAfterAFailedWriteTheRestCanBeMadeSafe(t *testing.T) {
	cfg := config(t.TempDir())
	full := false
	cfg.Fault = func(op Op, _ uint64) error {
		if full && op == OpWrite {
			return syscall.ENOSPC
		}
		return nil
	}
	d := open(t, cfg)
	f := write(t, d, 1, []byte("safe"))
	full = true
	if _, err := f.Write([]byte("not")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write = %v", err)
	}
	full = false
	if _, err := f.Write([]byte("not")); !errors.Is(err, ErrFailed) {
		t.Errorf("Write after a failure = %v", err)
	}
	if err := f.Flush(); err != nil || f.Durable() != 4 {
		t.Errorf("durable %d, %v", f.Durable(), err)
	}
	closeFile(t, f)
}

func TestTheNextVolumeStepsIn(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	cfg.Volumes = append(cfg.Volumes, Volume{Path: filepath.Join(dir, "w"), Create: true, Free: 1})
	fail := false
	cfg.Fault = func(op Op, segment uint64) error {
		if fail && op == OpCreate && segment < 10 {
			return syscall.EIO
		}
		return nil
	}
	d := open(t, cfg)
	vs := d.Volumes()
	f := write(t, d, 1, []byte("x"))
	if f.Volume() != vs[0].ID {
		t.Error("the first volume is not the first choice")
	}
	closeFile(t, f)
	fail = true
	_, err := d.Create(2)
	if !errors.Is(err, ErrNoVolume) || !strings.Contains(err.Error(), cfg.Volumes[0].Path) || !strings.Contains(err.Error(), cfg.Volumes[1].Path) {
		t.Errorf("Create = %v, want the reasons of both volumes", err)
	}
	fail = false
	if _, err := d.Create(3); !errors.Is(err, ErrNoVolume) {
		t.Errorf("a volume gets a new file right after it failed: %v", err)
	}
	d.volumes[1].mu.Lock()
	d.volumes[1].restTill = time.Now()
	d.volumes[1].mu.Unlock()
	f = write(t, d, 3, []byte("x"))
	if f.Volume() != vs[1].ID {
		t.Error("the second volume did not step in")
	}
	closeFile(t, f)
}

func TestNoVideoGoesWhereTheAgentNeedsTheRoom(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	board := health.NewBoard(func() int64 { return 0 }, nil)
	d, err := Open(cfg, board, discard())
	if err != nil {
		t.Fatal(err)
	}
	f := write(t, d, 1, []byte("x"))
	d.volumes[0].mu.Lock()
	d.volumes[0].cfg.Free = d.volumes[0].total * 8 // a quarter of it is never free
	d.volumes[0].mu.Unlock()
	d.look()
	if _, err := f.Write([]byte("y")); !errors.Is(err, ErrFull) {
		t.Errorf("Write = %v", err)
	}
	if _, err := d.Create(2); !errors.Is(err, ErrFull) {
		t.Errorf("Create = %v", err)
	}
	if c := board.Conditions(); len(c) != 1 || c[0].State != wire.Failing || !strings.Contains(c[0].Text, "free") {
		t.Errorf("conditions %+v", c)
	}
	closeFile(t, f)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestAVolumeThatGoesAndComesBack(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	board := health.NewBoard(func() int64 { return 0 }, nil)
	d, err := Open(cfg, board, discard())
	if err != nil {
		t.Fatal(err)
	}
	state := func() wire.State {
		d.look()
		return board.Conditions()[0].State
	}
	if state() != wire.OK {
		t.Errorf("conditions %+v", board.Conditions())
	}
	volume, away := cfg.Volumes[0].Path, filepath.Join(dir, "away")
	if err := os.Rename(volume, away); err != nil {
		t.Fatal(err)
	}
	if state() != wire.Failing {
		t.Error("nobody noticed that the volume is gone")
	}
	if _, err := d.Create(1); !errors.Is(err, ErrNoVolume) {
		t.Errorf("Create = %v", err)
	}
	// An empty folder at its place is the bare mount point.
	if err := os.Mkdir(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	if state() != wire.Failing {
		t.Error("the bare mount point was taken for the volume")
	}
	if err := os.Remove(volume); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, volume); err != nil {
		t.Fatal(err)
	}
	if state() != wire.OK {
		t.Errorf("conditions %+v", board.Conditions())
	}
	closeFile(t, write(t, d, 1, []byte("x")))
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestRemoveIsVerified(t *testing.T) {
	cfg := config(t.TempDir())
	var stuck uint64
	cfg.Fault = func(op Op, segment uint64) error {
		if op == OpRemove && segment == stuck {
			return syscall.EPERM
		}
		return nil
	}
	d := open(t, cfg)
	segments := []uint64{1, 2, 0x20000, 0x20001, 0x30000}
	for _, s := range segments {
		closeFile(t, write(t, d, s, []byte("x")))
	}
	d = open(t, cfg) // folders in use now are not removed
	volume := d.Volumes()[0].ID
	stuck = 0x20000
	gone, err := d.Remove(volume, append(segments, 0x99)...)
	if err == nil || !slices.Equal(gone, []uint64{1, 2, 0x99, 0x20001, 0x30000}) {
		t.Errorf("gone %x, %v", gone, err)
	}
	var left []uint64
	if err := d.Scan(0, func(f Found) error {
		left = append(left, f.Segment)
		return nil
	}); err != nil || !slices.Equal(left, []uint64{0x20000}) {
		t.Errorf("left %x, %v", left, err)
	}
	folders, err := os.ReadDir(filepath.Join(cfg.Volumes[0].Path, "video"))
	if err != nil || len(folders) != 1 {
		t.Errorf("folders %v, %v", folders, err)
	}
	if _, err := d.Remove("0000000000000000", 1); !errors.Is(err, ErrAbsent) {
		t.Errorf("Remove on a volume that is not here = %v", err)
	}
}

func TestScanGoesFromTheNewest(t *testing.T) {
	d := open(t, config(t.TempDir()))
	segments := []uint64{5, 0x10005, 0x20005, 0x20009, 0xabcdef012345}
	for _, s := range segments {
		closeFile(t, write(t, d, s, nil))
	}
	folder := filepath.Join(d.volumes[0].cfg.Path, "video", "000000000002")
	for _, name := range []string{"0000000000020007.mp4.bak", "x.mp4", "0000000000030007.mp4", "000000000002000G.mp4"} {
		put(t, filepath.Join(folder, name), "")
	}
	var found []uint64
	if err := d.Scan(2, func(f Found) error {
		found = append(found, f.Segment)
		return nil
	}); err != nil || !slices.Equal(found, []uint64{0xabcdef012345, 0x20009, 0x20005}) {
		t.Errorf("found %x, %v", found, err)
	}
	stop := errors.New("enough")
	if err := d.Scan(0, func(Found) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Scan = %v", err)
	}
}

func TestPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Disk{}
		s, other := id.Stream{Camera: "a", Kind: id.Main}, id.Stream{Camera: "b", Kind: id.Main}
		release := d.Pin(s, 100, 200, time.Minute)
		for _, c := range []struct {
			stream   id.Stream
			from, to int64
			want     bool
		}{{s, 150, 160, true}, {s, 0, 101, true}, {s, 199, 300, true}, {s, 0, 100, false}, {s, 200, 300, false}, {other, 150, 160, false}} {
			if got := d.Pinned(c.stream, c.from, c.to); got != c.want {
				t.Errorf("Pinned(%v, %d, %d) = %v", c.stream, c.from, c.to, got)
			}
		}
		d.Pin(other, 0, 10, time.Second)
		release()
		release()
		if d.Pinned(s, 150, 160) {
			t.Error("a pin holds after it was released")
		}
		<-time.After(2 * time.Second)
		if d.Pinned(other, 0, 10) || len(d.pins.rows) != 0 {
			t.Error("a pin outlives its time")
		}
	})
}

func TestConfigReportsEveryFault(t *testing.T) {
	c := Config{Volumes: []Volume{{Path: "relative"}, {Path: "/a", Free: -1}, {Path: "/a/"}}}
	err := c.Validate()
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 4 {
		t.Errorf("Validate = %v, want four faults", err)
	}
	if _, err := Open(c, nil, discard()); err == nil {
		t.Error("Open took a configuration full of faults")
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// list returns the names and sizes of all that is in a folder.
func list(t *testing.T, dir string) string {
	t.Helper()
	var b bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() {
			fmt.Fprintln(&b, path, info.Size())
		} else if err == nil {
			fmt.Fprintln(&b, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestAVolumeRestoredFromAnImageIsNoticed: the same volume in an older state is told by how often it was opened.
func TestAVolumeRestoredFromAnImageIsNoticed(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	first := open(t, cfg)
	closeFile(t, write(t, first, 1, []byte("x")))
	image := filepath.Join(dir, "image")
	if err := os.CopyFS(image, os.DirFS(cfg.Volumes[0].Path)); err != nil {
		t.Fatal(err)
	}
	if v := open(t, cfg).Volumes()[0]; v.Older || v.Err != nil {
		t.Errorf("after an ordinary start the volume is %+v", v)
	}
	if err := errors.Join(os.RemoveAll(cfg.Volumes[0].Path), os.Rename(image, cfg.Volumes[0].Path)); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(cfg.Volumes[0].Path, ".volume.json.123"), "half") // a write of it was cut short
	board := health.NewBoard(func() int64 { return 0 }, nil)
	d, err := Open(cfg, board, discard())
	if err != nil {
		t.Fatal(err)
	}
	v := d.Volumes()[0]
	if !v.Older || v.Err != nil {
		t.Errorf("after a restored image the volume is %+v", v)
	}
	if c := board.Conditions()[0]; c.State != wire.Failing || !strings.Contains(c.Text, "older state of itself") {
		t.Errorf("condition %+v", c)
	}
	if _, err := os.Stat(filepath.Join(cfg.Volumes[0].Path, ".volume.json.123")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a left-over is still there: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	d = open(t, cfg)
	if !d.Volumes()[0].Older {
		t.Error("another start has forgotten it, and nobody has compared the volume")
	}
	if err := d.Compared(v.ID); err != nil {
		t.Error(err)
	}
	if d.Volumes()[0].Older || open(t, cfg).Volumes()[0].Older {
		t.Error("it is still said to be older after it was compared")
	}
}

// TestAFileThatCouldNotBeMadeLeavesNothing: one that can't be removed at once is removed when the disk is well again.
func TestAFileThatCouldNotBeMadeLeavesNothing(t *testing.T) {
	cfg := config(t.TempDir())
	sick := true
	cfg.Fault = func(op Op, segment uint64) error {
		if sick && segment > 0 && (op == OpFolder || op == OpRemove) {
			return syscall.EROFS
		}
		return nil
	}
	d := open(t, cfg)
	sick = false
	closeFile(t, write(t, d, 1, []byte("x"))) // the folder is there
	sick = true
	if _, err := d.Create(2); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Create = %v", err)
	}
	if _, err := d.Size(d.Volumes()[0].ID, 2); err != nil {
		t.Errorf("the test has nothing to clear: %v", err)
	}
	d.look()
	sick = false
	d.look()
	if _, err := d.Size(d.Volumes()[0].ID, 2); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

package record

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/agent/retain"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/testenv/crashfs"
)

const (
	beat   = 200 * time.Millisecond // between two frames of these cameras
	beatUs = int64(beat / time.Microsecond)
)

// shot is one frame that a camera made, and what the recorder has said of it.
type shot struct {
	wallUs int64
	life   int
}

// victim is a site whose power is cut again and again: volumes in memory, a real ledger, and what was filmed.
type victim struct {
	t       testing.TB
	chance  *rand.Rand
	fs      *crashfs.FS
	folder  string // of the ledger now
	next    string // its folder after the cut
	key     ed25519.PrivateKey
	streams []id.Stream
	shots   [][]shot        // of each stream
	safeUs  []map[int]int64 // up to here each stream was said to be safe at the end of each life
	began   int64
	lives   int
	said    lines
	volumes int
	max     int64 // bytes of video on a volume
	trimmed int   // ranges that had been deleted when the life began

	*life
}

// life is the time between two cuts.
type life struct {
	ledger *ledger.Ledger
	disk   *disk.Disk
	clock  *media.Clock
	hubs   []*media.Hub
	params []*media.Params
	rec    *Recorder
	sweep  *retain.Sweeper
	stop   context.CancelFunc
	done   sync.WaitGroup
	begun  bool
	err    error // of Begin, of Run or of the sweeper
}

func newVictim(t testing.TB, seed uint64, streams, volumes int) *victim {
	_, key, _ := ed25519.GenerateKey(nil)
	v := &victim{
		t: t, chance: rand.New(rand.NewPCG(seed, 3)), key: key, folder: ramFolder(t), volumes: volumes,
		shots: make([][]shot, streams), safeUs: make([]map[int]int64, streams), max: 250_000,
	}
	if volumes > 1 {
		v.max = 0 // what retention takes from one volume alone would lie in the middle of what the other one holds
	}
	v.fs = crashfs.New(v.chance.IntN)
	if err := v.fs.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	for i := range streams {
		v.safeUs[i] = map[int]int64{}
		v.streams = append(v.streams, id.Stream{Camera: id.Camera(fmt.Sprintf("cam-%d", i)), Kind: id.Main})
	}
	return v
}

// ramFolder returns a folder in memory where there is one: SQLite flushes at every commit.
func ramFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-crash-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start begins a life. It returns false when everything stopped before recording had begun.
func (v *victim) start() bool {
	v.life = &life{}
	v.lives++
	l := v.life
	v.fs.OnCut = func() { v.freeze(l) }
	ready := make(chan struct{})
	l.done.Go(func() {
		defer close(ready)
		l.err = v.begin(l)
	})
	select {
	case <-ready:
		if l.err != nil && !errors.Is(l.err, crashfs.ErrPower) {
			v.t.Errorf("start: %v", l.err)
		}
		if l.begun = l.err == nil; l.begun && v.began == 0 {
			v.began = l.clock.Wall(0)
		}
	case <-v.fs.Dark():
	}
	return l.begun
}

// begin opens everything in the order in which the agent does.
func (v *victim) begin(l *life) (err error) {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(&v.said, nil))
	cfg := disk.Config{State: "/data/volumes.json", FS: v.fs, Rest: time.Second}
	for i := range v.volumes {
		cfg.Volumes = append(cfg.Volumes, disk.Volume{Path: fmt.Sprintf("/v%d", i+1), Create: true, Free: 1, Max: v.max})
	}
	if l.disk, err = disk.Open(cfg, nil, log); err != nil {
		return err
	}
	holds, err := retain.OpenHolds(filepath.Join(v.folder, "holds.json"))
	if err != nil {
		return err
	}
	gone, err := retain.Reclaim(l.disk, holds, log)
	if err != nil {
		log.Error("reclaim", "error", err)
	}
	if l.ledger, err = ledger.Open(ctx, filepath.Join(v.folder, "ledger.db"), log); err != nil {
		return err
	}
	v.trimmed = len(v.trims())
	l.clock = media.NewClock()
	rc := Config{
		Site: "site", Key: v.key, BootID: fmt.Sprint("boot-", v.lives/2), Version: "test", Segment: 3 * time.Second, Part: 600 * time.Millisecond,
		Retry: backoff.Policy{Min: 200 * time.Millisecond, Cap: time.Second},
	}
	for _, s := range v.streams {
		l.hubs = append(l.hubs, media.NewHub(s))
		l.params = append(l.params, params(false))
	}
	rc.Hubs = l.hubs
	if l.rec, err = New(rc, Floors{Ledger: l.ledger, Disk: l.disk, Clock: l.clock, Log: log}); err != nil {
		return err
	}
	if l.sweep, err = retain.New(retain.Config{Every: 2 * time.Second}, holds, retain.Floors{Ledger: l.ledger, Disk: l.disk, Clock: l.clock, Log: log}); err != nil {
		return err
	}
	if err := l.sweep.Forget(ctx, gone); err != nil {
		return err
	}
	return l.rec.Begin(ctx)
}

// live starts what records.
func (v *victim) live() {
	l := v.life
	ctx, cancel := context.WithCancel(context.Background())
	flush, stopFlush := context.WithCancel(context.Background())
	l.stop = cancel
	l.done.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { l.err = errors.Join(l.err, l.rec.Run(ctx)) })
		both.Go(func() {
			if err := l.sweep.Run(ctx); err != nil {
				v.t.Errorf("sweep: %v", err)
			}
		})
		both.Wait()
		stopFlush()
	})
	l.done.Go(func() { _ = l.disk.Run(flush) })
}

// over waits until the life has ended, or the power is gone.
func (v *victim) over() {
	ended := make(chan struct{})
	l := v.life
	go func() {
		l.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-v.fs.Dark():
	}
}

// film lets every camera make frames for so long, or until everything stops.
func (v *victim) film(d time.Duration) {
	for range int(d / beat) {
		for i := range v.streams {
			v.shoot(i)
		}
		select {
		case <-time.After(beat):
		case <-v.fs.Dark():
			return
		}
	}
}

func (v *victim) shoot(i int) {
	n := len(v.shots[i])
	mono := v.clock.Mono()
	first := n == 0 || v.shots[i][n-1].life != v.lives
	unit := drawn(i, n)
	key := first || n%5 == 0
	unit[0] = 0x41
	if key {
		unit[0] = 0x65
	}
	v.hubs[i].Write(media.Frame{
		Params: v.params[i], PTS: mono * 9 / 100, DTS: mono * 9 / 100, MonoUs: mono, Key: key, Units: [][]byte{unit}, Bytes: len(unit),
	})
	v.shots[i] = append(v.shots[i], shot{wallUs: v.clock.Wall(mono), life: v.lives})
}

// drawn returns the bytes of frame n of stream i: from 200 to 3,000 of them, different for every frame.
func drawn(i, n int) []byte {
	chance := rand.NewChaCha8([32]byte{byte(i), byte(n), byte(n >> 8), byte(n >> 16), 7})
	unit := make([]byte, 200+int(chance.Uint64()%2800))
	_, _ = chance.Read(unit) // it never fails
	binary.BigEndian.PutUint64(unit[1:], uint64(n))
	return unit
}

// freeze keeps what the recorder has said and what the ledger holds at the moment of the cut.
func (v *victim) freeze(l *life) {
	if l.begun {
		for i, s := range v.streams {
			v.safeUs[i][v.lives] = l.rec.Durable(s)
		}
	}
	v.next = ramFolder(v.t)
	if err := crashfs.CutLedger(filepath.Join(v.folder, "ledger.db"), v.next, v.chance); err != nil {
		v.t.Error(err)
	}
}

// cut ends the life: by a power cut that keeps so many per cent of what was not flushed, or, with more than 100, by
// killing the process.
func (v *victim) cut(keep int) {
	v.t.Helper()
	v.fs.Cut()
	l := v.life
	after := v.fs.Kill()
	if keep <= 100 {
		after = v.fs.Crash(v.chance, keep)
	}
	for _, o := range v.fs.Offences() {
		v.t.Error(o)
	}
	if l.stop != nil {
		l.stop()
	}
	l.done.Wait()
	v.close()
	if err := os.RemoveAll(v.folder); err != nil {
		v.t.Fatal(err)
	}
	v.folder, v.fs = v.next, after
}

// close lets go of disk and ledger, as far as they were opened.
func (v *victim) close() {
	if v.disk != nil {
		_ = v.disk.Close() // the power may be gone
	}
	if v.ledger != nil {
		if err := v.ledger.Close(); err != nil {
			v.t.Errorf("close ledger: %v", err)
		}
	}
}

// end ends the life in order, and looks at everything once more.
func (v *victim) end() {
	v.t.Helper()
	l := v.life
	l.stop()
	l.done.Wait()
	if l.err != nil {
		v.t.Errorf("run: %v", l.err)
	}
	v.verify()
	if open, err := l.ledger.OpenSegments(context.Background()); err != nil || len(open) > 0 {
		v.t.Errorf("%d segments are still open, %v", len(open), err)
	}
	v.close()
	for _, o := range v.fs.Offences() {
		v.t.Error(o)
	}
}

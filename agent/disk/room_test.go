package disk

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheDiskAsksForRoom: retention is called when what is written comes near the reserve, not at its next turn.
func TestTheDiskAsksForRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, config(dir))
		var calls atomic.Int64
		d.OnLow(func() { calls.Add(1) })
		d.look()
		v := d.volumes[0]
		v.mu.Lock()
		v.cfg.Free = v.free - 1000 // the reserve begins a thousand bytes from here
		v.mu.Unlock()
		f := write(t, d, 1, make([]byte, 900))
		if n := calls.Load(); n != 0 {
			t.Errorf("%d calls before the reserve is touched", n)
		}
		for range 100 {
			if _, err := f.Write(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls in one moment, want one", n)
		}
		<-time.After(2 * nag)
		if _, err := f.Write(make([]byte, 100)); err != nil || calls.Load() != 2 {
			t.Errorf("%d calls, %v; want another one after a while", calls.Load(), err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestTheReserveGrowsWithTheRate: what is written in ten seconds is the least that stays free.
func TestTheReserveGrowsWithTheRate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, config(dir))
		f := write(t, d, 1, make([]byte, 10))
		<-time.After(time.Second)
		d.look()
		for range 5 {
			if _, err := f.Write(make([]byte, 2_000_000)); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		d.look()
		if got := d.Volumes()[0].Reserve; got < 19_000_000 || got > 21_000_000 {
			t.Errorf("the reserve is %d bytes at 2 MB a second, want those of ten seconds", got)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAFullVolumeIsTriedAgainSoon: no room is no broken disk, and the system's word counts for more than what was
// measured.
func TestAFullVolumeIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := config(dir)
		cfg.Rest = time.Hour
		var full atomic.Bool
		cfg.Fault = func(op Op, segment uint64) error {
			if op == OpCreate && full.Load() {
				return syscall.ENOSPC
			}
			return nil
		}
		d := open(t, cfg)
		var calls atomic.Int64
		d.OnLow(func() { calls.Add(1) })
		f := write(t, d, 1, []byte("x"))
		full.Store(true)
		_, err := d.Create(2)
		if !errors.Is(err, ErrFull) || !errors.Is(err, ErrNoVolume) || !d.Volumes()[0].Refused || calls.Load() != 1 {
			t.Fatalf("Create = %v, refused %v, %d calls for room", err, d.Volumes()[0].Refused, calls.Load())
		}
		full.Store(false)
		if _, err := d.Create(3); !errors.Is(err, ErrFull) {
			t.Errorf("Create at once = %v, want it still full", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if _, err := d.Remove(d.Volumes()[0].ID, 1); err != nil {
			t.Fatal(err)
		}
		if f, err = d.Create(4); err != nil || d.Volumes()[0].Refused {
			t.Fatalf("Create after something was removed = %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatMustBeKeptRefusesNewVideo(t *testing.T) {
	t.Parallel()
	d := open(t, config(t.TempDir()))
	f := write(t, d, 1, []byte("x"))
	id := d.Volumes()[0].ID
	d.Hold(id, true)
	if _, err := d.Create(2); !errors.Is(err, ErrHeld) || !errors.Is(err, ErrFull) {
		t.Errorf("Create = %v, want ErrHeld", err)
	}
	if _, err := f.Write([]byte("y")); err != nil {
		t.Errorf("a file that is open can't be finished: %v", err)
	}
	d.Hold(id, false)
	g := write(t, d, 3, []byte("z"))
	if err := errors.Join(f.Close(), g.Close()); err != nil {
		t.Error(err)
	}
}

func TestAMissingRightNamesTheUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	var denied atomic.Bool
	cfg.Fault = func(op Op, _ uint64) error {
		if op == OpCreate && denied.Load() {
			return &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}
		}
		return nil
	}
	d := open(t, cfg)
	denied.Store(true)
	_, err := d.Create(1)
	if want := "chown -R"; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Join(dir, "v")) {
		t.Errorf("Create = %v, want a sentence with %q and the folder", err, want)
	}
}

package crashfs

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"testing"

	"holdfast/agent/disk"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file and writes text to it.
func write(t *testing.T, r disk.Root, name string, text []byte) disk.Handle {
	t.Helper()
	f, err := r.Create(name)
	must(t, err)
	_, err = f.WriteAt(text, 0)
	must(t, err)
	return f
}

// content returns what a file holds, nil when there is none.
func content(t *testing.T, s *FS, name string) []byte {
	t.Helper()
	r, err := s.OpenRoot("/")
	must(t, err)
	f, err := r.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	return b
}

func TestACutTakesWhatWasNotFlushed(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 1))
	s := New(chance.IntN)
	r, err := s.OpenRoot("/")
	must(t, err)
	flushed := write(t, r, "flushed", []byte("abc"))
	must(t, flushed.Sync())
	must(t, r.Sync("."))
	write(t, r, "no name", []byte("abc"))
	_, err = flushed.WriteAt([]byte("def"), 3)
	must(t, err)
	must(t, r.Remove("no name"))
	named := write(t, r, "no bytes", bytes.Repeat([]byte("x"), 9000))
	must(t, r.Sync("."))
	must(t, named.Truncate(5))
	must(t, s.Replace("/state", []byte("new"), 0o600))
	after := s.Crash(chance, 0)
	for name, want := range map[string]string{"flushed": "abc", "no name": "", "no bytes": "", "state": "new"} {
		if got := content(t, after, name); string(got) != want {
			t.Errorf("%s holds %q after the cut, want %q", name, got, want)
		}
	}
	if got := content(t, s.Kill(), "flushed"); string(got) != "abcdef" {
		t.Errorf("after a kill there is %q", got)
	}
	s.Cut()
	if _, err := r.Size("flushed"); !errors.Is(err, ErrPower) {
		t.Errorf("without power Size = %v", err)
	}
}

// TestLaterWritesMaySurviveEarlierOnes: blocks are kept, lost and torn independently of each other.
func TestLaterWritesMaySurviveEarlierOnes(t *testing.T) {
	var reordered, torn bool
	for seed := range uint64(200) {
		chance := rand.New(rand.NewPCG(seed, 2))
		s := New(chance.IntN)
		r, err := s.OpenRoot("/")
		must(t, err)
		f := write(t, r, "f", make([]byte, 3*block))
		must(t, errors.Join(f.Sync(), r.Sync(".")))
		_, err = f.WriteAt(bytes.Repeat([]byte("x"), 3*block), 0)
		must(t, err)
		b := content(t, s.Crash(chance, 50), "f")
		reordered = reordered || b[0] == 0 && b[2*block] == 'x'
		torn = torn || b[0] == 'x' && b[block-1] == 0
	}
	if !reordered || !torn {
		t.Errorf("in 200 cuts writes were reordered: %v, torn: %v", reordered, torn)
	}
}

// TestAFailedFlushIsNotMadeGoodByAnother: what it dropped counts as clean, and comes to the platter only when written
// again.
func TestAFailedFlushIsNotMadeGoodByAnother(t *testing.T) {
	s := New(func(int) int { return 1 }) // the failing flush writes nothing
	r, err := s.OpenRoot("/")
	must(t, err)
	f := write(t, r, "f", []byte("abc"))
	must(t, r.Sync("."))
	s.Fault = func(op Op) error {
		if op.Kind == "sync" {
			return syscall.EIO
		}
		return nil
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Sync = %v", err)
	}
	s.Fault = nil
	must(t, f.Sync())
	if len(s.Offences()) != 1 {
		t.Errorf("offences %q, want one", s.Offences())
	}
	none := rand.New(rand.NewPCG(1, 1))
	if got := content(t, s.Crash(none, 0), "f"); string(got) == "abc" {
		t.Error("the second flush has brought it to the platter")
	}
	_, err = f.WriteAt([]byte("abc"), 0)
	must(t, errors.Join(err, f.Sync()))
	if got := content(t, s.Crash(none, 0), "f"); string(got) != "abc" {
		t.Errorf("after writing it again the platter holds %q", got)
	}
}

func TestAFullDiskTakesAPart(t *testing.T) {
	s := New(func(int) int { return 0 })
	s.Capacity = 10
	r, err := s.OpenRoot("/")
	must(t, err)
	f := write(t, r, "f", make([]byte, 8))
	if n, err := f.WriteAt(make([]byte, 5), 8); n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("WriteAt = %d, %v", n, err)
	}
	must(t, r.Remove("f"))
	if u, err := s.Usage("/"); err != nil || u.Free != 10 {
		t.Errorf("Usage = %+v, %v", u, err)
	}
}

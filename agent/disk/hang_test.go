package disk

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/health"
	"holdfast/shared/wire"
)

// deaf is the system's file system on which one folder does not answer while gate is closed.
type deaf struct {
	osFS
	path string

	mu   sync.Mutex
	gate chan struct{} // nil: it answers
}

func (d *deaf) set(gate chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate = gate
}

func (d *deaf) OpenRoot(path string) (Root, error) {
	d.mu.Lock()
	gate := d.gate
	d.mu.Unlock()
	if path == d.path && gate != nil {
		<-gate
	}
	return d.osFS.OpenRoot(path)
}

// TestADiskThatDoesNotAnswerKeepsNobodyWaiting: the other volumes are looked at, written, read and cleared as before, the
// board says which one it is, and when it answers again it is used again.
func TestADiskThatDoesNotAnswerKeepsNobodyWaiting(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := config(dir)
		cfg.Volumes = append(cfg.Volumes, Volume{Path: filepath.Join(dir, "w"), Create: true, Free: 1})
		sys := &deaf{path: cfg.Volumes[0].Path}
		cfg.FS = sys
		board := health.NewBoard(func() int64 { return 0 }, nil)
		d, err := Open(cfg, board, discard())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = d.Run(ctx) })
		first, second := d.Volumes()[0].ID, d.Volumes()[1].ID
		closeFile(t, write(t, d, 1, []byte("x")))
		gate := make(chan struct{})
		sys.set(gate)
		<-time.After(20 * time.Second)
		if c := board.Conditions()[0]; c.State != wire.Failing || !strings.Contains(c.Text, cfg.Volumes[0].Path) || !strings.Contains(c.Text, "does not answer") {
			t.Errorf("condition %+v", c)
		}
		f := write(t, d, 2, []byte("x"))
		if f.Volume() != second {
			t.Errorf("a new file went to the disk that does not answer")
		}
		closeFile(t, f)
		if _, err := d.Remove(first, 1); !errors.Is(err, ErrAbsent) {
			t.Errorf("Remove on the disk that does not answer = %v", err)
		}
		n := 0
		if err := d.Scan(0, func(f Found) error { n++; return nil }); err != nil || n != 1 {
			t.Errorf("Scan found %d files, %v; want the one on the disk that answers", n, err)
		}
		// The other one is still looked at.
		remove(t, filepath.Join(dir, "w", identityFile))
		<-time.After(12 * time.Second)
		if v := d.Volumes()[1]; v.Err == nil {
			t.Error("nobody has noticed that the other volume lost its identity")
		}
		close(gate)
		sys.set(nil)
		<-time.After(12 * time.Second)
		if v := d.Volumes()[0]; v.Err != nil {
			t.Errorf("it answers again, and is still not used: %v", v.Err)
		}
		f = write(t, d, 3, []byte("x"))
		if f.Volume() != first {
			t.Error("it answers again and gets no file")
		}
		closeFile(t, f)
		cancel()
		running.Wait()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAStartDoesNotWaitForADiskThatDoesNotAnswer: the other volume takes the video meanwhile.
func TestAStartDoesNotWaitForADiskThatDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := config(dir)
		cfg.Volumes = append(cfg.Volumes, Volume{Path: filepath.Join(dir, "w"), Create: true, Free: 1})
		gate := make(chan struct{})
		cfg.FS = &deaf{path: cfg.Volumes[0].Path, gate: gate}
		began := time.Now()
		d, err := Open(cfg, nil, discard())
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("the start took %v", took)
		}
		f := write(t, d, 1, []byte("x"))
		if f.Volume() == "" || f.Volume() != d.Volumes()[1].ID {
			t.Errorf("the file is on %q", f.Volume())
		}
		closeFile(t, f)
		close(gate)
		synctest.Wait()
		if v := d.Volumes()[0]; v.Err != nil || v.ID == "" {
			t.Errorf("the volume that answers at last is %+v", v)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

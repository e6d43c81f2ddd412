package ledger

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/testenv/smalldisk"
)

// stuff fills a folder's disk to the last byte and returns the file that did.
func stuff(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "stuffing")
	f, err := os.Create(path)
	must(t, err)
	for _, size := range []int{1 << 20, 4096} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !noRoom(err) {
		t.Fatalf("the disk is not full: %v", err)
	}
	must(t, f.Close())
	return path
}

// TestTheLedgerIsNotTheFirstToFail fills a real disk under the ledger.
func TestTheLedgerIsNotTheFirstToFail(t *testing.T) {
	dir := smalldisk.Mount(t, smalldisk.Bytes(160<<20))
	path := filepath.Join(dir, "ledger.db")
	l := openAt(t, path)
	if here, err := l.KeepBallast(64 << 20); !here || err != nil {
		t.Fatalf("KeepBallast = %v, %v", here, err)
	}
	if info, err := os.Stat(ballastOf(path)); err != nil || info.Size() != 10<<20 {
		t.Fatalf("the ballast is %v, %v; want a sixteenth of the disk", info, err)
	}
	stuffing := stuff(t, dir)
	must(t, l.Close()) // the engine's files go: what follows needs room for them
	l, err := Open(t.Context(), path, slog.New(slog.DiscardHandler))
	must(t, err)
	for range 300 {
		must(t, l.PutEvent(t.Context(), event("motion")))
	}
	if _, err := os.Stat(ballastOf(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the ballast is still there: %v", err)
	}
	if here, err := l.KeepBallast(64 << 20); here || err != nil {
		t.Errorf("KeepBallast on a full disk = %v, %v", here, err)
	}
	for err = nil; err == nil; {
		e := event("motion")
		e.Text = strings.Repeat("x", 4000)
		err = l.PutEvent(t.Context(), e)
	}
	if !strings.Contains(err.Error(), "is full") {
		t.Errorf("without ballast a full disk is called %v", err)
	}
	must(t, os.Remove(stuffing))
	must(t, l.PutEvent(t.Context(), event("motion")))
	if here, err := l.KeepBallast(64 << 20); !here || err != nil {
		t.Errorf("KeepBallast when there is room again = %v, %v", here, err)
	}
	must(t, l.Close())
	sound(t, path)
}

// TestAFullDiskInTheMiddleOfWork: the commit that finds the disk full is made all the same, once.
func TestAFullDiskInTheMiddleOfWork(t *testing.T) {
	dir := smalldisk.Mount(t, smalldisk.Bytes(160<<20))
	path := filepath.Join(dir, "ledger.db")
	l := openAt(t, path)
	_, err := l.KeepBallast(64 << 20)
	must(t, err)
	stuff(t, dir)
	events := 0
	for here := true; here; events++ {
		must(t, l.PutEvent(t.Context(), event("motion")))
		_, err := os.Stat(ballastOf(path))
		here = err == nil
	}
	if n := len(facts(t, l)[1]); n != events {
		t.Errorf("%d events wait for the cloud, %d were put", n, events)
	}
	must(t, l.Close())
	sound(t, path)
}

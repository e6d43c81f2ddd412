package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// makeLedger makes a ledger with a mark in it.
func makeLedger(t *testing.T, path, mark string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err == nil {
		err = l.SetMeta(t.Context(), "mark", mark)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// mark reads a ledger's mark.
func mark(t *testing.T, path string) string {
	t.Helper()
	l, err := ledger.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	text, err := l.Meta(t.Context(), "mark")
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return text
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// A crash at any point of the exchange leaves the old ledger in force, or the new one with the old one kept whole, and
// nothing of the old one's log is read into the new one.
func TestTheExchangeOfALedgerSurvivesACrash(t *testing.T) {
	for steps := range 6 {
		data := t.TempDir()
		path := filepath.Join(data, ledgerFile)
		old := makeLedger(t, path, "old")
		frozen := t.TempDir() // with its log, as after a crash
		if err := os.CopyFS(frozen, os.DirFS(data)); err != nil {
			t.Fatal(err)
		}
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(data, os.DirFS(frozen)); err != nil {
			t.Fatal(err)
		}
		if err := makeLedger(t, filepath.Join(data, buildingFile), "new").Close(); err != nil {
			t.Fatal(err)
		}
		// What exchange does, cut off after so many renames.
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if err := os.Chtimes(filepath.Join(data, buildingFile), at, at); err != nil {
			t.Fatal(err)
		}
		kept := filepath.Join(data, "ledger.db.broken-20260102-030405")
		renames := [][2]string{
			{filepath.Join(data, buildingFile), filepath.Join(data, rebuiltFile)},
			{path, kept},
			{path + "-wal", kept + "-wal"},
			{path + "-shm", kept + "-shm"},
			{filepath.Join(data, rebuiltFile), path},
		}
		for _, r := range renames[:steps] {
			if err := os.Rename(r[0], r[1]); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		for range 2 { // as often as one likes
			if err := finishRebuild(data); err != nil {
				t.Fatalf("after %d steps: %v", steps, err)
			}
		}
		want := "new"
		if steps == 0 {
			want = "old"
		}
		if got := mark(t, path); got != want {
			t.Errorf("after %d steps the ledger is the %s one, want the %s", steps, got, want)
		}
		if steps > 0 {
			if got := mark(t, kept); got != "old" {
				t.Errorf("after %d steps the old ledger is %q: %v", steps, got, names(t, data))
			}
		}
	}
}

func TestRebuildOfNothing(t *testing.T) {
	cfg := Defaults()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	cfg.fill()
	if _, err := Check(t.Context(), cfg, "stat", false); err == nil || !strings.Contains(err.Error(), "no ledger") {
		t.Errorf("check of nothing: %v", err)
	}
	r, err := Rebuild(t.Context(), cfg, false)
	if err != nil || r.Sound || r.Kept != "" || r.Files.Segments != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, part := range []string{"built anew from 0 segments", "There was no old ledger"} {
		if !strings.Contains(r.String(), part) {
			t.Errorf("it says %q, want %q in it", r, part)
		}
	}
	r, err = Rebuild(t.Context(), cfg, false)
	if err != nil || !r.Sound || !strings.Contains(r.String(), "nothing was done") {
		t.Fatalf("a second time %+v, %v", r, err)
	}
	before := names(t, cfg.Data)
	if r, err = Rebuild(t.Context(), cfg, true); err != nil || r.Sound || r.Kept == "" {
		t.Fatalf("by force %+v, %v", r, err)
	}
	after := slices.DeleteFunc(names(t, cfg.Data), func(n string) bool { return strings.HasPrefix(n, ledgerFile+".broken-") })
	if !slices.Equal(before, after) {
		t.Errorf("files %v, before %v", after, before)
	}
}

// A broken ledger is replaced, and what waited in it for the cloud is taken over; a volume that is not there stops it.
func TestRebuildOfABrokenLedger(t *testing.T) {
	cfg := Defaults()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	cfg.fill()
	if _, err := Rebuild(t.Context(), cfg, false); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.Data, ledgerFile)
	l, err := ledger.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	event := wire.EventFact{ID: id.New[id.Event](), Kind: "door_opened", Source: "local", AtUs: 1_000_000, Text: "unsent"}
	if err := errors.Join(l.PutEvent(t.Context(), event), l.PutOutage(t.Context(), wire.OutageFact{StartUs: 1, EndUs: 2, Text: "line"}), l.Close()); err != nil {
		t.Fatal(err)
	}
	harmIndex(t, path)
	if r, err := Check(t.Context(), cfg, "quick", false); err != nil || r.OK || len(r.Ledger) == 0 {
		t.Fatalf("check of a broken ledger: %+v, %v", r, err)
	}
	moved := cfg.Volumes[0].Path + "-away"
	if err := os.Rename(cfg.Volumes[0].Path, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := Rebuild(t.Context(), cfg, false); err == nil || !strings.Contains(err.Error(), "can't be used") {
		t.Errorf("without its volume: %v", err)
	}
	if err := os.Rename(moved, cfg.Volumes[0].Path); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Rebuild(ended, cfg, false); err == nil || slices.Contains(names(t, cfg.Data), buildingFile) {
		t.Errorf("broken off: %v, files %v", err, names(t, cfg.Data))
	}
	r, err := Rebuild(t.Context(), cfg, false)
	if err != nil || r.Events != 1 || r.Outages != 1 || r.Kept == "" || len(r.Broken) == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := os.Stat(r.Kept); err != nil {
		t.Error(err)
	}
	if l, err = ledger.Open(t.Context(), path, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	events, err := l.Events(t.Context(), 0, 1<<40, 10)
	if err != nil || len(events) != 1 || events[0].Text != "unsent" {
		t.Errorf("%+v, %v", events, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// harmIndex breaks the index of conditions, so that the tables that matter can still be read.
func harmIndex(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Pages after the first are filled with nonsense from the end on, but those of the outbox.
	const page = 4096
	for at := len(b) - page; at > page; at -= page {
		if !strings.Contains(string(b[at:at+page]), "unsent") && !strings.Contains(string(b[at:at+page]), "line") && b[at] == 0x0a {
			copy(b[at:], strings.Repeat("x", page))
			break
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

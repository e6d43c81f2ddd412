package ledger

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"
)

// A view sees what a writer beside it commits, refuses to write, and works without a writer too.
func TestView(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	if _, err := View(t.Context(), path, slog.New(slog.DiscardHandler)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("View of nothing = %v", err)
	}
	l := openAt(t, path)
	view, err := View(t.Context(), path, slog.New(slog.DiscardHandler))
	must(t, err)
	s := newStream()
	for n := range int64(3) {
		at := 1 + n*60_000_000
		_, err := l.CloseSegment(t.Context(), Segment{ID: l.NextSegment(), Volume: "v", Stream: s, Run: 1, StartUs: at, EndUs: at + 60_000_000, Bytes: 5}, nil)
		must(t, err)
		segments, err := view.Segments(t.Context(), s, 0, 1<<40)
		if err != nil || len(segments) != int(n)+1 {
			t.Fatalf("after %d segments the view sees %d, %v", n+1, len(segments), err)
		}
	}
	if err := view.SetMeta(t.Context(), "a", "b"); !errors.Is(err, errView) {
		t.Errorf("writing through a view = %v", err)
	}
	must(t, view.Close())
	must(t, l.Close())
	view, err = View(t.Context(), path, slog.New(slog.DiscardHandler))
	must(t, err)
	if ranges, err := view.Coverage(t.Context(), s, 0, 1<<40); err != nil || len(ranges) != 1 {
		t.Errorf("without a writer: %v, %v", ranges, err)
	}
	must(t, view.Close())
	must(t, openAt(t, path).Close())
}

package disk

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzVolumeFiles finds anything in the files by which a volume is known, as a bad sector or a person may leave it: the
// volume is used or refused in words, and what is refused is not touched.
func FuzzVolumeFiles(f *testing.F) {
	f.Add([]byte(`{"id": "0123456789abcdef", "created_us": 5}`), []byte(`{"VOLUME": {"id": "0123456789abcdef"}}`))
	f.Add([]byte("null"), []byte("null"))
	f.Add([]byte(nil), []byte("null"))
	f.Add([]byte(`{"id": "../../../../etc"}`), []byte(`{"VOLUME": {"id": "", "pending": true}}`))
	f.Fuzz(func(t *testing.T, who, known []byte) {
		dir := t.TempDir()
		path, state := filepath.Join(dir, "v"), filepath.Join(dir, "volumes.json")
		if err := os.Mkdir(path, 0o750); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{filepath.Join(path, identityFile): who, state: known} {
			if len(text) == 0 {
				continue // missing
			}
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d, err := Open(Config{Volumes: []Volume{{Path: path, Create: true, Free: 1}}, State: state, Look: time.Hour}, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		v := d.Volumes()[0]
		if v.Err == nil && !validVolumeID(v.ID) {
			t.Fatalf("volume %q is used", v.ID)
		}
		if _, err := os.Stat(filepath.Join(path, videoFolder)); v.Err != nil && err == nil {
			t.Fatal("a folder was made on a volume that is refused")
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

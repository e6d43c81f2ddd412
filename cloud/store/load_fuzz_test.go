package store_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"holdfast/cloud/store"
	"holdfast/testenv/db"
)

// FuzzLoad restores anything as a table of a backup: rows, or words, and an empty database again.
func FuzzLoad(f *testing.F) {
	f.Add("org", []byte(`["id","name"]`+"\n"+`["org-1","A"]`))
	f.Add("org", []byte(`["id"`))
	f.Add("no_table", []byte(`[]`))
	f.Add("audit", []byte(`["a","b"]`+"\n"+`[{"bytes":"AAAA"},1e999]`))
	d := db.SQLite(f)
	undo := errors.New("undo")
	f.Fuzz(func(t *testing.T, table string, text []byte) {
		n := 0
		err := d.Load(t.Context(), func() (string, io.Reader, error) {
			if n++; n > 1 {
				return "", nil, undo // everything is rolled back
			}
			return table, bytes.NewReader(text), nil
		})
		if err == nil || errors.Is(err, store.ErrNotEmpty) {
			t.Fatalf("the database was changed: %v", err)
		}
	})
}

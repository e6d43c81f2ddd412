package store_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/cloud/store"
	"holdfast/testenv/db"
)

func TestTxCommitsAndRollsBack(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		boom := errors.New("boom")
		insert := func(name string, result error) error {
			return d.Tx(t.Context(), func(q store.Querier) error {
				_, err := q.ExecContext(t.Context(), `INSERT INTO installation (name, value) VALUES ($1, $2)`, name, "v")
				return errors.Join(err, result)
			})
		}
		if err := insert("kept", nil); err != nil {
			t.Fatal(err)
		}
		if err := insert("undone", boom); !errors.Is(err, boom) {
			t.Fatalf("Tx = %v, want boom", err)
		}
		var n int
		if err := d.Read().QueryRowContext(t.Context(), `SELECT count(*) FROM installation`).Scan(&n); err != nil || n != 1 {
			t.Fatalf("%d rows, %v; want 1", n, err)
		}
	})
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder with ? and #", "x.db")
	if _, err := store.Open(t.Context(), path); err == nil {
		t.Fatal("opened a database in a folder that does not exist")
	}
	path = filepath.Join(t.TempDir(), "x ? # %41.db")
	d, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err = store.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Fatalf("Open = %v, want a refusal that names the newer program", err)
	}
}

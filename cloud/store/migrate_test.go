package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"holdfast/cloud/store"
	"holdfast/testenv/db"
)

// TestOldRowsAreKept brings a database of an older schema up to date: incidents and what became of telling them are as
// they were, and new kinds fit in.
func TestOldRowsAreKept(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { oldRows(t, filepath.Join(t.TempDir(), "cloud.db"), "sqlite", goose.DialectSQLite3) })
	t.Run("postgres", func(t *testing.T) { oldRows(t, db.Postgres(t), "pgx", goose.DialectPostgres) })
}

// down opens a database and takes its schema back to a version.
func down(t *testing.T, location, driver string, dialect goose.Dialect, version int64) *sql.DB {
	t.Helper()
	d, err := store.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	folder := "postgres"
	if driver == "sqlite" {
		folder, location = "sqlite", "file:"+location+"?_pragma=foreign_keys(1)"
	}
	raw, err := sql.Open(driver, location)
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(dialect, raw, os.DirFS(filepath.Join("migrations", folder)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	return raw
}

func oldRows(t *testing.T, location, driver string, dialect goose.Dialect) {
	const (
		incident = `INSERT INTO incident (id, org, site, kind, start_us, said_us, end_us, settled_us, silences, cause, outcome, text, report)
			VALUES ($1, 'o', 's', $2, 1, 2, 3, 4, 5, 'line', 'up', 'text', '[]')`
		delivery = `INSERT INTO delivery (org, incident, target, phase, state, tries, due_us, created_us, changed_us, error)
			VALUES ('o', $1, 't', $2, 'accepted', 1, 2, 3, 4, 'none')`
	)
	exec := func(q interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
	}, statement string, args ...any,
	) error {
		_, err := q.ExecContext(t.Context(), statement, args...)
		return err
	}
	raw := down(t, location, driver, dialect, 8)
	err := errors.Join(
		exec(raw, `INSERT INTO org (id, name, created_us) VALUES ('o', 'Acme', 1)`),
		exec(raw, `INSERT INTO site (id, org, name, timezone, created_us) VALUES ('s', 'o', 'North', 'UTC', 1)`),
		exec(raw, `INSERT INTO alert_target (id, org, kind, address, secret, created_us) VALUES ('t', 'o', 'email', 'a@b.c', '', 1)`),
		exec(raw, incident, "old", "dark"), exec(raw, delivery, "old", "dark"), exec(raw, delivery, "old", "back"))
	if err != nil {
		t.Fatal(err)
	}
	if exec(raw, incident, "early", "losing") == nil {
		t.Error("the old schema takes a new kind: the migration was not undone")
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := store.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	err = d.Tx(t.Context(), func(q store.Querier) error {
		return errors.Join(exec(q, incident, "new", "losing"), exec(q, delivery, "new", "losing"), exec(q, delivery, "new", "over"))
	})
	if err != nil {
		t.Fatal(err)
	}
	for statement, want := range map[string]int{
		`SELECT count(*) FROM incident WHERE id = 'old' AND kind = 'dark' AND start_us = 1 AND said_us = 2 AND end_us = 3 AND settled_us = 4
			AND silences = 5 AND cause = 'line' AND outcome = 'up' AND text = 'text' AND report = '[]'`: 1,
		`SELECT count(*) FROM delivery WHERE incident = 'old' AND state = 'accepted' AND tries = 1 AND due_us = 2 AND created_us = 3
			AND changed_us = 4 AND error = 'none'`: 2,
		`SELECT count(*) FROM delivery`: 4,
	} {
		var n int
		if err := d.Read().QueryRowContext(t.Context(), statement).Scan(&n); err != nil || n != want {
			t.Errorf("%d rows, %v; want %d of %s", n, err, want, statement)
		}
	}
	err = d.Tx(t.Context(), func(q store.Querier) error { return exec(q, `DELETE FROM alert_target`) })
	var n int
	if scan := d.Read().QueryRowContext(t.Context(), `SELECT count(*) FROM delivery`).Scan(&n); err != nil || scan != nil || n != 0 {
		t.Errorf("%d deliveries are left of a receiver that is gone: %v, %v", n, err, scan)
	}
	if err := d.Tx(t.Context(), func(q store.Querier) error { return exec(q, delivery, "nowhere", "dark") }); err == nil {
		t.Error("a delivery of no incident was taken")
	}
}

// Package db runs a test on every database engine that the cloud supports: SQLite in a file, and a real
// PostgreSQL server.
//
// The server is the one named by HOLDFAST_TEST_POSTGRES (testenv/cmd/withpg starts one for a whole test run),
// else one of its own. PostgreSQL is required: without it a test fails with the line that installs it.
package db

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/testenv/pg"
)

// Each runs fn as a subtest on SQLite and on PostgreSQL, each time with a new, migrated, empty database.
func Each(t *testing.T, fn func(t *testing.T, d *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, open(t, Postgres(t))) })
}

// SQLite returns a new, migrated, empty SQLite database in a temporary folder.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "cloud.db"))
}

// Another returns a further new, migrated, empty PostgreSQL database.
func Another(t testing.TB) *store.DB {
	t.Helper()
	return open(t, Postgres(t))
}

func open(t testing.TB, location string) *store.DB {
	t.Helper()
	d, err := store.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Postgres returns a URL of a new, empty schema on a PostgreSQL server, which is dropped with the test: to the
// cloud it is a database of its own, and it is made in a hundredth of the time.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv("HOLDFAST_TEST_POSTGRES")
	if server == "" {
		s, err := pg.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
		server = s.URL
	}
	name := "t" + string(id.New[id.Org]())[4:]
	if err := exec(t.Context(), server, "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := exec(context.Background(), server, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

func exec(ctx context.Context, server, statement string) error {
	pool, err := sql.Open("pgx", server)
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, statement)
	return errors.Join(err, pool.Close())
}

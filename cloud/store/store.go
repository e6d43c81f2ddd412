// Package store is the cloud's floor for rows: it opens SQLite (the default) or PostgreSQL (by URL), brings
// the schema up to date, runs transactions, and carries the scope that every query must name.
//
// Each resource has a sub-package with its SQL; no SQL is written anywhere else. SQL uses $1 placeholders
// and the common subset of both engines; one conformance suite runs on both. Times are int64 microseconds
// in columns named "..._us". No function reads a tenant's row without a Scope.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations
var migrations embed.FS

// ErrNotFound says that no such row exists in the scope that asked; callers can't tell it from a row of
// another tenant.
var ErrNotFound = errors.New("not found")

// ErrConflict says that a row with this name or key exists already.
var ErrConflict = errors.New("already exists")

// DB is an open database. Safe for concurrent use.
type DB struct {
	read     *sql.DB
	write    *sql.DB // one connection for SQLite, the same pool as read for PostgreSQL
	postgres bool
}

// Querier is what a query needs: the DB itself for reading, or a transaction.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Open opens the database at location, which is a file path for SQLite or a postgres:// URL, and migrates
// it. It refuses a database that a newer Holdfast has migrated.
func Open(ctx context.Context, location string) (*DB, error) {
	var d *DB
	var err error
	if strings.HasPrefix(location, "postgres://") || strings.HasPrefix(location, "postgresql://") {
		d, err = openPostgres(location)
	} else {
		d, err = openSQLite(location)
	}
	if err != nil {
		return nil, err
	}
	if err := d.migrate(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func openPostgres(location string) (*DB, error) {
	pool, err := sql.Open("pgx", location)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	pool.SetMaxOpenConns(24)
	pool.SetMaxIdleConns(8)
	return &DB{read: pool, write: pool, postgres: true}, nil
}

func openSQLite(path string) (*DB, error) {
	// A percent-encoded path keeps '?' and '#' in a folder's name from ending it.
	base := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)" +
		"&_pragma=foreign_keys(1)&_pragma=journal_size_limit(16777216)&_pragma=cache_size(-16000)&_pragma=temp_store(memory)"
	write, err := sql.Open("sqlite", base+"&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", base+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(8)
	return &DB{read: read, write: write}, nil
}

func (d *DB) migrate(ctx context.Context) error {
	dialect, dir := goose.DialectSQLite3, "migrations/sqlite"
	if d.postgres {
		dialect, dir = goose.DialectPostgres, "migrations/postgres"
	}
	files, err := fs.Sub(migrations, dir)
	if err != nil {
		return fmt.Errorf("find migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, d.write, files)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	have, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the database's version (is the database reachable and writable?): %w", err)
	}
	sources := provider.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return fmt.Errorf("the database has schema version %d, this program knows %d: start the newer "+
			"holdfast-cloud again, or restore a backup made before the upgrade", have, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

// Close closes the database.
func (d *DB) Close() error {
	err := d.read.Close()
	if d.write != d.read {
		err = errors.Join(err, d.write.Close())
	}
	return err
}

// Postgres reports whether the engine is PostgreSQL.
func (d *DB) Postgres() bool { return d.postgres }

// Read returns the pool for queries outside a transaction. It must not write.
func (d *DB) Read() Querier { return d.read }

// Tx runs fn in one transaction and commits it when fn returns nil. On SQLite there is one writer at a
// time, so fn must be short and must not use the DB itself.
func (d *DB) Tx(ctx context.Context, fn func(q Querier) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	var q Querier = tx
	if !d.postgres {
		q = unnumbered{tx}
	}
	if err := fn(q); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// unnumbered is a transaction of SQLite. Its parameters need no numbers, and many go faster without: the engine looks
// each numbered one up in a list.
type unnumbered struct{ *sql.Tx }

// Unnumbered marks the type for package bulk.
func (unnumbered) Unnumbered() {}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

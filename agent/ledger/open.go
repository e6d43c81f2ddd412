package ledger

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed schema.sql
var schema string

// application marks the file as a ledger ("Hold").
const application = 0x486f6c64

const pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=journal_size_limit(16777216)" +
	"&_pragma=foreign_keys(1)&_pragma=cache_size(-8000)&_pragma=temp_store(memory)"

// location turns a path into a URI, so that a '?' or '#' in a folder's name does not end it.
func location(path string) string {
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
}

func (l *Ledger) open(ctx context.Context) error {
	// Nobody but the service's own user has business in this file.
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open ledger %s (does the folder exist, and may this user write there?): %w", l.path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("open ledger %s: %w", l.path, err)
	}
	// FULL: what was answered "done" must survive a power cut.
	write, err := sql.Open("sqlite", location(l.path)+pragmas+"&_pragma=synchronous(full)")
	if err != nil {
		return explain("open ledger "+l.path, err)
	}
	write.SetMaxOpenConns(1)
	conn, err := write.Conn(ctx)
	if err != nil {
		return errors.Join(explain("open ledger "+l.path, err), write.Close())
	}
	l.w = newWriter(write, conn, l.relieve)
	if err := migrate(ctx, conn, schema, upgrades()); err != nil {
		return explain("open ledger "+l.path, err)
	}
	if l.read, err = openRead(l.path); err != nil {
		return explain("open ledger "+l.path, err)
	}
	if err := l.firstCheck(ctx); err != nil {
		return explain("check ledger "+l.path, err)
	}
	if err := l.prepare(ctx); err != nil {
		return explain("open ledger "+l.path, err)
	}
	return nil
}

func openRead(path string) (*sql.DB, error) {
	read, err := sql.Open("sqlite", location(path)+pragmas+"&_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	read.SetMaxOpenConns(4)
	read.SetMaxIdleConns(4)
	return read, nil
}

// prepare reads what is kept in memory beside the file.
func (l *Ledger) prepare(ctx context.Context) (err error) {
	if l.coverage, err = l.read.PrepareContext(ctx, coverageQuery); err != nil {
		return err
	}
	if l.segments, err = l.read.PrepareContext(ctx, segmentsQuery); err != nil {
		return err
	}
	epoch, err := l.Meta(ctx, "epoch")
	if err != nil {
		return err
	}
	l.epoch.Store(&epoch)
	var highest uint64
	err = l.read.QueryRowContext(ctx, `SELECT max(
		(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name IN ('segment', 'open_segment')),
		(SELECT coalesce(max(id), 0) FROM garbage))`).Scan(&highest)
	l.segment.Store(highest)
	return err
}

// migrate brings a file to the schema's newest version: all of it for an empty file, the missing steps for
// an older one.
func migrate(ctx context.Context, conn *sql.Conn, schema string, steps []string) error {
	newest := 1 + len(steps)
	var have, app, tables int
	err := conn.QueryRowContext(ctx, `SELECT (SELECT user_version FROM pragma_user_version),
		(SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)`).
		Scan(&have, &app, &tables)
	switch {
	case err != nil:
		return err
	case app != application && tables > 0:
		return errors.New("this file is a database, but not a ledger: name another path, or move the file away")
	case have > newest:
		return fmt.Errorf("the ledger has schema version %d, this agent knows %d: start the newer holdfast-agent "+
			"again; an older one cannot read it", have, newest)
	case have == newest:
		return nil
	}
	script := schema
	if tables > 0 {
		script = ""
		for _, s := range steps[have-1:] {
			script += s + "\n"
		}
	} else {
		script += fmt.Sprintf("INSERT INTO meta VALUES ('epoch', '%s'), ('created_us', '%d');\n", rand.Text(), nowUs())
	}
	script = fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA application_id = %d;\nPRAGMA user_version = %d;\nCOMMIT;",
		script, application, newest)
	if _, err := conn.ExecContext(ctx, script); err != nil {
		_, undo := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return errors.Join(fmt.Errorf("bring the schema from version %d to %d: %w", have, newest, err), undo)
	}
	return nil
}

// checkLimit is how long an opening waits for the check of the file. A ledger with years in it is checked by QuickCheck
// when recording has begun.
const checkLimit = time.Second

// firstCheck checks the file for damage, as far as that goes within the limit.
func (l *Ledger) firstCheck(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	err := quickCheck(short, l.read)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return nil
	}
	l.checked.Store(err == nil)
	return err
}

// QuickCheck checks the whole file for damage unless the opening has done so. The error says what to do.
func (l *Ledger) QuickCheck(ctx context.Context) error {
	if l.checked.Load() {
		return nil
	}
	err := quickCheck(ctx, l.read)
	l.checked.Store(err == nil)
	return explain("check ledger "+l.path, err)
}

func quickCheck(ctx context.Context, db *sql.DB) error {
	var first string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&first); err != nil {
		return err
	}
	if first != "ok" {
		return &damage{first}
	}
	return nil
}

// damage is what the engine found wrong in the file.
type damage struct{ text string }

func (d *damage) Error() string { return d.text }

// explain says what was attempted and, for faults of the machine, what to do.
func explain(what string, err error) error {
	if err == nil {
		return nil
	}
	hint := ""
	var d *damage
	var e *sqlite.Error
	switch {
	case errors.As(err, &d):
		hint = damagedHint
	case errors.As(err, &e):
		hint = hintOf(e.Code() & 0xff)
	case errors.Is(err, fs.ErrPermission):
		hint = readOnlyHint
	}
	if hint == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %s: %w", what, hint, err)
}

const (
	damagedHint  = "the ledger is damaged: stop the agent and run  holdfast-agent check --rebuild , which builds it anew from the media files"
	readOnlyHint = "the ledger's folder cannot be written: check its owner, its permissions and the file system"
)

func hintOf(code int) string {
	switch code {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return damagedHint
	case sqlite3.SQLITE_FULL:
		return "the disk that holds the ledger is full: free some space there"
	case sqlite3.SQLITE_IOERR:
		return "the disk that holds the ledger reports errors: check the disk and its cables"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return readOnlyHint
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another program has the ledger open: is a second holdfast-agent running on this data folder?"
	}
	return ""
}

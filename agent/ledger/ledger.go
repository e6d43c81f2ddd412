// Package ledger is the floor that keeps the agent's memory: the one SQLite file with coverage, gaps, events,
// clips, the outbox and garbage. schema.sql beside this file is the reference of what is kept.
//
// It promises that a fact and its outbox row commit together, that what it said "done" to survives a power
// cut, and that callers who write at the same moment share one commit. Deleting recorded video always leaves
// a fact for the cloud, and its word in the account of the site. It never deletes files, never talks to the network, and nobody else opens its file.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/shared/wire"
)

// ErrNotFound says that no row has the ID that was given.
var ErrNotFound = errors.New("not found in the ledger")

// ErrAhead says that the cloud has acked facts that this ledger never sent: the ledger is an older copy of
// itself, and needs a NewEpoch before it sends anything.
var ErrAhead = errors.New("the cloud has facts that this ledger never sent: it is an older copy of itself")

// Ledger is an open ledger. Safe for concurrent use.
type Ledger struct {
	path string
	log  *slog.Logger
	read *sql.DB
	w    *writer

	segment atomic.Uint64 // highest segment ID known
	run     atomic.Int64  // the run that lasts, 0 before BeginRun
	epoch   atomic.Pointer[string]
	checked atomic.Bool // the file was looked through for damage
	damper  damper
	history int64 // rows that each table of history keeps

	coverage, segments *sql.Stmt

	mu       sync.Mutex
	appended chan struct{}
}

// Open opens the ledger at path, makes it when there is none, brings its schema up to date and checks it
// for damage, for a second at most (QuickCheck goes on). It refuses a file that is damaged, that a newer agent has written,
// or that is no ledger.
func Open(ctx context.Context, path string, log *slog.Logger) (*Ledger, error) {
	l := &Ledger{path: path, log: log, appended: make(chan struct{}), history: keepHistory}
	err := l.open(ctx)
	if err != nil && noRoom(err) && l.relieve() {
		again := &Ledger{path: path, log: log, appended: make(chan struct{}), history: keepHistory}
		err = errors.Join(l.Close(), again.open(ctx))
		l = again
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// relieve gives the ballast up.
func (l *Ledger) relieve() bool {
	dropped := dropBallast(l.path)
	if dropped {
		l.log.Error("the disk that holds the ledger is full: the room kept for this was given free; make room there", "ledger", l.path)
	}
	return dropped
}

// Close waits for the write in progress and closes the file. Writes afterwards return an error.
func (l *Ledger) Close() error {
	var errs []error
	if l.w != nil {
		errs = append(errs, l.w.close())
	}
	if l.read != nil {
		errs = append(errs, l.read.Close())
	}
	return errors.Join(errs...)
}

// Epoch returns the random name of this ledger's history. Facts are numbered within it.
func (l *Ledger) Epoch() string { return *l.epoch.Load() }

// SetMeta keeps a value under a name.
func (l *Ledger) SetMeta(ctx context.Context, name, value string) error {
	return l.write(ctx, "keep "+name, func(t *tx) error { return t.setMeta(name, value) })
}

// Meta returns the value kept under a name, empty when there is none.
func (l *Ledger) Meta(ctx context.Context, name string) (string, error) {
	var value string
	err := l.read.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = ?`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, explain("read "+name, err)
}

func (t *tx) setMeta(name, value string) error {
	return t.exec(`INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		name, value)
}

// Appended returns a channel that is closed when a fact has been added to the outbox, or has become pending
// again.
func (l *Ledger) Appended() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appended
}

func (l *Ledger) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.appended)
	l.appended = make(chan struct{})
}

// write runs fn in a transaction that it may share with others, and returns after the commit.
func (l *Ledger) write(ctx context.Context, what string, fn func(*tx) error) error {
	if l.w == nil {
		return fmt.Errorf("%s: %w", what, errView)
	}
	facts, err := l.w.do(ctx, fn)
	if err == nil && facts {
		l.announce()
	}
	return explain(what, err)
}

func nowUs() int64 { return time.Now().UnixMicro() }

func urgentState(s wire.ClipState) bool { return s == wire.ClipLost || s == wire.ClipUnavailable }

// list reads all rows of a query; scan reads one.
func list[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) (out []T, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	return out, nil
}

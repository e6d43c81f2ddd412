package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"holdfast/shared/id"
)

// maxGroup bounds the callers that share one transaction, and so how long the last of them waits.
const maxGroup = 512

var errClosed = errors.New("the ledger is closed")

// writer owns the one connection that writes. Callers queue up; one of them leads, runs everything that
// waits in one transaction and commits once for all, so that a commit's fsync is shared.
type writer struct {
	conn    *sql.Conn
	db      *sql.DB
	lead    chan struct{} // holds one token while somebody leads
	stmts   map[string]prepared
	streams map[id.Stream]int64 // numbers of streams as committed or in the present transaction
	days    *dayCache
	relieve func() bool // makes room on a full disk; false when it has none to give

	mu     sync.Mutex
	jobs   []*job
	closed bool
}

type job struct {
	ctx   context.Context
	fn    func(*tx) error
	facts bool // fn added facts
	done  chan error
}

// tx is the transaction of one job.
type tx struct {
	w     *writer
	facts bool
	after []func() // run after the commit
}

func newWriter(db *sql.DB, conn *sql.Conn, relieve func() bool) *writer {
	return &writer{
		conn: conn, db: db, relieve: relieve, lead: make(chan struct{}, 1),
		stmts: map[string]prepared{}, streams: map[id.Stream]int64{}, days: newDayCache(),
	}
}

// do runs fn in a transaction and returns after its commit, with whether fn added facts. A ctx that ends
// before the transaction begins cancels the job; afterwards the outcome is awaited, so that the caller
// always knows it.
func (w *writer) do(ctx context.Context, fn func(*tx) error) (bool, error) {
	j := &job{ctx: ctx, fn: fn, done: make(chan error, 1)}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return false, errClosed
	}
	w.jobs = append(w.jobs, j)
	w.mu.Unlock()
	for {
		select {
		case err := <-j.done:
			return j.facts, err
		case w.lead <- struct{}{}:
		}
		w.commit(w.take())
		<-w.lead
	}
}

func (w *writer) take() []*job {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.jobs), maxGroup)
	group := w.jobs[:n:n]
	w.jobs = w.jobs[n:]
	return group
}

// commit runs a group of jobs in one transaction. A job that fails is undone alone; a commit that fails is
// everybody's.
func (w *writer) commit(group []*job) {
	live := group[:0]
	for _, j := range group {
		if err := j.ctx.Err(); err != nil {
			j.done <- err
			continue
		}
		live = append(live, j)
	}
	if len(live) == 0 {
		return
	}
	errs, after, err := w.transact(live)
	if err != nil {
		_ = w.undo("ROLLBACK") // fails when the engine has done it by itself
		if noRoom(err) && w.relieve() {
			if errs, after, err = w.transact(live); err != nil {
				_ = w.undo("ROLLBACK")
			}
		}
	}
	for _, fn := range after {
		fn()
	}
	for i, j := range live {
		if err != nil {
			j.facts = false
			j.done <- err
			continue
		}
		j.done <- errs[i]
	}
}

func (w *writer) transact(jobs []*job) (errs []error, after []func(), err error) {
	ctx := context.Background() // a transaction that others share is not interrupted
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, nil, fmt.Errorf("begin transaction: %w", err)
	}
	errs = make([]error, len(jobs))
	for i, j := range jobs {
		t := &tx{w: w}
		if err := t.exec("SAVEPOINT job"); err != nil {
			return nil, nil, err
		}
		if errs[i] = j.fn(t); errs[i] != nil {
			// The engine may give the whole transaction up: its own reason is the one to tell.
			if err := w.undo("ROLLBACK TO job"); err != nil || noRoom(errs[i]) {
				return nil, nil, errs[i]
			}
		} else {
			j.facts = t.facts
			after = append(after, t.after...)
		}
		if err := t.exec("RELEASE job"); err != nil {
			return nil, nil, err
		}
	}
	if _, err := w.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return nil, nil, fmt.Errorf("commit transaction: %w", err)
	}
	return errs, after, nil
}

// undo forgets what the undone statements may have taught.
func (w *writer) undo(statement string) error {
	clear(w.streams)
	_, err := w.conn.ExecContext(context.Background(), statement)
	return err
}

func (w *writer) close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.lead <- struct{}{}
	defer func() { <-w.lead }()
	for group := w.take(); len(group) > 0; group = w.take() {
		w.commit(group)
	}
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.stmt.Close())
	}
	clear(w.stmts)
	return errors.Join(append(errs, w.conn.Close(), w.db.Close())...)
}

// prepared is a statement that stays prepared until the writer closes.
type prepared struct{ stmt *sql.Stmt }

func (t *tx) prepare(query string) (prepared, error) {
	if p, ok := t.w.stmts[query]; ok {
		return p, nil
	}
	s, err := t.w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return prepared{}, fmt.Errorf("prepare statement: %w", err)
	}
	t.w.stmts[query] = prepared{s}
	return prepared{s}, nil
}

// exec runs a statement; query is one of a fixed set of texts, for it stays prepared.
func (t *tx) exec(query string, args ...any) error {
	_, err := t.count(query, args...)
	return err
}

// count runs a statement and returns how many rows it changed.
func (t *tx) count(query string, args ...any) (int64, error) {
	p, err := t.prepare(query)
	if err != nil {
		return 0, err
	}
	res, err := p.stmt.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// get reads the one row of a query into dest; without a row the error is sql.ErrNoRows.
func (t *tx) get(dest []any, query string, args ...any) error {
	p, err := t.prepare(query)
	if err != nil {
		return err
	}
	return p.stmt.QueryRowContext(context.Background(), args...).Scan(dest...)
}

func (t *tx) query(query string, args ...any) (*sql.Rows, error) {
	p, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	return p.stmt.QueryContext(context.Background(), args...)
}

// stream returns the number of a stream and makes one for a stream that is new.
func (t *tx) stream(s id.Stream) (int64, error) {
	if n, ok := t.w.streams[s]; ok {
		return n, nil
	}
	if s.Camera == "" || !s.Kind.Valid() {
		return 0, fmt.Errorf("stream %q is not a stream of a camera", s)
	}
	var n int64
	err := t.get([]any{&n}, `INSERT INTO stream (camera, kind) VALUES (?, ?)
		ON CONFLICT (camera, kind) DO UPDATE SET kind = excluded.kind RETURNING id`, s.Camera, s.Kind)
	if err != nil {
		return 0, fmt.Errorf("number the stream: %w", err)
	}
	t.w.streams[s] = n
	return n, nil
}

// Package marks holds the SQL that makes each fact of a site count once: how far every queue has been applied,
// and the facts that were kept aside because they could not be.
//
// A mark moves only inside the transaction that applies the facts it counts, after Lock; so the facts and the
// mark are in the database together or not at all. Nothing here knows what a fact says.
package marks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Queue names one queue of one ledger of one agent.
type Queue struct {
	Org   id.Org
	Site  id.Site
	Agent id.Agent
	Epoch string
	Queue int64
}

// maxMarks bounds the answer of List; a site that flaps all day makes a few thousand queues.
const maxMarks = 4096

// Restated is the queue number under which the restatements of a ledger are counted. No ledger has such a queue.
const Restated int64 = -1

// Lock makes every other transaction that locks the site wait until this one ends. SQLite has one writer, so
// there it does nothing.
func Lock(ctx context.Context, q store.Querier, postgres bool, site id.Site) error {
	if !postgres {
		return nil
	}
	_, err := q.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, site)
	if err != nil {
		return fmt.Errorf("lock site: %w", err)
	}
	return nil
}

// Get returns the seq up to which the queue is applied; 0 for a queue that was never seen.
func Get(ctx context.Context, q store.Querier, scope store.Scope, k Queue) (int64, error) {
	var seq int64
	err := q.QueryRowContext(ctx, `SELECT seq FROM mark
		WHERE ($1 = '*' OR org = $1) AND agent = $2 AND epoch = $3 AND queue = $4`,
		scope.Filter(), k.Agent, k.Epoch, k.Queue).Scan(&seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read mark: %w", err)
	}
	return seq, nil
}

// Move sets the mark of a queue; it never moves back.
func Move(ctx context.Context, q store.Querier, k Queue, seq, nowUs int64) error {
	_, err := q.ExecContext(ctx, `INSERT INTO mark (org, site, agent, epoch, queue, seq, moved_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (agent, epoch, queue) DO UPDATE SET seq = excluded.seq, moved_us = excluded.moved_us
		WHERE mark.seq < excluded.seq`,
		k.Org, k.Site, k.Agent, k.Epoch, k.Queue, seq, nowUs)
	if err != nil {
		return fmt.Errorf("move mark: %w", err)
	}
	return nil
}

// List returns the marks of one epoch, by queue; of more than 4,096 queues the newest.
func List(ctx context.Context, q store.Querier, scope store.Scope, agent id.Agent, epoch string) ([]wire.Mark, error) {
	rows, err := q.QueryContext(ctx, `SELECT queue, seq FROM (
			SELECT queue, seq FROM mark WHERE ($1 = '*' OR org = $1) AND agent = $2 AND epoch = $3 AND queue >= 0
			ORDER BY queue DESC LIMIT $4) AS newest
		ORDER BY queue`, scope.Filter(), agent, epoch, maxMarks)
	return bulk.Collect(rows, err, "marks", func(rows *sql.Rows) (m wire.Mark, err error) {
		return m, rows.Scan(&m.Queue, &m.Seq)
	})
}

// Others reports whether another ledger of the site has spoken since sinceUs: of another agent, or of another epoch.
func Others(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, agent id.Agent, epoch string, sinceUs int64) (bool, error) {
	var found bool
	err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM mark WHERE ($1 = '*' OR org = $1) AND site = $2
		AND (agent <> $3 OR epoch <> $4) AND moved_us >= $5)`, scope.Filter(), site, agent, epoch, sinceUs).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("look for other ledgers of the site: %w", err)
	}
	return found, nil
}

// Sites returns every site that a fact ever came from, removed ones included.
func Sites(ctx context.Context, q store.Querier, scope store.Scope) ([]id.Site, error) {
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT site FROM mark WHERE ($1 = '*' OR org = $1) ORDER BY site`, scope.Filter())
	return bulk.Collect(rows, err, "sites", func(rows *sql.Rows) (s id.Site, err error) { return s, rows.Scan(&s) })
}

// Parked is a fact that could not be applied.
type Parked struct {
	Queue
	Seq    int64
	Kind   string
	Body   []byte
	Reason string // for a person
	AtUs   int64
}

// Park keeps facts aside.
func Park(ctx context.Context, q store.Querier, facts []Parked) error {
	rows := bulk.New(10, len(facts))
	for _, p := range facts {
		rows.Add(p.Org, p.Site, p.Agent, p.Epoch, p.Queue.Queue, p.Seq, p.Kind, p.Body, p.Reason, p.AtUs)
	}
	err := rows.Exec(ctx, q, `INSERT INTO parked (org, site, agent, epoch, queue, seq, kind, body, reason, at_us)`,
		`ON CONFLICT (agent, epoch, queue, seq) DO NOTHING`)
	if err != nil {
		return fmt.Errorf("park facts: %w", err)
	}
	return nil
}

// ListParked returns the newest parked facts of a site, at most limit.
func ListParked(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, limit int) ([]Parked, error) {
	rows, err := q.QueryContext(ctx, `SELECT org, site, agent, epoch, queue, seq, kind, body, reason, at_us FROM parked
		WHERE ($1 = '*' OR org = $1) AND site = $2 ORDER BY at_us DESC, queue DESC, seq DESC LIMIT $3`,
		scope.Filter(), site, limit)
	return bulk.Collect(rows, err, "parked facts", func(rows *sql.Rows) (p Parked, err error) {
		return p, rows.Scan(&p.Org, &p.Site, &p.Agent, &p.Epoch, &p.Queue.Queue, &p.Seq, &p.Kind, &p.Body, &p.Reason, &p.AtUs)
	})
}

// SweepParked removes the parked facts of a site that are older than beforeUs, and of the others all but the
// newest keep, so that a broken agent can't fill the database.
func SweepParked(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, beforeUs int64, keep int) error {
	_, err := q.ExecContext(ctx, `DELETE FROM parked WHERE ($1 = '*' OR org = $1) AND site = $2 AND at_us < $3`,
		scope.Filter(), site, beforeUs)
	if err != nil {
		return fmt.Errorf("sweep parked facts: %w", err)
	}
	_, err = q.ExecContext(ctx, `DELETE FROM parked WHERE ($1 = '*' OR org = $1) AND site = $2 AND at_us < (
			SELECT at_us FROM parked WHERE site = $2 ORDER BY at_us DESC LIMIT 1 OFFSET $3)`,
		scope.Filter(), site, keep)
	if err != nil {
		return fmt.Errorf("sweep parked facts: %w", err)
	}
	return nil
}

// Try runs fn inside a savepoint of the transaction q. If fn fails, what it did is undone, the transaction
// goes on, and Try returns fn's error as the first result; the second is a failure of the database.
func Try(ctx context.Context, q store.Querier, fn func() error) (error, error) {
	if _, err := q.ExecContext(ctx, `SAVEPOINT attempt`); err != nil {
		return nil, fmt.Errorf("set savepoint: %w", err)
	}
	refused := fn()
	if refused != nil {
		if _, err := q.ExecContext(ctx, `ROLLBACK TO SAVEPOINT attempt`); err != nil {
			return nil, errors.Join(refused, fmt.Errorf("roll back to savepoint: %w", err))
		}
	}
	if _, err := q.ExecContext(ctx, `RELEASE SAVEPOINT attempt`); err != nil {
		return nil, errors.Join(refused, fmt.Errorf("release savepoint: %w", err))
	}
	return refused, nil
}

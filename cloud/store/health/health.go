// Package health holds the SQL of how the sites are and were: runs of the agents, conditions with their history,
// outages as the agents saw them, the last known state of each site, and incidents.
//
// Facts may come twice and out of order between a site's queues; each function says which word stands. Nothing
// here judges: what is dark, and why, is said by others and only kept here.
package health

import (
	"context"
	"database/sql"
	"fmt"
	"math"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Lasts is the end of what still lasts.
const Lasts = math.MaxInt64

// maxRows bounds how many rows of one kind a history answers: the newest ones.
const maxRows = 2000

// Source says which ledger speaks, and in which queue.
type Source struct {
	agents.Ref
	Epoch string
	Queue int64
}

// RunWord is a run as its ledger tells it. Seq orders words of one queue.
type RunWord struct {
	wire.RunFact
	Seq int64
}

// PutRuns stores runs. Of several words about one run the one of the highest queue and seq stands.
func PutRuns(ctx context.Context, q store.Querier, src Source, words []RunWord) error {
	last := make(map[int64]int, len(words))
	for i, w := range words {
		last[w.Run] = i
	}
	rows := bulk.New(12, len(last))
	for i, w := range words {
		if last[w.Run] == i {
			rows.Add(src.Org, src.Site, src.Agent, src.Epoch, w.Run, w.BootID, w.WallUs, w.EndMono, string(w.EndedBy),
				w.AgentVer, src.Queue, w.Seq)
		}
	}
	err := rows.Exec(ctx, q, `INSERT INTO run
			(org, site, agent, epoch, run, boot_id, wall_us, end_mono_us, ended_by, version, queue, seq)`,
		`ON CONFLICT (agent, epoch, run) DO UPDATE SET boot_id = excluded.boot_id, wall_us = excluded.wall_us,
			end_mono_us = excluded.end_mono_us, ended_by = excluded.ended_by, version = excluded.version,
			queue = excluded.queue, seq = excluded.seq
		WHERE run.queue < excluded.queue OR (run.queue = excluded.queue AND run.seq < excluded.seq)`)
	if err != nil {
		return fmt.Errorf("store runs: %w", err)
	}
	return nil
}

// Run is a run of an agent; EndMono and EndedBy are zero while it lasts.
type Run struct {
	agents.Ref
	Epoch string
	wire.RunFact
}

// EndUs returns the wall time of the run's end, or Lasts.
func (r Run) EndUs() int64 {
	if r.EndedBy == "" {
		return Lasts
	}
	return r.WallUs + r.EndMono
}

// Runs returns the newest runs of a site that began in [fromUs, toUs), and the last one before, newest first.
func Runs(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, fromUs, toUs int64) ([]Run, error) {
	rows, err := q.QueryContext(ctx, `SELECT org, site, agent, epoch, run, boot_id, wall_us, end_mono_us, ended_by, version
		FROM run WHERE ($1 = '*' OR org = $1) AND site = $2 AND wall_us < $4 AND wall_us >= COALESCE(
			(SELECT max(wall_us) FROM run WHERE site = $2 AND wall_us <= $3), $3)
		ORDER BY wall_us DESC, run DESC LIMIT $5`, scope.Filter(), site, fromUs, toUs, maxRows)
	return bulk.Collect(rows, err, "runs", func(rows *sql.Rows) (r Run, err error) {
		return r, rows.Scan(&r.Org, &r.Site, &r.Agent, &r.Epoch, &r.Run, &r.BootID, &r.WallUs, &r.EndMono, &r.EndedBy, &r.AgentVer)
	})
}

// PutOutages stores times without a session. The same one again changes nothing but its end and text.
func PutOutages(ctx context.Context, q store.Querier, ref agents.Ref, facts []wire.OutageFact) error {
	last := make(map[int64]int, len(facts))
	for i, f := range facts {
		last[f.StartUs] = i
	}
	rows := bulk.New(6, len(last))
	for i, f := range facts {
		if last[f.StartUs] == i {
			rows.Add(ref.Org, ref.Site, ref.Agent, f.StartUs, f.EndUs, f.Text)
		}
	}
	err := rows.Exec(ctx, q, `INSERT INTO outage (org, site, agent, start_us, end_us, text)`,
		`ON CONFLICT (site, agent, start_us) DO UPDATE SET end_us = excluded.end_us, text = excluded.text`)
	if err != nil {
		return fmt.Errorf("store outages: %w", err)
	}
	return nil
}

// Outages returns the times without a session that overlap [fromUs, toUs), newest first.
func Outages(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, fromUs, toUs int64) (
	[]wire.OutageFact, error,
) {
	rows, err := q.QueryContext(ctx, `SELECT start_us, end_us, text FROM outage
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND end_us > $3 AND start_us < $4
		ORDER BY end_us DESC LIMIT $5`, scope.Filter(), site, fromUs, toUs, maxRows)
	return bulk.Collect(rows, err, "outages", func(rows *sql.Rows) (f wire.OutageFact, err error) {
		return f, rows.Scan(&f.StartUs, &f.EndUs, &f.Text)
	})
}

package events

import (
	"context"
	"database/sql"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Day calls each for every event of a site that happened in [fromUs, toUs).
func Day(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, fromUs, toUs int64, each func(wire.EventFact)) error {
	rows, err := q.QueryContext(ctx, `SELECT org, site, id, camera, kind, source, at_us, end_us, text, data FROM event
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND at_us >= $3 AND at_us < $4`, scope.Filter(), site, fromUs, toUs)
	if err != nil {
		return fmt.Errorf("read events of a day: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e, err := scan(rows)
		if err != nil {
			return fmt.Errorf("read events of a day: %w", err)
		}
		each(e.EventFact)
	}
	return rows.Err()
}

// Restate stores events as the site says, those that are known too, and returns those that were not.
func Restate(ctx context.Context, q store.Querier, org id.Org, site id.Site, facts []wire.EventFact) ([]wire.EventFact, error) {
	fresh, err := Put(ctx, q, org, site, facts)
	if err != nil {
		return nil, err
	}
	made := make(map[id.Event]bool, len(fresh))
	for _, f := range fresh {
		made[f.ID] = true
	}
	for _, f := range facts {
		if made[f.ID] {
			continue
		}
		was, err := replace(ctx, q, org, site, f)
		if err == nil {
			err = unpack(ctx, q, org, site, []wire.EventFact{f, {AtUs: was}})
		}
		if err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// replace writes a known event anew and returns when it was said to have happened before.
func replace(ctx context.Context, q store.Querier, org id.Org, site id.Site, f wire.EventFact) (was int64, err error) {
	rows, err := q.QueryContext(ctx, `SELECT at_us FROM event WHERE org = $1 AND site = $2 AND id = $3`, org, site, f.ID)
	all, err := bulk.Collect(rows, err, "event", func(rows *sql.Rows) (at int64, err error) { return at, rows.Scan(&at) })
	if err != nil || len(all) == 0 {
		return f.AtUs, err
	}
	_, err = q.ExecContext(ctx, `UPDATE event SET camera = $4, kind = $5, source = $6, at_us = $7, end_us = $8, text = $9, data = $10
		WHERE org = $1 AND site = $2 AND id = $3`, org, site, f.ID, f.Camera, f.Kind, f.Source, f.AtUs, f.EndUs, f.Text, string(f.Data))
	if err != nil {
		return 0, fmt.Errorf("restate event: %w", err)
	}
	return all[0], nil
}

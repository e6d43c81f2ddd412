package health

import (
	"context"
	"database/sql"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
)

// State is when a site was last heard of and what changes with every heartbeat.
type State struct {
	agents.Ref
	SeenUs int64
	Body   []byte // JSON of the writer
}

// PutStates stores the states of many sites.
func PutStates(ctx context.Context, q store.Querier, states []State) error {
	rows := bulk.New(5, len(states))
	for _, s := range states {
		rows.Add(s.Site, s.Org, s.Agent, s.SeenUs, string(s.Body))
	}
	err := rows.Exec(ctx, q, `INSERT INTO site_state (site, org, agent, seen_us, body)`,
		`ON CONFLICT (site) DO UPDATE SET agent = excluded.agent, seen_us = excluded.seen_us, body = excluded.body
		WHERE site_state.org = excluded.org`)
	if err != nil {
		return fmt.Errorf("store states of sites: %w", err)
	}
	return nil
}

// Report is what a site last said of itself in full.
type Report struct {
	agents.Ref
	AtUs int64
	Body []byte // JSON of the writer
}

// PutReports stores the reports of many sites.
func PutReports(ctx context.Context, q store.Querier, reports []Report) error {
	rows := bulk.New(4, len(reports))
	for _, r := range reports {
		rows.Add(r.Site, r.Org, r.AtUs, string(r.Body))
	}
	err := rows.Exec(ctx, q, `INSERT INTO site_report (site, org, at_us, body)`,
		`ON CONFLICT (site) DO UPDATE SET at_us = excluded.at_us, body = excluded.body WHERE site_report.org = excluded.org`)
	if err != nil {
		return fmt.Errorf("store reports of sites: %w", err)
	}
	return nil
}

// States calls fn for each site that was ever heard of and is not removed, with its state and its last report,
// whose Body is empty if there is none.
func States(ctx context.Context, q store.Querier, scope store.Scope, fn func(State, Report) error) error {
	rows, err := q.QueryContext(ctx, `SELECT s.org, s.site, s.agent, s.seen_us, s.body, COALESCE(r.at_us, 0), COALESCE(r.body, '')
		FROM site_state s JOIN site ON site.id = s.site AND site.deleted_us = 0 LEFT JOIN site_report r ON r.site = s.site
		WHERE ($1 = '*' OR s.org = $1)`, scope.Filter())
	if err != nil {
		return fmt.Errorf("list states of sites: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s State
		var r Report
		var body, report sql.RawBytes
		if err := rows.Scan(&s.Org, &s.Site, &s.Agent, &s.SeenUs, &body, &r.AtUs, &report); err != nil {
			return fmt.Errorf("read state of site: %w", err)
		}
		r.Ref = s.Ref
		s.Body, r.Body = append([]byte(nil), body...), append([]byte(nil), report...)
		if err := fn(s, r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// DropState forgets a site's state and report: its agent was removed.
func DropState(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) error {
	for _, statement := range []string{
		`DELETE FROM site_state WHERE ($1 = '*' OR org = $1) AND site = $2`,
		`DELETE FROM site_report WHERE ($1 = '*' OR org = $1) AND site = $2`,
	} {
		if _, err := q.ExecContext(ctx, statement, scope.Filter(), site); err != nil {
			return fmt.Errorf("forget state of site: %w", err)
		}
	}
	return nil
}

// LiftConfig raises the version of a site's desired configuration to at least version, for a site that holds a
// newer one than the database.
func LiftConfig(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, version int64) error {
	_, err := q.ExecContext(ctx, `UPDATE site SET config = $3 WHERE ($1 = '*' OR org = $1) AND id = $2 AND config < $3`,
		scope.Filter(), site, version)
	if err != nil {
		return fmt.Errorf("raise version of desired configuration: %w", err)
	}
	return nil
}

package health

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// Kinds of incidents.
const (
	Dark   = "dark"   // the site is not heard of
	Losing = "losing" // the site says that retention will take chosen clips before the line can carry them
)

// Incident is one problem as people see it.
type Incident struct {
	ID        id.Incident
	Org       id.Org
	Site      id.Site
	Kind      string
	StartUs   int64    // of Dark: when the site was last heard of; of Losing: since when the site foretells a loss
	SaidUs    int64    // when Holdfast said so
	EndUs     int64    // when it was heard of again, or foretold none any more; 0 while it lasts
	SettledUs int64    // when the incident was closed; 0 before
	Silences  int      // how many times it began before it was closed, from 1
	Cause     string   // a word of the writer
	Outcome   string   // of Dark: up, restarted, rebooted; of Losing: kept, lost; empty while unknown
	Text      string   // for a person
	Report    []string // sentences: what the site said last
}

const incidentColumns = `id, org, site, kind, start_us, said_us, end_us, settled_us, silences, cause, outcome, text, report`

func scanIncident(row interface{ Scan(...any) error }) (i Incident, err error) {
	var report string
	err = row.Scan(&i.ID, &i.Org, &i.Site, &i.Kind, &i.StartUs, &i.SaidUs, &i.EndUs, &i.SettledUs, &i.Silences, &i.Cause,
		&i.Outcome, &i.Text, &report)
	if err != nil {
		return i, err
	}
	return i, json.Unmarshal([]byte(report), &i.Report)
}

// PutIncident stores an incident or replaces what is known of it.
func PutIncident(ctx context.Context, q store.Querier, i Incident) error {
	if i.Report == nil {
		i.Report = []string{}
	}
	report, err := json.Marshal(i.Report)
	if err != nil {
		return fmt.Errorf("encode report of incident: %w", err)
	}
	_, err = q.ExecContext(ctx, `INSERT INTO incident (`+incidentColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (id) DO UPDATE SET end_us = excluded.end_us, settled_us = excluded.settled_us,
			silences = excluded.silences, cause = excluded.cause, outcome = excluded.outcome, text = excluded.text,
			report = excluded.report
		WHERE incident.org = excluded.org`,
		i.ID, i.Org, i.Site, i.Kind, i.StartUs, i.SaidUs, i.EndUs, i.SettledUs, i.Silences, i.Cause, i.Outcome, i.Text, string(report))
	if err != nil {
		return fmt.Errorf("store incident: %w", err)
	}
	return nil
}

// GetIncident returns one incident.
func GetIncident(ctx context.Context, q store.Querier, scope store.Scope, incident id.Incident) (Incident, error) {
	i, err := scanIncident(q.QueryRowContext(ctx, `SELECT `+incidentColumns+` FROM incident
		WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), incident))
	if errors.Is(err, sql.ErrNoRows) {
		return Incident{}, store.ErrNotFound
	}
	if err != nil {
		return Incident{}, fmt.Errorf("get incident: %w", err)
	}
	return i, nil
}

// OpenIncidents returns the incidents that are not settled.
func OpenIncidents(ctx context.Context, q store.Querier, scope store.Scope) ([]Incident, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+incidentColumns+` FROM incident
		WHERE ($1 = '*' OR org = $1) AND settled_us = 0 ORDER BY start_us`, scope.Filter())
	return bulk.Collect(rows, err, "open incidents", func(rows *sql.Rows) (Incident, error) { return scanIncident(rows) })
}

// IncidentFilter says which incidents are wanted. Zero values do not filter.
type IncidentFilter struct {
	Sites  []id.Site // the sites that the reader is limited to: nil means every site of the scope, empty none
	Site   id.Site
	Kind   string
	FromUs int64 // ended at or after, or lasts
	ToUs   int64 // started before
	Before string
	Limit  int // 1 to 500; 0 is 100
}

// ErrCursor says that IncidentFilter.Before is not what Incidents answered.
var ErrCursor = errors.New("not a cursor of this list: start again without 'before'")

// Incidents returns incidents, newest first, and the cursor for older ones, empty at the end.
func Incidents(ctx context.Context, q store.Querier, scope store.Scope, f IncidentFilter) ([]Incident, string, error) {
	limit := min(max(f.Limit, 0), 500)
	if limit == 0 {
		limit = 100
	}
	to, before, last := int64(Lasts), int64(Lasts), ""
	if f.ToUs != 0 {
		to = f.ToUs
	}
	if f.Before != "" {
		at, row, ok := strings.Cut(f.Before, ".")
		us, err := strconv.ParseInt(at, 10, 64)
		if _, bad := id.Parse[id.Incident](row); !ok || err != nil || bad != nil {
			return nil, "", ErrCursor
		}
		before, last = us, row
	}
	// Written out, for "$1 = '*' OR org = $1" keeps SQLite from using an index.
	where := `org = $1`
	if scope.OrgID() == "" {
		where = `$1 = '*'`
	}
	if f.Site != "" {
		where += ` AND site = $6`
	}
	rows, err := q.QueryContext(ctx, `SELECT `+incidentColumns+` FROM incident WHERE `+where+`
		AND start_us < $2 AND (start_us, id) < ($3, $4) AND (end_us = 0 OR end_us >= $5)
		AND ($6 = '' OR site = $6) AND ($7 = '*' OR $7 LIKE '%' || site || '%') AND ($9 = '' OR kind = $9)
		ORDER BY start_us DESC, id DESC LIMIT $8`,
		scope.Filter(), to, before, last, f.FromUs, f.Site, orgs.SiteFilter(f.Sites), limit+1, f.Kind)
	out, err := bulk.Collect(rows, err, "incidents", func(rows *sql.Rows) (Incident, error) { return scanIncident(rows) })
	if err != nil || len(out) <= limit {
		return out, "", err
	}
	out = out[:limit]
	return out, strconv.FormatInt(out[limit-1].StartUs, 10) + "." + string(out[limit-1].ID), nil
}

// LastIncidents returns of each site and kind the settled incident that began last.
func LastIncidents(ctx context.Context, q store.Querier, scope store.Scope) ([]Incident, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+incidentColumns+` FROM incident
		WHERE ($1 = '*' OR org = $1) AND settled_us > 0 AND start_us = (
			SELECT max(l.start_us) FROM incident l WHERE l.site = incident.site AND l.kind = incident.kind AND l.settled_us > 0)`, scope.Filter())
	return bulk.Collect(rows, err, "last incidents", func(rows *sql.Rows) (Incident, error) { return scanIncident(rows) })
}

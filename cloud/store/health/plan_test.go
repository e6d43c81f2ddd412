package health_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/alerts"
	"holdfast/cloud/store/coverage"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/marks"
	"holdfast/shared/id"
	"holdfast/testenv/db"
)

// spy explains every query that goes through it and then runs it.
type spy struct {
	store.Querier
	t     *testing.T
	plans []string
}

func (s *spy) explain(ctx context.Context, query string, args []any) {
	rows, err := s.Querier.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var a, b, c int
		var detail string
		if err := rows.Scan(&a, &b, &c, &detail); err != nil {
			s.t.Fatal(err)
		}
		s.plans = append(s.plans, detail)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *spy) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s.explain(ctx, query, args)
	return s.Querier.QueryContext(ctx, query, args...)
}

func (s *spy) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s.explain(ctx, query, args)
	return s.Querier.QueryRowContext(ctx, query, args...)
}

// TestQueriesUseIndexes checks that nothing that is asked while people look or facts come in reads a whole table.
func TestQueriesUseIndexes(t *testing.T) {
	ctx, d := t.Context(), db.SQLite(t)
	org, site, agent, cam := id.New[id.Org](), id.New[id.Site](), id.New[id.Agent](), id.New[id.Camera]()
	scope := store.Org(org)
	for name, query := range map[string]func(q store.Querier) error{
		"coverage": func(q store.Querier) error {
			_, err := coverage.Coverage(ctx, q, scope, cam, id.Main, 100, 200)
			return err
		},
		"runs":     func(q store.Querier) error { _, err := health.Runs(ctx, q, scope, site, 1, 2); return err },
		"outages":  func(q store.Querier) error { _, err := health.Outages(ctx, q, scope, site, 1, 2); return err },
		"failures": func(q store.Querier) error { _, err := health.Failures(ctx, q, scope, site, 1, 2); return err },
		"incidents": func(q store.Querier) error {
			_, _, err := health.Incidents(ctx, q, scope, health.IncidentFilter{Before: "5." + string(id.New[id.Incident]())})
			return err
		},
		"incidents of a site": func(q store.Querier) error {
			_, _, err := health.Incidents(ctx, q, scope, health.IncidentFilter{Site: site})
			return err
		},
		"open incidents": func(q store.Querier) error {
			_, err := health.OpenIncidents(ctx, q, store.System(store.UseWatch))
			return err
		},
		"mark": func(q store.Querier) error {
			_, err := marks.Get(ctx, q, scope, marks.Queue{Agent: agent, Epoch: "e"})
			return err
		},
		"marks":   func(q store.Querier) error { _, err := marks.List(ctx, q, scope, agent, "e"); return err },
		"parked":  func(q store.Querier) error { _, err := marks.ListParked(ctx, q, scope, site, 5); return err },
		"cameras": func(q store.Querier) error { _, err := marks.Cameras(ctx, q, scope, site); return err },
		"due": func(q store.Querier) error {
			_, err := alerts.Due(ctx, q, store.System(store.UseWatch), 5, 10)
			return err
		},
		"next due": func(q store.Querier) error {
			_, _, err := alerts.NextDue(ctx, q, store.System(store.UseWatch))
			return err
		},
		"deliveries": func(q store.Querier) error { _, err := alerts.Deliveries(ctx, q, scope, "x", 5); return err },
		"targets":    func(q store.Querier) error { _, err := alerts.Targets(ctx, q, scope, org); return err },
	} {
		s := &spy{Querier: d.Read(), t: t}
		if err := query(s); err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(s.plans, "\n")
		for _, line := range s.plans {
			// Rows that are few by themselves (pending deliveries, open incidents) are scanned in their own index.
			if strings.HasPrefix(line, "SCAN ") && !strings.Contains(line, "USING INDEX") && !strings.Contains(line, "newest") &&
				!strings.Contains(line, "CONSTANT ROW") {
				t.Errorf("%s reads a whole table:\n%s", name, plan)
			}
		}
	}
}

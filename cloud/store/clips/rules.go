package clips

import (
	"context"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Rule chooses clips by events.
type Rule struct {
	ID        id.Rule
	Org       id.Org
	Name      string
	EventKind string
	Site      id.Site // empty: every site
	// Camera narrows the rule to events of this camera, and takes those of its site that name no camera; empty: every
	// event that names one, on that camera.
	Camera    id.Camera
	PreS      int // seconds before the event
	PostS     int // seconds after it
	Stream    id.StreamKind
	Enabled   bool
	CreatedUs int64
	Hours     Hours
	Priority  wire.Priority
	KeepDays  int // of the clips that it chooses; ByDefault, ForEver
}

const ruleColumns = `id, org, name, event_kind, site, camera, pre_s, post_s, stream, enabled, created_us,
	hours, priority, keep_days`

func scanRule(row interface{ Scan(...any) error }) (Rule, error) {
	var r Rule
	var enabled int64
	var hours string
	err := row.Scan(&r.ID, &r.Org, &r.Name, &r.EventKind, &r.Site, &r.Camera, &r.PreS, &r.PostS, &r.Stream, &enabled, &r.CreatedUs,
		&hours, &r.Priority, &r.KeepDays)
	if err != nil {
		return Rule{}, store.Found("read rule", err)
	}
	r.Enabled = enabled != 0
	r.Hours, err = parseHours(hours)
	return r, err
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// InsertRule adds a rule.
func InsertRule(ctx context.Context, q store.Querier, r Rule) error {
	_, err := q.ExecContext(ctx, `INSERT INTO clip_rule (`+ruleColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		r.ID, r.Org, r.Name, r.EventKind, r.Site, r.Camera, r.PreS, r.PostS, r.Stream, flag(r.Enabled), r.CreatedUs,
		r.Hours.text(), r.Priority, r.KeepDays)
	if err != nil {
		return fmt.Errorf("insert rule: %w", err)
	}
	return nil
}

// UpdateRule replaces a rule's fields.
func UpdateRule(ctx context.Context, q store.Querier, scope store.Scope, r Rule) error {
	return store.One(q.ExecContext(ctx, `UPDATE clip_rule SET name = $3, event_kind = $4, site = $5, camera = $6, pre_s = $7, post_s = $8,
		stream = $9, enabled = $10, hours = $11, priority = $12, keep_days = $13 WHERE ($1 = '*' OR org = $1) AND id = $2`,
		scope.Filter(), r.ID, r.Name, r.EventKind, r.Site, r.Camera, r.PreS, r.PostS, r.Stream, flag(r.Enabled), r.Hours.text(), r.Priority,
		r.KeepDays))
}

// DeleteRule removes a rule; the clips that it chose stay.
func DeleteRule(ctx context.Context, q store.Querier, scope store.Scope, rule id.Rule) error {
	return store.One(q.ExecContext(ctx, `DELETE FROM clip_rule WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), rule))
}

// GetRule returns one rule.
func GetRule(ctx context.Context, q store.Querier, scope store.Scope, rule id.Rule) (Rule, error) {
	return scanRule(q.QueryRowContext(ctx, `SELECT `+ruleColumns+` FROM clip_rule WHERE ($1 = '*' OR org = $1) AND id = $2`,
		scope.Filter(), rule))
}

// Rules returns rules by name; kind "" means all kinds of event.
func Rules(ctx context.Context, q store.Querier, scope store.Scope, kind string) ([]Rule, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+ruleColumns+` FROM clip_rule WHERE ($1 = '*' OR org = $1)
		AND ($2 = '' OR event_kind = $2) ORDER BY name, id LIMIT 1000`, scope.Filter(), kind)
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	defer func() { _ = rows.Close() }()
	out := []Rule{}
	for rows.Next() {
		r, err := scanRule(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

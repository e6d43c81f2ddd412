// Package alerts holds the SQL of who is told of incidents, and of what became of telling them.
//
// A delivery is made in the transaction of its incident, once for each target and phase, and it is due until it
// is accepted, superseded or given up; so a message outlives a restart and is not sent again once it was taken.
package alerts

import (
	"context"
	"database/sql"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
)

// Kind says how a target is told.
type Kind string

// Kinds of targets.
const (
	Email   Kind = "email"
	Webhook Kind = "webhook"
)

// Target is somebody or something that is told of incidents.
type Target struct {
	ID        string // minted by the writer
	Org       id.Org
	Kind      Kind
	Address   string // e-mail address or URL
	Secret    string // of a webhook
	CreatedUs int64
}

// Phase says what a delivery tells.
type Phase string

// Phases of an incident.
const (
	Dark   Phase = "dark"   // a site is not heard of
	Back   Phase = "back"   // it is heard of again
	Losing Phase = "losing" // a site will lose chosen clips
	Over   Phase = "over"   // it loses none any more: they are kept, or lost
)

// Ends reports whether the phase is the end of its incident.
func (p Phase) Ends() bool { return p == Back || p == Over }

// State is what became of a delivery.
type State string

// States of a delivery; all but Pending are final.
const (
	Pending    State = "pending"
	Accepted   State = "accepted"   // the mail server or the webhook took it
	Superseded State = "superseded" // the incident ended before the message could be sent; another tells both
	Failed     State = "failed"     // given up
)

// Delivery is the telling of one phase of one incident to one target.
type Delivery struct {
	Org       id.Org
	Incident  id.Incident
	Target    string
	Phase     Phase
	State     State
	Tries     int
	DueUs     int64 // not before
	CreatedUs int64
	ChangedUs int64
	Error     string // of the last try, for a person
}

const targetColumns = `id, org, kind, address, secret, created_us`

func scanTarget(rows interface{ Scan(...any) error }) (t Target, err error) {
	return t, rows.Scan(&t.ID, &t.Org, &t.Kind, &t.Address, &t.Secret, &t.CreatedUs)
}

// Targets returns the targets of an organisation, in the order in which they were added.
func Targets(ctx context.Context, q store.Querier, scope store.Scope, org id.Org) ([]Target, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+targetColumns+` FROM alert_target
		WHERE ($1 = '*' OR org = $1) AND org = $2 ORDER BY created_us, kind, address`, scope.Filter(), org)
	return bulk.Collect(rows, err, "alert targets", func(rows *sql.Rows) (Target, error) { return scanTarget(rows) })
}

// GetTarget returns one target.
func GetTarget(ctx context.Context, q store.Querier, scope store.Scope, target string) (Target, error) {
	t, err := scanTarget(q.QueryRowContext(ctx, `SELECT `+targetColumns+` FROM alert_target
		WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), target))
	return t, store.Found("get alert target", err)
}

// PutTarget stores a target or a new secret for it.
func PutTarget(ctx context.Context, q store.Querier, t Target) error {
	_, err := q.ExecContext(ctx, `INSERT INTO alert_target (`+targetColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (org, kind, address) DO UPDATE SET secret = excluded.secret`,
		t.ID, t.Org, string(t.Kind), t.Address, t.Secret, t.CreatedUs)
	if err != nil {
		return fmt.Errorf("store alert target: %w", err)
	}
	return nil
}

// DropTarget removes a target and its deliveries.
func DropTarget(ctx context.Context, q store.Querier, scope store.Scope, target string) error {
	_, err := q.ExecContext(ctx, `DELETE FROM alert_target WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), target)
	if err != nil {
		return fmt.Errorf("remove alert target: %w", err)
	}
	return nil
}

// Enqueue makes a pending delivery of a phase of an incident to each target of the organisation. One that is
// there already, in whatever state, stays as it is.
func Enqueue(ctx context.Context, q store.Querier, org id.Org, incident id.Incident, phase Phase, nowUs, dueUs int64) error {
	targets, err := Targets(ctx, q, store.Org(org), org)
	if err != nil {
		return err
	}
	rows := bulk.New(10, len(targets))
	for _, t := range targets {
		rows.Add(org, incident, t.ID, string(phase), string(Pending), 0, dueUs, nowUs, nowUs, "")
	}
	err = rows.Exec(ctx, q, `INSERT INTO delivery
			(org, incident, target, phase, state, tries, due_us, created_us, changed_us, error)`,
		`ON CONFLICT (incident, target, phase) DO NOTHING`)
	if err != nil {
		return fmt.Errorf("store deliveries: %w", err)
	}
	return nil
}

const deliveryColumns = `org, incident, target, phase, state, tries, due_us, created_us, changed_us, error`

func scanDelivery(rows *sql.Rows) (d Delivery, err error) {
	return d, rows.Scan(&d.Org, &d.Incident, &d.Target, &d.Phase, &d.State, &d.Tries, &d.DueUs, &d.CreatedUs, &d.ChangedUs, &d.Error)
}

// Due returns the pending deliveries that are due, the longest due first, at most limit.
func Due(ctx context.Context, q store.Querier, scope store.Scope, nowUs int64, limit int) ([]Delivery, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+deliveryColumns+` FROM delivery
		WHERE ($1 = '*' OR org = $1) AND state = 'pending' AND due_us <= $2 ORDER BY due_us LIMIT $3`,
		scope.Filter(), nowUs, limit)
	return bulk.Collect(rows, err, "due deliveries", scanDelivery)
}

// NextDue returns when the next pending delivery is due; ok is false if there is none.
func NextDue(ctx context.Context, q store.Querier, scope store.Scope) (us int64, ok bool, err error) {
	var next sql.NullInt64
	err = q.QueryRowContext(ctx, `SELECT min(due_us) FROM delivery WHERE ($1 = '*' OR org = $1) AND state = 'pending'`,
		scope.Filter()).Scan(&next)
	if err != nil {
		return 0, false, fmt.Errorf("find next delivery: %w", err)
	}
	return next.Int64, next.Valid, nil
}

// Deliveries returns what became of the tellings to a target, newest first, at most limit.
func Deliveries(ctx context.Context, q store.Querier, scope store.Scope, target string, limit int) ([]Delivery, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+deliveryColumns+` FROM delivery
		WHERE ($1 = '*' OR org = $1) AND target = $2 ORDER BY created_us DESC, phase LIMIT $3`, scope.Filter(), target, limit)
	return bulk.Collect(rows, err, "deliveries", scanDelivery)
}

// Update stores what became of a pending delivery; a final one stays as it is.
func Update(ctx context.Context, q store.Querier, d Delivery) error {
	_, err := q.ExecContext(ctx, `UPDATE delivery SET state = $5, tries = $6, due_us = $7, changed_us = $8, error = $9
		WHERE org = $1 AND incident = $2 AND target = $3 AND phase = $4 AND state = 'pending'`,
		d.Org, d.Incident, d.Target, string(d.Phase), string(d.State), d.Tries, d.DueUs, d.ChangedUs, d.Error)
	if err != nil {
		return fmt.Errorf("store delivery: %w", err)
	}
	return nil
}

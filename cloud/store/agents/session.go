package agents

import (
	"context"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// ErrHeld says that another replica of the cloud holds a session of this agent.
var ErrHeld = errors.New("another replica holds a session of this agent")

// Session is the open session of an agent.
type Session struct {
	Agent    id.Agent
	Org      id.Org
	Session  id.Session
	Replica  string
	OpenedUs int64
	LeaseUs  int64 // the row belongs to nobody after this
}

// OpenSession records s in place of an earlier session of the same replica or one whose lease ended before
// s.OpenedUs; ErrHeld if another replica has one.
func OpenSession(ctx context.Context, d *store.DB, scope store.Scope, s Session) error {
	return d.Tx(ctx, func(q store.Querier) error {
		res, err := q.ExecContext(ctx, `INSERT INTO agent_session (agent, org, session, replica, opened_us, lease_us)
			SELECT id, org, $3, $4, CAST($5 AS BIGINT), CAST($6 AS BIGINT) FROM agent WHERE ($1 = '*' OR org = $1) AND id = $2 AND revoked_us = 0
			ON CONFLICT (agent) DO UPDATE SET session = excluded.session, replica = excluded.replica,
				opened_us = excluded.opened_us, lease_us = excluded.lease_us
			WHERE agent_session.replica = excluded.replica OR agent_session.lease_us < excluded.opened_us`,
			scope.Filter(), s.Agent, s.Session, s.Replica, s.OpenedUs, s.LeaseUs)
		return one(res, err, "open session", ErrHeld)
	})
}

// GetSession returns the open session of an agent; store.ErrNotFound if there is none whose lease holds.
func GetSession(ctx context.Context, d *store.DB, scope store.Scope, agent id.Agent, nowUs int64) (Session, error) {
	var s Session
	err := d.Read().QueryRowContext(ctx, `SELECT agent, org, session, replica, opened_us, lease_us FROM agent_session
		WHERE ($1 = '*' OR org = $1) AND agent = $2 AND lease_us >= $3`, scope.Filter(), agent, nowUs).
		Scan(&s.Agent, &s.Org, &s.Session, &s.Replica, &s.OpenedUs, &s.LeaseUs)
	return s, store.Found("read session", err)
}

// CloseSession removes the session's row, if it is still its own, and notes when the agent was last seen.
func CloseSession(ctx context.Context, d *store.DB, scope store.Scope, agent id.Agent, session id.Session, nowUs int64) error {
	return d.Tx(ctx, func(q store.Querier) error {
		_, err := q.ExecContext(ctx, `DELETE FROM agent_session
			WHERE ($1 = '*' OR org = $1) AND agent = $2 AND session = $3`, scope.Filter(), agent, session)
		if err != nil {
			return fmt.Errorf("close session: %w", err)
		}
		_, err = q.ExecContext(ctx, `UPDATE agent SET last_seen_us = $3 WHERE ($1 = '*' OR org = $1) AND id = $2`,
			scope.Filter(), agent, nowUs)
		if err != nil {
			return fmt.Errorf("note when the agent was last seen: %w", err)
		}
		return nil
	})
}

// RenewLeases moves the lease of every session of a replica to leaseUs.
func RenewLeases(ctx context.Context, d *store.DB, scope store.Scope, replica string, leaseUs int64) error {
	return d.Tx(ctx, func(q store.Querier) error {
		_, err := q.ExecContext(ctx, `UPDATE agent_session SET lease_us = $3
			WHERE ($1 = '*' OR org = $1) AND replica = $2`, scope.Filter(), replica, leaseUs)
		if err != nil {
			return fmt.Errorf("renew leases: %w", err)
		}
		return nil
	})
}

// DropReplica removes the sessions that an earlier run of a replica left behind, and notes that their agents
// were last seen when the lease was last renewed, leaseUs before its end.
func DropReplica(ctx context.Context, d *store.DB, scope store.Scope, replica string, leaseUs int64) error {
	return d.Tx(ctx, func(q store.Querier) error {
		_, err := q.ExecContext(ctx, `UPDATE agent SET last_seen_us =
				(SELECT s.lease_us - $3 FROM agent_session s WHERE s.agent = agent.id)
			WHERE ($1 = '*' OR org = $1) AND id IN (SELECT agent FROM agent_session WHERE replica = $2)`,
			scope.Filter(), replica, leaseUs)
		if err != nil {
			return fmt.Errorf("note when agents were last seen: %w", err)
		}
		_, err = q.ExecContext(ctx, `DELETE FROM agent_session WHERE ($1 = '*' OR org = $1) AND replica = $2`,
			scope.Filter(), replica)
		if err != nil {
			return fmt.Errorf("drop sessions of an earlier run: %w", err)
		}
		return nil
	})
}

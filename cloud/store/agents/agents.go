// Package agents keeps the rows of enrolment codes, agents and their open sessions.
//
// It promises that a code makes at most one agent, that a site has at most one agent that is not revoked, and
// that an agent has at most one session among all replicas of the cloud. It never sees a code's secret: only
// the key that is derived from it.
package agents

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// Ref names an agent together with the site and the organisation that it belongs to.
type Ref struct {
	Org   id.Org   `json:"org"`
	Site  id.Site  `json:"site"`
	Agent id.Agent `json:"agent"`
}

// Scope returns the scope of the agent's organisation.
func (r Ref) Scope() store.Scope { return store.Org(r.Org) }

// Why says why an agent was revoked.
type Why string

// Reasons of a revocation.
const (
	ByPerson Why = "person"   // somebody removed the agent from its site
	Replaced Why = "replaced" // another machine was enrolled at the same site
)

// Agent is one enrolled installation of the agent.
type Agent struct {
	Ref
	Code        id.Code
	Key         ed25519.PublicKey // signs every request and frame
	SealKey     []byte            // X25519, 32 bytes
	EvidenceKey ed25519.PublicKey
	Host        string
	OS          string
	EnrolledUs  int64
	LastSeenUs  int64 // end of the last session; 0 if there was none
	RevokedUs   int64 // 0: not revoked
	RevokedWhy  Why
}

const columns = `id, org, site, code, key, seal_key, evidence_key, host, os, enrolled_us, last_seen_us, revoked_us, revoked_why`

func scan(row interface{ Scan(...any) error }) (Agent, error) {
	var a Agent
	var key, evidence []byte
	err := row.Scan(&a.Agent, &a.Org, &a.Site, &a.Code, &key, &a.SealKey, &evidence, &a.Host, &a.OS,
		&a.EnrolledUs, &a.LastSeenUs, &a.RevokedUs, &a.RevokedWhy)
	if err != nil {
		return Agent{}, store.Found("read agent", err)
	}
	a.Key, a.EvidenceKey = key, evidence
	return a, nil
}

// Get returns an agent, revoked or not.
func Get(ctx context.Context, d *store.DB, scope store.Scope, agent id.Agent) (Agent, error) {
	return get(ctx, d.Read(), scope, agent)
}

func get(ctx context.Context, q store.Querier, scope store.Scope, agent id.Agent) (Agent, error) {
	return scan(q.QueryRowContext(ctx, `SELECT `+columns+` FROM agent WHERE ($1 = '*' OR org = $1) AND id = $2`,
		scope.Filter(), agent))
}

// OfSite returns the agent of a site that is not revoked.
func OfSite(ctx context.Context, d *store.DB, scope store.Scope, site id.Site) (Agent, error) {
	return scan(d.Read().QueryRowContext(ctx, `SELECT `+columns+` FROM agent
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND revoked_us = 0`, scope.Filter(), site))
}

// List returns the agents that are not revoked, by site.
func List(ctx context.Context, d *store.DB, scope store.Scope) ([]Agent, error) {
	rows, err := d.Read().QueryContext(ctx, `SELECT `+columns+` FROM agent
		WHERE ($1 = '*' OR org = $1) AND revoked_us = 0 ORDER BY site`, scope.Filter())
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []Agent
	for rows.Next() {
		a, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// Revoke ends an agent's identity; it is store.ErrNotFound if no agent of the scope has the ID, and nil if it
// was revoked before.
func Revoke(ctx context.Context, d *store.DB, scope store.Scope, agent id.Agent, nowUs int64) error {
	return d.Tx(ctx, func(q store.Querier) error {
		if _, err := get(ctx, q, scope, agent); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, `UPDATE agent SET revoked_us = $3, revoked_why = 'person'
			WHERE ($1 = '*' OR org = $1) AND id = $2 AND revoked_us = 0`, scope.Filter(), agent, nowUs)
		if err != nil {
			return fmt.Errorf("revoke agent: %w", err)
		}
		return nil
	})
}

package agents

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// ErrExpired says that a code's hour is over.
var ErrExpired = errors.New("the code has expired")

// ErrUsed says that another machine has used the code.
var ErrUsed = errors.New("the code was used by another machine")

// errRace says that another transaction enrolled an agent at the same site at the same moment.
var errRace = errors.New("another enrolment at this site was faster")

// Code is an enrolment code without its secret.
type Code struct {
	ID        id.Code
	Org       id.Org
	Site      id.Site
	Lookup    string    // first four characters: finds it, proves nothing
	Key       []byte    // 32 bytes, derived from the secret
	By        id.Person // empty: made on the server's command line
	CreatedUs int64
	ExpiresUs int64
	UsedUs    int64    // 0: not used
	Agent     id.Agent // who used it
}

// CodeState is what became of a code.
type CodeState string

// States of a code.
const (
	Waiting CodeState = "waiting"
	Used    CodeState = "used"
	Expired CodeState = "expired"
)

// State returns the code's state at nowUs.
func (c Code) State(nowUs int64) CodeState {
	switch {
	case c.UsedUs != 0:
		return Used
	case nowUs >= c.ExpiresUs:
		return Expired
	default:
		return Waiting
	}
}

const codeColumns = `id, org, site, lookup, key, made_by, created_us, expires_us, used_us, agent`

func scanCode(row *sql.Row) (Code, error) {
	var c Code
	err := row.Scan(&c.ID, &c.Org, &c.Site, &c.Lookup, &c.Key, &c.By, &c.CreatedUs, &c.ExpiresUs, &c.UsedUs, &c.Agent)
	return c, store.Found("read enrolment code", err)
}

// PutCode stores a new code for a site of the scope: store.ErrNotFound without such a site, store.ErrConflict
// if the lookup is in use (the caller makes another code).
func PutCode(ctx context.Context, d *store.DB, scope store.Scope, c Code) error {
	return d.Tx(ctx, func(q store.Querier) error {
		var org id.Org
		err := q.QueryRowContext(ctx, `SELECT org FROM site WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`,
			scope.Filter(), c.Site).Scan(&org)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("find the code's site: %w", err)
		}
		res, err := q.ExecContext(ctx, `INSERT INTO enrol_code (id, org, site, lookup, key, made_by, created_us, expires_us)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
			c.ID, org, c.Site, c.Lookup, c.Key, c.By, c.CreatedUs, c.ExpiresUs)
		return one(res, err, "store enrolment code", store.ErrConflict)
	})
}

// one turns the result of a statement that changes one row or none into an error; none is the error for none.
func one(res sql.Result, err error, what string, none error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n == 0 {
		return none
	}
	return nil
}

// GetCode returns a code by its ID.
func GetCode(ctx context.Context, d *store.DB, scope store.Scope, code id.Code) (Code, error) {
	return scanCode(d.Read().QueryRowContext(ctx, `SELECT `+codeColumns+` FROM enrol_code
		WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), code))
}

// FindCode returns a code by its lookup, in any state.
func FindCode(ctx context.Context, d *store.DB, scope store.Scope, lookup string) (Code, error) {
	return scanCode(d.Read().QueryRowContext(ctx, `SELECT `+codeColumns+` FROM enrol_code
		WHERE ($1 = '*' OR org = $1) AND lookup = $2`, scope.Filter(), lookup))
}

// Redemption is what Redeem did.
type Redemption struct {
	Agent    Agent
	Again    bool     // the same machine had used the code before: nothing changed
	Replaced id.Agent // the site's former agent, revoked by this one; empty if there was none
}

// Redeem turns a code into the agent a, whose organisation, site and code are taken from the code. The same
// code with the same key returns the same agent for as long as the code's row is kept. ErrExpired, ErrUsed and
// store.ErrNotFound say why not; of two that come at once, one gets ErrUsed.
func Redeem(ctx context.Context, d *store.DB, scope store.Scope, code id.Code, a Agent, nowUs int64) (Redemption, error) {
	for range 3 {
		var out Redemption
		err := d.Tx(ctx, func(q store.Querier) error {
			var err error
			out, err = redeem(ctx, q, scope, code, a, nowUs)
			return err
		})
		if !errors.Is(err, errRace) {
			return out, err
		}
	}
	return Redemption{}, errRace
}

func redeem(ctx context.Context, q store.Querier, scope store.Scope, code id.Code, a Agent, nowUs int64) (Redemption, error) {
	res, err := q.ExecContext(ctx, `UPDATE enrol_code SET used_us = $3, agent = $4
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND used_us = 0 AND expires_us > $3`, scope.Filter(), code, nowUs, a.Agent)
	if err := one(res, err, "use enrolment code", errNotFresh); err != nil {
		if !errors.Is(err, errNotFresh) {
			return Redemption{}, err
		}
		return again(ctx, q, scope, code, a, nowUs)
	}
	c, err := scanCode(q.QueryRowContext(ctx, `SELECT `+codeColumns+` FROM enrol_code
		WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), code))
	if err != nil {
		return Redemption{}, err
	}
	a.Org, a.Site, a.Code, a.EnrolledUs = c.Org, c.Site, c.ID, nowUs
	out := Redemption{Agent: a}
	err = q.QueryRowContext(ctx, `UPDATE agent SET revoked_us = $3, revoked_why = 'replaced'
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND revoked_us = 0 RETURNING id`, scope.Filter(), a.Site, nowUs).Scan(&out.Replaced)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Redemption{}, fmt.Errorf("revoke the site's former agent: %w", err)
	}
	res, err = q.ExecContext(ctx, `INSERT INTO agent (id, org, site, code, key, seal_key, evidence_key, host, os, enrolled_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		a.Agent, a.Org, a.Site, a.Code, []byte(a.Key), a.SealKey, []byte(a.EvidenceKey), a.Host, a.OS, a.EnrolledUs)
	return out, one(res, err, "store agent", errRace)
}

// errNotFresh says that a code is used, expired or missing.
var errNotFresh = errors.New("not a fresh code")

// again answers a code that is not fresh: with the agent that used it, if it has the same key.
func again(ctx context.Context, q store.Querier, scope store.Scope, code id.Code, a Agent, nowUs int64) (Redemption, error) {
	c, err := scanCode(q.QueryRowContext(ctx, `SELECT `+codeColumns+` FROM enrol_code
		WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), code))
	if err != nil {
		return Redemption{}, err
	}
	if c.UsedUs == 0 {
		return Redemption{}, ErrExpired
	}
	old, err := get(ctx, q, scope, c.Agent)
	if err != nil {
		return Redemption{}, err
	}
	if !bytes.Equal(old.Key, a.Key) || old.RevokedUs != 0 {
		return Redemption{}, ErrUsed
	}
	return Redemption{Agent: old, Again: true}, nil
}

// SweepCodes removes codes that expired before beforeUs and returns how many.
func SweepCodes(ctx context.Context, d *store.DB, scope store.Scope, beforeUs int64) (n int64, err error) {
	err = d.Tx(ctx, func(q store.Querier) error {
		res, err := q.ExecContext(ctx, `DELETE FROM enrol_code WHERE ($1 = '*' OR org = $1) AND expires_us < $2`,
			scope.Filter(), beforeUs)
		if err != nil {
			return fmt.Errorf("remove old enrolment codes: %w", err)
		}
		n, err = res.RowsAffected()
		return err
	})
	return n, err
}

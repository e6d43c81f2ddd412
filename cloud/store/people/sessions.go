package people

import (
	"context"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// Session is a signed-in browser.
type Session struct {
	TokenHash []byte // SHA-256 of the cookie's token, 32 bytes
	ID        id.Session
	Org       id.Org
	Person    id.Person
	CreatedUs int64
	SeenUs    int64
	ExpiresUs int64 // the end, used or not
	IP        string
}

// SignedIn is a session with its person and organisation, in one read.
type SignedIn struct {
	Session Session
	Person  Person
	OrgName string
}

// AddSession stores a new session.
func AddSession(ctx context.Context, q store.Querier, s Session) error {
	_, err := q.ExecContext(ctx, `INSERT INTO portal_session (token_hash, id, org, person, created_us, seen_us, expires_us, ip)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		s.TokenHash, s.ID, s.Org, s.Person, s.CreatedUs, s.SeenUs, s.ExpiresUs, s.IP)
	if err != nil {
		return fmt.Errorf("add session: %w", err)
	}
	return nil
}

// BySession returns who holds a session, by the sum of its token; store.ErrNotFound when it ended, was not
// used since idleUs or is older than its end.
func BySession(ctx context.Context, q store.Querier, scope store.Scope, tokenHash []byte, nowUs, idleUs int64) (SignedIn, error) {
	s := SignedIn{Session: Session{TokenHash: tokenHash}}
	var all bool
	var sites string
	p := &s.Person
	err := q.QueryRowContext(ctx, `SELECT t.id, t.org, t.person, t.created_us, t.seen_us, t.expires_us, t.ip, o.name, `+columns+`
		FROM portal_session t JOIN person p ON p.id = t.person JOIN org o ON o.id = t.org
		WHERE ($1 = '*' OR t.org = $1) AND t.token_hash = $2 AND t.expires_us > $3 AND t.seen_us > $4 AND p.deleted_us = 0`,
		scope.Filter(), tokenHash, nowUs, idleUs).
		Scan(&s.Session.ID, &s.Session.Org, &s.Session.Person, &s.Session.CreatedUs, &s.Session.SeenUs, &s.Session.ExpiresUs,
			&s.Session.IP, &s.OrgName,
			&p.ID, &p.Org, &p.Email, &p.Name, &p.Role, &all, &p.Password, &p.CreatedUs, &p.LastSeenUs, &sites)
	p.Sites = siteList(all, sites)
	return s, store.Found("get session", err)
}

// Seen moves the last use of a person and holds the person's row until the transaction ends.
func Seen(ctx context.Context, q store.Querier, scope store.Scope, person id.Person, nowUs int64) error {
	return store.One(q.ExecContext(ctx, `UPDATE person SET last_seen_us = $3
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`, scope.Filter(), person, nowUs))
}

// Touch moves the last use of a session and of its person.
func Touch(ctx context.Context, q store.Querier, scope store.Scope, tokenHash []byte, person id.Person, nowUs int64) error {
	if err := Seen(ctx, q, scope, person, nowUs); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `UPDATE portal_session SET seen_us = $3 WHERE ($1 = '*' OR org = $1) AND token_hash = $2`,
		scope.Filter(), tokenHash, nowUs); err != nil {
		return fmt.Errorf("touch session: %w", err)
	}
	return nil
}

// EndSession ends one session; there is no error if it ended already.
func EndSession(ctx context.Context, q store.Querier, scope store.Scope, tokenHash []byte) error {
	_, err := q.ExecContext(ctx, `DELETE FROM portal_session WHERE ($1 = '*' OR org = $1) AND token_hash = $2`,
		scope.Filter(), tokenHash)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// EndSessions ends every session of a person.
func EndSessions(ctx context.Context, q store.Querier, scope store.Scope, person id.Person) error {
	_, err := q.ExecContext(ctx, `DELETE FROM portal_session WHERE ($1 = '*' OR org = $1) AND person = $2`,
		scope.Filter(), person)
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	return nil
}

// Sweep removes what is expired, of every organisation in the scope: sessions, links whose end is older than
// linkUs, and counters of failed sign-ins.
func Sweep(ctx context.Context, q store.Querier, scope store.Scope, nowUs, idleUs, linkUs int64) error {
	if _, err := q.ExecContext(ctx, `DELETE FROM portal_session
		WHERE ($1 = '*' OR org = $1) AND (expires_us <= $2 OR seen_us <= $3)`, scope.Filter(), nowUs, idleUs); err != nil {
		return fmt.Errorf("sweep sessions: %w", err)
	}
	if _, err := q.ExecContext(ctx, `DELETE FROM link WHERE ($1 = '*' OR org = $1) AND expires_us <= $2`,
		scope.Filter(), linkUs); err != nil {
		return fmt.Errorf("sweep links: %w", err)
	}
	if _, err := q.ExecContext(ctx, `DELETE FROM login_failure WHERE $1 = '*' AND until_us <= $2`,
		scope.Filter(), nowUs); err != nil {
		return fmt.Errorf("sweep counters of failed sign-ins: %w", err)
	}
	return nil
}

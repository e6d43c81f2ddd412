package people

import (
	"context"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// Purpose says what a link is for.
type Purpose string

// The purposes of a link.
const (
	Invite Purpose = "invite"
	Reset  Purpose = "reset"
)

// Link is a one-time link to set a password.
type Link struct {
	TokenHash []byte // SHA-256 of the link's token, 32 bytes
	Org       id.Org
	Person    id.Person
	Purpose   Purpose
	MadeBy    id.Person
	CreatedUs int64
	ExpiresUs int64
	UsedUs    int64 // 0: not yet
}

// AddLink stores a new link and removes every older one of the person.
func AddLink(ctx context.Context, q store.Querier, l Link) error {
	if err := DropLinks(ctx, q, store.Org(l.Org), l.Person); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, `INSERT INTO link (token_hash, org, person, purpose, made_by, created_us, expires_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		l.TokenHash, l.Org, l.Person, string(l.Purpose), l.MadeBy, l.CreatedUs, l.ExpiresUs)
	if err != nil {
		return fmt.Errorf("add link: %w", err)
	}
	return nil
}

// GetLink returns a link, used or expired ones too, by the sum of its token.
func GetLink(ctx context.Context, q store.Querier, scope store.Scope, tokenHash []byte) (Link, error) {
	l := Link{TokenHash: tokenHash}
	err := q.QueryRowContext(ctx, `SELECT org, person, purpose, made_by, created_us, expires_us, used_us FROM link
		WHERE ($1 = '*' OR org = $1) AND token_hash = $2`, scope.Filter(), tokenHash).
		Scan(&l.Org, &l.Person, &l.Purpose, &l.MadeBy, &l.CreatedUs, &l.ExpiresUs, &l.UsedUs)
	return l, store.Found("get link", err)
}

// UseLink marks a link as used; store.ErrNotFound if it was used or is expired. Of two that try at once, one
// succeeds.
func UseLink(ctx context.Context, q store.Querier, scope store.Scope, tokenHash []byte, nowUs int64) error {
	return store.One(q.ExecContext(ctx, `UPDATE link SET used_us = $3
		WHERE ($1 = '*' OR org = $1) AND token_hash = $2 AND used_us = 0 AND expires_us > $3`,
		scope.Filter(), tokenHash, nowUs))
}

// DropLinks removes every link of a person.
func DropLinks(ctx context.Context, q store.Querier, scope store.Scope, person id.Person) error {
	_, err := q.ExecContext(ctx, `DELETE FROM link WHERE ($1 = '*' OR org = $1) AND person = $2`, scope.Filter(), person)
	if err != nil {
		return fmt.Errorf("drop links: %w", err)
	}
	return nil
}

// Package orgs holds the SQL of organisations and what they are made of: regions, sites and cameras, and the
// few settings of the installation itself.
//
// Every function takes a store.Scope and sees nothing outside it; a row of another tenant is answered like a
// row that does not exist (store.ErrNotFound). Lists take the sites that the reader is limited to: nil means
// every site of the scope, an empty slice none. Removed sites and cameras are not listed and not found.
package orgs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// Org is one organisation.
type Org struct {
	ID        id.Org
	Name      string
	CreatedUs int64
}

// Add stores a new organisation.
func Add(ctx context.Context, q store.Querier, o Org) error {
	_, err := q.ExecContext(ctx, `INSERT INTO org (id, name, created_us) VALUES ($1, $2, $3)`, o.ID, o.Name, o.CreatedUs)
	if err != nil {
		return fmt.Errorf("add organisation: %w", err)
	}
	return nil
}

// Get returns one organisation.
func Get(ctx context.Context, q store.Querier, scope store.Scope, org id.Org) (Org, error) {
	var o Org
	err := q.QueryRowContext(ctx,
		`SELECT id, name, created_us FROM org WHERE ($1 = '*' OR id = $1) AND id = $2`, scope.Filter(), org).
		Scan(&o.ID, &o.Name, &o.CreatedUs)
	return o, store.Found("get organisation", err)
}

// Any reports whether there is an organisation yet. The scope must be System.
func Any(ctx context.Context, q store.Querier, scope store.Scope) (bool, error) {
	var n int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT id FROM org WHERE $1 = '*' LIMIT 1) AS one`, scope.Filter()).
		Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look for an organisation: %w", err)
	}
	return n > 0, nil
}

// Lock makes every other transaction that locks the organisation wait until this one ends.
func Lock(ctx context.Context, q store.Querier, scope store.Scope, org id.Org) error {
	return store.One(q.ExecContext(ctx,
		`UPDATE org SET created_us = created_us WHERE ($1 = '*' OR id = $1) AND id = $2`, scope.Filter(), org))
}

// PutSetting stores one fact about the installation, replacing what it was.
func PutSetting(ctx context.Context, q store.Querier, name, value string) error {
	_, err := q.ExecContext(ctx, `INSERT INTO installation (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	if err != nil {
		return fmt.Errorf("store setting %s: %w", name, err)
	}
	return nil
}

// Setting returns one fact about the installation; store.ErrNotFound if it is not set.
func Setting(ctx context.Context, q store.Querier, name string) (string, error) {
	var v string
	err := q.QueryRowContext(ctx, `SELECT value FROM installation WHERE name = $1`, name).Scan(&v)
	return v, store.Found("read setting "+name, err)
}

// TakeSetting removes a fact if it has that value; store.ErrNotFound if not. Of two that try at once, one
// succeeds.
func TakeSetting(ctx context.Context, q store.Querier, name, value string) error {
	return store.One(q.ExecContext(ctx, `DELETE FROM installation WHERE name = $1 AND value = $2`, name, value))
}

// SiteFilter turns the sites that a reader is limited to into one argument for a query of the form
// "($2 = '*' OR $2 LIKE '%' || site || '%')": "*" for nil, which means every site. IDs hold no character that
// LIKE treats specially.
func SiteFilter(sites []id.Site) string {
	if sites == nil {
		return "*"
	}
	var b strings.Builder
	b.WriteByte(',')
	for _, s := range sites {
		b.WriteString(string(s))
		b.WriteByte(',')
	}
	return b.String()
}

// Page is one page of a list that is ordered by name: the rows after the one that Next of the page before
// named, at most Limit.
type Page struct {
	After string
	Limit int
}

// ErrCursor says that Page.After is not what a list answered as the next page.
var ErrCursor = errors.New("not a cursor of this list: start again without it")

// Open returns the name and the ID behind which the page begins; ErrCursor.
func (p Page) Open() (name, row string, err error) {
	if p.After == "" {
		return "", "", nil
	}
	return openCursor(p.After)
}

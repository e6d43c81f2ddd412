// Package people holds the SQL of people who sign in: persons with role and sites, portal sessions, one-time
// links, and the counters of failed sign-ins.
//
// It stores sums of tokens, never tokens, and decides nothing: who may do what is the room access's. Every
// function that reads a tenant's row takes a store.Scope; outside it there is only store.ErrNotFound.
package people

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// Person is somebody who signs in, or is invited to.
type Person struct {
	ID         id.Person
	Org        id.Org
	Email      string // trimmed, lower case
	Name       string
	Role       string
	Sites      []id.Site // nil: every site, now and later
	Password   string    // argon2id as a PHC string; empty while invited
	CreatedUs  int64
	LastSeenUs int64
}

// columns collects the sites as "site-...,site-..."; both engines know string_agg (SQLite since 3.44).
const columns = `p.id, p.org, p.email, p.name, p.role, p.all_sites, p.password, p.created_us, p.last_seen_us,
	COALESCE((SELECT string_agg(s.site, ',') FROM person_site s WHERE s.person = p.id), '')`

type scanner interface{ Scan(dest ...any) error }

func scan(row scanner) (p Person, err error) {
	var all bool
	var sites string
	err = row.Scan(&p.ID, &p.Org, &p.Email, &p.Name, &p.Role, &all, &p.Password, &p.CreatedUs, &p.LastSeenUs, &sites)
	p.Sites = siteList(all, sites)
	return p, err
}

func siteList(all bool, joined string) []id.Site {
	if all {
		return nil
	}
	sites := []id.Site{}
	if joined != "" {
		for s := range strings.SplitSeq(joined, ",") {
			sites = append(sites, id.Site(s))
		}
	}
	return sites
}

// Add stores a new person with its sites; store.ErrConflict if the e-mail address has an account already.
func Add(ctx context.Context, q store.Querier, p Person) error {
	_, err := q.ExecContext(ctx, `INSERT INTO person (id, org, email, name, role, all_sites, password, created_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		p.ID, p.Org, p.Email, p.Name, p.Role, p.Sites == nil, p.Password, p.CreatedUs)
	if err != nil {
		return fmt.Errorf("add person: %w", store.Conflict(err))
	}
	return setSites(ctx, q, p)
}

func setSites(ctx context.Context, q store.Querier, p Person) error {
	if _, err := q.ExecContext(ctx, `DELETE FROM person_site WHERE org = $1 AND person = $2`, p.Org, p.ID); err != nil {
		return fmt.Errorf("clear sites of person: %w", err)
	}
	for _, site := range p.Sites {
		// The SELECT keeps a site of another tenant, or a removed one, out of the scope.
		r, err := q.ExecContext(ctx, `INSERT INTO person_site (org, person, site)
			SELECT org, $2, id FROM site WHERE org = $1 AND id = $3 AND deleted_us = 0`, p.Org, p.ID, site)
		if err := store.One(r, err); err != nil {
			return fmt.Errorf("add site %s to person: %w", site, err)
		}
	}
	return nil
}

// Get returns one person.
func Get(ctx context.Context, q store.Querier, scope store.Scope, person id.Person) (Person, error) {
	p, err := scan(q.QueryRowContext(ctx, `SELECT `+columns+` FROM person p
		WHERE ($1 = '*' OR p.org = $1) AND p.id = $2 AND p.deleted_us = 0`, scope.Filter(), person))
	return p, store.Found("get person", err)
}

// ByEmail returns the person with an e-mail address, which must be trimmed and in lower case.
func ByEmail(ctx context.Context, q store.Querier, scope store.Scope, email string) (Person, error) {
	p, err := scan(q.QueryRowContext(ctx, `SELECT `+columns+` FROM person p
		WHERE ($1 = '*' OR p.org = $1) AND p.email = $2 AND p.deleted_us = 0`, scope.Filter(), email))
	return p, store.Found("get person by e-mail address", err)
}

// Filter limits a list of people. The zero Filter lists everybody.
type Filter struct {
	Role   string    // only this role; empty: every role
	Within []id.Site // only people whose sites, at least one, all lie in these; nil: any
}

// List returns a page of people ordered by name, and the cursor of the next page, empty at the end.
func List(ctx context.Context, q store.Querier, scope store.Scope, f Filter, page orgs.Page) (list []Person, next string, err error) {
	name, row, err := page.Open()
	if err != nil {
		return nil, "", err
	}
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM person p
		WHERE ($1 = '*' OR p.org = $1) AND p.deleted_us = 0 AND ($2 = '' OR p.role = $2)
		AND ($3 = '*' OR (NOT p.all_sites
			AND EXISTS (SELECT 1 FROM person_site s WHERE s.person = p.id)
			AND NOT EXISTS (SELECT 1 FROM person_site s WHERE s.person = p.id AND NOT ($3 LIKE '%' || s.site || '%'))))
		AND (p.name, p.id) > ($4, $5) ORDER BY p.name, p.id LIMIT $6`,
		scope.Filter(), f.Role, orgs.SiteFilter(f.Within), name, row, page.Limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list people: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p, err := scan(rows)
		if err != nil {
			return nil, "", fmt.Errorf("read person: %w", err)
		}
		list = append(list, p)
	}
	if len(list) > page.Limit {
		list = list[:page.Limit]
		last := list[page.Limit-1]
		next = orgs.Cursor(last.Name, string(last.ID))
	}
	return list, next, rows.Err()
}

// Update stores what may change of a person: name, role, sites.
func Update(ctx context.Context, q store.Querier, scope store.Scope, p Person) error {
	err := store.One(q.ExecContext(ctx, `UPDATE person SET name = $3, role = $4, all_sites = $5
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`, scope.Filter(), p.ID, p.Name, p.Role, p.Sites == nil))
	if err != nil {
		return err
	}
	return setSites(ctx, q, p)
}

// SetPassword stores a person's password as a PHC string.
func SetPassword(ctx context.Context, q store.Querier, scope store.Scope, person id.Person, phc string) error {
	return store.One(q.ExecContext(ctx, `UPDATE person SET password = $3
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`, scope.Filter(), person, phc))
}

// SwapPassword is SetPassword if the password is still the one that was read; else store.ErrNotFound.
func SwapPassword(ctx context.Context, q store.Querier, scope store.Scope, person id.Person, was, phc string) error {
	return store.One(q.ExecContext(ctx, `UPDATE person SET password = $4
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND password = $3 AND deleted_us = 0`, scope.Filter(), person, was, phc))
}

// Remove removes a person with every session and link; the row stays for the audit's sake, without its
// password, and the e-mail address is free again.
func Remove(ctx context.Context, q store.Querier, scope store.Scope, person id.Person, nowUs int64) error {
	err := store.One(q.ExecContext(ctx, `UPDATE person SET deleted_us = $3, password = ''
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`, scope.Filter(), person, nowUs))
	if err != nil {
		return err
	}
	if err := EndSessions(ctx, q, scope, person); err != nil {
		return err
	}
	return DropLinks(ctx, q, scope, person)
}

// CountRole returns how many people of an organisation have a role and a password.
func CountRole(ctx context.Context, q store.Querier, scope store.Scope, role string) (int, error) {
	var n int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM person
		WHERE ($1 = '*' OR org = $1) AND role = $2 AND password <> '' AND deleted_us = 0`, scope.Filter(), role).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count people: %w", err)
	}
	return n, nil
}

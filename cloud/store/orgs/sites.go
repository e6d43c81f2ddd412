package orgs

import (
	"context"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// Site is one branch.
type Site struct {
	ID        id.Site
	Org       id.Org
	Region    id.Region // empty: none
	Name      string
	Timezone  string // IANA name
	Address   string
	Config    int64 // version of the desired configuration
	CreatedUs int64
	Cameras   int // how many it has, read only
}

const siteColumns = `id, org, COALESCE(region, ''), name, timezone, address, config, created_us,
	(SELECT count(*) FROM camera c WHERE c.site = site.id AND c.deleted_us = 0)`

type scanner interface{ Scan(dest ...any) error }

func scanSite(row scanner) (s Site, err error) {
	err = row.Scan(&s.ID, &s.Org, &s.Region, &s.Name, &s.Timezone, &s.Address, &s.Config, &s.CreatedUs,
		&s.Cameras)
	return s, err
}

// AddSite stores a new site; store.ErrConflict if the name is taken.
func AddSite(ctx context.Context, q store.Querier, s Site) error {
	_, err := q.ExecContext(ctx, `INSERT INTO site (id, org, region, name, timezone, address, created_us)
		VALUES ($1, $2, NULLIF($3, ''), $4, $5, $6, $7)`,
		s.ID, s.Org, string(s.Region), s.Name, s.Timezone, s.Address, s.CreatedUs)
	if err != nil {
		return fmt.Errorf("add site: %w", store.Conflict(err))
	}
	return nil
}

// GetSite returns one site.
func GetSite(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) (Site, error) {
	s, err := scanSite(q.QueryRowContext(ctx, `SELECT `+siteColumns+` FROM site
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`, scope.Filter(), site))
	return s, store.Found("get site", err)
}

// Sites returns a page of sites ordered by name, of one region if it is not empty, and the cursor of the next
// page, empty at the end.
func Sites(ctx context.Context, q store.Querier, scope store.Scope, sites []id.Site, region id.Region, page Page) (
	list []Site, next string, err error,
) {
	name, row, err := page.Open()
	if err != nil {
		return nil, "", err
	}
	rows, err := q.QueryContext(ctx, `SELECT `+siteColumns+` FROM site
		WHERE ($1 = '*' OR org = $1) AND ($2 = '*' OR $2 LIKE '%' || id || '%') AND deleted_us = 0
		AND ($3 = '' OR region = $3) AND (name, id) > ($4, $5) ORDER BY name, id LIMIT $6`,
		scope.Filter(), SiteFilter(sites), string(region), name, row, page.Limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list sites: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		s, err := scanSite(rows)
		if err != nil {
			return nil, "", fmt.Errorf("read site: %w", err)
		}
		list = append(list, s)
	}
	if len(list) > page.Limit {
		list = list[:page.Limit]
		last := list[page.Limit-1]
		next = Cursor(last.Name, string(last.ID))
	}
	return list, next, rows.Err()
}

// UpdateSite stores what may change of a site: region, name, timezone, address; store.ErrConflict if the name
// is taken.
func UpdateSite(ctx context.Context, q store.Querier, scope store.Scope, s Site) error {
	return store.One(q.ExecContext(ctx, `UPDATE site SET region = NULLIF($3, ''), name = $4, timezone = $5, address = $6
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`,
		scope.Filter(), s.ID, string(s.Region), s.Name, s.Timezone, s.Address))
}

// RemoveSite marks a site and its cameras as removed and takes it out of everybody's scope.
func RemoveSite(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, nowUs int64) error {
	err := store.One(q.ExecContext(ctx, `UPDATE site SET deleted_us = $3, region = NULL
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`, scope.Filter(), site, nowUs))
	if err != nil {
		return err
	}
	_, err = q.ExecContext(ctx, `UPDATE camera SET deleted_us = $3, reported = FALSE
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND deleted_us = 0`, scope.Filter(), site, nowUs)
	if err != nil {
		return fmt.Errorf("remove cameras of site: %w", err)
	}
	_, err = q.ExecContext(ctx, `DELETE FROM person_site WHERE ($1 = '*' OR org = $1) AND site = $2`, scope.Filter(), site)
	if err != nil {
		return fmt.Errorf("remove site from scopes: %w", err)
	}
	return nil
}

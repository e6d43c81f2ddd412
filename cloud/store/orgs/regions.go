package orgs

import (
	"context"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// Region is a group of sites.
type Region struct {
	ID        id.Region
	Org       id.Org
	Name      string
	CreatedUs int64
}

// AddRegion stores a new region; store.ErrConflict if the name is taken.
func AddRegion(ctx context.Context, q store.Querier, r Region) error {
	_, err := q.ExecContext(ctx, `INSERT INTO region (id, org, name, created_us) VALUES ($1, $2, $3, $4)`,
		r.ID, r.Org, r.Name, r.CreatedUs)
	if err != nil {
		return fmt.Errorf("add region: %w", store.Conflict(err))
	}
	return nil
}

// GetRegion returns one region.
func GetRegion(ctx context.Context, q store.Querier, scope store.Scope, region id.Region) (Region, error) {
	var r Region
	err := q.QueryRowContext(ctx,
		`SELECT id, org, name, created_us FROM region WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), region).
		Scan(&r.ID, &r.Org, &r.Name, &r.CreatedUs)
	return r, store.Found("get region", err)
}

// Regions returns every region of the scope, ordered by name.
func Regions(ctx context.Context, q store.Querier, scope store.Scope) (regions []Region, err error) {
	rows, err := q.QueryContext(ctx,
		`SELECT id, org, name, created_us FROM region WHERE ($1 = '*' OR org = $1) ORDER BY name, id`, scope.Filter())
	if err != nil {
		return nil, fmt.Errorf("list regions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r Region
		if err := rows.Scan(&r.ID, &r.Org, &r.Name, &r.CreatedUs); err != nil {
			return nil, fmt.Errorf("read region: %w", err)
		}
		regions = append(regions, r)
	}
	return regions, rows.Err()
}

// RegionSites returns the sites of every region of the scope that has any, by region.
func RegionSites(ctx context.Context, q store.Querier, scope store.Scope, sites []id.Site) (_ map[id.Region][]id.Site, err error) {
	rows, err := q.QueryContext(ctx, `SELECT region, id FROM site
		WHERE ($1 = '*' OR org = $1) AND ($2 = '*' OR $2 LIKE '%' || id || '%') AND deleted_us = 0 AND region IS NOT NULL
		ORDER BY name, id`, scope.Filter(), SiteFilter(sites))
	if err != nil {
		return nil, fmt.Errorf("list sites of regions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	of := map[id.Region][]id.Site{}
	for rows.Next() {
		var region id.Region
		var site id.Site
		if err := rows.Scan(&region, &site); err != nil {
			return nil, fmt.Errorf("read site of region: %w", err)
		}
		of[region] = append(of[region], site)
	}
	return of, rows.Err()
}

// RenameRegion gives a region another name; store.ErrConflict if it is taken.
func RenameRegion(ctx context.Context, q store.Querier, scope store.Scope, region id.Region, name string) error {
	return store.One(q.ExecContext(ctx, `UPDATE region SET name = $3 WHERE ($1 = '*' OR org = $1) AND id = $2`,
		scope.Filter(), region, name))
}

// RemoveRegion removes a region; its sites stay, without a region.
func RemoveRegion(ctx context.Context, q store.Querier, scope store.Scope, region id.Region) error {
	return store.One(q.ExecContext(ctx, `DELETE FROM region WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), region))
}

package marks

import (
	"context"
	"database/sql"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/bulk"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// Claim finds out which cameras belong to the agent's site. A camera that nobody knows yet becomes the site's,
// under its ID as its name until a hello names it, up to orgs.MaxCameras for a site. The answer holds those that
// are the site's own; one of another site or tenant is not in it and stays as it is.
func Claim(ctx context.Context, q store.Querier, ref agents.Ref, cameras []id.Camera, nowUs int64) (fresh []id.Camera,
	own map[id.Camera]bool, err error,
) {
	if len(cameras) == 0 {
		return nil, map[id.Camera]bool{}, nil
	}
	list, err := Cameras(ctx, q, ref.Scope(), ref.Site)
	if err != nil {
		return nil, nil, err
	}
	own = make(map[id.Camera]bool, len(list))
	for _, c := range list {
		own[c] = true
	}
	rows := bulk.New(6, 0)
	for _, c := range cameras {
		if !own[c] && len(own)+rows.Len() < orgs.MaxCameras {
			rows.Add(c, ref.Org, ref.Site, c, nowUs, false)
		}
	}
	if rows.Len() == 0 {
		return nil, own, nil
	}
	made, err := rows.Strings(ctx, q, `INSERT INTO camera (id, org, site, site_name, first_seen_us, reported)`,
		`ON CONFLICT (id) DO NOTHING RETURNING id`)
	if err != nil {
		return nil, nil, fmt.Errorf("store cameras: %w", err)
	}
	for _, c := range made {
		own[id.Camera(c)] = true
		fresh = append(fresh, id.Camera(c))
	}
	return fresh, own, nil
}

// Cameras returns the cameras of a site, those that a person removed included: facts about them are still true.
func Cameras(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) ([]id.Camera, error) {
	rows, err := q.QueryContext(ctx, `SELECT id FROM camera WHERE ($1 = '*' OR org = $1) AND site = $2`, scope.Filter(), site)
	return bulk.Collect(rows, err, "cameras of site", func(rows *sql.Rows) (c id.Camera, err error) {
		return c, rows.Scan(&c)
	})
}

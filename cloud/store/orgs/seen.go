package orgs

import (
	"context"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Seen says what a hello changed among the cameras of a site.
type Seen struct {
	Added   []id.Camera // new, or back after a removal
	Changed []id.Camera // another name or channel at the site, or reported again
	Gone    []id.Camera // known, and not in this hello
	Refused []id.Camera // the ID belongs to another site, is not an ID, or the site has too many cameras
}

// SeenCameras brings the cameras of a site in line with the full list that its agent's hello gave. A camera
// that the hello leaves out stays, marked as not reported; a removed one that it names is back. An ID that
// belongs to another site or tenant is refused and changes nothing there. Names are made safe by Tidy.
// store.ErrNotFound if the site is not one of the organisation's. Call it inside a transaction.
func SeenCameras(ctx context.Context, q store.Querier, org id.Org, site id.Site, states []wire.CameraState, nowUs int64) (
	Seen, error,
) {
	scope := store.Org(org)
	if _, err := GetSite(ctx, q, scope, site); err != nil {
		return Seen{}, err
	}
	known, err := knownCameras(ctx, q, scope, site)
	if err != nil {
		return Seen{}, err
	}
	var seen Seen
	named := map[id.Camera]bool{}
	for _, state := range states {
		if _, err := id.Parse[id.Camera](string(state.Camera)); err != nil || len(named) >= MaxCameras {
			seen.Refused = append(seen.Refused, state.Camera)
			continue
		}
		if named[state.Camera] {
			continue
		}
		named[state.Camera] = true
		if err := see(ctx, q, org, site, state, known, nowUs, &seen); err != nil {
			return Seen{}, err
		}
	}
	for camera, was := range known {
		if named[camera] || !was.reported {
			continue
		}
		seen.Gone = append(seen.Gone, camera)
		if err := store.One(q.ExecContext(ctx, `UPDATE camera SET reported = FALSE WHERE org = $1 AND id = $2`, org, camera)); err != nil {
			return Seen{}, fmt.Errorf("mark camera as not reported: %w", err)
		}
	}
	return seen, nil
}

type knownCamera struct {
	name, channel     string
	reported, removed bool
}

func knownCameras(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) (map[id.Camera]knownCamera, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, site_name, channel, reported, deleted_us <> 0 FROM camera
		WHERE ($1 = '*' OR org = $1) AND site = $2`, scope.Filter(), site)
	if err != nil {
		return nil, fmt.Errorf("list known cameras: %w", err)
	}
	defer func() { _ = rows.Close() }()
	known := map[id.Camera]knownCamera{}
	for rows.Next() {
		var camera id.Camera
		var k knownCamera
		if err := rows.Scan(&camera, &k.name, &k.channel, &k.reported, &k.removed); err != nil {
			return nil, fmt.Errorf("read known camera: %w", err)
		}
		known[camera] = k
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list known cameras: %w", err)
	}
	return known, nil
}

func see(ctx context.Context, q store.Querier, org id.Org, site id.Site, state wire.CameraState,
	known map[id.Camera]knownCamera, nowUs int64, seen *Seen,
) error {
	name, channel := Tidy(state.Name), Tidy(state.Channel)
	if name == "" {
		name = string(state.Camera)
	}
	was, ok := known[state.Camera]
	if ok && was == (knownCamera{name: name, channel: channel, reported: true}) {
		return nil
	}
	// The WHERE keeps a camera of another site as it is: an agent speaks for its own site only.
	r, err := q.ExecContext(ctx, `INSERT INTO camera (id, org, site, site_name, channel, first_seen_us)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET site_name = excluded.site_name, channel = excluded.channel,
			reported = TRUE, deleted_us = 0
		WHERE camera.org = excluded.org AND camera.site = excluded.site`,
		state.Camera, org, site, name, channel, nowUs)
	if err != nil {
		return fmt.Errorf("store camera: %w", err)
	}
	n, err := r.RowsAffected()
	switch {
	case err != nil:
		return fmt.Errorf("count stored cameras: %w", err)
	case n == 0:
		seen.Refused = append(seen.Refused, state.Camera)
	case !ok || was.removed:
		seen.Added = append(seen.Added, state.Camera)
	default:
		seen.Changed = append(seen.Changed, state.Camera)
	}
	return nil
}

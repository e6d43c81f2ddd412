package orgs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Camera is one camera of a site, with what people wish for it.
type Camera struct {
	ID          id.Camera
	Org         id.Org
	Site        id.Site
	Given       string // name given in the portal; empty: none
	SiteName    string // name in the site's configuration
	Channel     string // the recorder's own word for it
	Disabled    bool   // wish: do not record
	KeepDays    int    // wish: retention by age; 0: as the site says
	SharePct    int    // wish: at most so many hundredths of the site's disks; 0: as the site says
	StepDown    bool   // wish: a clip that the line can't carry in time is cut from the sub stream instead
	FirstSeenUs int64
	Reported    bool // the site's newest hello named it
}

// Name returns the name that people see: the one given in the portal, else the site's.
func (c Camera) Name() string {
	if c.Given != "" {
		return c.Given
	}
	return c.SiteName
}

// MaxCameras is how many cameras one site can have; more are refused.
const MaxCameras = 1000

const cameraColumns = `id, org, site, name, site_name, channel, disabled, keep_days, share_pct, step_down, first_seen_us, reported`

func scanCamera(row scanner) (c Camera, err error) {
	err = row.Scan(&c.ID, &c.Org, &c.Site, &c.Given, &c.SiteName, &c.Channel, &c.Disabled, &c.KeepDays, &c.SharePct, &c.StepDown,
		&c.FirstSeenUs, &c.Reported)
	return c, err
}

// GetCamera returns one camera.
func GetCamera(ctx context.Context, q store.Querier, scope store.Scope, camera id.Camera) (Camera, error) {
	c, err := scanCamera(q.QueryRowContext(ctx, `SELECT `+cameraColumns+` FROM camera
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`, scope.Filter(), camera))
	return c, store.Found("get camera", err)
}

// Cameras returns every camera of a site, at most MaxCameras, ordered by the name that people see.
func Cameras(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) (list []Camera, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+cameraColumns+` FROM camera
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND deleted_us = 0
		ORDER BY CASE WHEN name = '' THEN site_name ELSE name END, id LIMIT $3`, scope.Filter(), site, MaxCameras)
	if err != nil {
		return nil, fmt.Errorf("list cameras: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		c, err := scanCamera(rows)
		if err != nil {
			return nil, fmt.Errorf("read camera: %w", err)
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// UpdateCamera stores the wishes for a camera (Given, Disabled, KeepDays, SharePct, StepDown) and raises the version of
// its site's desired configuration.
func UpdateCamera(ctx context.Context, q store.Querier, scope store.Scope, c Camera) error {
	err := store.One(q.ExecContext(ctx, `UPDATE camera SET name = $3, disabled = $4, keep_days = $5, share_pct = $6,
			step_down = $7
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`,
		scope.Filter(), c.ID, c.Given, c.Disabled, c.KeepDays, c.SharePct, c.StepDown))
	if err != nil {
		return err
	}
	return raiseConfig(ctx, q, scope, c.Site)
}

// ErrReported says that a camera can't be removed because the site's configuration still has it.
var ErrReported = errors.New("the site still reports this camera")

// RemoveCamera removes a camera that its site no longer reports; ErrReported if it does. A removed camera comes
// back when a later hello of the same site names it, with its name and wishes.
func RemoveCamera(ctx context.Context, q store.Querier, scope store.Scope, camera id.Camera, nowUs int64) error {
	c, err := GetCamera(ctx, q, scope, camera)
	if err != nil {
		return err
	}
	err = store.One(q.ExecContext(ctx, `UPDATE camera SET deleted_us = $3
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0 AND NOT reported`, scope.Filter(), camera, nowUs))
	if errors.Is(err, store.ErrNotFound) {
		return ErrReported
	}
	if err != nil {
		return err
	}
	return raiseConfig(ctx, q, scope, c.Site)
}

// Unreport says that no agent speaks for a site any more, so that its cameras can be removed.
func Unreport(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) error {
	_, err := q.ExecContext(ctx, `UPDATE camera SET reported = FALSE WHERE ($1 = '*' OR org = $1) AND site = $2 AND reported`,
		scope.Filter(), site)
	if err != nil {
		return fmt.Errorf("mark cameras as not reported: %w", err)
	}
	return nil
}

// Desired returns the desired configuration of a site: a row for each camera for which somebody wishes
// something, and the holds.
func Desired(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) (wire.DesiredConfig, error) {
	s, err := GetSite(ctx, q, scope, site)
	if err != nil {
		return wire.DesiredConfig{}, err
	}
	list, err := Cameras(ctx, q, scope, site)
	if err != nil {
		return wire.DesiredConfig{}, err
	}
	holds, err := Holds(ctx, q, scope, site, time.Now().UnixMicro())
	if err != nil {
		return wire.DesiredConfig{}, err
	}
	want := wire.DesiredConfig{Version: s.Config, Cameras: []wire.CameraDesire{}, Holds: desire(holds)}
	for _, c := range list {
		if c.Given == "" && !c.Disabled && c.KeepDays == 0 && c.SharePct == 0 && !c.StepDown {
			continue
		}
		keep := time.Duration(c.KeepDays) * 24 * time.Hour
		want.Cameras = append(want.Cameras, wire.CameraDesire{
			Camera: c.ID, Name: c.Given, Disable: c.Disabled, KeepUs: keep.Microseconds(), SharePct: c.SharePct, StepDown: c.StepDown,
		})
	}
	return want, nil
}

func raiseConfig(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) error {
	return store.One(q.ExecContext(ctx, `UPDATE site SET config = config + 1
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`, scope.Filter(), site))
}

package clips

import (
	"context"
	"database/sql"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Told is what a site has said of a clip.
type Told struct {
	Clip   id.Clip
	Camera id.Camera
	State  wire.ClipState
}

// ToldOf returns the clips of a camera that begin in [fromUs, toUs) and of which the site has the last word: those that
// it has heard of and that are not in the cloud.
func ToldOf(ctx context.Context, q store.Querier, scope store.Scope, camera id.Camera, fromUs, toUs int64) ([]Told, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, camera, state FROM clip WHERE ($1 = '*' OR org = $1) AND camera = $2
		AND start_us >= $3 AND start_us < $4 AND deleted_us = 0 AND state NOT IN ('wanted', 'stored')`, scope.Filter(), camera, fromUs, toUs)
	return bulk.Collect(rows, err, "clips of a day", func(rows *sql.Rows) (t Told, err error) {
		return t, rows.Scan(&t.Clip, &t.Camera, &t.State)
	})
}

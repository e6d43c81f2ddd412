package orgs

import (
	"context"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Hold is a range of a camera that nothing at its site may delete.
type Hold struct {
	ID             id.Hold
	Org            id.Org
	Site           id.Site
	Camera         id.Camera
	StartUs, EndUs int64
	UntilUs        int64  // 0: until it is released
	Name           string // what it is for
	Agreed         bool   // somebody agrees to hold more than half of a disk
	Person         id.Person
	PersonName     string
	CreatedUs      int64
	ReleasedUs     int64 // 0: it is in force
}

// ErrHolds says that a site has as many holds as it can keep.
var ErrHolds = errors.New("the site has too many holds")

const holdColumns = `id, org, site, camera, start_us, end_us, until_us, name, agreed, person, person_name, created_us, released_us`

func scanHold(row scanner) (h Hold, err error) {
	err = row.Scan(&h.ID, &h.Org, &h.Site, &h.Camera, &h.StartUs, &h.EndUs, &h.UntilUs, &h.Name, &h.Agreed, &h.Person,
		&h.PersonName, &h.CreatedUs, &h.ReleasedUs)
	return h, err
}

// AddHold stores a hold and raises the version of its site's desired configuration; ErrHolds if the site has
// wire.MaxHolds already.
func AddHold(ctx context.Context, q store.Querier, scope store.Scope, h Hold) error {
	list, err := Holds(ctx, q, scope, h.Site, h.CreatedUs)
	if err != nil {
		return err
	}
	if len(list) >= wire.MaxHolds {
		return ErrHolds
	}
	_, err = q.ExecContext(ctx, `INSERT INTO hold (`+holdColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		h.ID, h.Org, h.Site, h.Camera, h.StartUs, h.EndUs, h.UntilUs, h.Name, h.Agreed, h.Person, h.PersonName, h.CreatedUs, 0)
	if err != nil {
		return fmt.Errorf("add hold: %w", err)
	}
	return raiseConfig(ctx, q, scope, h.Site)
}

// GetHold returns one hold, released or not.
func GetHold(ctx context.Context, q store.Querier, scope store.Scope, hold id.Hold) (Hold, error) {
	h, err := scanHold(q.QueryRowContext(ctx, `SELECT `+holdColumns+` FROM hold WHERE ($1 = '*' OR org = $1) AND id = $2`,
		scope.Filter(), hold))
	return h, store.Found("get hold", err)
}

// endedUs is how long a hold whose time is over is still listed and told to the site, in microseconds.
const endedUs = int64(24 * 3600 * 1_000_000)

// Holds returns the holds of a site that are in force, newest first, with those whose time was over less than a day
// before nowUs.
func Holds(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, nowUs int64) (list []Hold, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+holdColumns+` FROM hold WHERE ($1 = '*' OR org = $1) AND site = $2 AND released_us = 0
		AND (until_us = 0 OR until_us > $3) ORDER BY created_us DESC, id`, scope.Filter(), site, nowUs-endedUs)
	if err != nil {
		return nil, fmt.Errorf("list holds: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		h, err := scanHold(rows)
		if err != nil {
			return nil, fmt.Errorf("read hold: %w", err)
		}
		list = append(list, h)
	}
	return list, rows.Err()
}

// AgreeHold notes that somebody agrees to hold more than half of a disk for a hold.
func AgreeHold(ctx context.Context, q store.Querier, scope store.Scope, h Hold) error {
	err := store.One(q.ExecContext(ctx, `UPDATE hold SET agreed = $3 WHERE ($1 = '*' OR org = $1) AND id = $2 AND released_us = 0`,
		scope.Filter(), h.ID, true))
	if err != nil {
		return err
	}
	return raiseConfig(ctx, q, scope, h.Site)
}

// ReleaseHold ends a hold; the row stays. store.ErrNotFound if it was released before.
func ReleaseHold(ctx context.Context, q store.Querier, scope store.Scope, h Hold, nowUs int64) error {
	err := store.One(q.ExecContext(ctx, `UPDATE hold SET released_us = $3 WHERE ($1 = '*' OR org = $1) AND id = $2 AND released_us = 0`,
		scope.Filter(), h.ID, nowUs))
	if err != nil {
		return err
	}
	return raiseConfig(ctx, q, scope, h.Site)
}

// desire turns holds into what the site is told, oldest first.
func desire(list []Hold) []wire.HoldDesire {
	out := make([]wire.HoldDesire, 0, len(list))
	for i := len(list) - 1; i >= 0; i-- {
		h := list[i]
		out = append(out, wire.HoldDesire{
			Hold: h.ID, Camera: h.Camera, StartUs: h.StartUs, EndUs: h.EndUs, UntilUs: h.UntilUs, Name: h.Name, By: h.PersonName, Over: h.Agreed,
		})
	}
	return out
}

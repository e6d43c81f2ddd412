// Package walls owns the pages of cameras that people put together: whose they are, who else sees them, and what
// stands in which place.
//
// It promises that a private wall is read by its owner alone, whoever asks; that a change is made to the version
// that was seen or not at all; and that a tile says what became of its camera, so that a wall outlives its cameras,
// their sites and who made it. It does not know who may watch which camera: that is said by site, for others to judge.
package walls

import (
	"context"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// Limits of walls.
const (
	MaxTiles  = 36   // places of one wall, over all its pages
	MaxOwned  = 100  // walls of one person
	MaxName   = 80   // characters of a name
	MinCycleS = 5    // seconds; a page that turns faster shows nothing
	MaxCycleS = 3600 // seconds
)

// Layouts returns the closed list of layouts: columns by rows, or one large tile and so many small ones around it.
func Layouts() []string {
	return []string{"1x1", "2x1", "2x2", "3x2", "1+5", "3x3", "1+7", "4x3", "4x4", "5x4", "5x5", "6x5", "6x6"}
}

// Wall is one wall.
type Wall struct {
	ID        id.Wall
	Org       id.Org
	Owner     id.Person
	OwnerName string // read only
	Left      bool   // its owner was removed; read only
	Name      string
	Shared    bool
	Layout    string // one of Layouts
	CycleS    int    // seconds that a page is shown; 0: until somebody turns it
	Version   int64
	CreatedUs int64
	ChangedUs int64
	Tiles     []Tile // by place, without the empty ones
}

// Tile is a camera in a place of a wall. Site is the camera's, also when it is gone.
type Tile struct {
	Place      int
	Camera     id.Camera
	Site       id.Site // read only, as what follows
	SiteName   string
	CameraName string
	Gone       bool // the camera or its site was removed
}

// ErrMany says that a person has MaxOwned walls already.
var ErrMany = errors.New("you have as many walls as one person can have: delete one first")

// ErrStale says that a wall was changed since the version that was seen.
var ErrStale = errors.New("somebody else changed this wall in the meantime: load it again and repeat the change")

const wallColumns = `w.id, w.org, w.owner, p.name, p.deleted_us <> 0, w.name, w.shared, w.layout, w.cycle_s, w.version, w.created_us, w.changed_us`

// Add stores a new wall of its owner, as version 1; ErrMany if the owner has MaxOwned already.
func Add(ctx context.Context, q store.Querier, scope store.Scope, w Wall) error {
	if err := orgs.Lock(ctx, q, scope, w.Org); err != nil { // of two that add at once, the second counts the first's
		return err
	}
	var have int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM wall WHERE ($1 = '*' OR org = $1) AND owner = $2`, scope.Filter(), w.Owner).Scan(&have)
	if err != nil {
		return fmt.Errorf("count walls: %w", err)
	}
	if have >= MaxOwned {
		return ErrMany
	}
	_, err = q.ExecContext(ctx, `INSERT INTO wall (id, org, owner, name, shared, layout, cycle_s, created_us, changed_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, w.ID, w.Org, w.Owner, w.Name, w.Shared, w.Layout, w.CycleS, w.CreatedUs, w.ChangedUs)
	if err != nil {
		return fmt.Errorf("add wall: %w", err)
	}
	return addTiles(ctx, q, w)
}

func addTiles(ctx context.Context, q store.Querier, w Wall) error {
	for _, t := range w.Tiles {
		if _, err := q.ExecContext(ctx, `INSERT INTO wall_tile (org, wall, place, camera) VALUES ($1, $2, $3, $4)`, w.Org, w.ID, t.Place, t.Camera); err != nil {
			return fmt.Errorf("add tile of wall: %w", err)
		}
	}
	return nil
}

// List returns the walls that a person sees, with their tiles, ordered by name: the own ones and those that are
// shared.
func List(ctx context.Context, q store.Querier, scope store.Scope, person id.Person) ([]Wall, error) {
	return list(ctx, q, scope, person, "")
}

// Get returns one wall that a person sees, with its tiles; somebody else's private one is store.ErrNotFound.
func Get(ctx context.Context, q store.Querier, scope store.Scope, person id.Person, wall id.Wall) (Wall, error) {
	if wall == "" {
		return Wall{}, store.ErrNotFound
	}
	found, err := list(ctx, q, scope, person, wall)
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return Wall{}, err
	}
	return found[0], nil
}

// list returns walls that a person sees: one, or all for an empty ID.
func list(ctx context.Context, q store.Querier, scope store.Scope, person id.Person, wall id.Wall) (out []Wall, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+wallColumns+` FROM wall w JOIN person p ON p.id = w.owner
		WHERE ($1 = '*' OR w.org = $1) AND (w.owner = $2 OR w.shared) AND ($3 = '' OR w.id = $3) ORDER BY w.name, w.id`,
		scope.Filter(), person, wall)
	if err != nil {
		return nil, fmt.Errorf("list walls: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	at := map[id.Wall]int{}
	for rows.Next() {
		w := Wall{Tiles: []Tile{}}
		if err := rows.Scan(&w.ID, &w.Org, &w.Owner, &w.OwnerName, &w.Left, &w.Name, &w.Shared, &w.Layout, &w.CycleS, &w.Version,
			&w.CreatedUs, &w.ChangedUs); err != nil {
			return nil, fmt.Errorf("read wall: %w", err)
		}
		at[w.ID] = len(out)
		out = append(out, w)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read walls: %w", err)
	}
	return out, fill(ctx, q, scope, person, wall, func(of id.Wall, t Tile) {
		if i, ok := at[of]; ok {
			out[i].Tiles = append(out[i].Tiles, t)
		}
	})
}

// fill calls put for every tile of the walls that list returns, by wall and place.
func fill(ctx context.Context, q store.Querier, scope store.Scope, person id.Person, wall id.Wall, put func(id.Wall, Tile)) (err error) {
	rows, err := q.QueryContext(ctx, `SELECT t.wall, t.place, t.camera, c.site, s.name, CASE WHEN c.name = '' THEN c.site_name ELSE c.name END,
			c.deleted_us <> 0 OR s.deleted_us <> 0
		FROM wall w JOIN wall_tile t ON t.wall = w.id JOIN camera c ON c.id = t.camera AND c.org = t.org JOIN site s ON s.id = c.site
		WHERE ($1 = '*' OR w.org = $1) AND (w.owner = $2 OR w.shared) AND ($3 = '' OR w.id = $3) ORDER BY t.wall, t.place`,
		scope.Filter(), person, wall)
	if err != nil {
		return fmt.Errorf("list tiles of walls: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var of id.Wall
		var t Tile
		if err := rows.Scan(&of, &t.Place, &t.Camera, &t.Site, &t.SiteName, &t.CameraName, &t.Gone); err != nil {
			return fmt.Errorf("read tile of wall: %w", err)
		}
		put(of, t)
	}
	return rows.Err()
}

// Update replaces what may change of a wall (Name, Shared, Layout, CycleS, ChangedUs, and the tiles), if its version
// is still w.Version, which rises by one; else ErrStale.
func Update(ctx context.Context, q store.Querier, scope store.Scope, w Wall) error {
	err := store.One(q.ExecContext(ctx, `UPDATE wall SET name = $4, shared = $5, layout = $6, cycle_s = $7, changed_us = $8, version = version + 1
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND version = $3`,
		scope.Filter(), w.ID, w.Version, w.Name, w.Shared, w.Layout, w.CycleS, w.ChangedUs))
	if errors.Is(err, store.ErrNotFound) {
		return ErrStale
	}
	if err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `DELETE FROM wall_tile WHERE ($1 = '*' OR org = $1) AND wall = $2`, scope.Filter(), w.ID); err != nil {
		return fmt.Errorf("clear tiles of wall: %w", err)
	}
	return addTiles(ctx, q, w)
}

// Remove removes a wall.
func Remove(ctx context.Context, q store.Querier, scope store.Scope, wall id.Wall) error {
	return store.One(q.ExecContext(ctx, `DELETE FROM wall WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), wall))
}

// RemovePrivate removes the walls of a person that nobody else sees, when that person is removed; those that are
// shared stay.
func RemovePrivate(ctx context.Context, q store.Querier, scope store.Scope, owner id.Person) error {
	if _, err := q.ExecContext(ctx, `DELETE FROM wall WHERE ($1 = '*' OR org = $1) AND owner = $2 AND NOT shared`, scope.Filter(), owner); err != nil {
		return fmt.Errorf("remove private walls: %w", err)
	}
	return nil
}

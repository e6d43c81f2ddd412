package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/walls"
	"holdfast/shared/id"
)

// WallPath names a wall in a path.
type WallPath struct {
	Wall string `path:"wall" maxLength:"64"`
}

func (d *door) walls() {
	add(d, get("/walls", "listWalls", access.Live, "One's own walls and those that are shared, by name"),
		func(ctx context.Context, who access.Actor, _ *empty) (*bodyOf[Walls], error) {
			list, err := walls.List(ctx, d.db.Read(), who.Scope(), who.Person)
			out := Walls{Walls: []Wall{}}
			for _, w := range list {
				out.Walls = append(out.Walls, wall(who, w))
			}
			return body(out), err
		})
	add(d, post("/walls", "addWall", access.Live, "Put a wall together").created(), d.addWall)
	add(d, get("/walls/{wall}", "getWall", access.Live, "One wall"),
		func(ctx context.Context, who access.Actor, in *WallPath) (*bodyOf[Wall], error) {
			w, err := d.wall(ctx, who, in.Wall)
			return body(wall(who, w)), err
		})
	add(d, patch("/walls/{wall}", "changeWall", access.Live, "Change a wall").also(http.StatusConflict), d.changeWall)
	add(d, del("/walls/{wall}", "removeWall", access.Live, "Remove a wall"),
		func(ctx context.Context, who access.Actor, in *WallPath) (*empty, error) {
			w, err := d.wall(ctx, who, in.Wall)
			if err != nil {
				return nil, err
			}
			if !mayEdit(who, w) {
				return nil, access.ErrForbidden
			}
			err = d.access.Change(ctx, who, wallEntry(access.DeedWallRemoved, w), func(q store.Querier) error {
				return walls.Remove(ctx, q, who.Scope(), w.ID)
			})
			return nil, d.publish(err, wallChanged(w))
		})
}

// wall returns a wall of a request, when the actor sees it.
func (d *door) wall(ctx context.Context, who access.Actor, raw string) (walls.Wall, error) {
	wid, err := parse[id.Wall](raw)
	if err != nil {
		return walls.Wall{}, err
	}
	return walls.Get(ctx, d.db.Read(), who.Scope(), who.Person, wid)
}

// mayEdit reports whether the actor may change and remove a wall that the actor sees.
func mayEdit(who access.Actor, w walls.Wall) bool {
	return w.Owner == who.Person || w.Shared && access.Can(who, access.EditWalls, access.Target{Org: w.Org}) == nil
}

// wall is what the actor may know of a wall: a tile of a camera that the actor may not watch has no name.
func wall(who access.Actor, w walls.Wall) Wall {
	out := Wall{
		ID: string(w.ID), Name: w.Name, Shared: w.Shared, Mine: w.Owner == who.Person, MayEdit: mayEdit(who, w), OwnerName: w.OwnerName, OwnerLeft: w.Left,
		Layout: w.Layout, CycleS: w.CycleS, Tiles: []WallTile{}, Version: w.Version, CreatedUs: w.CreatedUs, ChangedUs: w.ChangedUs,
	}
	for _, t := range w.Tiles {
		for len(out.Tiles) < t.Place {
			out.Tiles = append(out.Tiles, WallTile{State: "empty"})
		}
		tile := WallTile{State: "hidden"}
		switch {
		case access.Can(who, access.Live, access.Target{Org: w.Org, Site: t.Site}) != nil:
		case t.Gone:
			tile.State = "gone"
		default:
			tile = WallTile{State: "camera", Camera: string(t.Camera), CameraName: t.CameraName, Site: string(t.Site), SiteName: t.SiteName}
		}
		out.Tiles = append(out.Tiles, tile)
	}
	return out
}

func (d *door) addWall(ctx context.Context, who access.Actor, in *struct{ Body WallRequest }) (*bodyOf[Wall], error) {
	b, now := in.Body, time.Now().UnixMicro()
	w := walls.Wall{ID: id.New[id.Wall](), Org: who.Org, Owner: who.Person, CreatedUs: now, ChangedUs: now}
	if err := d.furnish(ctx, who, &w, WallPatch{Name: &b.Name, Shared: &b.Shared, Layout: &b.Layout, CycleS: &b.CycleS, Tiles: &b.Tiles}); err != nil {
		return nil, err
	}
	err := d.access.Change(ctx, who, wallEntry(access.DeedWallAdded, w), func(q store.Querier) error {
		return walls.Add(ctx, q, who.Scope(), w)
	})
	return d.answerWall(ctx, who, w, err)
}

func (d *door) changeWall(ctx context.Context, who access.Actor, in *struct {
	WallPath
	Body WallPatch
},
) (*bodyOf[Wall], error) {
	w, err := d.wall(ctx, who, in.Wall)
	if err != nil {
		return nil, err
	}
	if !mayEdit(who, w) {
		return nil, access.ErrForbidden
	}
	if in.Body.Version != w.Version {
		return nil, walls.ErrStale
	}
	was := w
	if err := d.furnish(ctx, who, &w, in.Body); err != nil {
		return nil, err
	}
	if was.Shared && !w.Shared && w.Owner != who.Person {
		return nil, invalid("body.shared", "The wall is somebody else's: only its owner can make it private. Remove it instead.")
	}
	w.ChangedUs = time.Now().UnixMicro()
	err = d.access.Change(ctx, who, wallEntry(access.DeedWallChanged, w), func(q store.Querier) error {
		return walls.Update(ctx, q, who.Scope(), w)
	})
	if err == nil && was.Shared {
		d.bus.Publish(wallChanged(was)) // those who see it no longer are told too
	}
	return d.answerWall(ctx, who, w, err)
}

// answerWall tells of a change of a wall that ended with err, and answers with the wall as it is now.
func (d *door) answerWall(ctx context.Context, who access.Actor, w walls.Wall, err error) (*bodyOf[Wall], error) {
	if err := d.publish(err, wallChanged(w)); err != nil {
		return nil, err
	}
	w, err = walls.Get(ctx, d.db.Read(), who.Scope(), who.Person, w.ID)
	return body(wall(who, w)), err
}

// furnish checks and takes over what a request says of a wall.
func (d *door) furnish(ctx context.Context, who access.Actor, w *walls.Wall, b WallPatch) (err error) {
	if b.Name != nil {
		if w.Name, err = orgs.Text(*b.Name, walls.MaxName); err != nil {
			return invalid("body.name", "The name "+err.Error()+".")
		}
		if w.Name == "" {
			return invalid("body.name", "The name is empty: give at least one character.")
		}
	}
	if b.CycleS != nil && *b.CycleS != 0 && *b.CycleS < walls.MinCycleS {
		return invalid("body.cycle_s", fmt.Sprintf("A page must be shown for %d seconds at least: give more, or 0 for pages that do not turn.", walls.MinCycleS))
	}
	set(&w.Shared, b.Shared)
	set(&w.Layout, b.Layout)
	set(&w.CycleS, b.CycleS)
	if b.Tiles == nil {
		return nil
	}
	before := map[int]walls.Tile{}
	for _, t := range w.Tiles {
		before[t.Place] = t
	}
	w.Tiles = nil
	for place, p := range *b.Tiles {
		t, err := d.tile(ctx, who, p, before)
		if err != nil {
			return d.tileFault(place, err)
		}
		if t.Camera != "" {
			t.Place = place
			w.Tiles = append(w.Tiles, t)
		}
	}
	return nil
}

// tile is what shall stand in a place; the zero Tile for nothing.
func (d *door) tile(ctx context.Context, who access.Actor, p WallPlace, before map[int]walls.Tile) (walls.Tile, error) {
	if p.Keep != nil {
		t, ok := before[*p.Keep]
		if !ok {
			return t, store.ErrNotFound
		}
		return t, nil
	}
	if p.Camera == "" {
		return walls.Tile{}, nil
	}
	c, err := d.camera(ctx, who, access.Live, p.Camera)
	return walls.Tile{Camera: c.ID}, err
}

func (d *door) tileFault(place int, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return invalid(fmt.Sprintf("body.tiles[%d]", place), "One of the cameras does not exist: load the list of cameras again and choose from it.")
	}
	return err
}

// wallEntry is the row of the audit; the name of a private wall is its owner's alone.
func wallEntry(deed access.Deed, w walls.Wall) access.Entry {
	detail := fmt.Sprintf("private, %d cameras", len(w.Tiles))
	if w.Shared {
		detail = fmt.Sprintf("%s: shared, %d cameras", w.Name, len(w.Tiles))
	}
	return access.Entry{Deed: deed, Target: string(w.ID), Detail: detail}
}

// wallChanged tells whoever sees the wall.
func wallChanged(w walls.Wall) Changed {
	c := Changed{Org: w.Org, Kind: "wall", ID: string(w.ID)}
	if !w.Shared {
		c.Person = w.Owner
	}
	return c
}

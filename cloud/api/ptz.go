package api

import (
	"context"
	"net/http"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// moveFor is how long an order to move may take to reach the camera: nobody wants it later.
const moveFor = 4 * time.Second

func (d *door) ptz() {
	far := []int{http.StatusBadGateway, http.StatusGatewayTimeout}
	add(d, get("/cameras/{camera}/ptz", "getPTZ", access.MoveCameras, "What a camera can be told to do, as its device says, and who moves it").also(append(far, http.StatusConflict)...),
		func(ctx context.Context, who access.Actor, in *CameraPath) (*bodyOf[PTZ], error) {
			c, err := d.camera(ctx, who, access.MoveCameras, in.Camera)
			if err != nil {
				return nil, err
			}
			able, err := d.rooms.Live.Steer(ctx, who.Org, c.Site, wire.PTZOrder{Camera: c.ID, Act: wire.PTZAsk})
			return body(d.showPTZ(able, c.ID, who)), err
		})
	add(d, post("/cameras/{camera}/ptz", "moveCamera", access.MoveCameras, "Move a camera, and have it for 15 s from then on").also(far...), d.moveCamera)
	add(d, get("/cameras/{camera}/turn", "getTurn", access.MoveCameras, "Who moves a camera"),
		func(ctx context.Context, who access.Actor, in *CameraPath) (*bodyOf[Turn], error) {
			c, err := d.camera(ctx, who, access.MoveCameras, in.Camera)
			return body(d.showTurn(c.ID, who)), err
		})
	add(d, post("/cameras/{camera}/turn", "takeTurn", access.MoveCameras, "Take a camera over from somebody with a lower role"),
		func(ctx context.Context, who access.Actor, in *CameraPath) (*bodyOf[Turn], error) {
			c, err := d.camera(ctx, who, access.MoveCameras, in.Camera)
			if err == nil {
				_, err = d.turn(ctx, who, c, true)
			}
			return body(d.showTurn(c.ID, who)), err
		})
	add(d, del("/cameras/{camera}/turn", "endTurn", access.MoveCameras, "Leave a camera to others"),
		func(ctx context.Context, who access.Actor, in *CameraPath) (*empty, error) {
			c, err := d.camera(ctx, who, access.MoveCameras, in.Camera)
			if err == nil && d.turns.End(who, c.ID) {
				d.bus.Publish(Changed{Org: c.Org, Site: c.Site, Camera: c.ID, Kind: "turn"})
			}
			return nil, err
		})
	add(d, post("/cameras/{camera}/presets", "savePreset", access.EditCameras, "Keep the position that a camera has now").created().also(far...), d.savePreset)
	type presetIn struct {
		CameraPath
		Preset string `path:"preset" maxLength:"128"`
	}
	add(d, del("/cameras/{camera}/presets/{preset}", "removePreset", access.EditCameras, "Forget a position that a camera keeps").also(append(far, http.StatusConflict)...),
		func(ctx context.Context, who access.Actor, in *presetIn) (*bodyOf[PTZ], error) {
			return d.keep(ctx, who, in.Camera, access.DeedPresetRemoved, in.Preset, wire.PTZOrder{Act: wire.PTZRemove, Preset: in.Preset})
		})
}

// turn makes it somebody's turn with a camera, or lets the turn go on. Its begin is a row of the audit: no row, no turn.
func (d *door) turn(ctx context.Context, who access.Actor, c orgs.Camera, over bool) (access.Turn, error) {
	fresh := false
	turn, err := d.turns.Take(ctx, who, c.ID, over, func(from access.Turn) error {
		fresh = true
		entry := access.Entry{Deed: access.DeedCameraMoved, Target: string(c.ID), Site: c.Site, Detail: c.Name()}
		if from.Person != "" {
			entry.Deed, entry.Detail = access.DeedCameraTaken, c.Name()+", from "+from.Name
		}
		return d.access.Record(ctx, who, entry)
	})
	if fresh && err == nil {
		d.bus.Publish(Changed{Org: c.Org, Site: c.Site, Camera: c.ID, Kind: "turn"})
	}
	return turn, err
}

func (d *door) moveCamera(ctx context.Context, who access.Actor, in *struct {
	CameraPath
	Body PTZRequest
},
) (*bodyOf[Turn], error) {
	c, err := d.camera(ctx, who, access.MoveCameras, in.Camera)
	if err != nil {
		return nil, err
	}
	b := in.Body
	order := wire.PTZOrder{Camera: c.ID, Act: wire.PTZAct(b.Act), Number: b.Number, Pan: b.Pan, Tilt: b.Tilt, Zoom: b.Zoom, Preset: b.Preset}
	if err := order.Check(); err != nil {
		return nil, invalid("body", sentence(err))
	}
	turn, err := d.turn(ctx, who, c, false)
	if err != nil {
		return nil, err
	}
	order.Turn = turn.Number
	if order.Act != wire.PTZStop {
		limited, cancel := context.WithTimeout(ctx, moveFor)
		defer cancel()
		ctx = limited
	}
	_, err = d.rooms.Live.Steer(ctx, who.Org, c.Site, order)
	return body(d.showTurn(c.ID, who)), err
}

func (d *door) savePreset(ctx context.Context, who access.Actor, in *struct {
	CameraPath
	Body PresetRequest
},
) (*bodyOf[PTZ], error) {
	name, err := orgs.Name(in.Body.Name)
	if err != nil {
		return nil, invalid("body.name", "The name "+err.Error()+".")
	}
	return d.keep(ctx, who, in.Camera, access.DeedPresetSaved, name, wire.PTZOrder{Act: wire.PTZSave, Name: name})
}

// keep changes what positions a camera keeps: who does that has its turn.
func (d *door) keep(ctx context.Context, who access.Actor, camera string, deed access.Deed, what string, order wire.PTZOrder) (*bodyOf[PTZ], error) {
	c, err := d.camera(ctx, who, access.EditCameras, camera)
	if err != nil {
		return nil, err
	}
	order.Camera = c.ID
	if err := order.Check(); err != nil {
		return nil, invalid("body", sentence(err))
	}
	turn, err := d.turn(ctx, who, c, false)
	if err != nil {
		return nil, err
	}
	order.Turn = turn.Number
	if err := d.access.Record(ctx, who, access.Entry{Deed: deed, Target: string(c.ID), Site: c.Site, Detail: joinWords(c.Name(), what)}); err != nil {
		return nil, err
	}
	able, err := d.rooms.Live.Steer(ctx, who.Org, c.Site, order)
	d.bus.Publish(Changed{Org: c.Org, Site: c.Site, Camera: c.ID, Kind: "ptz"})
	return body(d.showPTZ(able, c.ID, who)), err
}

func (a *API) showPTZ(able wire.PTZReply, camera id.Camera, who access.Actor) PTZ {
	out := PTZ{
		Move: able.Move, Zoom: able.Zoom, Centre: able.Centre, Home: able.Home, Save: able.Save, Presets: []Preset{}, Turn: a.showTurn(camera, who),
	}
	for _, p := range able.Presets {
		out.Presets = append(out.Presets, Preset(p))
	}
	return out
}

func (a *API) showTurn(camera id.Camera, who access.Actor) Turn {
	turn, taken := a.turns.Of(camera)
	if !taken {
		return Turn{}
	}
	return Turn{Name: turn.Name, Mine: turn.Person == who.Person, LeftMs: time.Until(turn.Until).Milliseconds(), May: turn.May(who)}
}

package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"holdfast/cloud/access"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

func (w *world) orders() []wire.PTZOrder {
	w.rooms.mu.Lock()
	defer w.rooms.mu.Unlock()
	return slices.Clone(w.rooms.orders)
}

// TestACameraIsMovedByOneAtATime: whose turn it is sees to it, in the cloud, at each order.
func TestACameraIsMovedByOneAtATime(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	in := []id.Site{p.site}
	viewer, other, manager := w.join(w.org, access.Viewer, in), w.join(w.org, access.Viewer, in), w.join(w.org, access.Manager, in)
	owner, support := w.owner(), w.join(w.org, access.Support, nil)
	path := prefix + "/cameras/" + string(p.camera)
	l := w.bus.listen(w.org)
	defer l.close()
	move := func(a actor, want int) answer {
		t.Helper()
		got := w.ask(a, "POST", path+"/ptz", `{"act":"move","number":5,"pan":1,"tilt":-0.5,"zoom":0.25}`)
		if got.status != want {
			t.Fatalf("%s moves it: %d, want %d: %s", a.who.Role, got.status, want, got.body)
		}
		return got
	}
	turn := func(a actor) (out Turn) {
		t.Helper()
		if err := json.Unmarshal([]byte(w.ask(a, "GET", path+"/turn", "").body), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if free := turn(other); free != (Turn{}) {
		t.Errorf("a camera that nobody moves: %+v", free)
	}
	move(viewer, 200)
	move(viewer, 200)
	if got := turn(viewer); !got.Mine || got.May || got.LeftMs < 14_000 || got.LeftMs > 15_000 {
		t.Errorf("who moves it reads %+v", got)
	}
	if got := turn(other); got.Mine || got.May || got.Name != "Ana" {
		t.Errorf("another viewer reads %+v", got)
	}
	if got := move(other, 409); !strings.Contains(got.body, "Ana moves this camera. It is free in 1") || strings.Contains(got.body, "take it over") {
		t.Errorf("another viewer is told %s", got.body)
	}
	if got := move(manager, 409); !strings.Contains(got.body, "take it over") {
		t.Errorf("a manager is told %s", got.body)
	}
	move(support, 403)
	if got := w.ask(other, "POST", path+"/turn", ""); got.status != 409 {
		t.Errorf("another viewer takes it over: %d", got.status)
	}
	if got := w.ask(manager, "POST", path+"/turn", ""); got.status != 200 || !strings.Contains(got.body, `"mine":true`) {
		t.Errorf("a manager takes it over: %d %s", got.status, got.body)
	}
	move(viewer, 409)
	if got := w.ask(manager, "POST", path+"/presets", `{"name":"Gate"}`); got.status != 201 || !strings.Contains(got.body, `"token":"1"`) {
		t.Errorf("a manager keeps a position: %d %s", got.status, got.body)
	}
	if got := w.ask(viewer, "POST", path+"/presets", `{"name":"Gate"}`); got.status != 403 {
		t.Errorf("a viewer keeps a position: %d", got.status)
	}
	if got := w.ask(owner, "DELETE", path+"/presets/1", ""); got.status != 409 {
		t.Errorf("an owner forgets a position in the manager's turn: %d", got.status)
	}
	if got := w.ask(viewer, "DELETE", path+"/turn", ""); got.status != 204 || turn(manager).Name == "" {
		t.Errorf("a viewer ends the manager's turn: %d", got.status)
	}
	if got := w.ask(manager, "DELETE", path+"/turn", ""); got.status != 204 || turn(manager).Name != "" {
		t.Errorf("the manager ends it: %d", got.status)
	}
	move(owner, 200)
	all := w.orders()
	if len(all) != 4 || all[0] != (wire.PTZOrder{Camera: p.camera, Act: wire.PTZMove, Turn: all[0].Turn, Number: 5, Pan: 1, Tilt: -0.5, Zoom: 0.25}) {
		t.Fatalf("the site was told %+v", all)
	}
	if all[1].Turn != all[0].Turn || all[2].Turn <= all[1].Turn || all[2].Act != wire.PTZSave || all[3].Turn <= all[2].Turn {
		t.Errorf("the turns are %+v", all)
	}
	// One row for each taking, and none for a move.
	var rows []string
	for _, d := range w.deeds() {
		if verb, target, _ := strings.Cut(d, " "); target == string(p.camera) {
			rows = append(rows, verb)
		}
	}
	if want := []string{"camera_moved", "camera_taken", "preset_saved", "camera_moved"}; !slices.Equal(rows, want) {
		t.Errorf("the audit has %v, want %v", rows, want)
	}
	changes, _ := l.take()
	if !slices.Contains(changes, Changed{Org: w.org, Site: p.site, Camera: p.camera, Kind: "turn"}) {
		t.Errorf("nobody was told: %v", changes)
	}
	if _, ok := visible(support.who, changes[0]); ok {
		t.Error("support is told who moves a camera")
	}
}

// TestOddOrdersToMove are refused before anybody has a turn.
func TestOddOrdersToMove(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	path := prefix + "/cameras/" + string(p.camera)
	for _, body := range []string{
		`{"act":"move","number":1,"pan":1.5}`, `{"act":"fly","number":1}`, `{"act":"move"}`, `{"act":"goto","number":1}`, `{"act":"save","number":1}`,
	} {
		if got := w.ask(w.owner(), "POST", path+"/ptz", body); got.status != 422 {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	if got := w.ask(w.owner(), "DELETE", path+"/presets/%0A", ""); got.status != 422 {
		t.Errorf("a preset that nobody can name: %d %s", got.status, got.body)
	}
	if rows := w.deeds(); len(rows) > 0 {
		t.Errorf("the audit says %q", rows)
	}
	if got := w.ask(w.owner(), "GET", path+"/turn", ""); !strings.Contains(got.body, `"left_ms":0`) {
		t.Errorf("somebody has the camera: %s", got.body)
	}
	if len(w.orders()) > 0 {
		t.Errorf("the site was told %v", w.orders())
	}
}

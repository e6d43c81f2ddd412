package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// wall asks for a wall and reads the answer, which must be one of success.
func (w *world) wall(a actor, method, path, body string) (out Wall) {
	w.t.Helper()
	got := w.ask(a, method, prefix+path, body)
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, got.status, got.body)
	}
	return out
}

func states(w Wall) (list []string) {
	for _, t := range w.Tiles {
		list = append(list, t.State)
	}
	return list
}

// TestAWallOfTwoSites follows a wall of cameras of two sites through the eyes of those who see both, one, and none.
func TestAWallOfTwoSites(t *testing.T) {
	w := sqliteWorld(t)
	near, far := w.place(), w.place()
	maker := w.join(w.org, access.Manager, []id.Site{near.site, far.site})
	one := w.join(w.org, access.Viewer, []id.Site{near.site})
	none := w.join(w.org, access.Viewer, []id.Site{w.far})
	made := w.wall(maker, http.MethodPost, "/walls", fmt.Sprintf(
		`{"name":" Docks ","layout":"3x2","cycle_s":20,"tiles":[{"camera":%q},{},{"camera":%q},{}]}`, near.camera, far.camera))
	if made.Name != "Docks" || made.Layout != "3x2" || made.CycleS != 20 || made.Version != 1 || !made.Mine || !made.MayEdit || made.Shared || made.OwnerName != "Ana" {
		t.Errorf("the new wall is %+v", made)
	}
	want := []WallTile{
		{State: "camera", Camera: string(near.camera), CameraName: "Counter", Site: string(near.site), SiteName: "Site " + string(near.site)},
		{State: "empty"},
		{State: "camera", Camera: string(far.camera), CameraName: "Counter", Site: string(far.site), SiteName: "Site " + string(far.site)},
	}
	if !slices.Equal(made.Tiles, want) {
		t.Errorf("the tiles are %+v, want %+v", made.Tiles, want)
	}
	path := "/walls/" + made.ID
	for name, who := range map[string]actor{"another viewer": one, "an owner": w.owner()} {
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			if got := w.ask(who, method, prefix+path, ""); got.status != http.StatusNotFound {
				t.Errorf("%s, %s of a private wall: %d %s", name, method, got.status, got.body)
			}
		}
		if list := w.ask(who, http.MethodGet, prefix+"/walls", ""); strings.Contains(list.body, made.ID) {
			t.Errorf("%s lists a private wall: %s", name, list.body)
		}
	}
	w.wall(maker, http.MethodPatch, path, `{"version":1,"shared":true}`)
	for _, tc := range []struct {
		who  actor
		want []string
	}{{one, []string{"camera", "empty", "hidden"}}, {none, []string{"hidden", "empty", "hidden"}}, {w.owner(), []string{"camera", "empty", "camera"}}} {
		seen := w.wall(tc.who, http.MethodGet, path, "")
		if !slices.Equal(states(seen), tc.want) || seen.Mine {
			t.Errorf("a shared wall is seen as %+v, want %v", seen, tc.want)
		}
		for _, tile := range seen.Tiles {
			if tile.State != "camera" && tile != (WallTile{State: tile.State}) {
				t.Errorf("a tile without a right says %+v", tile)
			}
		}
	}
	if got := w.ask(one, http.MethodPatch, prefix+path, `{"version":2,"name":"Mine"}`); got.status != http.StatusForbidden {
		t.Errorf("a viewer changes somebody else's wall: %d %s", got.status, got.body)
	}
	// What one does not see stays where one puts it.
	w.do(func(q store.Querier) error {
		return orgs.RemoveCamera(t.Context(), q, store.Org(w.org), near.camera, 9)
	})
	moved := w.wall(maker, http.MethodPatch, path, fmt.Sprintf(`{"version":2,"tiles":[{"keep":2},{"keep":0},{"camera":%q}]}`, far.camera))
	if !slices.Equal(states(moved), []string{"camera", "gone", "camera"}) || moved.Tiles[1] != (WallTile{State: "gone"}) || moved.Version != 3 {
		t.Errorf("after moving: %+v", moved)
	}
	if seen := w.wall(one, http.MethodGet, path, ""); !slices.Equal(states(seen), []string{"hidden", "gone", "hidden"}) {
		t.Errorf("a viewer of the near site sees %+v", seen)
	}
	if seen := w.wall(none, http.MethodGet, path, ""); !slices.Equal(states(seen), []string{"hidden", "hidden", "hidden"}) {
		t.Errorf("a viewer of neither site sees %+v", seen)
	}
}

// TestWallsAreTheirOwners: who may change what, who is told, and what the audit says of it.
func TestWallsAreTheirOwners(t *testing.T) {
	w := sqliteWorld(t)
	maker, boss := w.join(w.org, access.Viewer, nil), w.owner()
	body := `{"name":"Secret","layout":"1x1","tiles":[]}`
	private := w.wall(maker, http.MethodPost, "/walls", body)
	shared := w.wall(maker, http.MethodPost, "/walls", strings.Replace(body, `"Secret"`, `"Lobby","shared":true`, 1))
	path := "/walls/" + shared.ID
	if seen := w.wall(boss, http.MethodGet, path, ""); !seen.MayEdit || seen.Mine {
		t.Errorf("an owner of the organisation sees %+v", seen)
	}
	if got := w.ask(boss, http.MethodPatch, prefix+path, `{"version":1,"shared":false}`); got.status != http.StatusUnprocessableEntity {
		t.Errorf("an owner of the organisation takes a wall away: %d %s", got.status, got.body)
	}
	if renamed := w.wall(boss, http.MethodPatch, path, `{"version":1,"name":"Foyer","cycle_s":30}`); renamed.Name != "Foyer" || renamed.CycleS != 30 || renamed.Version != 2 {
		t.Errorf("renamed by an owner of the organisation: %+v", renamed)
	}
	if got := w.ask(maker, http.MethodPatch, prefix+path, `{"version":1,"name":"Hall"}`); got.status != http.StatusConflict || !strings.Contains(got.body, "in the meantime") {
		t.Errorf("a change of an old version: %d %s", got.status, got.body)
	}
	heard := w.bus.listen(w.org)
	defer heard.close()
	w.wall(maker, http.MethodPatch, path, `{"version":2,"shared":false}`)
	w.wall(maker, http.MethodPatch, "/walls/"+private.ID, `{"version":1,"cycle_s":5}`)
	changes, _ := heard.take()
	told := func(a actor) (ids []string) {
		for _, c := range changes {
			if change, ok := visible(a.who, c); ok && change.Kind == "wall" {
				ids = append(ids, change.ID)
			}
		}
		slices.Sort(ids)
		return slices.Compact(ids)
	}
	if got := told(boss); !slices.Equal(got, []string{shared.ID}) {
		t.Errorf("others are told of %v, want of the wall that they see no longer", got)
	}
	both := []string{shared.ID, private.ID}
	slices.Sort(both)
	if got := told(maker); !slices.Equal(got, both) {
		t.Errorf("the owner is told of %v, want %v", got, both)
	}
	if got := w.ask(maker, http.MethodDelete, prefix+path, ""); got.status != http.StatusNoContent {
		t.Errorf("remove: %d %s", got.status, got.body)
	}
	audit := w.ask(boss, http.MethodGet, prefix+"/audit", "").body
	for _, word := range []string{"wall_added", "wall_changed", "wall_removed", "Lobby: shared", "private, 0 cameras"} {
		if !strings.Contains(audit, word) {
			t.Errorf("the audit does not say %q: %s", word, audit)
		}
	}
	if strings.Contains(audit, "Secret") {
		t.Errorf("the audit names a private wall: %s", audit)
	}
}

// TestAWallOutlivesItsOwner: what was shared stays, what was private goes.
func TestAWallOutlivesItsOwner(t *testing.T) {
	w := sqliteWorld(t)
	maker, boss := w.join(w.org, access.Viewer, nil), w.owner()
	private := w.wall(maker, http.MethodPost, "/walls", `{"name":"Mine","layout":"1x1","tiles":[]}`)
	shared := w.wall(maker, http.MethodPost, "/walls", `{"name":"Ours","layout":"1x1","shared":true,"tiles":[]}`)
	if got := w.ask(boss, http.MethodDelete, prefix+"/people/"+string(maker.who.Person), ""); got.status != http.StatusNoContent {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if seen := w.wall(boss, http.MethodGet, "/walls/"+shared.ID, ""); !seen.OwnerLeft || !seen.MayEdit {
		t.Errorf("the shared wall is %+v", seen)
	}
	var rows int
	err := w.db.Read().QueryRowContext(t.Context(), `SELECT count(*) FROM wall WHERE id = $1`, private.ID).Scan(&rows)
	if err != nil || rows != 0 {
		t.Errorf("%d rows of the private wall, %v", rows, err)
	}
}

func TestAWallThatCannotBe(t *testing.T) {
	w := sqliteWorld(t)
	who := w.join(w.org, access.Viewer, nil)
	many := strings.Repeat(`{},`, 36) + `{}`
	for body, want := range map[string]string{
		`{"name":"  ","layout":"2x2","tiles":[]}`:                                                  "is empty",
		`{"name":"` + strings.Repeat("ä", 81) + `","layout":"2x2","tiles":[]}`:                     "80 characters",
		`{"name":"x","layout":"7x7","tiles":[]}`:                                                   "layout",
		`{"name":"x","layout":"2x2","cycle_s":4,"tiles":[]}`:                                       "5 seconds",
		`{"name":"x","layout":"2x2","tiles":[` + many + `]}`:                                       "tiles",
		`{"name":"x","layout":"2x2","tiles":[{"keep":0}]}`:                                         "tiles[0]",
		fmt.Sprintf(`{"name":"x","layout":"2x2","tiles":[{},{"camera":%q}]}`, id.New[id.Camera]()): "tiles[1]",
		`{"name":"x","layout":"2x2","tiles":[{"camera":"cam-' OR 1=1"}]}`:                          "does not exist",
	} {
		if got := w.ask(who, http.MethodPost, prefix+"/walls", body); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, want) {
			t.Errorf("%.80s: %d %s, want 422 with %q", body, got.status, got.body, want)
		}
	}
	for range 100 {
		w.wall(who, http.MethodPost, "/walls", `{"name":"x","layout":"6x6","tiles":[]}`)
	}
	if got := w.ask(who, http.MethodPost, prefix+"/walls", `{"name":"x","layout":"6x6","tiles":[]}`); got.status != http.StatusConflict || !strings.Contains(got.body, "delete one first") {
		t.Errorf("one wall more: %d %s", got.status, got.body)
	}
}

// TestATileThatComesRoundIsOneView: a screen whose pages turn all day does not fill the audit.
func TestATileThatComesRoundIsOneView(t *testing.T) {
	w := sqliteWorld(t)
	who, p := w.owner(), w.place()
	watch := func(query string) {
		t.Helper()
		got := w.ask(who, http.MethodPost, prefix+"/cameras/"+string(p.camera)+"/live"+query, "v=0\r\n", "Content-Type", sdpType)
		if got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	views := func() (n int) {
		for _, deed := range w.deeds() {
			if strings.HasPrefix(deed, string(access.DeedLive)) || strings.HasPrefix(deed, string(access.DeedPlayback)) {
				n++
			}
		}
		return n
	}
	for range 3 {
		watch("?silent=true")
	}
	if got := views(); got != 1 {
		t.Errorf("a tile that came round three times is %d views", got)
	}
	watch("")
	watch("")
	watch("?silent=true&from_us=5")
	watch("?silent=true&from_us=5")
	if got := views(); got != 5 {
		t.Errorf("with two plain views and two playbacks there are %d views, want 5", got)
	}
}

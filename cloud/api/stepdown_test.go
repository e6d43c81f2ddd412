package api

import (
	"encoding/json"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/testenv/db"
)

// TestStepDownIsAChoicePerCamera: it is stored, is part of what the site is told, and stays when something else changes.
func TestStepDownIsAChoicePerCamera(t *testing.T) {
	w := newWorld(t, db.SQLite(t))
	p, who := w.place(), w.owner()
	change := func(body string) Camera {
		t.Helper()
		got := w.ask(who, "PATCH", prefix+p.fill("/cameras/{camera}"), body)
		var c Camera
		if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.status != 200 {
			t.Fatalf("%d %s: %v", got.status, got.body, err)
		}
		return c
	}
	if c := change(`{"step_down":true}`); !c.StepDown {
		t.Errorf("the camera is %+v", c)
	}
	if c := change(`{"name":"Till"}`); !c.StepDown {
		t.Errorf("another change took it away: %+v", c)
	}
	want, err := orgs.Desired(t.Context(), w.db.Read(), store.Org(w.org), p.site)
	if err != nil || len(want.Cameras) != 1 || !want.Cameras[0].StepDown {
		t.Errorf("the site is told %+v, %v", want, err)
	}
	if c := change(`{"step_down":false}`); c.StepDown {
		t.Errorf("the camera is %+v", c)
	}
}

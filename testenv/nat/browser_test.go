//go:build linux

package nat

import (
	"encoding/json"
	"strings"
	"testing"

	"holdfast/testenv/ownnet"
)

// TestTwoBrowsersShareACamera has the portal itself go over to the relay.
func TestTwoBrowsersShareACamera(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	i := New(t, PortRestricted, PortRestricted)
	h, _ := settle(t, i, t.TempDir(), dock(), ownTURN()...)
	cmd := browse(t, h, "crowd.mjs")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := i.Viewer.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the browsers: %v\n%s\nthe cloud's log ends with:\n%s", err, errs.String(), h.Cloud.Tail(30))
	}
	var saw []struct {
		PauseMS int      `json:"pauseMs"`
		StillMS int      `json:"stillMs"`
		DelayMS int      `json:"delayMs"`
		Phase   string   `json:"phase"`
		Stats   string   `json:"stats"`
		Faults  []string `json:"faults"`
		TalkMS  int      `json:"talkOpenMs"`
	}
	if err := json.Unmarshal([]byte(out.String()), &saw); err != nil || len(saw) != 2 {
		t.Fatalf("the browsers say %q: %v", out.String(), err)
	}
	speeches := h.Sites[0].Cameras.Camera(camera).Heard()
	if len(speeches) != 1 || speeches[0].Lost != 0 || len(speeches[0].Tones(1000)) < 10 {
		t.Errorf("the camera heard %d speeches", len(speeches))
	} else {
		t.Logf("the camera heard %d ms of the tone, from a viewer that the relay serves", 100*len(speeches[0].Tones(1000)))
	}
	for n, s := range saw {
		t.Logf("viewer %d: %+v", n+1, s)
		if s.Phase != "playing" || len(s.Faults) > 0 {
			t.Errorf("viewer %d: %+v", n+1, s)
		}
		if s.PauseMS > 2000+s.StillMS {
			t.Errorf("viewer %d saw no new picture for %d ms, of which its page itself stood still for %d", n+1, s.PauseMS, s.StillMS)
		}
		if s.DelayMS <= 0 || s.DelayMS > 2000 {
			t.Errorf("viewer %d: a picture is %d ms old on the screen", n+1, s.DelayMS)
		}
	}
}

package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// TestHoldsAsPeopleSeeThem joins what was wished with what the site says, over the states of both.
func TestHoldsAsPeopleSeeThem(t *testing.T) {
	w := sqliteWorld(t)
	who, p := w.owner(), w.place()
	list := func() map[string]Hold {
		t.Helper()
		got := w.ask(who, http.MethodGet, prefix+"/sites/"+string(p.site)+"/holds", "")
		var out Holds
		if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		byID := map[string]Hold{}
		for _, h := range out.Holds {
			byID[h.ID] = h
		}
		return byID
	}
	at := func() Hold { return list()[string(p.hold)] }
	if h := at(); h.State != "waiting" || !strings.Contains(h.Text, "No agent") || h.CameraName != "Counter" || h.By != "Ada" || h.MadeAt != "portal" {
		t.Errorf("before any agent: %+v", h)
	}
	w.rooms.holds = HoldReport{Known: true}
	if h := at(); h.State != "unsupported" || !strings.Contains(h.Text, "too old") {
		t.Errorf("with an old agent: %+v", h)
	}
	w.rooms.holds.Able = true
	if h := at(); h.State != "waiting" {
		t.Errorf("before the agent has it: %+v", h)
	}
	own := id.New[id.Hold]()
	w.rooms.holds.States = []wire.HoldState{
		{HoldDesire: wire.HoldDesire{Hold: p.hold}, State: wire.HoldRefused, Text: "too much"},
		{HoldDesire: wire.HoldDesire{Hold: own, Camera: p.camera, StartUs: 5, EndUs: 6, Name: "Fire", By: "Bo"}, Site: true, State: wire.HoldKept, Bytes: 7},
	}
	if h, mine := at(), list()[string(own)]; h.State != "refused" || h.Text != "too much" || mine.MadeAt != "site" || mine.Bytes != 7 || mine.CameraName != "Counter" {
		t.Errorf("with the site's word: %+v and %+v", h, mine)
	}
	configs := w.rooms.configs
	got := w.ask(who, http.MethodPatch, prefix+"/holds/"+string(p.hold), `{"over":true}`)
	if got.status != http.StatusOK || !strings.Contains(got.body, `"over":true`) || w.rooms.configs != configs+1 {
		t.Errorf("agree: %d %s, the site was told %d times", got.status, got.body, w.rooms.configs-configs)
	}
	if got := w.ask(who, http.MethodDelete, prefix+"/holds/"+string(own), ""); got.status != http.StatusNotFound {
		t.Errorf("a hold of the site is released from here: %d %s", got.status, got.body)
	}
	if got := w.ask(who, http.MethodDelete, prefix+"/holds/"+string(p.hold), ""); got.status != http.StatusNoContent || at().ID != "" {
		t.Errorf("release: %d %s", got.status, got.body)
	}
	audit := w.ask(who, http.MethodGet, prefix+"/audit", "")
	for _, deed := range []string{"hold_agreed", "hold_released"} {
		if !strings.Contains(audit.body, deed) {
			t.Errorf("the audit has no %s: %s", deed, audit.body)
		}
	}
}

func TestAHoldThatCannotBe(t *testing.T) {
	w := sqliteWorld(t)
	who, p := w.owner(), w.place()
	now := time.Now().UnixMicro()
	for body, want := range map[string]string{
		fmt.Sprintf(`{"camera":%q,"start_us":2000,"end_us":1000,"name":"x"}`, p.camera):                          "ends before it begins",
		fmt.Sprintf(`{"camera":%q,"start_us":1000,"end_us":%d,"name":"x"}`, p.camera, now+int64(time.Hour/1000)): "in the future",
		fmt.Sprintf(`{"camera":%q,"start_us":1000,"end_us":2000,"until_us":3000,"name":"x"}`, p.camera):          "in the future",
		fmt.Sprintf(`{"camera":%q,"start_us":1000,"end_us":2000,"name":" "}`, p.camera):                          "is empty",
		fmt.Sprintf(`{"camera":%q,"start_us":1000,"end_us":2000,"name":"x"}`, id.New[id.Camera]()):               "does not exist",
		fmt.Sprintf(`{"camera":%q,"start_us":1000,"end_us":2000,"name":%q}`, p.camera, "a\u202eb"):               "direction",
	} {
		if got := w.ask(who, http.MethodPost, prefix+"/holds", body); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s, want 422 with %q", body, got.status, got.body, want)
		}
	}
}

// TestPreviewOfLimits: hours by coverage, bytes by what the site keeps, holds left out.
func TestPreviewOfLimits(t *testing.T) {
	w := sqliteWorld(t)
	who, p := w.owner(), w.place()
	preview := func(query string) (out RetentionPreview) {
		t.Helper()
		got := w.ask(who, http.MethodGet, prefix+"/cameras/"+string(p.camera)+"/retention"+query, "")
		if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return out
	}
	if got := preview("?keep_days=7"); got.Known || got.Bytes != 0 {
		t.Errorf("before the site has said anything: %+v", got)
	}
	const day = int64(24 * time.Hour / time.Microsecond)
	now := time.Now().UnixMicro()
	first := now - 30*day
	w.rooms.cameras = map[id.Camera]CameraStatus{p.camera: {FirstUs: first, Retention: &wire.Retention{Bytes: 330e9, HeldBytes: 30e9, KeepUs: 30 * day}}}
	w.rooms.ranges = []Range{{StartUs: first, EndUs: now - 10*day, State: "site"}, {StartUs: now - 10*day, EndUs: now - 9*day, State: "gap"}, {StartUs: now - 9*day, EndUs: now, State: "site"}}
	w.rooms.holds = HoldReport{Known: true, Able: true, States: []wire.HoldState{
		{HoldDesire: wire.HoldDesire{Camera: p.camera, StartUs: first, EndUs: first + 2*day}, State: wire.HoldKept},
	}}
	w.rooms.disk = &DiskInfo{Capacity: 1000e9}
	near := func(what string, got, want int64) {
		t.Helper()
		if got < want*99/100 || got > want*101/100 {
			t.Errorf("%s: %d, want about %d", what, got, want)
		}
	}
	// 27 days are there and not held, for 300 GB; 18 + 2 of them are older than 7 days.
	week := preview("?keep_days=7")
	near("hours", week.LengthUs, 20*day)
	near("bytes", week.Bytes, 222_222_222_222)
	near("due", week.DueUs-now, day)
	if got := preview("?keep_days=30&share_pct=50"); got.LengthUs != 0 || got.DueUs != 0 {
		t.Errorf("limits that are no stricter: %+v", got)
	}
	tenth := preview("?share_pct=10")
	near("bytes of a share", tenth.Bytes, 200e9)
	near("hours of a share", tenth.LengthUs, 18*day)
	w.rooms.holds.Able = false
	if got := preview("?keep_days=7"); got.DueUs != 0 || got.LengthUs == 0 {
		t.Errorf("an old agent deletes at once: %+v", got)
	}
}

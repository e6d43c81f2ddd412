package local

import (
	"strings"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

func TestFillingInWords(t *testing.T) {
	from := time.Date(2026, 3, 7, 18, 5, 9, 0, time.Local).UnixMicro()
	fetch := &Fetch{Camera: "cam-a", Source: "recorder", StartUs: from, EndUs: from + 600e6, Percent: 42}
	names := map[id.Camera]string{"cam-a": "Gate"}
	for want, f := range map[string]Filling{
		"No camera has another source: name an archive in holdfast.yaml to have gaps filled from it": {},
		"No gap waits for another source":                                          {Sources: true},
		"1 gap waits for another source, 45 seconds in all":                        {Sources: true, Waiting: 1, WaitingUs: 45e6},
		"3 gaps wait for another source, 2.5 hours in all. Filled today: 1 second": {Sources: true, Waiting: 3, WaitingUs: 9000e6, TodayUs: 1e6},
		"Fetching 10 minutes from 2026-03-07 18:05:09 of Gate, from the recorder: 42 %; 2 more gaps wait. Filled today: 90 minutes. " +
			"1 gap stays: no source has more of it": {Sources: true, Waiting: 3, Fetch: fetch, TodayUs: 5400e6, GivenUp: 1},
	} {
		if got := describeFilling(f, names).Text; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
	if fetch.CameraName != "" {
		t.Error("what the hall handed over was changed")
	}
	status := sample(wire.CameraState{Camera: "cam-a", Name: "Gate"})
	status.Filling = Filling{Sources: true, Fetch: fetch, Given: []Given{{Camera: "cam-a", Text: "card: has nothing."}}}
	got := describe(status).Filling
	if got.Fetch.CameraName != "Gate" || got.Given[0].CameraName != "Gate" || !strings.HasPrefix(got.Text, "Fetching 10 minutes") {
		t.Errorf("the report says %+v", got)
	}
}

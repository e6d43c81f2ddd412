package wire

import (
	"strings"
	"testing"

	"holdfast/shared/id"
)

func TestCleanText(t *testing.T) {
	for in, want := range map[string]string{
		"Till 3":                 "Till 3",
		"a\x00b\x1b[31mc":        "ab[31mc",
		"two\nlines":             "two lines",
		"a\u202eb":               "ab",
		"\xff":                   "\uFFFD",
		strings.Repeat("ä", 200): strings.Repeat("ä", 128),
	} {
		if got := CleanText(in, MaxNameRunes); got != want {
			t.Errorf("CleanText(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTidy(t *testing.T) {
	h := samples()["hello"].(Hello)
	h.Cameras = []CameraState{sampleCamera()}
	h.Cameras[0].Name = "Till\x00 3"
	h.Cameras[0].Streams[0].State, h.Cameras[0].Streams[0].Reason = "superb", "sunspots"
	h.Holds = []HoldState{sampleHoldState()}
	h.Holds[0].State, h.Holds[0].Name, h.Cameras[0].Retention.Days = "golden", "a\nb", -1
	if err := h.Tidy(); err != nil {
		t.Fatal(err)
	}
	s := h.Cameras[0].Streams[0]
	if h.Holds[0].State != HoldStatus(StateUnknown) || h.Holds[0].Name != "a b" || h.Cameras[0].Retention.Days != 0 {
		t.Errorf("Tidy left %+v %+v", h.Holds[0], h.Cameras[0].Retention)
	}
	if h.Cameras[0].Name != "Till 3" || s.State != StateUnknown || s.Reason != Unknown {
		t.Fatalf("Tidy left %+v", h.Cameras[0])
	}
	for name, spoil := range map[string]func(*Hello){
		"agent":   func(h *Hello) { h.Agent = "me" },
		"site":    func(h *Hello) { h.Site = "" },
		"epoch":   func(h *Hello) { h.Epoch = strings.Repeat("e", 65) },
		"camera":  func(h *Hello) { h.Cameras = []CameraState{{Camera: "../x"}} },
		"cameras": func(h *Hello) { h.Cameras = make([]CameraState, MaxCameras+1) },
		"stream": func(h *Hello) {
			h.Cameras = []CameraState{{Camera: cameraID, Streams: []StreamState{{Kind: "third"}}}}
		},
		"hold":      func(h *Hello) { h.Holds[0].Hold = "../../x" },
		"range":     func(h *Hello) { h.Holds[0].EndUs = 1 },
		"holds":     func(h *Hello) { h.Holds = make([]HoldState, MaxHolds+1) },
		"condition": func(h *Hello) { h.Conditions = []ConditionFact{{Camera: "x"}} },
	} {
		bad := samples()["hello"].(Hello)
		bad.Holds = []HoldState{sampleHoldState()}
		spoil(&bad)
		if bad.Tidy() == nil {
			t.Errorf("a hello with a bad %s passes", name)
		}
	}
	for name, beat := range map[string]Heartbeat{
		"streams":       {Durable: make([]int64, maxStreams*MaxCameras+1)},
		"live sessions": {Live: make([]id.Session, MaxCameras+1)},
		"a live ID":     {Live: []id.Session{"ses-../../x"}},
	} {
		if beat.Tidy() == nil {
			t.Errorf("a heartbeat with bad %s passes", name)
		}
	}
}

package fakecam_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"holdfast/testenv/fakecam"
)

// call asks the control API and decodes what it answers into out, if that is given.
func call(t *testing.T, method, url, body string, out any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			t.Fatalf("%s %s answered %s: %v", method, url, raw, err)
		}
	}
	return res.StatusCode
}

func TestControl(t *testing.T) {
	t.Parallel()
	s := house(t, fakecam.Config{}, "quick-carpark/sub")
	cam := s.Cameras()[0]
	api := httptest.NewServer(s.Control())
	defer http.DefaultClient.CloseIdleConnections()
	defer api.Close()
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 5)

	var all []struct {
		Name     string
		Sessions int
		Streams  map[string]struct {
			URL      string
			Counters fakecam.Counters
		}
	}
	if call(t, "GET", api.URL+"/cameras", "", &all); len(all) != 1 || all[0].Name != "cam1" || all[0].Sessions != 1 ||
		all[0].Streams["main"].URL != cam.URL("main") || all[0].Streams["main"].Counters.Frames < 5 {
		t.Errorf("the list of cameras is %+v", all)
	}
	if code := call(t, "PATCH", api.URL+"/cameras/cam1", `{"stall": true, "refuse": 404}`, nil); code != 200 || !cam.Knobs().Stall || cam.Knobs().Refuse != 404 {
		t.Errorf("PATCH answered %d, knobs are %+v", code, cam.Knobs())
	}
	if code := call(t, "PATCH", api.URL+"/cameras/cam1", `{"stall": false}`, nil); code != 200 || cam.Knobs().Stall || cam.Knobs().Refuse != 404 {
		t.Errorf("PATCH answered %d, knobs are %+v: only stall should change", code, cam.Knobs())
	}
	for _, bad := range []string{`{"stal": true}`, `{"loss_percent": 200}`, `[]`, `{"stall": `} {
		if code := call(t, "PATCH", api.URL+"/cameras/cam1", bad, nil); code != 400 || cam.Knobs().Refuse != 404 {
			t.Errorf("PATCH %s answered %d, knobs are %+v", bad, code, cam.Knobs())
		}
	}
	if code := call(t, "POST", api.URL+"/cameras/cam1/restore", "", nil); code != 200 || cam.Knobs() != (fakecam.Knobs{}) {
		t.Errorf("restore answered %d, knobs are %+v", code, cam.Knobs())
	}
	var sent []fakecam.Sent
	if call(t, "GET", api.URL+"/cameras/cam1/main/sent?first=2&last=4", "", &sent); len(sent) != 3 || sent[0].Frame != 2 || sent[2].Frame != 4 {
		t.Errorf("the log of frames 2 to 4 is %+v", sent)
	}
	for path, want := range map[string]int{
		"GET /cameras/attic": 404, "GET /cameras/cam1/third/sent": 400, "POST /cameras/cam1/explode": 400, "POST /cameras/cam1/expire-nonce": 200,
	} {
		method, path, _ := strings.Cut(path, " ")
		if code := call(t, method, api.URL+path, "", nil); code != want {
			t.Errorf("%s %s answered %d, want %d", method, path, code, want)
		}
	}
	for i, action := range []string{"jump", "outlier"} {
		n := len(v.got())
		call(t, "POST", api.URL+"/cameras/cam1/"+action, fmt.Sprintf(`{"ms": %d}`, 5000*(i+1)), nil)
		v.until(t, action, func() bool {
			for k := max(n, 1); k < len(v.frames); k++ {
				if step := v.frames[k].RTP - v.frames[k-1].RTP; step > 5*90_000 && step < 12*90_000 {
					return true
				}
			}
			return false
		})
	}
	call(t, "POST", api.URL+"/cameras/cam1/switch", `{"stream": "main", "loop": "carpark/main"}`, nil)
	v.until(t, "the other loop", func() bool {
		return len(v.frames[len(v.frames)-1].AU[0]) > 0 && cam.Main().Loop().Name == "carpark/main"
	})
	call(t, "POST", api.URL+"/cameras/cam1/drop", "", nil)
	v.until(t, "the end of the session", func() bool { return v.over })
}

func BenchmarkHouse(b *testing.B) {
	cfg := fakecam.Config{}
	for range 40 {
		cfg.Cameras = append(cfg.Cameras, fakecam.CameraConfig{Main: "carpark/main", Sub: "carpark/sub"})
	}
	s := fakecam.Serve(b, cfg)
	var viewers []*viewer
	for _, c := range s.Cameras() {
		viewers = append(viewers, watch(b, c.URL("main"), tcp()), watch(b, c.URL("sub"), tcp()))
	}
	for round := range b.N { // one is a second of eighty streams
		for _, v := range viewers {
			v.until(b, "frames", func() bool { return len(v.frames) >= 15*(round+1) })
		}
	}
}

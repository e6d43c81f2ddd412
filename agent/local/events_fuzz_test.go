package local

import (
	"net/http"
	"strings"
	"testing"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// FuzzPostEvent posts anything: it is an event that the ledger takes, or an answer in words; never a failure of ours.
func FuzzPostEvent(f *testing.F) {
	f.Add(`{"kind":"door_opened","text":"ring","at_us":1790000000000000,"data":{"a":1},"id":"x"}`, "")
	f.Add(`{"kind":"alarm","camera":"Door","end_us":5}`, "key-1")
	f.Add(`{"kind":`, "\x00")
	f.Add(`{"kind":"a"}{"kind":"b"}`, "")
	f.Add(`{"kind":"a","data":[1e999]}`, "")
	camera := id.New[id.Camera]()
	f.Fuzz(func(t *testing.T, body, key string) {
		s := &sink{}
		l := window(t, s, sample(wire.CameraState{Camera: camera, Name: "Door"}), Config{})
		var header []string
		if key != "" && !strings.ContainsAny(key, "\r\n\x00") {
			header = []string{"Idempotency-Key", key}
		}
		got := call(t, l, http.MethodPost, "/events", body, header...)
		switch {
		case got.Code >= 500 || got.Code != http.StatusCreated && got.Detail == "":
			t.Fatalf("answer %d %q", got.Code, got.Body)
		case got.Code != http.StatusCreated && len(s.events) > 0:
			t.Fatalf("refused with %d, and stored", got.Code)
		}
		for _, e := range s.events {
			if _, err := id.Parse[id.Event](string(e.ID)); err != nil || e.AtUs <= 0 || e.Kind == "" {
				t.Fatalf("%+v was taken, %v", e, err)
			}
		}
	})
}

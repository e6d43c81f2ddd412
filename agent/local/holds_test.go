package local

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// book keeps holds as the room that retains does.
type book struct {
	mu    sync.Mutex
	holds []wire.HoldDesire
}

func (b *book) add(_ context.Context, h wire.HoldDesire) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !h.Over && h.EndUs-h.StartUs > 3_600_000_000 {
		return wire.Fail(wire.FailedRefused, "More than half of the disk.")
	}
	b.holds = append(b.holds, h)
	return nil
}

func (b *book) release(which id.Hold) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, h := range b.holds {
		if h.Hold == which {
			b.holds = append(b.holds[:i], b.holds[i+1:]...)
			return nil
		}
	}
	return ErrNoHold
}

func (b *book) status(cam wire.CameraState) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := sample(cam)
	for _, h := range b.holds {
		s.Holds = append(s.Holds, wire.HoldState{HoldDesire: h, Site: true, State: wire.HoldKept})
	}
	return s
}

func TestHolds(t *testing.T) {
	var b book
	yard := wire.CameraState{Camera: id.New[id.Camera](), Name: "Yard"}
	l := newLocal(t, Config{Listen: "127.0.0.1:8750", Token: token, Version: "1.0"}, Deps{
		Status: func() Status { return b.status(yard) }, AddHold: b.add, ReleaseHold: b.release,
	})
	call := func(method, path, body, with string) (int, string) {
		r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+with)
		w := httptest.NewRecorder()
		l.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	const body = `{"camera":"yard","start_us":1789990000000000,"end_us":1789990600000000,"name":"Break-in","by":"Ada"}`
	for _, c := range []struct {
		method, path, body, token, want string
		code                            int
	}{
		{"POST", "/holds", body, "wrong-wrong-wrong-wrong", "token", http.StatusUnauthorized},
		{"GET", "/holds", "", "wrong-wrong-wrong-wrong", "token", http.StatusUnauthorized},
		{"POST", "/holds", `{"camera":"yard"}`, token, "start_us and end_us", http.StatusBadRequest},
		{"POST", "/holds", strings.Replace(body, "yard", "attic", 1), token, "no camera", http.StatusBadRequest},
		{"POST", "/holds", strings.Replace(body, "Break-in", " ", 1), token, "what the hold is for", http.StatusBadRequest},
		{"POST", "/holds", strings.Replace(body, "by", "bye", 1), token, "Fields are", http.StatusBadRequest},
		{"POST", "/holds", strings.Replace(body, "1789990000", "1780000000", 1), token, "half of the disk", http.StatusConflict},
		{"DELETE", "/holds/hold-x", "", token, "released there", http.StatusNotFound},
	} {
		if code, text := call(c.method, c.path, c.body, c.token); code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %s = %d %s, want %d with %q", c.method, c.path, c.body, code, text, c.code, c.want)
		}
	}
	code, text := call("POST", "/holds", body, token)
	var made struct{ ID id.Hold }
	if err := json.Unmarshal([]byte(text), &made); err != nil || code != http.StatusCreated {
		t.Fatalf("POST /holds = %d %s", code, text)
	}
	if got := b.holds[0]; got.Camera != yard.Camera || got.Hold != made.ID || got.By != "Ada" || got.Over {
		t.Errorf("kept is %+v", got)
	}
	if code, text := call("GET", "/holds", "", token); code != http.StatusOK || !strings.Contains(text, string(made.ID)) {
		t.Errorf("GET /holds = %d %s", code, text)
	}
	if _, text := call("GET", "/status.json", "", ""); strings.Contains(text, "Break-in") || !strings.Contains(text, `"holds":1`) {
		t.Errorf("the status without a token tells %s", text)
	}
	if code, _ := call("DELETE", "/holds/"+string(made.ID), "", token); code != http.StatusNoContent || len(b.holds) != 0 {
		t.Errorf("DELETE = %d, %d holds are left", code, len(b.holds))
	}
}

func TestRetentionInWords(t *testing.T) {
	tomorrow := time.Now().AddDate(0, 0, 1)
	due := time.Date(tomorrow.Year(), tomorrow.Month(), tomorrow.Day(), 14, 5, 0, 0, time.Local)
	if time.Until(due) >= 48*time.Hour {
		t.Fatal("tomorrow is not within two days")
	}
	day := (24 * time.Hour).Microseconds()
	for _, c := range []struct {
		r         wire.Retention
		kept, due string
	}{
		{wire.Retention{Days: 23.4, KeepUs: 30 * day}, "At today's rate 23 days, limited to 30 days", ""},
		{wire.Retention{Days: 1.5}, "At today's rate 36 hours", ""},
		{wire.Retention{KeepUs: day / 2, MaxBytes: 2e11}, "Limited to 12 hours and 200 GB", ""},
		{
			wire.Retention{KeepUs: 30 * day, Due: &wire.Shortening{DueUs: due.UnixMicro(), KeepUs: 7 * day, LengthUs: 212 * 3600e6, Bytes: 412e9}},
			"Limited to 30 days", "From tomorrow 14:05 on 212 hours older than 7 days go (412 GB), for a limit was made stricter",
		},
	} {
		if got := keptText(&c.r); got != c.kept {
			t.Errorf("kept %q, want %q", got, c.kept)
		}
		if got := dueText(&c.r); got != c.due {
			t.Errorf("due %q, want %q", got, c.due)
		}
	}
}

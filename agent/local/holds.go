package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// ErrNoHold is what Deps.ReleaseHold returns for a hold that is not one of the site's own.
var ErrNoHold = errors.New("there is no such hold of this site")

// holdInput is the body of POST /holds.
type holdInput struct {
	Camera  string `json:"camera"` // ID, or name where only one camera has it
	StartUs int64  `json:"start_us"`
	EndUs   int64  `json:"end_us"`
	UntilUs int64  `json:"until_us"` // 0: until it is released
	Name    string `json:"name"`
	By      string `json:"by"`
	Over    bool   `json:"over"` // agree to hold more than half of the disk
}

func (l *Local) getHolds(w http.ResponseWriter, r *http.Request) {
	if !l.admit(w, r) {
		return
	}
	holds := l.snapshot.get(l.deps.Status).Holds
	if holds == nil {
		holds = []wire.HoldState{}
	}
	answer(w, http.StatusOK, struct {
		Holds []wire.HoldState `json:"holds"`
	}{holds})
}

func (l *Local) postHold(w http.ResponseWriter, r *http.Request) {
	if !l.admit(w, r) {
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "Send the hold as JSON, with the header  Content-Type: application/json")
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var in holdInput
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		err = d.Decode(&in)
	}
	if err != nil {
		problem(w, http.StatusBadRequest, fmt.Sprintf("The hold is not the JSON that is expected: %s. Fields are camera, start_us, end_us, "+
			"until_us, name, by and over.", plain(err)))
		return
	}
	hold, faults := l.hold(in)
	if len(faults) > 0 {
		problem(w, http.StatusBadRequest, "The hold was not taken: "+strings.Join(faults, "; ")+".", faults...)
		return
	}
	err = l.deps.AddHold(r.Context(), hold)
	var refused *wire.Failure
	switch {
	case errors.As(err, &refused):
		problem(w, http.StatusConflict, refused.Text)
	case err != nil:
		l.deps.Log.Error("a hold could not be kept", "err", err)
		problem(w, http.StatusServiceUnavailable, "The hold could not be kept. The agent's log has the reason.")
	default:
		l.snapshot.forget()
		answer(w, http.StatusCreated, struct {
			ID id.Hold `json:"id"`
		}{hold.Hold})
	}
}

// hold checks an input and makes a hold of it.
func (l *Local) hold(in holdInput) (h wire.HoldDesire, faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	h = wire.HoldDesire{
		Hold: id.New[id.Hold](), StartUs: in.StartUs, EndUs: in.EndUs, UntilUs: in.UntilUs, Over: in.Over,
		Name: wire.CleanText(in.Name, wire.MaxNameRunes), By: wire.CleanText(in.By, wire.MaxNameRunes),
	}
	now := l.deps.Now()
	if in.StartUs <= 0 || in.EndUs <= in.StartUs || in.EndUs > now+maxLead.Microseconds() {
		fault("start_us and end_us must be microseconds since 1970, the end behind the start and not in the future; now is %d", now)
	}
	if in.UntilUs != 0 && in.UntilUs <= now {
		fault("until_us must lie in the future, or be 0 for a hold that lasts until it is released")
	}
	if strings.TrimSpace(h.Name) == "" {
		fault("name must say what the hold is for")
	}
	var err error
	if h.Camera, err = l.camera(in.Camera); err != nil {
		fault("%v", err)
	} else if h.Camera == "" {
		fault("camera must be the ID or the name of a camera")
	}
	return h, faults
}

func (l *Local) deleteHold(w http.ResponseWriter, r *http.Request) {
	if !l.admit(w, r) {
		return
	}
	err := l.deps.ReleaseHold(id.Hold(r.PathValue("hold")))
	switch {
	case errors.Is(err, ErrNoHold):
		problem(w, http.StatusNotFound, "There is no such hold that was made at this site. A hold that was made in the portal is released there.")
	case err != nil:
		l.deps.Log.Error("a hold could not be released", "err", err)
		problem(w, http.StatusServiceUnavailable, "The hold could not be released. The agent's log has the reason.")
	default:
		l.snapshot.forget()
		w.WriteHeader(http.StatusNoContent)
	}
}

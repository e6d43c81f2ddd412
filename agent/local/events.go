package local

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Limits of an event.
const (
	maxBody = 16 << 10
	maxKind = 64
	maxData = 8 << 10
	maxKey  = 200
	maxAge  = 31 * 24 * time.Hour // of an event that brings its own time
	maxLead = 5 * time.Minute     // by which the sender's clock may be ahead
)

// input is the body of POST /events.
type input struct {
	Kind   string          `json:"kind"`
	Camera string          `json:"camera"` // ID, or name where only one camera has it
	Text   string          `json:"text"`
	AtUs   *int64          `json:"at_us"`
	EndUs  int64           `json:"end_us"`
	Data   json.RawMessage `json:"data"`
	ID     string          `json:"id"` // the sender's own, so that the event counts once however often it is sent
}

func (l *Local) postEvent(w http.ResponseWriter, r *http.Request) {
	if !l.admit(w, r) {
		return
	}
	if wait := l.events.take(time.Now()); wait > 0 {
		retryAfter(w, wait)
		problem(w, http.StatusTooManyRequests, fmt.Sprintf("More than %d events a second are not taken. Send this one again.", eventsPerSecond))
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "Send the event as JSON, with the header  Content-Type: application/json")
		return
	}
	in, status, err := decode(w, r)
	if err != nil {
		problem(w, status, err.Error())
		return
	}
	e, faults := l.event(in, r.Header.Get("Idempotency-Key"))
	if len(faults) > 0 {
		problem(w, http.StatusBadRequest, "The event was not taken: "+strings.Join(faults, "; ")+".", faults...)
		return
	}
	if err := l.deps.PutEvent(r.Context(), e); err != nil {
		l.deps.Log.Error("an event could not be stored", "kind", e.Kind, "err", err)
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, "The event could not be stored. Send it again with the same id; the agent's log has the reason.")
		return
	}
	answer(w, http.StatusCreated, struct {
		ID   id.Event `json:"id"`
		AtUs int64    `json:"at_us"`
	}{e.ID, e.AtUs})
}

// decode reads the body strictly: a misspelt field is a fault, not a silence.
func decode(w http.ResponseWriter, r *http.Request) (in input, status int, err error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return in, http.StatusRequestEntityTooLarge, fmt.Errorf("the event is larger than %d bytes", maxBody)
	}
	if err != nil {
		return in, http.StatusBadRequest, errors.New("the event did not arrive whole")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, http.StatusBadRequest, fmt.Errorf("the event is not the JSON that is expected: %s. Fields are kind, camera, "+
			"text, at_us, end_us, data and id", plain(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return in, http.StatusBadRequest, errors.New("the body holds more than one JSON object: send one event at a time")
	}
	return in, 0, nil
}

// plain turns a decoder's error into words for somebody who does not read Go.
func plain(err error) string {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Sprintf("%s must not be a %s", kind.Field, kind.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it is empty or cut off"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// event checks an input and makes an event of it.
func (l *Local) event(in input, header string) (e wire.EventFact, faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	now := l.deps.Now()
	e = wire.EventFact{Kind: in.Kind, Source: "local", AtUs: now, EndUs: in.EndUs, Text: wire.CleanText(in.Text, wire.MaxTextRunes)}
	if in.Kind == "" || len(in.Kind) > maxKind || strings.Trim(in.Kind, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		fault("kind must be 1 to %d lower-case letters, digits and underscores, for example door_opened", maxKind)
	}
	if len([]rune(in.Text)) > wire.MaxTextRunes {
		fault("text has more than %d characters", wire.MaxTextRunes)
	}
	if in.AtUs != nil {
		e.AtUs = *in.AtUs
		if e.AtUs < now-maxAge.Microseconds() || e.AtUs > now+maxLead.Microseconds() {
			fault("at_us must be microseconds since 1970, at most 31 days ago and not in the future; now is %d", now)
		}
	}
	if in.EndUs != 0 && (in.EndUs < e.AtUs || in.EndUs > now+maxLead.Microseconds()) {
		fault("end_us must be microseconds since 1970, not before at_us and not in the future")
	}
	if data := bytes.TrimSpace(in.Data); len(data) > 0 && !bytes.Equal(data, []byte("null")) {
		e.Data = data
		if data[0] != '{' || len(data) > maxData {
			fault("data must be a JSON object of at most %d bytes", maxData)
		}
	}
	var err error
	if e.Camera, err = l.camera(in.Camera); err != nil {
		fault("%v", err)
	}
	if e.ID, err = eventID(in.ID, header); err != nil {
		fault("%v", err)
	}
	return e, faults
}

// camera finds a camera by its ID, or by its name where only one has it.
func (l *Local) camera(s string) (id.Camera, error) {
	if s == "" {
		return "", nil
	}
	if c, err := id.Parse[id.Camera](s); err == nil && l.deps.Known(c) {
		return c, nil
	}
	var found []id.Camera
	for _, c := range l.snapshot.get(l.deps.Status).Cameras {
		if strings.EqualFold(c.Name, s) {
			found = append(found, c.Camera)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("there is no camera %.80q at this site: give its ID or its name", s)
	default:
		return "", fmt.Errorf("%d cameras have the name %.80q: give the ID of one", len(found), s)
	}
}

// eventID makes the event's ID of what the sender calls it, so that the same event sent again gets the same ID;
// a sender that names nothing gets a new one each time.
func eventID(body, header string) (id.Event, error) {
	key := body
	switch {
	case body != "" && header != "" && body != header:
		return "", errors.New("id and the header Idempotency-Key differ: send one of them")
	case body == "" && header == "":
		return id.New[id.Event](), nil
	case body == "":
		key = header
	}
	if len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("id must be at most %d bytes without control characters", maxKey)
	}
	if e, err := id.Parse[id.Event](key); err == nil {
		return e, nil
	}
	sum := sha256.Sum256([]byte("holdfast local event\x00" + key))
	const crockford = "0123456789abcdefghjkmnpqrstvwxyz"
	return id.Event("evt-" + base32.NewEncoding(crockford).WithPadding(base32.NoPadding).EncodeToString(sum[:16])), nil
}

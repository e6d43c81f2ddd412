package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/cloud/access"
)

type streamOut struct {
	Body func(ctx huma.Context)
}

func (d *door) changes() {
	schema := d.doc.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Change](), true, "Change")
	add(d, route{
		method: http.MethodGet, path: "/changes", id: "listenToChanges", action: access.Self,
		summary: "Server-sent events: what changed, to be fetched again",
		responses: map[string]*huma.Response{"200": {
			Description: "A stream of 'event: change' with a Change as data, and a comment as a ping. It ends when the rights of the " +
				"person end or too much was missed; then connect and fetch again.",
			Content: map[string]*huma.MediaType{"text/event-stream": {Schema: schema}},
		}},
	}, func(_ context.Context, who access.Actor, _ *empty) (*streamOut, error) {
		if !d.streams.enter(string(who.Person)) {
			return nil, &Refusal{Code: "limit", Text: "Too many windows listen for changes. Close some of them and try again."}
		}
		return &streamOut{Body: func(ctx huma.Context) {
			defer d.streams.leave(string(who.Person))
			r, w := rawOf(ctx)
			d.stream(r, w, who)
		}}, nil
	})
}

// stream sends changes until the browser goes, the rights end, too much is missed, or the cloud stops.
func (a *API) stream(r *http.Request, w http.ResponseWriter, who access.Actor) {
	l := a.bus.listen(who.Org)
	defer l.close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not wait for more
	w.WriteHeader(http.StatusOK)
	out := &sender{w: w, conn: http.NewResponseController(w)}
	if r.Method == http.MethodHead || !out.send("retry: 2000\n: connected\n\n") {
		return
	}
	tick := time.NewTicker(a.cfg.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-l.ready:
			changes, over := l.take()
			if over || !out.sendChanges(changes, who) {
				return
			}
		case <-tick.C:
			now, err := a.access.Refresh(r.Context(), who)
			if err != nil || !out.send(": ping\n\n") {
				return
			}
			who = now
		case <-r.Context().Done():
			return
		case <-a.closing:
			return
		}
	}
}

// sender writes events and sends each at once.
type sender struct {
	w    http.ResponseWriter
	conn *http.ResponseController
}

func (s *sender) send(text string) bool {
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	return s.conn.Flush() == nil
}

func (s *sender) sendChanges(changes []Changed, who access.Actor) bool {
	text := []byte{}
	for _, c := range changes {
		change, ok := visible(who, c)
		if !ok {
			continue
		}
		data, err := json.Marshal(change)
		if err != nil {
			return false
		}
		text = fmt.Appendf(text, "event: change\ndata: %s\n\n", data)
	}
	return len(text) == 0 || s.send(string(text))
}

// visible turns a change into what the actor may know of it; false: nothing.
func visible(who access.Actor, c Changed) (Change, bool) {
	action, ok := map[string]access.Action{
		"site": access.View, "camera": access.View, "event": access.Events, "clip": access.Export, "coverage": access.Playback,
		"people": access.EditPeople, "incident": access.Health, "wall": access.Live, "turn": access.MoveCameras, "ptz": access.MoveCameras, "talk": access.Talk,
	}[c.Kind]
	if !ok || c.Org != who.Org || !who.May(action) || c.Site != "" && !who.Sees(c.Site) || c.Person != "" && c.Person != who.Person {
		return Change{}, false
	}
	change := Change{Kind: c.Kind, Site: string(c.Site), Camera: string(c.Camera), ID: c.ID}
	if c.Kind == "people" {
		change.ID = "" // a manager does not see everybody
	}
	return change, true
}

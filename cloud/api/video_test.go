package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/people"
	"holdfast/shared/id"
)

func (w *world) offer(a actor, p place, query string) answer {
	w.t.Helper()
	return w.ask(a, http.MethodPost, prefix+p.fill("/cameras/{camera}/live")+query, "v=0\r\n", "Content-Type", "application/sdp; charset=utf-8")
}

func TestLiveSession(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	viewer := w.join(w.org, access.Viewer, []id.Site{p.site})
	got := w.offer(viewer, p, "?width=640&stream=sub&codecs=h264,h265")
	location := got.header.Get("Location")
	if got.status != http.StatusCreated || got.body != "v=0\r\n" || got.header.Get("Content-Type") != sdpType || got.header.Get("Holdfast-Stream") != "sub" {
		t.Fatalf("offer: %d %v %s", got.status, got.header, got.body)
	}
	if note, err := url.PathUnescape(got.header.Get("Holdfast-Note")); err != nil || note != "the café's main stream is H.265" {
		t.Errorf("note %q, %v", got.header.Get("Holdfast-Note"), err)
	}
	o := w.rooms.offers[0]
	if o.Org != w.org || o.Site != p.site || o.Person != viewer.who.Person || o.Offer.Camera != p.camera || o.Offer.Width != 640 ||
		!slices.Equal(o.Offer.Codecs, []string{"h264", "h265"}) || string(o.Offer.Stream) != "sub" || location != prefix+"/live/"+string(o.Offer.Session) {
		t.Errorf("the room got %+v for %s", o, location)
	}
	colleague := w.join(w.org, access.Viewer, []id.Site{p.site})
	if got := w.ask(colleague, http.MethodDelete, location, ""); got.status != http.StatusNotFound || w.rooms.openCount() != 1 {
		t.Errorf("a colleague ends the session: %d, %d open", got.status, w.rooms.openCount())
	}
	if got := w.ask(viewer, http.MethodDelete, location, ""); got.status != http.StatusNoContent || w.rooms.openCount() != 0 {
		t.Errorf("ending one's own session: %d, %d open", got.status, w.rooms.openCount())
	}
	if got := w.offer(viewer, p, "?from_us=1700000000000000"); got.status != http.StatusCreated || w.rooms.offers[1].Offer.FromUs != 1700000000000000 {
		t.Errorf("playback: %d %s", got.status, got.body)
	}
	for _, query := range []string{"?codecs=vp8", "?codecs=,", "?stream=third", "?width=-1", "?width=999999", "?from_us=-5"} {
		if got := w.offer(viewer, p, query); got.status != http.StatusUnprocessableEntity {
			t.Errorf("offer with %s: %d %s", query, got.status, got.body)
		}
	}
	want := []string{"live_viewed " + string(p.camera), "playback_viewed " + string(p.camera)}
	if got := w.deeds(); !slices.Equal(got, want) {
		t.Errorf("the audit says %q, want %q", got, want)
	}
}

// TestViewsOverAConnection opens a connection with a first camera, shows another over it, and keeps others away from it.
func TestViewsOverAConnection(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	viewer := w.join(w.org, access.Viewer, []id.Site{p.site})
	connect := func(a actor, query string) answer {
		return w.ask(a, http.MethodPost, prefix+p.fill("/sites/{site}/live")+query, "v=0\r\n", "Content-Type", sdpType)
	}
	got := connect(viewer, "?camera="+string(p.camera)+"&width=640&silent=true")
	if got.status != http.StatusCreated || got.body != "v=0\r\n" || got.header.Get("Holdfast-View") == "" {
		t.Fatalf("connect: %d %v %s", got.status, got.header, got.body)
	}
	o := w.rooms.offers[0].Offer
	if o.Camera != p.camera || o.View == "" || !o.Silent || got.header.Get("Location") != livePath(o.Session) || got.header.Get("Holdfast-View") != livePath(o.View) {
		t.Errorf("the room got %+v for %v", o, got.header)
	}
	view := func(a actor, camera id.Camera, query string) answer {
		return w.ask(a, http.MethodPost, prefix+"/cameras/"+string(camera)+"/view?connection="+string(o.Session)+query, "")
	}
	got = view(viewer, p.camera, "&slot=2&from_us=1700000000000000")
	if v := w.rooms.views; got.status != http.StatusCreated || len(v) != 1 || v[0].View.Slot != 2 || v[0].View.Connection != o.Session ||
		v[0].View.FromUs != 1700000000000000 || !strings.Contains(got.body, livePath(v[0].View.Session)) {
		t.Fatalf("view: %d %s: %+v", got.status, got.body, v)
	}
	colleague := w.join(w.org, access.Viewer, []id.Site{p.site})
	if got := view(colleague, p.camera, ""); got.status != http.StatusGone {
		t.Errorf("over a colleague's connection: %d %s", got.status, got.body)
	}
	other := w.place()
	boss := w.owner()
	if got := connect(boss, "?camera="+string(other.camera)); got.status != http.StatusNotFound {
		t.Errorf("a camera of another site: %d %s", got.status, got.body)
	}
	if got := view(viewer, other.camera, ""); got.status != http.StatusNotFound {
		t.Errorf("a camera that the viewer may not see: %d %s", got.status, got.body)
	}
	if got := connect(viewer, ""); got.status != http.StatusCreated || w.rooms.offers[len(w.rooms.offers)-1].Offer.Camera != "" {
		t.Errorf("a connection for later: %d %s", got.status, got.body)
	}
	for query, status := range map[string]int{"&slot=-1": 422, "&slot=1000": 422, "&codecs=vp8": 422} {
		if got := view(viewer, p.camera, query); got.status != status {
			t.Errorf("view with %s: %d %s", query, got.status, got.body)
		}
	}
	want := []string{"live_viewed " + string(p.camera), "playback_viewed " + string(p.camera)}
	if got := w.deeds(); !slices.Equal(slices.Compact(got), want) {
		t.Errorf("the audit says %q, want %q", got, want)
	}
}

// TestOverToTheRelay has the site send a viewer on: nothing is open then, and the way to the relay is one view in the audit.
func TestOverToTheRelay(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	viewer := w.join(w.org, access.Viewer, []id.Site{p.site})
	connect := func(query string) answer {
		return w.ask(viewer, http.MethodPost, prefix+p.fill("/sites/{site}/live")+query, "v=0\r\n", "Content-Type", sdpType)
	}
	connect("?through=either")
	first := w.rooms.offers[0]
	if first.Way != "either" {
		t.Errorf("the room got the way %q", first.Way)
	}
	w.rooms.sendOn = true
	got := w.ask(viewer, http.MethodPost, prefix+"/cameras/"+string(p.camera)+"/view?connection="+string(first.Offer.Session), "")
	if got.status != http.StatusCreated || !strings.Contains(got.body, `"relay":true`) || strings.Contains(got.body, "path") {
		t.Errorf("who is sent on gets %d %s", got.status, got.body)
	}
	if n := w.rooms.openCount(); n != 1 {
		t.Errorf("%d sessions are open, want the connection alone", n)
	}
	if got := connect("?through=relay&camera=" + string(p.camera)); got.status != http.StatusCreated || w.rooms.offers[1].Way != "relay" {
		t.Errorf("through the relay: %d %s", got.status, got.body)
	}
	if got := connect("?through=space"); got.status != http.StatusUnprocessableEntity {
		t.Errorf("through something else: %d %s", got.status, got.body)
	}
	if got := w.deeds(); !slices.Equal(got, []string{"live_viewed " + string(p.camera)}) {
		t.Errorf("the audit says %q, want one view", got)
	}
}

// TestAnotherPath restarts one's own connection and adds addresses to it, and to nobody else's.
func TestAnotherPath(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	viewer, colleague := w.join(w.org, access.Viewer, []id.Site{p.site}), w.join(w.org, access.Viewer, []id.Site{p.site})
	got := w.ask(viewer, http.MethodPost, prefix+p.fill("/sites/{site}/live?trickle=true"), "v=0\r\n", "Content-Type", sdpType)
	location := got.header.Get("Location")
	restart := func(a actor, path, typ, sdp string) answer {
		return w.ask(a, http.MethodPatch, path, sdp, "Content-Type", typ)
	}
	got = restart(viewer, location+"?relay=someone&trickle=true", sdpType, "v=1\r\n")
	if got.status != http.StatusOK || got.body != "answer to v=1\r\n" || got.header.Get("Content-Type") != sdpType {
		t.Fatalf("restart: %d %v %s", got.status, got.header, got.body)
	}
	if o := w.rooms.restarts[0]; o.Offer.Session != w.rooms.offers[0].Offer.Session || o.Relay != "someone" || o.Person != viewer.who.Person || !o.Offer.Trickle || !w.rooms.offers[0].Offer.Trickle {
		t.Errorf("the room got %+v", o)
	}
	got = restart(viewer, location, fragmentType, "a=ice-ufrag:x\r\n")
	if got.status != http.StatusOK || got.body != "theirs for a=ice-ufrag:x\r\n" || got.header.Get("Content-Type") != fragmentType {
		t.Errorf("addresses: %d %v %s", got.status, got.header, got.body)
	}
	for name, c := range map[string]struct {
		got    answer
		status int
	}{
		"a colleague":     {restart(colleague, location, sdpType, "v=1"), http.StatusNotFound},
		"another session": {restart(viewer, livePath(id.New[id.Session]()), sdpType, "v=1"), http.StatusNotFound},
		"no SDP":          {restart(viewer, location, "text/plain", "v=1"), http.StatusUnsupportedMediaType},
		"nothing":         {restart(viewer, location, sdpType, ""), http.StatusBadRequest},
		"their addresses": {restart(colleague, location, fragmentType, "a=ice-ufrag:x"), http.StatusNotFound},
	} {
		if c.got.status != c.status {
			t.Errorf("%s: %d %s, want %d", name, c.got.status, c.got.body, c.status)
		}
	}
	if n, m := len(w.rooms.restarts), len(w.rooms.paths); n != 1 || m != 1 {
		t.Errorf("the room was asked %d and %d times", n, m)
	}
}

// TestLiveEndsWithTheRight takes the right away in every way while sessions are open.
func TestLiveEndsWithTheRight(t *testing.T) {
	w := sqliteWorld(t)
	boss := w.owner()
	support := access.Support
	for name, take := range map[string]func(a actor, p place) error{
		"role drop": func(a actor, _ place) error {
			_, err := w.access.ChangePerson(t.Context(), boss.who, a.who.Person, access.Patch{Role: &support})
			return err
		},
		"site taken": func(a actor, _ place) error {
			_, err := w.access.ChangePerson(t.Context(), boss.who, a.who.Person, access.Patch{Sites: &[]id.Site{w.far}})
			return err
		},
		"removal":  func(a actor, _ place) error { return w.access.RemovePerson(t.Context(), boss.who, a.who.Person) },
		"sign-out": func(a actor, _ place) error { return w.access.SignOut(t.Context(), a.who) },
		"scope shrinks under the session": func(a actor, p place) error {
			return w.db.Tx(t.Context(), func(q store.Querier) error {
				return people.Update(t.Context(), q, store.Org(w.org), people.Person{ID: a.who.Person, Org: w.org, Name: "Ana", Role: "viewer", Sites: []id.Site{}})
			})
		},
	} {
		p := w.place()
		viewer := w.join(w.org, access.Viewer, []id.Site{p.site})
		bystander := w.join(w.org, access.Viewer, []id.Site{p.site})
		if a, b := w.offer(viewer, p, ""), w.offer(bystander, p, ""); a.status != 201 || b.status != 201 {
			t.Fatalf("%s: offers %d, %d", name, a.status, b.status)
		}
		if err := take(viewer, p); err != nil {
			t.Fatal(err)
		}
		await(t, "the end of the session after "+name, func() bool { return w.rooms.openCount() == 1 })
		for session := range w.api.viewers.all() {
			if err := w.rooms.Close(t.Context(), session); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "forgetting the sessions that ended", func() bool { return len(w.api.viewers.all()) == 0 })
	}
}

func TestStill(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	who := w.owner()
	path := prefix + p.fill("/cameras/{camera}/still")
	for range 5 {
		got := w.ask(who, http.MethodGet, path, "")
		if got.status != 200 || got.body != "\x00\x00\x00\x01\x65" || got.header.Get("Holdfast-Codec") != "avc1.64001f" || got.header.Get("Holdfast-At-Us") != "42" ||
			got.header.Get("Holdfast-Width") != "640" || got.header.Get("Holdfast-Height") != "360" || got.header.Get("Content-Type") != "application/octet-stream" {
			t.Fatalf("still: %d %v %q", got.status, got.header, got.body)
		}
	}
	w.ask(who, http.MethodGet, path+"?at_us=1700000000000000", "")
	if n := strings.Count(strings.Join(w.deeds(), ","), "still_viewed "+string(p.camera)); n != 2 {
		t.Errorf("%d rows for five stills of now and one of then, want 2", n)
	}
}

func TestMedia(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	who := w.owner()
	path := prefix + p.fill("/clips/{clip}/media")
	got := w.ask(who, http.MethodGet, path, "")
	if got.status != 200 || got.body != string(w.rooms.media) || got.header.Get("Content-Type") != "video/mp4" || got.header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("the whole file: %d %v, %d bytes", got.status, got.header, len(got.body))
	}
	etag := got.header.Get("ETag")
	for _, tc := range []struct {
		head []string
		want int
		body string
	}{
		{[]string{"Range", "bytes=10-14"}, 206, "01234"},
		{[]string{"Range", "bytes=-3"}, 206, "789"},
		{[]string{"Range", "bytes=49999-"}, 206, "9"},
		{[]string{"Range", "bytes=60000-"}, 416, ""},
		{[]string{"If-None-Match", etag}, 304, ""},
		{[]string{"Range", "bytes=0-1", "If-Range", `"old"`}, 200, string(w.rooms.media)},
	} {
		got := w.ask(who, http.MethodGet, path, "", tc.head...)
		if got.status != tc.want || tc.want < 300 && got.body != tc.body {
			t.Errorf("%v: %d, %d bytes", tc.head, got.status, len(got.body))
		}
	}
	got = w.ask(who, http.MethodGet, path+"?download=1", "")
	if d := got.header.Get("Content-Disposition"); d != `attachment; filename="holdfast_Counter_2023-11-14T22-13-20Z.mp4"` {
		t.Errorf("Content-Disposition %q", d)
	}
	if got := w.ask(who, http.MethodHead, path, ""); got.status != 200 || got.body != "" || got.header.Get("Content-Length") != "50000" {
		t.Errorf("HEAD: %d %v", got.status, got.header)
	}
	if got := w.ask(who, http.MethodGet, path+"?download=2", ""); got.status != http.StatusUnprocessableEntity {
		t.Errorf("download=2: %d", got.status)
	}
	want := []string{"clip_viewed " + string(p.clip), "clip_downloaded " + string(p.clip)}
	if got := w.deeds(); !slices.Equal(got, want) {
		t.Errorf("the audit says %q, want %q", got, want)
	}
}

func TestFileName(t *testing.T) {
	for name, want := range map[string]string{
		"Counter": "Counter", "../../etc/passwd": "etc_passwd", "CON": "CON", "a\"; filename=\"x.exe": "a___filename__x_exe", "Café 7": "Caf__7",
		"北门": "clip", "\u202egpj": "gpj", strings.Repeat("x", 200): strings.Repeat("x", 64), "": "clip", "a:b|c": "a_b_c", "...": "clip",
	} {
		if got := fileName(Clip{CameraName: name}); got != "holdfast_"+want+"_1970-01-01T00-00-00Z.mp4" {
			t.Errorf("fileName(%q) = %q, want ..._%s_...", name, got, want)
		}
	}
}

// TestDownloadEndsWithTheRight reads a file whose reader asks for the right again at every read.
func TestDownloadEndsWithTheRight(t *testing.T) {
	gone := errors.New("gone")
	var right error
	g := &guarded{ReadSeeker: bytes.NewReader(make([]byte, 100)), every: time.Nanosecond, still: func() error { return right }}
	if _, err := io.ReadFull(g, make([]byte, 50)); err != nil {
		t.Fatal(err)
	}
	right = gone
	if n, err := g.Read(make([]byte, 50)); n != 0 || !errors.Is(err, gone) {
		t.Fatalf("after the right ended: %d bytes, %v", n, err)
	}
}

func TestSupportSeesNoVideoInEvents(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	support, owner := w.join(w.org, access.Support, nil), w.owner()
	if got := w.ask(owner, http.MethodGet, prefix+"/events", ""); !strings.Contains(got.body, string(p.clip)) || !strings.Contains(got.body, "plate") {
		t.Errorf("an owner's events: %s", got.body)
	}
	got := w.ask(support, http.MethodGet, prefix+"/events", "")
	if got.status != 200 || !strings.Contains(got.body, "door_opened") || strings.Contains(got.body, string(p.clip)) || strings.Contains(got.body, "plate") {
		t.Errorf("support's events: %d %s", got.status, got.body)
	}
}

func TestClipsAreChecked(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	who := w.owner()
	future := time.Now().Add(time.Hour).UnixMicro()
	for body, want := range map[string]int{
		`{"camera":"{camera}","start_us":1000,"end_us":2000,"title":" Delivery "}`: 201, `{"camera":"{camera}","start_us":2000,"end_us":2000}`: 422,
		`{"camera":"{camera}","start_us":1,"end_us":3700000000}`: 422, `{"camera":"{camera}","start_us":` + itoa(int(future)) + `,"end_us":` + itoa(int(future)+1) + `}`: 422,
		`{"camera":"{camera}","start_us":1,"end_us":2,"title":"a\u202eb"}`: 422, `{"camera":"{clip}","start_us":1,"end_us":2}`: 404, `{"camera":"{camera}"}`: 422,
	} {
		if got := w.ask(who, http.MethodPost, prefix+"/clips", p.fill(body)); got.status != want || want == 201 && !strings.Contains(got.body, `"title":"Delivery"`) {
			t.Errorf("%s: %d %s, want %d", body, got.status, got.body, want)
		}
	}
}

func TestNoViewWithoutItsRow(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	who := w.owner()
	w.do(func(q store.Querier) error {
		_, err := q.ExecContext(context.Background(), `ALTER TABLE audit RENAME TO audit_away`)
		return err
	})
	for what, got := range map[string]answer{
		"live": w.offer(who, p, ""), "still": w.ask(who, http.MethodGet, prefix+p.fill("/cameras/{camera}/still"), ""),
		"media": w.ask(who, http.MethodGet, prefix+p.fill("/clips/{clip}/media"), ""),
	} {
		if got.status != http.StatusInternalServerError || w.rooms.openCount() != 0 {
			t.Errorf("%s without an audit: %d, %d sessions open", what, got.status, w.rooms.openCount())
		}
	}
}

// TestCoverageOfSeveral asks for a wall's cameras at once: those that one may not see are answered like those that never were.
func TestCoverageOfSeveral(t *testing.T) {
	w := sqliteWorld(t)
	p, q, foreign := w.place(), w.place(), w.place()
	viewer := w.join(w.org, access.Viewer, []id.Site{p.site, q.site})
	ask := func(cameras ...id.Camera) (answer, []string) {
		query := "?from_us=1&to_us=1000"
		for _, c := range cameras {
			query += "&cameras=" + string(c)
		}
		got := w.ask(viewer, http.MethodGet, prefix+"/coverage"+query, "")
		var body Coverages
		if err := json.Unmarshal([]byte(got.body), &body); got.status == http.StatusOK && err != nil {
			t.Fatal(err)
		}
		var of []string
		for _, c := range body.Cameras {
			of = append(of, c.Camera)
			if c.Coverage.FromUs != 1 || c.Coverage.ToUs != 1000 || c.Coverage.Ranges == nil {
				t.Errorf("coverage %+v", c)
			}
		}
		return got, of
	}
	if got, of := ask(q.camera, p.camera); !slices.Equal(of, []string{string(q.camera), string(p.camera)}) {
		t.Errorf("of two cameras: %d %s", got.status, got.body)
	}
	for name, other := range map[string]id.Camera{"another site's": foreign.camera, "no": id.New[id.Camera]()} {
		if got, _ := ask(p.camera, other); got.status != http.StatusNotFound {
			t.Errorf("with %s camera: %d %s", name, got.status, got.body)
		}
	}
	for _, cameras := range [][]id.Camera{nil, slices.Repeat([]id.Camera{p.camera}, 37)} {
		if got, _ := ask(cameras...); got.status != http.StatusUnprocessableEntity {
			t.Errorf("of %d cameras: %d %s", len(cameras), got.status, got.body)
		}
	}
}

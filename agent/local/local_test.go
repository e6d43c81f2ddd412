package local

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token = "correct-horse-battery-staple"
	nowUs = int64(1_790_000_000_000_000)
)

// sink keeps events by their ID, as the ledger does.
type sink struct {
	mu     sync.Mutex
	events map[id.Event]wire.EventFact
	fail   error
}

func (s *sink) put(_ context.Context, e wire.EventFact) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if s.events == nil {
		s.events = map[id.Event]wire.EventFact{}
	}
	if _, known := s.events[e.ID]; !known {
		s.events[e.ID] = e
	}
	return nil
}

func sample(cameras ...wire.CameraState) Status {
	return Status{
		Site: "Branch 7", Organisation: "Example", Host: "box", NowUs: nowUs, StartedUs: nowUs - 1e6,
		Cloud: Cloud{Enrolled: true, Connected: true, SinceUs: nowUs - 1e6, Address: "cloud.example"}, Cameras: cameras,
	}
}

func window(t *testing.T, s *sink, status Status, cfg Config) *Local {
	t.Helper()
	cfg.Token, cfg.Version = token, "1.0"
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:8750"
	}
	return newLocal(t, cfg, Deps{Status: func() Status { return status }, PutEvent: s.put})
}

// newLocal returns a window with what deps leaves out filled in.
func newLocal(t *testing.T, cfg Config, deps Deps) *Local {
	t.Helper()
	deps.Known = func(c id.Camera) bool {
		return slices.ContainsFunc(deps.Status().Cameras, func(s wire.CameraState) bool { return s.Camera == c })
	}
	deps.Now = func() int64 { return nowUs }
	l, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

type reply struct {
	*httptest.ResponseRecorder
	ID     id.Event `json:"id"`
	AtUs   int64    `json:"at_us"`
	Detail string   `json:"detail"`
	Faults []string `json:"faults"`
}

func call(t *testing.T, l *Local, method, path, body string, header ...string) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host = "localhost:8750"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	out := reply{ResponseRecorder: httptest.NewRecorder()}
	l.Handler().ServeHTTP(out, r)
	if strings.HasSuffix(out.Header().Get("Content-Type"), "json") {
		if err := json.Unmarshal(out.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s %s answers %q: %v", method, path, out.Body, err)
		}
	}
	return out
}

func TestPostEvent(t *testing.T) {
	var s sink
	gate, yard := id.New[id.Camera](), id.New[id.Camera]()
	l := window(t, &s, sample(wire.CameraState{Camera: gate, Name: "Gate"}, wire.CameraState{Camera: yard, Name: "Yard"},
		wire.CameraState{Camera: id.New[id.Camera](), Name: "yard"}), Config{})
	a := call(t, l, "POST", "/events", `{"kind":"door_opened","camera":"gate","text":"Back\u202e door\n","data":{"door":3}}`)
	if a.Code != 201 || a.AtUs != nowUs {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	e := s.events[a.ID]
	if e.Kind != "door_opened" || e.Camera != gate || e.Text != "Back door " || e.Source != "local" || string(e.Data) != `{"door":3}` {
		t.Fatalf("stored %+v", e)
	}
	b := call(t, l, "POST", "/events", `{"kind":"door_opened","camera":"`+string(yard)+`","at_us":1789999999000000,"data":null}`)
	if b.Code != 201 || b.ID == a.ID || b.AtUs != 1789999999000000 || s.events[b.ID].Camera != yard {
		t.Fatalf("%d %s %+v", b.Code, b.Body, s.events[b.ID])
	}
}

func TestPostEventTwice(t *testing.T) {
	var s sink
	l := window(t, &s, sample(), Config{})
	body := `{"kind":"alarm","id":"panel-7/4711"}`
	first, again := call(t, l, "POST", "/events", body), call(t, l, "POST", "/events", body)
	header := call(t, l, "POST", "/events", `{"kind":"alarm"}`, "Idempotency-Key", "panel-7/4711")
	other := call(t, l, "POST", "/events", `{"kind":"alarm","id":"panel-7/4712"}`)
	if first.Code != 201 || again.ID != first.ID || header.ID != first.ID || other.ID == first.ID || len(s.events) != 2 {
		t.Fatalf("%s %s %s %s: %d events", first.ID, again.ID, header.ID, other.ID, len(s.events))
	}
	if _, err := id.Parse[id.Event](string(first.ID)); err != nil {
		t.Fatal(err)
	}
	own := id.New[id.Event]()
	if e := call(t, l, "POST", "/events", `{"kind":"alarm","id":"`+string(own)+`"}`); e.ID != own {
		t.Fatalf("an event's own ID %s became %s", own, e.ID)
	}
}

func TestPostEventRefuses(t *testing.T) {
	var s sink
	l := window(t, &s, sample(wire.CameraState{Camera: id.New[id.Camera](), Name: "Yard"},
		wire.CameraState{Camera: id.New[id.Camera](), Name: "yard"}), Config{})
	for _, c := range []struct {
		body string
		code int
		want string
	}{
		{`{"text":"x"}`, 400, "kind must be"},
		{`{"kind":"Door Opened"}`, 400, "kind must be"},
		{`{"kind":"` + strings.Repeat("x", 65) + `"}`, 400, "kind must be"},
		{`{"kind":"x","camera":"Barn"}`, 400, "no camera"},
		{`{"kind":"x","camera":"YARD"}`, 400, "2 cameras"},
		{`{"kind":"x","at_us":1790000000}`, 400, "at_us must be microseconds"},
		{`{"kind":"x","at_us":1790000000000}`, 400, "at_us must be microseconds"},
		{`{"kind":"x","at_us":1790001000000000}`, 400, "at_us must be microseconds"},
		{`{"kind":"x","end_us":5}`, 400, "end_us must be"},
		{`{"kind":"x","data":[1]}`, 400, "data must be"},
		{`{"kind":"x","data":{"a":"` + strings.Repeat("x", maxData) + `"}}`, 400, "data must be"},
		{`{"kind":"x","text":"` + strings.Repeat("é", wire.MaxTextRunes+1) + `"}`, 400, "text has more"},
		{`{"kind":"x","id":"` + strings.Repeat("x", 201) + `"}`, 400, "id must be"},
		{`{"kind":"x","id":"a\u0000b"}`, 400, "id must be"},
		{`{"kind":"x","kamera":"y"}`, 400, `unknown field "kamera"`},
		{`{"kind":7}`, 400, "kind must not be a number"},
		{`{"kind":"x"}{"kind":"y"}`, 400, "one event at a time"},
		{`{"kind":"x"`, 400, "cut off"},
		{``, 400, "empty"},
		{`{"kind":"x","text":"` + strings.Repeat("x", maxBody) + `"}`, 413, "larger than"},
		{strings.Repeat(`{"data":`, 1900), 400, "expected"},
	} {
		a := call(t, l, "POST", "/events", c.body)
		if a.Code != c.code || !strings.Contains(a.Detail, c.want) {
			t.Errorf("%.60s answers %d %q, want %d with %q", c.body, a.Code, a.Detail, c.code, c.want)
		}
	}
	if a := call(t, l, "POST", "/events", `{"kind":"X","data":1,"camera":"z"}`); len(a.Faults) != 3 {
		t.Errorf("three faults were reported as %q", a.Faults)
	}
	if a := call(t, l, "POST", "/events", `{"kind":"x","id":"a"}`, "Idempotency-Key", "b"); a.Code != 400 || !strings.Contains(a.Detail, "differ") {
		t.Errorf("two IDs: %d %q", a.Code, a.Detail)
	}
	if a := call(t, l, "POST", "/events", `kind=x`, "Content-Type", "application/x-www-form-urlencoded"); a.Code != 415 {
		t.Errorf("a form: %d", a.Code)
	}
	s.fail = errors.New("disk full: /secret/path")
	if a := call(t, l, "POST", "/events", `{"kind":"x"}`); a.Code != 503 || a.Header().Get("Retry-After") == "" || strings.Contains(a.Detail, "secret") {
		t.Errorf("a failing ledger: %d %q", a.Code, a.Detail)
	}
	if len(s.events) != 0 {
		t.Errorf("%d refused events were stored", len(s.events))
	}
}

func TestTokenIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		l := window(t, &s, sample(), Config{})
		for _, wrong := range []string{"", "Bearer", "Bearer ", "Bearer x" + token, "bearer-" + token, "Basic " + token, token} {
			if a := call(t, l, "POST", "/events", `{"kind":"x"}`, "Authorization", wrong); a.Code != 401 {
				t.Errorf("%q: %d", wrong, a.Code)
			}
		}
		for range failureBurst - 7 {
			call(t, l, "POST", "/events", `{"kind":"x"}`, "Authorization", "Bearer no")
		}
		a := call(t, l, "POST", "/events", `{"kind":"x"}`)
		if a.Code != 429 || a.Header().Get("Retry-After") != "6" {
			t.Errorf("after %d wrong tokens: %d, Retry-After %q", failureBurst, a.Code, a.Header().Get("Retry-After"))
		}
		bubble.Pass(failureEvery)
		if a := call(t, l, "POST", "/events", `{"kind":"x"}`); a.Code != 201 {
			t.Errorf("after the wait: %d %s", a.Code, a.Body)
		}
		for n := range 3 * maxAddresses { // callers without end do not fill the memory
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/events", nil)
			r.Host, r.RemoteAddr = "localhost", net.JoinHostPort(net.IPv4(10, 0, byte(n>>8), byte(n)).String(), "1")
			l.Handler().ServeHTTP(httptest.NewRecorder(), r)
		}
		if n := len(l.failures.of); n > maxAddresses {
			t.Errorf("%d callers are remembered", n)
		}
	})
}

func TestEventsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		l := window(t, &s, sample(), Config{})
		taken := 0
		for range eventBurst + 50 {
			if call(t, l, "POST", "/events", `{"kind":"x"}`).Code == 201 {
				taken++
			}
		}
		bubble.Pass(time.Second)
		for range 100 {
			if call(t, l, "POST", "/events", `{"kind":"x"}`).Code == 201 {
				taken++
			}
		}
		if taken != eventBurst+eventsPerSecond {
			t.Errorf("%d events were taken, want %d", taken, eventBurst+eventsPerSecond)
		}
	})
}

func TestHostIsChecked(t *testing.T) {
	var s sink
	l := window(t, &s, sample(), Config{Listen: "192.0.2.7:8750", Names: []string{"Branch-7.example.lan"}})
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8750": 200, "127.0.0.1:8750": 200, "[::1]:8750": 200, "192.0.2.7:8750": 200,
		"branch-7.example.lan.:8750": 200, "branch-7.example.lan": 200, "evil.example": 421, "evil.example:8750": 421, "": 421,
		"localhost.evil.example": 421, "192.0.2.8": 421, "127.0.0.1.evil.example": 421, "[::1": 200,
	} {
		for _, path := range []string{"/", "/status.json"} {
			if a := call(t, l, "GET", path, "", "Host", host); a.Code != want {
				t.Errorf("GET %s of host %q: %d, want %d", path, host, a.Code, want)
			}
		}
	}
	if a := call(t, l, "POST", "/events", `{"kind":"x"}`, "Host", "evil.example"); a.Code != 421 || len(s.events) != 0 {
		t.Errorf("POST of a foreign host: %d", a.Code)
	}
}

func TestRoutesAndHeaders(t *testing.T) {
	var s sink
	l := window(t, &s, sample(), Config{})
	for request, want := range map[string]int{
		"GET /": 200, "HEAD /": 200, "GET /status.json": 200, "GET /x": 404, "GET /debug/pprof/": 404, "POST /": 405,
		"GET /events": 405, "DELETE /events": 405, "OPTIONS /events": 405, "PUT /status.json": 405, "GET /%2e%2e/etc/passwd": 404,
	} {
		method, path, _ := strings.Cut(request, " ")
		a := call(t, l, method, path, "", "Origin", "https://evil.example")
		if a.Code != want {
			t.Errorf("%s: %d, want %d", request, a.Code, want)
		}
		for _, h := range []string{"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cache-Control"} {
			if a.Header().Get(h) == "" {
				t.Errorf("%s: no %s", request, h)
			}
		}
		for h := range a.Header() {
			if strings.HasPrefix(h, "Access-Control") {
				t.Errorf("%s: %s", request, h)
			}
		}
	}
	policy := call(t, l, "GET", "/", "").Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
}

func stream(kind id.StreamKind, record bool, state wire.State, reason wire.Reason) wire.StreamState {
	return wire.StreamState{Kind: kind, Record: record, State: state, Reason: reason, Width: 1920, Height: 1080, FPS: 25, Kbps: 4000, DurableUs: nowUs}
}

func TestStatusInWords(t *testing.T) {
	good := wire.CameraState{Camera: "cam-a", Name: "Gate", Streams: []wire.StreamState{
		stream(id.Main, true, wire.OK, ""), stream(id.Sub, false, wire.Failing, wire.Stalled),
	}}
	bad := wire.CameraState{Camera: "cam-b", Name: "Yard", Streams: []wire.StreamState{stream(id.Main, true, wire.Failing, wire.AuthFailed)}}
	off := wire.CameraState{Camera: "cam-c", Streams: []wire.StreamState{stream(id.Main, true, wire.Failing, wire.Disabled)}}
	view := wire.CameraState{Camera: "cam-d", Name: "View", Streams: []wire.StreamState{stream(id.Sub, false, wire.OK, "")}}
	fresh := wire.CameraState{Camera: "cam-e", Name: "New", Streams: []wire.StreamState{stream(id.Main, true, wire.StateUnknown, "")}}
	for _, c := range []struct {
		camera    wire.CameraState
		text      string
		recording bool
	}{
		{good, "Recording", true},
		{bad, "Refuses the user name or password", false},
		{off, "Switched off in the portal", false},
		{view, "Ready; not recorded", false},
		{fresh, "Not looked at yet", false},
		{wire.CameraState{}, "Not looked at yet", false},
	} {
		if got := describeCamera(c.camera); !strings.HasPrefix(got.Text, c.text) || got.Recording != c.recording {
			t.Errorf("%s: %+v, want %q", c.camera.Name, got, c.text)
		}
	}
	for _, r := range wire.Reasons() {
		if words(r) == "" {
			t.Errorf("no words for %s", r)
		}
	}
	away := sample(good)
	away.Cloud = Cloud{Enrolled: true}
	full := sample(good)
	full.Conditions = []health.Condition{{Name: "disk", State: wire.Failing, Text: "Disk 1 is full"}, {Name: "clock", State: wire.OK}}
	for want, s := range map[string]Status{
		"1 camera records and the cloud is connected":           sample(good, off),
		"1 of 2 cameras is not recording":                       sample(good, bad),
		"No camera is configured yet":                           sample(),
		"Starting: 1 camera has not answered yet":               sample(good, fresh),
		"1 camera records; there is no connection to the cloud": away,
		"Something needs attention: disk 1 is full":             full,
	} {
		if got := describe(s).Summary.Text; got != want {
			t.Errorf("summary %q, want %q", got, want)
		}
	}
	if got := describe(Status{}).Cloud.Text; !strings.Contains(got, "enrol") {
		t.Errorf("an agent without identity says %q", got)
	}
	failing := sample(bad)
	failing.Conditions = []health.Condition{{Name: "camera", Camera: "cam-b", State: wire.Failing, SinceUs: 5}}
	if got := describe(failing); got.Cameras[0].SinceUs != 5 || len(got.Conditions) != 0 {
		t.Errorf("a failing camera: %+v, other conditions %+v", got.Cameras[0], got.Conditions)
	}
}

func TestSnapshotIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		l := newLocal(t, Config{Listen: "127.0.0.1:0", Token: token}, Deps{Status: func() Status { calls++; return Status{} }})
		for range 10 {
			call(t, l, "GET", "/status.json", "")
		}
		bubble.Pass(time.Second)
		call(t, l, "GET", "/status.json", "")
		if calls != 2 {
			t.Errorf("%d snapshots were taken, want 2", calls)
		}
	})
}

// TestRun serves on a real socket, with a real ledger behind it.
func TestRun(t *testing.T) {
	book, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	l := newLocal(t, Config{Listen: "127.0.0.1:0", Token: token}, Deps{
		Status: func() Status { return sample() }, PutEvent: book.PutEvent,
	})
	ctx, stop := context.WithCancel(t.Context())
	ctx2, stop2 := context.WithCancel(t.Context())
	defer stop2()
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	addr, err := l.Addr(ctx)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 2 {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/events", strings.NewReader(`{"kind":"alarm","id":"1"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusCreated {
			t.Fatalf("POST /events: %s", answer.Status)
		}
	}
	events, err := book.Events(ctx, 0, nowUs+1, 10)
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events in the ledger, %v; want 1", len(events), err)
	}
	// Another agent's window waits for the port, says so, and opens when the port is free.
	told := make(chan string, 100)
	next := newLocal(t, Config{Listen: addr, Token: token}, Deps{Opened: func(trouble string) { told <- trouble }})
	nextDone := make(chan error, 1)
	go func() { nextDone <- next.Run(ctx2) }()
	if trouble := <-told; !strings.Contains(trouble, "Stop the program that uses the port") || !strings.Contains(trouble, addr) {
		t.Errorf("it says %q of a taken port", trouble)
	}
	<-next.Tried()
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if got, err := next.Addr(ctx2); err != nil || got != addr {
		t.Errorf("it opened %q, %v", got, err)
	}
	last := "?"
	for len(told) > 0 {
		last = <-told
	}
	if last != "" {
		t.Errorf("it says %q of a free port", last)
	}
	stop2()
	if err := <-nextDone; err != nil {
		t.Errorf("Run = %v", err)
	}
	off := newLocal(t, Config{Listen: "off"}, Deps{})
	if err := off.Run(ctx); err != nil {
		t.Errorf("Run of a window that is off = %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, good := range []Config{{}, {Listen: "off"}, {Listen: "127.0.0.1:8750", Token: token, Names: []string{"box.lan"}}, {Listen: ":8750", Token: token}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	_, err := New(Config{Listen: "8750", Token: "short", Names: []string{"http://box"}}, Deps{})
	for _, want := range []string{"local.listen", "local.names", "local.token"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want a fault of %s", err, want)
		}
	}
}

// TestPageInABrowser opens the page in a real browser, which also checks the policy against style and script.
func TestPageInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	status := sample(
		wire.CameraState{Camera: "cam-a", Name: "Gate <b>", Streams: []wire.StreamState{stream(id.Main, true, wire.OK, "")}},
		wire.CameraState{Camera: "cam-b", Name: "Yard", Streams: []wire.StreamState{stream(id.Main, true, wire.Failing, wire.AuthFailed)}})
	status.Events = []wire.EventFact{{ID: "evt-a", Kind: "door_opened", Camera: "cam-b", Text: "<script>alert(1)</script>", AtUs: nowUs}}
	status.Disk = wire.DiskState{TotalBytes: 4e12, FreeBytes: 1e12, VideoBytes: 2e12, DaysLeft: 12}
	status.Filling = Filling{Sources: true, GivenUp: 1, Given: []Given{{
		Camera: "cam-b", StartUs: nowUs - 60e6, EndUs: nowUs - 30e6, Reason: wire.HostOff, Text: "card: <i>nothing</i>",
	}}}
	server := httptest.NewServer(window(t, &sink{}, status, Config{}).Handler())
	defer server.Close()
	dom, err := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
		"--virtual-time-budget=2000", "--dump-dom", server.URL+"/").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 of 2 cameras is not recording", "Gate &lt;b&gt;", "Refuses the user name or password", "Door opened",
		"Yard: &lt;script&gt;alert(1)", "2.0 TB of video", "rate 12 days", "Everything has been sent", "width: 50%",
		"1 gap stays: no source has more of it", "Host off. card: &lt;i&gt;nothing", "30 seconds",
	} {
		if !strings.Contains(string(dom), want) {
			t.Errorf("the page does not show %q:\n%s", want, dom)
		}
	}
}

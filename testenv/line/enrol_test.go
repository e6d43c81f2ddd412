package line_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/agent/uplink"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/line"
)

// between is somebody on the way who can change every message.
func between(t *testing.T, r *rig, up, down func(path string, body []byte) []byte) *httptest.Server {
	t.Helper()
	same := func(_ string, b []byte) []byte { return b }
	if up == nil {
		up = same
	}
	if down == nil {
		down = same
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		resp, answer := r.Forward(q, up(q.URL.Path, body))
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		answer = down(q.URL.Path, answer)
		w.Header().Del("Content-Length")
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(answer)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return srv
}

// rewrite changes one member of a JSON object.
func rewrite(t *testing.T, body []byte, member string, value any) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	m[member] = value
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func enrolAt(t *testing.T, address, code string) (uplink.Identity, error) {
	t.Helper()
	return uplink.Enrol(t.Context(), uplink.EnrolConfig{URL: address, Code: code, DataDir: t.TempDir(), Host: "till-3"})
}

func TestEnrol(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	code, row, expires, err := r.Gateway().NewCode(t.Context(), r.Scope(), r.Site, id.New[id.Person]())
	if err != nil || time.Until(expires) < 59*time.Minute || time.Until(expires) > time.Hour {
		t.Fatalf("NewCode: expires %v, %v", expires, err)
	}
	var sent bytes.Buffer
	way := between(t, r, func(_ string, b []byte) []byte { sent.Write(b); return b }, func(_ string, b []byte) []byte { sent.Write(b); return b })
	dir := filepath.Join(t.TempDir(), "data")
	me, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{URL: way.URL, Code: strings.ToLower(code), DataDir: dir, Host: "till-3"})
	if err != nil {
		t.Fatal(err)
	}
	if me.Site != r.Site || me.Org != r.Org || me.SiteName != "North" || me.OrgName != "Acme" || !me.CloudKey.Equal(r.Keys.Public()) {
		t.Fatalf("identity %+v of site %s", me, me.Site)
	}
	parsed, _ := wire.ParseCode(code)
	for _, secret := range []string{code[5:], strings.ReplaceAll(code[5:], "-", ""), string(parsed.Key())} {
		if strings.Contains(sent.String(), secret) {
			t.Fatal("the secret crossed the wire")
		}
	}
	e := line.Get(t, r.Enrolled, "enrolment")
	if e.Agent != me.Agent || e.Host != "till-3" || e.Code != row || !e.Addr.IsLoopback() {
		t.Fatalf("enrolment %+v", e)
	}
	stored, err := uplink.LoadIdentity(dir)
	if err != nil || stored.Agent != me.Agent || !bytes.Equal(stored.SealKey().Bytes(), me.SealKey().Bytes()) {
		t.Fatalf("LoadIdentity = %v, %v", stored, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "identity.json")); err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
		t.Fatalf("identity.json: %v, %v", info.Mode(), err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Fatalf("the data folder holds %v, %v", names, err)
	}
	// The same code with the same key: the same identity, also after its hour.
	again, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{URL: r.URL, Code: code, DataDir: dir})
	if err != nil || again.Agent != me.Agent {
		t.Fatalf("the same code again = %v, %v", again, err)
	}
	line.None(t, r.Enrolled, "a second enrolment")
}

func TestEnrolRefusals(t *testing.T) {
	clock := &line.Clock{}
	r := newRig(t, line.Timed(clock))
	used := r.Code()
	if _, err := enrolAt(t, r.URL, used); err != nil {
		t.Fatal(err)
	}
	expired := r.Code()
	clock.Move(time.Hour + time.Second)
	texts := map[string]bool{}
	for name, code := range map[string]string{"used": used, "expired": expired, "unknown": wire.NewCode().Text()} {
		_, err := enrolAt(t, r.URL, code)
		p := wantProblem(t, err, uplink.ProblemCode(wire.RefusedCode))
		texts[p.Text] = true
		if !strings.Contains(p.Text, "new one in the portal") {
			t.Errorf("%s: %q does not say what to do", name, p.Text)
		}
	}
	if len(texts) != 1 {
		t.Fatalf("the answers tell the cases apart: %v", texts)
	}
	if _, err := enrolAt(t, r.URL, "K7Q2-9XHM-0TDA-WR5E-VJ3C"); err == nil || !strings.Contains(err.Error(), "typing mistake") {
		t.Fatalf("a typing mistake: %v", err)
	}
	if n := r.Gateway().Counters()[wire.RefusedCode]; n != 3 {
		t.Fatalf("%d refusals were counted: a typing mistake must not reach the cloud", n)
	}
}

// rogue is a server that speaks the protocol and does not know the code.
func rogue(t *testing.T) (*httptest.Server, *[]string) {
	t.Helper()
	var paths []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		paths = append(paths, q.URL.Path)
		offer := wire.EnrolOffer{Version: 1, Nonce: wire.NewNonce(), Key: wire.NewNonce(), Proof: wire.NewNonce(), Attempt: "x"}
		_ = json.NewEncoder(w).Encode(offer)
	}))
	t.Cleanup(srv.Close)
	return srv, &paths
}

func TestEnrolRogueCloud(t *testing.T) {
	srv, paths := rogue(t)
	dir := t.TempDir()
	_, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{URL: srv.URL, Code: wire.NewCode().Text(), DataDir: dir})
	wantProblem(t, err, uplink.ProblemForeign)
	if len(*paths) != 1 || (*paths)[0] != wire.PathEnrolStart {
		t.Fatalf("the agent went on to %v with a cloud that proved nothing", *paths)
	}
	if _, err := uplink.LoadIdentity(dir); err == nil {
		t.Fatal("a rogue cloud made an identity")
	}
}

func TestEnrolTamperedOnTheWay(t *testing.T) {
	key := wire.NewNonce()
	for name, c := range map[string]struct {
		up, down func(*testing.T, string, []byte) []byte
	}{
		"agent's key": {up: func(t *testing.T, path string, b []byte) []byte {
			if path == wire.PathEnrolStart {
				return rewrite(t, b, "key", key)
			}
			return b
		}},
		"host": {up: func(t *testing.T, path string, b []byte) []byte {
			if path == wire.PathEnrolStart {
				return rewrite(t, b, "host", "attacker")
			}
			return b
		}},
		"cloud's key": {down: func(t *testing.T, path string, b []byte) []byte {
			if path == wire.PathEnrolStart {
				return rewrite(t, b, "key", key)
			}
			return b
		}},
		"grant": {down: func(t *testing.T, path string, b []byte) []byte {
			if path == wire.PathEnrolFinish {
				return rewrite(t, b, "site", id.New[id.Site]())
			}
			return b
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			var up, down func(string, []byte) []byte
			if c.up != nil {
				up = func(p string, b []byte) []byte { return c.up(t, p, b) }
			}
			if c.down != nil {
				down = func(p string, b []byte) []byte { return c.down(t, p, b) }
			}
			_, err := enrolAt(t, between(t, r, up, down).URL, r.Code())
			wantProblem(t, err, uplink.ProblemForeign)
		})
	}
}

func TestEnrolLostReply(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	lose := 1
	way := between(t, r, nil, func(path string, b []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		if path == wire.PathEnrolFinish && lose > 0 {
			lose--
			panic(http.ErrAbortHandler)
		}
		return b
	})
	me, err := enrolAt(t, way.URL, r.Code())
	if err != nil {
		t.Fatal(err)
	}
	if e := line.Get(t, r.Enrolled, "enrolment"); e.Agent != me.Agent {
		t.Fatalf("the retry made %s after %s", me.Agent, e.Agent)
	}
	line.None(t, r.Enrolled, "a second enrolment")
}

// TestEnrolAfterACrash stands for a power cut between the grant and the identity's file.
func TestEnrolAfterACrash(t *testing.T) {
	clock := &line.Clock{}
	r := newRig(t, line.Timed(clock))
	dir, code := t.TempDir(), r.Code()
	cfg := uplink.EnrolConfig{URL: r.URL, Code: code, DataDir: dir}
	me, err := uplink.Enrol(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "identity.json"), filepath.Join(dir, "identity.pending.json")); err != nil {
		t.Fatal(err)
	}
	clock.Move(48 * time.Hour)
	again, err := uplink.Enrol(t.Context(), cfg)
	if err != nil || again.Agent != me.Agent {
		t.Fatalf("enrolling again with the same keys = %v, %v; want %v", again, err, me)
	}
}

func TestEnrolReplacesTheSitesAgent(t *testing.T) {
	r := newRig(t)
	old := r.enrol()
	a := run(t, old, echo)
	line.Get(t, a.opened, "welcome")
	next := r.enrol()
	wantProblem(t, line.Get(t, a.closed, "end"), uplink.ProblemCode(wire.RefusedReplaced))
	line.Get(t, r.Enrolled, "first enrolment")
	if e := line.Get(t, r.Enrolled, "second enrolment"); e.Replaced != old.Agent || e.Agent != next.Agent {
		t.Fatalf("enrolment %+v", e)
	}
	b := run(t, next, echo)
	line.Get(t, b.opened, "welcome of the new agent")
}

func TestEnrolOnceMore(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	first, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{URL: r.URL, Code: r.Code(), DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	second := uplink.EnrolConfig{URL: r.URL, Code: r.Code(), DataDir: dir}
	if _, err := uplink.Enrol(t.Context(), second); err == nil || !strings.Contains(err.Error(), "--replace") {
		t.Fatalf("a second code on an enrolled machine: %v", err)
	}
	second.Replace = true
	now, err := uplink.Enrol(t.Context(), second)
	if err != nil || now.Agent == first.Agent {
		t.Fatalf("with --replace = %v, %v", now, err)
	}
}

func TestEnrolGuessing(t *testing.T) {
	clock := &line.Clock{}
	r := newRig(t, line.Timed(clock))
	codes := map[int]int{}
	for range 30 {
		status, _ := r.Post(wire.PathEnrolStart, wire.EnrolStart{
			Version: 1, Lookup: "ZZZZ", Nonce: wire.NewNonce(), Key: wire.NewNonce(), SealKey: wire.NewNonce(), EvKey: wire.NewNonce(),
		})
		codes[status]++
	}
	if codes[http.StatusForbidden] != 10 || codes[http.StatusTooManyRequests] != 20 {
		t.Fatalf("30 guesses from one address: %v", codes)
	}
	_, err := enrolAt(t, r.URL, r.Code())
	wantProblem(t, err, uplink.ProblemCode(wire.RefusedBusy))
	clock.Move(time.Minute)
	if _, err := enrolAt(t, r.URL, r.Code()); err != nil {
		t.Fatalf("a minute later: %v", err)
	}
}

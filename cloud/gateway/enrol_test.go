package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/agent/uplink"
	"holdfast/cloud/gateway"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

// clockOf lets a test move a clock.
type clockOf struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clockOf) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clockOf) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

func withClock(c *clockOf) option {
	return func(cfg *gateway.Config, _ *gateway.Hooks) { cfg.Now = c.now }
}

// forward sends a request on to the rig and returns its answer.
func (r *rig) forward(q *http.Request, body []byte) (*http.Response, []byte) {
	r.t.Helper()
	out, err := http.NewRequestWithContext(r.t.Context(), q.Method, r.srv.URL+q.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	out.Header = q.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		r.t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp, answer
}

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
		resp, answer := r.forward(q, up(q.URL.Path, body))
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
	code, row, expires, err := r.gw.NewCode(t.Context(), r.scope(), r.site, id.New[id.Person]())
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
	if me.Site != r.site || me.Org != r.org || me.SiteName != "North" || me.OrgName != "Acme" || !me.CloudKey.Equal(r.keys.Public()) {
		t.Fatalf("identity %+v of site %s", me, me.Site)
	}
	parsed, _ := wire.ParseCode(code)
	for _, secret := range []string{code[5:], strings.ReplaceAll(code[5:], "-", ""), string(parsed.Key())} {
		if strings.Contains(sent.String(), secret) {
			t.Fatal("the secret crossed the wire")
		}
	}
	e := get(t, r.enrolled, "enrolment")
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
	again, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{URL: r.srv.URL, Code: code, DataDir: dir})
	if err != nil || again.Agent != me.Agent {
		t.Fatalf("the same code again = %v, %v", again, err)
	}
	none(t, r.enrolled, "a second enrolment")
}

func TestEnrolRefusals(t *testing.T) {
	clock := &clockOf{}
	r := newRig(t, withClock(clock))
	used := r.code()
	if _, err := enrolAt(t, r.srv.URL, used); err != nil {
		t.Fatal(err)
	}
	expired := r.code()
	clock.move(time.Hour + time.Second)
	texts := map[string]bool{}
	for name, code := range map[string]string{"used": used, "expired": expired, "unknown": wire.NewCode().Text()} {
		_, err := enrolAt(t, r.srv.URL, code)
		p := wantProblem(t, err, uplink.ProblemCode(wire.RefusedCode))
		texts[p.Text] = true
		if !strings.Contains(p.Text, "new one in the portal") {
			t.Errorf("%s: %q does not say what to do", name, p.Text)
		}
	}
	if len(texts) != 1 {
		t.Fatalf("the answers tell the cases apart: %v", texts)
	}
	if _, err := enrolAt(t, r.srv.URL, "K7Q2-9XHM-0TDA-WR5E-VJ3C"); err == nil || !strings.Contains(err.Error(), "typing mistake") {
		t.Fatalf("a typing mistake: %v", err)
	}
	if n := r.gw.Counters()[wire.RefusedCode]; n != 3 {
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
			_, err := enrolAt(t, between(t, r, up, down).URL, r.code())
			wantProblem(t, err, uplink.ProblemForeign)
		})
	}
}

// post sends one JSON message without any agent around it.
func (r *rig) post(path string, v any) (int, []byte) {
	r.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, body := r.forward(&http.Request{Method: http.MethodPost, URL: &url.URL{Path: path}, Header: http.Header{}}, raw)
	return resp.StatusCode, body
}

// machine is what enrols without the uplink: everything by hand.
type machine struct {
	start wire.EnrolStart
	offer wire.EnrolOffer
	key   testKey
}

func (r *rig) begin(lookup string) machine {
	r.t.Helper()
	key := newTestKey(r.t)
	m := machine{key: key, start: wire.EnrolStart{
		Version: 1, Lookup: lookup, Nonce: wire.NewNonce(), Key: key.public, SealKey: wire.NewNonce(), EvKey: wire.NewNonce(), Host: "raw",
	}}
	status, body := r.post(wire.PathEnrolStart, m.start)
	if status != http.StatusOK {
		r.t.Fatalf("start: %d %s", status, body)
	}
	if err := wire.Decode(body, &m.offer); err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (m machine) finish(key []byte) wire.EnrolFinish {
	tr := wire.EnrolTranscript(m.start, m.offer)
	return wire.EnrolFinish{Attempt: m.offer.Attempt, Proof: tr.Prove(key, wire.AsAgent), Sig: tr.Sign(m.key.private)}
}

func TestEnrolStolenLookup(t *testing.T) {
	r := newRig(t)
	text := r.code()
	code, _ := wire.ParseCode(text)
	thief := r.begin(code.Lookup())
	echoed := thief.finish(code.Key())
	echoed.Proof = thief.offer.Proof // the cloud's own proof sent back to it
	noKey := thief.finish(code.Key())
	noKey.Sig = wire.EnrolTranscript(thief.start, thief.offer).Sign(newTestKey(t).private)
	for name, f := range map[string]wire.EnrolFinish{
		"guessed secret":    thief.finish(wire.NewCode().Key()),
		"reflected proof":   echoed,
		"key of another":    noKey,
		"forged attempt":    {Attempt: "e30.AAAA", Proof: echoed.Proof, Sig: echoed.Sig},
		"truncated attempt": {Attempt: thief.offer.Attempt[:20], Proof: echoed.Proof, Sig: echoed.Sig},
	} {
		status, body := r.post(wire.PathEnrolFinish, f)
		var refusal wire.Refusal
		if status != http.StatusForbidden || json.Unmarshal(body, &refusal) != nil || refusal.Code != wire.RefusedCode {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if a := get(t, r.alarms, "alarm"); a.Kind != gateway.AlarmGuessing || a.Ref.Site != r.site {
		t.Fatalf("alarm %+v", a)
	}
	if _, err := enrolAt(t, r.srv.URL, text); err != nil {
		t.Fatalf("the code's owner: %v", err)
	}
}

func TestEnrolRace(t *testing.T) {
	t.Parallel()
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := rigOn(t, d)
		code, _ := wire.ParseCode(r.code())
		machines := make([]machine, 8)
		for i := range machines {
			machines[i] = r.begin(code.Lookup())
		}
		statuses := make([]int, len(machines))
		var wg sync.WaitGroup
		for i, m := range machines {
			wg.Go(func() { statuses[i], _ = r.post(wire.PathEnrolFinish, m.finish(code.Key())) })
		}
		wg.Wait()
		count := map[int]int{}
		for _, s := range statuses {
			count[s]++
		}
		if count[http.StatusOK] != 1 || count[http.StatusConflict] != len(machines)-1 {
			t.Fatalf("answers %v, want one 200 and the rest 409", count)
		}
		if list, err := agents.List(t.Context(), d, r.scope()); err != nil || len(list) != 1 {
			t.Fatalf("%d identities, %v", len(list), err)
		}
	})
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
	me, err := enrolAt(t, way.URL, r.code())
	if err != nil {
		t.Fatal(err)
	}
	if e := get(t, r.enrolled, "enrolment"); e.Agent != me.Agent {
		t.Fatalf("the retry made %s after %s", me.Agent, e.Agent)
	}
	none(t, r.enrolled, "a second enrolment")
}

// TestEnrolAfterACrash stands for a power cut between the grant and the identity's file.
func TestEnrolAfterACrash(t *testing.T) {
	clock := &clockOf{}
	r := newRig(t, withClock(clock))
	dir, code := t.TempDir(), r.code()
	cfg := uplink.EnrolConfig{URL: r.srv.URL, Code: code, DataDir: dir}
	me, err := uplink.Enrol(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "identity.json"), filepath.Join(dir, "identity.pending.json")); err != nil {
		t.Fatal(err)
	}
	clock.move(48 * time.Hour)
	again, err := uplink.Enrol(t.Context(), cfg)
	if err != nil || again.Agent != me.Agent {
		t.Fatalf("enrolling again with the same keys = %v, %v; want %v", again, err, me)
	}
}

func TestEnrolReplacesTheSitesAgent(t *testing.T) {
	r := newRig(t)
	old := r.enrol()
	a := run(t, old, echo)
	get(t, a.opened, "welcome")
	next := r.enrol()
	wantProblem(t, get(t, a.closed, "end"), uplink.ProblemCode(wire.RefusedReplaced))
	get(t, r.enrolled, "first enrolment")
	if e := get(t, r.enrolled, "second enrolment"); e.Replaced != old.Agent || e.Agent != next.Agent {
		t.Fatalf("enrolment %+v", e)
	}
	b := run(t, next, echo)
	get(t, b.opened, "welcome of the new agent")
}

func TestEnrolOnceMore(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	first, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{URL: r.srv.URL, Code: r.code(), DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	second := uplink.EnrolConfig{URL: r.srv.URL, Code: r.code(), DataDir: dir}
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
	clock := &clockOf{}
	r := newRig(t, withClock(clock))
	codes := map[int]int{}
	for range 30 {
		status, _ := r.post(wire.PathEnrolStart, wire.EnrolStart{
			Version: 1, Lookup: "ZZZZ", Nonce: wire.NewNonce(), Key: wire.NewNonce(), SealKey: wire.NewNonce(), EvKey: wire.NewNonce(),
		})
		codes[status]++
	}
	if codes[http.StatusForbidden] != 10 || codes[http.StatusTooManyRequests] != 20 {
		t.Fatalf("30 guesses from one address: %v", codes)
	}
	_, err := enrolAt(t, r.srv.URL, r.code())
	wantProblem(t, err, uplink.ProblemCode(wire.RefusedBusy))
	clock.move(time.Minute)
	if _, err := enrolAt(t, r.srv.URL, r.code()); err != nil {
		t.Fatalf("a minute later: %v", err)
	}
}

func TestEnrolGuessingFromManyAddresses(t *testing.T) {
	proxied := func(c *gateway.Config, _ *gateway.Hooks) { c.Proxies = prefixes("127.0.0.0/8") }
	r := newRig(t, proxied)
	status := map[int]int{}
	for i := range 150 {
		raw, _ := json.Marshal(wire.EnrolStart{
			Version: 1, Lookup: "ZZZZ", Nonce: wire.NewNonce(), Key: wire.NewNonce(), SealKey: wire.NewNonce(), EvKey: wire.NewNonce(),
		})
		q := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: wire.PathEnrolStart}, Header: http.Header{}}
		q.Header.Set("X-Forwarded-For", "9.9.9.9, 203.0.113."+itoa(i))
		resp, _ := r.forward(q, raw)
		status[resp.StatusCode]++
	}
	if status[http.StatusForbidden] < 100 || status[http.StatusTooManyRequests] < 30 {
		t.Fatalf("150 guesses from 150 addresses: %v", status)
	}
	if a := get(t, r.alarms, "alarm"); a.Kind != gateway.AlarmGuessing {
		t.Fatalf("alarm %+v", a)
	}
	// Whoever has a good code is not kept out by those who guess.
	if _, err := enrolAt(t, r.srv.URL, r.code()); err != nil {
		t.Fatal(err)
	}
}

func TestEnrolMalformed(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"nothing":     {"", http.StatusBadRequest},
		"not JSON":    {"<html>", http.StatusBadRequest},
		"empty":       {"{}", http.StatusBadRequest},
		"large":       {`{"host":"` + strings.Repeat("x", wire.MaxEnrolBytes) + `"}`, http.StatusRequestEntityTooLarge},
		"deep":        {strings.Repeat("[", 10_000), http.StatusBadRequest},
		"old version": {string(mustJSON(wire.EnrolStart{Version: -1, Lookup: "ZZZZ"})), http.StatusBadRequest},
	} {
		resp, body := r.forward(&http.Request{Method: http.MethodPost, URL: &url.URL{Path: wire.PathEnrolStart}, Header: http.Header{}}, []byte(c.body))
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d", name, resp.StatusCode, body, c.status)
		}
	}
}

// TestEnrolSlow stands for slowloris: a body that never comes.
func TestEnrolSlow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body, feed := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.srv.URL+wire.PathEnrolStart, body)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = feed.Write([]byte(`{"version":`)) }()
	begun := time.Now()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	_ = feed.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if d := time.Since(begun); ctx.Err() != nil || d > 10*time.Second {
		t.Fatalf("a body that never came was waited for: %v", d)
	}
}

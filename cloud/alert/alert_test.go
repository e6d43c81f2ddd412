package alert_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/cloud/alert"
	"holdfast/cloud/store"
	"holdfast/cloud/store/alerts"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/testenv/db"
)

// sink is a small mail server (RFC 5321) on loopback.
type sink struct {
	t        *testing.T
	listener net.Listener
	tls      *tls.Config // for STARTTLS; nil: not offered
	roots    *x509.CertPool

	mu       sync.Mutex
	refuse   string // answer to RCPT, instead of 250
	hangUp   bool   // close the connection right after the message was taken
	signedIn []string
	mails    []*mail.Message
	bodies   []string
	changed  chan struct{}
}

func newSink(t *testing.T, implicit bool) *sink {
	t.Helper()
	// httptest's certificate is for 127.0.0.1.
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	s := &sink{t: t, tls: server.TLS, roots: x509.NewCertPool(), changed: make(chan struct{}, 1000)}
	s.roots.AddCert(server.Certificate())
	server.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if implicit {
		l, s.tls = tls.NewListener(l, &tls.Config{Certificates: s.tls.Certificates}), nil
	}
	s.listener = l
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return s
}

func (s *sink) addr() string { return s.listener.Addr().String() }

func (s *sink) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(conn)
	say := func(lines ...string) { _, _ = fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n") }
	say("220 sink")
	secure := s.tls == nil
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			if secure {
				say("250-sink", "250-8BITMIME", "250 AUTH PLAIN")
			} else {
				say("250-sink", "250-8BITMIME", "250 STARTTLS")
			}
		case "STARTTLS":
			say("220 go ahead")
			conn = tls.Server(conn, &tls.Config{Certificates: s.tls.Certificates})
			r, secure = bufio.NewReader(conn), true
		case "AUTH":
			s.mu.Lock()
			s.signedIn = append(s.signedIn, rest)
			s.mu.Unlock()
			say("235 welcome")
		case "RCPT":
			s.mu.Lock()
			refuse := s.refuse
			s.mu.Unlock()
			if refuse != "" {
				say(refuse)
				continue
			}
			say("250 ok")
		case "DATA":
			say("354 go")
			if !s.take(r) {
				return
			}
			say("250 taken")
			if s.hangUp {
				return
			}
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *sink) take(r *bufio.Reader) bool {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	m, err := mail.ReadMessage(strings.NewReader(b.String()))
	if err != nil {
		s.t.Errorf("a message that can't be read: %v\n%s", err, b.String())
		return false
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		s.t.Errorf("a body that can't be read: %v", err)
	}
	s.mu.Lock()
	s.mails, s.bodies = append(s.mails, m), append(s.bodies, strings.ReplaceAll(string(body), "\r\n", "\n"))
	s.mu.Unlock()
	s.changed <- struct{}{}
	return true
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mails)
}

// hook is a webhook's far side.
type hook struct {
	*httptest.Server
	mu      sync.Mutex
	status  []int // answers, the last one for ever; empty: 200
	calls   []http.Header
	bodies  []string
	changed chan struct{}
}

func newHook(t *testing.T, status ...int) *hook {
	h := &hook{status: status, changed: make(chan struct{}, 1000)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		code := http.StatusOK
		if n := len(h.status); n > 0 {
			code = h.status[min(len(h.calls), n-1)]
		}
		h.calls, h.bodies = append(h.calls, r.Header.Clone()), append(h.bodies, string(body))
		h.mu.Unlock()
		w.WriteHeader(code)
		h.changed <- struct{}{}
	}))
	t.Cleanup(h.Close)
	return h
}

// rig is a room with its database and one organisation.
type rig struct {
	t   *testing.T
	d   *store.DB
	a   *alert.Alert
	cfg alert.Config
	org id.Org
}

func newRig(t *testing.T, d *store.DB, cfg alert.Config) *rig {
	t.Helper()
	cfg.Gather, cfg.Retry, cfg.Private, cfg.Portal = max(cfg.Gather, time.Millisecond), 20*time.Millisecond, true, "https://portal.example/"
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, d: d, cfg: cfg, org: id.New[id.Org]()}
	r.tx(func(q store.Querier) error {
		return orgs.Add(t.Context(), q, orgs.Org{ID: r.org, Name: "Acme", CreatedUs: 1})
	})
	r.a = alert.New(cfg, d, slog.New(slog.DiscardHandler))
	return r
}

func (r *rig) scope() store.Scope { return store.Org(r.org) }

func (r *rig) tx(fn func(q store.Querier) error) {
	r.t.Helper()
	if err := r.d.Tx(r.t.Context(), fn); err != nil {
		r.t.Fatal(err)
	}
}

// run runs the room until the returned function is called.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.a.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}
}

func (r *rig) put(s alert.Settings) {
	r.t.Helper()
	if _, err := r.a.Put(r.t.Context(), r.scope(), s); err != nil {
		r.t.Fatal(err)
	}
}

// dark stores an incident that begins at a new site.
func (r *rig) dark(name string) health.Incident {
	r.t.Helper()
	i := health.Incident{
		ID: id.New[id.Incident](), Org: r.org, Site: id.New[id.Site](), Kind: health.Dark,
		StartUs: time.Date(2026, 11, 23, 8, 14, 0, 0, time.UTC).UnixMicro(), SaidUs: time.Now().UnixMicro(), Silences: 1, Cause: "silent",
		Text: "Nothing came since 09:14.", Report: []string{"Disk: 1.2 TB of 4.0 TB free."},
	}
	r.tx(func(q store.Querier) error {
		err := orgs.AddSite(r.t.Context(), q, orgs.Site{ID: i.Site, Org: r.org, Name: name, Timezone: "Europe/Berlin", Address: "Harbour 1", CreatedUs: 1})
		return errors.Join(err, health.PutIncident(r.t.Context(), q, i), r.a.Enqueue(r.t.Context(), q, i, alerts.Dark))
	})
	r.a.Wake()
	return i
}

// back closes an incident.
func (r *rig) back(i health.Incident) {
	r.t.Helper()
	i.EndUs = i.StartUs + 48*60e6
	i.SettledUs, i.Outcome, i.Cause, i.Text = i.EndUs+1, "up", "line", "No line to the cloud from 09:14 to 10:02 (48 minutes). The agent ran the whole time."
	r.tx(func(q store.Querier) error {
		return errors.Join(health.PutIncident(r.t.Context(), q, i), r.a.Enqueue(r.t.Context(), q, i, alerts.Back))
	})
	r.a.Wake()
}

// losing stores an incident of clips that will be lost, at the site of another incident.
func (r *rig) losing(at id.Site) health.Incident {
	r.t.Helper()
	i := health.Incident{
		ID: id.New[id.Incident](), Org: r.org, Site: at, Kind: health.Losing, StartUs: 1, SaidUs: time.Now().UnixMicro(), Silences: 1,
		Cause:  "slow_line",
		Text:   "Door loses 14:00 to 15:10 in 6 h, before it can be sent, unless the line carries 1.2 Mbit/s more. To keep them, give the line more room.",
		Report: []string{"Waiting to be sent: 3 clips (4.1 GB)."},
	}
	r.tx(func(q store.Querier) error {
		return errors.Join(health.PutIncident(r.t.Context(), q, i), r.a.Enqueue(r.t.Context(), q, i, alerts.Losing))
	})
	r.a.Wake()
	return i
}

// over closes such an incident.
func (r *rig) over(i health.Incident, outcome, text string) {
	r.t.Helper()
	i.EndUs, i.SettledUs, i.Outcome, i.Text, i.Report = 2, 3, outcome, text, nil
	r.tx(func(q store.Querier) error {
		return errors.Join(health.PutIncident(r.t.Context(), q, i), r.a.Enqueue(r.t.Context(), q, i, alerts.Over))
	})
	r.a.Wake()
}

// states waits until every delivery to an address is in one of the given states, and returns them, newest first.
func (r *rig) states(address string, n int, states ...alerts.State) []alerts.Delivery {
	r.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := r.a.Deliveries(r.t.Context(), r.scope(), 100)
		if err != nil {
			r.t.Fatal(err)
		}
		list := all[address]
		if len(list) == n && !slices.ContainsFunc(list, func(d alerts.Delivery) bool { return !slices.Contains(states, d.State) }) {
			return list
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("deliveries to %s: %+v, want %d of %v", address, list, n, states)
		}
		<-tick.C
	}
}

const anna = "anna@example.com"

func mailConfig(s *sink, security alert.Security) alert.Config {
	return alert.Config{Server: s.addr(), Security: security, From: "Holdfast <alarm@holdfast.example>", Roots: s.roots}
}

func TestMail(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		s := newSink(t, false)
		cfg := mailConfig(s, alert.StartTLS)
		cfg.User, cfg.Password = "holdfast", "secret"
		r := newRig(t, d, cfg)
		r.put(alert.Settings{Emails: []string{anna}})
		defer r.run()()
		i := r.dark("North")
		r.states(anna, 1, alerts.Accepted)
		r.back(i)
		r.states(anna, 2, alerts.Accepted)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.mails) != 2 || len(s.signedIn) != 2 || s.signedIn[0] != "PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00holdfast\x00secret")) {
			t.Fatalf("%d mails, signed in %q", len(s.mails), s.signedIn)
		}
		dark, back := s.mails[0].Header, s.mails[1].Header
		if dark.Get("Subject") != "North is dark since Mon 23 Nov 09:14 CET" || dark.Get("To") != "<"+anna+">" ||
			dark.Get("Auto-Submitted") != "auto-generated" || dark.Get("Message-Id") == back.Get("Message-Id") {
			t.Errorf("headers %v", dark)
		}
		if back.Get("Subject") != "North is back after 48 minutes" {
			t.Errorf("subject %q", back.Get("Subject"))
		}
		for body, parts := range map[string][]string{
			s.bodies[0]: {
				"North is dark since Mon 23 Nov 09:14 CET.\n\nNothing came since 09:14.", "- Disk: 1.2 TB of 4.0 TB free.", "Harbour 1",
				"https://portal.example/sites/" + string(i.Site), "Holdfast for Acme.",
			},
			s.bodies[1]: {"The agent ran the whole time."},
		} {
			for _, part := range parts {
				if !strings.Contains(body, part) {
					t.Errorf("the mail lacks %q:\n%s", part, body)
				}
			}
		}
	})
}

// TestLosing: a loss that is foretold is told once before it comes, by mail and webhook, and once when it is over.
func TestLosing(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		s, h := newSink(t, true), newHook(t)
		r := newRig(t, d, mailConfig(s, alert.TLS))
		r.put(alert.Settings{Emails: []string{anna}, Webhooks: []alert.Webhook{{URL: h.URL}}})
		stop := r.run()
		site := r.dark("North").Site
		r.states(anna, 1, alerts.Accepted)
		i := r.losing(site)
		r.states(anna, 2, alerts.Accepted)
		r.states(h.URL, 2, alerts.Accepted)
		stop() // it outlives a restart, and is not told again
		r.a = alert.New(r.cfg, d, slog.New(slog.DiscardHandler))
		r.tx(func(q store.Querier) error { return r.a.Enqueue(t.Context(), q, i, alerts.Losing) })
		defer r.run()()
		r.over(i, "lost", "Camera Door lost 14:00 to 15:10.")
		r.over(r.losing(site), "kept", "No chosen clip was lost.")
		for _, to := range []string{anna, h.URL} {
			r.states(to, 5, alerts.Accepted, alerts.Superseded)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		all := ""
		for n := range s.mails {
			all += s.mails[n].Header.Get("Subject") + "\n" + s.bodies[n] + "\n"
		}
		for _, part := range []string{
			"North will lose chosen clips.\n\nDoor loses 14:00 to 15:10 in 6 h, before it can be sent, unless the line carries 1.2 Mbit/s more. To keep them",
			"- Waiting to be sent: 3 clips (4.1 GB).", "https://portal.example/sites/" + string(site),
			"North has lost chosen clips.\n\nCamera Door lost 14:00 to 15:10.", "North loses no chosen clips any more.\n\nNo chosen clip was lost.",
		} {
			if !strings.Contains(all, part) {
				t.Errorf("the mails lack %q:\n%s", part, all)
			}
		}
		if n := strings.Count(all, "has lost chosen clips.\n"); n != 1 || s.mails[1].Header.Get("Subject") != "North will lose chosen clips" {
			t.Errorf("told %d times, subject %q", n, s.mails[1].Header.Get("Subject"))
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		calls := strings.Join(h.bodies, "\n")
		for _, typ := range []string{"site.losing", "site.lost", "site.kept"} {
			if !strings.Contains(calls, `"type":"`+typ+`"`) || strings.Contains(calls, `"agent"`) {
				t.Errorf("no call of type %s, or one that names an agent's doing:\n%s", typ, calls)
			}
		}
	})
}

func TestWaysToTheMailServer(t *testing.T) {
	d := db.SQLite(t)
	implicit, plain, strict := newSink(t, true), newSink(t, false), newSink(t, false)
	plain.tls = nil
	untrusted := mailConfig(strict, alert.StartTLS)
	untrusted.Roots = x509.NewCertPool()
	noTLS := mailConfig(plain, alert.StartTLS)
	for name, c := range map[string]struct {
		cfg alert.Config
		ok  bool
	}{
		"implicit":   {mailConfig(implicit, alert.TLS), true},
		"plain":      {mailConfig(plain, alert.Plain), true},
		"untrusted":  {untrusted, false},
		"no TLS":     {noTLS, false},
		"not set up": {alert.Config{}, false},
		"nobody":     {alert.Config{Server: "127.0.0.1:1", From: "a@b.c"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, d, c.cfg)
			r.put(alert.Settings{Emails: []string{anna}})
			results, err := r.a.Test(t.Context(), r.scope())
			if err != nil || len(results) != 1 || results[0].To != anna || results[0].OK != c.ok || c.ok != (results[0].Text == "") {
				t.Fatalf("Test = %+v, %v", results, err)
			}
		})
	}
	if strict.count() != 0 || implicit.count() != 1 || plain.count() != 1 {
		t.Errorf("mails: %d, %d, %d", strict.count(), implicit.count(), plain.count())
	}
}

// TestTogether: sites that go dark together come in one mail.
func TestTogether(t *testing.T) {
	s := newSink(t, true)
	cfg := mailConfig(s, alert.TLS)
	cfg.Gather = 300 * time.Millisecond
	r := newRig(t, db.SQLite(t), cfg)
	r.put(alert.Settings{Emails: []string{anna}})
	for i := range 5 {
		r.dark(fmt.Sprintf("Site %d", i))
	}
	defer r.run()()
	r.states(anna, 5, alerts.Accepted)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mails) != 1 || s.mails[0].Header.Get("Subject") != "5 sites are dark" || strings.Count(s.bodies[0], "is dark since") != 5 {
		t.Fatalf("%d mails, %q", len(s.mails), s.bodies)
	}
}

// TestSubjects: one mail about sites that are dark and sites that lose clips names both.
func TestSubjects(t *testing.T) {
	s := newSink(t, true)
	cfg := mailConfig(s, alert.TLS)
	cfg.Gather = 300 * time.Millisecond
	r := newRig(t, db.SQLite(t), cfg)
	r.put(alert.Settings{Emails: []string{anna}})
	one := r.dark("North")
	r.dark("South")
	r.losing(one.Site)
	defer r.run()()
	r.states(anna, 3, alerts.Accepted)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mails) != 1 || s.mails[0].Header.Get("Subject") != "2 sites are dark, 1 will lose clips" {
		t.Fatalf("%d mails, %q", len(s.mails), s.mails[0].Header.Get("Subject"))
	}
}

// TestRetriedUntilAccepted: trouble at the mail server, a restart in between, and no second message once it was taken,
// not even when the connection breaks right after.
func TestRetriedUntilAccepted(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		s := newSink(t, true)
		s.refuse, s.hangUp = "451 later", true
		r := newRig(t, d, mailConfig(s, alert.TLS))
		r.put(alert.Settings{Emails: []string{anna}})
		stop := r.run()
		r.dark("North")
		for {
			if list := r.states(anna, 1, alerts.Pending); list[0].Tries >= 2 {
				if !strings.Contains(list[0].Error, "refused the receiver") || !strings.Contains(list[0].Error, "451") {
					t.Errorf("error %q", list[0].Error)
				}
				break
			}
		}
		stop()
		s.mu.Lock()
		s.refuse = ""
		s.mu.Unlock()
		r.a = alert.New(r.cfg, d, slog.New(slog.DiscardHandler))
		stop = r.run()
		r.states(anna, 1, alerts.Accepted)
		r.a.Wake()
		stop()
		if s.count() != 1 {
			t.Fatalf("%d mails, want one", s.count())
		}
	})
}

func TestGivenUp(t *testing.T) {
	s := newSink(t, true)
	s.refuse = "550 no such person"
	gone, broken := newHook(t, http.StatusGone), newHook(t, http.StatusInternalServerError)
	cfg := mailConfig(s, alert.TLS)
	cfg.GiveUp = 300 * time.Millisecond
	r := newRig(t, db.SQLite(t), cfg)
	r.put(alert.Settings{Emails: []string{anna}, Webhooks: []alert.Webhook{{URL: gone.URL}, {URL: broken.URL}}})
	defer r.run()()
	r.dark("North")
	if list := r.states(anna, 1, alerts.Failed); list[0].Tries != 1 || !strings.Contains(list[0].Error, "check the address") {
		t.Errorf("mail %+v", list[0])
	}
	if list := r.states(gone.URL, 1, alerts.Failed); list[0].Tries != 1 || !strings.Contains(list[0].Error, "410 Gone") {
		t.Errorf("webhook that is gone %+v", list[0])
	}
	if list := r.states(broken.URL, 1, alerts.Failed); list[0].Tries < 3 {
		t.Errorf("broken webhook %+v", list[0])
	}
}

func TestWebhook(t *testing.T) {
	h := newHook(t, http.StatusServiceUnavailable, http.StatusOK)
	r := newRig(t, db.SQLite(t), alert.Config{})
	raw := []byte("0123456789abcdef0123456789abcdef")
	r.put(alert.Settings{Webhooks: []alert.Webhook{{URL: h.URL, Secret: "whsec_" + base64.StdEncoding.EncodeToString(raw)}}})
	defer r.run()()
	i := r.dark("North")
	if list := r.states(h.URL, 1, alerts.Accepted); list[0].Tries != 2 {
		t.Errorf("%d tries", list[0].Tries)
	}
	r.back(i)
	r.states(h.URL, 2, alerts.Accepted)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.calls) != 3 || h.calls[0].Get("Webhook-Id") != h.calls[1].Get("Webhook-Id") || h.calls[1].Get("Webhook-Id") == h.calls[2].Get("Webhook-Id") {
		t.Fatalf("calls %v", h.calls)
	}
	for n, c := range h.calls {
		mac := hmac.New(sha256.New, raw)
		mac.Write([]byte(c.Get("Webhook-Id") + "." + c.Get("Webhook-Timestamp") + "." + h.bodies[n]))
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); c.Get("Webhook-Signature") != want {
			t.Errorf("call %d: signature %q, want %q", n, c.Get("Webhook-Signature"), want)
		}
	}
	var body struct {
		Type string `json:"type"`
		Data struct {
			Incident string `json:"incident"`
			Site     struct{ ID, Name string }
			EndUs    int64 `json:"end_us"`
			Agent    string
		}
	}
	if err := json.Unmarshal([]byte(h.bodies[2]), &body); err != nil || body.Type != "site.back" || body.Data.Site.Name != "North" ||
		body.Data.Incident != string(i.ID) || body.Data.EndUs == 0 || body.Data.Agent != "up" {
		t.Errorf("body %s: %v", h.bodies[2], err)
	}
}

// TestBackBeforeTold: what could not be told while the site was dark is told in one message when it is back.
func TestBackBeforeTold(t *testing.T) {
	s := newSink(t, true)
	s.refuse = "451 later"
	r := newRig(t, db.SQLite(t), mailConfig(s, alert.TLS))
	r.put(alert.Settings{Emails: []string{anna}})
	stop := r.run()
	i := r.dark("North")
	for r.states(anna, 1, alerts.Pending)[0].Tries == 0 {
	}
	stop()
	r.back(i)
	s.mu.Lock()
	s.refuse = ""
	s.mu.Unlock()
	defer r.run()()
	list := r.states(anna, 2, alerts.Accepted, alerts.Superseded)
	for _, d := range list {
		if want := map[alerts.Phase]alerts.State{alerts.Dark: alerts.Superseded, alerts.Back: alerts.Accepted}[d.Phase]; d.State != want {
			t.Errorf("%s is %s", d.Phase, d.State)
		}
	}
	if s.count() != 1 || s.mails[0].Header.Get("Subject") != "North is back after 48 minutes" {
		t.Errorf("%d mails", s.count())
	}
}

// TestCap: beyond the cap messages wait, and nothing is lost.
func TestCap(t *testing.T) {
	s := newSink(t, true)
	cfg := mailConfig(s, alert.TLS)
	cfg.PerHour = 2
	r := newRig(t, db.SQLite(t), cfg)
	r.put(alert.Settings{Emails: []string{anna}})
	defer r.run()()
	r.dark("First")
	r.states(anna, 1, alerts.Accepted)
	r.dark("Second")
	r.dark("Third")
	for {
		list := r.states(anna, 3, alerts.Pending, alerts.Accepted)
		held := 0
		for _, d := range list {
			if strings.Contains(d.Error, "Held back") && d.Tries == 0 && time.Until(time.UnixMicro(d.DueUs)) > 20*time.Minute {
				held++
			}
		}
		if held == 2 {
			break
		}
	}
	if s.count() != 1 {
		t.Errorf("%d mails, want 1", s.count())
	}
}

func TestPrivateNetworksAreRefused(t *testing.T) {
	h := newHook(t)
	cfg := alert.Config{Gather: time.Millisecond, Retry: time.Millisecond}
	r := newRig(t, db.SQLite(t), alert.Config{})
	_, port, _ := net.SplitHostPort(h.Listener.Addr().String())
	// Names are judged by what they resolve to, when they are called.
	named := "http://localhost:" + port + "/"
	r.put(alert.Settings{Webhooks: []alert.Webhook{{URL: named}}})
	r.a = alert.New(cfg, r.d, slog.New(slog.DiscardHandler))
	results, err := r.a.Test(t.Context(), r.scope())
	if err != nil || len(results) != 1 || results[0].OK || !strings.Contains(results[0].Text, "private network") {
		t.Fatalf("Test = %+v, %v", results, err)
	}
	for _, host := range []string{
		"127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "0.0.0.0", "100.64.1.1", "localhost",
		"[::1]", "[::ffff:127.0.0.1]", "[fe80::1]", "[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255",
	} {
		_, err := r.a.Put(t.Context(), r.scope(), alert.Settings{Webhooks: []alert.Webhook{{URL: "http://" + host + "/"}}})
		var refusal *alert.Refusal
		if !errors.As(err, &refusal) {
			t.Errorf("%s was taken: %v", host, err)
		}
	}
	if len(h.calls) != 0 {
		t.Error("the webhook was called")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	target := newHook(t)
	from := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	defer from.Close()
	r := newRig(t, db.SQLite(t), alert.Config{})
	r.put(alert.Settings{Webhooks: []alert.Webhook{{URL: from.URL}}})
	results, err := r.a.Test(t.Context(), r.scope())
	if err != nil || results[0].OK || len(target.calls) != 0 {
		t.Fatalf("Test = %+v, %v; %d calls", results, err, len(target.calls))
	}
}

func TestSettings(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := newRig(t, d, alert.Config{})
		one, two := alert.Webhook{URL: "https://example.com/1", Secret: "s"}, alert.Webhook{URL: "https://example.com/2"}
		r.put(alert.Settings{Emails: []string{anna, "bob@example.com"}, Webhooks: []alert.Webhook{one, two}})
		i := r.dark("North")
		one.Secret = "" // keeps what is set
		got, err := r.a.Put(t.Context(), r.scope(), alert.Settings{Emails: []string{anna}, Webhooks: []alert.Webhook{one}})
		want := alert.Settings{Emails: []string{anna}, Webhooks: []alert.Webhook{{URL: one.URL, HasSecret: true}}}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("Put = %+v, %v", got, err)
		}
		if again, err := r.a.Settings(t.Context(), r.scope()); err != nil || fmt.Sprint(again) != fmt.Sprint(want) {
			t.Fatalf("Settings = %+v, %v", again, err)
		}
		if other, err := r.a.Settings(t.Context(), store.Org(id.New[id.Org]())); err != nil || len(other.Emails)+len(other.Webhooks) != 0 {
			t.Fatalf("another tenant sees %+v, %v", other, err)
		}
		all, err := r.a.Deliveries(t.Context(), r.scope(), 10)
		if err != nil || len(all) != 2 || len(all[anna]) != 1 || all[anna][0].Incident != i.ID {
			t.Fatalf("deliveries %+v, %v: those of receivers that stay must stay", all, err)
		}
		for _, bad := range []alert.Settings{
			{Emails: []string{"nobody"}},
			{Emails: []string{"Anna <anna@example.com>"}},
			{Emails: []string{"a@b.c\r\nBcc: x@y.z"}},
			{Webhooks: []alert.Webhook{{URL: "ftp://example.com"}}},
			{Webhooks: []alert.Webhook{{URL: "https://u:p@example.com"}}},
			{Webhooks: []alert.Webhook{{URL: "https://example.com", Secret: "whsec_***"}}},
			{Emails: make([]string, 51)},
		} {
			var refusal *alert.Refusal
			if _, err := r.a.Put(t.Context(), r.scope(), bad); !errors.As(err, &refusal) || refusal.Error() == "" {
				t.Errorf("%+v was taken: %v", bad, err)
			}
		}
	})
}

func TestConfigReportsEveryFault(t *testing.T) {
	err := alert.Config{Server: "mail.example.com", Security: "none", From: "x", Portal: "portal", Gather: -1, GiveUp: -1, Timeout: -1, Retry: -1, PerHour: -1}.Validate()
	for _, name := range []string{"server", "security", "from", "portal", "gather", "give_up", "timeout", "retry", "per_hour"} {
		if err == nil || !strings.Contains(err.Error(), "alert."+name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if err := (alert.Config{Server: "mail.example.com:25", Security: alert.Plain, From: "a@b.c"}).Validate(); err == nil {
		t.Error("a password may cross the network in clear")
	}
	if err := (alert.Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

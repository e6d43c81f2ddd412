package uplink

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast/agent/pace"
	"holdfast/shared/backoff"
	"holdfast/shared/wire"
)

func TestDiagnose(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	cert := &x509.Certificate{
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: []string{"portal.hotel.example"},
		Issuer: pkix.Name{CommonName: "Inspector\x1b 3000"},
	}
	early := &x509.Certificate{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}
	for _, c := range []struct {
		err   error
		code  ProblemCode
		words string
	}{
		{&net.DNSError{Name: "cloud.example", IsNotFound: true}, ProblemName, "has no address"},
		{&net.DNSError{Name: "cloud.example", IsTimeout: true}, ProblemName, "no DNS server answers"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errRefused), Addr: &net.TCPAddr{}}, ProblemRefused, "nothing listens"},
		{&net.OpError{Op: "dial", Err: errors.New("network is unreachable")}, ProblemUnreachable, "no way to"},
		{context.DeadlineExceeded, ProblemUnreachable, "does not answer"},
		{&proxyError{host: "proxy:3128", status: 407}, ProblemProxy, "name and a password"},
		{&proxyError{host: "proxy:3128", status: 403}, ProblemProxy, "allow it there"},
		{x509.UnknownAuthorityError{Cert: cert}, ProblemTLS, "Inspector"},
		{x509.HostnameError{Certificate: cert, Host: "cloud.example"}, ProblemTLS, "portal.hotel.example"},
		{x509.CertificateInvalidError{Cert: early, Reason: x509.Expired}, ProblemTLS, "set the clock"},
		{x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired}, ProblemTLS, "renew the certificate"},
		{x509.CertificateInvalidError{Cert: cert, Reason: x509.NotAuthorizedToSign}, ProblemTLS, "not good"},
		{tls.RecordHeaderError{Msg: "x"}, ProblemTLS, "does not speak TLS"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: protocol version not supported")}, ProblemTLS, "do not agree on TLS"},
		{io.ErrUnexpectedEOF, ProblemCut, "closed the connection"},
		{errors.New("something else"), ProblemCut, "something else"},
		{wire.Refuse(wire.RefusedRevoked, "gone"), ProblemCode(wire.RefusedRevoked), "gone"},
		{fmt.Errorf("wrapped: %w", &Problem{Code: ProblemPortal, Text: "portal"}), ProblemPortal, "portal"},
	} {
		p := diagnose(fmt.Errorf("dial: %w", c.err), "cloud.example", now)
		if p.Code != c.code || !strings.Contains(p.Text, c.words) || strings.Contains(p.Text, "\x1b") {
			t.Errorf("%T: %q %q, want %q with %q", c.err, p.Code, p.Text, c.code, c.words)
		}
		if !errors.Is(p, c.err) && !errors.As(c.err, new(*Problem)) {
			t.Errorf("%T: the cause is lost", c.err)
		}
	}
}

// problemAt returns what an agent says of an address after its first attempt.
func problemAt(t *testing.T, address string, change ...func(*Config)) *Problem {
	t.Helper()
	f := newFar(t)
	me := f.near(t)
	me.CloudURL = address
	cfg := Config{Retry: backoff.Policy{Min: time.Hour, Cap: time.Hour}}
	for _, c := range change {
		c(&cfg)
	}
	u, err := New(cfg, me, pace.New(pace.Plan{}), Deps{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	until(t, "a diagnosis", func() bool { return u.Status().Problem != nil })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return u.Status().Problem
}

func TestDiagnosisOfRealSockets(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>Welcome to our hotel"))
	}))
	defer page.Close()
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer busy.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.Config.ErrorLog = secure.Config.ErrorLog
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	defer old.Close()

	if p := problemAt(t, page.URL); p.Code != ProblemPortal || !strings.Contains(p.Text, "portal") {
		t.Errorf("portal: %+v", p)
	}
	if p := problemAt(t, busy.URL); p.Code != ProblemGateway || p.Retry != 2*time.Minute {
		t.Errorf("busy: %+v", p)
	}
	if p := problemAt(t, strings.Replace(page.URL, "http:", "https:", 1)); p.Code != ProblemTLS {
		t.Errorf("plain HTTP where TLS is due: %+v", p)
	}
	if p := problemAt(t, secure.URL); p.Code != ProblemTLS || !strings.Contains(p.Text, "does not trust") {
		t.Errorf("a foreign authority: %+v", p)
	}
	if p := problemAt(t, old.URL); p.Code != ProblemTLS {
		t.Errorf("TLS 1.1: %+v", p)
	}
	locked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer locked.Close()
	if p := problemAt(t, "https://cloud.example.com", func(c *Config) { c.Proxy = Proxy(locked.URL) }); p.Code != ProblemProxy || !strings.Contains(p.Text, "407") {
		t.Errorf("a proxy that wants a password: %+v", p)
	}
}

func TestParseCloud(t *testing.T) {
	for raw, want := range map[string]string{
		"https://cloud.example.com":  "https://cloud.example.com",
		"cloud.example.com":          "https://cloud.example.com",
		"https://cloud.example.com/": "https://cloud.example.com",
		"wss://c:8443":               "https://c:8443",
		"http://127.0.0.1:8080":      "http://127.0.0.1:8080",
		"ws://localhost:8080":        "http://localhost:8080",
		"http://[::1]:8080":          "http://[::1]:8080",
	} {
		if u, err := parseCloud(raw); err != nil || u.String() != want {
			t.Errorf("parseCloud(%q) = %v, %v; want %s", raw, u, err, want)
		}
	}
	for _, raw := range []string{
		"", "http://cloud.example.com", "ws://10.0.0.1", "http://127.0.0.1.example.com", "ftp://x", "https://u:secret@x", "https://x/path", "https://x?q=1", "https://", "http://0.0.0.0", "https://a b",
	} {
		u, err := parseCloud(raw)
		if err == nil {
			t.Errorf("parseCloud(%q) = %v", raw, u)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Config{Proxy: "socks5://u:secret@x", CAFile: empty, Retry: backoff.Policy{Min: 2, Cap: 1}}.Validate()
	for _, want := range []string{"proxy", "no certificate", "uplink.retry"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Validate = %v, want %q in it and no password", err, want)
		}
	}
	if err := (Config{Proxy: NoProxy}).Validate(); err != nil {
		t.Error(err)
	}
	err = EnrolConfig{URL: "http://x", Code: "abc", Proxy: "x"}.Validate()
	for _, want := range []string{"TLS", "letters and digits", "data folder", "proxy"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %q in it", err, want)
		}
	}
}

func TestProxyFunction(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://environment:1")
	req := &http.Request{URL: &url.URL{Scheme: "https", Host: "cloud.example.com"}}
	if NoProxy.function() != nil {
		t.Error("none means a proxy")
	}
	if u, err := Proxy("http://named:2").function()(req); err != nil || u.Host != "named:2" {
		t.Errorf("%v, %v", u, err)
	}
	if Proxy("").function() == nil {
		t.Error("nothing means no proxy; want the environment's")
	}
	if _, err := Proxy("http://name:secret@[half").function()(req); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("an address that can't be read: %v", err)
	}
}

// TestAProxyThatSwallowsEverything leaves time to try without it.
func TestAProxyThatSwallowsEverything(t *testing.T) {
	t.Parallel()
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }()
	begun := time.Now()
	conn, err := Proxy("http://"+deaf.Addr().String()).Connect(t.Context(), "turn.example.com:443")
	if err == nil {
		t.Errorf("it has connected: %v", conn.Close())
	}
	if took := time.Since(begun); took < proxyWait-time.Second || took > 2*proxyWait-time.Second {
		t.Errorf("it was given up after %v", took)
	}
}

// TestAProxyWithoutEnd is read within bounds.
func TestAProxyWithoutEnd(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	done := make(chan int, 1)
	go func() {
		_, _ = http.ReadRequest(bufio.NewReader(far)) // what is asked is of no account
		n, _ := io.WriteString(far, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20))
		done <- n
	}()
	err := ask(near, &url.URL{Scheme: "http", Host: "proxy:3128"}, "turn.example.com:443")
	_ = near.Close()
	if n := <-done; err == nil || n > 2*proxyHead {
		t.Errorf("of a head without end %d bytes were read: %v", n, err)
	}
}

func TestNothingSecretPrints(t *testing.T) {
	f := newFar(t)
	me := f.near(t)
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	p := Proxy("http://name:secret@proxy:3128")
	logger.Info("x", "identity", me, "proxy", p)
	fmt.Fprintf(&log, "%v %+v %#v %s %v %+v %#v %s", me, me, me, me, p, p, p, p)
	for _, s := range []string{"secret", string(me.key.Seed()), fmt.Sprintf("%x", me.key.Seed()), fmt.Sprintf("%d", me.key.Seed())} {
		if strings.Contains(log.String(), s) {
			t.Fatalf("a secret was printed: %s", log.String())
		}
	}
	if !strings.Contains(log.String(), string(me.Agent)) || !strings.Contains(log.String(), "proxy:3128") {
		t.Fatalf("nothing was printed: %s", log.String())
	}
}

func TestIdentityFile(t *testing.T) {
	f := newFar(t)
	me := f.near(t)
	if err := me.write(identityFile); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(me.dir, identityFile)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := LoadIdentity(me.dir)
	if err != nil || got.Agent != me.Agent || !got.key.Equal(me.key) || !got.EvidenceKey().Equal(me.EvidenceKey()) || !got.SealKey().Equal(me.SealKey()) {
		t.Fatalf("LoadIdentity = %v, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
		t.Fatalf("the file's mode is %v, %v", info.Mode(), err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(raw, &whole); err != nil {
		t.Fatal(err)
	}
	for member, value := range whole {
		// Another letter in a value, a key's say, is damage too.
		if text, ok := value.(string); ok && len(text) > 8 {
			letter := map[bool]string{true: "b", false: "a"}[text[8] == 'a']
			other := bytes.Replace(raw, []byte(text), []byte(text[:8]+letter+text[9:]), 1)
			if err := os.WriteFile(path, other, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadIdentity(me.dir); err == nil {
				t.Errorf("an identity with another %s was loaded", member)
			}
		}
		// The sum came later: a file from before it has none.
		if member == "sum" || member == "note" || member == "lookup" || strings.HasSuffix(member, "_name") || member == "org" {
			continue
		}
		broken := map[string]any{}
		for k, v := range whole {
			if k != member {
				broken[k] = v
			}
		}
		b, _ := json.Marshal(broken)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadIdentity(me.dir); err == nil {
			t.Errorf("an identity without %s was loaded", member)
		}
	}
	for cut := 0; cut < len(raw)-2; cut += 50 {
		if err := os.WriteFile(path, raw[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadIdentity(me.dir); err == nil || !strings.Contains(err.Error(), "--replace") {
			t.Fatalf("a file cut at %d: %v", cut, err)
		}
	}
	if _, err := LoadIdentity(t.TempDir()); !errors.Is(err, ErrNotEnrolled) {
		t.Fatalf("an empty folder: %v", err)
	}
}

func TestClock(t *testing.T) {
	now := time.Now()
	c := &clock{now: func() time.Time { return now }}
	if c.cloudUs() != now.UnixMicro() || c.latestUs() != now.UnixMicro() || c.stepped() != 0 {
		t.Fatal("before the cloud's first word its clock is not the machine's own")
	}
	c.learn(now.Add(3*time.Hour).UnixMicro(), now)
	now = now.Add(time.Minute)
	if got, want := c.cloudUs(), now.Add(3*time.Hour).UnixMicro(); got != want || c.latestUs() != want || c.stepped() != 0 {
		t.Fatalf("cloudUs = %d, want %d", got, want)
	}
	c.wallUs -= (10 * time.Minute).Microseconds() // the wall clock saw ten minutes more: the machine slept
	if c.stepped() != 10*time.Minute || c.latestUs()-c.cloudUs() != (10*time.Minute).Microseconds() {
		t.Fatalf("after a sleep: stepped %v, %d later", c.stepped(), c.latestUs()-c.cloudUs())
	}
	c.wallUs += (30 * time.Minute).Microseconds() // the wall clock went back
	if c.stepped() != -20*time.Minute || c.latestUs() != c.cloudUs() {
		t.Fatalf("after a step back: stepped %v", c.stepped())
	}
}

func TestClockText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "", 4 * time.Second: "", -4 * time.Second: "",
		3*time.Hour + 2*time.Minute: "this machine's clock is 3 h 2 min behind the cloud's",
		-90 * time.Second:           "this machine's clock is 1 min 30 s ahead of the cloud's",
		50 * time.Hour:              "2 d 2 h behind", -6 * time.Second: "6 s ahead of",
	} {
		if got := ClockText(d); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("ClockText(%v) = %q, want %q in it", d, got, want)
		}
	}
}

func TestCertText(t *testing.T) {
	now := time.Now()
	for left, want := range map[time.Duration]string{31 * 24 * time.Hour: "", 50 * time.Hour: "ends in 2 d 2 h", -time.Hour: "ends in 0 s"} {
		if got := CertText(now.Add(left), now); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("CertText with %v left = %q, want %q in it", left, got, want)
		}
	}
	if CertText(time.Time{}, now) != "" {
		t.Error("a line without TLS is warned of")
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "x": 0, "99999999": maxRetry, "1e300": 0,
		"Thu, 01 Jan 1970 00:00:00 GMT": 0, "Fri, 31 Dec 2049 23:59:59 GMT": maxRetry,
	} {
		if got := retryAfter(&http.Response{Header: http.Header{"Retry-After": {text}}}); got != want {
			t.Errorf("Retry-After %q = %v, want %v", text, got, want)
		}
	}
}

func TestPause(t *testing.T) {
	for i := range 40 {
		if w := pause(retryWaitMin, retryWaitMax, i, nil); w < retryWaitMin/2 || w > retryWaitMax+retryWaitMin {
			t.Fatalf("wait %d is %v", i, w)
		}
	}
	resp := &http.Response{Header: http.Header{"Retry-After": {"3600"}}}
	if w := pause(retryWaitMin, retryWaitMax, 0, resp); w != 30*time.Second {
		t.Fatalf("with Retry-After: %v", w)
	}
}

package gateway

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

func bare(t testing.TB, cfg Config) *Gateway {
	t.Helper()
	keys, err := LoadKeys(filepath.Join(t.TempDir(), "cloud.key"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(cfg, nil, keys, Hooks{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud.key")
	made, err := LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	first := made.Public()
	if info, err := os.Stat(path); err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
		t.Fatalf("the key file: %v, %v", info.Mode(), err)
	}
	read, err := LoadKeys(path)
	if err != nil || !read.Public().Equal(first) {
		t.Fatalf("the key changed: %v", err)
	}
	if err := read.Rotate(); err != nil {
		t.Fatal(err)
	}
	again, err := LoadKeys(path)
	if err != nil || again.Public().Equal(first) || !public(again.pinned(wire.KeyPrint(first))).Equal(first) {
		t.Fatalf("after a rotation: %v", err)
	}
	if !public(again.pinned("0000")).Equal(again.Public()) {
		t.Fatal("an unknown print gives an old key")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "keys", again)
	if strings.Contains(log.String(), base64.StdEncoding.EncodeToString(again.present().Seed())) || !strings.Contains(log.String(), "cloud key") {
		t.Fatalf("logged as %s", log.String())
	}
	for _, bad := range []string{"", "{}", `{"keys":[]}`, `{"keys":[{"seed":"AAAA"}]}`, string(raw[:len(raw)/2])} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKeys(path); err == nil || !strings.Contains(err.Error(), "backup") {
			t.Errorf("key file %.20q: %v", bad, err)
		}
	}
	if _, err := LoadKeys(filepath.Join(path, "x", "cloud.key")); err == nil {
		t.Error("a key was made where no folder is")
	}
}

func TestValidate(t *testing.T) {
	err := Config{
		Replica: strings.Repeat("x", 200), Heartbeat: time.Hour, Ping: time.Hour, Handshakes: -1, Proxies: make([]netip.Prefix, 1),
	}.Validate()
	for _, want := range []string{"replica", "heartbeat", "ping", "handshakes", "proxies"} {
		if err == nil || !strings.Contains(err.Error(), "gateway."+want) {
			t.Errorf("Validate = %v, want gateway.%s in it", err, want)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestAddr(t *testing.T) {
	g := bare(t, Config{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	for _, c := range []struct{ peer, forwarded, want string }{
		{"203.0.113.5:1", "", "203.0.113.5"},
		{"203.0.113.5:1", "1.2.3.4", "203.0.113.5"}, // not one of ours: not believed
		{"10.0.0.1:1", "198.51.100.7", "198.51.100.7"},
		{"10.0.0.1:1", "6.6.6.6, 198.51.100.7", "198.51.100.7"}, // the first is the caller's own invention
		{"10.0.0.1:1", "6.6.6.6, 198.51.100.7, 10.2.2.2", "198.51.100.7"},
		{"[fd00::1]:1", "2001:db8::9", "2001:db8::9"},
		{"10.0.0.1:1", "nonsense", "10.0.0.1"},
		{"[::ffff:203.0.113.5]:1", "", "203.0.113.5"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := g.addr(r).String(); got != c.want {
			t.Errorf("peer %s, forwarded for %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestGuesses(t *testing.T) {
	g, now := newGuesses(), time.Now()
	here, next := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for range guessBurst {
		if !g.allowed(here, now) {
			t.Fatal("an innocent address is kept out")
		}
		g.fail(here, now)
	}
	if g.allowed(here, now) || g.allowed(next, now) {
		t.Fatal("an address, or its neighbour in the same /64, may go on guessing")
	}
	if !g.allowed(netip.MustParseAddr("2001:db8:1::1"), now) || !g.allowed(netip.MustParseAddr("::ffff:1.2.3.4"), now) {
		t.Fatal("another network is kept out")
	}
	g.prune(now.Add(guessEach))
	if len(g.byAddr) != 1 {
		t.Fatal("a guesser was forgotten too early")
	}
	g.prune(now.Add(guessBurst*guessEach + time.Second))
	if len(g.byAddr) != 0 {
		t.Fatal("a guesser was never forgotten")
	}
	for i := range maxGuessers + 5 {
		g.fail(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if len(g.byAddr) > maxGuessers {
		t.Fatalf("%d addresses are kept", len(g.byAddr))
	}
}

func TestAlarmsComeOnceAMinute(t *testing.T) {
	a, now := newAlarms(), time.Now()
	if n := a.due("x", now); n != 1 {
		t.Fatalf("the first alarm counts %d", n)
	}
	for range 5 {
		if a.due("x", now.Add(time.Second)) != 0 {
			t.Fatal("the same alarm came again at once")
		}
	}
	if n := a.due("x", now.Add(time.Minute)); n != 6 {
		t.Fatalf("the next alarm counts %d, want 6", n)
	}
	for i := range maxAlarms + 5 {
		a.due(string(rune(i)), now)
	}
	if len(a.last) > maxAlarms {
		t.Fatalf("%d alarms are kept", len(a.last))
	}
}

func TestAttempt(t *testing.T) {
	now := time.Now()
	g := bare(t, Config{Now: func() time.Time { return now }})
	want := attempt{Code: id.New[id.Code](), Version: 1, ExpiresUs: now.Add(attemptLife).UnixMicro()}
	token, err := g.sealAttempt(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := g.openAttempt(token); err != nil || got.Code != want.Code {
		t.Fatalf("openAttempt = %+v, %v", got, err)
	}
	if _, err := bare(t, Config{}).openAttempt(token); err == nil {
		t.Fatal("another cloud took the attempt")
	}
	now = now.Add(attemptLife + time.Second)
	if _, err := g.openAttempt(token); err == nil {
		t.Fatal("an old attempt was taken")
	}
}

// FuzzOpenAttempt signs what the fuzzer makes, so that the decoder behind the MAC is reached.
func FuzzOpenAttempt(f *testing.F) {
	g := bare(f, Config{})
	b, err := json.Marshal(attempt{Code: "x", ExpiresUs: 1 << 62})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(base64.RawURLEncoding.EncodeToString(b), "")
	f.Add("", ".")
	f.Fuzz(func(t *testing.T, text, token string) {
		if _, err := g.openAttempt(token); err == nil {
			t.Fatal("an attempt came out of nothing")
		}
		mac := base64.RawURLEncoding.EncodeToString(g.attemptMAC(text))
		if a, err := g.openAttempt(text + "." + mac); err == nil {
			_ = wire.EnrolTranscript(a.Start, wire.EnrolOffer{Nonce: a.Nonce})
		}
	})
}

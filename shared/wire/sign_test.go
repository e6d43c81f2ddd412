package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"holdfast/shared/id"
)

func seedKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(b)), 32)))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func signed(t *testing.T, body string, nowUs int64) (*http.Request, RequestClaim) {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	req := httptest.NewRequest(http.MethodPost, "https://cloud.example.com/agent/v1/batch?x=1", strings.NewReader(body))
	c := RequestClaim{
		Version: 1, Agent: id.New[id.Agent](), Cloud: KeyPrint(public(seedKey('c'))), Session: id.New[id.Session](),
		Counter: 7, ExpiresUs: nowUs + SignedFor.Microseconds(), Digest: sum[:],
	}
	SignRequest(req, seedKey('a'), c)
	return req, c
}

func TestRequestSignature(t *testing.T) {
	now := time.Now().UnixMicro()
	req, c := signed(t, "body", now)
	got, err := ReadRequest(req)
	if err != nil || got.Agent != c.Agent || got.Session != c.Session || got.Counter != 7 {
		t.Fatalf("ReadRequest = %+v, %v", got, err)
	}
	if !got.Verify(public(seedKey('a'))) || got.Verify(public(seedKey('b'))) || got.Verify(nil) {
		t.Fatal("the signature is not judged rightly")
	}
	for name, change := range map[string]func(*http.Request){
		"method": func(r *http.Request) { r.Method = http.MethodPut },
		"path":   func(r *http.Request) { r.URL.Path = "/agent/v1/batcH" },
		"query":  func(r *http.Request) { r.URL.RawQuery = "x=2" },
		"claim": func(r *http.Request) {
			c := c
			c.Counter = 8
			r.Header.Set(HeaderClaim, encodeClaim(c))
		},
	} {
		r, _ := signed(t, "body", now)
		r.Header = req.Header.Clone()
		change(r)
		s, err := ReadRequest(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s.Verify(public(seedKey('a'))) {
			t.Errorf("a changed %s passes", name)
		}
	}
}

func TestRequestFresh(t *testing.T) {
	now := time.Now().UnixMicro()
	req, _ := signed(t, "", now)
	s, err := ReadRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		off  time.Duration
		want bool
	}{{0, true}, {59 * time.Second, true}, {61 * time.Second, false}, {-59 * time.Second, true}, {-61 * time.Second, false}} {
		nowUs := now + c.off.Microseconds()
		err := s.Fresh(nowUs)
		var r *Refusal
		if (err == nil) != c.want || (err != nil && (!errors.As(err, &r) || r.Code != RefusedClock || r.WallUs != nowUs)) {
			t.Errorf("a cloud whose clock is off by %v says %v", c.off, err)
		}
	}
}

func TestReadRequestRefuses(t *testing.T) {
	good, claim := signed(t, "", 1)
	for name, change := range map[string]func(http.Header){
		"no claim":        func(h http.Header) { h.Del(HeaderClaim) },
		"no signature":    func(h http.Header) { h.Del(HeaderSignature) },
		"short signature": func(h http.Header) { h.Set(HeaderSignature, "QQ") },
		"bad base64":      func(h http.Header) { h.Set(HeaderClaim, "!!") },
		"two values":      func(h http.Header) { h.Set(HeaderClaim, encode64([]byte(`{"v":1}{}`))) },
		"long claim":      func(h http.Header) { h.Set(HeaderClaim, strings.Repeat("A", 5000)) },
		"bad agent": func(h http.Header) {
			c := claim
			c.Agent = "agt-../../etc/passwd"
			h.Set(HeaderClaim, encodeClaim(c))
		},
		"bad digest": func(h http.Header) {
			c := claim
			c.Digest = nil
			h.Set(HeaderClaim, encodeClaim(c))
		},
	} {
		req := good.Clone(t.Context())
		change(req.Header)
		if _, err := ReadRequest(req); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func TestReplySignature(t *testing.T) {
	cloud, body := seedKey('c'), []byte("ok")
	sum := sha256.Sum256(body)
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}}
	SignReply(resp.Header, cloud, "sig-of-request", ReplyClaim{Version: 1, Status: http.StatusOK, WallUs: 5, Digest: sum[:]})
	c, err := VerifyReply(resp, body, "sig-of-request", public(cloud))
	if err != nil || c.WallUs != 5 {
		t.Fatalf("VerifyReply = %+v, %v", c, err)
	}
	check := func(name string, resp *http.Response, body, request string, key ed25519.PublicKey) {
		t.Helper()
		if _, err := VerifyReply(resp, []byte(body), request, key); !errors.Is(err, ErrUnsigned) {
			t.Errorf("%s: %v, want ErrUnsigned", name, err)
		}
	}
	check("another body", resp, "oK", "sig-of-request", public(cloud))
	check("another request", resp, "ok", "sig-of-another", public(cloud))
	check("another cloud", resp, "ok", "sig-of-request", public(seedKey('d')))
	check("another status", &http.Response{StatusCode: http.StatusCreated, Header: resp.Header}, "ok", "sig-of-request", public(cloud))
	check("no signature", &http.Response{StatusCode: http.StatusOK, Header: http.Header{}}, "ok", "sig-of-request", public(cloud))
}

func TestWindow(t *testing.T) {
	var w Window
	admit := func(n uint64, want bool) {
		t.Helper()
		if got := w.Admit(n); got != want {
			t.Fatalf("Admit(%d) = %v, want %v", n, got, want)
		}
	}
	admit(0, false)
	admit(3, true)
	admit(1, true)
	admit(3, false)
	admit(2, true)
	admit(2, false)
	admit(1024, true)
	admit(1025, true)
	admit(1, false) // too far back now
	admit(4, true)
	admit(1<<40, true)
	admit(1<<40-1023, true)
	admit(1<<40-1023, false)
	admit(1<<40-1024, false)
	admit(1<<64-1, true)
	admit(1<<64-1, false)
}

func TestWindowAdmitsEachOnce(t *testing.T) {
	var w Window
	for n := uint64(1); n < 5000; n++ {
		if !w.Admit(n) || w.Admit(n) {
			t.Fatalf("counter %d was not admitted exactly once", n)
		}
	}
}

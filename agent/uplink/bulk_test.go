package uplink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// answer signs an answer as the cloud.
func (f *far) answer(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		f.t.Error(err)
	}
	sum := sha256.Sum256(body)
	wire.SignReply(w.Header(), f.key, r.Header.Get(wire.HeaderSignature), wire.ReplyClaim{
		Version: 1, Status: status, WallUs: time.Now().UnixMicro(), Digest: sum[:],
	})
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func online(t *testing.T, f *far) *Uplink {
	t.Helper()
	u, e := start(t, f.near(t), nothing)
	select {
	case <-e.opened:
	case <-time.After(patience):
		t.Fatal("no session")
	}
	return u
}

func oneFact() wire.Batch {
	return wire.Batch{Epoch: "e", Queue: 2, Lane: wire.Live, Facts: []wire.Fact{{Seq: 5, Kind: wire.KindRun, Body: json.RawMessage(`{}`)}}}
}

func TestBatchIsRetriedWithANewSignature(t *testing.T) {
	f := newFar(t)
	var mu sync.Mutex
	var counters []uint64
	f.bulk = func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		claim, err := wire.ReadRequest(r)
		sum := sha256.Sum256(body)
		if err != nil || !bytes.Equal(claim.Digest, sum[:]) || r.ContentLength != int64(len(body)) {
			t.Errorf("attempt: %v", err)
		}
		mu.Lock()
		counters = append(counters, claim.Counter)
		n := len(counters)
		mu.Unlock()
		switch n {
		case 1:
			panic(http.ErrAbortHandler) // the reply is lost
		case 2:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable) // a balancer's own
		default:
			f.answer(w, r, http.StatusOK, wire.Ack{Queue: 2, Seq: 5})
		}
	}
	u := online(t, f)
	begun := time.Now()
	ack, err := u.SendBatch(t.Context(), oneFact())
	if err != nil || ack.Seq != 5 {
		t.Fatalf("SendBatch = %+v, %v", ack, err)
	}
	if len(counters) != 3 || counters[0] >= counters[1] || counters[1] >= counters[2] {
		t.Fatalf("counters %v: each attempt needs its own", counters)
	}
	if time.Since(begun) < time.Second {
		t.Fatal("Retry-After was not honoured")
	}
}

func TestAnswersThatAreNotTheClouds(t *testing.T) {
	f := newFar(t)
	var handler http.HandlerFunc
	f.bulk = func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); handler(w, r) }
	u := online(t, f)
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		code    ProblemCode
	}{
		"portal page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(`<html>{"queue":2,"seq":5}`))
		}, ProblemPortal},
		"portal redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/login", http.StatusFound)
		}, ProblemPortal},
		"unsigned ack": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"queue":2,"seq":5}`)) }, ProblemGateway},
		"proxy":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }, ProblemProxy},
		"changed ack": {func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			f.answer(rec, r, http.StatusOK, wire.Ack{Queue: 2, Seq: 4})
			w.Header().Set(wire.HeaderClaim, rec.Header().Get(wire.HeaderClaim))
			w.Header().Set(wire.HeaderSignature, rec.Header().Get(wire.HeaderSignature))
			_, _ = w.Write([]byte(`{"queue":2,"seq":5}`))
		}, ProblemForeign},
		"revoked": {func(w http.ResponseWriter, r *http.Request) {
			f.answer(w, r, 403, wire.Refuse(wire.RefusedRevoked, "gone"))
		}, ProblemCode(wire.RefusedRevoked)},
		"without reason": {func(w http.ResponseWriter, r *http.Request) { f.answer(w, r, 500, struct{}{}) }, ProblemGateway},
	} {
		handler = c.handler
		ack, err := u.SendBatch(t.Context(), oneFact())
		var p *Problem
		if !errors.As(err, &p) || p.Code != c.code || p.Text == "" || ack.Seq != 0 {
			t.Errorf("%s: %+v, %v; want a problem with code %q", name, ack, err, c.code)
		}
	}
	handler = func(w http.ResponseWriter, r *http.Request) { f.answer(w, r, 200, wire.Ack{Queue: 3, Seq: 5}) }
	if _, err := u.SendBatch(t.Context(), oneFact()); err == nil {
		t.Error("an ack of another queue passes")
	}
	if _, err := u.SendBatch(t.Context(), wire.Batch{}); err == nil {
		t.Error("an empty batch was sent")
	}
}

func TestPutPart(t *testing.T) {
	f := newFar(t)
	u := online(t, f)
	body := bytes.Repeat([]byte("v"), 100_000)
	sum := sha256.Sum256(body)
	var seen http.Header
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		seen = r.Header.Clone()
		switch {
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusTemporaryRedirect)
		case !bytes.Equal(got, body) || r.ContentLength != int64(len(body)):
			http.Error(w, "truncated", http.StatusBadRequest)
		default:
			w.Header().Set("ETag", `"abc"`)
		}
	}))
	defer store.Close()
	put := func(address string, body []byte) (string, error) {
		return u.PutPart(t.Context(), wire.PartPlan{Number: 1, URL: address, Headers: map[string]string{"X-Amz-Meta": "1"}}, bytes.NewReader(body), int64(len(body)), sum)
	}
	etag, err := put(store.URL+"/bucket/key?X-Amz-Signature=1", body)
	if err != nil || etag != `"abc"` || seen.Get("X-Amz-Meta") != "1" {
		t.Fatalf("PutPart = %q, %v, headers %v", etag, err, seen)
	}
	if seen.Get(wire.HeaderSignature) != "" {
		t.Fatal("the agent's signature went to a foreign store")
	}
	if _, err := put(store.URL+"/x", body[:10]); err == nil || !strings.Contains(err.Error(), "400") {
		t.Fatalf("a refused part: %v", err)
	}
	if _, err := put(store.URL+"/moved", body); err == nil || !strings.Contains(err.Error(), "307") {
		t.Fatalf("a redirect was followed: %v", err)
	}
	for _, address := range []string{
		"http://192.0.2.1/x", "file:///etc/passwd", "gopher://x/", "", "//host/x", "https://user:pw@host/x", "/etc/passwd",
		wire.PathClips + "../../../etc", wire.PathBatch, "https://", "http://169.254.169.254/latest", "ftp://127.0.0.1/x",
	} {
		if _, err := put(address, body); err == nil {
			t.Errorf("a part was sent to %q", address)
		}
	}
	if _, err := u.PutPart(t.Context(), wire.PartPlan{URL: store.URL}, bytes.NewReader(nil), wire.MaxClipPartBytes+1, sum); err == nil {
		t.Error("a part above the limit was sent")
	}
}

func TestBulkWithoutASession(t *testing.T) {
	f := newFar(t)
	me := f.near(t)
	f.srv.Close()
	u, _ := start(t, me, nothing)
	if _, err := u.SendBatch(t.Context(), oneFact()); !errors.Is(err, ErrOffline) {
		t.Fatalf("SendBatch = %v", err)
	}
	if _, err := u.ClipBegin(t.Context(), id.New[id.Clip](), wire.ClipBegin{}); !errors.Is(err, ErrOffline) {
		t.Fatalf("ClipBegin = %v", err)
	}
	plan := wire.PartPlan{URL: wire.PathClips + "x/parts/1"}
	if _, err := u.PutPart(t.Context(), plan, strings.NewReader("x"), 1, [32]byte{}); !errors.Is(err, ErrOffline) {
		t.Fatalf("PutPart = %v", err)
	}
	until(t, "a diagnosis", func() bool { return u.Status().Problem != nil })
	if p := u.Status().Problem; p.Code != ProblemRefused || !strings.Contains(p.Text, "nothing listens") {
		t.Fatalf("problem %+v", p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := u.SendBatch(ctx, oneFact()); err == nil {
		t.Fatal("a batch was sent with a context that had ended")
	}
}

package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/cloud/gateway"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
	"holdfast/testenv/line"
)

func TestEnrolStolenLookup(t *testing.T) {
	r := newRig(t)
	text := r.Code()
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
		status, body := r.Post(wire.PathEnrolFinish, f)
		var refusal wire.Refusal
		if status != http.StatusForbidden || json.Unmarshal(body, &refusal) != nil || refusal.Code != wire.RefusedCode {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if a := line.Get(t, r.Alarms, "alarm"); a.Kind != gateway.AlarmGuessing || a.Ref.Site != r.Site {
		t.Fatalf("alarm %+v", a)
	}
	r.raw(text) // the code's owner is let in
}

func TestEnrolRace(t *testing.T) {
	t.Parallel()
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := &rig{Cloud: line.On(t, d), t: t}
		code, _ := wire.ParseCode(r.Code())
		machines := make([]machine, 8)
		for i := range machines {
			machines[i] = r.begin(code.Lookup())
		}
		statuses := make([]int, len(machines))
		var wg sync.WaitGroup
		for i, m := range machines {
			wg.Go(func() { statuses[i], _ = r.Post(wire.PathEnrolFinish, m.finish(code.Key())) })
		}
		wg.Wait()
		count := map[int]int{}
		for _, s := range statuses {
			count[s]++
		}
		if count[http.StatusOK] != 1 || count[http.StatusConflict] != len(machines)-1 {
			t.Fatalf("answers %v, want one 200 and the rest 409", count)
		}
		if list, err := agents.List(t.Context(), d, r.Scope()); err != nil || len(list) != 1 {
			t.Fatalf("%d identities, %v", len(list), err)
		}
	})
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
		resp, _ := r.Forward(q, raw)
		status[resp.StatusCode]++
	}
	if status[http.StatusForbidden] < 100 || status[http.StatusTooManyRequests] < 30 {
		t.Fatalf("150 guesses from 150 addresses: %v", status)
	}
	if a := line.Get(t, r.Alarms, "alarm"); a.Kind != gateway.AlarmGuessing {
		t.Fatalf("alarm %+v", a)
	}
	// Whoever has a good code is not kept out by those who guess.
	r.raw(r.Code())
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
		resp, body := r.Forward(&http.Request{Method: http.MethodPost, URL: &url.URL{Path: wire.PathEnrolStart}, Header: http.Header{}}, []byte(c.body))
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
	ctx, cancel := context.WithTimeout(t.Context(), line.Wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL+wire.PathEnrolStart, body)
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

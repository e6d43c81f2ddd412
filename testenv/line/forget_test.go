package line_test

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/line"
	"holdfast/testenv/netcut"
)

// forgetful is a line whose router can forget what runs through it, and an agent over it with a session and one idle
// connection besides.
func forgetful(t *testing.T) (*agent, *netcut.Proxy) {
	t.Helper()
	t.Parallel()
	r := newRig(t, line.Beating(150*time.Millisecond))
	wan, err := netcut.New("127.0.0.1:0", strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- wan.Run(t.Context()) }()
	t.Cleanup(func() { // the test's context has ended
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	a := run(t, r.over("http://"+wan.Addr()), echo)
	line.Get(t, a.opened, "welcome")
	sendOne(t, a, 1)
	return a, wan
}

func sendOne(t *testing.T, a *agent, seq int64) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), line.Wait)
	defer stop()
	_, err := a.SendBatch(ctx, wire.Batch{Epoch: "e", Lane: wire.Backlog, Facts: []wire.Fact{{Seq: seq, Kind: wire.KindRun, Body: []byte(`{}`)}}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAForgottenConnectionIsNotUsedAgain: what was idle when the line died is as dead as the session.
func TestAForgottenConnectionIsNotUsedAgain(t *testing.T) {
	a, wan := forgetful(t)
	wan.Forget()
	line.Get(t, a.opened, "second welcome")
	sendOne(t, a, 2)
}

// TestARequestEndsWithItsSession: the answer to a request that was on its way when the line died never comes, and nobody
// waits for it.
func TestARequestEndsWithItsSession(t *testing.T) {
	a, wan := forgetful(t)
	wan.Forget()
	asked := make(chan error, 1)
	go func() {
		sum := sha256.Sum256([]byte("a"))
		_, err := a.ClipBegin(t.Context(), id.New[id.Clip](), wire.ClipBegin{Bytes: 1, PartBytes: 1, Parts: [][]byte{sum[:]}})
		asked <- err
	}()
	line.Get(t, a.opened, "second welcome")
	if err := line.Get(t, asked, "end of the request"); err == nil {
		t.Fatal("a request was answered over a line that is dead")
	}
}

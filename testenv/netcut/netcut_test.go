package netcut_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/testenv/netcut"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// run runs a proxy for the length of a test.
func run(t *testing.T, p interface{ Run(context.Context) error }) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run proxy: %v", err)
		}
	})
}

// echo is a TCP server that sends everything back.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-ended })
	return ln.Addr().String()
}

// through is a running proxy in front of an echo server.
func through(t *testing.T) *netcut.Proxy {
	t.Helper()
	t.Parallel()
	p, err := netcut.New("127.0.0.1:0", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	run(t, p)
	return p
}

func dial(t *testing.T, p *netcut.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// says sends text and wants it back within the time.
func says(t *testing.T, c net.Conn, text string) time.Duration {
	t.Helper()
	begun := time.Now()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	hears(t, c, text)
	return time.Since(begun)
}

// TestForget: what was established is silent for good, towards both ends, and what comes then passes.
func TestForget(t *testing.T) {
	p := through(t)
	old := dial(t, p)
	says(t, old, "before")
	p.Forget()
	if _, err := io.WriteString(old, "anybody?"); err != nil {
		t.Fatal(err)
	}
	deaf(t, old)
	says(t, dial(t, p), "new")
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	deaf(t, old)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if n := p.Stats().Open; n != 2 {
		t.Errorf("%d connections are open, want 2: nobody tells the far end of a forgotten one", n)
	}
	p.Drop()
	says(t, dial(t, p), "still there")
}

func hears(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("want %q back, got %q, %v", text, got, err)
	}
}

// deaf wants nothing to arrive for a while.
func deaf(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(150 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if n, err := c.Read(make([]byte, 10)); n != 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("want silence, got %d bytes, %v", n, err)
	}
}

// dies wants the connection reset, or ended.
func dies(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Fatalf("want the connection reset, got %v", err)
	}
}

func TestBytesPassUnchanged(t *testing.T) {
	p := through(t)
	const size = 8 << 20
	source := rand.NewChaCha8([32]byte{1})
	c := dial(t, p)
	sent := make(chan [32]byte)
	go func() {
		h := sha256.New()
		_, _ = io.CopyN(io.MultiWriter(h, c), source, size)
		_ = c.(*net.TCPConn).CloseWrite()
		sent <- [32]byte(h.Sum(nil))
	}()
	h := sha256.New()
	n, err := io.Copy(h, c)
	if want := <-sent; err != nil || n != size || [32]byte(h.Sum(nil)) != want {
		t.Fatalf("%d of %d bytes came back, the same: %v, %v", n, size, [32]byte(h.Sum(nil)) == want, err)
	}
	if s := p.Stats(); s.Up != size || s.Down != size || s.Accepted != 1 {
		t.Fatalf("counted %+v", s)
	}
}

func TestCut(t *testing.T) {
	p := through(t)
	c := dial(t, p)
	says(t, c, "before")
	p.Cut()
	dies(t, c)
	if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("want the connection refused, got %v", err)
	}
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	says(t, dial(t, p), "after")
}

func TestRefuseSparesTheLiving(t *testing.T) {
	p := through(t)
	c := dial(t, p)
	says(t, c, "before")
	p.Refuse()
	if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("want the connection refused, got %v", err)
	}
	says(t, c, "still here")
}

func TestDropWelcomesAgain(t *testing.T) {
	p := through(t)
	c := dial(t, p)
	says(t, c, "before")
	p.Drop()
	dies(t, c)
	says(t, dial(t, p), "after")
	if s := p.Stats(); s.Accepted != 2 {
		t.Fatalf("counted %+v", s)
	}
}

func TestAimSparesTheLiving(t *testing.T) {
	p := through(t)
	old := dial(t, p)
	says(t, old, "to the first")
	p.Aim("127.0.0.1:1") // where nobody listens
	lost, err := net.Dial("tcp", p.Addr())
	if err == nil {
		_, err = io.ReadAll(lost)
		_ = lost.Close()
	}
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("a connection to nobody: %v", err)
	}
	says(t, old, "still to the first")
	p.Aim(echo(t))
	says(t, dial(t, p), "to the second")
}

func TestBlackholeKeepsConnections(t *testing.T) {
	p := through(t)
	c := dial(t, p)
	says(t, c, "before")
	p.Blackhole()
	if _, err := io.WriteString(c, "lost?"); err != nil {
		t.Fatal(err)
	}
	fresh := dial(t, p) // the system accepts; nobody answers
	if _, err := io.WriteString(fresh, "hello?"); err != nil {
		t.Fatal(err)
	}
	deaf(t, c)
	deaf(t, fresh)
	if s := p.Stats(); s.Up != int64(len("before")) {
		t.Fatalf("%d bytes went into the black hole and came out", s.Up)
	}
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	hears(t, c, "lost?")
	hears(t, fresh, "hello?")
}

func TestCutEndsABlackhole(t *testing.T) {
	p := through(t)
	c := dial(t, p)
	says(t, c, "before")
	p.Blackhole()
	p.Cut()
	dies(t, c)
}

func TestDelay(t *testing.T) {
	p := through(t)
	c := dial(t, p)
	says(t, c, "before")
	p.Delay(150 * time.Millisecond)
	if took := says(t, c, "slow"); took < 300*time.Millisecond {
		t.Fatalf("there and back took %v, want 300 ms or more", took)
	}
	// A delay is no limit: pieces overlap on the way.
	begun := time.Now()
	for range 5 {
		if _, err := io.WriteString(c, "abc"); err != nil {
			t.Fatal(err)
		}
	}
	hears(t, c, "abcabcabcabcabc")
	if took := time.Since(begun); took > time.Second {
		t.Fatalf("five pieces took %v: they should travel together", took)
	}
}

func TestCap(t *testing.T) {
	p := through(t)
	c, other := dial(t, p), dial(t, p)
	p.Cap(100_000)
	begun := time.Now()
	done := make(chan struct{})
	for _, x := range []net.Conn{c, other} {
		go func() {
			defer func() { done <- struct{}{} }()
			_, _ = x.Write(make([]byte, 20_000))
			_, _ = io.ReadFull(x, make([]byte, 20_000))
		}()
	}
	<-done
	<-done
	if took := time.Since(begun); took < 380*time.Millisecond || took > 3*time.Second {
		t.Fatalf("40,000 bytes each way at 100,000 a second took %v", took)
	}
	p.Cap(1)
	if _, err := c.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	p.Cap(0) // who waits for a slow link is let go at once
	if _, err := io.ReadFull(c, make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
}

func TestEndOfStreamPasses(t *testing.T) {
	p := through(t)
	c := dial(t, p)
	if _, err := io.WriteString(c, "last words"); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "last words" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestDeadTarget(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	_ = ln.Close()
	p, err := netcut.New("127.0.0.1:0", dead)
	if err != nil {
		t.Fatal(err)
	}
	run(t, p)
	// The reset may come before the system has told us that we are connected.
	if c, err := net.Dial("tcp", p.Addr()); err == nil {
		defer func() { _ = c.Close() }()
		dies(t, c)
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	if _, err := netcut.New("127.0.0.1:0", "no port"); err == nil {
		t.Fatal("a target without a port was taken")
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	defer server.Close()
	p, err := netcut.NewConnect("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run(t, p)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: p.Addr()})
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	body := bytes.Repeat([]byte("through the tunnel "), 10_000)
	res, err := client.Post(server.URL, "text/plain", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%d of %d bytes came back, %v", len(got), len(body), err)
	}
	if s := p.Stats(); s.Up < int64(len(body)) || s.Accepted != 1 {
		t.Fatalf("counted %+v", s)
	}
	plain, err := http.Get("http://" + p.Addr() + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = plain.Body.Close()
	if plain.StatusCode != http.StatusMethodNotAllowed {
		t.Fatalf("GET answered %d", plain.StatusCode)
	}
	server.Close()
	if _, err := client.Get(server.URL); err == nil {
		t.Fatal("a target that is gone answered")
	}
}

package line_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/agent/uplink"
	"holdfast/cloud/gateway"
	"holdfast/shared/wire"
	"holdfast/testenv/line"
)

// relay is a line of TCP that can be cut and can fall silent.
type relay struct {
	listener net.Listener
	target   string
	silent   atomic.Bool
	refuse   atomic.Bool
	dialled  atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	y := &relay{listener: l, target: strings.TrimPrefix(target, "http://"), conns: map[net.Conn]bool{}}
	y.wg.Go(y.accept)
	t.Cleanup(func() {
		_ = l.Close()
		y.cut()
		y.wg.Wait()
	})
	return y
}

func (y *relay) url() string { return "http://" + y.listener.Addr().String() }

func (y *relay) accept() {
	for {
		near, err := y.listener.Accept()
		if err != nil {
			return
		}
		y.dialled.Add(1)
		if y.refuse.Load() {
			_ = near.Close()
			continue
		}
		far, err := net.Dial("tcp", y.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		y.mu.Lock()
		y.conns[near], y.conns[far] = true, true
		y.mu.Unlock()
		y.wg.Go(func() { y.pipe(near, far) })
		y.wg.Go(func() { y.pipe(far, near) })
	}
}

func (y *relay) pipe(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !y.silent.Load() {
			_, werr := to.Write(buf[:n])
			err = errors.Join(err, werr)
		}
		if err != nil {
			_ = from.Close()
			if !y.silent.Load() {
				_ = to.Close()
			}
			return
		}
	}
}

// cut ends every connection.
func (y *relay) cut() {
	y.mu.Lock()
	defer y.mu.Unlock()
	for c := range y.conns {
		_ = c.Close()
		delete(y.conns, c)
	}
}

func TestReconnectAfterACut(t *testing.T) {
	r := newRig(t)
	wan := newRelay(t, r.URL)
	a := run(t, r.over(wan.url()), echo)
	first := line.Get(t, a.opened, "welcome")
	wan.refuse.Store(true)
	begun := time.Now().UnixMicro()
	wan.cut()
	p := wantProblem(t, line.Get(t, a.closed, "end"), uplink.ProblemCut)
	if p.Text == "" || a.Status().Connected {
		t.Fatalf("after the cut: %+v", a.Status())
	}
	line.Until(t, "several attempts", func() bool { return wan.dialled.Load() > 4 })
	if s := a.Status(); s.Problem == nil || s.Tries < 2 || s.SinceUs < begun {
		t.Fatalf("while the line is gone: %+v", s)
	}
	wan.refuse.Store(false)
	second := line.Get(t, a.opened, "second welcome")
	outage := line.Get(t, a.outages, "outage")
	if first.Session == second.Session || outage.StartUs < begun || outage.EndUs < outage.StartUs || outage.Text == "" {
		t.Fatalf("outage %+v of a cut at %d", outage, begun)
	}
	line.Get(t, r.Opened, "first hello")
	if hello := line.Get(t, r.Opened, "second hello"); hello.LineGone != outage.StartUs || hello.Run != 7 {
		t.Fatalf("the second hello does not carry the full state: %+v", hello)
	}
}

func TestDeadLineIsNoticed(t *testing.T) {
	t.Parallel()
	r := newRig(t, line.Beating(150*time.Millisecond))
	wan := newRelay(t, r.URL)
	a := run(t, r.over(wan.url()), echo)
	line.Get(t, a.opened, "welcome")
	wan.silent.Store(true)
	begun := time.Now()
	p := wantProblem(t, line.Get(t, a.closed, "end"), uplink.ProblemCut)
	if d := time.Since(begun); d > 3*time.Second || !strings.Contains(p.Text, "silent") {
		t.Fatalf("a dead line was noticed after %v: %q; want 8/3 of a heartbeat of 150 ms", d, p.Text)
	}
	wan.silent.Store(false)
	wan.cut()
	line.Get(t, a.opened, "second welcome")
}

// TestHalfOpenIncumbentGivesWay stands for a machine that was cut off without the cloud seeing it, and comes back.
func TestHalfOpenIncumbentGivesWay(t *testing.T) {
	r := newRig(t, line.Beating(time.Minute))
	wan := newRelay(t, r.URL)
	me := r.over(wan.url())
	a := run(t, me, echo)
	line.Get(t, a.opened, "welcome")
	wan.silent.Store(true)
	a.stop()
	me.CloudURL = r.URL
	begun := time.Now()
	b := run(t, me, echo)
	line.Get(t, b.opened, "welcome of the second")
	if d := time.Since(begun); d < 400*time.Millisecond {
		t.Fatalf("the incumbent had only %v to answer", d)
	}
	if why := line.Get(t, r.Closed, "end of the first"); !strings.Contains(why, "did not answer") && !strings.Contains(why, "cut") {
		t.Fatalf("the first ended because %q", why)
	}
	line.None(t, r.Alarms, "an alarm")
}

func TestDuplicateIdentityIsFenced(t *testing.T) {
	r := newRig(t)
	me := r.enrol()
	a := run(t, me, echo)
	line.Get(t, a.opened, "welcome")
	clone := run(t, me, echo)
	line.Until(t, "the clone's refusal", func() bool { return clone.Status().Problem != nil })
	p := wantProblem(t, clone.Status().Problem, uplink.ProblemCode(wire.RefusedDuplicate))
	if p.Retry != time.Minute || !strings.Contains(p.Text, "copy") {
		t.Fatalf("problem %+v", p)
	}
	alarm := line.Get(t, r.Alarms, "alarm")
	if alarm.Kind != gateway.AlarmDuplicate || alarm.Ref.Agent != me.Agent || !strings.Contains(alarm.Text, "till-3") {
		t.Fatalf("alarm %+v", alarm)
	}
	line.None(t, a.closed, "an end of the incumbent")
	line.None(t, clone.opened, "a session of the clone")
	if reply, _, err := r.Gateway().Command(t.Context(), me.Agent, wire.CmdClip, struct{}{}); err != nil || reply.Error != "" {
		t.Fatalf("the incumbent does not serve: %+v, %v", reply, err)
	}
}

func TestWrongClock(t *testing.T) {
	for name, off := range map[string]time.Duration{"behind": -3*time.Hour - 2*time.Minute, "ahead of": 26 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, line.Beating(250*time.Millisecond))
			wrong := &line.Clock{}
			wrong.Move(off)
			a := run(t, r.enrol(), echo, func(c *uplink.Config) { c.Now = wrong.Now })
			line.Get(t, a.opened, "welcome")
			s := a.Status()
			if (s.Offset + off).Abs() > 2*time.Second {
				t.Fatalf("the offset is %v, want %v", s.Offset, -off)
			}
			text := uplink.ClockText(s.Offset)
			if !strings.Contains(text, name) || (off < 0 && !strings.Contains(text, "3 h 2 min")) {
				t.Fatalf("the diagnosis is %q", text)
			}
			if n := r.Gateway().Counters()[wire.RefusedClock]; n != 1 {
				t.Fatalf("%d refusals, want the one that taught the agent the time", n)
			}
			outage := line.Get(t, a.outages, "outage")
			if !strings.Contains(outage.Text, name) {
				t.Fatalf("outage %+v", outage)
			}
			if _, _, err := r.Gateway().Command(t.Context(), r.agent(), wire.CmdClip, struct{}{}); err != nil {
				t.Fatalf("a command to an agent with a wrong clock: %v", err)
			}
			line.Get(t, r.Beats, "heartbeat")
			line.Get(t, r.Beats, "heartbeat")
			if b := line.Get(t, r.Beats, "heartbeat"); (time.Duration(b.OffsetUs)*time.Microsecond + off).Abs() > 2*time.Second {
				t.Fatalf("the heartbeat reports an offset of %d us", b.OffsetUs)
			}
		})
	}
}

func TestClockStepRenewsTheSession(t *testing.T) {
	r := newRig(t)
	clock := &line.Clock{}
	a := run(t, r.enrol(), echo, func(c *uplink.Config) { c.Now = clock.Now })
	line.Get(t, a.opened, "welcome")
	clock.Move(-2 * time.Hour) // the test's clock has no monotonic part that the step would spare
	wantProblem(t, line.Get(t, a.closed, "end"), uplink.ProblemCode(wire.RefusedClock))
	line.Get(t, a.opened, "second welcome")
	line.Until(t, "the new offset", func() bool { return (a.Status().Offset - 2*time.Hour).Abs() < 2*time.Second })
}

// tlsRig serves the rig's gateway over TLS with an authority of its own, whose file it returns.
func tlsRig(t *testing.T, r *rig) (address, caFile string) {
	t.Helper()
	srv := httptest.NewTLSServer(r)
	t.Cleanup(func() {
		r.Stop()
		srv.Close()
	})
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	srv.Config.ErrorLog = nil
	return srv.URL, caFile
}

func TestTLS(t *testing.T) {
	r := newRig(t)
	address, ca := tlsRig(t, r)
	_, err := enrolAt(t, address, r.Code())
	if p := wantProblem(t, err, uplink.ProblemTLS); !strings.Contains(p.Text, "cloud.ca_file") || !strings.Contains(p.Text, "Acme Co") {
		t.Fatalf("a foreign certificate: %q", p.Text)
	}
	me, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{URL: address, Code: r.Code(), DataDir: t.TempDir(), CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	a := run(t, me, echo, func(c *uplink.Config) { c.CAFile = ca })
	line.Get(t, a.opened, "welcome")
	if a.Status().CertEnds.Before(time.Now()) {
		t.Fatal("the end of the cloud's certificate is not known")
	}
	b := run(t, me, echo)
	line.Until(t, "a refusal", func() bool { return b.Status().Problem != nil })
	wantProblem(t, b.Status().Problem, uplink.ProblemTLS)
}

// proxy is an HTTP proxy that only connects, and may want a password.
func proxy(t *testing.T, password string) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var connects atomic.Int64
	var wg sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodConnect {
			http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
			return
		}
		if password != "" && q.Header.Get("Proxy-Authorization") == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		connects.Add(1)
		far, err := net.Dial("tcp", q.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		near, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = far.Close()
			return
		}
		wg.Go(func() { _, _ = io.Copy(far, buffered); _ = far.Close() })
		wg.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	}))
	t.Cleanup(func() {
		srv.Close()
		wg.Wait()
	})
	return srv, &connects
}

// TestConnectThroughAProxy reaches a far end that is not the cloud, a TURN server for instance.
func TestConnectThroughAProxy(t *testing.T) {
	far, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	go func() {
		for {
			conn, err := far.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	open, opened := proxy(t, "")
	guarded, let := proxy(t, "sesame")
	with := func(name string) uplink.Proxy {
		return uplink.Proxy(strings.Replace(guarded.URL, "://", "://"+name+"@", 1))
	}
	for _, c := range []struct {
		way     uplink.Proxy
		through *atomic.Int64 // nil: directly
	}{{uplink.Proxy(open.URL), opened}, {with("anna:sesame"), let}, {uplink.NoProxy, nil}} {
		conn, err := c.way.Connect(t.Context(), far.Addr().String())
		if err != nil {
			t.Fatalf("by %s: %v", c.way, err)
		}
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		heard := make([]byte, 5)
		if _, err := io.ReadFull(conn, heard); err != nil || string(heard) != "hello" {
			t.Errorf("by %s the far end says %q: %v", c.way, heard, err)
		}
		_ = conn.Close()
		if c.through != nil && c.through.Load() != 1 {
			t.Errorf("by %s: %d connections through the proxy, want one", c.way, c.through.Load())
		}
	}
	if _, err := uplink.Proxy(guarded.URL).Connect(t.Context(), far.Addr().String()); err == nil || !strings.Contains(err.Error(), "407") {
		t.Errorf("a proxy that wants a password: %v, want 407", err)
	}
	silent, err := net.Listen("tcp4", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := uplink.Proxy("http://"+silent.Addr().String()).Connect(ctx, far.Addr().String()); err == nil {
		t.Error("a proxy that says nothing has connected")
	}
}

func TestProxy(t *testing.T) {
	r := newRig(t)
	address, ca := tlsRig(t, r)
	p, connects := proxy(t, "")
	me, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{
		URL: address, Code: r.Code(), DataDir: t.TempDir(), CAFile: ca, Proxy: uplink.Proxy(p.URL),
	})
	if err != nil || connects.Load() != 1 {
		t.Fatalf("enrolment through a proxy: %v, %d connections", err, connects.Load())
	}
	a := run(t, me, echo, func(c *uplink.Config) { c.CAFile, c.Proxy = ca, uplink.Proxy(p.URL) })
	line.Get(t, a.opened, "welcome")
	if connects.Load() != 2 {
		t.Fatalf("%d connections through the proxy", connects.Load())
	}
	ack, err := a.SendBatch(t.Context(), wire.Batch{Epoch: "e", Lane: wire.Backlog, Facts: []wire.Fact{{Seq: 1, Kind: wire.KindRun, Body: []byte(`{}`)}}})
	if err != nil || ack.Seq != 1 || connects.Load() != 3 {
		t.Fatalf("a batch through the proxy: %+v, %v", ack, err)
	}
	a.stop()

	locked, _ := proxy(t, "secret")
	_, err = uplink.Enrol(t.Context(), uplink.EnrolConfig{
		URL: address, Code: r.Code(), DataDir: t.TempDir(), CAFile: ca, Proxy: uplink.Proxy(locked.URL),
	})
	if p := wantProblem(t, err, uplink.ProblemProxy); !strings.Contains(p.Text, "407") || !strings.Contains(p.Text, "cloud.proxy") {
		t.Fatalf("a proxy that wants a password: %q", p.Text)
	}
	open, _ := url.Parse(locked.URL)
	open.User = url.UserPassword("me", "secret")
	if _, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{
		URL: address, Code: r.Code(), DataDir: t.TempDir(), CAFile: ca, Proxy: uplink.Proxy(open.String()),
	}); err != nil {
		t.Fatalf("with the password: %v", err)
	}
}

func TestAnotherCloud(t *testing.T) {
	r, other := newRig(t), newRig(t)
	a := run(t, r.over(other.URL), echo)
	line.Until(t, "a refusal", func() bool { return a.Status().Problem != nil })
	if p := wantProblem(t, a.Status().Problem, uplink.ProblemForeign); !strings.Contains(p.Text, "cloud.key") {
		t.Fatalf("problem %q", p.Text)
	}
}

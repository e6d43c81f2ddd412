package pace

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"holdfast/testenv/netcut"
)

// upload sends parts over a line until ctx ends, as clips are sent.
func upload(ctx context.Context, t *testing.T, p *Pace, address string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return p.Conn(Urgent, c), nil
	}}
	defer transport.CloseIdleConnections()
	part := make([]byte, 4<<20)
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(p.Request(ctx, Clips), http.MethodPut, "http://cloud/part", bytes.NewReader(part))
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		_ = resp.Body.Close()
	}
}

// cloud takes parts in behind a line.
func cloud(t *testing.T) *netcut.Proxy {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	line, err := netcut.New("127.0.0.1:0", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- line.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		srv.Close()
	})
	return line
}

// TestTheLineIsMeasured has a site that may use half of a line of which it knows nothing, with parts of clips waiting.
func TestTheLineIsMeasured(t *testing.T) {
	for _, rate := range []int64{1, 4, 20} {
		for _, rtt := range []time.Duration{20 * time.Millisecond, 300 * time.Millisecond} {
			t.Run(fmt.Sprintf("%d Mbit, %v", rate, rtt), func(t *testing.T) {
				t.Parallel()
				line := cloud(t)
				line.Cap(rate * mbit)
				line.Delay(rtt / 2)
				p := New(Plan{Week: Flat(Cap{Share: 0.5})})
				p.RoundTrip(rtt) // as the session's heartbeats tell
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { _ = p.Run(ctx) }()
				done := make(chan struct{})
				go func() { defer close(done); upload(ctx, t, p, line.Addr()) }()
				begun := time.Now()
				for s := p.State(); s.Line.Rate == 0; s = p.State() {
					if time.Since(begun) > 40*time.Second {
						t.Fatalf("after 40 s: %v", s)
					}
					<-time.After(50 * time.Millisecond)
				}
				got := p.State().Line.Rate / float64(rate*mbit)
				t.Logf("measured %s after %v: %+.1f %%", Words(int64(p.State().Line.Rate)), time.Since(begun).Round(time.Second), 100*(got-1))
				if got < 0.85 || got > 1.15 {
					t.Errorf("a line of %d Mbit/s is taken for %s", rate, Words(int64(p.State().Line.Rate)))
				}
				cancel()
				<-done
			})
		}
	}
}

// TestTheLineIsNoFasterThanTheCap has a cap that the line could carry: nothing is known of the line then, and nothing
// is guessed.
func TestTheLineIsNoFasterThanTheCap(t *testing.T) {
	t.Parallel()
	line := cloud(t)
	line.Cap(20 * mbit)
	p := New(capped(4 * mbit))
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
	defer cancel()
	go func() { _ = p.Run(ctx) }()
	upload(ctx, t, p, line.Addr())
	if s := p.State(); s.Line.Rate != 0 || s.Probing {
		t.Errorf("of a line that was never full: %+v", s.Line)
	}
	if up := float64(line.Stats().Up) / 12; up > 4.4*mbit || up < 3.4*mbit {
		t.Errorf("%s went over a line with a cap of 4 Mbit/s", Words(int64(up)))
	}
}

// TestGaugeForgetsWhatBuffersSwallow feeds the gauge writes of a line whose buffers take half a megabyte at once.
func TestGaugeForgetsWhatBuffersSwallow(t *testing.T) {
	var g gauge
	at := time.Now()
	g.wrote(512<<10, at, at.Add(time.Millisecond)) // swallowed
	for range 200 {                                // and from then on 100 kB a second
		g.wrote(10_000, at, at.Add(100*time.Millisecond))
		at = at.Add(100 * time.Millisecond)
	}
	if r := g.line.Rate; r < 99_000 || r > 101_000 {
		t.Errorf("a line of 100,000 bytes a second is taken for %.0f", r)
	}
	g = gauge{}
	for range 200 { // the budget holds the writer up, and now and then the system is slow
		g.wrote(10_000, at, at.Add(5*time.Millisecond))
		at = at.Add(100 * time.Millisecond)
	}
	if g.line.Rate != 0 {
		t.Errorf("from a writer that did not wait for the line came %.0f", g.line.Rate)
	}
	for range 200 {
		g.wrote(10_000, at, at.Add(50*time.Millisecond))
		at = at.Add(5 * time.Second)
	}
	if g.line.Rate != 0 {
		t.Errorf("from single writes came %.0f", g.line.Rate)
	}
}

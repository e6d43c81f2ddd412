package real

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/shared/wire"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/house"
)

// TestAPortalAnswers has a captive portal answer in the cloud's place, with its page and then with the way to its login.
// The window says so; nobody goes there, and nothing that it says is taken for the cloud's word.
func TestAPortalAnswers(t *testing.T) {
	b := open(t, house.Setup{})
	b.ring(3)
	p := &portal{}
	page := httptest.NewServer(p)
	defer page.Close()
	b.detour(strings.TrimPrefix(page.URL, "http://"))
	for _, redirect := range []bool{false, true} {
		p.redirect.Store(redirect)
		asked := p.asked.Load()
		b.ringUntil(40*time.Second, "the portal is asked", func(context.Context) (bool, error) {
			return p.asked.Load() > asked, b.site.Agent.Alive()
		})
		b.says("a web page answers in the place of", "sign in to this network's portal")
	}
	b.records()
	b.detour(b.house.Addr())
	b.back()
	if n := p.followed.Load(); n > 0 {
		t.Errorf("the agent went to the login page %d times", n)
	}
	b.settled(30 * time.Second)
}

// detour has the line lead elsewhere.
func (b *branch) detour(to string) {
	b.Helper()
	b.site.Line.Aim(to)
	b.site.Line.Drop()
}

// portal is a captive portal.
type portal struct {
	redirect        atomic.Bool
	asked, followed atomic.Int64
}

// ServeHTTP answers as portals do.
func (p *portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/login") {
		p.followed.Add(1)
	}
	p.asked.Add(1)
	if p.redirect.Load() {
		http.Redirect(w, r, "/login?from="+url.QueryEscape(r.URL.Path), http.StatusFound)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!DOCTYPE html><title>Guest Wi-Fi</title><form action=/login>Sign in</form>") // who went is gone
}

// TestAnswersToBatchesAreFalse has the session go on while something between answers the batches in the cloud's place:
// with a page, with a redirect, and with the very ack that the agent waits for, which nobody has signed.
func TestAnswersToBatchesAreFalse(t *testing.T) {
	b := open(t, house.Setup{})
	far, err := url.Parse(b.house.URL)
	if err != nil {
		t.Fatal(err)
	}
	between := &liar{proxy: httputil.NewSingleHostReverseProxy(far)}
	server := httptest.NewServer(between)
	defer server.Close()
	b.detour(strings.TrimPrefix(server.URL, "http://"))
	b.ringUntil(60*time.Second, "all three lies are told twice", func(context.Context) (bool, error) {
		return between.lies.Load() >= 6, b.site.Agent.Alive()
	})
	if got, err := b.told(t.Context()); err != nil || len(got) >= len(b.rung) {
		t.Errorf("the cloud has %d of %d events, %v: that tests nothing", len(got), len(b.rung), err)
	}
	b.records()
	b.detour(far.Host)
	b.settled(60 * time.Second)
}

// liar is an HTTP hop that answers batches itself.
type liar struct {
	proxy *httputil.ReverseProxy
	lies  atomic.Int64
}

// ServeHTTP answers in the cloud's place, or passes on.
func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != wire.PathBatch {
		l.proxy.ServeHTTP(w, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	switch l.lies.Add(1) % 3 {
	case 0:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>Sign in</html>") // the agent asks again
	case 1:
		http.Redirect(w, r, "/login", http.StatusFound)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"queue":%d,"seq":%d}`, l.lies.Load()%2, 1_000_000) // the agent asks again
	}
}

// TestAProxyReadsAlong has a proxy that ends TLS and shows a certificate of its own. It is refused and named, and not a
// byte of a request reaches it.
func TestAProxyReadsAlong(t *testing.T) {
	b := open(t, house.Setup{TLS: true})
	b.ring(3)
	b.inOrder(20 * time.Second)
	var asked atomic.Int64
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	proxy.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs each handshake that is refused
	ca, err := fakecam.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(time.Now().Add(time.Hour), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	proxy.StartTLS()
	defer proxy.Close()
	b.detour(strings.TrimPrefix(proxy.URL, "https://"))
	b.ring(20)
	b.says("was issued by", "Site CA", "which this machine does not trust", "if your network inspects TLS", "cloud.ca_file")
	b.during(2 * time.Second)
	// The portal of a network that takes HTTP for TLS.
	page := httptest.NewServer(&portal{})
	defer page.Close()
	b.detour(strings.TrimPrefix(page.URL, "http://"))
	b.says("does not speak TLS: a portal or a wrong port answers")
	b.records()
	if n := asked.Load(); n > 0 {
		t.Errorf("%d requests reached the proxy", n)
	}
	b.detour(b.house.Addr())
	b.back()
	b.settled(30 * time.Second)
}

package fakecam_test

import (
	"bufio"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"testing"

	"github.com/bluenviron/gortsplib/v4/pkg/base"

	"holdfast/testenv/fakecam"
)

// rawClient speaks RTSP by hand, to do what a library would not.
type rawClient struct {
	net.Conn
	in      *bufio.Reader
	seq     int
	session string
}

func rawDial(t *testing.T, c *fakecam.Camera) *rawClient {
	t.Helper()
	u, err := base.ParseURL(c.URL("main"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &rawClient{Conn: conn, in: bufio.NewReader(conn)}
}

// ask sends a request and returns the status and headers of the answer, passing frames in between by.
func (r *rawClient) ask(t *testing.T, method, url string, headers ...string) (int, textproto.MIMEHeader) {
	t.Helper()
	r.seq++
	lines := append([]string{fmt.Sprintf("%s %s RTSP/1.0", method, url), fmt.Sprintf("CSeq: %d", r.seq)}, headers...)
	if r.session != "" {
		lines = append(lines, "Session: "+r.session)
	}
	if _, err := fmt.Fprintf(r, "%s\r\n\r\n", strings.Join(lines, "\r\n")); err != nil {
		t.Fatal(err)
	}
	for {
		b, err := r.in.Peek(4)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		if b[0] != '$' {
			break
		}
		if _, err := r.in.Discard(4 + int(b[2])<<8 + int(b[3])); err != nil {
			t.Fatal(err)
		}
	}
	text := textproto.NewReader(r.in)
	line, err := text.ReadLine()
	if err != nil {
		t.Fatal(err)
	}
	status, err := strconv.Atoi(strings.Fields(line)[1])
	if err != nil {
		t.Fatalf("%s: answer %q", method, line)
	}
	h, err := text.ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := strconv.Atoi(h.Get("Content-Length")); n > 0 {
		if _, err := r.in.Discard(n); err != nil {
			t.Fatal(err)
		}
	}
	if s := h.Get("Session"); s != "" {
		r.session, _, _ = strings.Cut(s, ";")
	}
	return status, h
}

// rawPlay begins a session over TCP and then never says a word.
func rawPlay(t *testing.T, c *fakecam.Camera) *rawClient {
	t.Helper()
	r := rawDial(t, c)
	url := c.URL("main")
	status, h := r.ask(t, "SETUP", url+"/trackID=0", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
	if status != 200 || !strings.Contains(h.Get("Session"), ";timeout=") {
		t.Fatalf("SETUP: %d, session %q", status, h.Get("Session"))
	}
	if status, _ := r.ask(t, "PLAY", url); status != 200 {
		t.Fatalf("PLAY: %d", status)
	}
	return r
}

func TestKeepalive(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	r := rawPlay(t, cam)
	if status, _ := r.ask(t, "GET_PARAMETER", cam.URL("main")); status != 200 {
		t.Errorf("GET_PARAMETER: %d", status)
	}
	status, h := r.ask(t, "OPTIONS", cam.URL("main"))
	if status != 200 || !strings.Contains(h.Get("Public"), "GET_PARAMETER") {
		t.Errorf("OPTIONS: %d, %q", status, h.Get("Public"))
	}
	turn(t, cam, func(k *fakecam.Knobs) { k.AliveStatus = 401 })
	if status, _ := r.ask(t, "GET_PARAMETER", cam.URL("main")); status != 401 {
		t.Errorf("GET_PARAMETER with alive_status 401: %d", status)
	}
	if status, _ := r.ask(t, "TEARDOWN", cam.URL("main")); status != 200 {
		t.Errorf("TEARDOWN: %d", status)
	}
}

func TestStaleNonce(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{User: "viewer", Password: "x"})
	r := rawDial(t, cam)
	nonce := func() string {
		status, h := r.ask(t, "DESCRIBE", cam.URL("main"))
		if status != 401 {
			t.Fatalf("DESCRIBE without login: %d", status)
		}
		return strings.Join(h.Values("WWW-Authenticate"), " ")
	}
	first, second := nonce(), nonce()
	if first != second {
		t.Fatalf("the nonce changed by itself: %q, %q", first, second)
	}
	if err := cam.ExpireNonce(); err != nil {
		t.Fatal(err)
	}
	if third := nonce(); third == first {
		t.Fatalf("the nonce is still %q", third)
	}
}

package fakecam_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/testenv/fakecam"
)

func TestTLS(t *testing.T) {
	ca, err := fakecam.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(time.Now().Add(time.Hour), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cam := one(t, fakecam.CameraConfig{TLS: cert})
	if !strings.HasPrefix(cam.URL("main"), "rtsps://") {
		t.Fatalf("the address is %s", cam.URL("main"))
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.PEM)
	c, err := tls.Dial("tcp", strings.Split(cam.URL("main"), "/")[2], &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	sum := sha256.Sum256(c.ConnectionState().PeerCertificates[0].Raw)
	if hex.EncodeToString(sum[:]) != fakecam.Fingerprint(cert) {
		t.Error("it shows another certificate")
	}
	if _, err := fmt.Fprintf(c, "OPTIONS %s RTSP/1.0\r\nCSeq: 1\r\n\r\n", cam.URL("main")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 12)
	if _, err := c.Read(b); err != nil || string(b) != "RTSP/1.0 200" {
		t.Errorf("it answers %q, %v", b, err)
	}
}

func TestKeepaliveWithAMindOfItsOwn(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	r := rawPlay(t, cam)
	url := cam.URL("main")
	turn(t, cam, func(k *fakecam.Knobs) { k.AliveMethod, k.AliveStatus, k.HideGetParameter = "OPTIONS", 400, true })
	if status, _ := r.ask(t, "GET_PARAMETER", url); status != 400 {
		t.Errorf("GET_PARAMETER: %d", status)
	}
	status, h := r.ask(t, "OPTIONS", url)
	if status != 200 || strings.Contains(h.Get("Public"), "GET_PARAMETER") {
		t.Errorf("OPTIONS: %d, %q", status, h.Get("Public"))
	}
	turn(t, cam, func(k *fakecam.Knobs) { k.AliveMute = true })
	if _, err := fmt.Fprintf(r, "OPTIONS %s RTSP/1.0\r\nCSeq: 77\r\nSession: %s\r\n\r\n", url, r.session); err != nil {
		t.Fatal(err)
	}
	turnedAt := cam.Main().Sent()
	turn(t, cam, func(k *fakecam.Knobs) { k.AliveMute = true })
	poll(t, "frames without an answer among them", func() bool { return cam.Main().Sent() > turnedAt+10 })
}

func TestASessionWithoutConnectionIsTornDown(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	turn(t, cam, func(k *fakecam.Knobs) { k.MaxSessions, k.HoldSlotMs = 1, 3600_000 })
	r := rawPlay(t, cam)
	_ = r.Close()
	poll(t, "the session to be lost", func() bool { return cam.Tally().Lost == 1 })
	refused(t, cam.URL("main"), 453)
	again := rawDial(t, cam)
	again.session = r.session
	if status, _ := again.ask(t, "TEARDOWN", cam.URL("main")); status != 200 {
		t.Errorf("TEARDOWN: %d", status)
	}
	rawPlay(t, cam)
	if tally := cam.Tally(); tally.Refused != 1 || tally.Setups != 3 {
		t.Errorf("%+v", tally)
	}
}

func TestBloat(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{})
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 30) // as many key frames in them as in those below
	plain := v.got()
	turn(t, cam, func(k *fakecam.Knobs) { k.Bloat = 50 })
	first := cam.Main().Sent()
	v.until(t, "large frames", func() bool { return v.frames[len(v.frames)-1].Frame > first+32 })
	turn(t, cam, func(k *fakecam.Knobs) { k.Bloat = 0 })
	size := func(from, to uint64) (n int) {
		for _, e := range cam.Main().Log(from, to) {
			n += e.Bytes
		}
		return n / int(to-from+1)
	}
	small, large := size(plain[0].Frame, plain[29].Frame), size(first+2, first+31)
	if large < 20*small {
		t.Errorf("frames of %d bytes became %d", small, large)
	}
	whole(t, v.got())
}

func TestHostileDevicesAreHostile(t *testing.T) {
	t.Parallel()
	for _, kind := range []fakecam.Malice{
		fakecam.Drip, fakecam.HugeLength, fakecam.EndlessSDP, fakecam.ManyTracks, fakecam.EndlessHeader, fakecam.Answers, fakecam.Questions,
		fakecam.Garbage, fakecam.Redirect, fakecam.Frames, fakecam.Tiny,
	} {
		h := fakecam.ServeHostile(t, kind)
		c, err := net.Dial("tcp", strings.Split(h.URL("rtsp"), "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		for i, method := range []string{"DESCRIBE", "SETUP", "PLAY"} {
			_, _ = fmt.Fprintf(c, "%s %s RTSP/1.0\r\nCSeq: %d\r\n\r\n", method, h.URL("rtsp"), i+1) // it may have hung up
		}
		want := int64(64)
		if kind == fakecam.Drip {
			want = 2
		}
		go func() {
			b := make([]byte, 1<<20)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
			}
		}()
		poll(t, string(kind)+" to say something", func() bool { return h.Sent() >= want })
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		poll(t, string(kind)+" to notice the end", func() bool { return h.Open() == 0 })
		if h.Connects() != 1 {
			t.Errorf("%s counts %d connections", kind, h.Connects())
		}
	}
}

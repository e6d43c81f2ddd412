package camera

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
)

func TestTidy(t *testing.T) {
	t.Parallel()
	const odd = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n" +
		"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/16000\r\na=fmtp:97 streamtype=5; mode=AAC-hbr; config=zz\r\n"
	if string(repairSDP([]byte(odd))) == odd {
		t.Fatal("the description needs no repair")
	}
	for kind, want := range map[string]bool{
		"application/sdp": true, "application/sdp; charset=utf-8": true, "Application/SDP;": true, "text/parameters": false, "application/sdpx": false, "": false,
	} {
		res := &base.Response{Header: base.Header{"Content-Type": {kind}}, Body: []byte(odd)}
		if id, life := tidy(res); id != "" || life != 0 {
			t.Errorf("without a session it names %q, %v", id, life)
		}
		if repaired := string(res.Body) != odd; repaired != want {
			t.Errorf("what is called %q is repaired: %v, want %v", kind, repaired, want)
		}
	}
	res := &base.Response{Header: base.Header{"Session": {"17;timeout=40"}}}
	if id, life := tidy(res); id != "17" || life != 40*time.Second || !strings.HasSuffix(res.Header["Session"][0], "timeout=20") {
		t.Errorf("session %q, life %v, the library is told %q", id, life, res.Header["Session"])
	}
}

// TestADeviceWithoutEndOfQuestions loses its line.
func TestADeviceWithoutEndOfQuestions(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer func() { _ = errors.Join(near.Close(), far.Close()) }()
	l := newLine(near, time.Second, true)
	var q questions
	for range maxQuestions {
		q.asked(l)
	}
	if l.cause() != nil {
		t.Fatal("a device may ask now and then")
	}
	if q.asked(l); !errors.Is(l.cause(), errEndless) {
		t.Errorf("it goes on: %v", l.cause())
	}
	q.asked(nil) // before there is a line
}

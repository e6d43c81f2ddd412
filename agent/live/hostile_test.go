package live

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

func TestHostileOffers(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{Path: 3 * time.Second})
	good := newViewer(t, webrtc.Configuration{}, false).offer()
	cut := func(at string) string { return good[:strings.Index(good, at)] }
	for name, sdp := range map[string]string{
		"nothing":       "",
		"no SDP":        "hello\x00\xff",
		"only a head":   cut("m=video"),
		"no ICE":        strings.ReplaceAll(good, "a=ice-ufrag", "a=ice-nothing"),
		"no key":        strings.ReplaceAll(good, "a=fingerprint", "a=finger"),
		"a wrong key":   strings.ReplaceAll(good, "a=fingerprint:sha-256 ", "a=fingerprint:sha-256 zz"),
		"no video":      cut("m=video") + good[strings.Index(good, "m=audio"):],
		"only VP8":      "v=0" + strings.ReplaceAll(strings.ReplaceAll(good[3:], "H264", "VP8"), "H265", "VP8"),
		"it will send":  strings.ReplaceAll(good, "a=recvonly", "a=sendonly"),
		"odd candidate": strings.ReplaceAll(good, "a=candidate:", "a=candidate:x y z "),
		"a thousand m":  good + strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 102\r\n", 1000),
		"cut short":     good[:len(good)-40],
		"wild numbers":  strings.ReplaceAll(good, "m=video 9", "m=video 99999999999999999999"),
	} {
		offer := s.wish().LiveOffer
		offer.Session, offer.SDP = id.New[id.Session](), sdp
		_, err := s.room.Offer(t.Context(), offer)
		var f *wire.Failure
		if err != nil && (!errors.As(err, &f) || f.Text == "") {
			t.Errorf("%s: %v, want words", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
	eventually.True(t, "all of them to end", func() bool { return len(s.room.Open()) == 0 })
	watch(t, s.room, s.wish()).seen(3)
}

func TestHostileWords(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	v.seen(3)
	for _, text := range []string{
		"", "{", "null", "[]", `"seek"`, `{"type":"fly"}`, `{"type":"seek"}`, `{"type":"seek","at_us":-5}`, `{"type":"seek","at_us":1e400}`,
		`{"type":"rate","rate":0}`, `{"type":"rate","rate":-1}`, `{"type":"rate","rate":1e300}`, `{"type":"seek","at_us":9223372036854775807}`,
		`{"type":"step"}`, `{"type":"step","count":1}`, `{"type":"step","count":-101}`, `{"type":"step","count":1e30}`, `{"type":"scrub","at_us":-1}`,
		`{"type":"pause","x":"` + strings.Repeat("y", 5000) + `"}`, "\xff\xfe",
	} {
		v.order(text)
	}
	if err := v.control.Send([]byte{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		v.order(rtc.Op{Type: "pause"})
	}
	for _, label := range []string{"other", "control"} {
		if _, err := v.pc.CreateDataChannel(label, nil); err != nil {
			t.Fatal(err)
		}
	}
	assertWhole(t, v.seen(len(v.next(10))))
}

package camera

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"

	"holdfast/shared/wire"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestSourceHidesItsPassword(t *testing.T) {
	for _, args := range [][3]string{
		{"rtsp://admin:geheim%40@10.0.0.5:554/cam?channel=1", "", ""},
		{"rtsp://10.0.0.5/cam", "admin", "geheim@"},
		{"rtsp://other:thing@10.0.0.5/cam", "admin", "geheim@"},
	} {
		s, err := NewSource(args[0], args[1], args[2], "")
		if err != nil {
			t.Fatal(err)
		}
		if pass, _ := s.url().User.Password(); pass != "geheim@" || s.url().User.Username() != "admin" {
			t.Errorf("credentials are %q", s.url().User)
		}
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "source", s, "in", []Source{s})
		shown := fmt.Sprintf("%v %+v %#v %s %q %v", s, s, s, s, s, []Source{s}) + log.String()
		if strings.Contains(shown, "geheim") || strings.Contains(shown, "thing") {
			t.Errorf("the password shows in %s", shown)
		}
		if !strings.Contains(shown, "10.0.0.5") {
			t.Errorf("the address does not show in %s", shown)
		}
	}
}

func TestSourceRefusesWhatIsNoAddress(t *testing.T) {
	for _, bad := range []string{
		"", "http://10.0.0.1/x", "rtsp://", "rtsp:///path", "rtsp://h/a\r\nX: y", "rtsp://h/a%0d%0aX:%20y", "rtsp://h/?a=%0a",
		"rtsp://u:p%0d@h/", "rtsp://h/#x", "rtsp://user:secret@h:port/", "-i rtsp://h/", "rtsp:h",
	} {
		if _, err := NewSource(bad, "", "", ""); err == nil {
			t.Errorf("%q was accepted", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	if _, err := NewSource("rtsp://h/", "u", "p\n", ""); err == nil {
		t.Error("a password with a line break was accepted")
	}
	if _, err := NewSource("rtsp://h/", "", "", "multicast"); err == nil {
		t.Error("an unknown transport was accepted")
	}
}

func TestDialStaysInsideTheNetworks(t *testing.T) {
	d := dialer{host: "x", networks: prefixes("0.0.0.0/0", "::/0")}
	for _, bad := range []string{"169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "::ffff:169.254.169.254", "ff02::1"} {
		if d.allowed(netip.MustParseAddr(bad)) {
			t.Errorf("%s is allowed", bad)
		}
	}
	d = dialer{host: "x", networks: prefixes("192.168.1.0/24", "127.0.0.0/8", "fd00::/8")}
	for addr, want := range map[string]bool{
		"192.168.1.7": true, "192.168.2.7": false, "127.0.0.1": true, "::ffff:192.168.1.7": true, "fd00::7": true, "10.0.0.1": false, "::1": false,
	} {
		if got := d.allowed(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: allowed %v, want %v", addr, got, want)
		}
	}
	if _, err := d.dial(t.Context(), "tcp", "elsewhere:554"); !errors.Is(err, errForbidden) {
		t.Errorf("a redirect to another host gives %v", err)
	}
	d.host = "169.254.169.254"
	if _, err := d.dial(t.Context(), "tcp", "169.254.169.254:80"); !errors.Is(err, errForbidden) {
		t.Errorf("the metadata address gives %v", err)
	}
}

func TestARefusedAccountIsTriedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccounts()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began := time.Now()
		var mu sync.Mutex
		var tries []time.Duration
		told := 0
		for range 16 {
			go func() {
				for {
					y, err := a.await(ctx, "u@h", unheard, func(f failure) {
						mu.Lock()
						defer mu.Unlock()
						if told++; f.text != "refused" {
							t.Errorf("a stream that waits is told %+v", f)
						}
					})
					if err != nil {
						return
					}
					<-time.After(100 * time.Millisecond) // it takes a moment to be refused
					mu.Lock()
					tries = append(tries, time.Since(began))
					mu.Unlock()
					y.fail(failure{reason: wire.AuthFailed, text: "refused"})
				}
			}()
		}
		<-time.After(10 * time.Minute)
		cancel()
		synctest.Wait()
		for i := 1; i < len(tries); i++ {
			if tries[i]-tries[i-1] < lockout {
				t.Errorf("tries at %v and %v", tries[i-1], tries[i])
			}
		}
		if len(tries) < 9 || len(tries) > 10 || told < 15 {
			t.Errorf("%d tries in ten minutes, those who waited were told %d times", len(tries), told)
		}
	})
}

func TestErrorsHaveReasonsAndWords(t *testing.T) {
	s, err := NewSource("rtsp://10.0.0.5/x", "u", "geheim", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err   error
		want  wire.Reason
		words string
	}{
		{&net.DNSError{Name: "cam", Err: "no such host"}, wire.Unreachable, "not known"},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), wire.Unreachable, "refuses the connection"},
		{fmt.Errorf("dial: %w", syscall.EHOSTUNREACH), wire.Unreachable, "cable"},
		{fmt.Errorf("dial: %w", context.DeadlineExceeded), wire.Unreachable, "does not answer"},
		{io.EOF, wire.Unreachable, "closed the connection"},
		{&tls.CertificateVerificationError{Err: errors.New("unknown authority")}, wire.AuthFailed, "certificate"},
		{fmt.Errorf("x: %w", &pinError{}), wire.AuthFailed, "00:00"},
		{tls.RecordHeaderError{}, wire.Unreachable, "rtsp://"},
		{tls.AlertError(70), wire.Unreachable, "TLS 1.2"},
		{errEndless, wire.DecodeError, "no end"},
		{errFlood, wire.DecodeError, "bitrate"},
		{errCircles, wire.Unreachable, "without end"},
		{errSilent, wire.Stalled, "restart"},
		{errForgotten, wire.Stalled, "another"},
		{errEvicted, wire.SessionLimit, "main stream"},
		{errNoSRTP, wire.Unreachable, "transport: tcp"},
		{errLate, wire.Unreachable, "in time"},
		{errDowngrade, wire.AuthFailed, "in the clear"},
		{fmt.Errorf("x: %w", errNoVideo), wire.DecodeError, "H.265"},
		{fmt.Errorf("%w: 5 packets", errGarbled), wire.DecodeError, "can't be read"},
		{errNoKey, wire.NoKeyFrame, "interval"},
		{errStalled, wire.Stalled, "restart the camera"},
		{liberrors.ErrClientTCPTimeout{}, wire.Stalled, "restart the camera"},
		{liberrors.ErrClientSDPInvalid{Err: errors.New("odd")}, wire.DecodeError, "odd"},
		{errors.New("line one\nline two " + strings.Repeat("x", 1000)), wire.Unreachable, "line one line two"},
	} {
		f := classify(c.err, s, false)
		if f.reason != c.want || !strings.Contains(f.text, c.words) || strings.Contains(f.text, "geheim") || strings.ContainsAny(f.text, "\r\n") || len(f.text) > 400 {
			t.Errorf("%v: %s, %q", c.err, f.reason, f.text)
		}
		if !slices.Contains(wire.Reasons(), f.reason) {
			t.Errorf("%v: reason %q is not in the closed list", c.err, f.reason)
		}
	}
}

// feed runs RTP timestamps with their arrivals through a timeline.
func feed(t *timeline, raws []uint32, stepUs int64) (out []int64, jumps int) {
	for i, raw := range raws {
		media, jump := t.place(raw, int64(i)*stepUs)
		out = append(out, media)
		if jump {
			jumps++
		}
	}
	return out, jumps
}

func TestTimelineWraps(t *testing.T) {
	start := uint32(1<<32 - 7000)
	tl := timeline{rate: 90000}
	var raws []uint32
	for i := range uint32(10) {
		raws = append(raws, start+i*3600)
	}
	out, _ := feed(&tl, raws, 40_000)
	for i, m := range out {
		if m != int64(i)*3600 {
			t.Fatalf("media times %v", out)
		}
	}
}

func TestTimelineKeepsPausesAndStalls(t *testing.T) {
	tl := timeline{rate: 90000}
	tl.place(0, 0)
	tl.place(3600, 40_000)
	// The camera pauses for a minute: both clocks move.
	if m, jump := tl.place(3600+60*90000, 60_040_000); m != 3600+60*90000 || jump {
		t.Errorf("after a pause: %d, %v", m, jump)
	}
	// The network stalls for eight seconds: only the arrival moves.
	if m, jump := tl.place(7200+60*90000, 68_040_000); m != 7200+60*90000 || jump {
		t.Errorf("after a stall: %d, %v", m, jump)
	}
}

func TestTimelineOfStrays(t *testing.T) {
	tl := timeline{rate: 90000}
	raws := []uint32{0, 3600, 7200, 882_007_200, 14400, 18000, 4_000_000_000, 3_999_000_000, 28800}
	out, jumps := feed(&tl, raws, 40_000)
	want := []int64{0, 3600, 7200, 10800, 14400, 18000, 21600, 21600, 28800}
	for i := range want {
		if d := abs(out[i] - want[i]); d > 400 && i != 7 {
			t.Errorf("frame %d is placed at %d, want %d", i, out[i], want[i])
		}
	}
	if jumps != 0 {
		t.Errorf("%d jumps", jumps)
	}
	// The third frame in a row that agrees is believed.
	tl = timeline{rate: 90000}
	raws = []uint32{0, 3600, 7200, 900_000_000, 900_003_600, 900_007_200, 900_010_800}
	out, jumps = feed(&tl, raws, 40_000)
	if jumps != 1 || out[6]-out[5] != 3600 || out[5] < out[4] {
		t.Errorf("%d jumps, media times %v", jumps, out)
	}
}

func TestPaceFollowsACameraWhoseClockDrifts(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	p := pace{rate: 90000}
	p.begin(0, 0)
	last := int64(0)
	// The camera's second lasts 1.0002 s; frames arrive up to 60 ms late.
	for i := int64(1); i < 25*3600; i++ {
		captured := i * 40_008
		us := p.at(i*3600, captured+chance.Int64N(60_000))
		if us <= last {
			t.Fatalf("frame %d runs backwards", i)
		}
		if step := us - last; step < 39_980 || step > 40_020 {
			t.Fatalf("frame %d: a step of %d µs is more than 500 ppm off", i, step)
		}
		if off := us - captured; off < -60_000 || off > 90_000 {
			t.Fatalf("frame %d is estimated %d ms off", i, off/1000)
		}
		last = us
	}
}

func TestPaceOfAClockThatLies(t *testing.T) {
	// 1.42 times too fast, and too slow by as much.
	for _, ticks := range []int64{3600 * 142 / 100, 3600 * 100 / 142} {
		p := pace{rate: 90000}
		p.begin(0, 0)
		last := int64(0)
		for i := int64(1); i < 25*600; i++ {
			us := p.at(i*ticks, i*40_000)
			if us <= last {
				t.Fatalf("frame %d runs backwards", i)
			}
			last = us
			if off := abs(us - i*40_000); i > 25*60 && off > 6_000_000 {
				t.Fatalf("%d ticks a frame: after %d s the estimate is %d ms off", ticks, i/25, off/1000)
			}
		}
	}
}

func TestPaceSurvivesAStallOfTheNetwork(t *testing.T) {
	p := pace{rate: 90000}
	p.begin(0, 0)
	for i := int64(1); i < 1000; i++ {
		arrival := i * 40_000
		if i >= 500 && i < 700 {
			arrival = 700 * 40_000 // eight seconds of video in one burst
		}
		if us := p.at(i*3600, arrival); abs(us-i*40_000) > 50_000 {
			t.Fatalf("frame %d is estimated %d ms off", i, (us-i*40_000)/1000)
		}
	}
}

func TestRepairSDP(t *testing.T) {
	head := "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4\r\nt=0 0\r\n"
	video := "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"
	sound := "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/16000\r\na=fmtp:97 streamtype=5; mode=AAC-hbr; config=zz\r\n"
	if readable([]byte(head+video+sound)) == nil {
		t.Fatal("the description is sound already: this test tests nothing")
	}
	got := string(repairSDP([]byte(head + video + sound)))
	if err := readable([]byte(got)); err != nil {
		t.Fatalf("still unreadable: %v\n%s", err, got)
	}
	if !strings.Contains(got, "H264") || strings.Contains(got, "mpeg4") {
		t.Errorf("what is left is %q", got)
	}
	whole := strings.Replace(head, "c=IN IP4\r\n", "", 1) + video
	if got := string(repairSDP([]byte(whole))); got != whole {
		t.Errorf("a sound description was changed to %q", got)
	}
}

func FuzzRepairSDP(f *testing.F) {
	f.Add([]byte("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if out := repairSDP(text); len(out) > len(text) {
			t.Errorf("%d bytes became %d", len(text), len(out))
		}
	})
}

func TestMeter(t *testing.T) {
	var m meter
	for second := range 20 {
		for range 25 {
			m.add(true, 1000)
		}
		m.add(false, 500)
		fps, kbps := m.tick()
		if fps != 25 || kbps != 204 {
			t.Fatalf("second %d: %v frames, %v kbit a second", second, fps, kbps)
		}
	}
	for range 5 {
		m.tick()
	}
	if fps, kbps := m.tick(); fps != 0 || kbps != 0 {
		t.Errorf("after silence: %v, %v", fps, kbps)
	}
}

package camera

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// authority makes a certificate authority and the pool that trusts it.
func authority(t *testing.T) (*fakecam.CA, *x509.CertPool) {
	t.Helper()
	ca, err := fakecam.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.PEM)
	return ca, pool
}

func issue(t *testing.T, ca *fakecam.CA, until time.Duration, hosts ...string) *tls.Certificate {
	t.Helper()
	c, err := ca.Issue(time.Now().Add(until), hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func selfSigned(t *testing.T) *tls.Certificate {
	t.Helper()
	c, err := fakecam.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRTSPS(t *testing.T) {
	t.Parallel()
	ca, pool := authority(t)
	own := selfSigned(t)
	for name, c := range map[string]struct {
		cert *tls.Certificate
		pin  string
	}{
		"by an authority":   {issue(t, ca, time.Hour, "127.0.0.1"), ""},
		"by a pin":          {own, fakecam.Fingerprint(own)},
		"by a pin, expired": {issue(t, ca, -time.Hour, "elsewhere"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.HasSuffix(name, "expired") {
				c.pin = fakecam.Fingerprint(c.cert)
			}
			r := newRig(t, options{
				camera: fakecam.CameraConfig{TLS: c.cert, User: "viewer", Password: "secret"}, user: "viewer", pass: "secret", pin: c.pin,
				adjust: func(cfg *Config) { cfg.CAs = pool },
			})
			v := r.watch(id.Main)
			assertOrder(t, v.frames(45))
			r.stop()
			eventually.True(t, "the session to be torn down", func() bool {
				return r.cam.Sessions() == 0 && r.cam.Tally().Teardowns == 1 && r.cam.Tally().Lost == 0
			})
		})
	}
}

func TestCertificateFaultsAreSaidInWords(t *testing.T) {
	t.Parallel()
	ca, pool := authority(t)
	own, other := selfSigned(t), selfSigned(t)
	for name, c := range map[string]struct {
		cert   *tls.Certificate // nil: no TLS at all
		pin    string
		reason wire.Reason
		words  []string
	}{
		"of nobody known": {own, "", wire.AuthFailed, []string{"does not trust", "camera_ca_file", "fingerprint: ", pretty(own)}},
		"of another name": {issue(t, ca, time.Hour, "till-2.example"), "", wire.AuthFailed, []string{"till-2.example", "another name"}},
		"expired":         {issue(t, ca, -24*time.Hour, "127.0.0.1"), "", wire.AuthFailed, []string{"valid from", "clock of this machine"}},
		"of another pin":  {own, fakecam.Fingerprint(other), wire.AuthFailed, []string{"another certificate", "posing", pretty(own)}},
		"not there":       {nil, "", wire.Unreachable, []string{"does not speak TLS", "rtsp://"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{
				camera: fakecam.CameraConfig{TLS: c.cert, User: "viewer", Password: "secret"}, user: "viewer", pass: "secret", pin: c.pin, secure: true,
				adjust: func(cfg *Config) { cfg.CAs = pool },
			})
			text := r.watch(id.Main).broken(c.reason)
			for _, w := range c.words {
				if !strings.Contains(text, w) {
					t.Errorf("%q is not in: %s", w, text)
				}
			}
			if n := r.cam.Tally(); n.Describes > 0 {
				t.Error("the camera was asked although its certificate is not trusted")
			}
		})
	}
}

func pretty(c *tls.Certificate) string {
	plain := strings.ToUpper(fakecam.Fingerprint(c))
	var parts []string
	for i := 0; i < len(plain); i += 2 {
		parts = append(parts, plain[i:i+2])
	}
	return strings.Join(parts, ":")
}

func TestPin(t *testing.T) {
	secure, err := NewSource("rtsps://10.0.0.5/x", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := NewSource("rtsp://10.0.0.5/x", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	sum := pretty(selfSigned(t))
	for _, good := range []string{sum, strings.ToLower(sum), strings.ReplaceAll(sum, ":", ""), strings.ReplaceAll(sum, ":", " ")} {
		if s, err := secure.Pin(good); err != nil || len(s.pin) != 32 {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "AB", sum + ":00", strings.Replace(sum, sum[:1], "x", 1)} {
		if _, err := secure.Pin(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if _, err := plain.Pin(sum); err == nil || !strings.Contains(err.Error(), "rtsps://") {
		t.Errorf("a pin without TLS gives %v", err)
	}
}

// TestASilentTLSHandshakeHoldsNobodyUp: the room ends at once although the device never finishes its handshake.
func TestASilentTLSHandshakeHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	h := fakecam.ServeHostile(t, fakecam.Mute)
	r := newRig(t, options{address: h.URL("rtsps")})
	v := r.watch(id.Main)
	eventually.True(t, "a connection", func() bool { return h.Open() == 1 })
	began := time.Now()
	r.stop()
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %v to end", d)
	}
	_ = v
	if errors.Is(r.err, errStalled) {
		t.Error(r.err)
	}
}

package camera

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast/shared/wire"
)

// pinError says that a device showed another certificate than the one that is pinned.
type pinError struct{ shown [sha256.Size]byte }

// Error implements error.
func (e *pinError) Error() string { return "the certificate has the fingerprint " + colons(e.shown) }

// secure returns what the TLS library is to check of the device's certificate. cas are the authorities that the
// site trusts; nil means the system's.
func (s Source) secure(cas *x509.CertPool) *tls.Config {
	c := &tls.Config{RootCAs: cas, MinVersion: tls.VersionTLS12}
	if s.pin == "" {
		return c
	}
	// The pin takes the place of the authorities: the certificate must be this very one.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(state tls.ConnectionState) error {
		shown := sha256.Sum256(state.PeerCertificates[0].Raw)
		if string(shown[:]) != s.pin {
			return &pinError{shown}
		}
		return nil
	}
	return c
}

func colons(sum [sha256.Size]byte) string {
	var b strings.Builder
	for i, v := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", v)
	}
	return b.String()
}

// errNoTLS says that a device never finished the TLS handshake.
var errNoTLS = errors.New("no TLS handshake")

// classifyTLS says in words what is wrong with a device's certificate or its TLS; ok is false when nothing is.
func classifyTLS(err error, host string) (f failure, ok bool) {
	var pin *pinError
	var cert *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &pin):
		return failure{wire.AuthFailed, fmt.Sprintf("%s shows another certificate than the one whose fingerprint is in holdfast.yaml. If the device was reset or got a new "+
			"certificate, compare this fingerprint with the one on its own page and write it there: %s. If not, something between may be posing as it.",
			host, colons(pin.shown)), trustWait}, true
	case errors.As(err, &cert):
		return failure{wire.AuthFailed, certInWords(cert, host), trustWait}, true
	case errors.As(err, &plain), errors.Is(err, errNoTLS):
		return failure{wire.Unreachable, host + " does not speak TLS on this port, or does not finish its handshake. Write rtsp:// instead of rtsps://, or the port of its RTSPS service (often 322).", trustWait}, true
	case errors.As(err, &alert):
		return failure{wire.Unreachable, fmt.Sprintf("%s refuses the encrypted connection (%s). Update its software, so that it knows TLS 1.2.", host, brief(alert.Error())), trustWait}, true
	}
	return failure{}, false
}

// trustWait is the time between two tries while a device's certificate is not trusted.
const trustWait = 20 * time.Second

func certInWords(err *tls.CertificateVerificationError, host string) string {
	pin := ""
	if len(err.UnverifiedCertificates) > 0 {
		sum := sha256.Sum256(err.UnverifiedCertificates[0].Raw)
		pin = " Otherwise compare this fingerprint with the one on the device's own page and pin it in holdfast.yaml,  fingerprint: " + colons(sum)
	}
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	shown := err.UnverifiedCertificates
	switch {
	case len(shown) > 0 && bytes.Equal(shown[0].RawIssuer, shown[0].RawSubject):
		// As it comes from the factory: its names and dates mean nothing.
	case errors.As(err.Err, &name):
		return fmt.Sprintf("The certificate of %s is made out to another name (%s). Use that name as its address, or give it a certificate for this one.%s",
			host, brief(strings.Join(namesOf(name.Certificate), ", ")), pin)
	case errors.As(err.Err, &invalid) && invalid.Reason == x509.Expired:
		until := "its dates"
		if invalid.Cert != nil {
			until = invalid.Cert.NotBefore.UTC().Format(time.DateOnly) + " to " + invalid.Cert.NotAfter.UTC().Format(time.DateOnly)
		}
		return fmt.Sprintf("The certificate of %s is valid from %s, which is not now. Check the clock of this machine, or renew the certificate.%s", host, until, pin)
	}
	return fmt.Sprintf("%s shows a certificate that this site does not trust. If an authority of your own has signed it, name that in camera_ca_file in holdfast.yaml.%s", host, pin)
}

func namesOf(c *x509.Certificate) []string {
	if c == nil {
		return nil
	}
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = append(names, c.Subject.CommonName)
	}
	return names
}

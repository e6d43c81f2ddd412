package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"holdfast/shared/wire"
)

// ProblemCode names what keeps the agent from its cloud.
type ProblemCode string

// Codes of a problem. Those of a refusal are the refusal's own: "clock", "revoked", "version", "duplicate", ...
const (
	ProblemName        ProblemCode = "dns"         // the cloud's name has no address here
	ProblemRefused     ProblemCode = "refused"     // nothing listens there
	ProblemUnreachable ProblemCode = "unreachable" // no way, or no answer
	ProblemTLS         ProblemCode = "tls"         // a certificate that this machine does not trust
	ProblemPortal      ProblemCode = "portal"      // a captive portal or block page answers
	ProblemProxy       ProblemCode = "proxy"       // the HTTP proxy would not connect
	ProblemGateway     ProblemCode = "gateway"     // a balancer or proxy in front of the cloud answers with an error
	ProblemForeign     ProblemCode = "foreign"     // another cloud, or somebody on the way, answers
	ProblemCut         ProblemCode = "cut"         // an open connection ended or went silent
	ProblemStopped     ProblemCode = "stopped"     // the agent stops
)

// Problem is what keeps the agent from its cloud, in a sentence for a person.
type Problem struct {
	Code  ProblemCode
	Text  string
	Retry time.Duration // the other end's word: not before this
	Err   error
}

// Error returns the sentence.
func (p *Problem) Error() string { return p.Text }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// maxRetry bounds what the other end may ask for.
const maxRetry = 10 * time.Minute

// diagnose turns any error on the way to host into a Problem.
func diagnose(err error, host string, now time.Time) *Problem {
	var known *Problem
	if errors.As(err, &known) {
		return known
	}
	var refusal *wire.Refusal
	if errors.As(err, &refusal) {
		return &Problem{Code: ProblemCode(refusal.Code), Text: refusal.Text, Retry: min(refusal.Retry(), maxRetry), Err: err}
	}
	p := &Problem{Err: err}
	for _, look := range []func(*Problem, error, string, time.Time) bool{lookProxy, lookName, lookTLS, lookDial} {
		if look(p, err, host, now) {
			return p
		}
	}
	p.Code, p.Text = ProblemCut, fmt.Sprintf("the connection to %s ended: %v", host, err)
	return p
}

func lookProxy(p *Problem, err error, _ string, _ time.Time) bool {
	var refused *proxyError
	if !errors.As(err, &refused) {
		return false
	}
	p.Code = ProblemProxy
	if refused.status == http.StatusProxyAuthRequired {
		p.Text = fmt.Sprintf("the proxy %s wants a name and a password (407): put them into cloud.proxy as http://name:password@host:port", refused.host)
		return true
	}
	p.Text = fmt.Sprintf("the proxy %s will not connect to the cloud (%d %s): allow it there", refused.host, refused.status,
		http.StatusText(refused.status))
	return true
}

func lookName(p *Problem, err error, host string, _ time.Time) bool {
	var dns *net.DNSError
	if !errors.As(err, &dns) {
		return false
	}
	p.Code = ProblemName
	if dns.IsNotFound {
		p.Text = fmt.Sprintf("the name %s has no address: is the cloud's address right, and does this network's DNS server know names of the internet?", dns.Name)
		return true
	}
	p.Text = fmt.Sprintf("no DNS server answers the question for %s: the line or the router may be down", dns.Name)
	return true
}

func lookTLS(p *Problem, err error, host string, now time.Time) bool {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var op *net.OpError
	p.Code = ProblemTLS
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		p.Text = expired(invalid.Cert, host, now)
	case errors.As(err, &name):
		p.Text = fmt.Sprintf("the certificate shown for %s is for %s: something on the way answers in the cloud's place, or the address is wrong",
			host, strings.Join(name.Certificate.DNSNames, ", "))
	case errors.As(err, &unknown):
		p.Text = foreign(unknown.Cert, host)
	case errors.As(err, &invalid):
		p.Text = fmt.Sprintf("the certificate of %s is not good: %v", host, invalid)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		p.Text = fmt.Sprintf("%s does not speak TLS: a portal or a wrong port answers", host)
	case errors.As(err, &op) && op.Op == "remote error", strings.Contains(err.Error(), "tls: server selected unsupported protocol version"):
		p.Text = fmt.Sprintf("%s and this machine do not agree on TLS, of which 1.2 is the oldest that is good enough: %v", host, err)
	default:
		return false
	}
	return true
}

func expired(cert *x509.Certificate, host string, now time.Time) string {
	day := "2006-01-02 15:04 MST"
	if cert != nil && now.Before(cert.NotBefore) {
		return fmt.Sprintf("this machine's clock says %s, but the certificate of %s begins at %s: set the clock, or turn on time synchronisation (NTP)",
			now.UTC().Format(day), host, cert.NotBefore.UTC().Format(day))
	}
	end := ""
	if cert != nil {
		end = " at " + cert.NotAfter.UTC().Format(day)
	}
	return fmt.Sprintf("the certificate of %s ended%s, and this machine's clock says %s: renew the certificate, or set the clock if it is wrong",
		host, end, now.UTC().Format(day))
}

func foreign(cert *x509.Certificate, host string) string {
	by := "an authority"
	if cert != nil {
		by = fmt.Sprintf("%q", cert.Issuer.String())
	}
	return fmt.Sprintf("the certificate shown for %s was issued by %s, which this machine does not trust: if your network inspects TLS, exempt this address or name its authority in cloud.ca_file",
		host, wire.CleanText(by, wire.MaxNameRunes))
}

func lookDial(p *Problem, err error, host string, _ time.Time) bool {
	var op *net.OpError
	var timeout net.Error
	dialing := errors.As(err, &op) && op.Op == "dial"
	switch {
	case dialing && errors.Is(err, errRefused):
		p.Code = ProblemRefused
		p.Text = fmt.Sprintf("nothing listens at %s (%s): is the cloud running, and is the port right?", host, op.Addr)
	case errors.Is(err, errTimeout), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		p.Code = ProblemUnreachable
		p.Text = fmt.Sprintf("%s does not answer: the line may be down, or a firewall swallows the packets", host)
	case dialing:
		p.Code = ProblemUnreachable
		p.Text = fmt.Sprintf("there is no way to %s: %v", host, op.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errReset):
		p.Code = ProblemCut
		p.Text = fmt.Sprintf("%s or something on the way closed the connection", host)
	default:
		return false
	}
	return true
}

// unsigned turns an answer without the cloud's signature into a Problem. start is the beginning of its body.
func unsigned(resp *http.Response, start []byte, host string) *Problem {
	p := &Problem{Code: ProblemGateway, Err: wire.ErrUnsigned, Retry: retryAfter(resp)}
	html := strings.Contains(strings.ToLower(resp.Header.Get("Content-Type")), "html") ||
		strings.HasPrefix(strings.ToLower(strings.TrimSpace(string(start))), "<")
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		p.Code = ProblemProxy
		p.Text = "a proxy on the way wants a name and a password (407): put them into cloud.proxy as http://name:password@host:port"
	case resp.Header.Get(wire.HeaderSignature) != "":
		p.Code = ProblemForeign
		p.Text = fmt.Sprintf("%s is a Holdfast cloud, but not the one that this machine was enrolled with: is the address right, and does the cloud still have its key file (cloud.key)?", host)
	case resp.StatusCode >= 300 && resp.StatusCode < 400, html && resp.StatusCode < 500:
		p.Code = ProblemPortal
		p.Text = fmt.Sprintf("a web page answers in the place of %s: sign in to this network's portal, or let a firewall allow the address", host)
	case resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusTooManyRequests:
		p.Text = fmt.Sprintf("%s is too busy at the moment (%d)", host, resp.StatusCode)
	default:
		p.Text = fmt.Sprintf("%s answers %d %s, but the answer is not the cloud's own: a balancer or proxy in front of it sends it",
			host, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return p
}

// retryAfter reads the delay of a Retry-After header (RFC 9110 section 10.2.3), within bounds.
func retryAfter(resp *http.Response) time.Duration {
	text := resp.Header.Get("Retry-After")
	if seconds, err := time.ParseDuration(text + "s"); err == nil && seconds > 0 {
		return min(seconds, maxRetry)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), maxRetry)
	}
	return 0
}

// ClockText says in words how far this machine's clock is off, given the cloud's clock minus its own; empty
// below five seconds.
func ClockText(offset time.Duration) string {
	way := "behind"
	if offset < 0 {
		offset, way = -offset, "ahead of"
	}
	if offset < 5*time.Second {
		return ""
	}
	return fmt.Sprintf("this machine's clock is %s %s the cloud's: set it, or turn on time synchronisation (NTP)", words(offset), way)
}

// CertText warns in words of a certificate of the cloud that ends within 30 days; empty before and for a zero time.
func CertText(ends, now time.Time) string {
	left := ends.Sub(now)
	if ends.IsZero() || left > 30*24*time.Hour {
		return ""
	}
	return fmt.Sprintf("the cloud's certificate ends in %s: renew it, or every site loses its line then", words(max(left, 0)))
}

// words writes a duration as its two largest units: "3 h 2 min".
func words(d time.Duration) string {
	d = d.Round(time.Second)
	days, rest := d/(24*time.Hour), d%(24*time.Hour)
	hours, rest := rest/time.Hour, rest%time.Hour
	minutes, seconds := rest/time.Minute, (rest%time.Minute)/time.Second
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min %d s", minutes, seconds)
	default:
		return fmt.Sprintf("%d s", seconds)
	}
}

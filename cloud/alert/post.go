package alert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"

	"holdfast/cloud/store/alerts"
)

// poster hands messages to mail servers and webhooks.
type poster struct {
	cfg    Config
	client *http.Client
}

func newPoster(cfg Config) poster {
	return poster{cfg: cfg, client: newClient(cfg)}
}

// fault is a failed try, in words, and how long the other end asks to wait.
type fault struct {
	text  string
	err   error
	after time.Duration
	final bool // trying again is pointless
}

// Error tells what went wrong.
func (f *fault) Error() string {
	if f.err == nil {
		return f.text
	}
	return f.text + ": " + f.err.Error()
}

// Unwrap returns the cause.
func (f *fault) Unwrap() error { return f.err }

// advice says what went wrong and what to do.
func advice(err error) string { return err.Error() }

// send hands a message to a target; nil means that the other end took it.
func (a *Alert) send(ctx context.Context, t alerts.Target, m message) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	if t.Kind == alerts.Email {
		return a.post.mail(ctx, t, m)
	}
	return a.post.hook(ctx, t, m)
}

// mail sends one e-mail. It counts as taken from the moment at which the server has taken the message, whatever
// happens to the connection then.
func (p poster) mail(ctx context.Context, t alerts.Target, m message) error {
	if p.cfg.Server == "" {
		return &fault{text: "e-mail is not set up: start the cloud with a mail server (see its flags for mail)"}
	}
	msg, err := p.compose(t, m)
	if err != nil {
		return &fault{text: "the message can't be written", err: err}
	}
	conn, err := p.dial(ctx)
	if err != nil {
		return &fault{text: "the mail server " + p.cfg.Server + " can't be reached: check its address and the network", err: err}
	}
	// The library leaves the connection open when the greeting, TLS or signing in fails.
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	client, err := p.mailClient(conn)
	if err != nil {
		return &fault{text: "the mail settings can't be used", err: err}
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if msg.IsDelivered() || err == nil {
		return nil
	}
	return mailFault(p.cfg.Server, err)
}

func mailFault(server string, err error) error {
	var refused *gomail.SendError
	if !errors.As(err, &refused) {
		return &fault{text: "the mail server " + server + " did not take the connection: check its TLS, the name and the password", err: err}
	}
	if refused.Reason == gomail.ErrSMTPRcptTo {
		// 550 to 553 are about the mailbox (RFC 5321 section 4.2.3); no repetition makes it exist.
		code := refused.ErrorCode()
		return &fault{text: "the mail server refused the receiver: check the address", err: err, final: code >= 550 && code <= 553}
	}
	return &fault{text: "the mail server refused the message", err: err}
}

func (p poster) dial(ctx context.Context) (net.Conn, error) {
	dialer := &net.Dialer{}
	if p.cfg.Security == TLS {
		return (&tls.Dialer{NetDialer: dialer, Config: p.tls()}).DialContext(ctx, "tcp", p.cfg.Server)
	}
	return dialer.DialContext(ctx, "tcp", p.cfg.Server)
}

func (p poster) tls() *tls.Config {
	host, _, _ := net.SplitHostPort(p.cfg.Server) // Validate has checked it
	return &tls.Config{ServerName: host, RootCAs: p.cfg.Roots, MinVersion: tls.VersionTLS12}
}

func (p poster) mailClient(conn net.Conn) (*gomail.Client, error) {
	host, port, err := net.SplitHostPort(p.cfg.Server)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	options := []gomail.Option{
		gomail.WithPort(number), gomail.WithTimeout(p.cfg.Timeout), gomail.WithoutNoop(), gomail.WithHELO(helo(conn)),
		gomail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return conn, nil }),
	}
	switch p.cfg.Security {
	case TLS, Plain:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithTLSConfig(p.tls()))
	}
	if p.cfg.User != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(p.cfg.User),
			gomail.WithPassword(p.cfg.Password))
	}
	return gomail.NewClient(host, options...)
}

// helo names this end by its address, which always is right (RFC 5321 section 4.1.3).
func helo(conn net.Conn) string {
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		return "localhost"
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "[IPv6:" + host + "]"
	}
	return "[" + host + "]"
}

func (p poster) compose(t alerts.Target, m message) (*gomail.Msg, error) {
	msg := gomail.NewMsg()
	if err := msg.From(p.cfg.From); err != nil {
		return nil, err
	}
	if err := msg.To(t.Address); err != nil {
		return nil, err
	}
	msg.Subject(m.subject)
	msg.SetMessageIDWithValue(m.id + "@holdfast")
	msg.SetDateWithValue(time.Now())
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no automatic replies, please
	msg.SetBodyString(gomail.TypeTextPlain, m.text)
	return msg, nil
}

// retryAfter reads the header Retry-After in seconds (RFC 9110 section 10.2.3); dates are left out.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, time.Hour)
}

func status(code int) string { return fmt.Sprintf("%d %s", code, http.StatusText(code)) }

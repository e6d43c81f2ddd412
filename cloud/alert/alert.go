// Package alert tells people when a site goes dark and when it comes back, when it will lose chosen clips and what
// became of them: by e-mail and by signed webhooks, one message for each incident, phase and receiver.
//
// What is to be told is a row in the incident's own transaction, so it outlives a restart, and it is tried again
// until it was accepted; once accepted it is not sent again. Incidents that begin together come in one e-mail, and
// no receiver gets more than a cap an hour: what is above it waits and is told together. Webhooks never reach
// into private networks unless the configuration says so.
package alert

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/alerts"
	"holdfast/cloud/store/health"
)

// Security says how the connection to the mail server is protected.
type Security string

// Ways to talk to a mail server.
const (
	StartTLS Security = "starttls" // TLS on the usual port, required (RFC 3207)
	TLS      Security = "tls"      // TLS from the first byte (RFC 8314)
	Plain    Security = "plain"    // none: for a mail server on this machine only
)

// Config sets the room. The zero value of a time or count means its default.
type Config struct {
	Server   string   // of mail, host:port; empty: no e-mail is sent
	Security Security // starttls if empty
	User     string   // empty: without signing in
	Password string
	From     string // sender's address; required with Server

	Portal  string         // URL of the portal, for links; may be empty
	Private bool           // webhooks may call loopback and private addresses
	Roots   *x509.CertPool // whom to trust for TLS; nil: the system's

	Gather  time.Duration // how long a message waits for others to come along; 10 s
	GiveUp  time.Duration // after which a delivery is given up; 24 h
	Timeout time.Duration // of one try; 20 s
	PerHour int           // messages to one receiver; 20
	Retry   time.Duration // ceiling of the first wait after a failure, doubled each time up to 30 min; 15 s
}

// Validate reports every fault.
func (c Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Server != "" {
		host, port, err := net.SplitHostPort(c.Server)
		if number, bad := strconv.Atoi(port); err != nil || host == "" || bad != nil || number < 1 || number > 65535 {
			fail("alert.server: %q is not host:port, such as mail.example.com:587", c.Server)
		}
		if _, err := mail.ParseAddress(c.From); err != nil {
			fail("alert.from: %q is not an e-mail address: give the sender of the messages", c.From)
		}
		if c.Security == Plain && !loopback(host) {
			fail("alert.security: plain is only for a mail server on this machine, not for %s: use starttls or tls", host)
		}
	}
	switch c.Security {
	case "", StartTLS, TLS, Plain:
	default:
		fail("alert.security: %q is none of starttls, tls, plain", string(c.Security))
	}
	if c.Portal != "" {
		if u, err := url.Parse(c.Portal); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			fail("alert.portal: %q is not a URL such as https://holdfast.example.com", c.Portal)
		}
	}
	for name, d := range map[string]time.Duration{"gather": c.Gather, "give_up": c.GiveUp, "timeout": c.Timeout, "retry": c.Retry} {
		if d < 0 {
			fail("alert.%s: %v is negative", name, d)
		}
	}
	if c.PerHour < 0 {
		fail("alert.per_hour: %d is negative", c.PerHour)
	}
	return errors.Join(errs...)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func (c Config) withDefaults() Config {
	fill := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&c.Gather, 10*time.Second)
	fill(&c.GiveUp, 24*time.Hour)
	fill(&c.Timeout, 20*time.Second)
	fill(&c.Retry, 15*time.Second)
	if c.PerHour == 0 {
		c.PerHour = 20
	}
	if c.Security == "" {
		c.Security = StartTLS
	}
	c.Portal = strings.TrimRight(c.Portal, "/")
	return c
}

// Alert is the room. Safe for concurrent use.
type Alert struct {
	cfg  Config
	db   *store.DB
	log  *slog.Logger
	post poster
	wake chan struct{} // holds one element when there is something new to send
}

// New returns the room; cfg must be valid. Run must follow.
func New(cfg Config, db *store.DB, log *slog.Logger) *Alert {
	cfg = cfg.withDefaults()
	return &Alert{cfg: cfg, db: db, log: log, post: newPoster(cfg), wake: make(chan struct{}, 1)}
}

// Enqueue makes a delivery for each receiver of the incident's organisation, inside the transaction q that stores
// the incident. Call Wake after the commit. Doing it again changes nothing.
func (a *Alert) Enqueue(ctx context.Context, q store.Querier, incident health.Incident, phase alerts.Phase) error {
	now := time.Now()
	return alerts.Enqueue(ctx, q, incident.Org, incident.ID, phase, now.UnixMicro(), now.Add(a.cfg.Gather).UnixMicro())
}

// Wake says that there may be something new to send.
func (a *Alert) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

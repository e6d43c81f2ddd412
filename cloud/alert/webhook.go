package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/cloud/store/alerts"
)

// newClient returns a client that follows no redirects, uses no proxy, and, unless cfg.Private, connects to public
// addresses only: the address that is connected to is checked, not the name.
func newClient(cfg Config) *http.Client {
	dialer := &net.Dialer{Timeout: cfg.Timeout}
	if !cfg.Private {
		dialer.Control = guard
	}
	return &http.Client{
		Timeout:       cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, TLSHandshakeTimeout: cfg.Timeout, DisableKeepAlives: true,
			TLSClientConfig:        &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

var errPrivate = errors.New("the address lies in a private network, which webhooks don't call")

// guard refuses a connection that was resolved to an address that is not public.
func guard(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil || !public(addr.Addr()) {
		return errPrivate
	}
	return nil
}

// public reports whether addr can belong to somebody else on the Internet (IANA special-purpose registries). An
// address that carries an IPv4 address inside is judged by that one, or refused with its whole range.
func public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" || !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
		"2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		if netip.MustParsePrefix(p).Contains(addr) {
			return false
		}
	}
	return true
}

// key returns the key of a secret: what "whsec_" stands before is base64, anything else is the key itself.
func key(secret string) ([]byte, error) {
	body, coded := strings.CutPrefix(secret, "whsec_")
	if !coded {
		return []byte(secret), nil
	}
	return base64.StdEncoding.DecodeString(body)
}

// sign returns the signature of a webhook (Standard Webhooks 1.0): HMAC-SHA-256 over "<id>.<seconds>.<body>".
func sign(secret []byte, msg string, seconds int64, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%d.", msg, seconds) // a hash never fails to write
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// hook calls one webhook. An answer of 2xx is an acceptance; 410 means that it is no longer wanted.
func (p poster) hook(ctx context.Context, t alerts.Target, m message) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.Address, bytes.NewReader(m.body))
	if err != nil {
		return &fault{text: "the webhook's URL can't be used", err: err, final: true}
	}
	now := time.Now().Unix()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Holdfast-Webhook/1")
	req.Header.Set("Webhook-Id", m.id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now, 10))
	if t.Secret != "" {
		secret, err := key(t.Secret)
		if err != nil {
			return &fault{text: "the webhook's secret is not base64: set it again", err: err}
		}
		req.Header.Set("Webhook-Signature", sign(secret, m.id, now, m.body))
	}
	res, err := p.client.Do(req)
	if errors.Is(err, errPrivate) {
		return &fault{text: errPrivate.Error() + ": give a public address"}
	}
	if err != nil {
		return &fault{text: "the webhook can't be reached: check its address and that it answers", err: err}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10)) // only the status counts
	_ = res.Body.Close()
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return nil
	}
	return &fault{
		text: "the webhook answered " + status(res.StatusCode), after: retryAfter(res.Header), final: res.StatusCode == http.StatusGone,
	}
}

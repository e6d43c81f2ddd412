package alert

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/alerts"
)

// Bounds of an organisation's receivers.
const (
	maxEmails   = 50
	maxWebhooks = 20
	maxAddress  = 2048
)

// Settings say who is told.
type Settings struct {
	Emails   []string
	Webhooks []Webhook
}

// Webhook is a URL that is called. Secret is written and never read back.
type Webhook struct {
	URL       string
	Secret    string // key of the signature, plain or as "whsec_" and base64; empty in Put: keep what is set
	HasSecret bool
}

// Refusal is an error that a person should read.
type Refusal struct{ text string }

// Error returns one sentence that says what is wrong and what to do.
func (r *Refusal) Error() string { return r.text }

// Refusal returns the code "invalid" and the sentence.
func (r *Refusal) Refusal() (code, text string) { return "invalid", r.text }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// Settings returns who is told in the scope's organisation.
func (a *Alert) Settings(ctx context.Context, scope store.Scope) (Settings, error) {
	targets, err := alerts.Targets(ctx, a.db.Read(), scope, scope.OrgID())
	return settings(targets), err
}

func settings(targets []alerts.Target) Settings {
	s := Settings{Emails: []string{}, Webhooks: []Webhook{}}
	for _, t := range targets {
		if t.Kind == alerts.Email {
			s.Emails = append(s.Emails, t.Address)
		} else {
			s.Webhooks = append(s.Webhooks, Webhook{URL: t.Address, HasSecret: t.Secret != ""})
		}
	}
	return s
}

// Put replaces who is told. A receiver that stays keeps its deliveries; one that goes loses them. The error is a
// *Refusal if something can't be used.
func (a *Alert) Put(ctx context.Context, scope store.Scope, want Settings) (Settings, error) {
	if err := a.check(want); err != nil {
		return Settings{}, err
	}
	org := scope.OrgID()
	var stored []alerts.Target
	err := a.db.Tx(ctx, func(q store.Querier) error {
		have, err := alerts.Targets(ctx, q, scope, org)
		if err != nil {
			return err
		}
		now := time.Now().UnixMicro()
		keep := map[string]bool{}
		put := func(kind alerts.Kind, address, secret string) error {
			i := slices.IndexFunc(have, func(t alerts.Target) bool { return t.Kind == kind && t.Address == address })
			if i >= 0 {
				keep[have[i].ID] = true
				if secret == "" || secret == have[i].Secret {
					return nil
				}
			}
			return alerts.PutTarget(ctx, q, alerts.Target{
				ID: rand.Text(), Org: org, Kind: kind, Address: address, Secret: secret, CreatedUs: now,
			})
		}
		for _, e := range want.Emails {
			if err := put(alerts.Email, e, ""); err != nil {
				return err
			}
		}
		for _, w := range want.Webhooks {
			if err := put(alerts.Webhook, w.URL, w.Secret); err != nil {
				return err
			}
		}
		for _, t := range have {
			if keep[t.ID] {
				continue
			}
			if err := alerts.DropTarget(ctx, q, scope, t.ID); err != nil {
				return err
			}
		}
		stored, err = alerts.Targets(ctx, q, scope, org)
		return err
	})
	return settings(stored), err
}

func (a *Alert) check(want Settings) error {
	if len(want.Emails) > maxEmails || len(want.Webhooks) > maxWebhooks {
		return refuse("At most %d e-mail addresses and %d webhooks can be told: take some out.", maxEmails, maxWebhooks)
	}
	for _, e := range want.Emails {
		if addr, err := mail.ParseAddress(e); err != nil || addr.Address != e || len(e) > 254 {
			return refuse("%.100q is not an e-mail address: write it like anna@example.com.", e)
		}
	}
	for _, w := range want.Webhooks {
		u, err := url.Parse(w.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || len(w.URL) > maxAddress {
			return refuse("%.100q is not a URL that can be called: write it like https://example.com/hook, without a name and password.", w.URL)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); !a.cfg.Private && (err == nil && !public(addr) || u.Hostname() == "localhost") {
			return refuse("%.100q lies in a private network, which webhooks don't call: give a public address.", w.URL)
		}
		if _, err := key(w.Secret); err != nil {
			return refuse("The secret of %.100q begins with whsec_ but is not base64 behind it: copy it again.", w.URL)
		}
	}
	return nil
}

// Result is what became of a test message.
type Result struct {
	To   string // e-mail address or URL
	OK   bool
	Text string // what went wrong and what to do; empty when it worked
}

// Test sends a test message to every receiver of the scope's organisation and waits for the answers.
func (a *Alert) Test(ctx context.Context, scope store.Scope) ([]Result, error) {
	targets, err := alerts.Targets(ctx, a.db.Read(), scope, scope.OrgID())
	if err != nil {
		return nil, err
	}
	out := make([]Result, len(targets))
	var wg sync.WaitGroup
	places := make(chan struct{}, workers)
	for i, t := range targets {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			out[i] = Result{To: t.Address, OK: true}
			if err := a.send(ctx, t, a.testMessage(t)); err != nil {
				out[i].OK, out[i].Text = false, advice(err)
			}
		})
	}
	wg.Wait()
	return out, nil
}

// Deliveries returns what became of the latest tellings to each receiver of the scope's organisation, by address.
func (a *Alert) Deliveries(ctx context.Context, scope store.Scope, limit int) (map[string][]alerts.Delivery, error) {
	targets, err := alerts.Targets(ctx, a.db.Read(), scope, scope.OrgID())
	if err != nil {
		return nil, err
	}
	out := make(map[string][]alerts.Delivery, len(targets))
	for _, t := range targets {
		list, err := alerts.Deliveries(ctx, a.db.Read(), scope, t.ID, limit)
		if err != nil {
			return nil, err
		}
		out[t.Address] = list
	}
	return out, nil
}

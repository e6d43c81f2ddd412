package api

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"holdfast/cloud/access"
	"holdfast/cloud/store/orgs"
)

func (d *door) alerts() {
	add(d, get("/alerts", "getAlerts", access.EditAlerts, "Who is told of incidents: a site goes dark or comes back, or will lose chosen clips"),
		func(ctx context.Context, who access.Actor, _ *empty) (*bodyOf[Alerts], error) {
			settings, err := d.rooms.Alerts.Alerts(ctx, who.Scope())
			return body(shown(settings)), err
		})
	add(d, put("/alerts", "putAlerts", access.EditAlerts, "Replace who is told"),
		func(ctx context.Context, who access.Actor, in *struct{ Body Alerts }) (*bodyOf[Alerts], error) {
			settings, err := receivers(in.Body)
			if err != nil {
				return nil, err
			}
			stored, err := d.rooms.Alerts.PutAlerts(ctx, who.Scope(), settings)
			if err != nil {
				return nil, err
			}
			return body(shown(stored)), d.access.Record(ctx, who, access.Entry{
				Deed: access.DeedAlertsChanged, Target: string(who.Org),
				Detail: fmt.Sprintf("%d e-mail addresses, %d webhooks", len(stored.Emails), len(stored.Webhooks)),
			})
		})
	add(d, post("/alerts/test", "testAlerts", access.EditAlerts, "Send a test message to everybody who is told").costs(40),
		func(ctx context.Context, who access.Actor, _ *empty) (*bodyOf[AlertTest], error) {
			if err := d.access.Record(ctx, who, access.Entry{Deed: access.DeedAlertsTested, Target: string(who.Org)}); err != nil {
				return nil, err
			}
			results, err := d.rooms.Alerts.TestAlerts(ctx, who.Scope())
			return body(AlertTest{Results: append([]AlertResult{}, results...)}), err
		})
}

// shown leaves the secrets out, whatever the room answered.
func shown(a Alerts) Alerts {
	out := Alerts{Emails: append([]string{}, a.Emails...), Webhooks: []Webhook{}}
	for _, w := range a.Webhooks {
		out.Webhooks = append(out.Webhooks, Webhook{URL: w.URL, HasSecret: w.HasSecret || w.Secret != ""})
	}
	return out
}

// receivers checks who is to be told; an address or URL counts once.
func receivers(in Alerts) (Alerts, error) {
	out := Alerts{Emails: []string{}, Webhooks: []Webhook{}}
	for i, e := range in.Emails {
		email, err := access.Email(e)
		if err != nil {
			return out, invalid(fmt.Sprintf("body.emails[%d]", i), err.Error())
		}
		if !slices.Contains(out.Emails, email) {
			out.Emails = append(out.Emails, email)
		}
	}
	for i, w := range in.Webhooks {
		place := fmt.Sprintf("body.webhooks[%d].url", i)
		u, err := url.Parse(w.URL)
		if _, bad := orgs.Text(w.URL, 2048); bad != nil || err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
			return out, invalid(place, "The webhook is not a URL that can be called: give one like https://example.com/hook, without a name and password in it.")
		}
		if _, err := orgs.Text(w.Secret, 256); err != nil {
			return out, invalid(fmt.Sprintf("body.webhooks[%d].secret", i), "The secret "+err.Error()+".")
		}
		if slices.ContainsFunc(out.Webhooks, func(o Webhook) bool { return o.URL == w.URL }) {
			return out, invalid(place, "The webhook is in the list twice: take one of them out.")
		}
		out.Webhooks = append(out.Webhooks, Webhook{URL: w.URL, Secret: w.Secret})
	}
	return out, nil
}

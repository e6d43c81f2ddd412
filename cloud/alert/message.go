package alert

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"holdfast/cloud/store/alerts"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
)

// message is what one receiver gets at once: subject and text for an e-mail, body for a webhook.
type message struct {
	id      string // the same for the same news, so that a receiver can tell a repetition
	subject string
	text    string
	body    []byte
}

// news is one phase of one incident, ready to be told.
type news struct {
	delivery alerts.Delivery
	incident health.Incident
	site     orgs.Site
	org      string
	zone     *time.Location
}

func (n news) back() bool { return n.delivery.Phase == alerts.Back }

func (n news) at(us int64) string {
	return time.UnixMicro(us).In(n.zone).Format("Mon 2 Jan 15:04 MST")
}

// headline says the news in one line.
func (n news) headline() string {
	if n.back() {
		return fmt.Sprintf("%s is back after %s", n.site.Name, length(n.incident.EndUs-n.incident.StartUs))
	}
	return fmt.Sprintf("%s is dark since %s", n.site.Name, n.at(n.incident.StartUs))
}

// length returns a time in words: minutes, hours and minutes, or days and hours.
func length(us int64) string {
	d := time.Duration(max(us, 0)) * time.Microsecond
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%d seconds", int64(d.Round(time.Second)/time.Second))
	case d < 90*time.Minute:
		return fmt.Sprintf("%d minutes", int64(d.Round(time.Minute)/time.Minute))
	case d < 48*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%d h %d min", int64(d/time.Hour), int64(d%time.Hour/time.Minute))
	default:
		d = d.Round(time.Hour)
		return fmt.Sprintf("%d days %d h", int64(d/(24*time.Hour)), int64(d%(24*time.Hour)/time.Hour))
	}
}

// letter writes one e-mail about all the news.
func letter(list []news, portal string) message {
	var b strings.Builder
	var keys []string
	dark := 0
	for _, n := range list {
		keys = append(keys, string(n.incident.ID)+"."+string(n.delivery.Phase))
		if !n.back() {
			dark++
		}
	}
	m := message{id: digest(list[0].delivery.Target, keys)}
	switch {
	case len(list) == 1:
		m.subject = list[0].headline()
	case dark == len(list):
		m.subject = fmt.Sprintf("%d sites are dark", dark)
	case dark == 0:
		m.subject = fmt.Sprintf("%d sites are back", len(list))
	default:
		m.subject = fmt.Sprintf("%d sites are dark, %d are back", dark, len(list)-dark)
	}
	for i, n := range list {
		if i > 0 {
			b.WriteString("\n----------------------------------------\n\n")
		}
		n.write(&b, portal)
	}
	fmt.Fprintf(&b, "\n-- \nHoldfast for %s. Owners choose in the portal's settings who gets these messages.\n", list[0].org)
	m.text = b.String()
	return m
}

func (n news) write(b *strings.Builder, portal string) {
	b.WriteString(n.headline() + ".\n\n" + n.incident.Text + "\n")
	if !n.back() && len(n.incident.Report) > 0 {
		b.WriteString("\nWhat the site said last:\n")
		for _, line := range n.incident.Report {
			b.WriteString("- " + line + "\n")
		}
	}
	if n.site.Address != "" {
		b.WriteString("\nAddress: " + n.site.Address + "\n")
	}
	if link := n.link(portal); link != "" {
		b.WriteString("\n" + link + "\n")
	}
}

func (n news) link(portal string) string {
	if portal == "" {
		return ""
	}
	return portal + "/sites/" + string(n.site.ID)
}

// digest names a message by what it tells and to whom.
func digest(target string, keys []string) string {
	sum := sha256.Sum256([]byte(target + "\n" + strings.Join(keys, "\n")))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// payload is the body of a webhook.
type payload struct {
	Type      string `json:"type"` // site.dark, site.back or test
	Timestamp string `json:"timestamp"`
	Data      any    `json:"data"`
}

type payloadData struct {
	Incident     string      `json:"incident"`
	Organisation payloadName `json:"organisation"`
	Site         payloadName `json:"site"`
	StartUs      int64       `json:"start_us"`
	EndUs        int64       `json:"end_us,omitempty"`
	Cause        string      `json:"cause"`
	Agent        string      `json:"agent,omitempty"` // up, restarted or rebooted meanwhile
	Text         string      `json:"text"`
	LastReport   []string    `json:"last_report"`
	URL          string      `json:"url,omitempty"`
}

type payloadName struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// call writes the body of a webhook about one piece of news.
func call(n news, portal string) (message, error) {
	p := payload{Type: "site.dark", Timestamp: time.UnixMicro(n.incident.SaidUs).UTC().Format(time.RFC3339), Data: payloadData{
		Incident: string(n.incident.ID), Organisation: payloadName{string(n.incident.Org), n.org},
		Site: payloadName{string(n.site.ID), n.site.Name}, StartUs: n.incident.StartUs, EndUs: n.incident.EndUs, Cause: n.incident.Cause,
		Agent: n.incident.Outcome, Text: n.incident.Text, LastReport: append([]string{}, n.incident.Report...), URL: n.link(portal),
	}}
	if n.back() {
		p.Type, p.Timestamp = "site.back", time.UnixMicro(n.incident.SettledUs).UTC().Format(time.RFC3339)
	}
	body, err := json.Marshal(p)
	if err != nil {
		return message{}, fmt.Errorf("encode webhook: %w", err)
	}
	return message{id: string(n.incident.ID) + "." + string(n.delivery.Phase), body: body}, nil
}

// testMessage is what a receiver gets when somebody tries the settings.
func (a *Alert) testMessage(t alerts.Target) message {
	now := time.Now()
	m := message{
		id:      digest(t.ID, []string{"test", now.String()}),
		subject: "Test message of Holdfast",
		text:    "This is a test. When a site goes dark or comes back, a message like this one comes here.\n",
	}
	m.body = []byte(`{"type":"test","timestamp":"` + now.UTC().Format(time.RFC3339) + `","data":{}}`)
	return m
}

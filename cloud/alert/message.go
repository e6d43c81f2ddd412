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

// kind names the news for a program.
func (n news) kind() string {
	switch {
	case n.delivery.Phase == alerts.Over && n.incident.Outcome == lost:
		return "site.lost"
	case n.delivery.Phase == alerts.Over:
		return "site.kept"
	default:
		return "site." + string(n.delivery.Phase)
	}
}

// lost is the outcome of an incident in which chosen clips were lost.
const lost = "lost"

func (n news) at(us int64) string {
	return time.UnixMicro(us).In(n.zone).Format("Mon 2 Jan 15:04 MST")
}

// headline says the news in one line.
func (n news) headline() string {
	switch n.kind() {
	case "site.losing":
		return n.site.Name + " will lose chosen clips"
	case "site.lost":
		return n.site.Name + " has lost chosen clips"
	case "site.kept":
		return n.site.Name + " loses no chosen clips any more"
	case "site.back":
		return fmt.Sprintf("%s is back after %s", n.site.Name, length(n.incident.EndUs-n.incident.StartUs))
	default:
		return fmt.Sprintf("%s is dark since %s", n.site.Name, n.at(n.incident.StartUs))
	}
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
	for _, n := range list {
		keys = append(keys, string(n.incident.ID)+"."+string(n.delivery.Phase))
	}
	m := message{id: digest(list[0].delivery.Target, keys), subject: subject(list)}
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

// subject says all the news in one line.
func subject(list []news) string {
	if len(list) == 1 {
		return list[0].headline()
	}
	count := map[string]int{}
	for _, n := range list {
		count[n.kind()]++
	}
	var parts []string
	for _, k := range []struct{ kind, one, many string }{
		{"site.dark", "is dark", "are dark"},
		{"site.back", "is back", "are back"},
		{"site.losing", "will lose clips", "will lose clips"},
		{"site.lost", "has lost clips", "have lost clips"},
		{"site.kept", "loses no clips any more", "lose no clips any more"},
	} {
		n := count[k.kind]
		if n == 0 {
			continue
		}
		what, who := k.many, " sites "
		if n == 1 {
			what, who = k.one, " site "
		}
		if len(parts) > 0 {
			who = " "
		}
		parts = append(parts, fmt.Sprint(n)+who+what)
	}
	return strings.Join(parts, ", ")
}

func (n news) write(b *strings.Builder, portal string) {
	b.WriteString(n.headline() + ".\n\n" + n.incident.Text + "\n")
	if !n.delivery.Phase.Ends() && len(n.incident.Report) > 0 {
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
	Type      string `json:"type"` // site.dark, site.back, site.losing, site.kept, site.lost, or test
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
	Agent        string      `json:"agent,omitempty"` // of a silence: up, restarted or rebooted meanwhile
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
	i := n.incident
	data := payloadData{
		Incident: string(i.ID), Organisation: payloadName{string(i.Org), n.org}, Site: payloadName{string(n.site.ID), n.site.Name},
		StartUs: i.StartUs, EndUs: i.EndUs, Cause: i.Cause, Text: i.Text, LastReport: append([]string{}, i.Report...), URL: n.link(portal),
	}
	if i.Kind == health.Dark {
		data.Agent = i.Outcome
	}
	at := i.SaidUs
	if n.delivery.Phase.Ends() {
		at = i.SettledUs
	}
	p := payload{Type: n.kind(), Timestamp: time.UnixMicro(at).UTC().Format(time.RFC3339), Data: data}
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
		text:    "This is a test. When a site goes dark or comes back, or will lose chosen clips, a message like this one comes here.\n",
	}
	m.body = []byte(`{"type":"test","timestamp":"` + now.UTC().Format(time.RFC3339) + `","data":{}}`)
	return m
}

package api

import "encoding/json"

// Event is something that happened at a site.
type Event struct {
	ID     string          `json:"id"`
	Site   string          `json:"site"`
	Camera string          `json:"camera,omitempty"`
	Kind   string          `json:"kind"`
	Source string          `json:"source" doc:"Who said so: local, nvr, agent."`
	AtUs   int64           `json:"at_us"`
	EndUs  int64           `json:"end_us,omitempty"`
	Text   string          `json:"text,omitempty"`
	Data   json.RawMessage `json:"data,omitempty" doc:"An object as the source gave it."`
	Clip   string          `json:"clip,omitempty" doc:"The clip that shows it."`
}

// Events is a page of events, newest first.
type Events struct {
	Events []Event `json:"events" nullable:"false"`
	Next   string  `json:"next,omitempty" doc:"Give it as 'before' to get older ones; absent at the end."`
}

// Incident is one problem as people see it.
type Incident struct {
	ID      string `json:"id"`
	Site    string `json:"site"`
	Kind    string `json:"kind" enum:"dark,losing" doc:"dark: the site is not heard of. losing: it says that chosen clips will be lost."`
	StartUs int64  `json:"start_us"`
	EndUs   int64  `json:"end_us,omitempty" doc:"Absent while it lasts."`
	Cause   string `json:"cause"`
	Outcome string `json:"outcome,omitempty" doc:"Of dark, what the agent did meanwhile: up, restarted, rebooted. Of losing, what became of the clips: kept, lost."`
	Text    string `json:"text"`
}

// Incidents is a page of incidents, newest first.
type Incidents struct {
	Incidents []Incident `json:"incidents" nullable:"false"`
	Next      string     `json:"next,omitempty" doc:"Give it as 'before' to get older ones; absent at the end."`
}

// Alerts says who is told of incidents.
type Alerts struct {
	Emails   []string  `json:"emails" nullable:"false" maxItems:"50"`
	Webhooks []Webhook `json:"webhooks" nullable:"false" maxItems:"20"`
}

// Webhook is one URL that is called. A secret is written, never read back.
type Webhook struct {
	URL       string `json:"url" minLength:"8" maxLength:"2048"`
	Secret    string `json:"secret,omitempty" maxLength:"256" doc:"Key of the HMAC-SHA-256 signature; absent: keep the one that is set for this URL."`
	HasSecret bool   `json:"has_secret,omitempty"`
}

// AlertTest says what became of a test message, per receiver.
type AlertTest struct {
	Results []AlertResult `json:"results" nullable:"false"`
}

// AlertResult is one delivery.
type AlertResult struct {
	To string `json:"to" doc:"The e-mail address or URL."`
	OK bool   `json:"ok"`
	// Text says what went wrong and what to do; empty when it worked.
	Text string `json:"text,omitempty"`
}

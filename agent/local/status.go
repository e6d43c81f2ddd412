package local

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"holdfast/agent/health"
	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Status is what the hall knows of the site at one moment.
type Status struct {
	Site         string // name; empty before enrolment
	Organisation string
	Host         string
	NowUs        int64 // wall time of this snapshot
	StartedUs    int64 // when the agent started
	Cloud        Cloud
	Cameras      []wire.CameraState
	Conditions   []health.Condition
	Disk         wire.DiskState
	Queue        wire.QueueState
	FactBytes    int64 // of the facts that wait, about
	Holds        []wire.HoldState
	Line         pace.State       // what goes up, under which cap
	Filling      Filling          // of gaps from other sources; the window puts it in words
	Parked       int64            // facts that the cloud could not apply
	Events       []wire.EventFact // newest first
}

// Cloud is the state of the line to the cloud.
type Cloud struct {
	Enrolled  bool   `json:"enrolled"`
	Connected bool   `json:"connected"`
	SinceUs   int64  `json:"since_us,omitempty"` // connected, or not, since then; 0 when it never was
	Address   string `json:"address,omitempty"`  // of the cloud, without secrets
	Text      string `json:"text,omitempty"`     // why not, in words
}

// report is the body of GET /status.json: Status in the words of the page.
type report struct {
	Site         string             `json:"site"`
	Organisation string             `json:"organisation,omitempty"`
	Version      string             `json:"version"`
	Host         string             `json:"host"`
	NowUs        int64              `json:"now_us"`
	StartedUs    int64              `json:"started_us"`
	Summary      summary            `json:"summary"`
	Cloud        Cloud              `json:"cloud"`
	Cameras      []camera           `json:"cameras"`
	Conditions   []health.Condition `json:"conditions"` // failing ones that are not a camera's
	Disk         wire.DiskState     `json:"disk"`
	Queue        queue              `json:"queue"`
	Line         line               `json:"line"`
	Filling      Filling            `json:"filling"`
	Events       []event            `json:"events"`
	Holds        int                `json:"holds"` // how many; what they are for is told with the token alone
}

// summary is the one sentence at the top.
type summary struct {
	State wire.State `json:"state"`
	Text  string     `json:"text"`
}

// camera is one camera in words.
type camera struct {
	ID        id.Camera   `json:"id"`
	Name      string      `json:"name"`
	Channel   string      `json:"channel,omitempty"`
	State     wire.State  `json:"state"`
	Reason    wire.Reason `json:"reason,omitempty"`
	Text      string      `json:"text"`
	SinceUs   int64       `json:"since_us,omitempty"`
	Recording bool        `json:"recording"`
	DurableUs int64       `json:"durable_us,omitempty"` // video is safe on disk up to here
	Detail    string      `json:"detail,omitempty"`     // size, rate
	Kept      string      `json:"kept,omitempty"`       // how far back video will reach
	Due       string      `json:"due,omitempty"`        // what a stricter limit will delete
}

// queue is what waits for the line.
type queue struct {
	wire.QueueState
	FactBytes int64  `json:"fact_bytes"` // about
	Parked    int64  `json:"parked"`
	Text      string `json:"text"`
}

// line is what goes up, and why not more.
type line struct {
	pace.State
	Text string `json:"text"`
}

// event is an event with its camera's name.
type event struct {
	ID         id.Event `json:"id"`
	Kind       string   `json:"kind"`
	Source     string   `json:"source"`
	AtUs       int64    `json:"at_us"`
	Text       string   `json:"text,omitempty"`
	CameraName string   `json:"camera_name,omitempty"`
}

// snapshot keeps a Status for a second, so that many lookers cost no more than one.
type snapshot struct {
	mu     sync.Mutex
	taken  time.Time
	status Status
}

func (s *snapshot) get(fresh func() Status) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken.IsZero() || time.Since(s.taken) >= time.Second {
		s.status, s.taken = fresh(), time.Now()
	}
	return s.status
}

// forget has the next look be a fresh one.
func (s *snapshot) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = time.Time{}
}

func (l *Local) getStatus(w http.ResponseWriter, _ *http.Request) {
	r := describe(l.snapshot.get(l.deps.Status))
	r.Version = l.cfg.Version
	answer(w, http.StatusOK, r)
}

// describe puts a Status in words.
func describe(s Status) report {
	r := report{
		Site: s.Site, Organisation: s.Organisation, Host: s.Host, NowUs: s.NowUs, StartedUs: s.StartedUs,
		Cloud: s.Cloud, Cameras: []camera{}, Conditions: []health.Condition{}, Disk: s.Disk,
		Holds: len(s.Holds),
		Queue: queue{QueueState: s.Queue, FactBytes: s.FactBytes, Parked: s.Parked, Text: queueText(s.Queue)}, Line: line{s.Line, s.Line.String()}, Events: []event{},
	}
	if !s.Cloud.Connected && s.Cloud.Text == "" {
		r.Cloud.Text = cloudText(s.Cloud)
	}
	names := map[id.Camera]string{}
	since := map[id.Camera]int64{}
	for _, c := range s.Conditions {
		if c.State != wire.Failing {
			continue
		}
		if c.Camera == "" {
			r.Conditions = append(r.Conditions, c)
		} else if since[c.Camera] == 0 || c.SinceUs < since[c.Camera] {
			since[c.Camera] = c.SinceUs
		}
	}
	for _, c := range s.Cameras {
		names[c.Camera] = c.Name
		view := describeCamera(c)
		if view.State == wire.Failing {
			view.SinceUs = since[c.Camera]
		}
		r.Cameras = append(r.Cameras, view)
	}
	for _, e := range s.Events {
		r.Events = append(r.Events, event{e.ID, e.Kind, e.Source, e.AtUs, e.Text, names[e.Camera]})
	}
	r.Filling = describeFilling(s.Filling, names)
	r.Summary = summarise(r)
	return r
}

// describeCamera judges a camera by what it should do: the recorded streams count, and without any the rest.
func describeCamera(c wire.CameraState) camera {
	view := camera{ID: c.Camera, Name: c.Name, Channel: c.Channel, State: wire.StateUnknown, Text: "Not looked at yet"}
	if view.Name == "" {
		view.Name = string(c.Camera)
	}
	recorded := false
	for _, s := range c.Streams {
		recorded = recorded || s.Record
	}
	for _, s := range c.Streams {
		if s.Record != recorded || view.State == wire.Failing {
			continue
		}
		view.State, view.Reason, view.Text = s.State, s.Reason, s.Text
		view.Recording = s.Record && s.State == wire.OK
		if s.Kind == id.Main || view.DurableUs == 0 {
			view.DurableUs, view.Detail = s.DurableUs, detail(s)
		}
	}
	if view.Text == "" {
		view.Text = streamText(view)
	}
	view.Kept, view.Due = keptText(c.Retention), dueText(c.Retention)
	return view
}

func streamText(c camera) string {
	switch {
	case c.Reason == wire.Disabled || c.Reason == wire.Schedule:
		return words(c.Reason)
	case c.State == wire.OK && c.Recording:
		return "Recording"
	case c.State == wire.OK:
		return "Ready; not recorded"
	case c.State == wire.Failing || c.Reason != "":
		return words(c.Reason)
	}
	return "Not looked at yet"
}

func detail(s wire.StreamState) string {
	if s.Width == 0 {
		return ""
	}
	text := fmt.Sprintf("%d × %d", s.Width, s.Height)
	if s.FPS > 0 {
		text += fmt.Sprintf(", %.0f frames/s", s.FPS)
	}
	if s.Kbps > 0 {
		text += fmt.Sprintf(", %.1f Mbit/s", s.Kbps/1000)
	}
	return text
}

// words says what a reason means and what to do about it.
func words(r wire.Reason) string {
	known := map[wire.Reason]string{
		wire.NotConfigured: "Not configured: give the camera's address in the agent's configuration",
		wire.Disabled:      "Switched off in the portal",
		wire.Schedule:      "Off by its schedule",
		wire.Connecting:    "Connecting",
		wire.Unreachable:   "Does not answer: check its power, its network cable and its address",
		wire.AuthFailed:    "Refuses the user name or password: correct them in the agent's configuration",
		wire.SessionLimit:  "Has no free connection: too many programs take its video",
		wire.Stalled:       "Connected, but sends no picture: restart the camera",
		wire.NoKeyFrame:    "Sends no key frame: set a key frame interval of 1 to 4 seconds in the camera",
		wire.AwaitKeyFrame: "Waiting for the next whole picture",
		wire.DecodeError:   "Sends video that cannot be read: restart the camera, or set it to H.264 or H.265",
		wire.SlowDisk:      "The disk is too slow for all cameras",
		wire.DiskFailed:    "The disk cannot be written: check it and its cables",
		wire.HeldFull:      "The disk is full of video that must not be deleted",
		wire.AgentStopped:  "The agent was stopped",
		wire.AgentCrashed:  "The agent stopped by a fault",
		wire.HostOff:       "This machine was off",
		wire.Updating:      "The agent is being updated",
		wire.ClockStep:     "The clock was set",
	}
	if text := known[r]; text != "" {
		return text
	}
	return "Not recording; the reason is not known"
}

func cloudText(c Cloud) string {
	if !c.Enrolled {
		return "This agent has not been enrolled yet: create a code for the site in the portal and run  holdfast-agent enrol"
	}
	return "No connection yet"
}

func queueText(q wire.QueueState) string {
	switch {
	case q.Facts == 0 && q.Clips == 0:
		return "Everything has been sent"
	case q.Clips == 0:
		return count(q.Facts, "report waits", "reports wait") + " for the line"
	case q.Facts == 0:
		return count(q.Clips, "clip waits", "clips wait") + " for the line"
	}
	return count(q.Facts, "report", "reports") + " and " + count(q.Clips, "clip wait", "clips wait") + " for the line"
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// summarise answers the question with which somebody comes to the box.
func summarise(r report) summary {
	var failing, unknown, recording int64
	for _, c := range r.Cameras {
		switch {
		case c.State == wire.Failing && c.Reason != wire.Disabled && c.Reason != wire.Schedule:
			failing++
		case c.State == wire.StateUnknown:
			unknown++
		case c.Recording:
			recording++
		}
	}
	all := int64(len(r.Cameras))
	switch {
	case all == 0:
		return summary{wire.Failing, "No camera is configured yet"}
	case failing > 0:
		text := fmt.Sprintf("%d of %d cameras are not recording", failing, all)
		if failing == 1 {
			text = fmt.Sprintf("1 of %s is not recording", count(all, "camera", "cameras"))
		}
		return summary{wire.Failing, text}
	case len(r.Conditions) > 0:
		return summary{wire.Failing, "Something needs attention: " + lower(r.Conditions[0].Text)}
	case unknown > 0:
		return summary{wire.StateUnknown, "Starting: " + count(unknown, "camera has", "cameras have") + " not answered yet"}
	case !r.Cloud.Connected:
		return summary{wire.Failing, count(recording, "camera records", "cameras record") + "; there is no connection to the cloud"}
	}
	return summary{wire.OK, count(recording, "camera records", "cameras record") + " and the cloud is connected"}
}

// lower begins a sentence as part of another.
func lower(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'a' && s[1] <= 'z' {
		return string(s[0]+'a'-'A') + s[1:]
	}
	return s
}

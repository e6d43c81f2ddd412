package fleet

import (
	"context"
	"strconv"
	"strings"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/health"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Status of a site.
const (
	OK        = "ok"
	Attention = "attention" // something is missing
	Dark      = "dark"      // not heard of
	Never     = "never"     // no agent was ever heard of, or it was removed
	Starting  = "starting"  // the cloud has just started and does not judge yet
)

// Status of a camera, besides OK.
const (
	Failing  = "failing"
	Disabled = "disabled"
	Unknown  = "unknown"
)

// Severity of what is missing.
const (
	Critical = "critical"
	Warning  = "warning"
	Info     = "info"
)

// Site is how a site is.
type Site struct {
	Status     string
	SinceUs    int64 // since when the status is what it is
	Missing    []Missing
	Cameras    CameraCount
	Agent      *Agent
	Disk       *wire.DiskState  // nil: never reported
	Queue      *wire.QueueState // nil: never reported
	Losses     []Loss           // of chosen clips, foretold by the newest heartbeat
	Verdict    *Verdict         // of a dark site
	LastOutage *Outage
}

// Loss is a range of chosen clips that will be lost.
type Loss struct {
	wire.ClipLoss
	Name     string // of the camera
	StepDown bool   // people have chosen that its clips step down to the sub stream
}

// Missing is one thing that is wrong at a site, in a sentence that says what to do.
type Missing struct {
	Severity string
	Text     string
	Camera   id.Camera
	Reason   wire.Reason
}

// CameraCount counts the cameras that the site's configuration has.
type CameraCount struct{ Total, Recording, Failing int }

// Agent describes the agent of a site.
type Agent struct {
	ID            id.Agent
	Version       string
	OS            string
	Host          string
	Local         string // address of its status page on the LAN
	Connected     bool
	EnrolledUs    int64
	LastSeenUs    int64
	ClockOffsetUs int64 // clock of the site minus clock of the cloud
	RTTMs         float64
	UpUs          int64
}

// Verdict says why a site is dark.
type Verdict struct {
	SinceUs    int64
	Cause      string // one of the causes
	Text       string
	LastReport []string // sentences: what the agent said last
}

// Outage is a time in which the site had no line to the cloud.
type Outage struct {
	StartUs, EndUs int64
	Text           string
	Agent          string // what the agent did meanwhile: up, restarted, rebooted; empty: unknown
}

// Camera is how a camera is.
type Camera struct {
	Status    string // ok, failing, disabled, unknown
	Reason    wire.Reason
	Text      string
	SinceUs   int64
	Recording bool
	Streams   []wire.StreamState
	FirstUs   int64 // oldest video at the site
	DurableUs int64 // video up to here is on the site's disk
	Retention *wire.Retention
	PTZ       bool // its site may be asked whether it moves
	Talk      bool // the site lets people speak there
}

// Sites returns how each of these sites is; one that is not in the scope or was never heard of is "never".
func (f *Fleet) Sites(scope store.Scope, sites []id.Site) map[id.Site]Site {
	now := time.Now()
	judging := f.judging(now)
	out := make(map[id.Site]Site, len(sites))
	for _, which := range sites {
		s := f.find(scope, which)
		if s == nil {
			out[which] = f.unheard(judging)
			continue
		}
		s.mu.Lock()
		out[which] = f.view(s, now, judging)
		s.mu.Unlock()
	}
	return out
}

// Site returns how one site is.
func (f *Fleet) Site(scope store.Scope, which id.Site) Site {
	return f.Sites(scope, []id.Site{which})[which]
}

// unheard is a site without an entry: nobody can tell before everything is loaded.
func (f *Fleet) unheard(judging bool) Site {
	f.mu.RLock()
	loaded := f.loaded
	f.mu.RUnlock()
	if !loaded && !judging {
		return Site{Status: Starting, Missing: []Missing{}}
	}
	return Site{Status: Never, Missing: []Missing{{
		Severity: Info, Text: "No agent has connected yet: install it at the site and enrol it with a code from this page.",
	}}}
}

func (f *Fleet) view(s *site, now time.Time, judging bool) Site {
	if s.agent == "" {
		v := f.unheard(judging)
		v.LastOutage = s.last
		return v
	}
	missing := s.missing(now)
	v := Site{
		Status: s.judged(missing, judging), SinceUs: s.sinceUs, Missing: missing, LastOutage: s.last,
		Agent: &Agent{
			ID: s.agent, Version: s.about.Version, OS: s.about.OS, Host: s.about.Host, Local: s.about.Local,
			Connected: s.connected, EnrolledUs: s.enrolledUs, LastSeenUs: s.seenUs, ClockOffsetUs: s.offsetUs,
			RTTMs: float64(s.rttUs) / 1000, UpUs: max(s.seenUs-s.about.StartedUs, 0),
		},
	}
	if s.disk.TotalBytes > 0 {
		disk := s.disk
		v.Disk = &disk
	}
	queue := s.queue
	v.Queue = &queue
	for _, l := range queue.Losses {
		v.Losses = append(v.Losses, Loss{ClipLoss: l, Name: s.nameOf(l.Camera), StepDown: s.names[l.Camera].StepDown})
	}
	for _, c := range s.cameras {
		view := s.camera(c, now)
		v.Cameras.Total++
		if view.Recording {
			v.Cameras.Recording++
		}
		if view.Status == Failing {
			v.Cameras.Failing++
		}
	}
	if v.Status == Dark {
		cause, text := f.verdict(s, now)
		v.Verdict = &Verdict{SinceUs: s.seenUs, Cause: cause, Text: text, LastReport: s.lastReport(now)}
	}
	return v
}

// judged returns the status. A site that was not heard of since the cloud started is not judged during the grace.
func (s *site) judged(missing []Missing, judging bool) string {
	switch {
	case s.agent == "":
		return Never
	case s.heard.IsZero() && (!judging || !s.dark):
		return Starting
	case s.dark:
		return Dark
	}
	for _, m := range missing {
		if m.Severity != Info {
			return Attention
		}
	}
	return OK
}

// Cameras returns how each camera is that the site's agent named last.
func (f *Fleet) Cameras(scope store.Scope, which id.Site) map[id.Camera]Camera {
	out := map[id.Camera]Camera{}
	s := f.find(scope, which)
	if s == nil {
		return out
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cameras {
		v := s.camera(c, now)
		v.Streams = append([]wire.StreamState{}, c.Streams...)
		out[c.Camera] = v
	}
	return out
}

// camera returns how a camera is, without its streams. Of a site that is not heard of nothing is known.
func (s *site) camera(c *camera, now time.Time) Camera {
	st := c.main()
	v := Camera{Reason: st.Reason, SinceUs: s.since(c, st), Retention: c.Retention, PTZ: c.PTZ, Talk: c.Talk}
	for _, st := range c.Streams {
		if st.Kind == id.Main {
			v.FirstUs, v.DurableUs = st.FirstUs, st.DurableUs
		}
	}
	wanted := s.names[c.Camera]
	switch {
	case wanted.Disabled || st.Reason == wire.Disabled || st.Reason == wire.Schedule:
		v.Status, v.Text = Disabled, "Not recorded, as somebody wished."
	case s.dark || s.heard.IsZero():
		v.Status, v.SinceUs, v.Text = Unknown, s.seenUs, "The site is not heard of. "+s.lastOf(c, now)
	case st.State == wire.Failing:
		v.Status, v.Text = Failing, s.cameraSentence(c, st, now)
	case st.State == wire.OK:
		v.Status, v.Recording, v.Reason = OK, st.Record, ""
	default:
		v.Status = Unknown
	}
	return v
}

// since returns since when a camera is as it is: by the condition that says so, else by what was seen here.
func (s *site) since(c *camera, st wire.StreamState) int64 {
	for _, key := range []conditionKey{{"stream", c.Camera, string(st.Kind)}, {"camera", c.Camera, ""}} {
		if cond, ok := s.conditions[key]; ok && cond.State == st.State && cond.Reason == st.Reason {
			return cond.SinceUs - s.offsetUs
		}
	}
	return c.sinceUs
}

// Stream is the live edge of a stream.
type Stream struct {
	FirstUs   int64 // oldest video at the site, by the site's clock; 0: unknown
	DurableUs int64 // video up to here was on the site's disk at the last heartbeat, by the site's clock; 0: unknown
	Connected bool
	Record    bool
}

// Stream returns the live edge of a stream, from the last heartbeat; ok is false if the site never named it.
func (f *Fleet) Stream(scope store.Scope, which id.Site, stream id.Stream) (_ Stream, ok bool) {
	s := f.find(scope, which)
	if s == nil {
		return Stream{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cameras {
		for _, st := range c.Streams {
			if c.Camera == stream.Camera && st.Kind == stream.Kind {
				return Stream{FirstUs: st.FirstUs, DurableUs: st.DurableUs, Connected: s.connected, Record: st.Record}, true
			}
		}
	}
	return Stream{}, false
}

// Incidents returns incidents, newest first, and the cursor for older ones.
func (f *Fleet) Incidents(ctx context.Context, scope store.Scope, filter health.IncidentFilter) ([]health.Incident, string, error) {
	return health.Incidents(ctx, f.db.Read(), scope, filter)
}

// changes notes the present status, and returns what people see differently since the last time.
func (s *site) changes(now time.Time, judging bool) []Change {
	var out []Change
	missing := s.missing(now)
	status := s.judged(missing, judging)
	if status != Starting && status != s.status {
		s.status, s.sinceUs, s.stateDirty = status, now.UnixMicro(), s.agent != ""
		if status == Dark {
			s.sinceUs = s.seenUs
		}
	}
	var b strings.Builder
	b.WriteString(status + strconv.FormatBool(s.connected) + s.about.Version + s.about.Local)
	for _, m := range missing {
		if m.Severity != Info {
			b.WriteString("\x00" + m.Text)
		}
	}
	for _, c := range s.cameras {
		v := s.camera(c, now)
		shown := v.Status + string(v.Reason) + strconv.FormatBool(v.Recording) + s.cameraName(c)
		if shown != c.shown {
			c.shown = shown
			out = append(out, Change{Org: s.org, Site: s.id, Camera: c.Camera, Kind: "camera"})
		}
	}
	if b.String() != s.shown {
		s.shown = b.String()
		out = append(out, Change{Org: s.org, Site: s.id, Kind: "site"})
	}
	return out
}

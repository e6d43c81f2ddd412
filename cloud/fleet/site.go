package fleet

import (
	"slices"
	"sync"
	"time"

	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// site is what is known of one site. Whoever holds its lock may take the fleet's, never the other way round.
type site struct {
	org id.Org
	id  id.Site

	mu   sync.Mutex
	name string
	zone *time.Location

	agent      id.Agent // empty: none was ever heard of
	enrolledUs int64
	about      about
	connected  bool
	heard      time.Time // of the last hello or heartbeat; zero if none came since the cloud started
	seenUs     int64     // the same on the wall, kept over a restart of the cloud
	openedUs   int64     // of the last session
	ending     string    // why the last session ended, in the gateway's words
	rttUs      int64
	offsetUs   int64 // the site's clock minus the cloud's
	disk       wire.DiskState
	queue      wire.QueueState
	cameras    []*camera
	conditions map[conditionKey]wire.ConditionFact
	holds      []wire.HoldState

	want    wire.DesiredConfig
	names   map[id.Camera]orgs.Camera
	inForce int64    // version of the desired configuration at the site
	faults  []string // what the site refused of it
	stale   bool     // want is older than what people wish
	pushing bool
	retryAt time.Time // no push before

	dark     bool
	outage   problem // the site is not heard of
	last     *Outage
	losing   problem // chosen clips will be lost
	foretold int     // heartbeats in a row that foretell a loss

	status      string // as last computed; starting is not kept
	sinceUs     int64
	shown       string // what people see of it, but for numbers that always move
	stateDirty  bool
	stateAt     time.Time
	reportDirty bool
	reportAt    time.Time
	dropped     bool // what is stored of it must go
}

// about is what an agent says of itself in its hello.
type about struct {
	Version   string `json:"version"`
	OS        string `json:"os"`
	Host      string `json:"host"`
	Local     string `json:"local"`
	BootID    string `json:"boot_id"`
	Run       int64  `json:"run"`
	StartedUs int64  `json:"started_us"` // by the cloud's clock
	Protocol  int    `json:"protocol"`   // newest version that it speaks
}

// camera is what is known of one camera.
type camera struct {
	wire.CameraState
	sinceUs int64 // since when its state and reason are what they are, by the cloud's clock
	shown   string
}

type conditionKey struct {
	name   string
	camera id.Camera
	kind   string
}

func keyOf(c wire.ConditionFact) conditionKey { return conditionKey{c.Name, c.Camera, c.Kind} }

// greet takes a hello: the full state.
func (s *site) greet(ref agents.Ref, h wire.Hello, now time.Time) {
	was, wasAgent := s.about, s.agent
	s.agent, s.dropped = ref.Agent, false
	s.about = about{
		Version: h.AgentVer, OS: h.OS, Host: h.Host, Local: h.Local, BootID: h.BootID, Run: h.Run,
		StartedUs: now.UnixMicro() - max(h.UpUs, 0), Protocol: h.Version,
	}
	s.holds = h.Holds
	// The welcome carried a newer configuration, if there is one; asking later tells what became of it.
	s.inForce, s.retryAt = h.Config, now.Add(pushDelay)
	s.offsetUs = h.WallUs - now.UnixMicro()
	s.openedUs, s.connected, s.ending = now.UnixMicro(), true, ""
	s.conditions = map[conditionKey]wire.ConditionFact{}
	s.setCameras(h.Cameras, true, now)
	s.setConditions(h.Conditions)
	s.returned(now, did(was, s.about, wasAgent == ref.Agent, s.seenUs))
	s.hear(now)
	s.reportDirty = true
}

// What an agent did while it was not heard of.
const (
	Up        = "up"
	Restarted = "restarted"
	Rebooted  = "rebooted"
)

// startSlackUs allows for the time that a hello travels and waits.
const startSlackUs = 10_000_000

// did compares what an agent said of itself before and after a silence.
func did(was, is about, same bool, seenUs int64) string {
	switch {
	case was.BootID == "" || seenUs == 0:
		return ""
	case was.BootID != is.BootID && is.BootID != "":
		return Rebooted
	case !same:
		return Restarted
	// A new run may come of a step of the clock alone, and a sleep of the machine moves the start that is reckoned.
	case is.Run != was.Run && is.StartedUs > was.StartedUs+startSlackUs && is.StartedUs > seenUs-startSlackUs:
		return Restarted
	default:
		return Up
	}
}

// beat takes a heartbeat: what changed.
func (s *site) beat(h wire.Heartbeat, rtt time.Duration, now time.Time) {
	if s.setCameras(h.Cameras, false, now) {
		s.reportDirty = true
	}
	if len(h.Conditions) > 0 {
		s.setConditions(h.Conditions)
		s.reportDirty = true
	}
	s.setDurable(h)
	s.disk, s.queue = h.Disk, h.Queue
	if s.about.Protocol >= holdsSince {
		s.holds = h.Holds
	}
	if rtt > 0 {
		s.rttUs = rtt.Microseconds()
	}
	if h.OffsetUs != 0 {
		s.offsetUs = -h.OffsetUs
	}
	s.returned(now, Up)
	s.hear(now)
	s.foretell(now)
}

func (s *site) hear(now time.Time) {
	s.heard, s.seenUs, s.stateDirty = now, now.UnixMicro(), true
}

// setCameras takes states of cameras; full says that they are all there are. It reports whether one changed.
func (s *site) setCameras(states []wire.CameraState, full bool, now time.Time) (changed bool) {
	known := make(map[id.Camera]*camera, len(s.cameras))
	for _, c := range s.cameras {
		known[c.Camera] = c
	}
	if full {
		s.cameras = nil
	}
	for _, state := range states {
		c, old := known[state.Camera]
		if !old {
			c = &camera{CameraState: state, sinceUs: now.UnixMicro()}
		}
		if full && !slices.Contains(s.cameras, c) || !old {
			s.cameras = append(s.cameras, c)
			known[state.Camera] = c
		}
		before, after := c.main(), mainOf(state)
		if old && (before.State != after.State || before.Reason != after.Reason) {
			c.sinceUs = now.UnixMicro()
		}
		c.CameraState, changed = state, true
	}
	return changed
}

// main returns the stream that decides how the camera is: one that is recorded and fails, else the main one.
func (c *camera) main() wire.StreamState { return mainOf(c.CameraState) }

func mainOf(c wire.CameraState) wire.StreamState {
	var main wire.StreamState
	for _, st := range c.Streams {
		if st.Record && st.State == wire.Failing {
			return st
		}
		if st.Kind == id.Main {
			main = st
		}
	}
	if main.State == "" {
		main.State = wire.StateUnknown
	}
	return main
}

func (s *site) setConditions(facts []wire.ConditionFact) {
	for _, c := range facts {
		s.conditions[keyOf(c)] = c
	}
}

// setDurable moves the durable ends of the recorded streams, which a heartbeat gives as ages in the hello's order.
func (s *site) setDurable(h wire.Heartbeat) {
	i := 0
	for _, c := range s.cameras {
		for n := range c.Streams {
			if !c.Streams[n].Record {
				continue
			}
			if i < len(h.Durable) && h.Durable[i] >= 0 {
				c.Streams[n].DurableUs = h.WallUs - h.Durable[i]*1000
			}
			i++
		}
	}
}

// returned notes that a dark site is heard of again.
func (s *site) returned(now time.Time, outcome string) {
	if s.outage.incident == nil || s.outage.incident.EndUs != 0 {
		return
	}
	s.dark = false
	s.outage.incident.EndUs = now.UnixMicro()
	s.outage.incident.Outcome = worse(s.outage.incident.Outcome, outcome)
	s.outage.unsaved = true
	_, text := s.closing(*s.outage.incident, told{}, now)
	s.last = &Outage{StartUs: s.outage.incident.StartUs, EndUs: s.outage.incident.EndUs, Text: text, Agent: s.outage.incident.Outcome}
}

// worse returns the greater interruption.
func worse(a, b string) string {
	rank := func(o string) int { return slices.Index([]string{"", Up, Restarted, Rebooted}, o) }
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// silence returns since when the site is not heard of.
func (s *site) silence(now time.Time) time.Duration {
	if !s.heard.IsZero() {
		return now.Sub(s.heard)
	}
	return now.Sub(time.UnixMicro(s.seenUs))
}

// retire forgets the agent: it was removed from its site, which is no fault to tell anybody.
func (s *site) retire(now time.Time) {
	s.agent, s.connected, s.dark, s.cameras, s.holds = "", false, false, nil, nil
	s.conditions, s.stateDirty, s.reportDirty = map[conditionKey]wire.ConditionFact{}, false, false
	s.dropped = true
	for _, p := range s.problems() {
		p.withdraw(now, "The agent was removed from the site.")
	}
}

// cameraName returns the name that people gave, else the site's own.
func (s *site) cameraName(c *camera) string {
	if n := s.names[c.Camera].Given; n != "" {
		return n
	}
	if c.Name != "" {
		return c.Name
	}
	return string(c.Camera)
}

func (s *site) location() *time.Location {
	if s.zone != nil {
		return s.zone
	}
	return time.UTC
}

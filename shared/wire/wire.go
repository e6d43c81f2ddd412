// Package wire is all that the two houses share: the messages between agent and cloud, their version with
// its history, their size limits, the signing of requests, replies and session frames, and the enrolment
// proof. PROTOCOL.md beside this file tells the exchange as a story.
//
// Rules: fields are added, never reused; a receiver ignores what it does not know; times are int64
// microseconds since 1970 ("...Us") unless a field says "mono" (microseconds on a run's own timeline).
package wire

import (
	"math"
	"time"
)

// Version is the protocol's version. An end accepts every version from OldestVersion to Version.
//
// History:
//   - 1 (2026-11-23): first version.
//   - 2 (2026-11-28): holds, retention by share of the disk, and what a site says of both: DesiredConfig.Holds,
//     CameraDesire.SharePct, CameraState.Retention, Hello.Holds, Heartbeat.Holds, DiskState.HeldBytes and
//     CapacityBytes. An agent of version 1 keeps no holds: the cloud must say so. Clips: ClipOrder.Priority, and an
//     order that changes a range; ClipFact.OrderStartUs and OrderEndUs; parts in pieces: ClipBegin.Pieces,
//     PartPlan.Pieces and PieceBytes; ClipPlan.More and ValidUs. QueueState's rates and losses. Stepping down to the sub
//     stream: CameraDesire.StepDown, ClipFact.Stream. Comparing days: DayAsk, DayAnswer, Restatement, Restated and their
//     two routes. One copy for many viewers: LiveOffer.Relay, LiveAnswer.Relay.
//     A viewer on the move: LiveOffer.Restart. Addresses told as they are learnt: LiveOffer.Trickle, LivePaths.
//     Moving cameras: CameraState.PTZ, PTZOrder and PTZReply.
//     What the relay makes MP4 of: LiveView.Film, LiveAnswer.Reordered, Sound, Unheard and Unseen.
const (
	Version       = 2
	OldestVersion = 1
)

// Limits that both ends enforce when they decode.
const (
	MaxFrameBytes    = 1 << 20   // one session frame, header and body
	MaxPieceBytes    = 32 << 10  // one piece of a reply's payload
	MaxPayloadBytes  = 4 << 20   // the payload of one reply, all pieces together
	MaxEnrolBytes    = 16 << 10  // body of either enrolment request
	MaxCommandBytes  = 256 << 10 // body of one command
	MaxBatchBytes    = 4 << 20   // one batch of facts, decompressed
	MaxBatchFacts    = 2000      // facts in one batch
	MaxFactBytes     = 64 << 10
	MaxRequestBytes  = 5 << 20 // body of any signed request but a clip part
	MaxNameRunes     = 128     // a name that a person or a device gave
	MaxTextRunes     = 1000    // a sentence for a person
	MaxOutstanding   = 16      // commands of one session that wait for their reply
	MaxCameras       = 1024    // cameras of one agent
	MaxClipPartBytes = 8 << 20
	MaxLosses        = 20 // ranges that one heartbeat foretells to be lost
	// MaxClipPieceBytes bounds a piece of a part: what passes a line that breaks all the time.
	MaxClipPieceBytes = 256 << 10
)

// Paths of the cloud's routes for agents.
const (
	PathEnrolStart  = "/agent/v1/enrol/start"
	PathEnrolFinish = "/agent/v1/enrol/finish"
	PathSession     = "/agent/v1/session"
	PathBatch       = "/agent/v1/batch"
	PathDays        = "/agent/v1/days"
	PathRestate     = "/agent/v1/restate"
	PathClips       = "/agent/v1/clips/" // + clip ID + "/begin", "/parts/{n}", "/parts/{n}/pieces/{k}" or "/complete"
)

// Lane says how urgently a queue of facts is sent.
type Lane string

// Lanes, most urgent first. Urgent facts are alarms and health; live facts are what happens now; backlog is
// what waited when the session opened.
const (
	Urgent  Lane = "urgent"
	Live    Lane = "live"
	Backlog Lane = "backlog"
)

// Reason says why a time range has no video. The list is closed.
type Reason string

// Reasons of a gap.
const (
	NotConfigured   Reason = "not_configured"
	Disabled        Reason = "disabled"
	Schedule        Reason = "schedule"
	Connecting      Reason = "connecting"
	Unreachable     Reason = "unreachable"
	AuthFailed      Reason = "auth_failed"
	SessionLimit    Reason = "session_limit"
	Stalled         Reason = "stalled"
	NoKeyFrame      Reason = "no_key_frame"
	AwaitKeyFrame   Reason = "await_keyframe"
	DecodeError     Reason = "decode_error"
	SlowDisk        Reason = "slow_disk"
	DiskFailed      Reason = "disk_failed"
	HeldFull        Reason = "held_full"
	AgentStopped    Reason = "agent_stopped"
	AgentCrashed    Reason = "agent_crashed"
	HostOff         Reason = "host_off"
	Updating        Reason = "updating"
	ClockStep       Reason = "clock_step"
	Expired         Reason = "expired"
	DeletedByPerson Reason = "deleted_by_person"
	Lost            Reason = "lost"
	Unknown         Reason = "unknown"
)

// Reasons returns the closed list, in the order of the glossary.
func Reasons() []Reason {
	return []Reason{
		NotConfigured, Disabled, Schedule, Connecting, Unreachable, AuthFailed, SessionLimit, Stalled,
		NoKeyFrame, AwaitKeyFrame, DecodeError, SlowDisk, DiskFailed, HeldFull, AgentStopped, AgentCrashed,
		HostOff, Updating, ClockStep, Expired, DeletedByPerson, Lost, Unknown,
	}
}

// State is the state of one condition of health.
type State string

// States of a condition; unknown means that nobody has looked, never a guess.
const (
	OK           State = "ok"
	Failing      State = "failing"
	StateUnknown State = "unknown"
)

// Micros returns us microseconds as a duration; what does not fit becomes the longest one.
func Micros(us int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Microsecond)
	return time.Duration(max(-most, min(us, most))) * time.Microsecond
}

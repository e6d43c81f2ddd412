package wire

import (
	"encoding/json"

	"holdfast/shared/id"
)

// FactKind names the type of a fact's body.
type FactKind string

// Kinds of facts, each with its body type.
const (
	KindRun       FactKind = "run"       // RunFact
	KindCoverage  FactKind = "coverage"  // CoverageFact
	KindGap       FactKind = "gap"       // GapFact
	KindTrim      FactKind = "trim"      // TrimFact
	KindEvent     FactKind = "event"     // EventFact
	KindClip      FactKind = "clip"      // ClipFact
	KindCondition FactKind = "condition" // ConditionFact
	KindOutage    FactKind = "outage"    // OutageFact
)

// Fact is one outbox row on its way to the cloud. Seq counts from 1 without a hole inside its queue.
type Fact struct {
	Seq  int64           `json:"seq"`
	Kind FactKind        `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// Batch is a run of consecutive facts of one queue; the cloud applies it once and acks after its commit.
// A queue is an ordered sequence with its own permanent mark in the cloud: queue 0 is the urgent one, every
// other queue was the live one from one session's opening to the next and is drained as backlog later.
type Batch struct {
	Epoch string `json:"epoch"` // of the ledger: a restored or cloned ledger has a new one
	Queue int64  `json:"queue"`
	Lane  Lane   `json:"lane"` // the queue's role now; for pacing and display, not for order
	Facts []Fact `json:"facts"`
}

// Ack answers a Batch after the cloud's commit: every fact of the queue up to Seq is applied or parked.
type Ack struct {
	Queue  int64   `json:"queue"`
	Seq    int64   `json:"seq"`
	Parked []int64 `json:"parked,omitempty"` // seqs of this batch that could not be applied and were kept aside
}

// RunFact says that a run of the agent began or ended. A run is the time between a start of the agent (or a
// step of its clock) and its end; its timeline is monotonic, and WallUs is the wall time of its zero.
type RunFact struct {
	Run      int64  `json:"run"`
	BootID   string `json:"boot_id"`
	WallUs   int64  `json:"wall_us"`
	EndMono  int64  `json:"end_mono_us,omitempty"` // 0 while the run lasts
	EndedBy  Reason `json:"ended_by,omitempty"`    // agent_stopped, agent_crashed, host_off, updating, clock_step
	AgentVer string `json:"agent_version"`
}

// CoverageFact says that [StartUs, EndUs) of a stream is recorded at the site in one closed segment.
type CoverageFact struct {
	Stream    id.Stream `json:"stream"`
	Run       int64     `json:"run"`
	Segment   uint64    `json:"segment"`
	StartUs   int64     `json:"start_us"`
	EndUs     int64     `json:"end_us"`
	Bytes     int64     `json:"bytes"`
	Root      []byte    `json:"root"`                // Merkle root over the segment's parts, 32 bytes
	Recovered bool      `json:"recovered,omitempty"` // closed at start-up after a crash
	Origin    string    `json:"origin,omitempty"`    // empty: recorded by the agent; else the source it was filled from
}

// GapFact says that [StartUs, EndUs) of a stream has no video, and why. EndUs 0 means that the gap is open;
// the same ID is sent again when it ends.
type GapFact struct {
	ID      int64     `json:"id"`
	Stream  id.Stream `json:"stream"`
	Run     int64     `json:"run"`
	StartUs int64     `json:"start_us"`
	EndUs   int64     `json:"end_us,omitempty"`
	Reason  Reason    `json:"reason"`
	Detail  string    `json:"detail,omitempty"` // for a person: what happened and what to do
}

// TrimFact says that recorded video in [StartUs, EndUs) of a stream is gone from the site.
type TrimFact struct {
	Stream  id.Stream `json:"stream"`
	StartUs int64     `json:"start_us"`
	EndUs   int64     `json:"end_us"`
	Reason  Reason    `json:"reason"` // expired, deleted_by_person, lost
}

// EventFact is something that happened at the site.
type EventFact struct {
	ID     id.Event        `json:"id"`
	Camera id.Camera       `json:"camera,omitempty"`
	Kind   string          `json:"kind"`   // "door_opened", "motion", ...: lower case, digits and underscores, at most 64
	Source string          `json:"source"` // who said so: "local", "nvr", "agent"
	AtUs   int64           `json:"at_us"`
	EndUs  int64           `json:"end_us,omitempty"`
	Text   string          `json:"text,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"` // object, at most 8 KiB
}

// ClipState is a step in a clip's life.
type ClipState string

// States of a clip. Stored, Unavailable and ClipLost are final.
const (
	ClipWanted      ClipState = "wanted"
	ClipCutting     ClipState = "cutting"
	ClipQueued      ClipState = "queued"
	ClipUploading   ClipState = "uploading"
	ClipStored      ClipState = "stored"
	ClipUnavailable ClipState = "unavailable"
	ClipLost        ClipState = "lost"
)

// ClipFact reports a clip's state at the site. "stored" is the cloud's own word and never sent by an agent.
type ClipFact struct {
	Clip    id.Clip   `json:"clip"`
	State   ClipState `json:"state"`
	AtUs    int64     `json:"at_us"`
	Bytes   int64     `json:"bytes,omitempty"` // size of the cut clip
	Sent    int64     `json:"sent,omitempty"`  // bytes acknowledged so far
	StartUs int64     `json:"start_us,omitempty"`
	EndUs   int64     `json:"end_us,omitempty"` // what was cut, which may be less than what was wanted
	Codec   string    `json:"codec,omitempty"`  // RFC 6381 codecs string
	Gaps    []GapFact `json:"gaps,omitempty"`   // ranges inside the clip without video
	Reason  string    `json:"reason,omitempty"` // for a person, when unavailable or lost
	// NearestUs is the nearest recorded moment when nothing of the range exists; 0 if there is none.
	NearestUs int64 `json:"nearest_us,omitempty"`
	// OrderStartUs and OrderEndUs are the range that was ordered when this was said: the cloud may have widened it
	// since, and orders the rest as another clip. Since version 2; 0 from an agent of version 1.
	OrderStartUs int64 `json:"order_start_us,omitempty"`
	OrderEndUs   int64 `json:"order_end_us,omitempty"`
	// Stream is the one that is cut in place of the one that was ordered, because a person wished it so for a line that
	// is too slow (CameraDesire.StepDown); empty: the one that was ordered. Since version 2.
	Stream id.StreamKind `json:"stream,omitempty"`
}

// ConditionFact reports that a named condition changed.
type ConditionFact struct {
	Name    string    `json:"name"`             // "disk", "ledger", "clock", "camera", "stream", "uplink", ...
	Camera  id.Camera `json:"camera,omitempty"` // for camera and stream
	Kind    string    `json:"kind,omitempty"`   // main or sub, for stream
	State   State     `json:"state"`
	Reason  Reason    `json:"reason,omitempty"`
	Text    string    `json:"text,omitempty"` // for a person: what is wrong and what to do
	SinceUs int64     `json:"since_us"`
}

// OutageFact says that the agent had no session with the cloud in [StartUs, EndUs), and what it saw.
type OutageFact struct {
	StartUs int64  `json:"start_us"`
	EndUs   int64  `json:"end_us"`
	Text    string `json:"text,omitempty"` // the last error while dialling
}

package wire

import (
	"encoding/json"
	"fmt"

	"holdfast/shared/id"
)

// FrameType names what a session frame carries. Hello, heartbeat, payload and reply go up; welcome,
// heartbeat_ack and command go down; bye goes either way.
type FrameType string

// Types of session frames.
const (
	FrameHello        FrameType = "hello"         // Hello
	FrameWelcome      FrameType = "welcome"       // Welcome
	FrameHeartbeat    FrameType = "heartbeat"     // Heartbeat
	FrameHeartbeatAck FrameType = "heartbeat_ack" // HeartbeatAck
	FrameCommand      FrameType = "command"       // Command
	FramePayload      FrameType = "payload"       // Payload; the frame's body is a piece of a reply's payload
	FrameReply        FrameType = "reply"         // Reply; the frame's body is the last piece of the reply's payload
	FrameBye          FrameType = "bye"           // Bye
)

// Hello opens a session: who the agent is, what it runs on and its full state.
type Hello struct {
	Version    int             `json:"version"` // of the protocol
	Agent      id.Agent        `json:"agent"`
	Site       id.Site         `json:"site"`
	Epoch      string          `json:"epoch"`
	AgentVer   string          `json:"agent_version"`
	OS         string          `json:"os"` // "linux/amd64"
	Host       string          `json:"host"`
	BootID     string          `json:"boot_id"`
	Run        int64           `json:"run"`
	UpUs       int64           `json:"up_us"` // since the agent started
	WallUs     int64           `json:"wall_us"`
	Cameras    []CameraState   `json:"cameras"`
	Conditions []ConditionFact `json:"conditions"`
	Config     int64           `json:"config"`          // version of the desired configuration in force
	Queues     []int64         `json:"queues"`          // queues that hold unacked facts
	LineGone   int64           `json:"line_gone_us"`    // when the last session ended; 0 for the first
	EvKey      []byte          `json:"evidence_key"`    // the site's Ed25519 public key for seals, 32 bytes
	SealKey    []byte          `json:"seal_key"`        // the agent's X25519 public key for sealed passwords, 32 bytes
	Local      string          `json:"local,omitempty"` // address of the status page on the LAN
	Holds      []HoldState     `json:"holds,omitempty"` // all of the site
}

// CameraState is what the site's configuration and the streams say of one camera.
type CameraState struct {
	Camera  id.Camera     `json:"camera"`
	Name    string        `json:"name"`
	Channel string        `json:"channel,omitempty"` // the recorder's own word for it
	Streams []StreamState `json:"streams"`
	// Retention is missing while nothing is known of it, and from an agent of version 1.
	Retention *Retention `json:"retention,omitempty"`
	// PTZ says that the site's configuration names a device that may be asked whether it can move the camera. Since version 2.
	PTZ  bool `json:"ptz,omitempty"`
	Talk bool `json:"talk,omitempty"` // the site lets people speak through its loudspeaker
}

// StreamState is the state of one stream, small enough for every heartbeat.
type StreamState struct {
	Kind      id.StreamKind `json:"kind"`
	Record    bool          `json:"record"`               // recorded, not only pulled on demand
	Codec     string        `json:"codec,omitempty"`      // RFC 6381 codecs string of the video
	Audio     string        `json:"audio,omitempty"`      // the same for audio; empty without
	Width     int           `json:"width,omitempty"`      // pixels
	Height    int           `json:"height,omitempty"`     // pixels
	FPS       float64       `json:"fps,omitempty"`        // measured
	Kbps      float64       `json:"kbps,omitempty"`       // kilobits a second, measured
	BFrames   bool          `json:"b_frames,omitempty"`   // frames arrive out of display order
	State     State         `json:"state"`                // ok while frames arrive and, if recorded, bytes reach the disk
	Reason    Reason        `json:"reason,omitempty"`     // why not
	Text      string        `json:"text,omitempty"`       // for a person
	DurableUs int64         `json:"durable_us,omitempty"` // wall time up to which video is on the disk
	FirstUs   int64         `json:"first_us,omitempty"`   // wall time of the oldest video at the site
}

// Welcome accepts a session.
type Welcome struct {
	Version   int            `json:"version"`
	Session   id.Session     `json:"session"`
	WallUs    int64          `json:"wall_us"` // the cloud's clock, to measure the offset
	Marks     []Mark         `json:"marks"`   // of the agent's epoch
	Heartbeat int64          `json:"heartbeat_us"`
	Config    *DesiredConfig `json:"config,omitempty"` // when the agent's version is older
	CloudVer  string         `json:"cloud_version"`
	Clips     []ClipOrder    `json:"clips,omitempty"` // wanted and not yet stored: the full list
	CloudKey  []byte         `json:"cloud_key,omitempty"`
	KeySig    []byte         `json:"key_sig,omitempty"` // the new key signed by the pinned one, after a rotation
}

// Mark is the highest applied seq of one queue.
type Mark struct {
	Queue int64 `json:"queue"`
	Seq   int64 `json:"seq"`
}

// Heartbeat goes up every 15 s and at once when a condition changes.
type Heartbeat struct {
	WallUs     int64           `json:"wall_us"`
	MonoUs     int64           `json:"mono_us"`
	Cameras    []CameraState   `json:"cameras,omitempty"`    // those that changed since the last acked heartbeat
	Durable    []int64         `json:"durable,omitempty"`    // age in ms of durable_to, per recorded stream in Hello order; -1 none
	Conditions []ConditionFact `json:"conditions,omitempty"` // those that changed
	Disk       DiskState       `json:"disk"`
	Queue      QueueState      `json:"queue"`
	Live       []id.Session    `json:"live,omitempty"`      // live sessions that are open
	RTTUs      int64           `json:"rtt_us,omitempty"`    // last measured round trip; 0 before the first
	OffsetUs   int64           `json:"offset_us,omitempty"` // the cloud's clock minus the agent's, measured
	Holds      []HoldState     `json:"holds,omitempty"`     // all of the site
}

// DiskState is the sum over the agent's volumes.
type DiskState struct {
	TotalBytes int64 `json:"total"`
	FreeBytes  int64 `json:"free"`
	VideoBytes int64 `json:"video"`
	// DaysLeft is how many days of video the site will hold at today's rate; 0 when not yet known.
	DaysLeft  float64 `json:"days,omitempty"`
	HeldBytes int64   `json:"held,omitempty"` // of video that nothing may delete
	// CapacityBytes is what all volumes together may take of video: a camera's share is a share of this.
	CapacityBytes int64 `json:"capacity,omitempty"`
}

// QueueState is what waits at the site for the line.
type QueueState struct {
	Facts     int64 `json:"facts"`
	OldestUs  int64 `json:"oldest_us,omitempty"`
	Clips     int64 `json:"clips"`
	ClipBytes int64 `json:"clip_bytes"`

	// Since version 2. Rates are bytes per second, 0 while nothing goes or nothing is known.
	FactsMinute  int64  `json:"facts_minute,omitempty"`   // facts that the cloud has acked within the last minute
	OldestClipUs int64  `json:"oldest_clip_us,omitempty"` // where the oldest of the clips begins
	ClipRate     int64  `json:"clip_rate,omitempty"`      // of clips, now
	Stills       int64  `json:"stills,omitempty"`         // pictures that wait
	UpRate       int64  `json:"up_rate,omitempty"`        // of everything, now
	LineRate     int64  `json:"line_rate,omitempty"`      // what the line carries, measured
	Cap          int64  `json:"cap,omitempty"`            // of the budget; 0: none
	CapText      string `json:"cap_text,omitempty"`       // for a person: why that is the cap

	Losses []ClipLoss `json:"losses,omitempty"` // soonest first; at most MaxLosses
}

// ClipLoss is a range of chosen clips whose video retention takes before the line can carry them.
type ClipLoss struct {
	Camera  id.Camera `json:"camera"`
	StartUs int64     `json:"start_us"`
	EndUs   int64     `json:"end_us"`
	DueUs   int64     `json:"due_us"` // when retention takes it
	More    int64     `json:"more"`   // bytes per second that the line would have to carry besides
	Bytes   int64     `json:"bytes"`  // about
	// SubBytes is about what the camera's sub stream takes instead; 0: it is not recorded, or would not help.
	SubBytes int64 `json:"sub_bytes,omitempty"`
}

// HeartbeatAck answers a heartbeat; the agent takes the round trip and the clock offset from it.
type HeartbeatAck struct {
	WallUs int64 `json:"wall_us"`
	EchoUs int64 `json:"echo_us"` // Heartbeat.WallUs
}

// Bye closes a session with a reason; RetryUs is a floor for the next try.
type Bye struct {
	Code    RefusalCode `json:"code"` // "replaced", "revoked", "version", "shutdown", "duplicate", "clock", "protocol"
	Text    string      `json:"text"`
	RetryUs int64       `json:"retry_us,omitempty"`
}

// Payload goes ahead of a Reply whose payload is larger than one frame should be, so that a heartbeat can pass
// between two pieces on a narrow line.
type Payload struct {
	ID int64 `json:"id"` // of the command
}

// CommandType is one of a closed list: an agent refuses everything else.
type CommandType string

// Commands from cloud to agent, each with its body and reply.
const (
	CmdLiveOffer CommandType = "live_offer" // LiveOffer -> LiveAnswer
	CmdLiveView  CommandType = "live_view"  // LiveView -> LiveAnswer without SDP
	CmdLivePaths CommandType = "live_paths" // LivePaths -> LivePaths
	CmdLiveClose CommandType = "live_close" // LiveClose -> empty
	CmdTalk      CommandType = "talk"       // TalkOffer -> LiveAnswer with SDP alone
	CmdTalkAsk   CommandType = "talk_ask"   // TalkAsk -> TalkState
	CmdStill     CommandType = "still"      // StillOrder -> StillReply with payload
	CmdClip      CommandType = "clip"       // ClipOrder -> empty
	CmdClipDrop  CommandType = "clip_drop"  // ClipDrop -> empty
	CmdConfig    CommandType = "config"     // DesiredConfig -> ConfigReply
	CmdPTZ       CommandType = "ptz"        // PTZOrder -> PTZReply
)

// Known reports whether t is in the closed list.
func (t CommandType) Known() bool {
	switch t {
	case CmdLiveOffer, CmdLiveView, CmdLivePaths, CmdLiveClose, CmdTalk, CmdTalkAsk, CmdStill, CmdClip, CmdClipDrop, CmdConfig, CmdPTZ:
		return true
	}
	return false
}

// Command asks the agent to do one thing before ExpiresUs.
type Command struct {
	ID        int64           `json:"id"` // unique in the session, rising
	Type      CommandType     `json:"type"`
	ExpiresUs int64           `json:"expires_us"`
	Body      json.RawMessage `json:"body"`
}

// Reply answers a command. Error is empty on success.
type Reply struct {
	ID    int64           `json:"id"`
	Error string          `json:"error,omitempty"` // one sentence for a person
	Code  FailureCode     `json:"code,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// FailureCode names why an agent did not do what a command asked for.
type FailureCode string

// Codes of a failure.
const (
	FailedExpired       FailureCode = "expired"        // it came too late to be done
	FailedUnknownCamera FailureCode = "unknown_camera" // the site has no such camera
	FailedNoVideo       FailureCode = "no_video"       // nothing of that moment is there
	FailedCodec         FailureCode = "codec"          // no stream that the viewer can show
	FailedBusy          FailureCode = "busy"           // too much at once
	FailedGone          FailureCode = "gone"           // the connection that it belongs to has ended
	FailedTaken         FailureCode = "taken"          // somebody else has it now
	FailedRefused       FailureCode = "refused"        // not in the closed list, or against the site's own rules
	FailedOtherwise     FailureCode = "failed"
)

// Failure is the error that a room of the agent returns for a command, so that its code reaches the viewer.
type Failure struct {
	Code FailureCode
	Text string // one sentence for a person
}

// SwitchedOff is why nobody may turn a camera or speak through it that is not recorded on purpose.
const SwitchedOff = "Recording of this camera is switched off in the portal, so its device is left alone. Switch it on there first."

// Fail returns a Failure with a sentence.
func Fail(code FailureCode, format string, args ...any) *Failure {
	return &Failure{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Error returns the sentence.
func (f *Failure) Error() string { return f.Text }

// LiveOffer is a browser's SDP offer (RFC 8866, RFC 8829), in WHEP's shape: each place for video in it is a slot for one
// camera. With a Camera that is shown on the first slot; without one nothing is shown yet.
type LiveOffer struct {
	Session id.Session    `json:"session"` // names the connection
	Camera  id.Camera     `json:"camera,omitempty"`
	Stream  id.StreamKind `json:"stream,omitempty"` // empty: the agent chooses by Width
	Width   int           `json:"width,omitempty"`  // of the tile, device pixels
	SDP     string        `json:"sdp"`
	// Codecs are the video codecs that the browser can receive, as "h264", "h265"; and "opus", which the relay looks at alone:
	// the browser plays that in MP4.
	Codecs []string    `json:"codecs"`
	ICE    []ICEServer `json:"ice,omitempty"`
	// FromUs above 0 asks for playback of what lies at the site from that wall time on; 0 asks for live.
	FromUs int64 `json:"from_us,omitempty"`
	// View names what is shown of the camera. When it is empty Session does, and the connection ends with it.
	View   id.Session `json:"view,omitempty"`
	Silent bool       `json:"silent,omitempty"` // sound is not wanted
	Relay  RelayRole  `json:"relay,omitempty"`
	// Restart says that the connection is there, and only its path is sought anew (ICE restart, RFC 8839 section 4.4.1.1); by
	// the servers in ICE, if there are any.
	Restart bool `json:"restart,omitempty"`
	// Trickle says that the viewer tells its addresses as it learns of them, by LivePaths, and asks for the agent's in the
	// same way (RFC 8838): the answer has only those that the agent knows of itself.
	Trickle bool `json:"trickle,omitempty"`
}

// LivePaths are addresses that an end of a connection has learnt of itself since its description; the reply has all of the
// agent's.
type LivePaths struct {
	Session  id.Session `json:"session"`  // of the connection
	Fragment string     `json:"fragment"` // RFC 8840 section 9
	// Anew is the reply's: the fragment was of another path, which is sought instead.
	Anew bool `json:"anew,omitempty"`
	// ICE are servers for the agent's end, where those that it was told may serve no new path any more.
	ICE []ICEServer `json:"ice,omitempty"`
}

// RelayRole is what a connection has to do with the cloud's relay, which takes one copy of a camera from a site for many
// viewers. Empty: nothing.
type RelayRole string

// Roles of a connection.
const (
	RelayNear RelayRole = "near" // the viewer can take a camera from the relay instead
	RelayOnce RelayRole = "once" // the same, but now or never: where the camera goes over the line already, the answer says Relay
	RelaySelf RelayRole = "self" // it is the relay's own
)

// LiveView asks for a camera on a slot of a connection that a LiveOffer made. What was shown there ends.
type LiveView struct {
	Session    id.Session    `json:"session"`    // names what is shown
	Connection id.Session    `json:"connection"` // Session of the LiveOffer
	Slot       int           `json:"slot"`       // from 0, in the order of the offer's places for video
	Camera     id.Camera     `json:"camera"`
	Stream     id.StreamKind `json:"stream,omitempty"`
	Width      int           `json:"width,omitempty"`
	Codecs     []string      `json:"codecs"`
	FromUs     int64         `json:"from_us,omitempty"`
	Silent     bool          `json:"silent,omitempty"`
	// Film says that what comes is remuxed to MP4 by the relay: pictures may come in another order than they are shown in, and
	// sound may be AAC.
	Film bool `json:"film,omitempty"`
}

// ICEServer is one STUN or TURN server (RFC 8489, RFC 8656) with short-lived credentials.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// LiveAnswer is the agent's SDP answer, with all its candidates unless the offer asked for less, and what will be shown.
type LiveAnswer struct {
	SDP    string        `json:"sdp,omitempty"`
	Slots  int           `json:"slots,omitempty"`  // of the connection
	Stream id.StreamKind `json:"stream,omitempty"` // empty when nothing is shown yet
	Codec  string        `json:"codec,omitempty"`
	Audio  string        `json:"audio,omitempty"`
	// Note tells the viewer in words why it is not the stream that was asked for; empty when it is.
	Note string `json:"note,omitempty"`
	// Relay says that nothing is shown: the camera goes over the site's line already, and is to be had from the relay.
	Relay bool `json:"relay,omitempty"`
	// Reordered says that pictures come in another order than they are shown in; only with Film.
	Reordered bool `json:"reordered,omitempty"`
	// Sound is the AudioSpecificConfig where Audio is AAC; only with Film.
	Sound []byte `json:"sound,omitempty"`
	// Unheard and Unseen are RFC 6381 names of what the camera has and only Film has room for: sound, and the pictures of the
	// stream that was asked for.
	Unheard string `json:"unheard,omitempty"`
	Unseen  string `json:"unseen,omitempty"`
}

// LiveClose ends what is shown, or a connection.
type LiveClose struct {
	Session id.Session `json:"session"`
}

// StillOrder asks for the newest key frame of a camera, or the first one at or before AtUs.
type StillOrder struct {
	Camera id.Camera     `json:"camera"`
	Stream id.StreamKind `json:"stream,omitempty"`
	AtUs   int64         `json:"at_us,omitempty"`
}

// StillReply describes the payload: one key frame as Annex B with its parameter sets (ITU-T H.264 annex B).
type StillReply struct {
	Codec  string `json:"codec"` // RFC 6381
	Width  int    `json:"width"`
	Height int    `json:"height"`
	AtUs   int64  `json:"at_us"`
}

// Priority says which clips a site sends first; inside one priority those go first whose video retention takes first.
type Priority int

// Priorities of a clip.
const (
	PriorityLow    Priority = -1
	PriorityNormal Priority = 0
	PriorityHigh   Priority = 1
)

// Known returns the priority, and the nearest known one for a number of a later version.
func (p Priority) Known() Priority { return min(max(p, PriorityLow), PriorityHigh) }

// ClipOrder asks the agent to cut [StartUs, EndUs) of a camera and upload it. Sending it again is harmless. Since
// version 2 a clip that is not cut yet may be ordered again with another range or priority, and takes it over; one that
// is being cut keeps its range, which ClipFact.OrderStartUs and OrderEndUs tell.
type ClipOrder struct {
	Clip    id.Clip       `json:"clip"`
	Camera  id.Camera     `json:"camera"`
	Stream  id.StreamKind `json:"stream"`
	StartUs int64         `json:"start_us"`
	EndUs   int64         `json:"end_us"`
	Audio   bool          `json:"audio"`
	// Priority is since version 2.
	Priority Priority `json:"priority,omitempty"`
}

// ClipDrop tells the agent that a clip is no longer wanted.
type ClipDrop struct {
	Clip id.Clip `json:"clip"`
}

// ClipBegin starts or resumes the upload of a cut clip. The answer is ClipPlan.
type ClipBegin struct {
	Bytes     int64    `json:"bytes"`
	SHA256    []byte   `json:"sha256"`     // of the whole file
	PartBytes int64    `json:"part_bytes"` // every part but the last; 5 MiB to 8 MiB
	Parts     [][]byte `json:"parts"`      // SHA-256 of each part
	// Pieces asks for a plan in pieces: the line breaks before a whole part has passed. Since version 2.
	Pieces bool `json:"pieces,omitempty"`
}

// ClipPlan says where the missing parts go. Each URL takes one PUT of exactly that part.
type ClipPlan struct {
	Stored bool       `json:"stored"` // the clip is complete and verified: nothing to do
	Parts  []PartPlan `json:"parts"`  // the missing ones
	// More says that further parts are missing: begin again after these. Since version 2.
	More bool `json:"more,omitempty"`
	// ValidUs is how long the URLs hold from now on; after that, and after any refusal, the agent begins again and
	// gets new ones. 0: as long as the upload. Since version 2.
	ValidUs int64 `json:"valid_us,omitempty"`
}

// PartPlan is one missing part. URL is absolute (presigned) or a path on the cloud that takes a signed request. With
// Pieces it is a path that takes nothing itself: URL + "/pieces/{n}" takes each of the missing pieces (since version 2).
type PartPlan struct {
	Number     int               `json:"number"` // from 1
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers,omitempty"`
	Pieces     []int             `json:"pieces,omitempty"`      // numbers of the missing pieces, from 1
	PieceBytes int64             `json:"piece_bytes,omitempty"` // of every piece but the part's last; at most MaxClipPieceBytes
}

// ClipComplete says that every part was sent; the cloud verifies size and hash before it answers "stored".
type ClipComplete struct {
	ETags []string `json:"etags"` // as the store answered each part, in order; empty strings where it gave none
}

// DesiredConfig is the cloud's one versioned desired state for a site, inside the ceilings of the site's YAML.
type DesiredConfig struct {
	Version int64          `json:"version"`
	Cameras []CameraDesire `json:"cameras"`
	// Holds are all holds of the cloud's people at this site: one that is not listed is released. Without the list
	// (null, or a cloud of version 1) nothing is said of holds.
	Holds []HoldDesire `json:"holds"`
}

// CameraDesire is what the cloud wishes for one camera. Zero values mean "as the site says".
type CameraDesire struct {
	Camera  id.Camera `json:"camera"`
	Name    string    `json:"name,omitempty"`
	Disable bool      `json:"disable,omitempty"` // stop recording: a declared gap(disabled)
	KeepUs  int64     `json:"keep_us,omitempty"` // retention by age
	// SharePct is retention by size: at most so many hundredths of what the volumes may take. Since version 2.
	SharePct int `json:"share_pct,omitempty"`
	// StepDown says that a clip of the main stream which the line can't carry in time is cut from the sub stream
	// instead, where that is recorded. Since version 2.
	StepDown bool `json:"step_down,omitempty"`
}

// ConfigReply says what became of a desired configuration.
type ConfigReply struct {
	Version int64    `json:"version"` // now in force
	Faults  []string `json:"faults,omitempty"`
}

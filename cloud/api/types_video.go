package api

// Coverage says where the video of a time range is; the ranges cover the whole of it without a hole.
type Coverage struct {
	FromUs    int64   `json:"from_us"`
	ToUs      int64   `json:"to_us"`
	FirstUs   int64   `json:"first_us,omitempty" doc:"Oldest video of the stream."`
	DurableUs int64   `json:"durable_us,omitempty" doc:"Video up to here is on the site's disk."`
	Ranges    []Range `json:"ranges" nullable:"false"`
}

// Range is one range of a coverage.
type Range struct {
	StartUs int64  `json:"start_us"`
	EndUs   int64  `json:"end_us"`
	State   string `json:"state" enum:"site,cloud,in_flight,gap,unknown" doc:"site: on the site's disk. cloud: kept in a clip. in_flight: being written or reported. gap: no video, see reason. unknown: the site has not reported yet."`
	Reason  string `json:"reason,omitempty" doc:"Of a gap: one of the closed list."`
	Text    string `json:"text,omitempty" doc:"For a person."`
	Clip    string `json:"clip,omitempty" doc:"The clip that holds it in the cloud."`
}

// ICE lists the STUN and TURN servers for a live session, with short-lived credentials.
type ICE struct {
	Servers []ICEServer `json:"servers" nullable:"false"`
}

// ICEServer has the shape of the browser's RTCIceServer.
type ICEServer struct {
	URLs       []string `json:"urls" nullable:"false"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// Clip is a chosen range of video that is kept in the cloud.
type Clip struct {
	ID         string    `json:"id"`
	Site       string    `json:"site"`
	Camera     string    `json:"camera"`
	CameraName string    `json:"camera_name"`
	Title      string    `json:"title"`
	StartUs    int64     `json:"start_us"`
	EndUs      int64     `json:"end_us"`
	CutStartUs int64     `json:"cut_start_us,omitempty" doc:"What was cut, which may be less than what was wanted."`
	CutEndUs   int64     `json:"cut_end_us,omitempty"`
	State      string    `json:"state" enum:"wanted,cutting,queued,uploading,stored,unavailable,lost"`
	Progress   float64   `json:"progress" minimum:"0" maximum:"1"`
	Bytes      int64     `json:"bytes,omitempty"`
	Codec      string    `json:"codec,omitempty" doc:"RFC 6381."`
	Playable   bool      `json:"playable" doc:"Stored, and the media can be fetched."`
	Reason     string    `json:"reason,omitempty" doc:"For a person: why it is unavailable, lost or waiting."`
	Gaps       []ClipGap `json:"gaps" nullable:"false" doc:"Ranges inside the clip without video."`
	Rule       string    `json:"rule,omitempty" doc:"The rule that chose it."`
	By         string    `json:"by,omitempty" doc:"Name of the person who chose it."`
	CreatedUs  int64     `json:"created_us"`
}

// ClipGap is a range inside a clip without video.
type ClipGap struct {
	StartUs int64  `json:"start_us"`
	EndUs   int64  `json:"end_us"`
	Reason  string `json:"reason"`
	Text    string `json:"text,omitempty"`
}

// Clips is a page of clips, newest first.
type Clips struct {
	Clips []Clip `json:"clips" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Give it as 'before' to get older ones; absent at the end."`
}

// ClipRequest chooses a range.
type ClipRequest struct {
	Camera  string `json:"camera" maxLength:"64"`
	StartUs int64  `json:"start_us" minimum:"1"`
	EndUs   int64  `json:"end_us" minimum:"1"`
	Stream  string `json:"stream,omitempty" enum:"main,sub" default:"main"`
	Title   string `json:"title,omitempty" maxLength:"512" doc:"At most 128 characters."`
}

// ClipPatch changes a clip.
type ClipPatch struct {
	Title *string `json:"title,omitempty" maxLength:"512" doc:"At most 128 characters."`
}

// Rule chooses clips by events.
type Rule struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	EventKind string `json:"event_kind"`
	Site      string `json:"site,omitempty" doc:"Absent: every site."`
	Camera    string `json:"camera,omitempty" doc:"Absent: the camera of the event."`
	PreS      int    `json:"pre_s"`
	PostS     int    `json:"post_s"`
	Stream    string `json:"stream" enum:"main,sub"`
	Enabled   bool   `json:"enabled"`
}

// Rules lists the rules, ordered by name.
type Rules struct {
	Rules []Rule `json:"rules" nullable:"false"`
}

// RuleRequest makes a rule.
type RuleRequest struct {
	Name      string `json:"name" minLength:"1" maxLength:"512" doc:"At most 128 characters."`
	EventKind string `json:"event_kind" pattern:"^[a-z0-9_]{1,64}$" patternDescription:"lower case letters, digits and underscores"`
	Site      string `json:"site,omitempty" maxLength:"64"`
	Camera    string `json:"camera,omitempty" maxLength:"64"`
	PreS      int    `json:"pre_s" minimum:"0" maximum:"600"`
	PostS     int    `json:"post_s" minimum:"0" maximum:"600"`
	Stream    string `json:"stream,omitempty" enum:"main,sub" default:"main"`
	Enabled   bool   `json:"enabled"`
}

// RulePatch changes a rule; absent fields stay.
type RulePatch struct {
	Name      *string `json:"name,omitempty" minLength:"1" maxLength:"512"`
	EventKind *string `json:"event_kind,omitempty" pattern:"^[a-z0-9_]{1,64}$"`
	Site      *string `json:"site,omitempty" maxLength:"64" doc:"Empty: every site."`
	Camera    *string `json:"camera,omitempty" maxLength:"64" doc:"Empty: the camera of the event."`
	PreS      *int    `json:"pre_s,omitempty" minimum:"0" maximum:"600"`
	PostS     *int    `json:"post_s,omitempty" minimum:"0" maximum:"600"`
	Stream    *string `json:"stream,omitempty" enum:"main,sub"`
	Enabled   *bool   `json:"enabled,omitempty"`
}

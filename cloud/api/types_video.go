package api

// Coverage says where the video of a time range is; the ranges cover the whole of it without a hole.
type Coverage struct {
	FromUs    int64   `json:"from_us"`
	ToUs      int64   `json:"to_us"`
	FirstUs   int64   `json:"first_us,omitempty" doc:"Oldest video of the stream."`
	DurableUs int64   `json:"durable_us,omitempty" doc:"Video up to here is on the site's disk."`
	Ranges    []Range `json:"ranges" nullable:"false"`
}

// Coverages is the coverage of several cameras over one time range.
type Coverages struct {
	Cameras []CameraCoverage `json:"cameras" nullable:"false"`
}

// CameraCoverage is the coverage of one camera of several.
type CameraCoverage struct {
	Camera   string   `json:"camera"`
	Coverage Coverage `json:"coverage"`
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

// LiveView is a camera that is shown over a connection.
type LiveView struct {
	Path   string `json:"path,omitempty" doc:"DELETE it to end the view; the connection stays."`
	Relay  bool   `json:"relay,omitempty" doc:"Nothing is shown: the camera goes over the site's line already. Ask for it over a connection through the relay."`
	Stream string `json:"stream,omitempty" enum:"main,sub"`
	Codec  string `json:"codec,omitempty" doc:"RFC 6381."`
	Audio  string `json:"audio,omitempty" doc:"RFC 6381; absent without audio."`
	Note   string `json:"note,omitempty" doc:"Why it is not what was asked for; absent when it is."`

	Unheard string `json:"unheard,omitempty" doc:"RFC 6381: the camera's sound, which only a WebSocket has room for; absent otherwise."`
	Unseen  string `json:"unseen,omitempty" doc:"RFC 6381: the pictures that were asked for, which only a WebSocket has room for; absent otherwise."`
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

// TalkState says whether one can speak through a camera's loudspeaker now.
type TalkState struct {
	Possible bool   `json:"possible" doc:"One can, once nobody else does."`
	Text     string `json:"text,omitempty" doc:"For a person: why one can't."`
	By       string `json:"by,omitempty" doc:"Who speaks now."`
	Mine     bool   `json:"mine" doc:"It is the person who asks."`
	SinceUs  int64  `json:"since_us,omitempty" doc:"Since when."`
}
